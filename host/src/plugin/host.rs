//! The plugins of one process, and who decides for which object.

use super::bound::{Binding, Bound};
use super::roster::{Known, Roster};
use super::status::Status;
use crate::decision::binding::{BindingSubject, Decisions};
use crate::decision::discovery::DiscoveryTransformer;
use crate::decision::health::HealthChecker;
use crate::decision::resolver::Resolver;
use crate::model::failure_policy::FailurePolicy;
use crate::observe::{Metrics, MetricsError};
use crate::plugin::adapter::adapters::Adapters;
use crate::plugin::adapter::component_checker::ComponentChecker;
use crate::plugin::adapter::component_resolver::ComponentResolver;
use crate::plugin::adapter::component_transformer::ComponentTransformer;
use crate::plugin::adapter::stand_in::describe;
use crate::plugin::code::compiler::Compiler;
use crate::plugin::code::cupboard::Cupboard;
use crate::plugin::code::foundry::{CodeCounts, Foundry};
use crate::plugin::code::maker::Maker;
use crate::plugin::code::workshop::Workshop;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::call_state::Outside;
use crate::plugin::component::engine;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::runner::Runner;
use crate::plugin::component::ticker::Ticker;
use crate::plugin::offer::host_functions::add_to_linker;
use crate::plugin::saved::SavedPlugins;
use crate::plugin::source::caretaker::Caretaker;
use crate::plugin::source::intake::Machine;
use crate::plugin::source::pattern::Pattern;
use crate::plugin::source::rights::Trust;
use crate::plugin::source::steps::Works;
use crate::plugin::source::waker::Waker;
use crate::plugin::telemetry::PluginCollector;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// How long a manifest may lie there before its component, which is put there after it, is said to be missing.
const ON_THE_WAY: SignedDuration = SignedDuration::from_secs(3);

/// Where plugins come from and what they may use.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// The directory with the components; made when it does not exist.
    pub dir: PathBuf,
    /// The DNS servers that plugins ask; empty means those of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
    /// Where this process listens: plugins may lead there only where their manifest names the very address.
    pub listeners: Vec<SocketAddr>,
    /// Whose files are loaded.
    pub trust: Trust,
    /// Who compiles components.
    pub compiler: Compiler,
    /// Where native code is kept; made when it does not exist. Without it every start compiles everything.
    pub code_dir: Option<PathBuf>,
    /// Where the last good files of each plugin are kept, and which files were rejected; made when it does not exist.
    /// Without it a restart forgets both.
    pub state_dir: Option<PathBuf>,
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
    /// The system gives no more threads.
    #[error("plugins need threads of their own: {0}")]
    Threads(std::io::Error),
}

/// How long [`Host::start`] waits for the first look at the directory. What takes longer is loaded later.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Threads that run guests.
const THREADS: usize = 2;
/// Threads that wait for names and files of plugins.
const BLOCKING_THREADS: usize = 128;

/// What every adapter needs.
pub(in crate::plugin) struct Crew {
    pub roster: Arc<Roster>,
    pub builtins: Builtins,
    runner: Option<Arc<Runner>>,
}

impl Crew {
    pub(in crate::plugin) fn runner(&self) -> Result<&Arc<Runner>, CallFault> {
        self.runner.as_ref().ok_or_else(|| CallFault::Host("plugins cannot run on this machine".to_owned()))
    }
}

/// The plugins of one process.
pub struct Host {
    crew: Arc<Crew>,
    resolvers: Adapters<ComponentResolver>,
    checkers: Adapters<ComponentChecker>,
    bound: Bound,
    runtime: Option<Runtime>,
    waker: Waker,
    foundry: Option<Arc<Foundry>>,
}

impl Host {
    /// Loads what lies in the directory and keeps watching it. A component that cannot be loaded is no error
    /// here: see [`Host::status`]. Blocks until the first look at the directory is over, at most 10 s.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or threads cannot be started.
    pub fn start(config: PluginConfig, builtins: Builtins) -> Result<Arc<Self>, StartError> {
        let directory = |cause| StartError::Directory { dir: config.dir.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&config.dir).map_err(directory)?;
        std::fs::read_dir(&config.dir).map_err(directory)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("plugin")
            .on_thread_start(Engine::tls_eager_initialize)
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let opened =
            config.state_dir.clone().map(SavedPlugins::open).transpose().map_err(StartError::Threads)?;
        let (saved, found) = opened.unzip();
        let roster = Arc::new(Roster::new(config.dir.clone(), saved));
        let waker = Waker::default();
        let machine = build_machine(&config, runtime.handle().clone(), &waker);
        if let Err(cause) = &machine {
            tracing::error!(cause, "plugins cannot run on this machine; the built-ins decide");
        }
        let runner = machine.as_ref().ok().map(|machine| Arc::clone(&machine.works.runner));
        let foundry = machine.as_ref().ok().map(|machine| Arc::clone(&machine.works.foundry));
        let (ready, first_look) = sync_channel(1);
        let caretaker = Caretaker {
            directory: config.dir,
            roster: Arc::clone(&roster),
            trust: config.trust,
            machine,
            saved: found.unwrap_or_default(),
        };
        caretaker.start(waker.clone(), ready).map_err(StartError::Threads)?;
        if first_look.recv_timeout(START_LIMIT).is_err() {
            tracing::warn!("the first look at the plugin directory takes long; plugins will follow");
        }
        let crew = Arc::new(Crew { roster, builtins, runner });
        Ok(Arc::new(Self {
            crew,
            resolvers: Adapters::default(),
            checkers: Adapters::default(),
            bound: Bound::default(),
            runtime: Some(runtime),
            waker,
            foundry,
        }))
    }

    /// How often native code was found, made or thrown away.
    pub fn code_counts(&self) -> CodeCounts {
        self.foundry.as_ref().map(|foundry| foundry.counts()).unwrap_or_default()
    }

    pub(in crate::plugin) fn roster(&self) -> &Roster {
        &self.crew.roster
    }

    /// Reads the files of a plugin again, changed or not.
    pub(in crate::plugin) fn look_again(&self, plugin: &str) {
        self.waker.look_again(plugin);
    }

    /// Shows the numbers of plugins, and what they declare in `spec.metrics`, among the metrics of the process.
    ///
    /// # Errors
    /// When they are shown there already.
    pub fn show_metrics(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let engine = self.crew.runner.as_ref().map(|runner| runner.engine.clone());
        metrics.add(PluginCollector::new(Arc::clone(&self.crew.roster), self.foundry.clone(), engine)?)?;
        match &self.crew.runner {
            Some(runner) => runner.outside.metrics.show_in(metrics),
            None => Ok(()),
        }
    }

    /// All plugins by name, with the reason where one does not serve; names that a binding leads to and that
    /// have no file are among them, and so are what was removed within the last hour and manifests that have lain
    /// there for a while without a component.
    pub fn status(&self) -> Vec<Status> {
        let present = self.crew.roster.all();
        let mut all: BTreeMap<String, Status> =
            present.iter().map(|(name, slot)| (name.clone(), slot.status())).collect();
        for name in self.resolvers.names().into_iter().chain(self.checkers.names()) {
            all.entry(name).or_insert_with_key(|name| self.crew.roster.missing(name));
        }
        for status in self.crew.roster.removed() {
            all.entry(status.name.clone()).or_insert(status);
        }
        let lone: BTreeSet<String> = self.crew.roster.lone().into_iter().map(|(name, _)| name).collect();
        let now = Timestamp::now();
        for name in &lone {
            if all.contains_key(name) {
                continue;
            }
            let missing = self.crew.roster.missing(name);
            // Either way: a clock that is put back hides nothing.
            if now.duration_since(missing.since).abs() >= ON_THE_WAY {
                all.insert(name.clone(), missing);
            }
        }
        self.crew.roster.forget_missing_but(|name| all.contains_key(name) || lone.contains(name));
        all.into_values().map(|status| self.with_bindings(status)).collect()
    }

    fn with_bindings(&self, mut status: Status) -> Status {
        let rules = self.crew.roster.rules_of(&status.name, None);
        let bound = self.bound.of(&status.name).into_iter();
        let bound = bound.map(|(facet, name, policy)| (facet, format!("APIService/{name}"), policy));
        let groups: Vec<&str> = rules.discovery.groups.iter().map(Pattern::as_str).collect();
        let groups = if groups.is_empty() { "*".to_owned() } else { groups.join(",") };
        let transforms = rules.discovery.enabled.then_some((Facet::Discovery, groups, None));
        let all = bound.chain(transforms);
        status.bindings = all
            .map(|(facet, object, policy)| Binding {
                object,
                kind: facet.word(),
                policy: describe(rules.plan(facet, policy)),
            })
            .collect();
        status.stand_ins = self.crew.roster.stand_ins.of(&status.name);
        status
    }

    /// Who decides for an object, and the policy that it names itself.
    fn lead(&self, subject: &BindingSubject, facet: Facet) -> Option<(String, Option<FailurePolicy>)> {
        let plugin = self.crew.roster.bound(subject, facet);
        let lead = plugin.map(|plugin| (plugin, subject.failure_policy));
        self.bound.note(facet, &subject.api_service, lead.clone());
        lead
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.waker.stop();
        self.crew.roster.flush();
        if let Some(runner) = &self.crew.runner {
            runner.ticker.stop();
        }
        // Dropping a runtime blocks, which is forbidden where a host may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn build_machine(config: &PluginConfig, runtime: Handle, waker: &Waker) -> Result<Machine, String> {
    let engine = engine::build().map_err(|error| format!("{error:#}"))?;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker).map_err(|error| format!("{error:#}"))?;
    let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
    let waker = waker.clone();
    let keep = |path| Cupboard::new(path, config.dir.clone(), Maker::of(&engine));
    let cupboard = config.code_dir.clone().map(keep);
    // What cannot be kept is told at once.
    cupboard.as_ref().and_then(Cupboard::open);
    let foundry = Arc::new(Foundry::new(engine.clone(), config.compiler.clone(), cupboard));
    let workshop = Workshop::open(Arc::clone(&foundry), move || waker.wake());
    let workshop = workshop.map_err(|error| error.to_string())?;
    let outside = Arc::new(Outside::new(&config.dns_servers, config.listeners.clone()));
    let runner = Arc::new(Runner::new(engine, ticker, outside, runtime));
    Ok(Machine { works: Arc::new(Works::new(runner, linker, foundry)), workshop })
}

impl Decisions for Host {
    fn resolver(&self, subject: &BindingSubject) -> Arc<dyn Resolver> {
        match self.lead(subject, Facet::Resolver) {
            Some((plugin, policy)) => self.resolvers.open(&plugin, policy, || {
                ComponentResolver::new(Arc::clone(&self.crew), plugin.clone(), policy)
            }),
            None => Arc::clone(&self.crew.builtins.resolver),
        }
    }

    fn health_checker(&self, subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        match self.lead(subject, Facet::Health) {
            Some((plugin, policy)) => self.checkers.open(&plugin, policy, || {
                ComponentChecker::new(Arc::clone(&self.crew), plugin.clone(), policy)
            }),
            None => Arc::clone(&self.crew.builtins.health_checker),
        }
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        let mut enabled: Vec<(Reverse<i32>, String)> = Vec::new();
        for Known { name, serves, rules } in self.crew.roster.known() {
            // One that hides things takes part also where its component cannot be loaded.
            let takes_part = match serves {
                Some(current) => current.has(Facet::Discovery) && rules.discovery.enabled,
                None => rules.hides(),
            };
            if takes_part {
                enabled.push((Reverse(rules.discovery.priority), name));
            }
        }
        enabled.sort();
        let adapter = |plugin| ComponentTransformer { crew: Arc::clone(&self.crew), plugin };
        enabled
            .into_iter()
            .map(|(_, plugin)| Arc::new(adapter(plugin)) as Arc<dyn DiscoveryTransformer>)
            .collect()
    }

    fn forget(&self, api_service: &str) {
        self.bound.forget(api_service);
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.crew.roster.changes()
    }
}
