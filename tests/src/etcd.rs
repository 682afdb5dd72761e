//! etcd on a free port with data of its own.

use super::peers::{Missing, Peer};
use super::port::ReservedPort;
use super::process::Process;
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
    port: ReservedPort,
    _peer_port: ReservedPort,
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
        let (port, peer_port) = (ReservedPort::new()?, ReservedPort::new()?);
        let (client, peer) =
            (format!("http://{}", port.address()), format!("http://{}", peer_port.address()));
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(directory.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
        let mut process = Process::start("etcd", &mut command, &directory.path().join("etcd.log"))?;
        let address = port.address();
        wait_for("etcd to answer", Duration::from_secs(30), || {
            let alive = process.check_alive();
            async move {
                alive?;
                if TcpStream::connect(address).await.is_err() {
                    bail!("nothing listens on {address}");
                }
                Ok(())
            }
        })
        .await?;
        Ok(Self { _process: process, port, _peer_port: peer_port, _directory: directory })
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }
}
