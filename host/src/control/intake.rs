//! Keeps the reconciler informed of stored objects: list once, then watch, list again when history is gone.

use super::source::{Change, Source, SourceError, Watched};
use crate::model::object::Object;
use crate::observe::failpoint;
use crate::store::Revision;
use std::time::Duration;
use tokio::sync::mpsc;

/// Wait after a failure of the store.
const RETRY: Duration = Duration::from_millis(500);

/// What the reconciler learns of objects.
#[derive(Debug)]
pub(super) enum Intake {
    /// All objects of both kinds, at the start.
    Started {
        /// Every APIService.
        api_services: Vec<Object>,
        /// Every ExternalName.
        external_names: Vec<Object>,
    },
    /// All objects of one kind: what is not among them is gone.
    Listed(Watched, Vec<Object>),
    /// One change.
    Changed(Watched, Change),
}

/// Runs until the reconciler is gone.
pub(super) async fn follow(source: Source, sender: mpsc::Sender<Intake>) {
    failpoint("control.intake");
    let (api_services, services_at) = list(&source, Watched::ApiServices).await;
    let (external_names, names_at) = list(&source, Watched::ExternalNames).await;
    if sender.send(Intake::Started { api_services, external_names }).await.is_err() {
        return;
    }
    tokio::join!(
        follow_kind(&source, Watched::ApiServices, services_at, &sender),
        follow_kind(&source, Watched::ExternalNames, names_at, &sender),
    );
}

async fn list(source: &Source, kind: Watched) -> (Vec<Object>, Revision) {
    loop {
        match source.list(kind).await {
            Ok(listed) => return listed,
            Err(error) => tracing::error!(?kind, %error, "cannot list; trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_kind(source: &Source, kind: Watched, start: Revision, sender: &mpsc::Sender<Intake>) {
    let mut after = start;
    loop {
        match source.watch(kind, after).await {
            Ok(mut changes) => loop {
                match changes.next().await {
                    Ok(change) => {
                        if sender.send(Intake::Changed(kind, change)).await.is_err() {
                            return;
                        }
                    }
                    Err(SourceError::Compacted) => break,
                    Err(error) => {
                        tracing::error!(?kind, %error, "a watch broke; listing again");
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                }
            },
            Err(SourceError::Compacted) => {}
            Err(error) => {
                tracing::error!(?kind, %error, "cannot watch; listing again");
                tokio::time::sleep(RETRY).await;
            }
        }
        let (objects, revision) = list(source, kind).await;
        after = revision;
        if sender.send(Intake::Listed(kind, objects)).await.is_err() {
            return;
        }
    }
}
