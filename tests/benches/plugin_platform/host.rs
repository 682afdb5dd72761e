//! A plugin host without a gateway around it, inside the bench.

use super::gateway::PATIENCE;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::Arc;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::decision::builtin::{DiscoveryProbe, ExternalNameResolver};
use umbel::decision::resolver::{Resolver, Target};
use umbel::plugin::{Builtins, CompileChild, Compiler, Host, PluginConfig, State, Trust};
use umbel_tests::{umbel_program, wait_for};

/// Loads what lies in `dir` and keeps native code below `code`.
pub(super) fn start(dir: &Path, code: &Path) -> Result<Arc<Host>> {
    let child = CompileChild { program: umbel_program()?, ..CompileChild::of_this_program() };
    let config = PluginConfig {
        dir: dir.to_owned(),
        dns_servers: Vec::new(),
        listeners: Vec::new(),
        trust: Trust::default(),
        compiler: Compiler::Child(child),
        code_dir: Some(code.join("code")),
        state_dir: None,
    };
    let builtins =
        Builtins { resolver: Arc::new(ExternalNameResolver), health_checker: Arc::new(DiscoveryProbe) };
    Ok(Host::start(config, builtins)?)
}

/// Waits until this generation of a plugin serves.
pub(super) async fn wait_generation(host: &Host, plugin: &str, generation: u64) -> Result<()> {
    wait_for(&format!("generation {generation} of {plugin}"), PATIENCE, || async {
        let all = host.status();
        let status = all.iter().find(|status| status.name == plugin).context("it is not there")?;
        let serves = matches!(status.state, State::Active | State::Probation);
        ensure!(status.generation == generation && serves, "{status:?}");
        Ok(())
    })
    .await
}

/// What the control plane gets for an object that names the plugin.
pub(super) fn resolver(host: &Host, plugin: &str) -> Arc<dyn Resolver> {
    host.resolver(&BindingSubject { plugin: Some(plugin.to_owned()), ..BindingSubject::default() })
}

/// A service whose host is an address.
pub(super) fn target() -> Target {
    Target {
        namespace: "prod".to_owned(),
        name: "shop".to_owned(),
        port: 8443,
        external_name: Some("10.0.0.1".to_owned()),
        annotations: Vec::new(),
    }
}
