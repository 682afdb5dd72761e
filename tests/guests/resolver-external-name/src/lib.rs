//! The twin of the built-in resolver: the host of the ExternalName at the port of the APIService.

wit_bindgen::generate!({ path: "../../../wit", world: "umbel:plugin/resolver", generate_all });

use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver::{Context, Endpoint, Fault, Guest, Resolution, Target};

struct Plugin;

export!(Plugin);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "resolver-external-name".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "resolves to the host of the ExternalName".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn resolve(_context: Context, target: Target) -> Result<Resolution, Fault> {
        let Some(host) = target.external_name else {
            let text =
                format!("ExternalName {:?} in namespace {:?} is not present", target.name, target.namespace);
            return Err(Fault::NotFound(text));
        };
        let endpoint = Endpoint {
            host,
            port: target.port,
            priority: 0,
            weight: 1,
            server_name: None,
            extra: Vec::new(),
        };
        Ok(Resolution { endpoints: vec![endpoint], fresh_ms: None, stale_ms: None, extra: Vec::new() })
    }
}
