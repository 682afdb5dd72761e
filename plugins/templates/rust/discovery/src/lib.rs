//! Hides the groups that the settings name from discovery.

#[macro_use]
mod log_output;
mod logged;

wit_bindgen::generate!({ path: "wit", world: "umbel:plugin/discovery", generate_all });

use exports::umbel::discovery::transformer::{Context, Guest as Transformer, Head, Outcome};
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};

struct Plugin;
/// With panics that reach the gateway's log.
type Exported = logged::Logged<Plugin>;
export!(Exported);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "hides groups from discovery".into(),
            settings_schema: Some(include_str!("../settings.schema.json").into()),
            extra: vec![],
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        hidden(&settings).map(drop).map_err(|problem| vec![problem])
    }
}

/// The one setting.
fn hidden(settings: &str) -> Result<Vec<String>, Problem> {
    let settings: serde_json::Value = serde_json::from_str(settings)
        .map_err(|error| Problem { path: String::new(), message: error.to_string() })?;
    serde_json::from_value(settings["hide"].clone())
        .map_err(|_| Problem { path: "/hide".into(), message: "needs a list of groups, each a text".into() })
}

impl Transformer for Plugin {
    fn transform(context: Context, group: String) -> Result<Outcome, String> {
        // `validate` has accepted these settings before the first call.
        let hidden = hidden(&context.settings).map_err(|problem| problem.message)?;
        let group: serde_json::Value = serde_json::from_str(&group).map_err(|error| error.to_string())?;
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        if hidden.iter().any(|hidden| hidden == name) {
            return Ok(Outcome::Hide(format!("the settings of the plugin hide {name}")));
        }
        // To change the group: `Outcome::Replace` with the changed document.
        Ok(Outcome::Keep)
    }

    fn order(_context: Context, _groups: Vec<Head>) -> Result<Option<Vec<String>>, String> {
        Ok(None)
    }
}
