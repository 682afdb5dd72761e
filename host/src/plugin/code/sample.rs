//! Small components for tests.

use wasm_encoder::{
    CanonicalOption, CodeSection, ComponentBuilder, ComponentExportKind, ComponentValType, ExportKind,
    ExportSection, Function, FunctionSection, Instruction, MemorySection, MemoryType, Module, ModuleArg,
    PrimitiveValType, TypeSection, ValType,
};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// A component with a function that answers with a number.
pub(super) fn answering(number: i32) -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    types.ty().function([], [ValType::I32]);
    functions.function(0);
    let (mut exports, mut codes) = (ExportSection::new(), CodeSection::new());
    exports.export("answer", ExportKind::Func, 0);
    let mut code = Function::new([]);
    code.instruction(&Instruction::I32Const(number)).instruction(&Instruction::End);
    codes.function(&code);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&codes);

    let mut component = ComponentBuilder::default();
    let module = component.core_module(None, &module);
    let none: [(&str, ModuleArg); 0] = [];
    let instance = component.core_instantiate(None, module, none);
    let function = component.core_alias_export(None, instance, "answer", ExportKind::Func);
    let (ty, mut encoder) = component.type_function(None);
    let none: [(&str, ComponentValType); 0] = [];
    encoder.params(none).result(Some(ComponentValType::Primitive(PrimitiveValType::U32)));
    let none: [CanonicalOption; 0] = [];
    let lifted = component.lift_func(None, function, ty, none);
    component.export("answer", ComponentExportKind::Func, lifted, None);
    component.finish()
}

/// A component that is whole and needs threads.
pub(super) fn with_shared_memory() -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: true,
        page_size_log2: None,
    });
    let mut module = Module::new();
    module.section(&memories);
    let mut component = ComponentBuilder::default();
    component.core_module(None, &module);
    component.finish()
}

/// Runs the code.
pub(super) fn ask(engine: &Engine, component: &Component) -> u32 {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1);
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    let answer = instance.get_typed_func::<(), (u32,)>(&mut store, "answer").unwrap();
    answer.call(&mut store, ()).unwrap().0
}
