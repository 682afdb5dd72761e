//! Runs calls: a fresh store for each, on the plugin runtime, within budgets.

use crate::plugin::component::budget::{Budget, Facet};
use crate::plugin::component::call_state::{CallState, Outside};
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::ticker::Ticker;
use crate::plugin::offer::log_gate::tame;
use crate::plugin::offer::probe_gate::ProbeGate;
use crate::plugin::offer::script::SharedScript;
use crate::plugin::offer::witness::SharedWitness;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use wasmtime::{Engine, Store, Trap, WasmBacktrace};

/// Calls of all plugins at once; below the engine's pool.
const CALLS: usize = 32;
/// Calls of one plugin that may wait for a place, and how long each may: less than whoever asks would wait.
const WAITING_MAX: usize = 4096;
const WAIT_LIMIT: Duration = Duration::from_secs(8);
/// Handles of one store. The interfaces know no resources, so this is for the guests' own.
const HANDLES: usize = 1024;
/// Frames of a backtrace that are shown.
const FRAMES: usize = 4;

/// What all calls share.
#[derive(Debug)]
pub(in crate::plugin) struct Runner {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub outside: Arc<Outside>,
    pub runtime: Handle,
    places: Arc<Semaphore>,
}

impl Runner {
    pub(in crate::plugin) fn new(
        engine: Engine,
        ticker: Arc<Ticker>,
        outside: Arc<Outside>,
        runtime: Handle,
    ) -> Self {
        Self { engine, ticker, outside, runtime, places: Arc::new(Semaphore::new(CALLS)) }
    }

    /// Makes one call in the real world; see [`Self::call_within`].
    pub(in crate::plugin) async fn call<R, W>(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        facet: Facet,
        probes: Option<ProbeGate>,
        work: W,
    ) -> Result<R, CallFault>
    where
        R: Send + 'static,
        W: for<'s> FnOnce(&'s Generation, &'s mut Store<CallState>) -> BoxFuture<'s, wasmtime::Result<R>>,
        W: Send + 'static,
    {
        self.call_within(generation, facet, Surroundings { probes, ..Surroundings::default() }, work).await
    }

    /// Makes one call. `work` gets a store of its own, which is gone afterwards whatever happened: an instance
    /// that trapped or was cancelled can never be entered again.
    pub(in crate::plugin) async fn call_within<R, W>(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        facet: Facet,
        surroundings: Surroundings,
        work: W,
    ) -> Result<R, CallFault>
    where
        R: Send + 'static,
        W: for<'s> FnOnce(&'s Generation, &'s mut Store<CallState>) -> BoxFuture<'s, wasmtime::Result<R>>,
        W: Send + 'static,
    {
        let places = self.take_places(generation).await?;
        let (runner, generation) = (Arc::clone(self), Arc::clone(generation));
        let task = self.runtime.spawn(async move {
            let _places = places;
            let _running = runner.ticker.running();
            let budget = generation.budget(facet);
            let mut store = runner.open_store(&generation, surroundings, &budget);
            let answer = tokio::time::timeout(budget.wall, work(&generation, &mut store)).await;
            note_costs(&mut store);
            match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(sort(&error, store.data(), &budget)),
                Err(_) => Err(CallFault::WallBudget(budget.wall)),
            }
        });
        AbortOnDrop(task).join().await
    }

    fn open_store(
        &self,
        generation: &Generation,
        surroundings: Surroundings,
        budget: &Budget,
    ) -> Store<CallState> {
        let (profile, outside) = (Arc::clone(&generation.profile), Arc::clone(&self.outside));
        let mut state = CallState::new(profile, outside, surroundings.probes, budget);
        (state.script, state.witness) = (surroundings.script, surroundings.witness);
        let mut store = Store::new(&self.engine, state);
        // Only an engine that counts takes fuel; none runs out of it.
        store.set_fuel(u64::MAX).ok();
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(budget.host_bytes);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().meter.on_tick()));
        store.set_epoch_deadline(1);
        store
    }

    async fn take_places(&self, generation: &Generation) -> Result<[OwnedSemaphorePermit; 2], CallFault> {
        let busy = CallFault::Busy(self.places.available_permits().abs_diff(CALLS));
        let waiting = Waiting::enter(generation);
        if waiting.before >= WAITING_MAX {
            return Err(busy);
        }
        let both = async {
            let own = Arc::clone(&generation.places).acquire_owned().await;
            let shared = Arc::clone(&self.places).acquire_owned().await;
            own.and_then(|own| shared.map(|shared| [own, shared]))
        };
        match tokio::time::timeout(WAIT_LIMIT, both).await {
            Ok(Ok(places)) => Ok(places),
            Ok(Err(_)) | Err(_) => Err(busy),
        }
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
}

fn note_costs(store: &mut Store<CallState>) {
    let fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
    let state = store.data();
    if let Some(script) = &state.script {
        let mut script = script.lock();
        (script.fuel, script.memory) = (fuel, state.meter.memory_used);
    }
}

/// Counts a call among the waiting ones.
struct Waiting<'a> {
    generation: &'a Generation,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(generation: &'a Generation) -> Self {
        Self { generation, before: generation.waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.generation.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop<R>(JoinHandle<Result<R, CallFault>>);

impl<R> AbortOnDrop<R> {
    async fn join(mut self) -> Result<R, CallFault> {
        match (&mut self.0).await {
            Ok(answer) => answer,
            Err(error) => Err(CallFault::Host(error.to_string())),
        }
    }
}

impl<R> Drop for AbortOnDrop<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn sort(error: &wasmtime::Error, state: &CallState, budget: &Budget) -> CallFault {
    if state.meter.memory_exceeded {
        return CallFault::Memory(budget.memory);
    }
    if state.meter.cpu_exceeded {
        return CallFault::CpuBudget(budget.cpu);
    }
    let cause = error.root_cause().to_string();
    // wasmtime has no type for this one.
    if cause.contains("too much data is being copied") {
        return CallFault::HostBytes(budget.host_bytes);
    }
    let mut text = error.downcast_ref::<Trap>().map_or(cause, ToString::to_string);
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(FRAMES);
        let names: Vec<&str> = frames.collect();
        if !names.is_empty() {
            text = format!("{text}, in {}", names.join(" < "));
        }
    }
    CallFault::Trap(tame(&text))
}
