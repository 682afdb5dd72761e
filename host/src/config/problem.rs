//! What is wrong with the settings, and how to mend it.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the file of `--config`, on this line (from 1).
    File(PathBuf, usize),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was given.
    pub origin: Origin,
    /// The setting's name, without dashes; empty when the file itself is wrong, or an argument has no name.
    pub key: String,
    /// The value as it was written, where there is one.
    pub value: Option<String>,
    /// What is wrong and how to mend it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.as_str()) {
            (Origin::Flag, "") => {}
            (Origin::Flag, key) => write!(f, "--{key}")?,
            (Origin::File(path, line), "") => write!(f, "{}:{line}", path.display())?,
            (Origin::File(path, line), key) => write!(f, "{}:{line}: {key}", path.display())?,
        }
        if let Some(value) = &self.value {
            let space = if self.origin == Origin::Flag && self.key.is_empty() { "" } else { " " };
            write!(f, "{space}{value:?}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Every problem of a start, in the order of the settings' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {noun} with the settings, nothing was started", self.0.len())?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
