//! Which world a core module speaks, by what it imports and exports.

use super::preview1::{self, Wanted};
use std::collections::BTreeSet;
use wasm_encoder::ValType;
use wasmparser::{DataKind, ExternalKind, FuncType, Operator, Parser, Payload, TypeRef};
use wit_parser::{Resolve, WorldId};

/// Every published interface package.
const PACKAGES: &[(&str, &str)] = &[
    ("host-0.1.0.wit", include_str!("../../../../../wit/frozen/umbel-host-0.1.0/host.wit")),
    ("host-0.1.1.wit", include_str!("../../../../../wit/frozen/umbel-host-0.1.1/host.wit")),
    ("lifecycle.wit", include_str!("../../../../../wit/frozen/umbel-lifecycle-0.1.0/lifecycle.wit")),
    ("resolver.wit", include_str!("../../../../../wit/frozen/umbel-resolver-0.1.0/resolver.wit")),
    ("health.wit", include_str!("../../../../../wit/frozen/umbel-health-0.1.0/health.wit")),
    ("discovery.wit", include_str!("../../../../../wit/frozen/umbel-discovery-0.1.0/discovery.wit")),
];
/// Every interface that a program uses begins so.
const OURS: &str = "umbel:";
const LOG: &str = "umbel:host/log@";

/// What a core module asks for and offers.
#[derive(Debug, Default)]
pub(super) struct Surface {
    /// Interfaces that it imports.
    imports: BTreeSet<String>,
    /// Interfaces that it exports.
    exports: BTreeSet<String>,
    /// Functions of WASI preview 1 that it imports.
    pub(super) preview1: Vec<Wanted>,
    /// The lowest address that the program's data begin at.
    data_begin: Option<u64>,
}

impl Surface {
    /// Reads a core module.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn of(module: &[u8]) -> Result<Self, String> {
        let mut surface = Self::default();
        surface.read(module).map_err(|error| error.to_string())?;
        Ok(surface)
    }

    fn read(&mut self, module: &[u8]) -> wasmparser::Result<()> {
        let mut types: Vec<FuncType> = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section.into_iter_err_on_gc_types() {
                        types.push(group?);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if import.module.starts_with(OURS) {
                            self.imports.insert(import.module.to_owned());
                        }
                        // The program may import a function more than once.
                        let new = self.preview1.iter().all(|known| known.name != import.name);
                        if let (preview1::NAME, TypeRef::Func(index), true) = (import.module, import.ty, new)
                        {
                            let function = usize::try_from(index).ok().and_then(|index| types.get(index));
                            self.preview1.extend(function.map(|function| wanted(import.name, function)));
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let interface = export.name.split_once('#').map(|(interface, _)| interface);
                        if let (ExternalKind::Func, Some(interface)) = (export.kind, interface)
                            && interface.starts_with(OURS)
                        {
                            self.exports.insert(interface.to_owned());
                        }
                    }
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let begin = data_begin(&segment?.kind);
                        self.data_begin = self.data_begin.into_iter().chain(begin).min();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The log interface that the program imports, if its output can be buffered and sent there.
    pub(super) fn output_log(&self) -> Option<&str> {
        let is_free = self.data_begin.is_some_and(|begin| begin >= preview1::LINES_END);
        self.imports.iter().map(String::as_str).find(|name| is_free && name.starts_with(LOG))
    }

    /// The world of exactly these interfaces.
    ///
    /// # Errors
    /// When there is no such interface.
    pub(super) fn world(&self) -> Result<(Resolve, WorldId), String> {
        self.world_in("built")
    }

    fn world_in(&self, package: &str) -> Result<(Resolve, WorldId), String> {
        let mut text = format!("package umbel:{package};\nworld plugin {{\n");
        for (word, interfaces) in [("import", &self.imports), ("export", &self.exports)] {
            for interface in interfaces {
                text.push_str(&format!("  {word} {interface};\n"));
            }
        }
        text.push('}');
        let explain = |error| format!("{error:#}");
        let mut resolve = Resolve::default();
        for (path, package) in PACKAGES {
            resolve.push_str(path, package).map_err(explain)?;
        }
        let package = resolve.push_str("built.wit", &text).map_err(explain)?;
        let world = resolve.select_world(&[package], Some("plugin")).map_err(explain)?;
        Ok((resolve, world))
    }

    /// A world that only has the log, for the adapter that writes to it.
    ///
    /// # Errors
    /// When the interface does not exist.
    pub(super) fn world_of_log(log: &str) -> Result<(Resolve, WorldId), String> {
        Self { imports: BTreeSet::from([log.to_owned()]), ..Self::default() }.world_in("adapter")
    }

    /// The interfaces that it exports.
    pub(super) fn exports(&self) -> &BTreeSet<String> {
        &self.exports
    }

    /// Whether it decides anything.
    pub(super) fn is_plugin(&self) -> bool {
        !self.exports.is_empty()
    }
}

/// Where a segment begins; 0 when only the running program knows.
fn data_begin(kind: &DataKind<'_>) -> Option<u64> {
    let DataKind::Active { offset_expr, .. } = kind else { return None };
    match offset_expr.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Some(u64::from(value.cast_unsigned())),
        _ => Some(0),
    }
}

fn wanted(name: &str, function: &FuncType) -> Wanted {
    // Preview 1 has numbers only.
    let plain = |types: &[wasmparser::ValType]| {
        let kinds = types.iter().map(|kind| match kind {
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            _ => ValType::I32,
        });
        kinds.collect()
    };
    Wanted { name: name.to_owned(), parameters: plain(function.params()), results: plain(function.results()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_interface_can_be_named() {
        let imports = ["umbel:host/log@0.1.0", "umbel:host/state@0.1.1"];
        let exports = ["umbel:lifecycle/lifecycle@0.1.0", "umbel:health/checker@0.1.0"];
        let set = |names: [&str; 2]| names.into_iter().map(str::to_owned).collect();
        let surface =
            Surface { imports: set(imports), exports: set(exports), preview1: Vec::new(), data_begin: None };
        let (resolve, world) = surface.world().unwrap();
        assert_eq!((resolve.worlds[world].imports.len(), resolve.worlds[world].exports.len()), (2, 2));
    }

    #[test]
    fn output_is_gathered_only_where_the_program_has_no_data() {
        let imports = BTreeSet::from(["umbel:host/log@0.1.1".to_owned()]);
        let at = |data_begin| Surface { imports: imports.clone(), data_begin, ..Surface::default() };
        assert_eq!(at(Some(12_288)).output_log(), Some("umbel:host/log@0.1.1"));
        assert_eq!(at(Some(4_096)).output_log(), None);
        assert_eq!(at(None).output_log(), None);
        assert_eq!(Surface { data_begin: Some(65_536), ..Surface::default() }.output_log(), None);
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let imports = BTreeSet::from(["umbel:host/disk@9.0.0".to_owned()]);
        let surface = Surface { imports, ..Surface::default() };
        let error = surface.world().unwrap_err();
        assert!(error.contains("umbel:host"), "{error}");
    }
}
