//! An author of plugins at a shell, in a directory of their own.

use super::peers::Missing;
use super::umbel::{Umbel, umbel_program};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorLanguage {
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// JavaScript.
    JavaScript,
    /// Python.
    Python,
}

impl AuthorLanguage {
    /// All that `umbel plugin new` knows.
    pub const ALL: [Self; 4] = [Self::Rust, Self::Go, Self::JavaScript, Self::Python];

    /// The word for `--lang`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        }
    }

    /// The program that the build needs.
    fn tool(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => ("cargo", "--version"),
            Self::Go => ("go", "version"),
            Self::JavaScript => ("npm", "--version"),
            Self::Python => ("python3", "--version"),
        }
    }

    /// The language, if what builds it is there.
    ///
    /// # Errors
    /// Which program is not.
    pub fn here(self) -> Result<Self, Missing> {
        let (program, argument) = self.tool();
        let tried = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match tried {
            Ok(status) if status.success() => Ok(self),
            Ok(status) => Err(Missing(format!("{program} {argument} ends with {status}"))),
            Err(error) => Err(Missing(format!("{program}, which builds {}: {error}", self.name()))),
        }
    }
}

/// A command that was run, and what it said.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it is typed.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it said, errors after the rest.
    pub said: String,
}

/// Somebody with a shell and nothing else.
#[derive(Debug)]
pub struct Author {
    home: TempDir,
    /// Everything that was run.
    pub steps: Vec<Step>,
}

impl Author {
    /// In an empty directory.
    ///
    /// # Errors
    /// When there can be none.
    pub fn new() -> Result<Self> {
        Ok(Self { home: TempDir::new()?, steps: Vec::new() })
    }

    /// The directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs `umbel` with arguments, and keeps what it says.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn umbel(&mut self, arguments: &[&str]) -> Result<Step> {
        let mut command = Command::new(umbel_program()?);
        // Downloads belong to no test: what the templates need is what the plugins of the tree need.
        command
            .args(arguments)
            .current_dir(self.home())
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null());
        command.env_remove("KUBECONFIG");
        let output = command.output().context("umbel cannot be run")?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let step = Step {
            command: format!(
                "umbel {}",
                arguments.iter().map(|argument| typed(argument)).collect::<Vec<_>>().join(" ")
            ),
            code: output.status.code().unwrap_or(-1),
            said: said
                .concat()
                .lines()
                .filter(|line| !is_of_the_tool(line))
                .map(|line| format!("{line}\n"))
                .collect(),
        };
        self.steps.push(step.clone());
        Ok(step)
    }

    /// The same, which must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn ok(&mut self, arguments: &[&str]) -> Result<String> {
        let Step { command, code, said } = self.umbel(arguments)?;
        ensure!(code == 0, "{command} ends with {code}:\n{said}");
        Ok(said)
    }

    /// Replaces a text that stands once in a file.
    ///
    /// # Errors
    /// When it does not stand there.
    pub fn edit(&mut self, name: &str, old: &str, new: &str) -> Result<()> {
        let text = fs::read_to_string(self.path(name))?;
        ensure!(text.matches(old).count() == 1, "{old:?} stands not once in {name}:\n{text}");
        fs::write(self.path(name), text.replace(old, new))?;
        let command = format!("sed -i 's/{old}/{new}/' {name}");
        self.steps.push(Step { command, code: 0, said: String::new() });
        Ok(())
    }

    /// The steps as they stand on the screen. What differs from run to run is told in other words.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        for Step { command, code, said } in &self.steps {
            // Writing to a string cannot fail, here and below.
            writeln!(text, "$ {command}\n{said}").ok();
            if *code != 0 {
                writeln!(text, "(exit code {code})\n").ok();
            }
        }
        text.replace(&format!("{}/", self.home().display()), "")
    }
}

/// An argument as it is typed.
fn typed(argument: &str) -> String {
    if argument.contains(' ') { format!("'{argument}'") } else { argument.to_owned() }
}

/// Whether a line is from the language's tool, which says other things on other machines.
fn is_of_the_tool(line: &str) -> bool {
    let words =
        ["Compiling", "Finished", "Downloading", "Downloaded", "Locking", "Updating", "Adding", "Blocking"];
    words.iter().any(|word| line.trim_start().starts_with(word))
}

/// From nothing to a plugin that a gateway serves, with a failing case on the way.
///
/// # Errors
/// The step that did not do what the guide says.
pub async fn first_ten_minutes(language: AuthorLanguage) -> Result<Author> {
    let gateway = Umbel::start().await?;
    let mut author = Author::new()?;
    std::os::unix::fs::symlink(gateway.data_dir(), author.path("umbel-data"))?;
    author.ok(&["plugin", "new", "resolver", "my-zone", "--lang", language.word()])?;
    author.ok(&["plugin", "build", "my-zone", "--output", "my-zone"])?;
    let said = author.ok(&["plugin", "test", "my-zone/my-zone.wasm"])?;
    ensure!(said.contains(" passed, 0 failed"), "{said}");
    author.edit("my-zone/cases/resolve.yaml", "freshMs: 5000", "freshMs: 7000")?;
    let failed = author.umbel(&["plugin", "test", "my-zone/my-zone.wasm", "--filter", "every address"])?;
    ensure!(failed.code == 1 && failed.said.contains("expected  7000"), "{failed:?}");
    author.edit("my-zone/cases/resolve.yaml", "freshMs: 7000", "freshMs: 5000")?;
    author.ok(&["plugin", "check", "my-zone/my-zone.wasm"])?;
    let said = author.ok(&["plugin", "install", "my-zone/my-zone.wasm", "--wait", "--timeout", "180"])?;
    ensure!(said.contains("my-zone serves"), "{said}");
    Ok(author)
}
