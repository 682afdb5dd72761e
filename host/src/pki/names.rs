//! The names of the serving certificate.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

/// This machine's name, when it has one that can stand in a certificate.
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .ok()?
        .trim()
        .to_ascii_lowercase();
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(fits)).then_some(name)
}

/// Loopback, the machine's name, the address listened on and what `--advertise-host` adds; sorted.
pub(super) fn serving_names(listen: IpAddr, host_name: Option<&str>, advertised: &[String]) -> Vec<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(host_name.map(str::to_owned));
    if !listen.is_unspecified() {
        names.insert(listen.to_string());
    }
    let normal = |host: &String| {
        host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string())
    };
    names.extend(advertised.iter().map(normal));
    names.into_iter().collect()
}

/// The name under which clients verify a certificate with these names when they call `host`; `None` when the
/// certificate has the host itself.
pub(super) fn name_to_verify(names: &[String], host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let under_wildcard = |name: &String| {
        let parent = name.strip_prefix("*.");
        parent.is_some() && parent == host.split_once('.').map(|(_, parent)| parent)
    };
    let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let is_address = host.parse::<IpAddr>().is_ok();
    if names.contains(&host) || (!is_address && names.iter().any(under_wildcard)) {
        return None;
    }
    let is_plain = |name: &&String| !name.contains('*') && name.parse::<IpAddr>().is_err();
    let plain = names.iter().find(is_plain).cloned();
    // A wildcard is no name to verify; any name below it is.
    let below = || names.iter().find_map(|name| Some(format!("umbel.{}", name.strip_prefix("*.")?)));
    plain.or_else(below).or_else(|| names.into_iter().find(|name| !name.contains('*')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_no_name_and_nothing_stands_twice() {
        let advertised = ["Umbel.Example".to_owned(), "0:0::1".to_owned()];
        let names = serving_names("0.0.0.0".parse().unwrap(), Some("box"), &advertised);
        assert_eq!(names, ["127.0.0.1", "::1", "box", "localhost", "umbel.example"]);
    }

    #[test]
    fn the_name_to_verify_is_one_that_a_server_can_have() {
        let cases: [(&[&str], &str, Option<&str>); 9] = [
            (&["127.0.0.1", "a.example.com"], "127.0.0.1", None),
            (&["A.example.com"], "a.Example.com", None),
            (&["*.example.com"], "a.example.com", None),
            (&["*.example.com"], "a.b.example.com", Some("umbel.example.com")),
            (&["*.example.com"], "127.0.0.1", Some("umbel.example.com")),
            (&["*.0.0.1"], "127.0.0.1", Some("umbel.0.0.1")),
            (&["*.example.com", "10.0.0.7", "foo.example.com"], "127.0.0.1", Some("foo.example.com")),
            (&["10.0.0.7"], "127.0.0.1", Some("10.0.0.7")),
            (&[], "127.0.0.1", None),
        ];
        for (names, host, expected) in cases {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(name_to_verify(&names, host).as_deref(), expected, "{names:?} {host}");
        }
    }
}
