//! Which endpoints does a service resolve to?

use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::runtime::Handle;

/// What is to be resolved: the service that an APIService names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the ExternalName.
    pub namespace: String,
    /// Name of the ExternalName.
    pub name: String,
    /// Port from the APIService.
    pub port: u16,
    /// `spec.host` of the ExternalName, where one exists.
    pub external_name: Option<String>,
    /// Annotations of the ExternalName.
    pub annotations: Vec<(String, String)>,
}

/// One place where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// DNS name or IP literal (no brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Share of the traffic among the endpoints, relative to the others; 0 stands by until no other is left.
    pub weight: u16,
}

/// `host:port` as it stands in a URL; IPv6 literals get brackets.
pub fn url_authority(endpoint: &Endpoint) -> String {
    if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    }
}

/// The answer of a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Where to go; at least one.
    pub endpoints: Vec<Endpoint>,
    /// For how long nobody needs to ask again; zero means until the target changes.
    pub fresh: Duration,
    /// For how long the answer may be used when asking again fails; zero means for ever.
    pub stale: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// This resolver does not handle the target.
    #[error("no resolver handles this service")]
    NotMine,
    /// The target does not exist: becomes `ServiceNotFound`.
    #[error("{0}")]
    NotFound(String),
    /// The target cannot be understood.
    #[error("{0}")]
    Invalid(String),
    /// The answer cannot be had now.
    #[error("{0}")]
    Unavailable(String),
    /// The plugin that decides failed, and by its failure policy nothing stands in for it: no endpoints, whatever was
    /// known before. Becomes `PluginFailed`.
    #[error("{detail}")]
    Withheld {
        /// For clients: names the plugin and nothing that it said.
        public: String,
        /// For operators.
        detail: String,
    },
    /// Anything else: becomes `ServiceAccessError`.
    #[error("{0}")]
    Other(String),
}

/// Finds the endpoints of a service.
pub trait Resolver: Send + Sync {
    /// Resolves one target. Must return within its own time limit.
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>>;

    /// The runtime on which it works. Whoever asks from a task there saves the way to it and back; one without a
    /// home answers anywhere.
    fn home(&self) -> Option<Handle> {
        None
    }
}
