//! Threads that may be kept waiting.

use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

/// Of 0 to 99, where 99 is a niceness of -20 and 0 one of 19.
const PRIORITY: u8 = 25;

/// Loading and compiling must not take time from requests, so a thread steps back to a niceness of 10. At 19
/// a busy machine would keep a new plugin waiting for minutes. Not being allowed to is no reason to stop.
pub(in crate::plugin) fn step_back() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let Ok(priority) = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform) else {
        return;
    };
    if let Err(cause) = set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        tracing::debug!(?cause, "a thread that loads plugins keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_steps_back() {
        let stat = std::thread::spawn(|| {
            super::step_back();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        })
        .join()
        .unwrap();
        // The name may hold spaces, so fields are counted from its end; nice is the 19th of all.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let niceness: i32 = fields[16].parse().unwrap();
        assert!((8..=12).contains(&niceness), "{niceness}");
    }
}
