//! The upstream sample API server, as anybody would run it behind Umbel.

use super::etcd::Etcd;
use super::peers::{Missing, Peer};
use super::port::ReservedPort;
use super::process::Process;
use super::umbel::{Umbel, umbel_program};
use super::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// A sample API server (`wardle.example.com`) with an etcd of its own, prepared by `umbel backend init`.
#[derive(Debug)]
pub struct SampleApiServer {
    process: Option<Process>,
    etcd: Etcd,
    port: ReservedPort,
    directory: TempDir,
}

impl SampleApiServer {
    /// Checks that all programs are there.
    ///
    /// # Errors
    /// Which one cannot be had.
    pub fn available() -> Result<(), Missing> {
        Etcd::program()?;
        Peer::SampleApiServer.program().map(|_| ())
    }

    /// Prepares the backend `default/flunders` of `umbel` and starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(umbel: &Umbel) -> Result<Self> {
        Self::start_for(&umbel.data_dir()).await
    }

    /// The same for a data directory whose Umbel need not run yet.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_for(data_dir: &Path) -> Result<Self> {
        Self::start_as("default/flunders", data_dir).await
    }

    /// The same as the backend `service` (`namespace/name`).
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_as(service: &str, data_dir: &Path) -> Result<Self> {
        let mut server = Self {
            process: None,
            etcd: Etcd::start().await?,
            port: ReservedPort::new()?,
            directory: TempDir::new()?,
        };
        server.prepare(service, data_dir)?;
        server.restart().await?;
        Ok(server)
    }

    fn prepare(&self, service: &str, data_dir: &Path) -> Result<()> {
        let output = Command::new(umbel_program()?)
            .args(["backend", "init", service, "--group", "wardle.example.com"])
            .args(["--version", "v1beta1", "--version", "v1alpha1", "--port", &self.port().to_string()])
            .arg("--out")
            .arg(self.files())
            .arg("--data-dir")
            .arg(data_dir)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Where it listens on `127.0.0.1`.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("backend")
    }

    /// `register.yaml` of `umbel backend init`.
    pub fn registration(&self) -> PathBuf {
        self.files().join("register.yaml")
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the sample API server does not run")?.kill()
    }

    /// Starts it (again) with the flags that `umbel backend init` wrote, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let program = Peer::SampleApiServer.program().map_err(|missing| anyhow::anyhow!("{missing}"))?;
        let flags = std::fs::read_to_string(self.files().join("flags.txt"))?;
        let mut command = Command::new(program);
        command.args(flags.lines()).args(["--etcd-servers", &self.etcd.url()]);
        command.current_dir(self.directory.path());
        let log = self.directory.path().join("sample-apiserver.log");
        let mut process = Process::start("sample-apiserver", &mut command, &log)?;
        let address = self.port.address();
        wait_for("the sample API server to listen", Duration::from_secs(60), || {
            let alive = process.check_alive();
            async move {
                alive?;
                TcpStream::connect(address).await.map(|_| ()).context("nothing listens yet")
            }
        })
        .await
        .with_context(|| format!("the end of its log:\n{}", process.log_tail()))?;
        self.process = Some(process);
        Ok(())
    }
}
