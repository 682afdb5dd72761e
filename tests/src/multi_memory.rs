//! A resolver with three memories, made by hand: the guests of the tree have one, those in JavaScript three.

use anyhow::{Context, Result};
use std::path::Path;
use wasm_encoder::{ComponentBuilder, ComponentExportKind};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WORLD: &str = "package umbel:by-hand;
world by-hand {
    import grow-b: func(pages: u32);
    import grow-c: func(pages: u32);
    export umbel:lifecycle/lifecycle@0.1.0;
    export umbel:resolver/resolver@0.1.0;
}";
const EXPORTS: [&str; 2] = ["umbel:lifecycle/lifecycle@0.1.0", "umbel:resolver/resolver@0.1.0"];

/// A memory that others let grow.
const MEMORY: &str = r#"(component
  (core module $module
    (memory 1)
    (func (export "grow") (param i32) (drop (memory.grow (local.get 0)))))
  (core instance $instance (instantiate $module))
  (func (export "grow") (param "pages" u32) (canon lift (core func $instance "grow"))))"#;

/// Answers `10.0.0.9` after it took `bytes` in as many of its three memories as the target's port says.
///
/// # Errors
/// When the WIT folder of the tree does not fit any more.
pub fn component(bytes: usize) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    let package = resolve.push_str("by-hand.wit", WORLD)?;
    let world = resolve.select_world(&[package], None)?;
    let mut module = wat::parse_str(resolver(bytes / 65_536)).context("the module")?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    let resolver = ComponentEncoder::default().validate(true).module(&module)?.encode()?;

    // One instance of the resolver with two of the memory.
    let mut whole = ComponentBuilder::default();
    let resolver = whole.component_raw(None, &resolver);
    let memory = whole.component_raw(None, &wat::parse_str(MEMORY).context("the memory")?);
    let mut imports = Vec::new();
    for name in ["grow-b", "grow-c"] {
        let none: [(&str, ComponentExportKind, u32); 0] = [];
        let instance = whole.instantiate(None, memory, none);
        let grow = whole.alias_export(instance, "grow", ComponentExportKind::Func);
        imports.push((name, ComponentExportKind::Func, grow));
    }
    let resolver = whole.instantiate(None, resolver, imports);
    for name in EXPORTS {
        let interface = whole.alias_export(resolver, name, ComponentExportKind::Instance);
        whole.export(name, ComponentExportKind::Instance, interface, None);
    }
    Ok(whole.finish())
}

/// Everything that is returned lies in zeroed memory: empty strings and lists, no options, `ok`.
fn resolver(pages: usize) -> String {
    format!(
        r#"(module
  (import "$root" "grow-b" (func $grow-b (param i32)))
  (import "$root" "grow-c" (func $grow-c (param i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $size)) (i32.const 7)) (i32.const -8))))
  (func (export "umbel:lifecycle/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
  (func (export "umbel:lifecycle/lifecycle@0.1.0#validate") (param i32 i32) (result i32) (i32.const 2048))
  ;; context: settings, extra; target: namespace, name, port, external-name, annotations, extra
  (func (export "umbel:resolver/resolver@0.1.0#resolve")
    (param i32 i32 i32 i32 i32 i32 i32 i32) (param $port i32) (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (if (i32.ge_u (local.get $port) (i32.const 1)) (then (drop (memory.grow (i32.const {pages})))))
    (if (i32.ge_u (local.get $port) (i32.const 2)) (then (call $grow-b (i32.const {pages}))))
    (if (i32.ge_u (local.get $port) (i32.const 3)) (then (call $grow-c (i32.const {pages}))))
    ;; endpoints: one of them
    (i32.store (i32.const 4100) (i32.const 4200))
    (i32.store (i32.const 4104) (i32.const 1))
    ;; host, port, priority 0, weight 1
    (i32.store (i32.const 4200) (i32.const 4300))
    (i32.store (i32.const 4204) (i32.const 8))
    (i32.store16 (i32.const 4208) (local.get $port))
    (i32.store16 (i32.const 4212) (i32.const 1))
    (i32.const 4096))
  (data (i32.const 4300) "10.0.0.9"))"#
    )
}
