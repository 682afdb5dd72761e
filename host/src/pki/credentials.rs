//! What the rest of Umbel takes from the data directory's certificates.

use super::PkiError;
use super::kit::{self, Kit};
use super::kubeconfig::{self, Entry};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A certificate chain (leaf first) with its key.
#[derive(Debug)]
pub struct Identity {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Everything that a start needs.
#[derive(Debug)]
pub struct Credentials {
    /// What clients of Umbel are shown: `--tls-cert-file`, or Umbel's own.
    pub serving: Identity,
    /// What backends are shown.
    pub front_proxy: Identity,
    /// Umbel's CA in PEM: backends whose APIService names no CA are verified against it too.
    pub ca_pem: String,
    /// The CA of client certificates in PEM.
    pub client_ca_pem: String,
    /// Words for the log: what was renewed or tightened.
    pub notices: Vec<String>,
    pub(super) admin: Entry,
    pub(super) kit: Kit,
    pub(super) data_dir: PathBuf,
    pub(super) advertised: Option<String>,
}

impl Credentials {
    /// Where the administrator's kubeconfig lies.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// Writes `admin.kubeconfig` and `backend/` with the address that is really served; writes nothing that
    /// is as it should be. Entries that somebody added to a kubeconfig stay.
    ///
    /// # Errors
    /// When the disk refuses, or a kubeconfig is there and is damaged.
    pub fn publish(&self, bound: SocketAddr) -> Result<(), PkiError> {
        let server = server_url(bound, self.advertised.as_deref());
        kubeconfig::write(&self.admin_kubeconfig(), &self.admin, &server)?;
        kit::write(&self.data_dir.join("backend"), &self.kit, &server)
    }
}

/// The URL under which Umbel is reached from this machine.
fn server_url(bound: SocketAddr, advertised: Option<&str>) -> String {
    let host = called_host(bound.ip(), advertised);
    let authority = match host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, bound.port()).to_string(),
        Err(_) => format!("{host}:{}", bound.port()),
    };
    format!("https://{authority}")
}

/// The host that clients on this machine call; an unspecified address gives way to the first advertised host, then
/// to loopback.
pub(super) fn called_host(listen: IpAddr, advertised: Option<&str>) -> String {
    match (listen.is_unspecified(), advertised) {
        (false, _) => listen.to_string(),
        (true, Some(host)) => host.to_owned(),
        (true, None) if listen.is_ipv4() => Ipv4Addr::LOCALHOST.to_string(),
        (true, None) => Ipv6Addr::LOCALHOST.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_can_be_called() {
        let url = |bound: &str, advertised| server_url(bound.parse().unwrap(), advertised);
        assert_eq!(url("127.0.0.1:7", Some("a.b")), "https://127.0.0.1:7");
        assert_eq!(url("0.0.0.0:7", Some("a.b")), "https://a.b:7");
        assert_eq!(url("0.0.0.0:7", Some("::2")), "https://[::2]:7");
        assert_eq!(url("0.0.0.0:7", None), "https://127.0.0.1:7");
        assert_eq!(url("[::]:7", None), "https://[::1]:7");
    }
}
