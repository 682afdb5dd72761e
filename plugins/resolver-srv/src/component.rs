//! The decision as a component: WIT types in and out.

use crate::{Address, Dns, DnsFault, Endpoint, Fault, Record, Settings, Target, resolve};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "umbel:plugin/resolver", generate_all });
}

use bindings::exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use bindings::exports::umbel::resolver::resolver as wit;
use bindings::umbel::host::dns;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "finds endpoints by DNS SRV records".to_owned(),
            settings_schema: Some(include_str!("../settings.schema.json").to_owned()),
            extra: Vec::new(),
        }
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        match Settings::parse(&settings) {
            Ok(_) => Ok(()),
            Err(message) => Err(vec![Problem { path: String::new(), message }]),
        }
    }
}

impl wit::Guest for Plugin {
    fn resolve(context: wit::Context, target: wit::Target) -> Result<wit::Resolution, wit::Fault> {
        let settings = Settings::parse(&context.settings).map_err(wit::Fault::Other)?;
        let target = Target {
            namespace: target.namespace,
            name: target.name,
            host: target.external_name,
            annotations: target.annotations,
        };
        let answer = resolve(&HostDns, &settings, &target).map_err(|fault| match fault {
            Fault::NotMine => wit::Fault::NotMine,
            Fault::NotFound(text) => wit::Fault::NotFound(text),
            Fault::Unavailable(text) => wit::Fault::Unavailable(text),
            Fault::Other(text) => wit::Fault::Other(text),
        })?;
        let endpoint = |endpoint: Endpoint| wit::Endpoint {
            host: endpoint.host,
            port: endpoint.port,
            priority: endpoint.priority,
            weight: endpoint.weight,
            server_name: None,
            extra: Vec::new(),
        };
        Ok(wit::Resolution {
            endpoints: answer.endpoints.into_iter().map(endpoint).collect(),
            fresh_ms: Some(answer.fresh_ms),
            stale_ms: Some(settings.stale_seconds.saturating_mul(1000)),
            extra: Vec::new(),
        })
    }
}

struct HostDns;

impl Dns for HostDns {
    fn services(&self, name: &str) -> Result<Vec<Record>, DnsFault> {
        let record = |record: dns::Service| Record {
            target: record.target,
            port: record.port,
            priority: record.priority,
            weight: record.weight,
            ttl_ms: record.ttl_ms,
        };
        dns::services(name).map(|found| found.into_iter().map(record).collect()).map_err(fault)
    }

    fn addresses(&self, name: &str) -> Result<Vec<Address>, DnsFault> {
        let address = |address: dns::Address| Address { ip: address.ip, ttl_ms: address.ttl_ms };
        dns::addresses(name, dns::Family::Any)
            .map(|found| found.into_iter().map(address).collect())
            .map_err(fault)
    }
}

fn fault(fault: dns::Fault) -> DnsFault {
    match fault {
        dns::Fault::NoSuchName => DnsFault::Absent("no such name".to_owned()),
        dns::Fault::NoData => DnsFault::Absent("no records".to_owned()),
        dns::Fault::TimedOut => DnsFault::Failed("timed out".to_owned()),
        dns::Fault::Denied(text) => DnsFault::Denied(text),
        dns::Fault::Failed(text) => DnsFault::Failed(text),
    }
}
