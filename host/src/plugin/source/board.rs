//! What a look has found so far, shared by the one who waits for it and the threads that look. One lock guards all of
//! it, so that there is no order in which two would have to be taken; nobody holds it while a file system is asked or
//! a line is logged.

use crate::plugin::source::disk::Component;
use crate::plugin::source::look::{Listing, Pair, View};
use crate::plugin::source::standing::Standing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that may be held up at once by links. When there are more, links are not followed until some come back.
const STUCK_MAX: usize = 64;
/// The same for all files: those that are no links lie where the directory lies, and are looked at longer.
const STUCK_MAX_IN_ALL: usize = 2 * STUCK_MAX;

/// A file that a thread may be held up by, named by its plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum File {
    Manifest(String),
    Component(String),
}

/// What a thread is at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It reads the names in the directory.
    Names,
    File(File),
}

impl File {
    fn is_in(&self, listing: &Listing) -> bool {
        match self {
            Self::Manifest(name) => listing.manifests.contains_key(name),
            Self::Component(name) => listing.components.iter().any(|(found, _)| found == name),
        }
    }
}

/// How long a thread may be at one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Before the others are looked at without the file.
    pub file: Duration,
    /// Before people are told that the names in the directory cannot be had. Without them there is nothing to do.
    pub names: Duration,
}

/// What a file is; `None` when it is gone by now.
#[derive(Debug)]
pub(super) enum Finding {
    Manifest(Option<Standing>),
    Component(Option<Component>),
}

/// What a thread does about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Look,
    /// What it is is known already, or will not be known soon.
    Skip,
    /// Nobody waits for this thread any more.
    End,
}

/// The look that is being taken, and what those before have left.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Of the look that is waited for. A thread of another one was given up.
    number: u64,
    at: Option<(Step, Instant)>,
    listing: Arc<Listing>,
    view: View,
    /// Files that do not answer. Each holds a thread.
    stuck: BTreeSet<File>,
    /// What files said after nobody waited for them any more, for the next look.
    late: BTreeMap<File, Finding>,
}

impl Board {
    /// Begins a look, and says which one it is.
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.at = Some((Step::Names, now));
        self.listing = Arc::default();
        self.view = View { is_cut_short: true, ..View::default() };
        self.number
    }

    /// The names are known. A thread that reads them is never given up.
    pub(super) fn note_names(&mut self, listing: &Arc<Listing>) {
        self.listing = Arc::clone(listing);
        self.view.place = listing.place;
        self.late.retain(|file, _| file.is_in(listing));
        self.at = None;
    }

    /// What to do about a file.
    pub(super) fn next(&mut self, number: u64, file: &File, is_link: bool, now: Instant) -> Next {
        if self.number != number {
            return Next::End;
        }
        if matches!(file, File::Component(_)) {
            self.view.knows_manifests = true;
        }
        if let Some(finding) = self.late.remove(file) {
            self.add(file.clone(), finding);
            return Next::Skip;
        }
        let most = if is_link { STUCK_MAX } else { STUCK_MAX_IN_ALL };
        if self.is_stuck(file) || self.stuck.len() >= most {
            return Next::Skip;
        }
        self.at = Some((Step::File(file.clone()), now));
        Next::Look
    }

    /// Notes what a file is. Says whether that comes too late for the look that it was found out for.
    pub(super) fn note(&mut self, number: u64, file: File, finding: Finding) -> bool {
        let is_late = self.number != number;
        if is_late {
            self.stuck.remove(&file);
            self.late.insert(file, finding);
        } else {
            self.at = None;
            self.add(file, finding);
        }
        is_late
    }

    /// Every file was looked at that answers.
    pub(super) fn note_end(&mut self, number: u64) {
        if self.number == number {
            self.view.is_cut_short = false;
            self.view.knows_manifests = true;
        }
    }

    fn add(&mut self, file: File, finding: Finding) {
        match (file, finding) {
            (File::Manifest(name), Finding::Manifest(Some(standing))) => {
                self.view.manifests.insert(name, standing);
            }
            (File::Component(name), Finding::Component(Some((pair, is_partial)))) => {
                if is_partial {
                    self.view.partial.insert(name.clone());
                }
                self.view.look.insert(name, pair);
            }
            _ => {}
        }
    }

    /// Whether a file is not asked. Looking at a component asks for its manifest as well.
    fn is_stuck(&self, file: &File) -> bool {
        let manifest = match file {
            File::Component(name) => Some(File::Manifest(name.clone())),
            File::Manifest(_) => None,
        };
        self.stuck.contains(file) || manifest.is_some_and(|manifest| self.stuck.contains(&manifest))
    }

    /// When the thread will have been at one step for too long.
    pub(super) fn deadline(&self, now: Instant, patience: Patience) -> Instant {
        match &self.at {
            Some((Step::Names, since)) => *since + patience.names,
            Some((Step::File(_), since)) => *since + patience.file,
            None => now + patience.file,
        }
    }

    /// Goes on without the file that holds the thread up, where one does. The names are waited for all the same:
    /// another thread would hang as well.
    pub(super) fn give_up(&mut self, now: Instant, patience: Patience) -> Option<Step> {
        if now < self.deadline(now, patience) {
            return None;
        }
        let (step, since) = self.at.as_mut()?;
        let step = step.clone();
        if let Step::File(file) = &step {
            self.stuck.insert(file.clone());
            self.at = None;
            self.number += 1;
        } else {
            *since = now;
        }
        Some(step)
    }

    /// Whether no thread is held up.
    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.stuck.is_empty()
    }

    /// Whether there is something to say about a step: the file is still in the directory.
    pub(super) fn has(&self, step: &Step) -> bool {
        matches!(step, Step::File(file) if file.is_in(&self.listing))
    }

    /// What was seen; what was not is as it was.
    pub(super) fn view(&mut self, last: &View) -> View {
        let mut view = std::mem::take(&mut self.view);
        for (name, standing) in &last.manifests {
            let is_missed = view.is_cut_short || self.stuck.contains(&File::Manifest(name.clone()));
            if is_missed && self.listing.manifests.contains_key(name) && !view.manifests.contains_key(name) {
                view.manifests.insert(name.clone(), standing.clone());
            }
        }
        for (name, _) in &self.listing.components {
            if view.look.contains_key(name) {
                continue;
            }
            match last.look.get(name) {
                // Its directory may have become unreadable, which is no removal.
                Some(pair) => {
                    view.look.insert(name.clone(), *pair);
                    view.partial.extend(last.partial.get(name).cloned());
                }
                // Reading it will show what is wrong with it.
                None if !view.is_cut_short || self.is_stuck(&File::Component(name.clone())) => {
                    view.look.insert(name.clone(), Pair::default());
                }
                None => {}
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { file: Duration::from_millis(250), names: Duration::from_secs(5) };

    #[test]
    fn only_the_file_that_is_being_looked_at_is_given_up() {
        let (mut board, start) = (Board::default(), Instant::now());
        let [one, other] = ["a", "b"].map(|name| File::Component(name.to_owned()));
        let mut listing = Listing::default();
        listing.components.extend(["a", "b"].map(|name| (name.to_owned(), false)));
        let listing = Arc::new(listing);
        let number = board.begin(start);
        let late = start + PATIENCE.names;
        assert_eq!(board.give_up(late, PATIENCE), Some(Step::Names));
        assert_eq!(board.give_up(late, PATIENCE), None, "it is told once");
        board.note_names(&listing);
        assert_eq!(board.next(number, &one, false, late), Next::Look);
        assert!(!board.note(number, one.clone(), Finding::Component(None)));
        let later = late + PATIENCE.file;
        assert_eq!(board.give_up(later, PATIENCE), None, "it has answered, and no thread will say so again");
        assert_eq!(board.next(number, &other, false, later), Next::Look);
        assert_eq!(board.give_up(later, PATIENCE), None);
        let held_up = board.give_up(later + PATIENCE.file, PATIENCE);
        assert_eq!(held_up, Some(Step::File(other.clone())));
        assert_eq!(board.next(number, &one, false, later), Next::End, "nobody waits for that thread");
        let number = board.begin(later);
        board.note_names(&listing);
        assert_eq!(board.next(number, &other, false, later), Next::Skip, "another thread would hang as well");
        assert!(board.note(number - 2, other.clone(), Finding::Component(Some((Pair::default(), true)))));
        assert!(board.is_free());
        let number = board.begin(later);
        board.note_names(&listing);
        assert_eq!(board.next(number, &other, false, later), Next::Skip, "it has said it");
        assert!(board.view(&View::default()).partial.contains("b"));
        let number = board.begin(later);
        board.note_names(&Arc::default());
        assert_eq!(board.next(number, &other, false, later), Next::Look, "once");
    }
}
