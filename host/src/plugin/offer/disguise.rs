//! IPv6 addresses that lead to an IPv4 one: what is refused must be refused in every form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything that an address can lead to: itself, and the IPv4 addresses that it holds.
///
/// A NAT64 prefix that a network made up for itself cannot be told from any other address.
pub(in crate::plugin) fn behind(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address.to_canonical() else { return vec![address.to_canonical()] };
    std::iter::once(IpAddr::V6(v6)).chain(held(v6).into_iter().map(IpAddr::V4)).collect()
}

fn held(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bytes = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        // The unspecified address and loopback are no IPv4.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // Compatible, translated (RFC 2765), and NAT64 under its well-known prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![last],
        [0x64, 0xff9b, 1, ..] => local_use(&bytes),
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // Teredo (RFC 4380): the server, and the client in inverted bits.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from_bits(!last.to_bits())],
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![last],
        _ => Vec::new(),
    }
}

/// NAT64 under the prefix for local use (RFC 8215): the network decides how long its prefix is, and with it the place
/// of the IPv4 address (RFC 6052 §2.2), so every place counts.
fn local_use(bytes: &[u8; 16]) -> Vec<Ipv4Addr> {
    let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
    let mut found: Vec<Ipv4Addr> =
        places.iter().map(|place| Ipv4Addr::from(place.map(|index: usize| bytes[index]))).collect();
    // What begins with 0 is filling around an address in another place.
    if found.iter().any(|address| address.octets()[0] != 0) {
        found.retain(|address| address.octets()[0] != 0);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_shows_what_is_behind_it() {
        for (form, wanted) in [
            ("10.0.0.1", "10.0.0.1"),
            ("2606:2800::1", "2606:2800::1"),
            ("::1", "::1"),
            ("::", "::"),
            ("::10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:0:10.0.0.1", "10.0.0.1"),
            ("64:ff9b::10.0.0.1", "10.0.0.1"),
            ("64:ff9b:1::10.0.0.1", "10.0.0.1"),
            ("64:ff9b:1:2:3:4:10.0.0.1", "10.0.0.1"),
            ("2002:a00:1::5", "10.0.0.1"),
            ("2001:0:c000:201::f5ff:fffe", "10.0.0.1"),
            ("fd00::5efe:10.0.0.1", "10.0.0.1"),
            ("2001:db8::200:5efe:10.0.0.1", "10.0.0.1"),
        ] {
            let all = behind(form.parse().unwrap());
            assert!(all.contains(&wanted.parse().unwrap()), "{form}: {all:?}");
        }
        // RFC 6052 with prefixes of 48, 56 and 64 bits; the byte in the middle stays free.
        for form in ["64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"] {
            let all = behind(form.parse().unwrap());
            assert!(all.contains(&"169.254.169.254".parse().unwrap()), "{form}: {all:?}");
        }
    }
}
