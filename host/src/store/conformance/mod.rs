//! What every store must do, run over each implementation.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{FileStore, HistoryBound, ListRequest, MemoryStore, Store, StoreError, Watch, WatchItem};

mod concurrency;
mod history;
mod lists;
mod watches;
mod writes;

/// Far more than any step needs; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store under test, with what must outlive it.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    _alive: Box<dyn Any + Send>,
}

/// Opens an empty store that keeps so much history.
pub(crate) type Open = fn(HistoryBound) -> Subject;

fn memory(bound: HistoryBound) -> Subject {
    Subject { store: Arc::new(MemoryStore::new(bound)), _alive: Box::new(()) }
}

fn file(bound: HistoryBound) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open_bounded(directory.path(), bound).unwrap());
    Subject { store, _alive: Box::new(directory) }
}

macro_rules! suite {
    (($($store:ident)+) $cases:tt) => { $(suite!($store $cases);)+ };
    ($store:ident { $($group:ident: $($case:ident),+;)+ }) => {
        mod $store {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let run = super::$group::$case(super::$store);
                    tokio::time::timeout(super::PATIENCE, run).await.expect("the case hangs");
                }
            )+)+
        }
    };
}

suite! { (memory file) {
    writes: an_empty_store_is_at_revision_zero, create_refuses_an_existing_key,
        update_needs_the_expected_revision, delete_needs_the_expected_revision,
        revisions_are_never_reused, a_refused_write_takes_no_revision, empty_values_are_values;
    lists: pages_follow_each_other, prefixes_are_isolated, after_need_not_exist,
        pages_of_one_revision_ignore_later_writes;
    history: every_kept_revision_can_be_listed, the_future_is_refused,
        the_past_beyond_the_bound_is_refused, bytes_bound_the_history_too;
    watches: changes_arrive_in_order, a_watch_resumes_from_every_revision, a_watch_sees_its_prefix_only,
        progress_tells_of_changes_elsewhere, a_slow_watch_is_told_that_it_is_too_late,
        a_watch_cannot_start_out_of_reach, an_abandoned_wait_loses_nothing;
    concurrency: writers_of_many_keys_share_one_sequence, one_of_many_creates_wins,
        compare_and_swap_counts_right, a_watch_started_amid_writes_misses_nothing;
} }

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn events(events: usize) -> HistoryBound {
    HistoryBound { events, ..HistoryBound::default() }
}

fn below(prefix: &str) -> ListRequest {
    ListRequest { prefix: prefix.to_owned(), ..ListRequest::default() }
}

async fn keys(store: &dyn Store, request: ListRequest) -> Vec<String> {
    store.list(request).await.unwrap().records.into_iter().map(|record| record.key).collect()
}

/// Changes as short text: `3 +a/x=one`, `4 ~a/x=two<one`, `5 -a/x<two`, and progress as `=5`.
fn told(item: &WatchItem) -> String {
    let text = |value: &Bytes| String::from_utf8(value.to_vec()).unwrap();
    match item {
        WatchItem::Progress(revision) => format!("={revision}"),
        WatchItem::Event(event) => {
            let (revision, key) = (event.revision, &event.key);
            match (&event.value, &event.previous) {
                (Some(value), None) => format!("{revision} +{key}={}", text(value)),
                (Some(value), Some(before)) => format!("{revision} ~{key}={}<{}", text(value), text(before)),
                (None, Some(before)) => format!("{revision} -{key}<{}", text(before)),
                (None, None) => format!("{revision} ?{key}"),
            }
        }
    }
}

/// Everything up to and including revision `last`.
async fn until(watch: &mut Box<dyn Watch>, last: u64) -> Result<Vec<String>, StoreError> {
    let mut items = Vec::new();
    loop {
        let item = watch.next().await?;
        items.push(told(&item));
        let (WatchItem::Event(super::Event { revision, .. }) | WatchItem::Progress(revision)) = item;
        if revision >= last {
            return Ok(items);
        }
    }
}
