//! What is in a file, whether a gateway can load it or not.

use serde::Serialize;
use wasmparser::{Encoding, Instance, KnownCustom, Parser, Payload, ProducersSectionReader};

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) enum Form {
    /// A component.
    Component,
    /// A core module, of which a component can be made.
    CoreModule,
    /// No WebAssembly at all.
    #[default]
    Unknown,
}

/// What a file holds, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Anatomy {
    pub(in super::super) form: Form,
    /// Interfaces that it offers, with versions.
    pub(in super::super) exports: Vec<String>,
    /// Interfaces that it needs, with versions.
    pub(in super::super) imports: Vec<String>,
    /// Modules within the component.
    pub(in super::super) core_modules: usize,
    /// Instances of these that one call makes.
    pub(in super::super) core_instances: usize,
    /// Linear memories of these.
    pub(in super::super) memories: usize,
    /// What all of them have at the start, in bytes.
    pub(in super::super) memory_bytes: u64,
    /// Languages and tools that made it.
    pub(in super::super) producers: Vec<String>,
    /// Where it stops being readable, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) damage: Option<String>,
}

/// Reads as much of a file as can be read.
pub(in super::super) fn dissect(bytes: &[u8]) -> Anatomy {
    let mut anatomy = Anatomy::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let noted = payload.and_then(|payload| note(&mut anatomy, &mut depth, payload));
        if let Err(error) = noted {
            anatomy.damage = Some(error.to_string());
            break;
        }
    }
    anatomy
}

fn note(anatomy: &mut Anatomy, depth: &mut usize, payload: Payload<'_>) -> wasmparser::Result<()> {
    match payload {
        Payload::Version { encoding, .. } => {
            *depth += 1;
            match (encoding, *depth) {
                (Encoding::Component, 1) => anatomy.form = Form::Component,
                (Encoding::Component, _) => {}
                (Encoding::Module, 1) => anatomy.form = Form::CoreModule,
                (Encoding::Module, _) => anatomy.core_modules += 1,
            }
        }
        Payload::End(_) => *depth -= 1,
        Payload::ComponentImportSection(section) if *depth == 1 => {
            for import in section {
                anatomy.imports.push(import?.name.full_name().into_owned());
            }
        }
        Payload::ComponentExportSection(section) if *depth == 1 => {
            for export in section {
                anatomy.exports.push(export?.name.full_name().into_owned());
            }
        }
        Payload::ImportSection(section) if anatomy.form == Form::CoreModule => {
            for import in section.into_imports() {
                let module = import?.module.to_owned();
                if !anatomy.imports.contains(&module) {
                    anatomy.imports.push(module);
                }
            }
        }
        Payload::InstanceSection(section) => {
            for instance in section {
                anatomy.core_instances += usize::from(matches!(instance?, Instance::Instantiate { .. }));
            }
        }
        Payload::MemorySection(section) => {
            for memory in section {
                anatomy.memories += 1;
                anatomy.memory_bytes =
                    anatomy.memory_bytes.saturating_add(memory?.initial.saturating_mul(PAGE));
            }
        }
        Payload::CustomSection(section) => {
            if let KnownCustom::Producers(producers) = section.as_known() {
                // A section for people only: what cannot be read of it is left out.
                note_producers(anatomy, producers).ok();
            }
        }
        _ => {}
    }
    Ok(())
}

fn note_producers(anatomy: &mut Anatomy, producers: ProducersSectionReader<'_>) -> wasmparser::Result<()> {
    for field in producers {
        for value in field?.values {
            let value = value?;
            let text = format!("{} {}", value.name, value.version).trim_end().to_owned();
            if !anatomy.producers.contains(&text) {
                anatomy.producers.push(text);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::componentize;

    /// A core module with one memory of two pages, as bytes.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x02";

    #[test]
    fn a_core_module_is_told_from_a_component() {
        let module = dissect(MODULE);
        assert_eq!((module.form, module.memories, module.memory_bytes), (Form::CoreModule, 1, 128 << 10));
        let component = dissect(&componentize(MODULE).unwrap());
        assert_eq!((component.form, component.core_modules), (Form::Component, 1));
        assert_eq!((component.core_instances, component.damage), (1, None));
    }

    #[test]
    fn what_is_damaged_is_told_as_far_as_it_goes() {
        let whole = componentize(MODULE).unwrap();
        let half = dissect(&whole[..whole.len() / 2]);
        assert_eq!(half.form, Form::Component);
        assert!(half.damage.is_some());
        let text = dissect(b"hello");
        assert_eq!(text.form, Form::Unknown);
        assert!(text.damage.is_some());
    }
}
