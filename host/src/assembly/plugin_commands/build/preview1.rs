//! What answers when a Go program asks for a system.
//!
//! Go knows WebAssembly with WASI preview 1 only. This makes the other half: a module that answers every function of
//! preview 1 that the program imports, without any import of its own, so that the component asks for no WASI. It
//! stands inside the component's instance, because Go reads the clock while it collects garbage, and that may happen
//! while the host allocates, when no call may leave the instance.
//!
//! There are no arguments, no environment, no files and no entropy. Time is simulated: it advances by a microsecond
//! with each reading, and jumps to the end of every sleep. Standard output and standard error go to the gateway's
//! log, line by line.
//!
//! Go writes one line in many pieces, so a line is buffered until its end. The adapter has no memory of its own, and
//! must not grow the program's memory, which Go assumes to be under its sole control. The linker of Go leaves the
//! addresses from 4096 to 12288 free (`wasmMinDataAddr` in cmd/link: arguments go there when the host is JavaScript),
//! so lines are buffered there: [`Surface`](super::world::Surface) makes sure that the program's data begin after it.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, InstructionSink, MemArg, MemoryType, Module, TypeSection,
    ValType,
};

/// The module name of preview 1.
pub(super) const NAME: &str = "wasi_snapshot_preview1";

const BAD_DESCRIPTOR: i32 = 8;
const NOT_OFFERED: i32 = 52;
/// Nanoseconds by which time moves with each look.
const STEP: i64 = 1_000;
/// The made-up time, in nanoseconds.
const TIME: u32 = 0;
/// Where lines of standard output and standard error are buffered, and the maximum length of one.
const LINES_AT: i32 = 4_096;
const LINE_MAX: i32 = 4_096;
/// The first address after both buffers.
pub(super) const LINES_END: u64 = 12_288;
/// Lengths of both lines so far.
const OUT_LENGTH: u32 = 1;
const ERROR_LENGTH: u32 = 2;
/// Levels of `umbel:host/log`: info and warn.
const OUT_LEVEL: i32 = 2;
const ERROR_LEVEL: i32 = 3;
/// `umbel:host/log#write`, where it is imported.
const LOG_WRITE: u32 = 0;

/// A function of preview 1 as the program imports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) parameters: Vec<ValType>,
    pub(super) results: Vec<ValType>,
}

/// The module that implements those functions. Lines go to `log`, the full name of the log interface; without one
/// they are dropped.
pub(super) fn adapter(wanted: &[Wanted], log: Option<&str>) -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    let mut imports = ImportSection::new();
    let memory =
        MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import("env", "memory", EntityType::Memory(memory));
    if let Some(log) = log {
        // Level, message, fields.
        types.ty().function([ValType::I32; 5], []);
        imports.import(log, "write", EntityType::Function(0));
    }
    let imported = u32::from(log.is_some());
    for (index, function) in (imported..).zip(wanted) {
        types.ty().function(function.parameters.iter().copied(), function.results.iter().copied());
        functions.function(index);
        exports.export(&function.name, ExportKind::Func, index);
        code.function(&body(function, log.is_some()));
    }
    let mut globals = GlobalSection::new();
    let global = |val_type| GlobalType { val_type, mutable: true, shared: false };
    globals.global(global(ValType::I64), &ConstExpr::i64_const(STEP));
    globals.global(global(ValType::I32), &ConstExpr::i32_const(0));
    globals.global(global(ValType::I32), &ConstExpr::i32_const(0));
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}

fn body(function: &Wanted, has_log: bool) -> Function {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    match function.name.as_str() {
        "args_sizes_get" | "environ_sizes_get" => {
            code.local_get(0).i32_const(0).i32_store(at(0)).local_get(1).i32_const(0).i32_store(at(0));
            code.i32_const(0);
        }
        "args_get" | "environ_get" | "sched_yield" => {
            code.i32_const(0);
        }
        "clock_res_get" => {
            code.local_get(1).i64_const(STEP).i64_store(at(0)).i32_const(0);
        }
        "clock_time_get" => {
            code.global_get(TIME).i64_const(STEP).i64_add().global_set(TIME);
            code.local_get(2).global_get(TIME).i64_store(at(0)).i32_const(0);
        }
        "fd_write" if has_log => return log_output(),
        "fd_write" => return drop_output(),
        "poll_oneoff" => poll(&mut code),
        "proc_exit" => {
            if has_log {
                for (level, at, length) in CHANNELS {
                    show_line(&mut code, level, at, length);
                }
            }
            code.unreachable();
        }
        // Go makes do without; what needs real entropy must not get any other.
        "random_get" => {
            code.i32_const(NOT_OFFERED);
        }
        _ => refuse(&mut code, &function.results),
    }
    code.end();
    body
}

/// There is no such file, socket or directory.
fn refuse(code: &mut InstructionSink<'_>, results: &[ValType]) {
    if results == [ValType::I32] {
        code.i32_const(BAD_DESCRIPTOR);
    } else {
        code.unreachable();
    }
}

/// `fd_write(fd, pieces, count, written)`: takes everything that is written to standard output and error.
fn drop_output() -> Function {
    // Local 4: the sum of the lengths.
    let mut body = Function::new([(1, ValType::I32)]);
    let mut code = body.instructions();
    code.local_get(0).i32_const(-1).i32_add().i32_const(2).i32_ge_u();
    code.if_(BlockType::Empty).i32_const(BAD_DESCRIPTOR).return_().end();
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(2).i32_eqz().br_if(1);
    code.local_get(4).local_get(1).i32_load(at(4)).i32_add().local_set(4);
    code.local_get(1).i32_const(8).i32_add().local_set(1);
    code.local_get(2).i32_const(1).i32_sub().local_set(2).br(0);
    code.end().end();
    code.local_get(3).local_get(4).i32_store(at(0)).i32_const(0).end();
    body
}

/// For standard output, then for standard error: the log level, the address of the line and the address of its
/// length.
const CHANNELS: [(i32, i32, u32); 2] =
    [(OUT_LEVEL, LINES_AT, OUT_LENGTH), (ERROR_LEVEL, LINES_AT + LINE_MAX, ERROR_LENGTH)];

/// Writes a line to the log and begins the next one. An empty line is left out.
fn show_line(code: &mut InstructionSink<'_>, level: i32, at: i32, length: u32) {
    code.global_get(length).if_(BlockType::Empty);
    code.i32_const(level).i32_const(at).global_get(length).i32_const(0).i32_const(0).call(LOG_WRITE);
    code.i32_const(0).global_set(length);
    code.end();
}

/// `fd_write(fd, pieces, count, written)`: buffers the lines of both streams.
fn log_output() -> Function {
    // Local 4: the total length; 5 and 6: address and length of the rest of a piece; 7: a byte.
    let mut body = Function::new([(4, ValType::I32)]);
    let mut code = body.instructions();
    code.local_get(0).i32_const(-1).i32_add().i32_const(2).i32_ge_u();
    code.if_(BlockType::Empty).i32_const(BAD_DESCRIPTOR).return_().end();
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(2).i32_eqz().br_if(1);
    code.local_get(1).i32_load(at(0)).local_set(5);
    code.local_get(1).i32_load(at(4)).local_tee(6).local_get(4).i32_add().local_set(4);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(6).i32_eqz().br_if(1);
    code.local_get(5).i32_load8_u(at(0)).local_set(7);
    code.local_get(0).i32_const(1).i32_eq().if_(BlockType::Empty);
    gather(&mut code, CHANNELS[0]);
    code.else_();
    gather(&mut code, CHANNELS[1]);
    code.end();
    code.local_get(5).i32_const(1).i32_add().local_set(5);
    code.local_get(6).i32_const(1).i32_sub().local_set(6).br(0);
    code.end().end();
    code.local_get(1).i32_const(8).i32_add().local_set(1);
    code.local_get(2).i32_const(1).i32_sub().local_set(2).br(0);
    code.end().end();
    code.local_get(3).local_get(4).i32_store(at(0)).i32_const(0).end();
    body
}

/// Handles the byte in local 7: it ends the line of the stream or is appended to it.
fn gather(code: &mut InstructionSink<'_>, (level, place, length): (i32, i32, u32)) {
    code.local_get(7).i32_const(i32::from(b'\n')).i32_eq().if_(BlockType::Empty);
    show_line(code, level, place, length);
    code.else_();
    code.global_get(length).i32_const(LINE_MAX).i32_eq().if_(BlockType::Empty);
    show_line(code, level, place, length);
    code.end();
    code.global_get(length).i32_const(place).i32_add().local_get(7).i32_store8(at(0));
    code.global_get(length).i32_const(1).i32_add().global_set(length);
    code.end();
}

/// `poll_oneoff(subscriptions, events, count, happened)`: the first is the clock where there is one; its time comes at
/// once. Anything else is a file, and there is none.
fn poll(code: &mut InstructionSink<'_>) {
    code.local_get(1).local_get(0).i64_load(at(0)).i64_store(at(0));
    code.local_get(1).i64_const(0).i64_store(at(8));
    code.local_get(1).local_get(0).i32_load8_u(at(8)).i32_store8(at(10));
    code.local_get(0).i32_load8_u(at(8)).if_(BlockType::Empty);
    code.local_get(1).i32_const(BAD_DESCRIPTOR).i32_store16(at(8));
    code.else_();
    // Bit 0 of the flags: the time is absolute.
    code.local_get(0).i32_load16_u(at(40)).i32_const(1).i32_and().if_(BlockType::Empty);
    code.local_get(0).i64_load(at(24)).global_set(TIME);
    code.else_().global_get(TIME).local_get(0).i64_load(at(24)).i64_add().global_set(TIME).end();
    code.end();
    code.local_get(3).i32_const(1).i32_store(at(0)).i32_const(0);
}

/// Without a promise of alignment: Go makes none for parts of a structure.
fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, target: wasm_encoder::MemArgTarget::Memory(0), ordering: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, parameters: &[ValType]) -> Wanted {
        Wanted { name: name.to_owned(), parameters: parameters.to_vec(), results: vec![ValType::I32] }
    }

    #[test]
    fn every_function_has_a_sound_body() {
        use ValType::{I32, I64};
        let exit = Wanted { results: Vec::new(), ..wanted("proc_exit", &[I32]) };
        let all = [
            wanted("args_get", &[I32, I32]),
            wanted("args_sizes_get", &[I32, I32]),
            wanted("environ_get", &[I32, I32]),
            wanted("environ_sizes_get", &[I32, I32]),
            wanted("clock_res_get", &[I32, I32]),
            wanted("clock_time_get", &[I32, I64, I32]),
            wanted("fd_write", &[I32, I32, I32, I32]),
            wanted("fd_prestat_get", &[I32, I32]),
            wanted("path_open", &[I32, I32, I32, I32, I32, I64, I64, I32, I32]),
            wanted("poll_oneoff", &[I32, I32, I32, I32]),
            wanted("random_get", &[I32, I32]),
            wanted("sched_yield", &[]),
            exit,
        ];
        for log in [None, Some("umbel:host/log@0.1.1")] {
            wasmparser::validate(&adapter(&all, log)).unwrap();
        }
    }
}
