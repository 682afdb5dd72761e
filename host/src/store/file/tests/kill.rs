//! Killed again and again amid concurrent writes: whatever was acknowledged is there, in order.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{bytes, runtime};
use crate::store::{Event, FileStore, HistoryBound, ListRequest, Store, StoreError, WatchItem, verify};

const ROUNDS: usize = 12;
const WRITERS: usize = 8;
/// Less than all rounds write together, so that history is being forgotten when the kill comes.
const BOUND: HistoryBound = HistoryBound { events: 1_500, bytes: usize::MAX };
/// Tells the child where to write.
const DIRECTORY: &str = "UMBEL_TEST_KILLED_STORE";

/// Not a test of its own: what the killed process does. It writes until it is killed, and tells every
/// acknowledged write on standard output.
#[test]
#[ignore = "run as a child process by acknowledged_writes_survive_kills"]
fn killed_writer() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Arc::new(FileStore::open_bounded(Path::new(&directory), BOUND).unwrap());
    runtime().block_on(async {
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(Arc::clone(&store), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write(store: Arc<FileStore>, writer: usize) {
    let start = store.revision();
    for number in 0.. {
        let key = format!("w{writer}/{start}-{number}");
        let created = store.create(key.clone(), bytes(&"x".repeat(number % 3_000))).await.unwrap();
        tell(created, &key);
        match number % 3 {
            0 => tell(store.delete(key.clone(), created).await.unwrap(), &key),
            1 => tell(store.update(key.clone(), created, bytes("again")).await.unwrap(), &key),
            _ => count(&store).await,
        }
    }
}

/// Everybody counts in the same key.
async fn count(store: &FileStore) {
    let key = "shared/count";
    let written = match store.get(key).await.unwrap() {
        None => store.create(key.into(), bytes("1")).await,
        Some(now) => {
            let count: u64 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
            store.update(key.into(), now.revision, bytes(&(count + 1).to_string())).await
        }
    };
    match written {
        Ok(revision) => tell(revision, key),
        Err(StoreError::Conflict { .. } | StoreError::Exists { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

fn tell(revision: u64, key: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("ack {revision} {key}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn acknowledged_writes_survive_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut history: Vec<Event> = Vec::new();
    for round in 0..ROUNDS {
        let acknowledged = one_life(directory.path(), random.usize(1..400), random.u64(0..3_000));
        verify(directory.path()).unwrap();
        let store = FileStore::open_bounded(directory.path(), BOUND).unwrap();
        runtime().block_on(async {
            resume(&store, &mut history).await;
            check(&store, &history, &acknowledged).await;
        });
        assert!(!acknowledged.is_empty(), "round {round}");
    }
    assert!(history.len() > BOUND.events, "history has been forgotten on the way: {}", history.len());
}

/// Runs the writer, kills it some microseconds after so many acknowledgements, and returns all of them.
fn one_life(directory: &Path, enough: usize, pause: u64) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::file::tests::kill::killed_writer", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let acknowledged = listen(&mut child, enough, pause);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "killed, not ended: {status}");
    acknowledged
}

fn listen(child: &mut Child, enough: usize, pause: u64) -> Vec<(u64, String)> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        let read = out.read_line(&mut line).unwrap();
        if read == 0 || !line.ends_with('\n') {
            return acknowledged;
        }
        if let Some((revision, key)) =
            line.trim_end().strip_prefix("ack ").and_then(|text| text.split_once(' '))
        {
            acknowledged.push((revision.parse().unwrap(), key.to_owned()));
            if acknowledged.len() == enough {
                thread::sleep(Duration::from_micros(pause));
                child.kill().unwrap();
            }
        }
    }
}

/// Watches on from the last event of the rounds before.
async fn resume(store: &FileStore, history: &mut Vec<Event>) {
    let mut due = history.len() as u64 + 1;
    let mut watch = store.watch(String::new(), due - 1).await.unwrap();
    while due <= store.revision() {
        match watch.next().await.unwrap() {
            WatchItem::Event(event) => {
                assert_eq!(event.revision, due, "none lost, none doubled");
                history.push(event);
                due += 1;
            }
            WatchItem::Progress(revision) => panic!("progress to {revision} in place of events"),
        }
    }
}

async fn check(store: &FileStore, history: &[Event], acknowledged: &[(u64, String)]) {
    for (revision, key) in acknowledged {
        let event = &history[usize::try_from(*revision).unwrap() - 1];
        assert_eq!((event.revision, &event.key), (*revision, key), "an acknowledged write is missing");
    }
    let mut values = BTreeMap::new();
    for event in history {
        let before = values.remove(&event.key).map(|(_, value)| value);
        assert_eq!(event.previous, before, "revision {}", event.revision);
        if let Some(value) = &event.value {
            values.insert(event.key.clone(), (event.revision, value.clone()));
        }
    }
    let page = store.list(ListRequest::default()).await.unwrap();
    assert_eq!(page.revision, history.len() as u64);
    let listed: BTreeMap<_, _> =
        page.records.into_iter().map(|record| (record.key, (record.revision, record.value))).collect();
    assert!(listed == values, "the values are what history leads to");

    // Every kept starting point of a watch is good, not only the newest.
    let oldest = history.len().saturating_sub(BOUND.events);
    for start in (oldest..history.len()).step_by(97) {
        let mut watch = store.watch(String::new(), start as u64).await.unwrap();
        for expected in &history[start..] {
            assert_eq!(watch.next().await.unwrap(), WatchItem::Event(expected.clone()));
        }
    }
}
