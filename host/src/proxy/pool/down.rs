//! Endpoints that could not be reached of late.

use crate::route::{Backend, BackendId};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// Seconds until an endpoint is dialled again after its first failure; doubled with each further one.
const FIRST_PAUSE: u64 = 1;
/// Seconds between dials of an endpoint that stays away.
const LONGEST_PAUSE: u64 = 16;

/// Marks on endpoints that requests go to only when there is no other. Normally empty.
#[derive(Debug, Default)]
pub struct DownMarks(RefCell<Vec<DownMark>>);

#[derive(Debug)]
struct DownMark {
    backend: Arc<Backend>,
    endpoint: usize,
    down_until: u64,
    pause: u64,
}

impl DownMark {
    fn is_on(&self, backend: BackendId, endpoint: usize) -> bool {
        self.backend.id == backend && self.endpoint == endpoint
    }
}

impl DownMarks {
    /// Whether every endpoint is thought to be well.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether this endpoint is marked.
    pub fn has(&self, backend: BackendId, endpoint: usize) -> bool {
        self.0.borrow().iter().any(|mark| mark.is_on(backend, endpoint))
    }

    /// Marks an endpoint at `now`. A backend's only endpoint needs no mark: there is nowhere else to go.
    pub fn set(&self, backend: &Arc<Backend>, endpoint: usize, now: u64) {
        if backend.endpoints.len() > 1 && !self.has(backend.id, endpoint) {
            let (backend, down_until) = (Arc::clone(backend), now + FIRST_PAUSE);
            self.0.borrow_mut().push(DownMark { backend, endpoint, down_until, pause: FIRST_PAUSE });
        }
    }

    /// The endpoint was reached.
    pub fn clear(&self, backend: BackendId, endpoint: usize) {
        self.0.borrow_mut().retain(|mark| !mark.is_on(backend, endpoint));
    }

    /// Forgets backends that nobody routes to any more.
    pub fn keep_only(&self, used: &HashSet<BackendId>) {
        self.0.borrow_mut().retain(|mark| used.contains(&mark.backend.id));
    }

    /// The endpoints that are to be dialled again at `now`. They stay marked, for longer each time.
    pub fn take_due(&self, now: u64) -> Vec<(Arc<Backend>, usize)> {
        let mut marks = self.0.borrow_mut();
        let due = marks.iter_mut().filter(|mark| mark.down_until <= now);
        due.map(|mark| {
            mark.pause = (mark.pause * 2).min(LONGEST_PAUSE);
            mark.down_until = now + mark.pause;
            (Arc::clone(&mark.backend), mark.endpoint)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pool, backend_for_tests};
    use super::*;
    use crate::route::Signals;

    #[test]
    fn a_marked_endpoint_is_the_last_choice_and_never_excluded() {
        let (backend, pool) = (backend_for_tests(&[100, 1, 0]), Pool::new(Signals::channel(1).0));
        pool.note_away(&backend, 0);
        for _ in 0..50 {
            assert_eq!(pool.choose(&backend, &[]), Some(1));
        }
        assert_eq!(pool.choose(&backend, &[1]), Some(2), "better one without weight than one that is away");
        assert_eq!(pool.choose(&backend, &[1, 2]), Some(0));
        assert_eq!(pool.choose(&backend, &[0, 1, 2]), None);
        pool.note_away(&backend, 1);
        pool.note_away(&backend, 2);
        assert_eq!(pool.choose(&backend, &[1]), Some(0), "all are away: as if none were");
        pool.note_reached(&backend, 1);
        assert_eq!(pool.choose(&backend, &[]), Some(1));
    }

    #[test]
    fn the_only_endpoint_is_never_marked() {
        let (backend, pool) = (backend_for_tests(&[1]), Pool::new(Signals::channel(1).0));
        pool.note_away(&backend, 0);
        assert!(pool.down.is_empty());
        assert_eq!(pool.choose(&backend, &[]), Some(0));
    }

    #[test]
    fn a_marked_endpoint_is_dialled_again_ever_more_seldom() {
        let (backend, marks) = (backend_for_tests(&[1, 1]), DownMarks::default());
        marks.set(&backend, 1, 10);
        let due: Vec<u64> = (10..60).filter(|now| !marks.take_due(*now).is_empty()).collect();
        assert_eq!(due, [11, 13, 17, 25, 41, 57]);
        assert!(marks.has(backend.id, 1));
        marks.keep_only(&HashSet::new());
        assert!(marks.is_empty());
    }
}
