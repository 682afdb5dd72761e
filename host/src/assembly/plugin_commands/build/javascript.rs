//! A JavaScript package, put into a QuickJS component by a tool that package.json pins.

use super::entry::JavaScriptEntry;
use super::error::file_error;
use super::scripting::{Bench, Wishes, absolute, tools};
use super::tool::Tool;
use super::world_types::WorldTypes;
use super::{Built, PluginBuildArgs, PluginBuildError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const NPM: Tool = Tool { name: "npm", cure: "install Node.js 20 or newer from https://nodejs.org" };
const COMPONENTIZER: &str = "componentize-qjs";

/// What a build needs of package.json.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    #[serde(default = "index")]
    main: String,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, String>,
    #[serde(default)]
    umbel: Wishes,
}

fn index() -> String {
    "index.js".to_owned()
}

/// The component of the package's main file and what it imports.
pub(super) fn build(args: &PluginBuildArgs) -> Result<Vec<Built>, PluginBuildError> {
    let manifest = args.dir.join("package.json");
    let text = fs::read(&manifest).map_err(|cause| file_error(&manifest, cause))?;
    let package = parse(&manifest, &text)?;
    let lock = fs::read(args.dir.join("package-lock.json")).ok();
    let parts = [text.as_slice(), lock.as_deref().unwrap_or_default()];
    let folder = tools(args, "javascript", &parts, |folder| install(folder, &text, lock.as_deref()))?;
    let bench = Bench::set_up(&args.dir)?;
    let dir = absolute(&args.dir)?;
    let entry = entry(&dir, &package, &bench, &manifest)?;
    let componentizer = Tool { name: COMPONENTIZER, ..NPM };
    let mut command = Command::new(folder.join("node_modules/.bin").join(COMPONENTIZER));
    command
        .current_dir(&dir)
        .args(["--sync", "--stub-wasi", "--world", &package.umbel.world, "--wit"])
        .arg(bench.wit())
        .arg("--module-root")
        .arg(&dir)
        .arg("--js")
        .arg(entry.path())
        .arg("--output")
        .arg(bench.component());
    componentizer.run(&mut command, &args.dir)?;
    bench.take(package.name.rsplit('/').next().unwrap_or_default().to_owned())
}

fn entry(
    dir: &Path,
    package: &Package,
    bench: &Bench,
    manifest: &Path,
) -> Result<JavaScriptEntry, PluginBuildError> {
    let incomplete = |file: &Path, problem| PluginBuildError::Incomplete { file: file.to_owned(), problem };
    if !dir.join(&package.main).is_file() {
        let problem =
            format!("main names {}, and there is no such file; write the plugin there", package.main);
        return Err(incomplete(manifest, problem));
    }
    let types = WorldTypes::read(bench.wit(), &package.umbel.world)
        .map_err(|cause| incomplete(bench.wit(), cause))?;
    JavaScriptEntry::write(dir, &package.main, &types)
}

fn parse(manifest: &Path, text: &[u8]) -> Result<Package, PluginBuildError> {
    let incomplete = |problem| PluginBuildError::Incomplete { file: manifest.to_owned(), problem };
    let mut package: Package = serde_json::from_slice(text).map_err(|error| incomplete(error.to_string()))?;
    if !package.dev_dependencies.contains_key(COMPONENTIZER) {
        let cure = format!("no {COMPONENTIZER} in devDependencies; run: npm install --save-dev --save-exact");
        return Err(incomplete(format!("{cure} {COMPONENTIZER}@0.4.5")));
    }
    package.umbel = package.umbel.check(manifest, r#""umbel": {"world": "resolver"}"#)?;
    Ok(package)
}

fn install(folder: &Path, package: &[u8], lock: Option<&[u8]>) -> Result<(), PluginBuildError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|cause| file_error(&path, cause))
    };
    write("package.json", package)?;
    let step = match lock {
        Some(lock) => {
            write("package-lock.json", lock)?;
            "ci"
        }
        None => "install",
    };
    let mut command = NPM.command();
    command.current_dir(folder).args([step, "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]);
    NPM.run(&mut command, folder).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(Path::new("package.json"), text.as_bytes()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_package_json_lacks_is_told_with_its_cure() {
        let without_tool = problem(r#"{"name": "shop", "umbel": {"world": "resolver"}}"#);
        assert!(
            without_tool.contains("npm install --save-dev --save-exact componentize-qjs@"),
            "{without_tool}"
        );
        let without_world = problem(r#"{"name": "shop", "devDependencies": {"componentize-qjs": "0.4.5"}}"#);
        assert!(without_world.contains(r#""umbel": {"world": "resolver"}"#), "{without_world}");
        assert!(problem("{").contains("package.json: EOF"));
    }
}
