//! Components that no compiler would make.

use anyhow::{Context, Result};
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// Where the function begins that is called first.
const DESCRIBE: &str = "#describe\") (result i32)";

/// Traps in every function, `describe` first.
const TRAPS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "umbel:lifecycle/lifecycle@0.1.0#describe") (result i32) unreachable)
    (func (export "umbel:lifecycle/lifecycle@0.1.0#validate") (param i32 i32) (result i32) unreachable)
    (func (export "umbel:discovery/transformer@0.1.0#transform")
        (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
    (func (export "umbel:discovery/transformer@0.1.0#order")
        (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#;

/// Makes all three decisions, and every instance has `mib` MiB of memory from the start.
///
/// # Errors
/// When it no longer fits the interfaces in `wit/`.
pub fn large_component_of_all_kinds(mib: usize) -> Result<Vec<u8>> {
    let nothing: [(&str, usize, usize); 6] = [
        ("umbel:lifecycle/lifecycle@0.1.0#describe", 0, 1024),
        ("umbel:lifecycle/lifecycle@0.1.0#validate", 2, 2048),
        ("umbel:resolver/resolver@0.1.0#resolve", 16, 2048),
        ("umbel:health/checker@0.1.0#check", 1, 2048),
        ("umbel:discovery/transformer@0.1.0#transform", 6, 2048),
        ("umbel:discovery/transformer@0.1.0#order", 6, 2048),
    ];
    // Everything that is returned lies in zeroed memory.
    let function = |(name, count, at): &(&str, usize, usize)| {
        let params = " i32".repeat(*count);
        format!("(func (export \"{name}\") (param{params}) (result i32) (i32.const {at}))\n")
    };
    let functions: String = nothing.iter().map(function).collect();
    let realloc = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096))";
    let pages = mib * 16;
    let text = format!("(module (memory (export \"memory\") {pages}) {realloc} {functions})");
    let exports = ["lifecycle/lifecycle", "resolver/resolver", "health/checker", "discovery/transformer"];
    let exports = exports.map(|name| format!("export umbel:{name}@0.1.0;")).join(" ");
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    let package = resolve.push_str("all.wit", &format!("package umbel:large; world all {{ {exports} }}"))?;
    let world = resolve.select_world(&[package], None)?;
    encode(&text, &resolve, world)
}

/// A discovery plugin whose first call traps.
///
/// # Errors
/// When it no longer fits the interfaces in `wit/`.
pub fn trapping_component() -> Result<Vec<u8>> {
    discovery(TRAPS)
}

/// A discovery plugin whose first call computes for ever.
///
/// # Errors
/// When it no longer fits the interfaces in `wit/`.
pub fn looping_component() -> Result<Vec<u8>> {
    let (start, end) = TRAPS.split_once(DESCRIBE).context("it describes itself")?;
    discovery(&format!("{start}{DESCRIBE} (loop $again br $again){end}"))
}

fn discovery(module: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    let world = resolve.select_world(&[package], Some("discovery")).context("no world discovery")?;
    encode(module, &resolve, world)
}

fn encode(module: &str, resolve: &Resolve, world: WorldId) -> Result<Vec<u8>> {
    let mut module = wat::parse_str(module)?;
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8, false)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}
