//! The twin of the built-in transformer: everything stays as it is.

wit_bindgen::generate!({ path: "../../../wit", world: "umbel:plugin/discovery", generate_all });

use exports::umbel::discovery::transformer::{Context, Guest, Head, Outcome};
use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};

struct Plugin;

export!(Plugin);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "discovery-identity".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "leaves discovery as it is".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn transform(_context: Context, _group: String) -> Result<Outcome, String> {
        Ok(Outcome::Keep)
    }

    fn order(_context: Context, _groups: Vec<Head>) -> Result<Option<Vec<String>>, String> {
        Ok(None)
    }
}
