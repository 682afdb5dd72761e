//! etcd on a free port with data of its own.

use super::peers::{Missing, Peer};
use super::process::{Process, free_port};
use super::wait::wait_for;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    _process: Process,
    port: u16,
    _directory: TempDir,
}

impl Etcd {
    /// The program.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn program() -> Result<PathBuf, Missing> {
        Peer::Etcd.program()
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> Result<Self> {
        let program = Self::program().map_err(|missing| anyhow::anyhow!("{missing}"))?;
        let directory = TempDir::new()?;
        let (port, peer_port) = (free_port()?, free_port()?);
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(directory.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
        let mut process = Process::start("etcd", &mut command, &directory.path().join("etcd.log"))?;
        wait_for("etcd to answer", Duration::from_secs(30), || {
            let alive = process.check_alive();
            async move {
                alive?;
                if TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                    bail!("nothing listens on {port}");
                }
                Ok(())
            }
        })
        .await?;
        Ok(Self { _process: process, port, _directory: directory })
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
