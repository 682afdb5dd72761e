//! Components: the engine, how they are loaded, judged and called within budgets.

pub(super) mod bindings;
pub(super) mod budget;
pub(super) mod call_state;
pub(super) mod cpu_clock;
pub(super) mod engine;
pub(super) mod fault;
pub(super) mod generation;
pub(super) mod guest_call;
pub(super) mod instance;
pub(super) mod interfaces;
pub(super) mod load;
pub(super) mod runner;
pub(super) mod shelf;
pub(super) mod ticker;
pub(super) mod trap_text;
