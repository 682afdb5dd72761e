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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_no_name_and_nothing_stands_twice() {
        let advertised = ["Umbel.Example".to_owned(), "0:0::1".to_owned()];
        let names = serving_names("0.0.0.0".parse().unwrap(), Some("box"), &advertised);
        assert_eq!(names, ["127.0.0.1", "::1", "box", "localhost", "umbel.example"]);
    }
}
