//! The one wasmtime engine of the process.

use crate::plugin::code::maker::ENGINE_VERSION;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, OptLevel};
use wasmtime::{PoolingAllocationConfig, WasmBacktraceDetails};

/// Instances that may be alive at once; the call limits stay below it.
const INSTANCES: u32 = 64;
/// Core instances, memories and tables of one component. Python guests need 38 core instances, QuickJS 3 memories.
const CORE_INSTANCES: u32 = 48;
pub(in crate::plugin) const MEMORIES: u32 = 4;
pub(in crate::plugin) const TABLES: u32 = 16;
/// Upper bound of one linear memory, whatever a manifest asks for.
pub(in crate::plugin) const MAX_MEMORY: usize = 64 << 20;

/// Builds the engine: pooling where the address space allows it, else on demand.
///
/// # Errors
/// When the machine can have neither.
pub(in crate::plugin) fn build() -> wasmtime::Result<Engine> {
    build_of(&settings()?)
}

/// Builds an engine that counts what guests compute: slower, and the same on every machine.
///
/// # Errors
/// As [`build`].
pub(in crate::plugin) fn build_counting() -> wasmtime::Result<Engine> {
    let mut settings = settings()?;
    settings.consume_fuel(true);
    build_of(&settings)
}

/// Builds an engine that only compiles. Its code runs in the engine of [`build`], for it differs in nothing that
/// code depends on: it has no pool, which would need much address space, and may use threads.
///
/// # Errors
/// As [`build`].
pub(in crate::plugin) fn build_compiler() -> wasmtime::Result<Engine> {
    let mut settings = settings()?;
    settings.parallel_compilation(true);
    Engine::new(&settings)
}

fn build_of(settings: &Config) -> wasmtime::Result<Engine> {
    let mut config = settings.clone();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(
                cause = format!("{error:#}"),
                "plugins: no address space for a pool of instances; calls will be slower"
            );
            Engine::new(settings)
        }
    }
}

fn settings() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(false)
        .concurrency_support(false)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        // What a plugin answers must not depend on the processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .parallel_compilation(false)
        .memory_init_cow(true);
    // The default compares the major version only, and a patch may mend the code generator.
    let version = format!("umbel-{}-wasmtime-{ENGINE_VERSION}", env!("CARGO_PKG_VERSION"));
    config.module_version(ModuleVersionStrategy::Custom(version))?;
    Ok(config)
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * CORE_INSTANCES)
        .total_memories(INSTANCES * MEMORIES)
        .total_tables(INSTANCES * TABLES)
        .total_stacks(INSTANCES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(MAX_MEMORY)
        .max_unused_warm_slots(16);
    // With pagemap_scan only pages that were touched are cleared, so keeping them resident is cheap.
    pool.pagemap_scan(Enabled::Auto).linear_memory_keep_resident(1 << 20);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module, TypeSection,
        ValType,
    };
    use wasmtime::{Instance, Store};

    /// Picks lane 20 of 16, which processors answer in different ways.
    fn picking_beyond_the_end() -> Vec<u8> {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        types.ty().function([], [ValType::I32]);
        functions.function(0);
        let (mut exports, mut codes) = (ExportSection::new(), CodeSection::new());
        exports.export("pick", ExportKind::Func, 0);
        let mut code = Function::new([]);
        let lanes = |lane: u8| Instruction::V128Const(i128::from_le_bytes([lane; 16]));
        code.instruction(&lanes(9)).instruction(&lanes(20)).instruction(&Instruction::I8x16RelaxedSwizzle);
        code.instruction(&Instruction::I8x16ExtractLaneU(0)).instruction(&Instruction::End);
        codes.function(&code);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&codes);
        module.finish()
    }

    #[test]
    fn what_a_guest_computes_does_not_depend_on_the_processor() {
        let engine = build().unwrap();
        let module = wasmtime::Module::new(&engine, picking_beyond_the_end()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let pick = instance.get_typed_func::<(), i32>(&mut store, "pick").unwrap();
        assert_eq!(pick.call(&mut store, ()).unwrap(), 0, "the deterministic answer of the standard");
    }
}
