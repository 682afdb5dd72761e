//! A component that answers with the memory that its settings hold.

use anyhow::{Context, Result};
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where every answer begins.
pub const ANSWER: u32 = 4096;
/// Bytes that an answer may take.
pub const ANSWER_MAX: usize = 48 << 10;

const EXPORTS: [&str; 4] =
    ["lifecycle/lifecycle", "resolver/resolver", "health/checker", "discovery/transformer"];

/// What each function is given; all of them return where the answer lies. The settings come first, but for `check`,
/// which gets a place in memory, where they come first again.
const FUNCTIONS: [(&str, usize); 5] = [
    ("umbel:lifecycle/lifecycle@0.1.0#validate", 2),
    ("umbel:resolver/resolver@0.1.0#resolve", 16),
    ("umbel:health/checker@0.1.0#check", 1),
    ("umbel:discovery/transformer@0.1.0#transform", 6),
    ("umbel:discovery/transformer@0.1.0#order", 6),
];

const HEAD: &str = r#"(module
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (loop $grow (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable)) (br $grow)))))
  (func (export "umbel:lifecycle/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
  (func $digit (param i32) (result i32)
    (i32.and (i32.add (local.get 0) (i32.mul (i32.shr_u (local.get 0) (i32.const 6)) (i32.const 9))) (i32.const 15)))
  ;; {"a":"<hexadecimal>"}
  (func $repeat (param $at i32) (param $length i32) (result i32) (local $end i32) (local $to i32)
    (local.set $end (i32.sub (i32.add (local.get $at) (local.get $length)) (i32.const 2)))
    (local.set $at (i32.add (local.get $at) (i32.const 6)))
    (local.set $to (i32.const 4096))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (i32.store8 (local.get $to) (i32.or
        (i32.shl (call $digit (i32.load8_u (local.get $at))) (i32.const 4))
        (call $digit (i32.load8_u (i32.add (local.get $at) (i32.const 1))))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $next)))
    (i32.const 4096))
"#;

/// The component.
///
/// # Errors
/// When it no longer fits the interfaces in `wit/`.
pub fn component() -> Result<Vec<u8>> {
    let mut text = HEAD.to_owned();
    for (name, count) in FUNCTIONS {
        let params = " i32".repeat(count);
        let settings = match count {
            1 => "(i32.load (local.get 0)) (i32.load offset=4 (local.get 0))",
            _ => "(local.get 0) (local.get 1)",
        };
        text +=
            &format!("(func (export \"{name}\") (param{params}) (result i32) (call $repeat {settings}))\n");
    }
    text.push(')');
    let exports = EXPORTS.map(|name| format!("export umbel:{name}@0.1.0;")).join(" ");
    let mut resolve = Resolve::default();
    resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit"))?;
    let world = format!("package umbel:parrot; world parrot {{ {exports} }}");
    let package = resolve.push_str("parrot.wit", &world)?;
    let world = resolve.select_world(&[package], None)?;
    let mut module = wat::parse_str(text).context("the module")?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}

/// The manifest that has it answer so.
pub fn manifest(answer: &[u8]) -> String {
    let hexadecimal: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
    let head = "{apiVersion: plugins.umbel.dev/v1alpha1, kind: Plugin";
    format!("{head}, spec: {{settings: {{a: \"{hexadecimal}\"}}}}}}")
}
