//! How fast durable writes are. Prints figures, asserts none.

use std::sync::Arc;
use std::time::Instant;

use super::bytes;
use crate::store::{FileStore, Store as _, verify};

const CREATES: usize = 8_000;
/// About the size of an APIService with its status and managed fields.
const VALUE_BYTES: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: cargo test -p umbel store::file::tests::measure -- --ignored --nocapture"]
async fn durable_creates_per_second() {
    for writers in [1, 8, 64] {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(directory.path()).unwrap());
        let value = bytes(&"x".repeat(VALUE_BYTES));
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let (store, value) = (Arc::clone(&store), value.clone());
                tokio::spawn(async move {
                    for number in 0..CREATES / writers {
                        store.create(format!("group/things/{writer}-{number}"), value.clone()).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = CREATES as f64 / start.elapsed().as_secs_f64();
        drop(store);
        let start = Instant::now();
        drop(FileStore::open(directory.path()).unwrap());
        let (opened, size) = (start.elapsed().as_millis(), verify(directory.path()).unwrap().file_bytes);
        println!("{writers} writers: {rate:.0} durable creates/s; {size} bytes open again in {opened} ms");
    }
}
