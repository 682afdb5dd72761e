//! `service.grafana.app/v0alpha1` ExternalName: the host behind a service name.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ALL_VERBS, CellContext, Column, Kept, Kind, KindRules, Scope, object_meta};
use crate::model::annotations::{OF_ROUTED_OBJECTS, unknown};
use crate::model::failure::{FieldError, quoted};
use crate::model::failure_policy;
use crate::model::object::Object;
use crate::model::schema::{Field, Record, Schema, ZeroValue};
use crate::object::age::age_cell;
use crate::object::names;

/// The kind.
pub static KIND: Kind = Kind {
    group: "service.grafana.app",
    version: "v0alpha1",
    kind: "ExternalName",
    list_kind: "ExternalNameList",
    plural: "externalnames",
    singular: "externalname",
    scope: Scope::Namespaced,
    kept: Kept::InStore,
    categories: &[],
    short_names: &[],
    verbs: ALL_VERBS,
    has_status: false,
    main_condition: None,
    selectable: &[],
    schema: &SCHEMA,
    columns: COLUMNS,
    repeats_columns: false,
    rules: &Rules,
};

/// The `spec` of an ExternalName.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalNameSpec {
    /// DNS name or IP literal that the service's requests go to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// The spec as a typed value; `None` only for objects that were never decoded against the schema.
pub fn spec(object: &Object) -> Option<ExternalNameSpec> {
    object
        .at(&["spec"])
        .map_or_else(|| Some(ExternalNameSpec::default()), |spec| ExternalNameSpec::deserialize(spec).ok())
}

static SCHEMA: Schema = Schema::Record(Record {
    definition: "com.github.grafana.grafana.pkg.apis.service.v0alpha1.ExternalName",
    description: "Gives a service name a host. APIServices name it by namespace and name, and bring the port.",
    atomic: false,
    fields: &[
        object_meta::API_VERSION,
        object_meta::KIND,
        object_meta::METADATA,
        Field::new("spec", "The host.", &SPEC).zero(ZeroValue::Written),
    ],
});

static SPEC: Schema = Schema::Record(Record {
    definition: "com.github.grafana.grafana.pkg.apis.service.v0alpha1.ExternalNameSpec",
    description: "The host that a service name stands for.",
    atomic: false,
    fields: &[Field::new(
        "host",
        "DNS name (in lower case, without a dot at the end) or IP address, without scheme, port or path, for example \"api.example.com\".",
        &Schema::String,
    )],
});

const COLUMNS: &[Column] = &[
    object_meta::NAME_COLUMN,
    Column {
        name: "Host",
        cell_type: "string",
        format: "",
        description: "DNS name or IP address that requests go to.",
        priority: 0,
    },
    object_meta::AGE_COLUMN,
];

struct Rules;

impl KindRules for Rules {
    fn warnings(&self, object: &Object) -> Vec<String> {
        failure_policy::complaint(object).into_iter().chain(unknown(object, &OF_ROUTED_OBJECTS)).collect()
    }

    fn names_plugins(&self) -> bool {
        true
    }

    /// As upstream has it for kinds whose names become host names: an APIService's backend is verified as
    /// `<name>.<namespace>.svc`.
    fn validate_name(&self, field: &str, name: &str, _object: &Object) -> Vec<FieldError> {
        let rules = match field {
            "metadata.generateName" => names::dns1123_subdomain_prefix(name),
            _ => names::dns1123_subdomain(name),
        };
        rules.into_iter().map(|rule| FieldError::invalid(field, quoted(name), rule)).collect()
    }

    fn validate(&self, object: &Object, old: Option<&Object>) -> Vec<FieldError> {
        failure_policy::refusal(object, old).into_iter().chain(refuse_host(object)).collect()
    }

    fn cells(&self, object: &Object, context: &CellContext<'_>) -> Vec<Value> {
        vec![
            object.name().into(),
            object.text(&["spec", "host"]).into(),
            age_cell(object, context.now).into(),
        ]
    }
}

fn refuse_host(object: &Object) -> Option<FieldError> {
    let host = object.text(&["spec", "host"]);
    if host.is_empty() {
        let rule = "give the DNS name or IP address of the backend, for example \"api.example.com\"";
        return Some(FieldError::required("spec.host", rule));
    }
    check_host(host).err().map(|rule| FieldError::invalid("spec.host", quoted(host), rule))
}

/// Checks that a host is a DNS name or an IP literal; the text says what is wrong with it and how to mend it.
fn check_host(host: &str) -> Result<(), String> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if let Some((scheme, rest)) = host.split_once("://") {
        let rest = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
        return Err(format!(
            "must not have a scheme: leave out {}, write {}",
            quoted(&format!("{scheme}://")),
            quoted(rest)
        ));
    }
    if host.chars().any(char::is_whitespace) {
        return Err("must not contain spaces: write the bare DNS name or IP address".to_owned());
    }
    if let Some(at) = host.find(['/', '?', '#']) {
        return Err(format!("must not have a path or query: leave out {}", quoted(&host[at..])));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').unwrap_or((inner, ""));
        return Err(if rest.starts_with(':') {
            format!(
                "must not have a port or brackets: write {}, and give the port in the APIService's spec.service.port",
                quoted(address)
            )
        } else {
            format!("must not have brackets: write {}", quoted(address))
        });
    }
    if let Some((name, port)) = host.rsplit_once(':') {
        if !name.contains(':') && port.chars().all(|c| c.is_ascii_digit()) {
            return Err(format!(
                "must not have a port: write {}, and give the port in the APIService's spec.service.port",
                quoted(name)
            ));
        }
        return Err("is neither a DNS name nor an IP address".to_owned());
    }
    check_numeric(host)?;
    check_dns_name(host)
}

/// Resolvers read one to four numbers as an IPv4 address: `127.1`, `2130706433`, `0x7f.1` and `017700000001` all mean
/// 127.0.0.1. As in a URL (WHATWG), a host whose last part is a number is an address or invalid.
fn check_numeric(host: &str) -> Result<(), String> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_number = !last.is_empty() && (is_hexadecimal || last.bytes().all(|b| b.is_ascii_digit()));
    if !is_number {
        return Ok(());
    }
    Err(match read_as_resolvers_do(&name) {
        Some(address) => format!(
            "looks like an IPv4 address, and some resolvers read it as {address}: write the address as four numbers from 0 to 255, or a DNS name"
        ),
        None => "looks like an IPv4 address but is none: write four numbers from 0 to 255".to_owned(),
    })
}

/// The address that `inet_aton` reads: one to four numbers in decimal, octal or hexadecimal, the last of which fills
/// the remaining bytes.
fn read_as_resolvers_do(name: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let numbers: Vec<u32> = name.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|number| *number > 255) {
        return None;
    }
    let rest_bits = 32 - 8 * u32::try_from(first.len()).ok()?;
    if u64::from(*last) >= 1 << rest_bits {
        return None;
    }
    let head = first.iter().zip([24, 16, 8]).map(|(number, shift)| number << shift).sum::<u32>();
    Some(Ipv4Addr::from(head | last))
}

/// As upstream has it for a Service of type ExternalName (a lowercase RFC 1123 subdomain: no capitals, no dot at the
/// end), and labels no longer than DNS can carry.
fn check_dns_name(host: &str) -> Result<(), String> {
    let rules = names::dns1123_subdomain(host);
    if rules.is_empty() {
        return match host.split('.').find(|label| label.len() > names::LABEL_LENGTH) {
            None => Ok(()),
            Some(label) => Err(format!(
                "must be a DNS name or an IP address: each part between dots must be no more than {} bytes, {} has {}",
                names::LABEL_LENGTH,
                quoted(label),
                label.len()
            )),
        };
    }
    let mended = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if mended != host && names::dns1123_subdomain(&mended).is_empty() {
        let what = "must be in lower case and must not end with a dot";
        return Err(format!("must be a DNS name or an IP address: it {what}, write {}", quoted(&mended)));
    }
    Err(format!("must be a DNS name or an IP address: {}", rules.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_addresses_or_nothing() {
        let read_as_loopback = [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "0x7f.1",
            "0X7F.0.0.0x1",
            "127.0x1",
            "0177.0.0.1",
            "127.1.",
            "2130706433.",
        ];
        for host in read_as_loopback {
            let told = check_host(host).unwrap_err();
            assert!(told.contains("some resolvers read it as 127.0.0.1"), "{host}: {told}");
        }
        for (host, address) in
            [("0", "0.0.0.0"), ("0x", "0.0.0.0"), ("1.2.3", "1.2.0.3"), ("010.0.0.1", "8.0.0.1")]
        {
            let told = check_host(host).unwrap_err();
            assert!(told.contains(&format!("read it as {address}:")), "{host}: {told}");
        }
        let no_address = [
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "4294967296",
            "0x100000000",
            "1.16777216",
            "a.1",
            "a.0x1f",
            "09",
            "1..2",
            "999999999999999999999",
        ];
        for host in no_address {
            let told = check_host(host).unwrap_err();
            assert!(told.contains("but is none: write four numbers"), "{host}: {told}");
        }
        for host in ["127.0.0.1", "::1", "0.0.0.0", "1a", "a1", "0xg", "1.example.com", "0x1f.example", "x0"]
        {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
    }
}
