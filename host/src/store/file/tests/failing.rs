//! A disk that is full from a chosen operation on, counts its syncs, and can be made to hang.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend};

use crate::store::file::engine::Medium;

#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: AtomicBool,
    until_full: AtomicI64,
    syncs: AtomicU64,
    held: Mutex<bool>,
    released: Condvar,
}

impl Faults {
    /// Lets `operations` more changing operations pass; all later ones find the disk full.
    pub(super) fn fill_after(&self, operations: i64) {
        self.until_full.store(operations, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(super) fn make_room(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    /// Whether an operation has found the disk full since it was last filled.
    pub(super) fn was_hit(&self) -> bool {
        self.until_full.load(Ordering::SeqCst) < 0
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    /// Makes the next sync wait until `release`.
    pub(super) fn hold(&self) {
        *self.held.lock() = true;
    }

    pub(super) fn release(&self) {
        *self.held.lock() = false;
        self.released.notify_all();
    }

    fn change(&self) -> io::Result<()> {
        if self.armed.load(Ordering::SeqCst) && self.until_full.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct FailingDisk(pub(super) Arc<Faults>);

impl Medium for FailingDisk {
    fn open(&self, builder: &Builder, file: File) -> Result<Database, DatabaseError> {
        builder.create_with_backend(Backend { file: FileBackend::new(file)?, faults: Arc::clone(&self.0) })
    }
}

#[derive(Debug)]
struct Backend {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.change()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        let mut held = self.faults.held.lock();
        while *held {
            self.faults.released.wait(&mut held);
        }
        drop(held);
        self.faults.change()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.change()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
