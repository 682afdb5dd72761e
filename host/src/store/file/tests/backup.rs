//! A backup that can only be read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{filled, is_run_again, run_again, skip};
use crate::store::{FileStore, OpenError, records, verify};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Makes everything read-only, or writable again.
fn protect(data_dir: &Path, file: u32, directory: u32) {
    let store = data_dir.join("store");
    for name in ["store.redb", "lock", "README"] {
        if store.join(name).exists() {
            set_mode(&store.join(name), file);
        }
    }
    set_mode(&store, directory);
    set_mode(data_dir, directory);
}

fn check(with_lock: bool) {
    let home = filled(5);
    let data_dir = home.path();
    if !with_lock {
        fs::remove_file(data_dir.join("store/lock")).unwrap();
    }
    protect(data_dir, 0o400, 0o500);
    let (found, all) = (verify(data_dir), records(data_dir));
    let written = fs::File::create(data_dir.join("store/new"));
    protect(data_dir, 0o600, 0o700);
    assert_eq!(found.unwrap().records, 4);
    assert_eq!(all.unwrap().len(), 4);
    assert!(written.is_err(), "this user may write anything, so nothing was tested");
}

/// Runs a test as a user who is subject to file modes.
fn as_another_user(test: &str) {
    if is_run_again() || !rustix::process::geteuid().is_root() {
        return;
    }
    let program = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    if let Err(reason) = run_again(&program, test) {
        skip(&format!("a user without rights cannot be had: {reason}"));
    }
}

#[test]
fn a_read_only_backup_is_verified_and_read() {
    if rustix::process::geteuid().is_root() && !is_run_again() {
        return as_another_user("backup::a_read_only_backup_is_verified_and_read");
    }
    check(true);
    check(false);
}

#[test]
fn a_store_that_is_in_use_is_not_read_by_a_user_who_may_not_write() {
    if rustix::process::geteuid().is_root() && !is_run_again() {
        return as_another_user("backup::a_store_that_is_in_use_is_not_read_by_a_user_who_may_not_write");
    }
    let home = filled(5);
    let store = FileStore::open(home.path()).unwrap();
    protect(home.path(), 0o400, 0o500);
    let found = verify(home.path());
    protect(home.path(), 0o600, 0o700);
    assert!(matches!(found, Err(OpenError::InUse { .. })), "{found:?}");
    drop(store);
}
