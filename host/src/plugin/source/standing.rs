//! What manifests say about failures, which holds whatever becomes of their components: also while one is missing,
//! has not come yet, or cannot be loaded.

use super::files::{Source, Unfit};
use super::look::{Fingerprint, fingerprint};
use super::manifest::Manifest;
use crate::plugin::rules::Rules;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A manifest that cannot be parsed at all may be half written, until it has not changed for this long.
const QUIET: Duration = Duration::from_secs(5);

/// By the name of the plugin.
pub(in crate::plugin) type StandingRules = BTreeMap<String, Standing>;

/// What one manifest says, as of one state of its file.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Standing {
    seen: Fingerprint,
    /// `None` where nothing of it can be understood.
    pub rules: Option<Arc<Rules>>,
}

impl Standing {
    /// Looks at a manifest; `last` is what it was before. `None` when it is gone by now.
    pub(super) fn look(source: &Source, last: Option<&Self>) -> Option<Self> {
        Self::look_at(source, last, SystemTime::now())
    }

    fn look_at(source: &Source, last: Option<&Self>, clock: SystemTime) -> Option<Self> {
        let seen = fingerprint(&source.yaml)?;
        if let Some(last) = last.filter(|last| last.seen == seen) {
            return Some(last.clone());
        }
        match what_holds(source) {
            // It may be half written: a writer that truncates the file first must not suspend a fail-closed policy.
            Ok(None)
                if last.is_some_and(|last| last.rules.is_some()) && !seen.unchanged_for(QUIET, clock) =>
            {
                last.cloned()
            }
            Ok(manifest) => {
                let rules = manifest.map(|manifest| Arc::new(Rules::of(&manifest)));
                Some(Self { seen, rules })
            }
            // A later look reads it; until then it is as it was.
            Err(_) => last.cloned(),
        }
    }
}

/// The manifest as far as it can be understood; `None` where that is nothing.
///
/// # Errors
/// `Changing` only.
pub(super) fn what_holds(source: &Source) -> Result<Option<Manifest>, Unfit> {
    match source.read_manifest_text() {
        Ok(None) => Ok(Some(Manifest::absent())),
        Ok(Some(text)) => Ok(understand(&source.name, &text)),
        Err(Unfit::Changing) => Err(Unfit::Changing),
        Err(Unfit::Refused(_)) => Ok(None),
    }
}

/// The parts of `spec` that say what becomes of those who ask.
const PARTS: [&str; 3] = ["failurePolicy", "bindings", "discovery"];

/// A manifest that is wrong somewhere still says what becomes of those who ask: of a mistake in a setting must not
/// follow that everything is shown.
fn understand(name: &str, text: &str) -> Option<Manifest> {
    if let Ok(manifest) = Manifest::parse(name, text) {
        return Some(manifest);
    }
    let file: Value = crate::model::yaml::read(text).ok()?;
    if file["kind"] != "Plugin" {
        return None;
    }
    let parse = |spec: &Map<String, Value>| {
        let file = json!({"apiVersion": "plugins.umbel.dev/v1alpha1", "kind": "Plugin", "spec": spec});
        // JSON is YAML. A binding that matches nothing does not affect the others, so only the form is checked.
        Manifest::parse_form(&file.to_string())
    };
    let mut spec = Map::new();
    for part in PARTS {
        let mut more = spec.clone();
        more.extend(file["spec"].get(part).map(|value| (part.to_owned(), value.clone())));
        if parse(&more).is_some() {
            spec = more;
        }
    }
    parse(&spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::binding::BindingSubject;
    use crate::model::failure_policy::FailurePolicy;
    use crate::plugin::source::rights::Trust;

    const HEAD: &str = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\n";

    #[test]
    fn what_can_be_understood_of_a_wrong_manifest_holds() {
        let text = format!(
            "{HEAD}spec:\n  setings: {{a: 1}}\n  failurePolicy: Fail\n  bindings: {{servces: []}}\n  discovery: {{enabled: true}}\n"
        );
        assert!(Manifest::parse("p", &text).is_err());
        let rules = Rules::of(&understand("p", &text).unwrap());
        assert!(rules.policy == Some(FailurePolicy::Fail) && rules.hides(), "{rules:?}");
        let text =
            format!("{HEAD}spec: {{failurePolicy: Fail, bindings: {{services: [shop, prod/shop]}}}}\n");
        assert!(Manifest::parse("p", &text).is_err());
        let subject =
            BindingSubject { service: ("prod".to_owned(), "shop".to_owned()), ..BindingSubject::default() };
        let rules = Rules::of(&understand("p", &text).unwrap());
        assert!(rules.precision(&subject).is_some() && rules.holds_unloaded(&subject), "{rules:?}");
        assert!(understand("p", "kind: ConfigMap\n").is_none());
        assert!(understand("p", "a: [").is_none());
    }

    #[test]
    fn each_state_of_a_manifest_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::new(directory.path(), "p", Trust::Everybody);
        let write = |text: &str| std::fs::write(&source.yaml, text).unwrap();
        assert!(Standing::look(&source, None).is_none());
        write(HEAD);
        let first = Standing::look(&source, None).unwrap();
        let again = Standing::look(&source, Some(&first)).unwrap();
        assert!(Arc::ptr_eq(first.rules.as_ref().unwrap(), again.rules.as_ref().unwrap()));
        write(&format!("{HEAD}spec: {{failurePolicy: Fail}}\n"));
        let changed = Standing::look(&source, Some(&first)).unwrap().rules.unwrap();
        assert_eq!(changed.policy, Some(FailurePolicy::Fail));
        for half in ["", "a: 1\n", "apiVersion: plugins.umbel.dev/v1al", "kind: [\n"] {
            write(half);
            let kept = Standing::look(&source, Some(&first)).unwrap().rules;
            assert!(Arc::ptr_eq(first.rules.as_ref().unwrap(), kept.as_ref().unwrap()), "{half:?}");
            let later = SystemTime::now() + QUIET + Duration::from_secs(1);
            assert!(Standing::look_at(&source, Some(&first), later).unwrap().rules.is_none(), "{half:?}");
        }
    }
}
