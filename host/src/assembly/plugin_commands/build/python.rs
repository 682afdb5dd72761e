//! A Python package, put into a component with its interpreter by a tool that requirements.txt pins.

use super::entry;
use super::error::file_error;
use super::scripting::{Bench, Wishes, absolute, tools};
use super::tool::Tool;
use super::world_types::WorldTypes;
use super::{Built, PluginBuildArgs, PluginBuildError};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::process::Command;

const PYTHON: Tool = Tool {
    name: "python3",
    cure: "install Python 3.11 or newer from https://www.python.org (Debian: apt-get install python3-venv)",
};
const COMPONENTIZER: &str = "componentize-py";
const TOML_TO_JSON: &str = "
import json, sys
if sys.version_info < (3, 11):
    sys.exit(f'this is Python {sys.version.split()[0]}; plugins need Python 3.11 or newer')
import tomllib
try:
    json.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)
except tomllib.TOMLDecodeError as error:
    sys.exit(f'{sys.argv[1]}: {error}')
";

/// What a build needs of pyproject.toml.
#[derive(Deserialize)]
struct Manifest {
    project: Project,
    #[serde(default)]
    tool: Tables,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

#[derive(Default, Deserialize)]
struct Tables {
    #[serde(default)]
    umbel: Wishes,
}

/// The component of app.py and what it imports.
pub(super) fn build(args: &PluginBuildArgs) -> Result<Vec<Built>, PluginBuildError> {
    let manifest = read_manifest(&args.dir)?;
    let requirements = read_requirements(&args.dir)?;
    let version = PYTHON.run(PYTHON.command().arg("--version"), &args.dir)?.stdout;
    let folder =
        tools(args, "python", &[&version, requirements.as_bytes()], |folder| install(folder, &requirements))?;
    let bench = Bench::set_up(&args.dir)?;
    let dir = absolute(&args.dir)?;
    if !dir.join("app.py").is_file() {
        let problem = "there is no such file; write the plugin there".to_owned();
        return Err(PluginBuildError::Incomplete { file: args.dir.join("app.py"), problem });
    }
    let types = WorldTypes::read(bench.wit(), &manifest.tool.umbel.world)
        .map_err(|problem| PluginBuildError::Incomplete { file: bench.wit().to_owned(), problem })?;
    entry::write_python(&bench.modules(), &types)?;
    let mut command = Command::new(folder.join("bin").join(COMPONENTIZER));
    command
        .current_dir(folder.join("bin"))
        // The tool finds what requirements.txt brought by this.
        .env("VIRTUAL_ENV", &folder)
        .arg("--quiet")
        .arg("--wit-path")
        .arg(bench.wit())
        .args(["--world", &manifest.tool.umbel.world, "componentize", "--stub-wasi", "--python-path"])
        .arg(&dir)
        .arg("--python-path")
        .arg(bench.modules())
        .arg("--output")
        .arg(bench.component())
        .arg(entry::PYTHON_MODULE);
    Tool { name: COMPONENTIZER, ..PYTHON }.run(&mut command, &args.dir)?;
    bench.take(manifest.project.name)
}

fn read_manifest(dir: &Path) -> Result<Manifest, PluginBuildError> {
    let file = dir.join("pyproject.toml");
    let output = PYTHON.run(PYTHON.command().args(["-c", TOML_TO_JSON]).arg(&file), dir)?;
    let manifest: Result<Manifest, _> = serde_json::from_slice(&output.stdout);
    let mut manifest = manifest.map_err(|error| PluginBuildError::Incomplete {
        file: file.clone(),
        problem: format!("{error}; it needs [project] with a name, and [tool.umbel] with a world"),
    })?;
    manifest.tool.umbel = manifest.tool.umbel.check(&file, "world = \"resolver\" under [tool.umbel]")?;
    Ok(manifest)
}

fn read_requirements(dir: &Path) -> Result<String, PluginBuildError> {
    let file = dir.join("requirements.txt");
    let text = fs::read_to_string(&file).unwrap_or_default();
    if text.lines().any(|line| line.trim_start().starts_with(COMPONENTIZER)) {
        return Ok(text);
    }
    let problem = format!("needs a line that pins the tool: {COMPONENTIZER}==0.25.1");
    Err(PluginBuildError::Incomplete { file, problem })
}

fn install(folder: &Path, requirements: &str) -> Result<(), PluginBuildError> {
    PYTHON.run(PYTHON.command().args(["-m", "venv"]).arg(folder), folder)?;
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements).map_err(|cause| file_error(&list, cause))?;
    let mut command = Command::new(folder.join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list);
    Tool { name: "pip", ..PYTHON }.run(&mut command, folder).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpinned_tool_is_told_how_to_be_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_requirements(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("needs a line that pins the tool: componentize-py==0.25.1"), "{error}");
    }
}
