//! `umbel plugin run`: a component under its cases, again whenever a file changes.

use super::cases::{CasesFlags, report};
use super::given::GivenFlags;
use crate::assembly::CommandError;
use clap::{Args, ValueHint};
use notify::{RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, SystemTime};

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
    /// Run them again whenever the component, its manifest or a case changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// What tells one version of a file from another.
type Look = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

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
    let folder = flags.cases.folder(&flags.given);
    let (wake, woken) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(move |_| {
        // A full queue means that somebody is awake already.
        wake.try_send(()).ok();
    })
    .map_err(CommandError::failed)?;
    for path in [flags.given.file.parent(), Some(folder.as_path())].into_iter().flatten() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // What cannot be watched is still looked at.
        watcher.watch(path, RecursiveMode::NonRecursive).ok();
    }
    let mut seen = None;
    loop {
        let now = look(flags, &folder);
        if seen.as_ref() == Some(&now) {
            if !wait(&woken, RESCAN) {
                return Ok(());
            }
            continue;
        }
        std::thread::sleep(SETTLE);
        if look(flags, &folder) != now {
            continue;
        }
        seen = Some(now);
        if let Err(error) = round(flags) {
            crate::assembly::print(&format!("{error}\n"))?;
        }
        crate::assembly::print("waiting for a change; Ctrl-C ends\n\n")?;
    }
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
fn look(flags: &RunFlags, folder: &Path) -> Look {
    let mut paths = vec![flags.given.file.clone(), flags.given.file.with_extension("yaml")];
    paths.extend(flags.given.manifest.clone());
    paths.extend(flags.call.clone());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    paths.extend(entries.map(|entry| entry.path()));
    let state = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    paths.into_iter().map(|path| (path.clone(), state(&path))).collect()
}
