//! Plugins on trial: loaded as the gateway loads them, and asked in a recorded world.
//!
//! What authors' commands show is what a gateway would do, because it is the same code.

mod ask;
mod measure;

pub use ask::{CallFailure, SettingsProblem, Tried};
pub use measure::Costs;

use crate::plugin::code::compiler::compile;
use crate::plugin::component::call_state::{CallState, Outside};
use crate::plugin::component::engine;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::interfaces::check_profile;
use crate::plugin::component::load::{Code, Described, assemble, check_pin, digest, introduce, link};
use crate::plugin::component::runner::Runner;
use crate::plugin::component::ticker::Ticker;
use crate::plugin::offer::host_functions::add_to_linker;
use crate::plugin::source::files::Source;
use crate::plugin::source::manifest::{Manifest, Wasi};
use crate::plugin::status::Reason;
use serde::Serialize;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Linker;

/// Whether computing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    /// As a gateway runs plugins.
    #[default]
    Off,
    /// Counted, the same on every machine; calls take longer.
    On,
}

/// Why a component is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// The reason code.
    pub reason: Reason,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl From<LoadFault> for Refusal {
    fn from(fault: LoadFault) -> Self {
        Self { reason: fault.reason, message: fault.message }
    }
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Its name; the file name is what counts.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<String>,
}

impl From<Described> for Description {
    fn from(described: Described) -> Self {
        let Described { name, version, summary, settings_schema, extra: _ } = described;
        Self { name, version, summary, settings_schema }
    }
}

/// Loads components without a directory and without a gateway.
pub struct Workbench {
    runner: Arc<Runner>,
    linker: Linker<CallState>,
    runtime: Runtime,
}

impl Workbench {
    /// Starts an engine and the threads that it needs.
    ///
    /// # Errors
    /// `EngineUnavailable`, when the machine cannot run one.
    pub fn open(metering: Metering) -> Result<Self, Refusal> {
        let unavailable = |message: String| Refusal { reason: Reason::EngineUnavailable, message };
        let engine = match metering {
            Metering::Off => engine::build(),
            Metering::On => engine::build_counting(),
        };
        let engine = engine.map_err(|error| unavailable(format!("{error:#}")))?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(|error| unavailable(format!("{error:#}")))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| unavailable(error.to_string()))?;
        let ticker = Ticker::start(&engine).map_err(|error| unavailable(error.to_string()))?;
        let outside = Arc::new(Outside::new(&[], Vec::new()));
        let runner = Arc::new(Runner::new(engine, ticker, outside, runtime.handle().clone()));
        Ok(Self { runner, linker, runtime })
    }

    /// The first half of loading: gate, compile, link.
    ///
    /// # Errors
    /// With the reason code that a gateway would show.
    pub fn compile(&self, name: &str, component: &[u8]) -> Result<Compiled<'_>, Refusal> {
        Source::check_name(name)?;
        Source::judge(component)?;
        let compiled = compile(&self.runner.engine, component)?;
        let code = link(&self.runner, &self.linker, &compiled, digest(component), Wasi::Std)?;
        Ok(Compiled { bench: self, name: name.to_owned(), code })
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        self.runner.ticker.stop();
    }
}

/// A component that fits the interfaces.
pub struct Compiled<'a> {
    bench: &'a Workbench,
    name: String,
    code: Code,
}

impl<'a> Compiled<'a> {
    /// The decisions that it implements, such as `umbel:resolver/resolver@0.1.0`.
    pub fn interfaces(&self) -> &[String] {
        &self.code.interfaces
    }

    /// The second half of loading: describe, validate. Without a manifest nothing is granted.
    ///
    /// # Errors
    /// With the reason code that a gateway would show.
    pub fn candidate(&self, manifest: Option<&str>) -> Result<Candidate<'a>, Refusal> {
        let manifest = self.manifest(manifest)?;
        check_pin(&manifest, &self.code.digest)?;
        check_profile(self.code.wasi, manifest.spec.wasi)?;
        let generation = assemble(&self.name, manifest, self.code.clone(), 1);
        let (generation, described) =
            self.bench.runtime.block_on(introduce(&self.bench.runner, generation))?;
        Ok(Candidate { bench: self.bench, generation, described: Some(described) })
    }

    /// The same without asking it anything, so that it can be asked about settings that it refuses.
    ///
    /// # Errors
    /// `ManifestInvalid`.
    pub fn unasked(&self, manifest: Option<&str>) -> Result<Candidate<'a>, Refusal> {
        let manifest = self.manifest(manifest)?;
        check_profile(self.code.wasi, manifest.spec.wasi)?;
        let generation = assemble(&self.name, manifest, self.code.clone(), 1);
        Ok(Candidate { bench: self.bench, generation, described: None })
    }

    fn manifest(&self, text: Option<&str>) -> Result<Manifest, Refusal> {
        let Some(text) = text else { return Ok(Manifest::absent()) };
        parse_manifest(&self.name, text)
    }
}

/// Checks a manifest without its component.
///
/// # Errors
/// `ManifestInvalid`.
pub fn check_manifest(name: &str, text: &str) -> Result<(), Refusal> {
    parse_manifest(name, text).map(drop)
}

fn parse_manifest(name: &str, text: &str) -> Result<Manifest, Refusal> {
    Manifest::parse(name, text).map_err(|message| Refusal { reason: Reason::ManifestInvalid, message })
}

/// A component with a manifest, ready to be asked.
pub struct Candidate<'a> {
    bench: &'a Workbench,
    generation: Arc<Generation>,
    described: Option<Described>,
}

impl Candidate<'_> {
    /// What it says about itself, where it was asked.
    pub fn description(&self) -> Option<Description> {
        self.described.clone().map(Description::from)
    }
}
