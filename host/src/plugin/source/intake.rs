//! From a change of files to a plugin that serves. What has to be compiled waits, and holds nobody up.

use crate::plugin::code::foundry::Foundry;
use crate::plugin::code::workshop::Workshop;
use crate::plugin::component::call_state::CallState;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::interfaces::check_profile;
use crate::plugin::component::load::{Code, Gated, assemble, gate, introduce, link};
use crate::plugin::component::runner::Runner;
use crate::plugin::rehearsal::rehearse;
use crate::plugin::roster::Roster;
use crate::plugin::slot::Slot;
use crate::plugin::source::directory::{Look, Pair};
use crate::plugin::source::files::{Source, Unfit};
use crate::plugin::source::manifest::{Manifest, Wasi};
use crate::plugin::source::rights::Trust;
use crate::plugin::status::{Reason, State};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::{Component, Linker};

/// What compiles, links and calls components.
pub(in crate::plugin) struct Machine {
    pub runner: Arc<Runner>,
    pub linker: Linker<CallState>,
    pub foundry: Arc<Foundry>,
    pub workshop: Workshop,
}

/// What a plugin is loaded from: digest of the component, and the manifest where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    digest: String,
    manifest: Option<String>,
}

/// A plugin whose component is being compiled.
struct Waiting {
    /// The files as they were seen.
    pair: Pair,
    input: Input,
    manifest: Manifest,
    began: Instant,
    made: Option<Result<Component, LoadFault>>,
}

/// What came of compiling since the last look.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Collected {
    /// Whether anything was taken into service or refused.
    pub has_changed: bool,
    /// Plugins whose files have to be taken again.
    pub again: BTreeSet<String>,
}

/// Takes what settled in the directory into service.
pub(in crate::plugin) struct Intake {
    directory: PathBuf,
    trust: Trust,
    roster: Arc<Roster>,
    machine: Result<Machine, String>,
    /// What the plugins that serve were loaded from.
    inputs: BTreeMap<String, Input>,
    waiting: BTreeMap<String, Waiting>,
}

impl Intake {
    /// `machine` may be the reason why there is none.
    pub(in crate::plugin) fn new(
        directory: PathBuf,
        trust: Trust,
        roster: Arc<Roster>,
        machine: Result<Machine, String>,
    ) -> Self {
        Self { directory, trust, roster, machine, inputs: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Whether nothing waits for its code.
    pub(in crate::plugin) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Loads these whether or not they have changed.
    pub(in crate::plugin) fn forget(&mut self, names: &BTreeSet<String>) {
        self.inputs.retain(|name, _| !names.contains(name));
    }

    /// Loads a plugin, or orders its code.
    pub(in crate::plugin) fn take(&mut self, name: &str, pair: Pair) {
        let source = Source::new(&self.directory, name, self.trust);
        let began = Instant::now();
        let open_slot = || {
            let slot = self.roster.open_slot(name, source.wasm.clone());
            slot.begin();
            slot
        };
        let gated = match gate(&source) {
            // It was there and is not, or the other way round: somebody is replacing it.
            Ok(gated) if gated.manifest_text.is_some() != pair.manifest.is_some() => return,
            Ok(gated) => gated,
            // A later look sees them as they are by then.
            Err(Unfit::Changing) => return,
            Err(Unfit::Refused(fault)) => {
                let slot = open_slot();
                if let Some(manifest) = read_manifest(&source) {
                    slot.declare(&manifest);
                }
                return self.refuse(&slot, fault);
            }
        };
        let Gated { manifest, manifest_text, digest } = gated;
        let input = Input { digest, manifest: manifest_text };
        if self.inputs.get(name) == Some(&input) {
            tracing::debug!(plugin = name, "the plugin's files are what they were");
            if self.waiting.remove(name).is_some() {
                // What was being compiled has been taken back.
                self.roster.open_slot(name, source.wasm).progress.end();
            }
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(name).filter(|waiting| waiting.input == input) {
            waiting.pair = pair;
            if let (None, Ok(machine)) = (&waiting.made, &self.machine) {
                machine.workshop.order(source, input.digest);
            }
            return;
        }
        self.waiting.remove(name);
        let slot = open_slot();
        slot.declare(&manifest);
        let Ok(machine) = &self.machine else {
            let cause = self.machine.as_ref().err().cloned().unwrap_or_default();
            return self.refuse(&slot, LoadFault::new(Reason::EngineUnavailable, cause));
        };
        let (mut code, mut origin) = (self.code_in_service(&input.digest).map(Ok), "another plugin");
        if code.is_none() {
            origin = "cache";
            slot.progress.enter(State::Compiling);
            let recalled = machine.foundry.recall(&input.digest);
            code =
                recalled.map(|component| connect(machine, &slot, &component, (&input, manifest.spec.wasi)));
        }
        if let Some(code) = code {
            let loaded = code.and_then(|code| bring_up(machine, &slot, manifest, code));
            return self.conclude(&slot, input, (origin, began), loaded);
        }
        machine.workshop.order(source, input.digest.clone());
        self.waiting.insert(name.to_owned(), Waiting { pair, input, manifest, began, made: None });
    }

    /// Takes into service what has been compiled, where its files are still the same.
    pub(in crate::plugin) fn collect(&mut self, look: &Look) -> Collected {
        let mut collected = Collected::default();
        let Ok(machine) = &self.machine else { return collected };
        let wanted: BTreeSet<&str> = self.waiting.values().map(|one| one.input.digest.as_str()).collect();
        machine.workshop.keep(|digest| wanted.contains(digest));
        for done in machine.workshop.collect() {
            for (name, waiting) in self.waiting.iter_mut().filter(|(_, one)| one.input.digest == done.digest)
            {
                waiting.made.clone_from(&done.made);
                if done.made.is_none() && look.get(name) == Some(&waiting.pair) {
                    // The order named another file of the same digest, and that one has changed.
                    collected.again.insert(name.clone());
                }
            }
        }
        self.waiting.retain(|name, _| !collected.again.contains(name));
        let is_ready =
            |(name, one): &(&String, &Waiting)| one.made.is_some() && look.get(*name) == Some(&one.pair);
        let ready: Vec<String> = self.waiting.iter().filter(is_ready).map(|(name, _)| name.clone()).collect();
        for name in &ready {
            self.finish(name);
        }
        collected.has_changed = !ready.is_empty();
        collected
    }

    fn finish(&mut self, name: &str) {
        let Some(Waiting { input, manifest, began, made: Some(made), .. }) = self.waiting.remove(name) else {
            return;
        };
        let (Ok(machine), Some(slot)) = (&self.machine, self.roster.slot(name)) else { return };
        let code =
            made.and_then(|component| connect(machine, &slot, &component, (&input, manifest.spec.wasi)));
        let loaded = code.and_then(|code| bring_up(machine, &slot, manifest, code));
        self.conclude(&slot, input, ("compiler", began), loaded);
    }

    /// Unloads plugins.
    pub(in crate::plugin) fn remove(&mut self, names: &BTreeSet<String>) {
        self.inputs.retain(|name, _| !names.contains(name));
        self.waiting.retain(|name, _| !names.contains(name));
        self.roster.remove_slots(names);
        for name in names {
            if let Ok(machine) = &self.machine {
                machine.runner.outside.forget(name);
            }
            tracing::info!(plugin = name, "the plugin is gone from the directory");
        }
    }

    /// The code of a plugin that serves and has the same component.
    fn code_in_service(&self, digest: &str) -> Option<Code> {
        let all = self.roster.all();
        let sibling =
            all.values().filter_map(|slot| slot.current()).find(|current| current.digest == digest)?;
        Some(Code {
            digest: sibling.digest.clone(),
            facets: sibling.facets.clone(),
            interfaces: sibling.interfaces.clone(),
            wasi: sibling.wasi,
        })
    }

    fn conclude(
        &mut self,
        slot: &Slot,
        input: Input,
        (origin, began): (&str, Instant),
        loaded: Result<Arc<Generation>, LoadFault>,
    ) {
        let generation = match loaded {
            Ok(generation) => generation,
            Err(fault) => return self.refuse(slot, fault),
        };
        tracing::info!(
            plugin = slot.name,
            generation = generation.profile.generation,
            interfaces = generation.interfaces.join(", "),
            description = generation.description,
            code_from = origin,
            milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "the plugin serves"
        );
        slot.publish(generation);
        self.inputs.insert(slot.name.clone(), input);
    }

    fn refuse(&mut self, slot: &Slot, fault: LoadFault) {
        self.inputs.remove(&slot.name);
        self.waiting.remove(&slot.name);
        let serves = if slot.current().is_some() { "the generation before it" } else { "the built-in" };
        tracing::error!(
            plugin = slot.name,
            reason = %fault.reason,
            cause = fault.message,
            "the plugin cannot be loaded, {serves} serves"
        );
        slot.refuse(fault);
        slot.progress.end();
    }
}

fn connect(
    machine: &Machine,
    slot: &Slot,
    component: &Component,
    (input, wasi): (&Input, Wasi),
) -> Result<Code, LoadFault> {
    slot.progress.enter(State::Linking);
    link(&machine.runner, &machine.linker, component, input.digest.clone(), wasi)
}

/// The manifest beside a component that is refused, where it can be understood: what it says about failures holds.
fn read_manifest(source: &Source) -> Option<Manifest> {
    source.parse_manifest(source.read_manifest_text().ok()?.as_deref()).ok()
}

fn bring_up(
    machine: &Machine,
    slot: &Slot,
    manifest: Manifest,
    code: Code,
) -> Result<Arc<Generation>, LoadFault> {
    check_profile(code.wasi, manifest.spec.wasi)?;
    slot.progress.enter(State::Validating);
    let trial = assemble(&slot.name, manifest, code, slot.next_number());
    let (generation, _) = introduce(&machine.runner, trial)?;
    rehearse(&machine.runner, slot, &generation)?;
    Ok(generation)
}
