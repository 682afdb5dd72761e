//! Runs calls: each within its budgets, on the plugin runtime.

use crate::plugin::component::budget::Facet;
use crate::plugin::component::call_state::{CallState, Outside};
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::GuestCall;
use crate::plugin::component::instance::{Instance, counts_fuel};
use crate::plugin::component::ticker::Ticker;
use crate::plugin::offer::probe_gate::ProbeGate;
use crate::plugin::offer::script::SharedScript;
use crate::plugin::offer::witness::SharedWitness;
use crate::plugin::telemetry::Tally;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::Instrument as _;
use wasmtime::Engine;

/// Calls of all plugins at once; with the idle instances, below the engine's pool.
const CALLS: usize = 32;
/// Calls that may wait for one of these places, and how long each may. They hold a place of their plugin meanwhile.
const QUEUE: usize = 64;
const QUEUE_LIMIT: Duration = Duration::from_millis(250);
/// Calls of one plugin that may wait for another call of the same plugin to end, and how long each may: less than
/// whoever asks would wait. A gateway asks about a thousand objects at once, and that is no fault of the plugin.
const LINE: usize = 4096;
const LINE_LIMIT: Duration = Duration::from_secs(8);

/// Instances of all plugins that may be idle, so that those of running calls always find a place in the pool.
const IDLE: usize = 24;

/// What all calls share.
#[derive(Debug)]
pub(in crate::plugin) struct Runner {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub outside: Arc<Outside>,
    pub runtime: Handle,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
    idle: Arc<Semaphore>,
    counts_fuel: bool,
}

/// One call: who is asked what. [`Self::run`] is all that can be done with it, and that once.
pub(in crate::plugin) struct Call<'a, C> {
    /// Who is asked.
    pub generation: &'a Arc<Generation>,
    /// What the component meets outside.
    pub surroundings: Surroundings,
    /// What it is asked.
    pub asked: C,
}

impl<'a, C: GuestCall> Call<'a, C> {
    /// A call in the real world, of which nobody takes notes.
    pub(in crate::plugin) fn new(generation: &'a Arc<Generation>, asked: C) -> Self {
        Self { generation, surroundings: Surroundings::default(), asked }
    }

    /// Makes the call, in the caller's task if that is one of the plugin runtime, else in one of its own there. The
    /// instance belongs to it: unless the guest answers, it is gone when this ends, whether the guest failed or the
    /// caller went away.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(in crate::plugin) async fn run(self, runner: &Arc<Runner>) -> Result<C::Answer, CallFault> {
        let Self { generation, mut surroundings, asked } = self;
        let began = Instant::now();
        let places = runner.take_places(generation).await?;
        if surroundings.script.is_none() {
            let tally = generation.tally.load_full();
            tally.count_wait(C::FACET, began.elapsed());
            surroundings.tally = Some(tally);
        }
        let unfinished = Unfinished { tally: surroundings.tally.clone(), facet: C::FACET };
        let span = generation.span(C::FACET);
        let answer = if runner.is_here() {
            runner.make(generation, surroundings, asked, places).instrument(span.clone()).await
        } else {
            let (runner, generation) = (Arc::clone(runner), Arc::clone(generation));
            // It aborts what is still in it when the caller goes away.
            let mut task = JoinSet::new();
            let runtime = runner.runtime.clone();
            let call = async move { runner.make(&generation, surroundings, asked, places).await };
            task.spawn_on(call.instrument(span.clone()), &runtime);
            match task.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(error)) => Err(CallFault::Host(error.to_string())),
                None => Err(CallFault::Host("the call was never made".to_owned())),
            }
        };
        span.in_scope(|| {
            let result = answer.as_ref().map_or_else(|fault| fault.class().word(), |_| "answer");
            tracing::debug!(result, took = ?began.elapsed(), "a plugin call ended");
        });
        unfinished.end(answer)
    }
}

impl Runner {
    pub(in crate::plugin) fn new(
        engine: Engine,
        ticker: Arc<Ticker>,
        outside: Arc<Outside>,
        runtime: Handle,
    ) -> Self {
        let (places, idle) = (Arc::new(Semaphore::new(CALLS)), Arc::new(Semaphore::new(IDLE)));
        let (queued, counts_fuel) = (AtomicUsize::new(0), counts_fuel(&engine));
        Self { engine, ticker, outside, runtime, places, queued, idle, counts_fuel }
    }

    /// Whether this is a task of the plugin runtime. What merely waits for one on another thread is none.
    fn is_here(&self) -> bool {
        tokio::task::try_id().is_some()
            && Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id())
    }

    /// Asks an instance that waits for it, else a new one. Nothing of it is left when this is dropped.
    async fn make<C: GuestCall>(
        self: &Arc<Self>,
        generation: &Generation,
        surroundings: Surroundings,
        asked: C,
        _places: [OwnedSemaphorePermit; 2],
    ) -> Result<C::Answer, CallFault> {
        let _running = self.ticker.running();
        let budget = generation.budget(C::FACET);
        // What an instance learnt in a recorded world is no good in the real one.
        let is_real = surroundings.script.is_none() || generation.shelves.on_trial;
        let shelf = C::shelf(generation).filter(|_| is_real);
        let instance = match shelf.and_then(|shelf| shelf.take()) {
            Some(mut instance) => {
                instance.renew(surroundings, &budget);
                instance
            }
            None => {
                let (profile, outside) = (Arc::clone(&generation.profile), Arc::clone(&self.outside));
                let state = CallState::new(profile, outside, surroundings, &budget);
                Instance::fresh(&self.engine, state, self.counts_fuel)
            }
        };
        let (instance, answer) = instance.ask(generation, asked, &budget).await?;
        if let Some(shelf) = shelf {
            shelf.keep(instance, &self.idle);
        }
        Ok(answer)
    }

    /// A place of the plugin, then one of those for all plugins.
    async fn take_places(&self, generation: &Generation) -> Result<[OwnedSemaphorePermit; 2], CallFault> {
        let own = match Arc::clone(&generation.places).try_acquire_owned() {
            Ok(own) => own,
            Err(_) => self.wait_in_line(generation).await?,
        };
        if let Ok(shared) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok([own, shared]);
        }
        let queued = Waiting::enter(&self.queued);
        if queued.before >= QUEUE {
            return Err(self.busy());
        }
        let shared = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(QUEUE_LIMIT, shared).await {
            Ok(Ok(shared)) => Ok([own, shared]),
            Ok(Err(_)) | Err(_) => Err(self.busy()),
        }
    }

    async fn wait_in_line(&self, generation: &Generation) -> Result<OwnedSemaphorePermit, CallFault> {
        let waiting = Waiting::enter(&generation.waiting);
        if waiting.before >= LINE {
            return Err(self.busy());
        }
        let own = Arc::clone(&generation.places).acquire_owned();
        let Ok(Ok(own)) = tokio::time::timeout(LINE_LIMIT, own).await else { return Err(self.busy()) };
        // Those before may have found out that it is not to be asked.
        match generation.breaker.suspended_for(Instant::now()) {
            Some(pause) if !pause.is_zero() => Err(self.busy()),
            _ => Ok(own),
        }
    }

    fn busy(&self) -> CallFault {
        CallFault::Busy(CALLS.saturating_sub(self.places.available_permits()))
    }
}

/// What a call meets outside its component.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Surroundings {
    /// Leads probes to whoever asked; only for health checks.
    pub probes: Option<ProbeGate>,
    /// Answers instead of the world.
    pub script: Option<SharedScript>,
    /// Notes what the world answers.
    pub witness: Option<SharedWitness>,
    /// Counts what the call does; known when it begins.
    pub tally: Option<Arc<Tally>>,
}

/// Counts a call among the waiting ones.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call under way. Dropping it counts that its caller went away.
struct Unfinished {
    tally: Option<Arc<Tally>>,
    facet: Facet,
}

impl Unfinished {
    fn end<R>(mut self, answer: Result<R, CallFault>) -> Result<R, CallFault> {
        if let Some(tally) = self.tally.take().filter(|_| answer.is_ok()) {
            tally.count_answer(self.facet);
        }
        answer
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.count_abandoned(self.facet);
        }
    }
}
