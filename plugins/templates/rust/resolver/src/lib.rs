//! Finds the endpoints of a service by the addresses of `<name>.<namespace>.<zone>`.

#[macro_use]
mod log_output;
mod logged;

wit_bindgen::generate!({ path: "wit", world: "umbel:plugin/resolver", generate_all });

use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver::{Context, Endpoint, Fault, Guest as Resolver, Resolution, Target};
use umbel::host::dns;

struct Plugin;
/// With panics that reach the gateway's log.
type Exported = logged::Logged<Plugin>;
export!(Exported);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "finds endpoints by the addresses of a name in a DNS zone".into(),
            settings_schema: Some(include_str!("../settings.schema.json").into()),
            extra: vec![],
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        zone(&settings).map(drop).map_err(|problem| vec![problem])
    }
}

/// The one setting.
fn zone(settings: &str) -> Result<String, Problem> {
    let settings: serde_json::Value = serde_json::from_str(settings)
        .map_err(|error| Problem { path: String::new(), message: error.to_string() })?;
    match settings["zone"].as_str() {
        Some(zone) if !zone.is_empty() => Ok(zone.to_owned()),
        _ => {
            Err(Problem { path: "/zone".into(), message: "needs a DNS zone such as svc.example.com".into() })
        }
    }
}

impl Resolver for Plugin {
    fn resolve(context: Context, target: Target) -> Result<Resolution, Fault> {
        // `validate` has accepted these settings before the first call.
        let zone = zone(&context.settings).map_err(|problem| Fault::Other(problem.message))?;
        let name = format!("{}.{}.{zone}", target.name, target.namespace);
        let addresses = dns::addresses(&name, dns::Family::Any).map_err(|fault| translate(&name, fault))?;
        let fresh_ms = addresses.iter().map(|address| address.ttl_ms).min();
        let endpoint = |address: dns::Address| Endpoint {
            host: address.ip,
            port: target.port,
            priority: 0,
            weight: 1,
            server_name: None,
            extra: vec![],
        };
        Ok(Resolution {
            endpoints: addresses.into_iter().map(endpoint).collect(),
            fresh_ms,
            stale_ms: Some(600_000),
            extra: vec![],
        })
    }
}

fn translate(name: &str, fault: dns::Fault) -> Fault {
    match fault {
        dns::Fault::NoSuchName | dns::Fault::NoData => Fault::NotFound(format!("{name} has no address")),
        dns::Fault::TimedOut => Fault::Unavailable(format!("{name}: no answer in time")),
        dns::Fault::Failed(text) => Fault::Unavailable(format!("{name}: {text}")),
        // The text says what to add to the manifest.
        dns::Fault::Denied(text) => Fault::Other(text),
    }
}
