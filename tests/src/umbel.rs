//! Umbel as a process.

use super::client::Client;
use super::port::ReservedPort;
use super::process::Process;
use super::wait::wait_for;
use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running Umbel on a free port, with a data directory of its own that outlives restarts.
#[derive(Debug)]
pub struct Umbel {
    process: Process,
    address: SocketAddr,
    /// Keeps the port for the next start.
    port: Option<ReservedPort>,
    arguments: Vec<String>,
    home: TempDir,
}

impl Umbel {
    /// Starts it and waits until `/readyz` says ok.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further flags of `umbel serve`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        Self::start_in(TempDir::new()?, arguments).await
    }

    /// The same in a directory that the test has prepared; the data directory is `data` below it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_in(home: TempDir, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (process, address) = launch(home.path(), &arguments, "127.0.0.1:0").await?;
        let umbel = Self { process, address, port: None, arguments, home };
        umbel.wait_ready().await?;
        Ok(umbel)
    }

    /// Starts it again on the same directory and the same port, after [`Self::kill`] or [`Self::terminate`].
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> Result<()> {
        let (process, address) = launch(self.home.path(), &self.arguments, &self.address.to_string()).await?;
        ensure!(address == self.address, "restarted on {address} instead of {}", self.address);
        self.process = process;
        self.wait_ready().await
    }

    /// The same with other flags of `umbel serve` from now on.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.restart().await
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.keep_port()
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it still runs after `bound`.
    pub async fn terminate(&mut self, bound: Duration) -> Result<ExitStatus> {
        let status = self.process.terminate(bound).await?;
        self.keep_port()?;
        Ok(status)
    }

    fn keep_port(&mut self) -> Result<()> {
        if self.port.is_none() {
            self.port = Some(ReservedPort::at(self.address)?);
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `--data-dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("admin.kubeconfig")
    }

    /// All log lines so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A client that shows the administrator's certificate.
    ///
    /// # Errors
    /// When the certificates in the data directory cannot be used.
    pub fn admin(&self) -> Result<Client> {
        Client::with_certificate(self.address, &self.data_dir().join("pki"), "admin")
    }

    /// A client that shows no certificate.
    ///
    /// # Errors
    /// When the CA in the data directory cannot be used.
    pub fn anonymous(&self) -> Result<Client> {
        Client::anonymous(self.address, &self.data_dir().join("pki"))
    }

    async fn wait_ready(&self) -> Result<()> {
        if self.arguments.iter().any(|argument| argument == "--tls-cert-file") {
            // The client would not trust it. The line that `launch` waited for comes once Umbel is ready.
            return Ok(());
        }
        let client = self.anonymous()?;
        let ready = wait_for("/readyz to say ok", START, || async {
            let answer = client.get("/readyz").await?;
            ensure!(answer.status == 200, "/readyz says {}: {}", answer.status, answer.text());
            Ok(())
        });
        ready.await.with_context(|| format!("the end of its log:\n{}", self.process.log_tail()))
    }
}

/// The program, built from the sources as they are now; or the one that `UMBEL_PROGRAM` names, so that a bench can
/// measure a release that is there already.
///
/// # Errors
/// When it does not build.
pub fn umbel_program() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(program) = std::env::var_os("UMBEL_PROGRAM") {
        return Ok(program.into());
    }
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    let directory = std::env::current_exe()?;
    let directory = directory.parent().and_then(Path::parent).context("the test runs outside of target")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", "umbel", "--bin", "umbel"]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output()?;
    ensure!(output.status.success(), "umbel does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(directory.join("umbel"))
}

async fn launch(home: &Path, arguments: &[String], listen: &str) -> Result<(Process, SocketAddr)> {
    let log = home.join("umbel.log");
    let before = std::fs::read(&log).map_or(0, |bytes| bytes.len());
    let mut command = Command::new(umbel_program()?);
    command.arg("serve").arg("--data-dir").arg(home.join("data"));
    if !arguments.iter().any(|argument| argument.starts_with("--listen")) {
        command.args(["--listen", listen]);
    }
    command.args(arguments);
    let mut process = Process::start("umbel", &mut command, &log)?;
    let address = wait_for("umbel to say where it serves", START, || {
        let said = process.check_alive().map(|()| process.log());
        async move {
            let said = said?;
            let Some(address) = serving_address(said.get(before..).unwrap_or_default()) else {
                bail!("it says:\n{said}")
            };
            Ok(address)
        }
    });
    let address = address.await?;
    Ok((process, address))
}

/// The address in the line `serving on https://IP:PORT`.
fn serving_address(log: &str) -> Option<SocketAddr> {
    let complete = &log[..=log.rfind('\n')?];
    let line = complete.lines().find(|line| line.contains("serving on https://"))?;
    let rest = line.split("serving on https://").nth(1)?;
    rest.split(|c: char| c.is_whitespace() || c == '"' || c == '\u{1b}').next()?.parse().ok()
}
