//! From files to a generation: gate, compile, identify, link, describe, validate.

use super::bindings;
use crate::plugin::breaker::Breaker;
use crate::plugin::component::bindings::lifecycle;
pub(in crate::plugin) use crate::plugin::component::bindings::lifecycle::exports::umbel::lifecycle::lifecycle::Description as Described;
use crate::plugin::component::call_state::{CallState, Profile};
use crate::plugin::component::fault::{CallFault, LoadFault};
use crate::plugin::component::generation::{Facets, Generation, Shelves};
use crate::plugin::component::guest_call::{
    Check, Describe, GuestCall, Resolve, Transform, TryExports, Validate,
};
use crate::plugin::component::interfaces::{self, Found};
use crate::plugin::component::runner::{Call, Runner};
use crate::plugin::offer::log_gate::{tame, tame_to};
use crate::plugin::settings_schema::check_settings;
use crate::plugin::source::files::{Source, Unfit};
use crate::plugin::source::manifest::{Manifest, Wasi};
use crate::plugin::status::Reason;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre, Linker};

/// Calls at once where the manifest says nothing. Health checks mostly wait, so many may run.
const CONCURRENCY: usize = 8;
const CONCURRENCY_HEALTH: usize = 16;

/// Bytes of the version that a plugin states, which stands in a table.
const VERSION_MAX: usize = 64;

/// Maximum number of settings errors in a message.
const PROBLEMS_SHOWN: usize = 16;

/// How long a first call that found no place waits before the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// The files of a plugin that have passed the gate.
pub(in crate::plugin) struct Gated {
    /// What the manifest says.
    pub manifest: Manifest,
    /// Its text, where there is one.
    pub manifest_text: Option<String>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
}

/// Reads and judges the files of a plugin: everything that can be told without compiling.
///
/// # Errors
/// `Changing`, or the reason code of what is wrong.
pub(in crate::plugin) fn gate(source: &Source) -> Result<Gated, Unfit> {
    Source::check_name(&source.name)?;
    let manifest_text = source.read_manifest_text()?;
    let manifest = source.parse_manifest(manifest_text.as_deref())?;
    let digest = digest(&source.read_component()?);
    check_pin(&manifest, &digest)?;
    Ok(Gated { manifest, manifest_text, digest })
}

/// A component that is compiled and linked, whatever its manifest.
#[derive(Clone)]
pub(in crate::plugin) struct Code {
    pub digest: String,
    pub facets: Facets,
    pub interfaces: Vec<String>,
    /// Whether it imports WASI.
    pub wasi: bool,
}

/// Links what was compiled.
///
/// # Errors
/// With the reason code of the interface that does not fit.
pub(in crate::plugin) fn link(
    runner: &Runner,
    linker: &Linker<CallState>,
    component: &Component,
    digest: String,
    wasi: Wasi,
) -> Result<Code, LoadFault> {
    let found = interfaces::inspect(component, &runner.engine, wasi)?;
    let linker = if found.wasi { &with_wasi(linker)? } else { linker };
    let pre = linker.instantiate_pre(component).map_err(|error| mismatch(&error))?;
    let facets = open_facets(&pre, &found).map_err(|error| mismatch(&error))?;
    Ok(Code { digest, facets, interfaces: found.names, wasi: found.wasi })
}

/// The linker with the `std` profile of WASI besides.
#[cfg(feature = "wasi-std")]
fn with_wasi(linker: &Linker<CallState>) -> Result<Linker<CallState>, LoadFault> {
    let mut linker = linker.clone();
    crate::plugin::offer::wasi_std::add_to_linker(&mut linker).map_err(|error| mismatch(&error))?;
    Ok(linker)
}

/// Nobody gets here: such a component was refused by its imports.
#[cfg(not(feature = "wasi-std"))]
fn with_wasi(linker: &Linker<CallState>) -> Result<Linker<CallState>, LoadFault> {
    Ok(linker.clone())
}

/// Whether the manifest means this component.
///
/// # Errors
/// `DigestMismatch`.
pub(in crate::plugin) fn check_pin(manifest: &Manifest, digest: &str) -> Result<(), LoadFault> {
    match manifest.digest.as_deref().filter(|pinned| *pinned != digest) {
        None => Ok(()),
        Some(pinned) => Err(LoadFault::new(
            Reason::DigestMismatch,
            format!("the component has sha256:{digest}, but the manifest pins sha256:{pinned}"),
        )),
    }
}

/// A generation that nobody has asked anything yet.
pub(in crate::plugin) fn assemble(
    name: &str,
    manifest: Manifest,
    code: Code,
    number: u64,
) -> Arc<Generation> {
    let Code { digest, facets, interfaces, wasi } = code;
    let calls = if facets.health.is_some() { CONCURRENCY_HEALTH } else { CONCURRENCY };
    let places = manifest.spec.limits.concurrency.unwrap_or(calls);
    let shelves = Shelves::new(manifest.spec.reuse);
    let profile = Profile::new(name, number, manifest);
    Arc::new(Generation {
        tally: ArcSwap::default(),
        profile: Arc::new(profile),
        digest,
        facets,
        places: Arc::new(Semaphore::new(places)),
        waiting: AtomicUsize::new(0),
        shelves,
        description: String::new(),
        version: String::new(),
        interfaces,
        wasi,
        breaker: Breaker::default(),
    })
}

/// Asks a new generation what it is and whether its settings suit it. Waits for as long as there is no place for
/// its calls.
///
/// # Errors
/// `ManifestInvalid`, `DescribeFailed`, `TypeMismatch` or `SettingsInvalid`.
pub(in crate::plugin) async fn introduce(
    runner: &Arc<Runner>,
    trial: Arc<Generation>,
) -> Result<(Arc<Generation>, Described), LoadFault> {
    check_reuse(&trial)?;
    let described = interview(runner, &trial).await?;
    let mut generation = Arc::into_inner(trial)
        .ok_or_else(|| LoadFault::new(Reason::DescribeFailed, "the call of describe did not end"))?;
    let Described { name, version, summary, .. } = &described;
    generation.description = tame(&format!("{name} {version}: {summary}"));
    generation.version = tame_to(VERSION_MAX, version);
    Ok((Arc::new(generation), described))
}

fn check_reuse(generation: &Generation) -> Result<(), LoadFault> {
    let is_reused = generation.profile.manifest.spec.reuse.is_some();
    if !is_reused || generation.facets.resolver.is_some() || generation.facets.health.is_some() {
        return Ok(());
    }
    let text =
        "spec.reuse is for resolvers and health checkers, and the component is neither; remove spec.reuse";
    Err(LoadFault::new(Reason::ManifestInvalid, text))
}

fn open_facets(pre: &InstancePre<CallState>, found: &Found) -> wasmtime::Result<Facets> {
    Ok(Facets {
        lifecycle: lifecycle::PartPre::new(pre.clone())?,
        resolver: found.resolver.then(|| bindings::resolver::PartPre::new(pre.clone())).transpose()?,
        health: found.health.then(|| bindings::health::PartPre::new(pre.clone())).transpose()?,
        discovery: found.discovery.then(|| bindings::discovery::PartPre::new(pre.clone())).transpose()?,
    })
}

fn mismatch(error: &wasmtime::Error) -> LoadFault {
    let text = format!(
        "its interfaces differ from those of the same name here: {}; build against this gateway's wit/ folder",
        tame(&format!("{error:#}"))
    );
    LoadFault::new(Reason::TypeMismatch, text)
}

/// Asks the component what it is, whether the settings suit it, and whether its exports have the right types.
async fn interview(runner: &Arc<Runner>, generation: &Arc<Generation>) -> Result<Described, LoadFault> {
    let failed = |fault: CallFault| LoadFault::new(Reason::DescribeFailed, format!("its first call {fault}"));
    let description = ask(runner, generation, || Describe).await.map_err(failed)?;
    try_exports::<Resolve>(runner, generation).await?;
    try_exports::<Check>(runner, generation).await?;
    try_exports::<Transform>(runner, generation).await?;
    check_schema(&description, &generation.settings())?;
    let validate = || Validate { settings: generation.settings() };
    let judged = ask(runner, generation, validate).await.map_err(failed)?;
    if let Err(problems) = judged {
        return Err(invalid_settings(problems.iter().map(|one| (one.path.as_str(), one.message.as_str()))));
    }
    Ok(description)
}

/// Validates settings against the schema that the plugin provides. `validate` of the plugin is called afterwards, so
/// it need not repeat the rules of the schema.
fn check_schema(description: &Described, settings: &str) -> Result<(), LoadFault> {
    let Some(schema) = &description.settings_schema else { return Ok(()) };
    let unusable = |text: String| LoadFault::new(Reason::DescribeFailed, text);
    let settings = serde_json::from_str(settings).map_err(|error| unusable(error.to_string()))?;
    let problems = check_settings(schema, &settings).map_err(|fault| unusable(fault.to_string()))?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(invalid_settings(problems.iter().map(|one| (one.path.as_str(), one.message.as_str()))))
}

/// Prefixes each error with its place in the manifest.
fn invalid_settings<'a>(problems: impl Iterator<Item = (&'a str, &'a str)>) -> LoadFault {
    let listed = problems.take(PROBLEMS_SHOWN);
    let listed: Vec<String> =
        listed.map(|(path, message)| format!("spec.settings{}: {}", tame(path), tame(message))).collect();
    let text = if listed.is_empty() { "refused without a reason".to_owned() } else { listed.join("; ") };
    LoadFault::new(Reason::SettingsInvalid, text)
}

async fn try_exports<C: GuestCall>(
    runner: &Arc<Runner>,
    generation: &Arc<Generation>,
) -> Result<(), LoadFault> {
    if !generation.has(C::FACET) {
        return Ok(());
    }
    let tried = ask(runner, generation, TryExports::<C>::default).await;
    let failed = |fault: CallFault| {
        let text = format!("a new instance for the {} {fault}", C::FACET.noun());
        LoadFault::new(Reason::DescribeFailed, text)
    };
    match tried.map_err(failed)? {
        Some(error) => Err(mismatch(&error)),
        None => Ok(()),
    }
}

/// Asks until there is a place for the call: that others take all of them says nothing about this one.
async fn ask<C: GuestCall>(
    runner: &Arc<Runner>,
    generation: &Arc<Generation>,
    call: impl Fn() -> C,
) -> Result<C::Answer, CallFault> {
    loop {
        match Call::new(generation, call()).run(runner).await {
            Err(fault) if fault.is_busy() => tokio::time::sleep(PAUSE).await,
            ended => return ended,
        }
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Source {
    /// The manifest, from the text that was read.
    ///
    /// # Errors
    /// `ManifestInvalid`.
    pub(in crate::plugin) fn parse_manifest(&self, text: Option<&str>) -> Result<Manifest, LoadFault> {
        let Some(text) = text else { return Ok(Manifest::absent()) };
        Manifest::parse(&self.name, text).map_err(|cause| {
            LoadFault::new(Reason::ManifestInvalid, format!("{}: {cause}", self.yaml.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(schema: Option<&str>) -> Described {
        Described {
            name: "p".to_owned(),
            version: "1".to_owned(),
            summary: String::new(),
            settings_schema: schema.map(str::to_owned),
            extra: Vec::new(),
        }
    }

    #[test]
    fn settings_that_do_not_fit_the_schema_are_told_by_their_places() {
        let schema = r#"{"properties": {"a": {"type": "integer"}, "b": {"minLength": 2}}}"#;
        let judged = |schema, settings| check_schema(&described(schema), settings);
        judged(None, r#"{"a": "x"}"#).unwrap();
        judged(Some(schema), r#"{"a": 1, "b": "xy", "c": 1}"#).unwrap();
        let fault = judged(Some(schema), r#"{"a": "x", "b": "x"}"#).unwrap_err();
        assert_eq!(fault.reason, Reason::SettingsInvalid);
        let told =
            "spec.settings/a: want integer, but got string; spec.settings/b: length must be >=2, but got 1";
        assert_eq!(fault.message, told);
        let fault = judged(Some("{"), "{}").unwrap_err();
        assert_eq!(fault.reason, Reason::DescribeFailed);
        assert!(fault.message.starts_with("its settings schema is not JSON"), "{fault}");
    }

    #[test]
    fn a_pin_holds_for_its_component_alone() {
        let pinned = Manifest { digest: Some("a".repeat(64)), ..Manifest::absent() };
        check_pin(&pinned, &"a".repeat(64)).and(check_pin(&Manifest::absent(), "b")).unwrap();
        let fault = check_pin(&pinned, &"b".repeat(64)).unwrap_err();
        assert_eq!(fault.reason, Reason::DigestMismatch);
    }
}
