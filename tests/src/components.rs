//! Components that no compiler would make.

use anyhow::{Context, Result};
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

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

/// A discovery plugin whose first call traps.
///
/// # Errors
/// When it no longer fits the interfaces in `wit/`.
pub fn trapping_component() -> Result<Vec<u8>> {
    let mut module = wat::parse_str(TRAPS)?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    let world = resolve.select_world(&[package], Some("discovery")).context("no world discovery")?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}
