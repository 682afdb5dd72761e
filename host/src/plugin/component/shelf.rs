//! Where warm instances wait for their next call, if the manifest asks for that.

use crate::plugin::component::instance::Instance;
use crate::plugin::source::manifest::Reuse;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The warm instances of one decision of one generation. They go with the generation.
pub(in crate::plugin) struct Shelf<P> {
    rule: Reuse,
    idle: Mutex<Idle<P>>,
}

struct Idle<P> {
    /// The one that was used last is at the end, so that few stay warm.
    instances: Vec<Kept<P>>,
    /// Whether somebody looks after those that stay too long.
    is_swept: bool,
}

struct Kept<P> {
    instance: Instance<P>,
    since: Instant,
    _place: OwnedSemaphorePermit,
}

impl<P: Send + 'static> Shelf<P> {
    pub(in crate::plugin) fn new(rule: Reuse) -> Arc<Self> {
        let idle = Idle { instances: Vec::new(), is_swept: false };
        Arc::new(Self { rule, idle: Mutex::new(idle) })
    }

    /// An instance that answered before.
    pub(in crate::plugin) fn take(&self) -> Option<Instance<P>> {
        let kept = self.idle.lock().instances.pop()?;
        (kept.since.elapsed() < self.rule.max_idle).then_some(kept.instance)
    }

    /// Keeps an instance that has just answered, unless it is worn out, asked often enough or near its memory limit,
    /// or `room`, which all plugins share, has no place for it. Must run on the plugin runtime, which drops it when
    /// nobody has asked it for long.
    pub(in crate::plugin) fn keep(self: &Arc<Self>, instance: Instance<P>, room: &Arc<Semaphore>) {
        if instance.calls() >= self.rule.max_calls || instance.is_nearly_full() {
            return;
        }
        let Ok(place) = Arc::clone(room).try_acquire_owned() else { return };
        let mut idle = self.idle.lock();
        idle.instances.push(Kept { instance, since: Instant::now(), _place: place });
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.rule.max_idle));
        }
    }

    /// Drops what has been idle for too long. Says how long to wait for the next; `None` when there is none.
    fn drop_idle(&self) -> Option<Duration> {
        let mut idle = self.idle.lock();
        let is_fresh = |kept: &Kept<P>| kept.since.elapsed() < self.rule.max_idle;
        let count = idle.instances.len();
        let fresh = idle.instances.iter().position(is_fresh).unwrap_or(count);
        let old: Vec<_> = idle.instances.drain(..fresh).collect();
        let next = idle.instances.first().map(|kept| self.rule.max_idle.saturating_sub(kept.since.elapsed()));
        idle.is_swept = next.is_some();
        drop(idle);
        drop(old);
        next
    }
}

async fn sweep<P: Send + 'static>(shelf: Weak<Shelf<P>>, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        let Some(next) = shelf.upgrade().and_then(|shelf| shelf.drop_idle()) else { return };
        wait = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::budget::Facet;
    use crate::plugin::component::call_state::{CallState, Outside, Profile};
    use crate::plugin::component::engine;
    use crate::plugin::component::runner::Surroundings;
    use crate::plugin::source::manifest::{Limits, Manifest};
    use wasmtime::ResourceLimiter as _;

    /// An instance of which so many bytes of memory are in use.
    fn instance(engine: &wasmtime::Engine, memory: usize) -> Instance<()> {
        let profile = Arc::new(Profile::new("p", 1, Manifest::absent()));
        let budget = Facet::Resolver.budget(&Limits { memory: Some(1 << 20), ..Limits::default() });
        let outside = Arc::new(Outside::new(&[], Vec::new()));
        let mut state = CallState::new(profile, outside, Surroundings::default(), &budget);
        assert!(state.meter.memory_growing(0, memory, None).unwrap());
        Instance::fresh(engine, state, false)
    }

    #[tokio::test]
    async fn what_is_worn_out_is_not_kept_and_what_was_idle_for_long_is_not_given() {
        let engine = engine::build().unwrap();
        let room = Arc::new(Semaphore::new(3));
        let kept = |rule: Reuse, memory: usize| {
            let shelf = Shelf::new(rule);
            shelf.keep(instance(&engine, memory), &room);
            shelf
        };
        assert!(kept(Reuse::default(), 0).take().is_some());
        assert!(kept(Reuse::default(), 1 << 19).take().is_some());
        assert!(kept(Reuse::default(), (1 << 20) - 1).take().is_none(), "it is nearly full");
        assert!(kept(Reuse { max_calls: 0, ..Reuse::default() }, 0).take().is_none(), "asked often enough");
        let short = kept(Reuse { max_idle: Duration::from_millis(1), ..Reuse::default() }, 0);
        // The sweeping task does not run meanwhile, because it needs this thread.
        std::thread::sleep(Duration::from_millis(5));
        assert!(short.take().is_none(), "it was idle for too long");
    }

    #[tokio::test]
    async fn idle_instances_share_their_places_and_go_by_themselves() {
        let engine = engine::build().unwrap();
        let outside = Arc::new(Outside::new(&[], Vec::new()));
        let instance = || {
            let profile = Arc::new(Profile::new("p", 1, Manifest::absent()));
            let budget = Facet::Resolver.budget(&Limits::default());
            let surroundings = Surroundings::default();
            let state = CallState::new(profile, Arc::clone(&outside), surroundings, &budget);
            Instance::<()>::fresh(&engine, state, false)
        };
        let room = Arc::new(Semaphore::new(3));
        let rule = Reuse { max_idle: Duration::from_millis(50), ..Reuse::default() };
        let (one, other) = (Shelf::new(rule), Shelf::new(rule));
        for shelf in [&one, &one, &other, &other, &other] {
            shelf.keep(instance(), &room);
        }
        let kept = |shelf: &Shelf<()>| shelf.idle.lock().instances.len();
        assert_eq!((kept(&one), kept(&other), room.available_permits()), (2, 1, 0));
        // Nobody asks for them.
        let all = tokio::time::timeout(Duration::from_secs(100), room.acquire_many(3)).await;
        assert!(all.is_ok(), "{} and {} are still there", kept(&one), kept(&other));
    }
}
