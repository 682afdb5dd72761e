//! Plugins as the gateway runs them: real components, in a real directory, over the real host.

mod answers;
mod arriving;
mod beside;
mod budgets;
mod compiling;
mod dropped_in;
mod failing;
mod grants;
mod hostile;
mod misbehaving;
mod numbers;
mod policies;
mod probation;
mod refused;
mod rehearsal;
mod restarted;
mod shipped;
mod standard;
mod swapping;
mod twins;
mod under_traffic;

use anyhow::{Context, Result, anyhow};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::decision::builtin::{DiscoveryProbe, ExternalNameResolver};
use umbel::decision::health::{HealthChecker, ProbeFault, ProbeRequest, ProbeResponse, Prober, Subject};
use umbel::decision::resolver::{Endpoint, Resolver, Target};
use umbel::plugin::{Builtins, Compiler, Host, PluginConfig, Status, Trust};
use umbel_tests::{Guest, wait_for};

/// What the issue promises: a change in the directory takes effect within this time. The machine may be busy
/// with other suites, so the tests wait longer before they give up; they measure nothing.
const PATIENCE: Duration = Duration::from_secs(180);

/// A plugin directory and the host that looks after it.
struct Plugins {
    dir: TempDir,
    host: Arc<Host>,
}

impl Plugins {
    fn start() -> Result<Self> {
        Self::start_with(Vec::new(), |_| Ok(()))
    }

    fn start_with(
        dns_servers: Vec<std::net::SocketAddr>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        Self::start_compiled(dns_servers, Compiler::InProcess, None, fill)
    }

    fn start_compiled(
        dns_servers: Vec<std::net::SocketAddr>,
        compiler: Compiler,
        code_dir: Option<&Path>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fill(dir.path())?;
        Self::start_at(dir, |config| PluginConfig {
            dns_servers,
            compiler,
            code_dir: code_dir.map(Path::to_owned),
            ..config
        })
    }

    /// Starts a host on a directory, with a changed configuration.
    fn start_at(dir: TempDir, configured: impl FnOnce(PluginConfig) -> PluginConfig) -> Result<Self> {
        let config = configured(PluginConfig {
            dir: dir.path().to_owned(),
            dns_servers: Vec::new(),
            listeners: Vec::new(),
            trust: Trust::default(),
            compiler: Compiler::InProcess,
            code_dir: None,
            state_dir: None,
        });
        let builtins =
            Builtins { resolver: Arc::new(ExternalNameResolver), health_checker: Arc::new(DiscoveryProbe) };
        Ok(Self { host: Host::start(config, builtins)?, dir })
    }

    /// The same, when everything in the directory has been loaded or refused.
    async fn start_loaded(
        dns_servers: Vec<std::net::SocketAddr>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let plugins = Self::start_with(dns_servers, fill)?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(plugins.dir.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        for name in names {
            let settled = |status: &Status| status.generation > 0 || status.reason.is_some();
            plugins.wait_status(&name, "loaded or refused", settled).await?;
        }
        Ok(plugins)
    }

    fn status(&self, name: &str) -> Result<Status> {
        let all = self.host.status();
        all.into_iter().find(|status| status.name == name).with_context(|| format!("no plugin {name}"))
    }

    async fn wait_status(&self, name: &str, what: &str, good: impl Fn(&Status) -> bool) -> Result<Status> {
        wait_for(&format!("plugin {name} to be {what}"), PATIENCE, || async {
            let status = self.status(name)?;
            if good(&status) { Ok(status) } else { Err(anyhow!("{status:?}")) }
        })
        .await
    }

    async fn wait_generation(&self, name: &str, generation: u64) -> Result<Status> {
        let what = format!("at generation {generation}");
        self.wait_status(name, &what, |status| status.generation == generation && status.reason.is_none())
            .await
    }

    fn resolver(&self, plugin: &str) -> Arc<dyn Resolver> {
        self.host.resolver(&subject_of(plugin))
    }

    fn health_checker(&self, plugin: &str) -> Arc<dyn HealthChecker> {
        self.host.health_checker(&subject_of(plugin))
    }
}

fn subject_of(plugin: &str) -> BindingSubject {
    BindingSubject { plugin: Some(plugin.to_owned()), ..BindingSubject::default() }
}

/// Copies a guest into the directory as an author would: under a dot-name, then renamed.
fn drop_guest(dir: &Path, guest: Guest, name: &str) -> Result<()> {
    let component = guest.component().map_err(|missing| anyhow!("{missing}"))?;
    let hidden = dir.join(format!(".{name}.wasm"));
    std::fs::copy(component, &hidden)?;
    std::fs::rename(hidden, dir.join(format!("{name}.wasm")))?;
    Ok(())
}

fn write_manifest(dir: &Path, name: &str, spec: &str) -> Result<()> {
    let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
    let hidden = dir.join(format!(".{name}.yaml"));
    std::fs::write(&hidden, format!("{head}{spec}\n"))?;
    std::fs::rename(hidden, dir.join(format!("{name}.yaml")))?;
    Ok(())
}

fn target(host: Option<&str>) -> Target {
    Target {
        namespace: "prod".to_owned(),
        name: "shop".to_owned(),
        port: 8443,
        external_name: host.map(str::to_owned),
        annotations: Vec::new(),
    }
}

fn judged(hosts: &[&str]) -> Subject {
    let endpoint = |host: &&str| Endpoint { host: (*host).to_owned(), port: 443, weight: 1 };
    Subject {
        api_service: "v1.example.com".to_owned(),
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        endpoints: hosts.iter().map(endpoint).collect(),
        ..Subject::default()
    }
}

/// Answers probes from a list, by endpoint, and remembers them.
struct Recorded {
    answers: Vec<Result<u16, ProbeFault>>,
    seen: Mutex<Vec<ProbeRequest>>,
}

impl Recorded {
    fn new(answers: Vec<Result<u16, ProbeFault>>) -> Self {
        Self { answers, seen: Mutex::default() }
    }
}

impl Prober for Recorded {
    fn send(&self, request: ProbeRequest) -> BoxFuture<'_, Result<ProbeResponse, ProbeFault>> {
        let answer = self.answers[request.endpoint].clone();
        self.seen.lock().push(request);
        let answer = answer.map(|status| ProbeResponse { status, ..ProbeResponse::default() });
        Box::pin(async move {
            // A real answer takes a while; the guest must be able to wait for it.
            tokio::task::yield_now().await;
            answer
        })
    }
}
