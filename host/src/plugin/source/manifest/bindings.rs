//! What a plugin decides for: `spec.bindings` and `spec.discovery`.

use crate::plugin::source::pattern::Pattern;
use serde::Deserialize;

/// The objects that a plugin decides for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Bindings {
    /// `namespace/name` of ExternalNames; `*` stands for any text.
    pub services: Vec<Pattern>,
    /// Names of APIServices, such as `*.example.com`.
    pub api_services: Vec<Pattern>,
}

/// How a transformer takes part.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::plugin) struct Discovery {
    /// Off by default: a file that is dropped in must not change what everybody sees.
    pub enabled: bool,
    /// Higher goes first; equal ones go by name.
    pub priority: i32,
    /// The groups that it is asked about; all of them by default.
    pub groups: Vec<Pattern>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a transformer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugin) enum Purpose {
    /// Makes discovery nicer; without it, groups are shown as they are.
    #[default]
    Present,
    /// Removes what must not be seen; without it, groups are hidden.
    Restrict,
}

impl Discovery {
    /// Whether it is asked about the group of that name.
    pub(in crate::plugin) fn concerns(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|pattern| pattern.matches(group))
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self { enabled: false, priority: 100, groups: Vec::new(), purpose: Purpose::default() }
    }
}
