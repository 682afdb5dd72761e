//! The decision: what is hidden, and in which order the rest stands.

use crate::pattern::matches;
use serde::Deserialize;
use serde_json::Value;

/// The rules, all of them optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rules {
    /// Groups that are hidden.
    hide: Vec<String>,
    /// Groups that are shown although `hide` covers them.
    show: Vec<String>,
    /// Versions that are hidden in the groups that fit.
    hide_versions: Vec<HiddenVersions>,
    /// Groups that come first, in this order.
    first: Vec<String>,
    /// Groups that come last, in this order.
    last: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HiddenVersions {
    group: String,
    versions: Vec<String>,
}

/// What becomes of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Served as it is.
    Keep,
    /// Served so.
    Replace(String),
    /// Not listed.
    Hide(String),
}

impl Rules {
    /// Reads the JSON that the host hands over.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let rules: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let lists = [&rules.hide, &rules.show, &rules.first, &rules.last];
        if lists.into_iter().flatten().any(String::is_empty) {
            return Err(
                "a list holds an empty text; write a group or a pattern such as *.example.com".to_owned()
            );
        }
        Ok(rules)
    }

    /// Judges one `APIGroupDiscovery`.
    ///
    /// # Errors
    /// When the document is none.
    pub fn transform(&self, document: &str) -> Result<Outcome, String> {
        let mut group: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
        let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(rule) = self.hide.iter().find(|rule| matches(rule, &name))
            && !self.show.iter().any(|rule| matches(rule, &name))
        {
            return Ok(Outcome::Hide(format!("the rule {rule:?} hides it")));
        }
        let hidden: Vec<&String> = self
            .hide_versions
            .iter()
            .filter(|rule| matches(&rule.group, &name))
            .flat_map(|rule| &rule.versions)
            .collect();
        if hidden.is_empty() {
            return Ok(Outcome::Keep);
        }
        let Some(versions) = group.get_mut("versions").and_then(Value::as_array_mut) else {
            return Err("the group has no versions".to_owned());
        };
        let before = versions.len();
        versions.retain(|version| {
            let version = version.get("version").and_then(Value::as_str).unwrap_or_default();
            !hidden.iter().any(|rule| matches(rule, version))
        });
        if versions.len() == before {
            return Ok(Outcome::Keep);
        }
        if versions.is_empty() {
            return Ok(Outcome::Hide("every version of it is hidden".to_owned()));
        }
        serde_json::to_string(&group).map(Outcome::Replace).map_err(|error| error.to_string())
    }

    /// The new order; `None` when no rule asks for one.
    pub fn order(&self, groups: &[&str]) -> Option<Vec<String>> {
        if self.first.is_empty() && self.last.is_empty() {
            return None;
        }
        let place = |name: &str| {
            let first = self.first.iter().position(|rule| matches(rule, name));
            let last = self.last.iter().position(|rule| matches(rule, name));
            match (first, last) {
                (Some(index), _) => (0, index),
                (None, None) => (1, 0),
                (None, Some(index)) => (2, index),
            }
        };
        let mut ordered: Vec<&str> = groups.to_vec();
        // Stable: groups of the same place keep their order.
        ordered.sort_by_key(|name| place(name));
        Some(ordered.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Rules {
        Rules::parse(json).unwrap()
    }

    const GROUP: &str =
        r#"{"metadata":{"name":"a.example.com"},"versions":[{"version":"v1"},{"version":"v2alpha1"}]}"#;

    #[test]
    fn groups_hide_by_rule_and_show_by_exception() {
        let hidden = rules(r#"{"hide":["*.example.com"]}"#).transform(GROUP).unwrap();
        assert_eq!(hidden, Outcome::Hide("the rule \"*.example.com\" hides it".into()));
        let shown = rules(r#"{"hide":["*"],"show":["a.*"]}"#).transform(GROUP).unwrap();
        assert_eq!(shown, Outcome::Keep);
    }

    #[test]
    fn versions_hide_by_rule() {
        let rule = r#"{"hideVersions":[{"group":"*","versions":["*alpha*"]}]}"#;
        let replaced = rules(rule).transform(GROUP).unwrap();
        let wanted = r#"{"metadata":{"name":"a.example.com"},"versions":[{"version":"v1"}]}"#;
        assert_eq!(replaced, Outcome::Replace(wanted.into()));
        let all = r#"{"hideVersions":[{"group":"a.*","versions":["*"]}]}"#;
        assert!(matches!(rules(all).transform(GROUP).unwrap(), Outcome::Hide(_)));
        let none = r#"{"hideVersions":[{"group":"a.*","versions":["v9"]}]}"#;
        assert_eq!(rules(none).transform(GROUP).unwrap(), Outcome::Keep);
    }

    #[test]
    fn groups_move_to_the_front_and_to_the_end() {
        let rules = rules(r#"{"first":["z","b*"],"last":["a"]}"#);
        let ordered = rules.order(&["a", "b1", "m", "b2", "z"]).unwrap();
        assert_eq!(ordered, ["z", "b1", "b2", "m", "a"]);
        assert_eq!(Rules::default().order(&["a"]), None);
    }

    #[test]
    fn every_mistake_is_named() {
        for (json, says) in [
            (r#"{"hides":[]}"#, "unknown field `hides`"),
            (r#"{"hide":"x"}"#, "invalid type"),
            (r#"{"first":[""]}"#, "empty text"),
            (r#"{"hideVersions":[{"group":"x"}]}"#, "missing field `versions`"),
        ] {
            let error = Rules::parse(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
        assert!(Rules::default().transform("{").is_err());
    }
}
