//! `watch`: a stream of events, each flushed at once (contract §7.9).

use super::dispatch::Call;
use super::negotiation::Offer;
use super::options::ListParameters;
use super::reading::selector;
use super::reply::{self, Reply};
use super::service::Api;
use super::stream;
use super::view::Presentation;
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::shape::empty;
use crate::observe::{LongRunning, RequestLabels};
use crate::registry::{ObjectEvent, ObjectWatch, WatchOptions, WatchStart, parse_revision};
use crate::store::Revision;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

/// How often a watch without events tells how far it is.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// How long before its end a watch tells once more.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// How long a watch lasts at least, where the client does not say; at most twice that.
const MIN_DURATION: Duration = Duration::from_secs(1800);
/// The annotation that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Starts a watch.
pub async fn watch(api: &Arc<Api>, call: Call) -> Result<Reply, Failure> {
    let presentation = call.presentation(api, Offer::Stream)?;
    let parameters = ListParameters::read(&call.query, true)?;
    let mut selector = selector(call.kind, &parameters)?;
    if selector.fields.is_everything() && !call.key.name.is_empty() {
        // The old path form `/watch/<resource>/<name>` watches one object.
        let text = format!("metadata.name={}", call.key.name);
        selector.fields = crate::object::selector::FieldSelector::parse(&text, &[])?;
    }
    let start = start_of(&parameters)?;
    let options = WatchOptions { namespace: call.key.namespace.clone(), selector, start };
    let watch = api.registry.watch(call.kind, options).await?;
    let lasts = match parameters.timeout_seconds {
        None | Some(0) => MIN_DURATION + MIN_DURATION.mul_f64(fastrand::f64()),
        Some(seconds) => Duration::from_secs(seconds),
    };
    let scope = if call.key.namespace.is_empty() { "cluster" } else { "namespace" };
    let running = api.metrics.long_running(&RequestLabels {
        verb: "WATCH",
        group: call.kind.group,
        version: call.kind.version,
        resource: call.kind.plural,
        scope,
        ..RequestLabels::default()
    });
    let (sender, body) = stream::channel();
    let events = EventStream {
        kind: call.kind,
        presentation: presentation.clone(),
        sender,
        is_first: true,
        position: watch.position(),
        allow_bookmarks: parameters.allow_bookmarks,
        announces_initial: parameters.send_initial_events == Some(true),
        _running: running,
    };
    tokio::spawn(events.run(watch, Instant::now() + lasts, api.readiness.shutdown()));
    Ok(reply::with_body(StatusCode::OK, presentation.accepted.format.content_type(), body))
}

fn start_of(parameters: &ListParameters) -> Result<WatchStart, Failure> {
    let revision = parse_revision(&parameters.resource_version)?;
    Ok(match (parameters.send_initial_events, revision) {
        (Some(true), Some(revision)) => WatchStart::CurrentNotOlderThan(revision),
        (Some(false), None | Some(0)) => WatchStart::Now,
        (_, None | Some(0)) => WatchStart::Current,
        (_, Some(revision)) => WatchStart::After(revision),
    })
}

struct EventStream {
    kind: &'static Kind,
    presentation: Presentation,
    sender: mpsc::Sender<Bytes>,
    /// No event has been sent yet.
    is_first: bool,
    /// Everything up to here has been sent.
    position: Option<Revision>,
    allow_bookmarks: bool,
    announces_initial: bool,
    /// Counts the watch while it lasts.
    _running: LongRunning,
}

/// The client is gone.
struct Gone;

impl EventStream {
    /// Sends events until the time is over, the client is gone or the process is about to end, each of which also
    /// ends the wait for a client that does not read.
    async fn run(self, watch: ObjectWatch, end: Instant, shutdown: impl Future<Output = ()>) {
        let closing = self.sender.clone();
        tokio::select! {
            () = self.send_all(watch, end) => {}
            () = sleep_until(end) => {}
            () = closing.closed() => {}
            () = shutdown => {}
        }
    }

    /// Sends events until the watch fails or the client is gone.
    async fn send_all(mut self, mut watch: ObjectWatch, end: Instant) {
        let mut bookmarks = interval_at(Instant::now() + BOOKMARK_PERIOD, BOOKMARK_PERIOD);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let farewell = end.checked_sub(LAST_BOOKMARK).filter(|at| *at > Instant::now());
        let mut farewell_is_due = farewell.is_some() && self.allow_bookmarks;
        loop {
            let sent = tokio::select! {
                event = watch.next() => match event {
                    Ok(event) => self.send_event(event).await,
                    Err(failure) => {
                        let _gone = self.send("ERROR", status_value(&failure)).await;
                        return;
                    }
                },
                _ = bookmarks.tick(), if self.allow_bookmarks => self.send_bookmark(false).await,
                () = sleep_until(farewell.unwrap_or(end)), if farewell_is_due => {
                    farewell_is_due = false;
                    self.send_bookmark(false).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn send_event(&mut self, event: ObjectEvent) -> Result<(), Gone> {
        let (name, object) = match event {
            ObjectEvent::Added(object) => ("ADDED", object),
            ObjectEvent::Modified(object) => ("MODIFIED", object),
            ObjectEvent::Deleted(object) => ("DELETED", object),
            ObjectEvent::Synced(revision) => {
                self.position = Some(revision);
                return if self.announces_initial { self.send_bookmark(true).await } else { Ok(()) };
            }
            ObjectEvent::Progress(revision) => {
                self.position = self.position.max(Some(revision));
                return Ok(());
            }
        };
        if self.position.is_some() {
            self.position = self.position.max(object.resource_version().parse().ok());
        }
        self.send_object(name, object).await
    }

    async fn send_bookmark(&mut self, ends_initial_events: bool) -> Result<(), Gone> {
        let Some(revision) = self.position.filter(|_| self.allow_bookmarks) else { return Ok(()) };
        let mut object = empty(self.kind);
        object.set(&["metadata", "resourceVersion"], revision.to_string());
        if ends_initial_events {
            object.set(&["metadata", "annotations", INITIAL_EVENTS_END], "true");
        }
        self.send_object("BOOKMARK", object).await
    }

    async fn send_object(&mut self, name: &str, object: Object) -> Result<(), Gone> {
        match self.presentation.event(self.kind, object, self.is_first) {
            Ok(value) => {
                self.is_first = false;
                self.send(name, value).await
            }
            Err(failure) => {
                let _gone = self.send("ERROR", status_value(&failure)).await;
                Err(Gone)
            }
        }
    }

    async fn send(&mut self, name: &str, object: Value) -> Result<(), Gone> {
        let mut line = json!({"type": name, "object": object}).to_string();
        line.push('\n');
        self.sender.send(line.into()).await.map_err(|_| Gone)
    }
}

fn status_value(failure: &Failure) -> Value {
    serde_json::to_value(failure.to_status()).unwrap_or_default()
}
