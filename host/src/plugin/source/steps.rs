//! The steps of one plugin's files on their way into service. They run beside those of other plugins, and each has
//! a time at which nobody waits for it any longer.

use crate::plugin::code::foundry::Foundry;
use crate::plugin::component::call_state::CallState;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::interfaces::check_profile;
use crate::plugin::component::load::{Code, Gated, assemble, gate, introduce, link};
use crate::plugin::component::runner::Runner;
use crate::plugin::rehearsal::rehearse;
use crate::plugin::slot::Slot;
use crate::plugin::source::files::{Source, Unfit};
use crate::plugin::source::manifest::Manifest;
use crate::plugin::source::places::Places;
use crate::plugin::source::readers::Readers;
use crate::plugin::source::standing::what_holds;
use crate::plugin::status::{Reason, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use wasmtime::component::{Component, Linker};

/// Plugins whose files are read at once. Each may take as much memory as a component may have bytes.
const READERS: usize = 4;
/// Plugins that are linked, validated and rehearsed at once. They take calls from those that serve.
const CANDIDATES: usize = 4;

/// Threads that look for kept code at once. Where they all hang, code is made anew.
const RECALLS: usize = 32;

/// What all plugins share on their way.
pub(in crate::plugin) struct Works {
    pub runner: Arc<Runner>,
    pub linker: Linker<CallState>,
    pub foundry: Arc<Foundry>,
    pub(super) candidates: Places,
    recalls: Arc<Semaphore>,
}

impl Works {
    pub(in crate::plugin) fn new(
        runner: Arc<Runner>,
        linker: Linker<CallState>,
        foundry: Arc<Foundry>,
    ) -> Self {
        let recalls = Arc::new(Semaphore::new(RECALLS));
        Self { runner, linker, foundry, candidates: Places::new(CANDIDATES), recalls }
    }
}

/// Those who read files.
pub(super) fn readers() -> Readers {
    Readers::new(READERS)
}

/// What came of reading the files of a plugin.
pub(super) enum Checked {
    /// They have passed the gate.
    Fit(Box<Gated>),
    /// They change while they are read.
    Changing,
    /// They cannot serve. What the manifest says about failures holds all the same, where it can be understood.
    Refused(LoadFault, Option<Box<Manifest>>),
    /// Reading has not ended in time. The thread may hang in the kernel for as long as it likes.
    Silent,
}

/// Reads and judges the files. `slow` is called when that takes long, `back` runs when it ends after it was given up.
pub(super) async fn check(
    readers: &Readers,
    source: Source,
    slow: impl FnOnce(),
    back: impl Future<Output = ()> + Send + 'static,
) -> Checked {
    let plugin = source.name.clone();
    let checked = readers.read(&plugin, limit(State::Checking), move || read(&source), slow, back).await;
    let panicked =
        |panic: JoinError| Checked::Refused(LoadFault::new(Reason::Unreadable, panic.to_string()), None);
    checked.map_or(Checked::Silent, |checked| checked.unwrap_or_else(panicked))
}

fn read(source: &Source) -> Checked {
    match gate(source) {
        Ok(gated) => Checked::Fit(Box::new(gated)),
        Err(Unfit::Changing) => Checked::Changing,
        Err(Unfit::Refused(fault)) => {
            let manifest = what_holds(source).ok().flatten();
            Checked::Refused(fault, manifest.map(Box::new))
        }
    }
}

/// Where the code of a plugin comes from.
pub(super) enum Origin {
    /// Another plugin serves with the same component.
    Sibling(Box<Code>),
    /// It may have been kept.
    Cache,
    /// It was made just now.
    Compiler(Component),
}

impl Origin {
    fn word(&self) -> &'static str {
        match self {
            Self::Sibling(_) => "another plugin",
            Self::Cache => "cache",
            Self::Compiler(_) => "compiler",
        }
    }
}

/// What is to become a generation.
pub(super) struct Nominee {
    pub slot: Arc<Slot>,
    pub digest: String,
    pub manifest: Manifest,
    pub origin: Origin,
}

/// A generation that may serve, or why there is none, and where its code came from.
pub(super) type Raised = (&'static str, Result<Arc<Generation>, LoadFault>);

/// Brings a component up to where it may serve: code, link, describe, validate, rehearse. `None` when its code has
/// to be made first.
pub(super) async fn raise(works: Arc<Works>, nominee: Nominee) -> Option<Raised> {
    let Nominee { slot, digest, manifest, origin } = nominee;
    let word = origin.word();
    let component = match origin {
        Origin::Sibling(code) => {
            let loaded = works.candidates.work(try_out(&works, &slot, manifest, *code), || ()).await;
            return Some((word, loaded));
        }
        Origin::Compiler(component) => component,
        Origin::Cache => recall(&works, &slot, &digest).await?,
    };
    let work = async {
        slot.progress.enter(State::Linking);
        let (shared, wasi) = (Arc::clone(&works), manifest.spec.wasi);
        let linked = spawn_blocking(move || link(&shared.runner, &shared.linker, &component, digest, wasi));
        let late = || LoadFault::overdue(Reason::LinkTimeout, "linking it", limit(State::Linking));
        let linked = tokio::time::timeout(limit(State::Linking), linked).await.map_err(|_| late())?;
        let panicked = |panic| LoadFault::new(Reason::TypeMismatch, format!("it cannot be linked: {panic}"));
        try_out(&works, &slot, manifest, linked.map_err(panicked)??).await
    };
    Some((word, works.candidates.work(work, || ()).await))
}

/// Kept code. Where that cannot be had in time it is made anew.
async fn recall(works: &Arc<Works>, slot: &Slot, digest: &str) -> Option<Component> {
    slot.progress.enter(State::Compiling);
    let (foundry, digest) = (Arc::clone(&works.foundry), digest.to_owned());
    let recalled = async {
        let place = Arc::clone(&works.recalls).acquire_owned().await;
        let recalled = spawn_blocking(move || {
            let recalled = foundry.recall(&digest);
            drop(place);
            recalled
        });
        recalled.await
    };
    tokio::time::timeout(limit(State::Checking), recalled).await.ok()?.ok()?
}

async fn try_out(
    works: &Works,
    slot: &Slot,
    manifest: Manifest,
    code: Code,
) -> Result<Arc<Generation>, LoadFault> {
    check_profile(code.wasi, manifest.spec.wasi)?;
    slot.progress.enter(State::Validating);
    let trial = assemble(&slot.name, manifest, code, slot.next_number());
    let introduced = tokio::time::timeout(limit(State::Validating), introduce(&works.runner, trial)).await;
    let late = |_| {
        LoadFault::overdue(
            Reason::DescribeFailed,
            "describing itself and validating",
            limit(State::Validating),
        )
    };
    let (generation, _) = introduced.map_err(late)??;
    rehearse(&works.runner, slot, &generation).await?;
    Ok(generation)
}

fn limit(step: State) -> Duration {
    step.limit().unwrap_or(Duration::MAX)
}
