//! Which addresses a plugin may make the gateway talk to.
//!
//! A resolver's answer is dialled with the gateway's own certificate, so it is held to the same policy as what a
//! plugin dials itself: no link-local (cloud metadata lives there), no multicast, no loopback and nothing of the
//! gateway's own without a grant.

use crate::plugin::offer::disguise::behind;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What an address is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Use {
    /// A backend: clusters live in private ranges, so those are fine.
    Backend,
    /// HTTP from the plugin itself: private ranges need a grant.
    Http,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Refusal {
    /// Nothing opens it; the words say what it is.
    Never(&'static str),
    /// `spec.grants.addresses` opens it; the words say what it is, and which address has to stand there.
    NotGranted(&'static str, IpAddr),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Never(what) | Self::NotGranted(what, _)) = self;
        f.write_str(what)
    }
}

impl Refusal {
    /// What to do about it.
    pub(in crate::plugin) fn mend(self) -> String {
        match self {
            Self::Never(_) => "which no plugin may lead to".to_owned(),
            Self::NotGranted(_, address) => {
                let line = IpNet::from(address);
                format!("add {line} to spec.grants.addresses of the manifest if that is meant")
            }
        }
    }
}

/// Where this process listens.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct OwnListeners(pub Vec<SocketAddr>);

impl OwnListeners {
    fn has(&self, address: IpAddr, port: u16) -> bool {
        self.0.iter().any(|own| {
            own.port() == port
                && match own.ip().to_canonical() {
                    own if own.is_unspecified() => is_of_this_machine(address),
                    own => own == address,
                }
        })
    }
}

/// Whether the machine has that address: only then can it be bound. Nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// The address policy as one plugin meets it.
#[derive(Clone, Copy, Debug)]
pub(in crate::plugin) struct AddressPolicy<'a> {
    /// `grants.addresses` of the manifest; it opens what needs a grant, never the rest.
    pub granted: &'a [IpNet],
    /// Where the gateway listens.
    pub own: &'a OwnListeners,
}

impl AddressPolicy<'_> {
    /// Judges an address, and with a port also whether it is one of the gateway's own listeners.
    ///
    /// # Errors
    /// Why it is refused.
    pub(in crate::plugin) fn judge(
        &self,
        address: IpAddr,
        port: Option<u16>,
        wanted: Use,
    ) -> Result<(), Refusal> {
        for meant in behind(address) {
            if let Some(what) = never(meant) {
                return Err(Refusal::Never(what));
            }
            // A grant of a range means what lives there, not the gateway itself.
            if port.is_some_and(|port| self.own.has(meant, port)) && !self.is_granted_by_itself(meant) {
                return Err(Refusal::NotGranted("a listener of this gateway", meant));
            }
            let needs_grant = needs_grant(meant, wanted);
            if let Some(what) = needs_grant.filter(|_| !self.granted.iter().any(|net| net.contains(&meant))) {
                return Err(Refusal::NotGranted(what, meant));
            }
        }
        Ok(())
    }

    fn is_granted_by_itself(&self, address: IpAddr) -> bool {
        self.granted.iter().any(|net| net.prefix_len() == net.max_prefix_len() && net.contains(&address))
    }
}

/// Addresses outside link-local that clouds answer metadata or credentials on.
const METADATA: &[IpAddr] = &[
    // Alibaba, Azure's wire server, Oracle's first generation.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Google, Oracle and Scaleway over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// The kind of an address that grants never open, in whatever form it is written.
pub(in crate::plugin) fn never_opened(address: IpAddr) -> Option<&'static str> {
    behind(address).into_iter().find_map(never)
}

fn never(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a cloud metadata address");
    }
    match address {
        IpAddr::V4(v4) => never_v4(v4),
        IpAddr::V6(v6) => never_v6(v6),
    }
}

fn never_v4(address: Ipv4Addr) -> Option<&'static str> {
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

fn never_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_unicast_link_local() || segments[0] & 0xffc0 == 0xfec0 {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if segments[..2] == [0xfd00, 0xec2] {
        // All local services of Amazon's machines.
        Some("a cloud metadata address")
    } else {
        None
    }
}

fn needs_grant(address: IpAddr, wanted: Use) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if wanted == Use::Http && is_private(v4) => Some("a private address"),
        IpAddr::V6(v6) if wanted == Use::Http && v6.is_unique_local() => Some("a private address"),
        _ => None,
    }
}

/// Besides what RFC 1918 names: carriers' NAT, protocol assignments, and networks for measurements.
fn is_private(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
}

#[cfg(test)]
mod tests;
