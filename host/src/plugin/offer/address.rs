//! Which addresses a plugin may make the gateway talk to.
//!
//! A resolver's answer is dialled with the gateway's own certificate, so it is held to the same policy as what a
//! plugin dials itself: no link-local (cloud metadata lives there), no multicast, no loopback without a grant.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Use {
    /// A backend: clusters live in private ranges, so those are fine.
    Backend,
    /// HTTP from the plugin itself: private ranges need a grant.
    Http,
}

/// Cloud metadata services outside link-local: AWS over IPv6, and Alibaba's.
const METADATA: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// Why the address is refused, or `None`. `granted` is `grants.addresses` of the manifest; it opens loopback
/// and private ranges, never the others.
pub(in crate::plugin) fn refusal(address: IpAddr, wanted: Use, granted: &[IpNet]) -> Option<&'static str> {
    let address = embedded(address);
    if METADATA.contains(&address) {
        return Some("a cloud metadata address");
    }
    let forbidden = match address {
        IpAddr::V4(v4) => refuse_v4(v4),
        IpAddr::V6(v6) => refuse_v6(v6),
    };
    if forbidden.is_some() {
        return forbidden;
    }
    let needs_grant = match address {
        _ if address.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if wanted == Use::Http && is_private(v4) => Some("a private address"),
        IpAddr::V6(v6) if wanted == Use::Http && v6.is_unique_local() => Some("a private address"),
        _ => None,
    };
    needs_grant.filter(|_| !granted.iter().any(|net| net.contains(&address)))
}

fn refuse_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("the unspecified address")
    } else if address.is_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.octets()[0] >= 240 {
        Some("a broadcast or reserved address")
    } else {
        None
    }
}

fn refuse_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_unicast_link_local() || address.segments()[0] & 0xffc0 == 0xfec0 {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private() || (a == 100 && b & 0xc0 == 64)
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 and 6to4 forms.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let tail = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low] => tail(high, low),
        [0x64, 0xff9b, 1, _, _, _, high, low] => tail(high, low),
        [0x2002, high, low, ..] => tail(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, wanted: Use, granted: &[&str]) -> bool {
        let granted: Vec<IpNet> = granted.iter().map(|g| g.parse().unwrap()).collect();
        refusal(address.parse().unwrap(), wanted, &granted).is_some()
    }

    #[test]
    fn metadata_and_its_disguises_are_never_reached() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(refused(address, Use::Backend, &[]), "{address}");
            assert!(refused(address, Use::Backend, &["0.0.0.0/0", "::/0"]), "{address} with a grant");
        }
    }

    #[test]
    fn loopback_needs_a_grant_and_private_ranges_only_for_http() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert!(refused(address, Use::Backend, &[]), "{address}");
            assert!(!refused(address, Use::Backend, &["127.0.0.0/8", "::1/128"]), "{address}");
        }
        for address in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(!refused(address, Use::Backend, &[]), "{address}");
            assert!(refused(address, Use::Http, &[]), "{address}");
            assert!(
                !refused(
                    address,
                    Use::Http,
                    &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8"]
                ),
                "{address}"
            );
        }
        assert!(!refused("93.184.216.34", Use::Http, &[]));
        assert!(!refused("2606:2800::1", Use::Http, &[]));
    }
}
