//! What an operator may set.

use serde::Deserialize;

/// How many endpoints must answer well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// One is enough.
    One,
    /// Every one.
    All,
}

/// The settings, all of them optional.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// What to ask for.
    pub path: String,
    /// `GET` or `HEAD`.
    pub method: String,
    /// Statuses that are good, first and last.
    pub status: (u16, u16),
    /// Failures in a row before `False`.
    pub failures: u32,
    /// Successes in a row before `True`.
    pub successes: u32,
    /// Limit for one request.
    pub timeout_ms: u32,
    /// When to ask again while a row is being counted.
    pub retry_ms: u32,
    /// How many endpoints must answer well.
    pub need: Need,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/readyz".to_owned(),
            method: "GET".to_owned(),
            status: (200, 299),
            failures: 3,
            successes: 1,
            timeout_ms: 1_000,
            retry_ms: 1_000,
            need: Need::One,
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
        let problem = if !settings.path.starts_with('/') || settings.path.contains(char::is_whitespace) {
            Some("path must start with / and hold no spaces")
        } else if !matches!(settings.method.as_str(), "GET" | "HEAD") {
            Some("method must be GET or HEAD")
        } else if settings.failures == 0 || settings.successes == 0 {
            Some("failures and successes must be at least 1")
        } else if settings.status.0 > settings.status.1 {
            Some("status must be [first, last], such as [200, 299]")
        } else if settings.timeout_ms == 0 || settings.retry_ms == 0 {
            Some("timeoutMs and retryMs must be at least 1")
        } else {
            None
        };
        problem.map_or(Ok(settings), |problem| Err(problem.to_owned()))
    }

    /// Whether a status is good.
    pub fn accepts(&self, status: u16) -> bool {
        (self.status.0..=self.status.1).contains(&status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_need_be_set() {
        assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
        assert!(Settings::default().accepts(204) && !Settings::default().accepts(301));
    }

    #[test]
    fn every_mistake_is_named() {
        for (json, says) in [
            (r#"{"paths":"/x"}"#, "unknown field `paths`"),
            (r#"{"path":"x"}"#, "start with /"),
            (r#"{"path":"/a b"}"#, "no spaces"),
            (r#"{"method":"POST"}"#, "GET or HEAD"),
            (r#"{"failures":0}"#, "at least 1"),
            (r#"{"status":[299,200]}"#, "[first, last]"),
            (r#"{"timeoutMs":0}"#, "at least 1"),
            (r#"{"need":"some"}"#, "unknown variant `some`"),
        ] {
            let error = Settings::parse(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
