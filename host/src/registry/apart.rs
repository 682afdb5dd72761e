//! Work that takes long, kept from holding up other tasks.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From this size on, in bytes, an object is worked on apart.
const LARGE: usize = 64 * 1024;

/// Does work on an object of `size` bytes. Large ones do not hold up the other tasks of a runtime with several
/// threads: another thread takes those over meanwhile.
pub fn work_apart<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let has_threads =
        Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if size >= LARGE && has_threads { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn large_work_leaves_the_only_thread_to_other_tasks() {
        let working = tokio::spawn(async {
            let (sender, receiver) = mpsc::channel();
            tokio::spawn(async move { sender.send(()) });
            work_apart(LARGE, || receiver.recv_timeout(Duration::from_secs(20)))
        });
        assert_eq!(working.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_runtime_with_one_thread_works_in_place() {
        assert_eq!(work_apart(LARGE, || 1), 1);
    }
}
