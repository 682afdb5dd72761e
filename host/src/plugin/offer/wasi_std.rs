//! The `std` profile of WASI: streams, a closed standard input, output into the log, clocks and random numbers. No
//! files, no sockets, no arguments and no environment.

use crate::plugin::component::call_state::{CallState, Profile};
use crate::plugin::offer::script::SharedScript;
use crate::plugin::offer::standard_output::{Channel, Output};
use parking_lot::Mutex;
use std::sync::Arc;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async;
use wasmtime_wasi::p2::bindings::{cli, clocks, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Bytes of random numbers that a guest may ask for at once.
const RANDOM_MAX: u64 = 64 << 10;
/// Streams and the like that a guest may hold.
const RESOURCES_MAX: usize = 256;

/// What one call of a guest of this profile has. Never locked: whoever calls has the only way to it, and the lock
/// lets it be part of what threads share.
pub(in crate::plugin) struct Standard {
    parts: Mutex<Parts>,
    output: Arc<Output>,
}

struct Parts {
    context: WasiCtx,
    table: ResourceTable,
}

impl std::fmt::Debug for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standard").finish_non_exhaustive()
    }
}

impl Standard {
    fn open(profile: &Arc<Profile>, script: Option<&SharedScript>) -> Self {
        let output = Arc::new(Output::new(Arc::clone(profile), script.cloned()));
        let context = WasiCtx::builder()
            .stdout(Channel::out(Arc::clone(&output)))
            .stderr(Channel::error(Arc::clone(&output)))
            .max_random_size(RANDOM_MAX)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self { parts: Mutex::new(Parts { context, table }), output }
    }

    /// The last lines that the guest wrote to standard error.
    pub(in crate::plugin) fn error_text(&self) -> Option<String> {
        self.output.error_text()
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (profile, script) = (&self.profile, self.script.as_ref());
        let standard = self.standard.get_or_insert_with(|| Standard::open(profile, script));
        let Parts { context, table } = standard.parts.get_mut();
        WasiCtxView { ctx: context, table }
    }
}

impl CallState {
    fn real_clocks(&mut self) -> WasiClocksCtxView<'_> {
        self.scripted(|script| script.saw_reality = true);
        self.clocks()
    }

    fn real_random(&mut self) -> &mut WasiRandomCtx {
        self.scripted(|script| script.saw_reality = true);
        self.ctx().ctx.random()
    }
}

/// Offers the profile; which plugin may import it is checked before linking.
///
/// # Errors
/// When the bindings contradict themselves.
pub(in crate::plugin) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::WasiCliView;
    // Streams, clocks, random numbers and the three standard streams.
    add_to_linker_proxy_interfaces_async(linker)?;
    // These once more, with notice taken of their use.
    linker.allow_shadowing(true);
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, CallState::real_clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, CallState::real_clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, CallState::real_random)?;
    linker.allow_shadowing(false);
    random::insecure::add_to_linker::<_, WasiRandom>(linker, CallState::real_random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, CallState::real_random)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, CallState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, CallState::cli)
}
