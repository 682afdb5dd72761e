//! An instance in its store, and the rule that nobody enters one that has failed.

use crate::plugin::component::budget::{Budget, Facet};
use crate::plugin::component::call_state::CallState;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::guest_call::GuestCall;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::component::trap_text::trap_text;
use crate::plugin::telemetry::Spent;
use std::sync::Arc;
use wasmtime::{Engine, Store};

/// Handles of one store. The interfaces know no resources, so this is for the guests' own.
const HANDLES: usize = 1024;

/// A store, and the instance in it once it has answered.
///
/// [`Self::ask`] takes it by value and gives it back with an answer only. A trap, an exhausted budget or a caller
/// who goes away drop it with the future that owns it, so what has failed cannot be entered again.
pub(in crate::plugin) struct Instance<P> {
    store: Store<CallState>,
    part: Option<P>,
    calls: u32,
    counts_fuel: bool,
}

impl<P: Send + 'static> Instance<P> {
    /// An empty store with everything that a call may use up. `counts_fuel` is what [`counts_fuel`] says of the engine.
    pub(in crate::plugin) fn fresh(engine: &Engine, state: CallState, counts_fuel: bool) -> Self {
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().meter.on_tick()));
        Self { store, part: None, calls: 0, counts_fuel }
    }

    /// Forgets what belonged to the call before.
    pub(in crate::plugin) fn renew(&mut self, surroundings: Surroundings, budget: &Budget) {
        self.store.data_mut().renew(surroundings, budget);
    }

    /// How many calls it has answered.
    pub(in crate::plugin) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether it has more than three quarters of the memory that it may have.
    pub(in crate::plugin) fn is_nearly_full(&self) -> bool {
        self.store.data().meter.is_nearly_full()
    }

    /// Makes one call within its budgets, in the instance that is there or in a new one.
    ///
    /// # Errors
    /// Which budget the guest exceeded, or how it trapped.
    pub(in crate::plugin) async fn ask<C: GuestCall<Part = P>>(
        mut self,
        generation: &Generation,
        call: C,
        budget: &Budget,
    ) -> Result<(Self, C::Answer), CallFault> {
        let (store, present) = (&mut self.store, self.part.take());
        arm(store, budget, self.counts_fuel);
        let clock = Arc::clone(&store.data().meter.clock);
        let attempt = async {
            let part = match present {
                Some(part) => part,
                None => C::enter(generation, &mut *store).await?,
            };
            let answer = call.put(&part, &mut *store).await?;
            wasmtime::Result::Ok((part, answer))
        };
        let ended = tokio::time::timeout(budget.wall, clock.count(attempt)).await;
        note_costs(store, C::FACET, self.counts_fuel);
        match ended {
            Ok(Ok((part, answer))) => {
                (self.part, self.calls) = (Some(part), self.calls + 1);
                Ok((self, answer))
            }
            Ok(Err(error)) => Err(sort(&error, self.store.data(), budget)),
            Err(_) => Err(CallFault::WallBudget(budget.wall)),
        }
    }
}

impl<P> std::fmt::Debug for Instance<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// Whether the engine counts what guests compute. To be asked once: its refusal is an error with a backtrace.
pub(in crate::plugin) fn counts_fuel(engine: &Engine) -> bool {
    Store::new(engine, ()).get_fuel().is_ok()
}

/// Gives the guest its whole budget.
fn arm(store: &mut Store<CallState>, budget: &Budget, counts_fuel: bool) {
    // None runs out of it.
    if counts_fuel {
        store.set_fuel(u64::MAX).ok();
    }
    store.set_hostcall_fuel(budget.host_bytes);
    store.set_epoch_deadline(1);
}

fn note_costs(store: &mut Store<CallState>, facet: Facet, counts_fuel: bool) {
    let left = if counts_fuel { store.get_fuel().ok() } else { None };
    let fuel = left.map(|left| u64::MAX - left);
    let state = store.data();
    if let Some(script) = &state.script {
        let mut script = script.lock();
        (script.fuel, script.memory) = (fuel, state.meter.memory_used());
    }
    if let Some(tally) = &state.tally {
        let (took, cpu) = (state.started.elapsed(), state.meter.clock.used());
        tally.count_spent(facet, &Spent { took, cpu, memory: state.meter.memory_used() });
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
    CallFault::Trap(trap_text(error, state.error_text().as_deref()))
}
