//! What a look asks of a file system that may take as long as it likes to answer.

use crate::plugin::source::files::Source;
use crate::plugin::source::look::{Listing, Pair, View, is_partial, list};
use crate::plugin::source::rights::Trust;
use crate::plugin::source::standing::Standing;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// The files of a plugin, and whether its component seems to be there in part only.
pub(super) type Component = (Pair, bool);

/// Where plugins lie. Each of these may hang for good.
pub(super) trait Disk: Send + Sync + 'static {
    /// The names of everything.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Listing>;

    /// The files of one plugin; `None` when its component is gone by now. `last` is what the look before saw.
    fn component(&self, listing: &Listing, name: &str, is_link: bool, last: &View) -> Option<Component>;

    /// What one manifest says; `None` when it is gone by now. `last` is what it said before.
    fn manifest(&self, name: &str, last: Option<&Standing>) -> Option<Standing>;
}

/// A directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub path: PathBuf,
    /// Whose files are read.
    pub trust: Trust,
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Listing> {
        list(&self.path)
    }

    fn component(&self, listing: &Listing, name: &str, is_link: bool, last: &View) -> Option<Component> {
        let pair = listing.look_at(&self.path, name, is_link)?;
        let is_partial = match last.look.get(name) {
            Some(before) if *before == pair && !last.partial.contains(name) => false,
            _ => is_partial(&self.path, name, &pair, SystemTime::now()),
        };
        Some((pair, is_partial))
    }

    fn manifest(&self, name: &str, last: Option<&Standing>) -> Option<Standing> {
        Standing::look(&Source::new(&self.path, name, self.trust), last)
    }
}
