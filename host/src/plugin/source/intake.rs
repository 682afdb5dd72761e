//! What has settled in the directory on its way into service: who is where, and what came of it.
//!
//! Nothing here waits. The steps of each plugin run elsewhere and report; the newest files win, whatever of older
//! ones comes in late.

mod restore;

use crate::observe::{catch_panic_in, failpoint};
use crate::plugin::code::workshop::{Done, Workshop};
use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::load::{Code, Gated};
use crate::plugin::roster::Roster;
use crate::plugin::saved::{PairId, Saved};
use crate::plugin::slot::Slot;
use crate::plugin::source::files::Source;
use crate::plugin::source::look::{Look, Pair};
use crate::plugin::source::manifest::Manifest;
use crate::plugin::source::readers::Readers;
use crate::plugin::source::rights::Trust;
use crate::plugin::source::steps::{Checked, Nominee, Origin, Raised, Works, check, raise, readers};
use crate::plugin::status::{Reason, State};
use restore::{Found, Restored, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

/// Reports that may wait. Whoever has one waits when there are more.
const REPORTS_MAX: usize = 256;

/// What compiles, links and calls components.
pub(in crate::plugin) struct Machine {
    pub works: Arc<Works>,
    pub workshop: Workshop,
}

/// What a plugin is loaded from: digest of the component, and the manifest where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    digest: String,
    manifest: Option<String>,
}

/// A task that ends with whoever holds this.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Files that are being read.
struct Check {
    number: u64,
    pair: Pair,
    began: Instant,
    /// Whether it takes so long that people are told.
    is_slow: bool,
    _task: Task,
}

/// Files that have passed the gate and do not serve yet.
struct Run {
    number: u64,
    /// The files as they were seen.
    pair: Pair,
    input: Input,
    manifest: Manifest,
    began: Instant,
    stage: Stage,
    /// The saved files that are being loaded, and the files in the directory that follow them.
    restored: Option<Box<Restored>>,
}

enum Stage {
    /// Its code is being made.
    Compiling,
    /// It is linked, validated, rehearsed.
    Raising(#[allow(dead_code, reason = "dropping it ends the task")] Task),
    /// The next look decides whether it is still what lies there.
    Raised(Raised),
}

/// What a task has to say.
enum News {
    Slow,
    Checked(Checked),
    /// A file that had not answered in time has answered.
    Back,
    Raised(Option<Raised>),
}

struct Report {
    plugin: String,
    number: u64,
    news: News,
}

/// Takes what settled in the directory into service.
pub(in crate::plugin) struct Intake {
    directory: PathBuf,
    trust: Trust,
    roster: Arc<Roster>,
    machine: Result<Machine, String>,
    readers: Readers,
    /// The saved state of an earlier process, until it is used or other files are in the directory.
    saved: BTreeMap<String, Saved>,
    /// What the plugins that serve were loaded from.
    inputs: BTreeMap<String, Input>,
    checks: BTreeMap<String, Check>,
    runs: BTreeMap<String, Run>,
    /// Files that changed while they were read, as they were seen.
    unsteady: BTreeMap<String, Pair>,
    /// Plugins whose files have to be taken again.
    again: BTreeSet<String>,
    /// Plugins of which people are told that their files do not rest.
    restless: BTreeSet<String>,
    /// Those of them that are shown and were never taken.
    untaken: BTreeSet<String>,
    /// Whether something has become ready that no look has confirmed.
    is_ripe: bool,
    numbers: u64,
    reports: (Sender<Report>, Receiver<Report>),
}

impl Intake {
    /// `machine` may be the reason why there is none.
    pub(super) fn new(
        directory: PathBuf,
        trust: Trust,
        roster: Arc<Roster>,
        machine: Result<Machine, String>,
        saved: BTreeMap<String, Saved>,
    ) -> Self {
        Self {
            saved,
            directory,
            trust,
            roster,
            machine,
            readers: readers(),
            inputs: BTreeMap::new(),
            checks: BTreeMap::new(),
            runs: BTreeMap::new(),
            unsteady: BTreeMap::new(),
            again: BTreeSet::new(),
            restless: BTreeSet::new(),
            untaken: BTreeSet::new(),
            is_ripe: false,
            numbers: 0,
            reports: channel(REPORTS_MAX),
        }
    }

    /// Whether nothing is under way, what takes long apart.
    pub(super) fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.knows_all()
    }

    /// Whether people see every plugin that was taken: loaded, refused, or in one of its steps.
    pub(super) fn knows_all(&self) -> bool {
        self.checks.values().all(|check| check.is_slow)
    }

    /// Loads these whether or not they have changed.
    pub(super) fn forget(&mut self, names: &BTreeSet<String>) {
        self.inputs.retain(|name, _| !names.contains(name));
        for name in names {
            self.saved.get_mut(name).map(|saved| std::mem::take(&mut saved.rejected));
            self.roster.slot(name).inspect(|slot| slot.forget_rejections());
        }
    }

    /// Plugins whose files have to be taken again.
    pub(super) fn take_again(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.again)
    }

    /// Begins to read the files of a plugin. What was read before no longer matters.
    pub(super) fn take(&mut self, name: &str, pair: Pair) {
        self.untaken.remove(name);
        let reporter = self.reporter(name);
        let (number, readers) = (reporter.number, self.readers.clone());
        let source = self.source(name);
        let task = tokio::spawn(async move {
            let (slow, back) = (reporter.clone(), reporter.clone());
            let slow = move || slow.tell_if_heard(News::Slow);
            let checked = check(&readers, source, slow, async move { back.tell(News::Back).await }).await;
            reporter.tell(News::Checked(checked)).await;
        });
        let _task = Task(task.abort_handle());
        let check = Check { number, pair, began: Instant::now(), is_slow: false, _task };
        self.checks.insert(name.to_owned(), check);
    }

    /// Waits for what a step has to say. Says whether people see a difference; may be dropped and asked again.
    pub(super) async fn hear(&mut self) -> bool {
        // This holds a sender, so there is always one.
        let Some(Report { plugin, number, news }) = self.reports.1.recv().await else { return false };
        match news {
            News::Back => _ = self.again.insert(plugin),
            News::Slow => {
                let Some(check) = self.checks.get_mut(&plugin).filter(|check| check.number == number) else {
                    return false;
                };
                check.is_slow = true;
                let began = check.began;
                self.open_slot(&plugin, began);
                return true;
            }
            News::Checked(checked) => {
                if self.checks.get(&plugin).is_some_and(|check| check.number == number)
                    && let Some(check) = self.checks.remove(&plugin)
                {
                    return self.judge(&plugin, &check, checked);
                }
            }
            News::Raised(raised) => {
                if let Some(run) = self.runs.get_mut(&plugin).filter(|run| run.number == number) {
                    let digest = run.input.digest.clone();
                    run.stage = raised.map_or(Stage::Compiling, Stage::Raised);
                    match run.stage {
                        Stage::Compiling => self.order(&plugin, digest),
                        _ => self.is_ripe = true,
                    }
                }
            }
        }
        false
    }

    /// Whether something has become ready that a look has to confirm.
    pub(super) fn is_ripe(&self) -> bool {
        self.is_ripe
    }

    /// Takes into service what is ready and still lies there. Says whether people see a difference.
    pub(super) fn see(&mut self, look: &Look) -> bool {
        self.is_ripe = false;
        let is_ready = |(name, run): &(&String, &Run)| {
            matches!(run.stage, Stage::Raised(_)) && look.get(*name) == Some(&run.pair)
        };
        let ready: Vec<String> = self.runs.iter().filter(is_ready).map(|(name, _)| name.clone()).collect();
        for name in &ready {
            let (Some(run), Some(slot)) = (self.runs.remove(name), self.roster.slot(name)) else { continue };
            self.conclude(&slot, run);
        }
        !ready.is_empty()
    }

    /// Tells people of files that do not come to rest, and since when. Says whether people see a difference.
    pub(super) fn show_restless(&mut self, restless: &BTreeMap<String, Instant>, look: &Look) -> bool {
        let is_known = |name: &String| self.checks.contains_key(name) || self.runs.contains_key(name);
        let rest: Vec<_> = self.restless.iter().filter(|name| !restless.contains_key(*name)).collect();
        let fresh: Vec<_> = restless.iter().filter(|(name, _)| !self.restless.contains(*name)).collect();
        for name in rest.iter().filter(|name| !is_known(name)) {
            // They are what they were before.
            self.roster.slot(name).inspect(|slot| slot.progress.end());
        }
        let mut untaken = Vec::new();
        for (name, since) in fresh.iter().filter(|(name, _)| !is_known(name)) {
            untaken.extend(self.roster.slot(name).is_none().then(|| (*name).clone()));
            self.roster.open_slot(self.source(name)).progress.wait_for_rest(**since);
        }
        let has_changed = !rest.is_empty() || !fresh.is_empty();
        self.restless = restless.keys().cloned().collect();
        self.untaken.extend(untaken);
        // Nobody unloads what was never taken.
        let is_gone = |name: &&String| !restless.contains_key(*name) && !look.contains_key(*name);
        let gone: BTreeSet<String> = self.untaken.iter().filter(is_gone).cloned().collect();
        if !gone.is_empty() {
            self.remove(&gone);
        }
        has_changed
    }

    /// Goes on with what has been compiled.
    pub(super) fn collect(&mut self) {
        let Ok(machine) = &self.machine else { return };
        let compiling = self.runs.iter().filter(|(_, run)| matches!(run.stage, Stage::Compiling));
        let compiling: BTreeMap<String, String> =
            compiling.map(|(name, run)| (name.clone(), run.input.digest.clone())).collect();
        let wanted: BTreeSet<&str> = compiling.values().map(String::as_str).collect();
        machine.workshop.keep(|digest| wanted.contains(digest));
        let done: Vec<Done> = machine.workshop.collect().collect();
        for Done { digest, made } in done {
            for name in compiling.iter().filter(|(_, wanted)| **wanted == digest).map(|(name, _)| name) {
                match &made {
                    Some(Ok(component)) => self.raise(name, Origin::Compiler(component.clone())),
                    Some(Err(fault)) => {
                        if let Some(run) = self.runs.get_mut(name) {
                            run.stage = Stage::Raised(("compiler", Err(fault.clone())));
                            self.is_ripe = true;
                        }
                    }
                    None if self.runs.get(name).is_some_and(|run| run.restored.is_some()) => {
                        let text = "its component is damaged or gone";
                        if let Some(run) = self.runs.get_mut(name) {
                            run.stage =
                                Stage::Raised(("saved", Err(LoadFault::new(Reason::Unreadable, text))));
                            self.is_ripe = true;
                        }
                    }
                    // The order named a file that has changed.
                    None => {
                        self.runs.remove(name);
                        self.again.insert(name.clone());
                    }
                }
            }
        }
    }

    /// Unloads plugins.
    pub(super) fn remove(&mut self, names: &BTreeSet<String>) {
        self.saved.retain(|name, _| !names.contains(name));
        self.inputs.retain(|name, _| !names.contains(name));
        self.checks.retain(|name, _| !names.contains(name));
        self.runs.retain(|name, _| !names.contains(name));
        self.unsteady.retain(|name, _| !names.contains(name));
        self.untaken.retain(|name| !names.contains(name));
        self.roster.remove_slots(names);
        for name in names {
            if let Ok(machine) = &self.machine {
                machine.works.runner.outside.forget(name);
            }
            tracing::info!(plugin = name, "the plugin is gone from the directory");
        }
    }

    /// Decides what becomes of files that were read.
    fn judge(&mut self, name: &str, check: &Check, checked: Checked) -> bool {
        let pair = check.pair;
        let found = match checked {
            Checked::Fit(gated)
                if gated.manifest_text.is_none() && pair.misnamed && pair.manifest.is_none() =>
            {
                let text = format!("{name}.yml is not read; rename it to {name}.yaml");
                Found::Refused(LoadFault::new(Reason::ManifestInvalid, text), None)
            }
            Checked::Fit(gated) if gated.manifest_text.is_some() == pair.manifest.is_some() => {
                self.unsteady.remove(name);
                Found::Fit(gated)
            }
            // One of them was there and is not, or the other way round: somebody is replacing it.
            Checked::Fit(_) | Checked::Changing => return self.postpone(name, check),
            Checked::Refused(fault, manifest) => Found::Refused(fault, manifest),
            Checked::Silent => {
                let limit = State::Checking.limit().unwrap_or_default();
                Found::Refused(LoadFault::overdue(Reason::CheckTimeout, "reading its files", limit), None)
            }
        };
        self.restore_or_proceed(name, Seen { pair, began: check.began }, found);
        true
    }

    fn proceed(&mut self, name: &str, seen: Seen, found: Found) {
        match found {
            Found::Fit(gated) => self.advance(name, seen, *gated),
            Found::Refused(fault, manifest) => {
                self.refuse(name, seen.began, fault, (manifest.as_deref(), None));
            }
        }
    }

    /// Leaves files that change to a later look. Those that look the same then, and change again while they are read,
    /// are refused.
    fn postpone(&mut self, name: &str, check: &Check) -> bool {
        if self.unsteady.insert(name.to_owned(), check.pair) == Some(check.pair) {
            let text =
                "its files change while they are read, though by size and time they are what they were";
            self.refuse(name, check.began, LoadFault::new(Reason::Unreadable, text), (None, None));
            return true;
        }
        self.again.insert(name.to_owned());
        false
    }

    /// Goes on with files that have passed the gate, where they are news.
    fn advance(&mut self, name: &str, seen: Seen, gated: Gated) {
        let Gated { manifest, manifest_text, digest } = gated;
        let input = Input { digest, manifest: manifest_text };
        if self.inputs.get(name) == Some(&input) {
            tracing::debug!(plugin = name, "the plugin's files are what they were");
            // What was under way has been taken back.
            self.runs.remove(name);
            let slot = self.roster.slot(name).filter(|slot| slot.progress.under_way().is_some());
            slot.inspect(|slot| slot.progress.end());
            return;
        }
        if let Some(run) = self.runs.get_mut(name).filter(|run| run.input == input) {
            run.pair = seen.pair;
            match run.stage {
                Stage::Compiling => self.order(name, input.digest),
                Stage::Raising(_) => {}
                Stage::Raised(_) => self.is_ripe = true,
            }
            return;
        }
        if let Err(cause) = &self.machine {
            let fault = LoadFault::new(Reason::EngineUnavailable, cause.as_str());
            return self.refuse(name, seen.began, fault, (Some(&manifest), None));
        }
        let id = PairId::of(&input.digest, &manifest);
        let slot = self.open_slot(name, seen.began);
        self.saved.remove(name);
        if let Some(fault) = slot.rejection(&id) {
            return self.refuse(name, seen.began, fault, (Some(&manifest), Some(id)));
        }
        slot.declare(&manifest);
        self.start(name, seen, (input, manifest), None);
    }

    /// Begins the steps after the gate.
    fn start(
        &mut self,
        name: &str,
        Seen { pair, began }: Seen,
        (input, manifest): (Input, Manifest),
        restored: Option<Box<Restored>>,
    ) {
        let origin = self.code_in_service(&input.digest).map_or(Origin::Cache, Origin::Sibling);
        let run = Run { number: 0, pair, input, manifest, began, stage: Stage::Compiling, restored };
        self.runs.insert(name.to_owned(), run);
        self.raise(name, origin);
    }

    /// Lets a plugin go through the steps after the gate.
    fn raise(&mut self, name: &str, origin: Origin) {
        let reporter = self.reporter(name);
        let (Ok(machine), Some(slot), Some(run)) =
            (&self.machine, self.roster.slot(name), self.runs.get_mut(name))
        else {
            return;
        };
        let (digest, manifest) = (run.input.digest.clone(), run.manifest.clone());
        let (works, nominee) = (Arc::clone(&machine.works), Nominee { slot, digest, manifest, origin });
        run.number = reporter.number;
        let task = tokio::spawn(async move {
            let work = async {
                failpoint("plugin.raise");
                raise(works, nominee).await
            };
            let raised = catch_panic_in(work).await.unwrap_or_else(panicked);
            reporter.tell(News::Raised(raised)).await;
        });
        run.stage = Stage::Raising(Task(task.abort_handle()));
    }

    fn order(&self, name: &str, digest: String) {
        let restored = self.runs.get(name).and_then(|run| run.restored.as_ref());
        let source = restored.map_or_else(|| self.source(name), |restored| restored.source.clone());
        if let Ok(machine) = &self.machine {
            machine.workshop.order(source, digest);
        }
    }

    fn conclude(&mut self, slot: &Slot, run: Run) {
        let Run { pair, input, manifest, began, stage: Stage::Raised((origin, loaded)), restored, .. } = run
        else {
            return;
        };
        if let Some(restored) = restored {
            return self.conclude_restored(slot, Seen { pair, began }, loaded, restored.then);
        }
        let generation: Arc<Generation> = match loaded {
            Ok(generation) => generation,
            Err(fault) => {
                return self.note_refusal(slot, fault, Some(PairId::of(&input.digest, &manifest)));
            }
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

    fn refuse(
        &mut self,
        name: &str,
        began: Instant,
        fault: LoadFault,
        (manifest, pair): (Option<&Manifest>, Option<PairId>),
    ) {
        let slot = self.open_slot(name, began);
        if let Some(manifest) = manifest {
            slot.declare(manifest);
        }
        self.note_refusal(&slot, fault, pair);
    }

    fn note_refusal(&mut self, slot: &Slot, fault: LoadFault, pair: Option<PairId>) {
        self.inputs.remove(&slot.name);
        self.runs.remove(&slot.name);
        let serves = if slot.current().is_some() { "the generation before it" } else { "the built-in" };
        tracing::error!(
            plugin = slot.name,
            reason = %fault.reason,
            cause = fault.message,
            "the plugin cannot be loaded, {serves} serves"
        );
        slot.refuse(fault, pair);
        slot.progress.end();
    }

    /// The slot of a plugin whose new files are on their way since `began`. What was on its way before is not any
    /// more.
    fn open_slot(&mut self, name: &str, began: Instant) -> Arc<Slot> {
        self.runs.remove(name);
        let slot = self.roster.open_slot(self.source(name));
        if let Some(saved) = self.saved.get_mut(name) {
            slot.recall(std::mem::take(&mut saved.rejected));
        }
        slot.begin(began);
        slot
    }

    /// The code of a plugin that serves and has the same component.
    fn code_in_service(&self, digest: &str) -> Option<Box<Code>> {
        let all = self.roster.all();
        let sibling =
            all.values().filter_map(|slot| slot.current()).find(|current| current.digest == digest)?;
        Some(Box::new(Code {
            digest: sibling.digest.clone(),
            facets: sibling.facets.clone(),
            interfaces: sibling.interfaces.clone(),
            wasi: sibling.wasi,
        }))
    }

    fn source(&self, name: &str) -> Source {
        Source::new(&self.directory, name, self.trust)
    }

    fn reporter(&mut self, name: &str) -> Reporter {
        self.numbers += 1;
        Reporter { plugin: name.to_owned(), number: self.numbers, to: self.reports.0.clone() }
    }
}

/// The outcome for a component whose loading panicked.
fn panicked() -> Option<Raised> {
    let text = "the gateway panicked while it was taken into service; its log shows where";
    Some(("nowhere", Err(LoadFault::new(Reason::DescribeFailed, text))))
}

/// Where a task says how it fares.
#[derive(Clone)]
struct Reporter {
    plugin: String,
    number: u64,
    to: Sender<Report>,
}

impl Reporter {
    async fn tell(self, news: News) {
        // Nobody listens once the host is gone.
        self.to.send(Report { plugin: self.plugin, number: self.number, news }).await.ok();
    }

    /// The same for what may be lost.
    fn tell_if_heard(self, news: News) {
        self.to.try_send(Report { plugin: self.plugin, number: self.number, news }).ok();
    }
}
