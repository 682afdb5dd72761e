//! Compiling proper: the same steps and the same reasons in a child and in this process.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::offer::log_gate::tame;
use crate::plugin::status::Reason;
use std::path::PathBuf;
use std::time::Duration;
use wasmparser::{Validator, WasmFeatures};
use wasmtime::component::Component;
use wasmtime::{Engine, Error};

/// Who compiles components.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process: for tools, which compile what their user gives them and then end.
    #[default]
    InProcess,
    /// A child process with limits. Where none can be started this process does it, for small components only.
    Child(CompileChild),
}

/// How the child is started: bytes go in on standard input, native code comes out on standard output.
#[derive(Clone, Debug)]
pub struct CompileChild {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments; the limits follow.
    pub arguments: Vec<String>,
    /// What it may use.
    pub limits: CompileLimits,
}

impl CompileChild {
    /// This program again, as long as its file is open: an update that replaces the file changes nothing.
    pub fn of_this_program() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec!["plugin-compile".to_owned()],
            limits: CompileLimits::default(),
        }
    }
}

/// What compiling one component may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of address space.
    pub memory: u64,
    /// Computing time, of all its threads together; whole seconds.
    pub cpu: Duration,
    /// Time until it is ended, whatever it does. Long, for at the lowest priority it has to wait for everybody.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory: 1 << 30, cpu: Duration::from_secs(60), wall: Duration::from_secs(300) }
    }
}

/// Compiles to bytes.
///
/// # Errors
/// `InvalidWasm`, `UnsupportedFeature` or `CompileMemory`.
pub(in crate::plugin) fn compile_to_bytes(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, LoadFault> {
    engine.precompile_component(component).map_err(|error| explain(&error, component))
}

/// Compiles on the calling thread, which should be one that nobody waits for: it computes for a while.
///
/// # Errors
/// As [`compile_to_bytes`].
pub(in crate::plugin) fn compile(engine: &Engine, component: &[u8]) -> Result<Component, LoadFault> {
    Component::from_binary(engine, component).map_err(|error| explain(&error, component))
}

fn explain(error: &Error, component: &[u8]) -> LoadFault {
    let text = tame(&format!("{error:#}"));
    if error.downcast_ref::<wasmtime::OutOfMemory>().is_some() {
        return LoadFault::new(Reason::CompileMemory, format!("compiling it takes too much memory: {text}"));
    }
    // What is right with every feature that exists is refused because one of them is off.
    match Validator::new_with_features(WasmFeatures::all()).validate_all(component) {
        Ok(_) => LoadFault::new(
            Reason::UnsupportedFeature,
            format!("the component uses a feature that gateways leave off, or exceeds a limit: {text}"),
        ),
        Err(_) => LoadFault::new(Reason::InvalidWasm, format!("the component is damaged: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::code::sample::{answering, with_shared_memory};
    use crate::plugin::component::engine;

    #[test]
    fn damage_and_features_that_are_off_are_told_apart() {
        let engine = engine::build_compiler().unwrap();
        let whole = answering(7);
        compile_to_bytes(&engine, &whole).unwrap();
        let cut = compile_to_bytes(&engine, &whole[..whole.len() - 3]).unwrap_err();
        assert_eq!(cut.reason, Reason::InvalidWasm, "{cut}");
        let threads = compile_to_bytes(&engine, &with_shared_memory()).unwrap_err();
        assert_eq!(threads.reason, Reason::UnsupportedFeature, "{threads}");
        assert!(threads.message.contains("threads"), "{threads}");
    }
}
