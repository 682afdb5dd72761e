//! Resource versions that clients name: reading them, and waiting for one that is not there yet.

use crate::model::failure::Failure;
use crate::store::{Revision, Store, WatchItem};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{StatusCause, StatusDetails};
use std::time::Duration;

/// How long a read waits for a revision of the future (contract §7.9).
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads a resource version. `Ok(None)` for `""`, 400 for anything that is no number.
pub fn parse_revision(text: &str) -> Result<Option<Revision>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Failure::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// Waits until the store has reached `wanted`, for three seconds at most; then 504 as upstream.
pub(super) async fn wait_for(store: &dyn Store, wanted: Revision) -> Result<(), Failure> {
    wait_within(PATIENCE, store, wanted).await
}

async fn wait_within(patience: Duration, store: &dyn Store, wanted: Revision) -> Result<(), Failure> {
    if store.revision() >= wanted {
        return Ok(());
    }
    let arrival = async {
        let mut watch = store.watch(String::new(), store.revision()).await?;
        loop {
            let reached = match watch.next().await? {
                WatchItem::Event(event) => event.revision,
                WatchItem::Progress(revision) => revision,
            };
            if reached >= wanted {
                return Ok::<(), crate::store::StoreError>(());
            }
        }
    };
    match tokio::time::timeout(patience, arrival).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(super::stored::medium_failure(&error)),
        Err(_) => Err(too_large(wanted, store.revision())),
    }
}

fn too_large(wanted: Revision, current: Revision) -> Failure {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let details = StatusDetails {
        causes: Some(vec![StatusCause {
            field: None,
            message: Some("Too large resource version".to_owned()),
            reason: Some("ResourceVersionTooLarge".to_owned()),
        }]),
        retry_after_seconds: Some(1),
        ..StatusDetails::default()
    };
    Failure { details: Some(Box::new(details)), ..Failure::new(504, "Timeout", message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_revision_of_the_future_is_waited_for_and_then_refused() {
        let store = MemoryStore::default();
        let refused = wait_within(Duration::from_millis(10), &store, 1).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after_seconds()), (504, Some(1)));
        assert_eq!(refused.message, "Timeout: Too large resource version: 1, current: 0");
        let (waited, written) = tokio::join!(
            wait_within(Duration::from_secs(30), &store, 1),
            store.create("key".to_owned(), "value".into())
        );
        assert_eq!((waited, written.unwrap()), (Ok(()), 1));
    }

    #[test]
    fn a_resource_version_is_a_number_or_refused() {
        assert_eq!(parse_revision(""), Ok(None));
        assert_eq!(parse_revision("12"), Ok(Some(12)));
        assert_eq!(parse_revision("abc").unwrap_err().code, 400);
    }
}
