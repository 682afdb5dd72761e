//! What an operator may set.

use serde::Deserialize;

/// The settings, all of them optional.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// The SRV name to ask for. `{host}`, `{name}` and `{namespace}` stand for those of the service.
    pub name: String,
    /// Longest time for which an answer is good, whatever its TTL says.
    pub fresh_seconds_max: u32,
    /// How long the last answer serves while DNS fails.
    pub stale_seconds: u32,
    /// Whether to look up the addresses of the records' targets here. Without it the gateway does, with its
    /// system's resolver.
    pub lookup_addresses: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "_https._tcp.{host}".to_owned(),
            fresh_seconds_max: 300,
            stale_seconds: 600,
            lookup_addresses: true,
        }
    }
}

impl Settings {
    /// Reads the JSON that the host hands over.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut rest = settings.name.as_str();
        if rest.is_empty() {
            return Err("name is empty; leave it out or write a name such as _https._tcp.{host}".to_owned());
        }
        while let Some((_, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').ok_or("name has a { without }")?;
            if !["host", "name", "namespace"].contains(&word) {
                return Err(format!("name has {{{word}}}; {{host}}, {{name}} and {{namespace}} are known"));
            }
            rest = after;
        }
        if settings.fresh_seconds_max == 0 {
            return Err("freshSecondsMax must be at least 1".to_owned());
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_need_be_set() {
        assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
    }

    #[test]
    fn every_mistake_is_named() {
        for (json, says) in [
            ("[", "EOF"),
            (r#"{"nam":"x"}"#, "unknown field `nam`"),
            (r#"{"name":""}"#, "name is empty"),
            (r#"{"name":"{zone}"}"#, "{zone}"),
            (r#"{"name":"{host"}"#, "without }"),
            (r#"{"freshSecondsMax":0}"#, "at least 1"),
        ] {
            let error = Settings::parse(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
