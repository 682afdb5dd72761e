//! `umbel plugin run`: a component under its cases, built and run again whenever a file changes.

mod source;

use super::cases::{CasesFlags, report};
use super::given::GivenFlags;
use crate::assembly::CommandError;
use clap::{Args, ValueHint};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use source::{FileState, Source, state};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long files must stay as they are before they are read.
const SETTLE: Duration = Duration::from_millis(200);
/// How often files are looked at without an event: some file systems send none.
const RESCAN: Duration = Duration::from_secs(2);

/// Flags of `umbel plugin run`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct RunFlags {
    #[command(flatten)]
    given: GivenFlags,
    #[command(flatten)]
    cases: CasesFlags,
    /// Only the cases of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "cases")]
    call: Option<PathBuf>,
    /// Run them again whenever the component, its manifest or a case changes, until Ctrl-C. Where the component lies
    /// in the directory of its source, a change of the source builds it first
    #[arg(long)]
    watch: bool,
    /// Leave the source alone
    #[arg(long, requires = "watch")]
    no_build: bool,
}

/// The state of the files: those that a build reads, and those that are read when the cases run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    source: BTreeMap<PathBuf, FileState>,
    run: BTreeMap<PathBuf, FileState>,
}

impl Look {
    /// Records the component that a build has written. Other changes made meanwhile still count as changes.
    fn set_component(&mut self, component: &Path) {
        self.run.insert(component.to_owned(), state(component));
    }
}

/// Runs the cases, once or until it is ended.
///
/// # Errors
/// Without `--watch`: `Failed` when a case fails. With it, only when nothing can be printed or watched.
pub(super) fn run(flags: &RunFlags) -> Result<(), CommandError> {
    if !flags.watch {
        return round(flags).and_then(|failed| match failed {
            0 => Ok(()),
            count => Err(CommandError::failed(format!("{count} cases failed"))),
        });
    }
    let source = if flags.no_build { None } else { Source::of(&flags.given) };
    let folder = flags.cases.folder(&flags.given);
    let (_watcher, woken) = watch(flags, source.as_ref(), &folder)?;
    let (mut seen, mut built) = (None, None);
    loop {
        let now = look(flags, source.as_ref(), &folder);
        if seen.as_ref() == Some(&now) {
            if !wait(&woken, RESCAN) {
                return Ok(());
            }
            continue;
        }
        std::thread::sleep(SETTLE);
        if look(flags, source.as_ref(), &folder) != now {
            continue;
        }
        let to_build = source.as_ref().filter(|source| needs_build(source, &now, built.as_ref()));
        built = Some(now.source.clone());
        seen = Some(now);
        let result = to_build.map_or(Ok(()), build);
        if let (Some(seen), true) = (&mut seen, to_build.is_some()) {
            seen.set_component(&flags.given.file);
        }
        if let Err(error) = result.and_then(|()| round(flags)) {
            crate::assembly::print(&format!("{error}\n"))?;
        }
        crate::assembly::print("waiting for a change; Ctrl-C ends\n\n")?;
    }
}

/// Whether the source has changed since the last build, or is newer than the component in the first round.
fn needs_build(source: &Source, now: &Look, built: Option<&BTreeMap<PathBuf, FileState>>) -> bool {
    built.map_or_else(|| source.is_newer(&now.source), |built| *built != now.source)
}

fn build(source: &Source) -> Result<(), CommandError> {
    crate::assembly::print("building\n")?;
    source.build().map_err(|error| CommandError::Failed(format!("{error}\nnot built, so no case ran")))
}

/// A receiver that is woken when a file changes.
fn watch(
    flags: &RunFlags,
    source: Option<&Source>,
    cases: &Path,
) -> Result<(RecommendedWatcher, Receiver<()>), CommandError> {
    let (wake, woken) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(move |_| {
        // If the queue is full, the loop is about to scan anyway.
        wake.try_send(()).ok();
    })
    .map_err(CommandError::failed)?;
    let folders = source.map(|source| source.look().1).unwrap_or_default();
    let given = [flags.given.file.parent(), Some(cases)];
    for path in given.into_iter().flatten().chain(folders.iter().map(PathBuf::as_path)) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // A path that cannot be watched is still scanned.
        watcher.watch(path, RecursiveMode::NonRecursive).ok();
    }
    Ok((watcher, woken))
}

/// Whether there is still something to wait for.
fn wait(woken: &Receiver<()>, limit: Duration) -> bool {
    !matches!(woken.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
}

/// Loads the component and runs its cases; says how many failed.
fn round(flags: &RunFlags) -> Result<usize, CommandError> {
    let given = flags.given.read()?;
    let cases = match &flags.call {
        Some(file) => flags.cases.read_file(file),
        None => flags.cases.read(&flags.given),
    };
    let (text, failed) = report(&given, &cases.map_err(CommandError::Failed)?)?;
    crate::assembly::print(&text)?;
    Ok(failed)
}

/// Size and time of every file that matters.
fn look(flags: &RunFlags, source: Option<&Source>, folder: &Path) -> Look {
    let mut paths = vec![flags.given.file.clone(), flags.given.file.with_extension("yaml")];
    paths.extend(flags.given.manifest.clone());
    paths.extend(flags.call.clone());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    paths.extend(entries.map(|entry| entry.path()));
    let run = paths.into_iter().map(|path| (path.clone(), state(&path))).collect();
    Look { source: source.map(|source| source.look().0).unwrap_or_default(), run }
}
