//! The decision as a component: WIT types in and out.

use crate::{Outcome, Rules};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "umbel:plugin/discovery", generate_all });
}

use bindings::exports::umbel::discovery::transformer as wit;
use bindings::exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "hides and reorders groups by rule".to_owned(),
            settings_schema: Some(include_str!("../settings.schema.json").to_owned()),
            extra: Vec::new(),
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        match Rules::parse(&settings) {
            Ok(_) => Ok(()),
            Err(message) => Err(vec![Problem { path: String::new(), message }]),
        }
    }
}

impl wit::Guest for Plugin {
    fn transform(context: wit::Context, group: String) -> Result<wit::Outcome, String> {
        Ok(match Rules::parse(&context.settings)?.transform(&group)? {
            Outcome::Keep => wit::Outcome::Keep,
            Outcome::Replace(document) => wit::Outcome::Replace(document),
            Outcome::Hide(reason) => wit::Outcome::Hide(reason),
        })
    }

    fn order(context: wit::Context, groups: Vec<wit::Head>) -> Result<Option<Vec<String>>, String> {
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        Ok(Rules::parse(&context.settings)?.order(&names))
    }
}
