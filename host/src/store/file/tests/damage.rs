//! Files that are not what was last written: refused by name, left as they are, and never read as empty.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{bytes, filled, is_run_again, run_again, runtime, skip};
use crate::store::{FileStore, OpenError, Store as _, verify};

const PAGE: usize = 4096;

type Harm = fn(&mut Vec<u8>);

const HARMS: [(&str, Harm, &str); 12] = [
    ("empty", |bytes| bytes.clear(), "it is empty"),
    ("one byte", |bytes| bytes.truncate(1), "is damaged"),
    ("only the header", |bytes| bytes.truncate(512), "is damaged"),
    ("half", |bytes| bytes.truncate(bytes.len() / 2), "is damaged"),
    ("the last page is missing", |bytes| bytes.truncate(bytes.len() - PAGE), "is damaged"),
    ("a garbage header", |bytes| bytes[..64].fill(0xA5), "is damaged"),
    ("a zeroed header", |bytes| bytes[..PAGE].fill(0), "is damaged"),
    (
        "both commit slots flipped",
        |bytes| bytes[64..320].iter_mut().for_each(|byte| *byte ^= 1),
        "is damaged",
    ),
    ("everything zeroed", |bytes| bytes.fill(0), "is damaged"),
    ("all data zeroed", |bytes| bytes[PAGE..].fill(0), "is damaged"),
    ("text", |bytes| *bytes = b"apiVersion: v1\nkind: List\n".to_vec(), "is damaged"),
    ("another redb file", |bytes| *bytes = foreign_file(), "is damaged"),
];

fn foreign_file() -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let db = redb::Database::create(file.path()).unwrap();
    let transaction = db.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("other")).unwrap();
    transaction.commit().unwrap();
    drop(db);
    fs::read(file.path()).unwrap()
}

/// Opens twice and verifies; all must refuse, and the file must stay as it is.
fn refused(data_dir: &Path, file: &Path) -> String {
    let before = fs::read(file).unwrap();
    let text = FileStore::open(data_dir).expect_err("a damaged store must not open").to_string();
    assert!(fs::read(file).unwrap() == before, "the damaged file has been changed: {text}");
    let again = FileStore::open(data_dir).expect_err("a damaged store must not open later").to_string();
    assert_eq!(again, text);
    assert_eq!(verify(data_dir).expect_err("verify must see it").to_string(), text);
    assert!(text.starts_with(&file.display().to_string()), "{text}");
    text
}

#[test]
fn a_damaged_file_is_refused_by_name_and_left_alone() {
    let directory = filled(400);
    let file = directory.path().join("store/store.redb");
    let whole = fs::read(&file).unwrap();
    for (name, harm, expected) in HARMS {
        let mut bytes = whole.clone();
        harm(&mut bytes);
        fs::write(&file, &bytes).unwrap();
        let text = refused(directory.path(), &file);
        assert!(text.contains(expected), "{name}: {text}");
        for advice in ["umbel store verify", "umbel store import", "move the directory"] {
            assert!(text.contains(advice), "{name}: {text}");
        }
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(verify(directory.path()).unwrap().records, 360);
}

#[test]
fn no_damaged_page_goes_unnoticed() {
    let directory = filled(200);
    let file = directory.path().join("store/store.redb");
    let whole = fs::read(&file).unwrap();
    let found = verify(directory.path()).unwrap();
    let mut noticed = 0;
    for page in 0..whole.len() / PAGE {
        let mut bytes = whole.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        if bytes == whole {
            continue;
        }
        fs::write(&file, &bytes).unwrap();
        // A page that nothing refers to any more may be harmed without harm.
        match verify(directory.path()) {
            Ok(unharmed) => assert_eq!(unharmed, found, "page {page}"),
            Err(OpenError::Damaged { .. }) => noticed += 1,
            Err(other) => panic!("page {page}: {other}"),
        }
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let directory = filled(100);
    let file = directory.path().join("store/store.redb");
    let whole = fs::read(&file).unwrap();
    let found = verify(directory.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..400 {
        let mut bytes = whole.clone();
        // Every other flip hits the header, where most of the meaning is.
        let reach = if round % 2 == 0 { 320 } else { bytes.len() };
        let place = random.usize(..reach);
        bytes[place] ^= 1 << random.u8(..8);
        fs::write(&file, &bytes).unwrap();
        match verify(directory.path()) {
            Ok(unharmed) => assert_eq!(unharmed, found, "byte {place}"),
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
}

#[test]
fn damage_after_a_crash_is_not_taken_for_an_unfinished_commit() {
    let directory = filled(200);
    let file = directory.path().join("store/store.redb");
    // As a crash leaves it: copied while the store is open, after its last acknowledgement.
    let store = FileStore::open(directory.path()).unwrap();
    runtime().block_on(store.create("last".into(), bytes("acknowledged"))).unwrap();
    let crashed = fs::read(&file).unwrap();
    drop(store);
    let clean = verify(directory.path()).unwrap();
    let mut noticed = 0;
    for page in 1..crashed.len() / PAGE {
        let mut bytes = crashed.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(&file, &bytes).unwrap();
        match verify(directory.path()) {
            Ok(found) => assert_eq!(found.revision, clean.revision, "page {page}"),
            Err(OpenError::Damaged { .. }) => noticed += 1,
            Err(other) => panic!("page {page}: {other}"),
        }
    }
    assert!(noticed > 10, "{noticed}");
    fs::write(&file, &crashed).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    assert_eq!(store.revision(), clean.revision);
}

#[test]
fn a_lost_file_is_not_a_first_start() {
    let directory = filled(3);
    let file = directory.path().join("store/store.redb");
    fs::remove_file(&file).unwrap();
    for _ in 0..2 {
        let refused = FileStore::open(directory.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
        assert!(refused.to_string().contains("store.redb is missing"), "{refused}");
        assert!(!file.exists());
    }
    assert!(matches!(verify(directory.path()), Err(OpenError::Missing { .. })));
    // Doing what the message says helps.
    fs::rename(directory.path().join("store"), directory.path().join("away")).unwrap();
    FileStore::open(directory.path()).unwrap();
}

#[test]
fn a_first_start_that_was_cut_off_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("store")).unwrap();
    fs::write(directory.path().join("store/store.redb.new"), "half a file").unwrap();
    drop(FileStore::open(directory.path()).unwrap());
    assert!(!directory.path().join("store/store.redb.new").exists());
}

#[test]
fn what_is_no_file_or_no_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("store/store.redb")).unwrap();
    let text = FileStore::open(directory.path()).unwrap_err().to_string();
    assert!(text.contains("store.redb is damaged: it is a directory"), "{text}");

    let plain = directory.path().join("plain");
    fs::write(&plain, "x").unwrap();
    let text = FileStore::open(&plain).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot create {}/store: ", plain.display())), "{text}");
}

#[test]
fn a_file_that_may_not_be_read_is_refused_with_advice() {
    let directory = filled(3);
    if fs::metadata(directory.path()).unwrap().uid() == 0 && !is_run_again() {
        // Root may read every file, but not without its capabilities.
        let program = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
        let test = "damage::a_file_that_may_not_be_read_is_refused_with_advice";
        if let Err(why) = run_again(&program, test) {
            skip(&format!("root may read every file: {why}"));
        }
        return;
    }
    let file = directory.path().join("store/store.redb");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let text = FileStore::open(directory.path()).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot open {}: ", file.display())), "{text}");
    assert!(text.contains("must belong to the user"), "{text}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    FileStore::open(directory.path()).unwrap();
}
