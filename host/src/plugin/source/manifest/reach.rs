//! Finds entries of a manifest that can never match a call or an object: such a grant or binding would be accepted
//! and have no effect.

use super::{Bindings, Discovery, Grants, Secret};
use crate::plugin::offer::address::never_opened;
use crate::plugin::offer::disguise::behind;
use crate::plugin::offer::http_client::{check_grant, is_reserved};
use crate::plugin::source::pattern::Pattern;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Maximum length of a DNS name, and of one of its labels, in bytes.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Every grant that can never match.
pub(super) fn check_grants(grants: &Grants) -> Vec<String> {
    let dns = grants.dns.iter().filter_map(|pattern| {
        let why = dns_mistake(pattern.as_str())?;
        Some(format!("spec.grants.dns: {:?} {why}", pattern.as_str()))
    });
    let http = grants.http.iter().filter_map(|grant| {
        let why = check_grant(grant).err()?;
        Some(format!("spec.grants.http: {grant:?} {why}"))
    });
    let addresses = grants.addresses.iter().filter_map(|net| {
        let why = address_mistake(net)?;
        Some(format!("spec.grants.addresses: {net} {why}"))
    });
    dns.chain(http).chain(addresses).collect()
}

fn dns_mistake(pattern: &str) -> Option<String> {
    if pattern.is_empty() {
        return Some("is empty and matches no name; write a name, or '*' for all of them".to_owned());
    }
    if let Some((_, rest)) = pattern.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Some(format!("is a URL, and names are compared; write {host:?}"));
    }
    if let Some((host, _)) = pattern.split_once([':', '/']).filter(|(host, _)| !host.is_empty()) {
        return Some(format!("holds a port or a path, and names are compared; write {host:?}"));
    }
    if pattern.starts_with('.') {
        return Some(format!("begins with a dot, as no name does; write \"*{pattern}\""));
    }
    name_mistake(pattern, "-_.*")
}

/// Why a pattern cannot match a name that consists of letters, digits and `more`.
fn name_mistake(pattern: &str, more: &str) -> Option<String> {
    let is_foreign = |c: &char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !more.contains(*c);
    if let Some(foreign) = pattern.chars().find(is_foreign) {
        return Some(format!("holds {foreign:?}, which no such name does"));
    }
    if pattern.len() > NAME_MAX || pattern.split(['.', '/']).any(|label| label.len() > LABEL_MAX) {
        return Some("is longer than names are".to_owned());
    }
    if pattern.contains("..") {
        return Some("holds an empty label, which no name does".to_owned());
    }
    None
}

fn address_mistake(net: &IpNet) -> Option<String> {
    let held: Vec<IpAddr> =
        behind(net.network()).into_iter().filter(|address| *address != net.network()).collect();
    if let (IpNet::V6(_), Some(v4)) = (net, held.first()) {
        return Some(format!("is another form of an IPv4 address, and that one is compared; write {v4}/32"));
    }
    let ends = [net.network(), net.broadcast()];
    let is_closed = ends.into_iter().all(|end| never_opened(end).is_some())
        && (net.prefix_len() >= 8 || ends[0] == ends[1]);
    is_closed.then(|| {
        "is never opened: link-local, metadata, multicast and reserved addresses; remove it".to_owned()
    })
}

/// Every binding that can never match an object.
pub(super) fn check_bindings(bindings: &Bindings) -> Vec<String> {
    let told = |field: &'static str, mistake: fn(&str) -> Option<String>| {
        move |pattern: &Pattern| {
            let why = mistake(pattern.as_str())?;
            Some(format!("spec.bindings.{field}: {:?} {why}", pattern.as_str()))
        }
    };
    let services = bindings.services.iter().filter_map(told("services", service_mistake));
    services
        .chain(bindings.api_services.iter().filter_map(told("apiServices", api_service_mistake)))
        .collect()
}

fn service_mistake(pattern: &str) -> Option<String> {
    match pattern.split('/').collect::<Vec<_>>()[..] {
        [""] => Some("is empty; write namespace/name".to_owned()),
        // A star matches a slash as well.
        [one] if one.contains('*') => name_mistake(one, "-.*"),
        [one] if one.contains('.') => {
            let mut labels = one.split('.');
            let (name, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
            Some(format!("is written as a host name; write \"{namespace}/{name}\""))
        }
        [one] => {
            Some(format!("names no namespace; write \"default/{one}\", or \"*/{one}\" for all namespaces"))
        }
        [namespace, name] if !namespace.is_empty() && !name.is_empty() => name_mistake(pattern, "-.*/"),
        [_, _] => Some("lacks the namespace or the name; write namespace/name".to_owned()),
        _ => Some("holds more than one /; write namespace/name".to_owned()),
    }
}

fn api_service_mistake(pattern: &str) -> Option<String> {
    if pattern.is_empty() {
        return Some("is empty; write a name such as v1.example.com".to_owned());
    }
    if let Some((group, version)) = pattern.split_once('/') {
        return Some(format!(
            "is written as in apiVersion; the name of that APIService is \"{version}.{group}\""
        ));
    }
    if !pattern.contains(['.', '*']) {
        return Some(format!(
            "is not the name of an APIService, which is version.group; write \"{pattern}.example.com\""
        ));
    }
    name_mistake(pattern, "-.*")
}

/// Every group for which discovery never calls a transformer.
pub(super) fn check_groups(discovery: &Discovery) -> Vec<String> {
    let mistakes = discovery.groups.iter().filter_map(|pattern| {
        let text = pattern.as_str();
        let why = match text.split_once('/') {
            _ if text.is_empty() => "is empty; the core group is not aggregated".to_owned(),
            Some((group, _)) => format!("names a version; write the group alone, {group:?}"),
            None => name_mistake(text, "-.*")?,
        };
        Some(format!("spec.discovery.groups: {text:?} {why}"))
    });
    mistakes.collect()
}

/// Every secret that a request cannot carry.
pub(super) fn check_secrets(secrets: &BTreeMap<String, Secret>) -> Vec<String> {
    let mistakes = secrets.iter().flat_map(|(name, secret)| {
        let told = move |why: &str| format!("spec.secrets.{name}: {why}");
        let header = &secret.header;
        let bad_header = HeaderName::from_bytes(header.as_bytes()).is_err();
        [
            secret.file.as_os_str().is_empty().then(|| told("file is empty; write the path of a file")),
            bad_header.then(|| told(&format!("header {header:?} is not a valid header name"))),
            is_reserved(header)
                .then(|| told(&format!("header {header:?} belongs to the gateway; write another one"))),
            HeaderValue::from_str(&secret.prefix).is_err().then(|| told("prefix cannot stand in a header")),
        ]
    });
    mistakes.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The errors in `grants`.
    fn grants(value: Value) -> Vec<String> {
        check_grants(&serde_json::from_value(value).unwrap())
    }

    fn one(mut mistakes: Vec<String>) -> String {
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes.remove(0)
    }

    #[test]
    fn names_that_can_be_looked_up_are_taken() {
        let fine =
            json!({"dns": ["*", "*.consul", "_https._tcp.shop.test", "Shop.Test.", "a-b", "10.0.0.1"]});
        assert_eq!(grants(fine), Vec::<String>::new());
        assert_eq!(grants(json!({"dns": ["a".repeat(63)]})), Vec::<String>::new());
        for (pattern, says) in [
            ("", "is empty"),
            (".", "is empty"),
            ("https://consul.internal:8501/v1", "write \"consul.internal\""),
            ("consul.internal:8600", "write \"consul.internal\""),
            ("consul/x", "write \"consul\""),
            (".consul", "write \"*.consul\""),
            ("con sul", "holds ' '"),
            ("a..b", "an empty label"),
            (&"a".repeat(64), "longer than"),
        ] {
            let told = one(grants(json!({"dns": [pattern]})));
            assert!(told.starts_with("spec.grants.dns: ") && told.contains(says), "{told}");
        }
    }

    #[test]
    fn urls_that_can_be_asked_for_are_taken() {
        let fine = json!({"http": ["https://c.internal", "http://127.0.0.1:9777/", "https://c.internal:8501/v1/",
            "http://[fd00::1]/", "HTTPS://C.INTERNAL/V1"]});
        assert_eq!(grants(fine), Vec::<String>::new());
        for (grant, says) in [
            ("127.0.0.1:9777", "write \"http://127.0.0.1:9777/\" or \"https://127.0.0.1:9777/\""),
            ("consul.internal:8501/v1/", "write \"http://consul.internal:8501/v1/\""),
            ("consul.internal", "write \"http://consul.internal/\""),
            ("[::1]:80", "write \"http://[::1]:80/\""),
            ("//consul.internal/", "write \"http://consul.internal/\""),
            ("", "is empty"),
            ("ftp://consul.internal/", "http and https"),
            ("https://u:p@consul.internal/", "user"),
            ("https://*.consul/", "no *"),
            ("https://consul.internal/*", "no *"),
            ("https://consul.internal/v1?dc=1", "query"),
            ("https://consul.internal/v1#x", "query"),
            ("https://consul.internal/v1/%2e%2e%2fx", "leads up"),
            ("http://169.254.169.254/", "a link-local address"),
            ("http://[::ffff:169.254.169.254]/", "a link-local address"),
            ("http://0.0.0.0:80/", "the unspecified address"),
        ] {
            let told = one(grants(json!({"http": [grant]})));
            assert!(told.starts_with("spec.grants.http: ") && told.contains(says), "{told}");
        }
    }

    #[test]
    fn addresses_that_can_be_opened_are_taken() {
        let fine =
            json!({"addresses": ["127.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0", "::/0", "::1/128", "fd00::/8"]});
        assert_eq!(grants(fine), Vec::<String>::new());
        for (net, says) in [
            ("169.254.0.0/16", "never opened"),
            ("169.254.169.254/32", "never opened"),
            ("100.100.100.200/32", "never opened"),
            ("224.0.0.0/4", ""),
            ("fe80::/10", "never opened"),
            ("::ffff:10.0.0.1/128", "write 10.0.0.1/32"),
            ("64:ff9b::a00:1/128", "write 10.0.0.1/32"),
        ] {
            let told = grants(json!({"addresses": [net]}));
            if !says.is_empty() {
                assert!(one(told).contains(says), "{net}");
            }
        }
    }

    #[test]
    fn bindings_name_namespaces_and_versions() {
        let bindings = |value: Value| check_bindings(&serde_json::from_value(value).unwrap());
        let fine = json!({"services": ["prod/*", "*", "*/shop", "prod/shop.v1", "*-shop", "Prod/Shop"],
            "apiServices": ["v1.example.com", "*.example.com", "*", "v1*"]});
        assert_eq!(bindings(fine), Vec::<String>::new());
        for (service, says) in [
            ("flunders", "write \"default/flunders\", or \"*/flunders\" for all namespaces"),
            ("flunders.wardle.svc", "write \"wardle/flunders\""),
            ("", "is empty"),
            ("/flunders", "lacks the namespace"),
            ("prod/", "or the name"),
            ("a/b/c", "more than one /"),
            ("prod/my_shop", "holds '_'"),
        ] {
            let told = one(bindings(json!({"services": [service]})));
            assert!(told.starts_with("spec.bindings.services: ") && told.contains(says), "{told}");
        }
        for (name, says) in [
            ("example.com/v1", "\"v1.example.com\""),
            ("flunders", "write \"flunders.example.com\""),
            ("", "is empty"),
            ("v1.exa mple.com", "holds ' '"),
        ] {
            let told = one(bindings(json!({"apiServices": [name]})));
            assert!(told.starts_with("spec.bindings.apiServices: ") && told.contains(says), "{told}");
        }
    }

    #[test]
    fn groups_and_secrets_that_mean_nothing_are_refused() {
        let groups = |value: Value| check_groups(&serde_json::from_value(value).unwrap());
        assert_eq!(groups(json!({"groups": ["apps", "*.example.com", "*"]})), Vec::<String>::new());
        assert!(
            one(groups(json!({"groups": ["example.com/v1"]})))
                .contains("write the group alone, \"example.com\"")
        );
        assert!(one(groups(json!({"groups": [""]}))).contains("is empty"));
        let secrets = |value: Value| check_secrets(&serde_json::from_value(value).unwrap());
        assert_eq!(
            secrets(json!({"t": {"file": "/t", "header": "X-Token", "prefix": ""}})),
            Vec::<String>::new()
        );
        assert!(one(secrets(json!({"t": {"file": ""}}))).contains("spec.secrets.t: file is empty"));
        assert!(
            one(secrets(json!({"t": {"file": "/t", "header": "X Token"}})))
                .contains("not a valid header name")
        );
        assert!(
            one(secrets(json!({"t": {"file": "/t", "header": "Host"}}))).contains("belongs to the gateway")
        );
        assert!(one(secrets(json!({"t": {"file": "/t", "prefix": "a\nb"}}))).contains("prefix cannot stand"));
    }
}
