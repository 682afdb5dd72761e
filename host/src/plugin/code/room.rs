//! What is thrown away so that kept code does not grow without end.

use crate::plugin::code::cache::{Cache, PARTIAL, SUFFIX};
use rustix::fs::{AtFlags, Dir, statat};
use std::time::{Duration, SystemTime};

/// Bytes of code that are kept.
const SIZE_MAX: u64 = 512 << 20;
/// How long code of another version is kept: somebody may go back to it.
const OTHERS: Duration = Duration::from_hours(7 * 24);
/// How old what was never finished must be: it may be in the works.
const UNFINISHED: Duration = Duration::from_hours(1);

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    name: String,
    size: u64,
    /// Seconds since 1970.
    used: i64,
}

impl Cache {
    /// Throws away what other versions have left long ago.
    pub(in crate::plugin) fn sweep(&self, now: SystemTime) {
        for name in outdated(&self.list(), &self.maker.mark(), now) {
            self.remove(&name);
        }
    }

    /// Throws away what was used longest ago until the rest fits; `newest` stays.
    pub(super) fn make_room(&self, newest: &str) {
        for name in surplus(self.list(), newest, SIZE_MAX) {
            self.remove(&name);
        }
    }

    fn list(&self) -> Vec<Kept> {
        let Ok(entries) = Dir::read_from(&self.directory) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        let files = names.filter_map(|name| {
            let found = statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some(Kept { name, size: u64::try_from(found.st_size).ok()?, used: found.st_mtime })
        });
        files.collect()
    }
}

fn outdated(all: &[Kept], mark: &str, now: SystemTime) -> Vec<String> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let is_outdated = |kept: &&Kept| {
        let used = Duration::from_secs(u64::try_from(kept.used).unwrap_or_default());
        let age = now.saturating_sub(used);
        if kept.name.ends_with(SUFFIX) {
            age > OTHERS && !kept.name.starts_with(mark)
        } else {
            age > UNFINISHED && kept.name.starts_with(PARTIAL) && kept.name.contains(SUFFIX)
        }
    };
    all.iter().filter(is_outdated).map(|kept| kept.name.clone()).collect()
}

fn surplus(mut all: Vec<Kept>, newest: &str, limit: u64) -> Vec<String> {
    all.retain(|kept| kept.name.ends_with(SUFFIX));
    all.sort_by_key(|kept| (kept.name == newest, kept.used));
    let mut total: u64 = all.iter().map(|kept| kept.size).sum();
    let mut gone = Vec::new();
    for kept in all {
        if total <= limit || kept.name == newest {
            break;
        }
        total -= kept.size;
        gone.push(kept.name);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn kept(name: &str, size: u64, used: i64) -> Kept {
        Kept { name: name.to_owned(), size, used }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let all =
            || vec![kept("a.code", 4, 3), kept("b.code", 4, 1), kept("c.code", 4, 2), kept("key", 99, 0)];
        assert_eq!(surplus(all(), "a.code", 12), [""; 0]);
        assert_eq!(surplus(all(), "a.code", 8), ["b.code"]);
        assert_eq!(surplus(all(), "b.code", 4), ["c.code", "a.code"], "the newest stays");
        assert_eq!(surplus(all(), "b.code", 1), ["c.code", "a.code"], "even when it is too large");
    }

    #[test]
    fn other_versions_are_kept_for_a_week() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 100);
        let all = [
            kept("me-1.code", 1, 0),
            kept("old-1.code", 1, 92 * DAY),
            kept("old-2.code", 1, 94 * DAY),
            kept(".me-2.code.0", 1, 99 * DAY),
            kept(".me-3.code.0", 1, 100 * DAY - 60),
            kept("key", 1, 0),
        ];
        assert_eq!(outdated(&all, "me", now), ["old-1.code", ".me-2.code.0"]);
    }
}
