//! The address policy where it counts: requests of a plugin, what it is told of DNS, and what a resolver answers.

use super::*;
use crate::decision::resolver::Target;
use crate::plugin::adapter::resolver_answer;
use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit;
use crate::plugin::offer::host_functions::allowed;
use crate::plugin::offer::http_client::choose;
use std::time::Duration;

/// What becomes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Refused whatever is granted.
    Never,
    /// Refused until `spec.grants.addresses` has it.
    Grant,
    /// Open.
    Open,
}
use Fate::{Grant, Never, Open};

/// Address, fate as a backend (resolver output and DNS answers), fate for HTTP.
const TABLE: &[(&str, Fate, Fate)] = &[
    // Unspecified and "this network".
    ("0.0.0.0", Never, Never),
    ("0.1.2.3", Never, Never),
    ("::", Never, Never),
    ("::ffff:0.0.0.0", Never, Never),
    ("64:ff9b::", Never, Never),
    ("64:ff9b:1::", Never, Never),
    // Multicast, broadcast, reserved.
    ("224.0.0.1", Never, Never),
    ("239.255.255.250", Never, Never),
    ("ff02::1", Never, Never),
    ("ff05::1:3", Never, Never),
    ("::ffff:224.0.0.1", Never, Never),
    ("255.255.255.255", Never, Never),
    ("240.0.0.1", Never, Never),
    ("64:ff9b::ffff:ffff", Never, Never),
    // Link-local and metadata.
    ("169.254.0.1", Never, Never),
    ("169.254.169.254", Never, Never),
    ("169.254.170.2", Never, Never),
    ("100.100.100.200", Never, Never),
    ("168.63.129.16", Never, Never),
    ("192.0.0.192", Never, Never),
    ("fe80::1", Never, Never),
    ("fe80::5efe:10.0.0.1", Never, Never),
    ("febf::1", Never, Never),
    ("fec0::1", Never, Never),
    ("fd00:ec2::254", Never, Never),
    ("fd00:ec2::23", Never, Never),
    ("fd20:ce::254", Never, Never),
    ("fd00:c1::a9fe:a9fe", Never, Never),
    ("fd00:42::42", Never, Never),
    // Metadata in disguise: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    ("::ffff:169.254.169.254", Never, Never),
    ("::ffff:a9fe:a9fe", Never, Never),
    ("::169.254.169.254", Never, Never),
    ("::ffff:0:a9fe:a9fe", Never, Never),
    ("64:ff9b::a9fe:a9fe", Never, Never),
    ("64:ff9b::6464:64c8", Never, Never),
    ("64:ff9b:1::a9fe:a9fe", Never, Never),
    ("64:ff9b:1:a9fe:a9:fe00::", Never, Never),
    ("64:ff9b:1:a9:fe:a9fe::", Never, Never),
    ("64:ff9b:1:0:a9:fea9:fe00:0", Never, Never),
    ("64:ff9b:1:abcd:12:3456:a9fe:a9fe", Never, Never),
    ("2002:a9fe:a9fe::1", Never, Never),
    ("2001:0:4136:e378:8000:63bf:5601:5601", Never, Never),
    ("2001:0:a9fe:a9fe::1", Never, Never),
    ("2001:db8::5efe:a9fe:a9fe", Never, Never),
    // Loopback, plain and in disguise.
    ("127.0.0.1", Grant, Grant),
    ("127.9.9.9", Grant, Grant),
    ("::1", Grant, Grant),
    ("::ffff:127.0.0.1", Grant, Grant),
    ("::127.0.0.1", Grant, Grant),
    ("64:ff9b::7f00:1", Grant, Grant),
    ("64:ff9b:1::7f00:1", Grant, Grant),
    ("2002:7f00:1::1", Grant, Grant),
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", Grant, Grant),
    // Private.
    ("10.1.2.3", Open, Grant),
    ("172.16.0.1", Open, Grant),
    ("192.168.1.1", Open, Grant),
    ("100.64.0.1", Open, Grant),
    ("192.0.0.8", Open, Grant),
    ("198.18.0.1", Open, Grant),
    ("fd12::1", Open, Grant),
    ("::ffff:10.0.0.1", Open, Grant),
    ("64:ff9b::a00:1", Open, Grant),
    ("2002:a00:1::1", Open, Grant),
    // Public.
    ("93.184.216.34", Open, Open),
    ("172.32.0.1", Open, Open),
    ("100.128.0.1", Open, Open),
    ("2606:2800::1", Open, Open),
    ("64:ff9b::5db8:d822", Open, Open),
    ("64:ff9b:1::5db8:d822", Open, Open),
    ("2002:5db8:d822::1", Open, Open),
];

/// Whether requests, DNS answers and resolver output may lead to a place.
fn opened(address: IpAddr, port: u16, policy: AddressPolicy<'_>) -> [bool; 3] {
    let url = url::Url::parse(&format!("https://example.com:{port}/")).unwrap();
    let http = choose(&url, vec![address], policy).is_ok();
    let dns = allowed("example.com", vec![(address, Duration::from_secs(1))], policy).is_ok();
    let endpoint = wit::Endpoint {
        host: address.to_string(),
        port,
        priority: 0,
        weight: 1,
        server_name: None,
        extra: Vec::new(),
    };
    let answer =
        wit::Resolution { endpoints: vec![endpoint], fresh_ms: None, stale_ms: None, extra: Vec::new() };
    let resolver = resolver_answer::accept(answer, &Target::default(), policy).is_ok();
    [http, dns, resolver]
}

#[test]
fn address_policy() {
    let everything: Vec<IpNet> = ["0.0.0.0/0", "::/0"].map(|net| net.parse().unwrap()).to_vec();
    let own = OwnListeners::default();
    let mut wrong = Vec::new();
    for (text, backend, http) in TABLE {
        let address: IpAddr = text.parse().unwrap();
        let bare = opened(address, 443, AddressPolicy { granted: &[], own: &own });
        let granted = opened(address, 443, AddressPolicy { granted: &everything, own: &own });
        let fates = [http, backend, backend];
        for (index, user) in ["http", "dns", "resolver"].into_iter().enumerate() {
            let found = match (bare[index], granted[index]) {
                (false, false) => Never,
                (false, true) => Grant,
                (true, _) => Open,
            };
            if found != *fates[index] {
                wrong.push(format!("{text} for {user}: {found:?}, wanted {:?}", fates[index]));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn own_listeners_are_opened_by_their_own_address_only() {
    let grants = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
    let (narrow, wide) = (grants(&["127.0.0.1/32"]), grants(&["127.0.0.0/8"]));
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    for listener in ["127.0.0.1:6443", "0.0.0.0:6443", "[::]:6443", "[::ffff:127.0.0.1]:6443"] {
        let own = OwnListeners(vec![listener.parse().unwrap()]);
        let judge = |granted, port| {
            let policy = AddressPolicy { granted, own: &own };
            policy.judge(address, Some(port), Use::Backend)
        };
        let refused = judge(&wide, 6443).unwrap_err();
        assert_eq!(refused, Refusal::NotGranted("a listener of this gateway", address), "{listener}");
        assert!(refused.mend().contains("add 127.0.0.1/32 to spec.grants.addresses"), "{}", refused.mend());
        assert_eq!(judge(&wide, 6444), Ok(()), "another port of {listener}");
        assert_eq!(judge(&narrow, 6443), Ok(()), "{listener}");
    }
    // In every form, because this machine or the next one may translate an address.
    let own =
        OwnListeners(vec!["127.0.0.1:6443".parse().unwrap(), "[::ffff:198.51.100.7]:6443".parse().unwrap()]);
    let everything = grants(&["0.0.0.0/0", "::/0"]);
    for form in [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "198.51.100.7",
        "::ffff:198.51.100.7",
        "64:ff9b::198.51.100.7",
    ] {
        let address: IpAddr = form.parse().unwrap();
        let policy = AddressPolicy { granted: &everything, own: &own };
        for wanted in [Use::Backend, Use::Http] {
            let refused = policy.judge(address, Some(6443), wanted);
            assert!(
                matches!(refused, Err(Refusal::NotGranted("a listener of this gateway", _))),
                "{form}: {refused:?}"
            );
            assert_eq!(policy.judge(address, Some(443), wanted), Ok(()), "another port of {form}");
        }
        assert_eq!(opened(address, 6443, policy), [false, true, false], "{form}: names have no port");
    }
    let elsewhere = OwnListeners(vec!["0.0.0.0:6443".parse().unwrap()]);
    let policy = AddressPolicy { granted: &[], own: &elsewhere };
    assert_eq!(policy.judge("192.0.2.1".parse().unwrap(), Some(6443), Use::Backend), Ok(()));
}
