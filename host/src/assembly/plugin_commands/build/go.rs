//! A Go module, built by the stock compiler for WASI and freed from WASI here.

use super::error::file_error;
use super::preview1;
use super::registrations;
use super::tool::Tool;
use super::world::Surface;
use super::{Built, PluginBuildArgs, PluginBuildError};
use std::fs;
use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

const GO: Tool = Tool { name: "go", cure: "install Go 1.25 or newer from https://go.dev/dl" };

/// The component of the module's main package.
pub(super) fn build(args: &PluginBuildArgs) -> Result<Vec<Built>, PluginBuildError> {
    let manifest = args.dir.join("go.mod");
    let text = fs::read_to_string(&manifest).map_err(|cause| file_error(&manifest, cause))?;
    let name = module_name(&text).ok_or_else(|| PluginBuildError::Incomplete {
        file: manifest.clone(),
        problem: "no line says `module <name>`; run: go mod init my-plugin".to_owned(),
    })?;
    let work = tempfile::tempdir().map_err(|cause| file_error(&std::env::temp_dir(), cause))?;
    let module = work.path().join("module.wasm");
    compile(&args.dir, &module)?;
    let bytes = fs::read(&module).map_err(|cause| file_error(&module, cause))?;
    check_registrations(&args.dir, &bytes)?;
    let component = componentize(bytes)
        .map_err(|problem| PluginBuildError::Incomplete { file: args.dir.clone(), problem })?;
    Ok(vec![Built { name: name.to_owned(), component }])
}

fn compile(dir: &Path, module: &Path) -> Result<(), PluginBuildError> {
    let mut command = GO.command();
    command
        .current_dir(dir)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        // A panic is logged with its place, so the tables of names would be dead weight.
        .args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(module)
        .arg(".");
    GO.run(&mut command, dir).map(|_| ())
}

/// Checks that every interface that the program exports is registered with its SDK package: without registration, its
/// first call would trap.
fn check_registrations(dir: &Path, module: &[u8]) -> Result<(), PluginBuildError> {
    let incomplete = |problem| PluginBuildError::Incomplete { file: dir.to_owned(), problem };
    let surface = Surface::of(module).map_err(incomplete)?;
    let sources = registrations::read(dir).map_err(|(path, cause)| file_error(&path, cause))?;
    match registrations::missing(surface.exports(), &sources) {
        Some(package) => Err(incomplete(format!(
            "nothing calls {package}.Export, so the plugin has no {package}; call it in an init function, \
             as main.go of `umbel plugin new` does"
        ))),
        None => Ok(()),
    }
}

/// Turns a core module of Go into a component without WASI.
fn componentize(mut module: Vec<u8>) -> Result<Vec<u8>, String> {
    let surface = Surface::of(&module)?;
    if !surface.is_plugin() {
        return Err(
            "the program exports no interface of a plugin; import one of umbel.dev/plugin/worlds".to_owned()
        );
    }
    let (resolve, world) = surface.world()?;
    let explain = |error| format!("{error:#}");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).map_err(explain)?;
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(&module).map_err(explain)?;
    let log = surface.output_log();
    let mut adapter = preview1::adapter(&surface.preview1, log);
    if let Some(log) = log {
        let (resolve, world) = Surface::world_of_log(log)?;
        embed_component_metadata(&mut adapter, &resolve, world, StringEncoding::UTF8, false)
            .map_err(explain)?;
    }
    let encoder = encoder.adapter(preview1::NAME, &adapter).map_err(explain)?;
    encoder.encode().map_err(explain)
}

/// The last part of the module's path, without a version: the plugin's name.
fn module_name(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.trim().strip_prefix("module "))?.trim();
    let mut parts = path.rsplit('/');
    let last = parts.next()?;
    let version = last.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    if version { parts.next().or(Some(last)) } else { Some(last) }.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_names_the_plugin() {
        for (text, name) in [
            ("module shop\n\ngo 1.25\n", Some("shop")),
            ("// A plugin.\nmodule example.com/plugins/shop\n", Some("shop")),
            ("module example.com/shop/v2\n", Some("shop")),
            ("go 1.25\n", None),
        ] {
            assert_eq!(module_name(text), name, "{text}");
        }
    }

    #[test]
    fn a_program_without_exports_is_told_what_to_import() {
        let empty = wasm_encoder::Module::new().finish();
        let error = componentize(empty).unwrap_err();
        assert!(error.contains("umbel.dev/plugin/worlds"), "{error}");
    }
}
