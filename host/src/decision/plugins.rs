//! The plugins of the process as they are shown to people, and what people may ask of them.

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

/// What became of the newest file of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newest {
    /// That is being found out.
    UnderWay,
    /// It has been taken into service.
    Loaded,
    /// It cannot serve, or is gone.
    #[default]
    Refused,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginView {
    /// Its name: the file name without `.wasm`, or the name that a binding leads to.
    pub name: String,
    /// The file.
    pub path: String,
    /// What the operator's manifest says, secrets by name only; an empty object without one.
    pub manifest: Value,
    /// One word for where its newest files are.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// The number of the last outcome of its files; unique in this process, 0 before the first.
    pub outcome: u64,
    /// The steps of the newest files that are over, and the milliseconds that they took.
    pub steps: Vec<(String, u64)>,
    /// Whether it answers when it is asked.
    pub serves: bool,
    /// The last fault of the serving generation, until enough calls were answered since.
    pub failing: Option<String>,
    /// The reason code and the words why what is loaded is not asked, where that is so.
    pub hold: Option<(String, String)>,
    /// What became of the newest file.
    pub newest: Newest,
    /// Whether an operator has switched it off.
    pub disabled: bool,
    /// The reason code, where something is not as it should be; else empty.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// What to do about it.
    pub mend: String,
    /// The generation that serves, 0 for none.
    pub generation: u64,
    /// SHA-256 of the component that serves, in hexadecimal; else empty.
    pub digest: String,
    /// The decisions that it implements, with their versions.
    pub interfaces: Vec<String>,
    /// The version that it states.
    pub version: String,
    /// What it says about itself.
    pub description: String,
    /// How many calls it got.
    pub calls: u64,
    /// How many of them it failed.
    pub faults: u64,
    /// The last of these.
    pub last_fault: String,
    /// The objects that lead to it: which, the kind of decision, and what stands in when it fails.
    pub bindings: Vec<[String; 3]>,
    /// How the newest file answered recorded calls, in the form of `/plugins`; null where that is not known.
    pub rehearsal: Value,
}

/// What can be asked of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    /// Read its files again.
    Reload,
    /// Go back to the generation before.
    Rollback,
    /// Forget its faults, and ask it again at once.
    Reset,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reload, Self::Rollback, Self::Reset];

    /// The word in annotations and status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Rollback => "rollback",
            Self::Reset => "reset",
        }
    }
}

/// The plugins of the process.
pub trait Plugins: Send + Sync {
    /// All of them, sorted by name; `None` while the directory has not been looked at yet.
    fn views(&self) -> Option<Vec<PluginView>>;
    /// Moves when a plugin was loaded, refused, suspended, removed or asked for something.
    fn changes(&self) -> watch::Receiver<u64>;
    /// The names of the existing plugins, loaded or not; `None` before the first scan of the directory.
    fn present(&self) -> Option<Vec<String>>;
    /// Does what an operator asks; tells what was done.
    ///
    /// # Errors
    /// Why it cannot be done, for people.
    fn act(&self, plugin: &str, deed: Deed) -> Result<String, String>;
    /// Switches a plugin off or on, whether it is there already or comes later.
    fn set_disabled(&self, plugin: &str, disabled: bool);
    /// All of them as the document of `/plugins`.
    fn report(&self) -> Value;
    /// The last calls of a plugin as the document of `/plugins/<name>/calls`; `None` when there is no such plugin.
    fn calls(&self, plugin: &str) -> Option<Value>;
}
