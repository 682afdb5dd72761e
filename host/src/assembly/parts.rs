//! Building the single parts of a serving process from its settings.

use super::CommandError;
use crate::config::ServeConfig;
use crate::control::manifests;
use crate::listen::{ListenTls, SharedListenTls, TokenTable};
use crate::observe::Metrics;
use crate::pki::{self, Credentials, Identity};
use crate::registry::Registry;
use crate::store::FileStore;
use crate::upstream::{BackendTls, FrontProxy};
use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime::Runtime;

/// Threads for everything that is not the request path. Two, so that one long job delays nobody.
const CONTROL_THREADS: usize = 2;

/// Files that only `umbel serve` makes in a data directory. If one of them exists, the directory had a store.
const MADE_BY_SERVING: [&str; 3] = ["admin.kubeconfig", "backend", "pki/serving.crt"];

/// Opens the store of the data directory. Its lock keeps a second process from touching anything, so it comes
/// before whatever else is written there.
pub(super) fn open_store(config: &ServeConfig) -> Result<FileStore, CommandError> {
    pki::refuse_foreign_directory(&config.data_dir).map_err(CommandError::failed)?;
    if config.allow_empty_store {
        return FileStore::open_or_replace_lost(&config.data_dir).map_err(CommandError::failed);
    }
    let store = config.data_dir.join("store");
    let made_by_serving = MADE_BY_SERVING.into_iter().find(|name| config.data_dir.join(name).exists());
    if let Some(name) = made_by_serving.filter(|_| !store.exists()) {
        return Err(CommandError::failed(format!(
            "{} is missing, although {name} says that Umbel served from here before. Put the folder back; or bring \
             the objects back with `umbel store import`, or start without them with --allow-empty-store",
            store.display()
        )));
    }
    FileStore::open(&config.data_dir).map_err(CommandError::failed)
}

/// Makes or loads all certificates; what was renewed is logged.
pub(super) fn ensure_credentials(config: &ServeConfig) -> Result<Credentials, CommandError> {
    let request = pki::Request {
        data_dir: &config.data_dir,
        listen: config.listen.ip(),
        advertise_hosts: &config.advertise_hosts,
        host_name: pki::host_name(),
        tls_files: config.tls_files.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path())),
        now: SystemTime::now(),
    };
    let credentials = pki::ensure(&request).map_err(CommandError::failed)?;
    for notice in &credentials.notices {
        tracing::info!("{notice}");
    }
    Ok(credentials)
}

/// Takes the address before anything depends on it.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).map_err(|error| {
        CommandError::failed(format!(
            "cannot listen on {address}: {error}; name another address with --listen"
        ))
    })
}

/// What clients are shown, and who vouches for theirs: Umbel's own client CA and `--client-ca-file`.
pub(super) fn listen_tls(
    config: &ServeConfig,
    credentials: &Credentials,
) -> Result<SharedListenTls, CommandError> {
    let mut roots = parse_certificates(credentials.client_ca_pem.as_bytes(), "client CA")?;
    if let Some(path) = &config.client_ca_file {
        let pem = read(path, "--client-ca-file")?;
        roots.extend(parse_certificates(&pem, "--client-ca-file")?);
    }
    let serving = &credentials.serving;
    let tls = ListenTls::new(serving.chain.clone(), serving.key.clone_key(), roots);
    Ok(Arc::new(ArcSwap::from_pointee(tls.map_err(CommandError::failed)?)))
}

/// What backends are shown, and who vouches for theirs by default.
pub(super) fn backend_tls(credentials: &Credentials) -> Result<Arc<BackendTls>, CommandError> {
    let tls = BackendTls::new(front_proxy(credentials), credentials.ca_pem.as_bytes());
    tls.map(Arc::new).map_err(CommandError::failed)
}

/// The certificate that backends are shown.
pub(super) fn front_proxy(credentials: &Credentials) -> FrontProxy {
    let Identity { chain, key } = &credentials.front_proxy;
    FrontProxy { chain: chain.clone(), key: key.clone_key() }
}

/// The static tokens; none without `--token-auth-file`.
pub(super) fn read_tokens(config: &ServeConfig) -> Result<Arc<TokenTable>, CommandError> {
    let Some(path) = &config.token_auth_file else { return Ok(Arc::default()) };
    let bytes = read(path, "--token-auth-file")?;
    let text = String::from_utf8_lossy(&bytes);
    let refuse = |error| CommandError::failed(format!("--token-auth-file {}: {error}", path.display()));
    TokenTable::parse(&text).map(Arc::new).map_err(refuse)
}

/// Makes the default manifest directory where it is missing, so that there is a place to put files. An empty
/// directory removes what files declared before. So none is made where somebody names it (a volume may not be
/// mounted yet), nor while there are objects that came from files (their files may have been left behind).
pub(super) async fn make_manifest_dir(config: &ServeConfig, registry: &Registry) -> Result<(), CommandError> {
    let path = &config.manifest_dir;
    if *path != config.default_manifest_dir() || path.exists() {
        return Ok(());
    }
    if manifests::has_made_any(registry).await.map_err(|failure| CommandError::failed(failure.message))? {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        CommandError::failed(format!("the manifest directory {} cannot be made: {error}", path.display()))
    })
}

/// The runtime of everything that is not the request path.
pub(super) fn control_runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("cannot start the control runtime: {error}")))
}

/// Loads what lies in the plugin directory; the built-in decisions stand behind.
#[cfg(feature = "plugins")]
pub(super) fn start_plugins(
    config: &ServeConfig,
    listener: &TcpListener,
    metrics: &Metrics,
) -> Result<Arc<crate::plugin::Host>, CommandError> {
    use crate::decision::builtin::{DiscoveryProbe, ExternalNameResolver};
    use crate::plugin::{Builtins, CompileChild, Compiler, Host, PluginConfig, Trust};
    let insecure = config.plugins_insecure_permissions;
    let plugins = PluginConfig {
        dir: config.plugin_dir.clone(),
        dns_servers: config.plugin_dns_servers.clone(),
        listeners: vec![listener.local_addr().map_err(CommandError::failed)?],
        trust: if insecure { Trust::Everybody } else { Trust::OwnersOnly },
        compiler: Compiler::Child(CompileChild::of_this_program()),
        code_dir: Some(config.data_dir.join("plugin-cache")),
        state_dir: Some(config.data_dir.join("plugin-state")),
    };
    let builtins =
        Builtins { resolver: Arc::new(ExternalNameResolver), health_checker: Arc::new(DiscoveryProbe) };
    let host = Host::start(plugins, builtins).map_err(CommandError::failed)?;
    host.show_metrics(metrics).map_err(CommandError::failed)?;
    Ok(host)
}

/// The built-ins decide; components that lie in the plugin directory are told of, and stay as they are.
#[cfg(not(feature = "plugins"))]
pub(super) fn start_plugins(
    config: &ServeConfig,
    _listener: &TcpListener,
    _metrics: &Metrics,
) -> Result<Arc<crate::decision::builtins_only::BuiltinsOnly>, CommandError> {
    let files = std::fs::read_dir(&config.plugin_dir).into_iter().flatten().flatten();
    if files.into_iter().any(|file| file.path().extension().is_some_and(|extension| extension == "wasm")) {
        tracing::warn!(
            plugin_dir = %config.plugin_dir.display(),
            "this gateway was built without plugins: the components in the plugin directory are not loaded"
        );
    }
    Ok(Arc::default())
}

fn read(path: &Path, flag: &str) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| CommandError::failed(format!("{flag} {}: {error}", path.display())))
}

fn parse_certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, CommandError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CommandError::failed(format!("{what}: {error}")))
}
