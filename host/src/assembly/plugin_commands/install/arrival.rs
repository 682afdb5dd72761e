//! Waiting until a gateway serves what was installed.

use crate::assembly::CommandError;
use crate::assembly::plugin_commands::gateway::Gateway;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often the gateway is asked.
const INTERVAL: Duration = Duration::from_millis(250);
/// For how long a refusal must stand before it is believed to be about the new file.
const SETTLED: Duration = Duration::from_secs(5);

/// What a gateway says about a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// The component serves, in this state.
    Serves(String),
    /// Something else serves, or nothing; why, where the gateway knows.
    Not { refused: bool, why: String },
}

/// Waits until the gateway serves the component with that digest, and says so.
///
/// # Errors
/// `Failed` when it does not within `limit` seconds, or is refused.
pub(super) fn wait(gateway: &Gateway, name: &str, digest: &str, limit: u64) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut refused_since = None;
    loop {
        let answer = gateway.get("/plugins").map_err(CommandError::Failed)?;
        let answer = answer
            .ok_or_else(|| CommandError::failed("the gateway has no /plugins: it runs without plugins"))?;
        let (refused, why) = match word(&answer, name, digest) {
            Word::Serves(state) => return crate::assembly::print(&format!("{name} serves: {state}\n")),
            Word::Not { refused, why } => (refused, why),
        };
        let since = refused.then(|| *refused_since.get_or_insert_with(Instant::now));
        refused_since = since;
        if since.is_some_and(|since| since.elapsed() >= SETTLED) {
            return Err(CommandError::failed(format!("{name} is installed and does not serve: {why}")));
        }
        if began.elapsed() >= Duration::from_secs(limit) {
            return Err(CommandError::failed(format!(
                "{name} is installed and does not serve after {limit} s: {why}"
            )));
        }
        std::thread::sleep(INTERVAL);
    }
}

fn word(answer: &Value, name: &str, digest: &str) -> Word {
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(item) = items.iter().find(|item| item["name"] == name) else {
        return Word::Not {
            refused: false,
            why: "the gateway has not seen it; does it watch that directory?".to_owned(),
        };
    };
    let text = |key: &str| item[key].as_str().unwrap_or_default();
    let state = text("state");
    let same = text("digest").trim_start_matches("sha256:") == digest.trim_start_matches("sha256:");
    if same && ["Probation", "Active"].contains(&state) {
        return Word::Serves(state.to_owned());
    }
    let reason = text("reason");
    let why = match reason {
        "" => format!("its state is {state}"),
        reason => format!("{reason}: {}", text("message")),
    };
    Word::Not { refused: !reason.is_empty(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_new_component_counts_as_serving() {
        let answer = |digest: &str, state: &str, reason: Value| json!({"items": [{"name": "other"}, {"name": "a", "digest": digest, "state": state, "reason": reason, "message": "m"}]});
        let pinned = "sha256:11";
        assert_eq!(word(&answer("11", "Active", Value::Null), "a", pinned), Word::Serves("Active".into()));
        let old = word(&answer("22", "Active", Value::Null), "a", pinned);
        assert!(matches!(&old, Word::Not { refused: false, .. }), "{old:?}");
        let refused = word(&answer("22", "Rejected", json!("InvalidWasm")), "a", pinned);
        assert_eq!(refused, Word::Not { refused: true, why: "InvalidWasm: m".into() });
        let unseen = word(&json!({"items": []}), "a", pinned);
        assert!(matches!(&unseen, Word::Not { why, .. } if why.contains("has not seen it")), "{unseen:?}");
    }
}
