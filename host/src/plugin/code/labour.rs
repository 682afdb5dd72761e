//! The child's side of a compilation: it takes every right from itself, compiles and ends.

use crate::plugin::code::compiler::{CompileLimits, compile_to_bytes};
use crate::plugin::code::seal::{KEY_SIZE, SealKey};
use crate::plugin::component::engine;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setpriority_process, setrlimit,
};
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// What the answer is sealed for.
pub(super) const LABEL: &str = "answer of the compiler";
/// Weakest claim to the processor.
const NICENESS: i32 = 19;
/// How failures are told to the parent; what went wrong is on standard error.
const EXIT_CODES: [(u8, Reason); 4] = [
    (3, Reason::InvalidWasm),
    (4, Reason::UnsupportedFeature),
    (5, Reason::CompileMemory),
    (6, Reason::CompileFailed),
];

pub(super) fn reason_of(exit_code: i32) -> Option<Reason> {
    EXIT_CODES.iter().find(|(code, _)| i32::from(*code) == exit_code).map(|(_, reason)| *reason)
}

/// Reads a key and a component from standard input and writes native code with its seal to standard output. For a
/// process of its own: it never gets its rights back.
pub fn compile_for_parent(limits: CompileLimits) -> ExitCode {
    let Err(fault) = work(limits) else { return ExitCode::SUCCESS };
    // The parent may have gone away.
    writeln!(io::stderr(), "{}", fault.message).ok();
    let code = EXIT_CODES.iter().find(|(_, reason)| *reason == fault.reason);
    ExitCode::from(code.map_or(1, |(code, _)| *code))
}

fn work(limits: CompileLimits) -> Result<(), LoadFault> {
    let failed = |what: &str, error: String| {
        LoadFault::new(Reason::CompileFailed, format!("the compiler {what}: {error}"))
    };
    restrict(limits).map_err(|error| failed("cannot limit itself", error.to_string()))?;
    let (mut key, mut component) = ([0; KEY_SIZE], Vec::new());
    let mut input = io::stdin().lock();
    let read = input.read_exact(&mut key).and_then(|()| input.read_to_end(&mut component));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::OutOfMemory => {
            let text = "the compiler has no memory left to read the component";
            LoadFault::new(Reason::CompileMemory, text)
        }
        _ => failed("cannot read the component", error.to_string()),
    })?;
    let engine = engine::build_compiler().map_err(|error| failed("has no engine", format!("{error:#}")))?;
    let code = compile_to_bytes(&engine, &component)?;
    let trailer = SealKey::new(&key).trailer(LABEL, &code);
    let mut output = io::stdout().lock();
    let written =
        output.write_all(&code).and_then(|()| output.write_all(&trailer)).and_then(|()| output.flush());
    written.map_err(|error| failed("cannot hand over the code", error.to_string()))
}

fn restrict(limits: CompileLimits) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setpriority_process(None, NICENESS)?;
    limit(Resource::Core, 0)?;
    limit(Resource::As, limits.memory)?;
    limit(Resource::Cpu, limits.cpu.as_secs())
}

/// A limit that is stricter already stays.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    // The hard limit kills; one second more for the soft one of computing, which says why.
    let hard = if resource == Resource::Cpu { most.saturating_add(1) } else { most };
    let hard = getrlimit(resource).maximum.map_or(hard, |maximum| maximum.min(hard));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })?)
}
