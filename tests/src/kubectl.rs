//! Stock kubectl, newest and older.

use super::peers::{Missing, Peer};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// No call of kubectl in a suite may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A kubectl with a kubeconfig and caches of its own.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: Arc<TempDir>,
}

/// What a call of kubectl gave.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Kubectl {
    /// The newest kubectl.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn newest(kubeconfig: &Path) -> Result<Self, Missing> {
        Self::with_program(Peer::Kubectl.program()?, kubeconfig)
    }

    /// The oldest kubectl from 1.27 on that lies beside the one in the `PATH`; one is built where there is none.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn oldest(kubeconfig: &Path) -> Result<Self, Missing> {
        let found = older_programs().into_iter().next();
        let program = found.map_or_else(|| Peer::OldestKubectl.program(), Ok)?;
        Self::with_program(program, kubeconfig)
    }

    /// Every older kubectl that there is, oldest first.
    pub fn older(kubeconfig: &Path) -> Vec<Self> {
        let all = older_programs().into_iter();
        all.filter_map(|program| Self::with_program(program, kubeconfig).ok()).collect()
    }

    fn with_program(program: PathBuf, kubeconfig: &Path) -> Result<Self, Missing> {
        let home = TempDir::new().map_err(|error| Missing(format!("no temporary directory: {error}")))?;
        Ok(Self { program, kubeconfig: kubeconfig.to_owned(), home: Arc::new(home) })
    }

    /// The program's file name, for messages.
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Another kubectl of the same version, with caches of its own.
    ///
    /// # Errors
    /// When there is no temporary directory.
    pub fn fresh(&self) -> Result<Self> {
        Ok(Self { home: Arc::new(TempDir::new()?), ..self.clone() })
    }

    /// The command that [`Self::run`] would run, for long-running calls.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).kill_on_drop(true);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.home.path());
        command.env("KUBECACHEDIR", self.home.path().join("cache")).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs kubectl, whatever it answers.
    ///
    /// # Errors
    /// When it cannot be run or takes too long.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.run_with_input(arguments, "").await
    }

    /// Runs kubectl with a text on its standard input (`-f -`).
    ///
    /// # Errors
    /// When it cannot be run or takes too long.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        self.run_command(self.command(arguments), input).await
    }

    /// Runs a prepared command.
    ///
    /// # Errors
    /// When it cannot be run or takes too long.
    pub async fn run_command(&self, mut command: Command, input: &str) -> Result<Output> {
        let what = format!("{:?}", command.as_std());
        let mut child = command.stdin(Stdio::piped()).spawn().with_context(|| what.clone())?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let call = async {
            // kubectl that does not read its input closes it early; its answer tells the rest.
            stdin.write_all(input.as_bytes()).await.ok();
            drop(stdin);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(LIMIT, call).await.with_context(|| format!("{what} hangs"))??;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs kubectl, which must succeed; gives its standard output.
    ///
    /// # Errors
    /// When it does not succeed.
    pub async fn ok(&self, arguments: &[&str]) -> Result<String> {
        self.ok_with_input(arguments, "").await
    }

    /// The same with a text on its standard input.
    ///
    /// # Errors
    /// When it does not succeed.
    pub async fn ok_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.run_with_input(arguments, input).await?;
        ensure!(
            output.code == 0,
            "{} {arguments:?} ended with {}:\n{}{}",
            self.name(),
            output.code,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }
}

fn older_programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("kubectl")).find(|p| p.exists());
    let Some(directory) =
        found.and_then(|p| p.canonicalize().ok()).and_then(|p| p.parent().map(Path::to_owned))
    else {
        return Vec::new();
    };
    let programs = (27..=40).map(|minor| directory.join(format!("kubectl.1.{minor}")));
    programs.filter(|program| program.exists()).collect()
}
