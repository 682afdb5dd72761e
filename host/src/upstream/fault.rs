//! Why a backend cannot be reached, told apart as a person would want it.

use std::io;

/// A fault between us and a backend. `Display` is fit for a condition message; it may name addresses, so
/// clients get [`UpstreamFault::for_client`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// The host name has no address.
    #[error("lookup {host}: {cause}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        cause: String,
    },
    /// TCP was refused.
    #[error("dial tcp {address}: connect: connection refused")]
    Refused {
        /// The address.
        address: String,
    },
    /// TCP failed otherwise.
    #[error("dial tcp {address}: {cause}")]
    Dial {
        /// The address.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// The time ran out.
    #[error("{during}: context deadline exceeded")]
    TimedOut {
        /// What took too long.
        during: String,
    },
    /// The certificate is signed by nobody we trust.
    #[error("tls: failed to verify certificate: x509: certificate signed by unknown authority")]
    UnknownAuthority,
    /// The certificate is for another name.
    #[error("tls: failed to verify certificate: x509: certificate is valid for {valid_for}, not {wanted}")]
    WrongName {
        /// The names it is for.
        valid_for: String,
        /// The name that was wanted.
        wanted: String,
    },
    /// The certificate's time is over.
    #[error("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: {cause}")]
    Expired {
        /// Which of the two, and when.
        cause: String,
    },
    /// TLS failed otherwise.
    #[error("tls: {0}")]
    Tls(String),
    /// The connection closed before an answer came.
    #[error("{0}")]
    Closed(String),
    /// The answer was no HTTP.
    #[error("{0}")]
    Protocol(String),
}

impl UpstreamFault {
    /// The same without addresses, for clients.
    pub fn for_client(&self) -> String {
        match self {
            Self::Lookup { .. } => "the backend's host name does not resolve".to_owned(),
            Self::Refused { .. } => "the backend refused the connection".to_owned(),
            Self::Dial { cause, .. } => format!("the backend cannot be reached: {cause}"),
            Self::TimedOut { .. } => "the backend did not answer in time".to_owned(),
            Self::UnknownAuthority
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::Tls(_)
            | Self::Closed(_)
            | Self::Protocol(_) => self.to_string(),
        }
    }

    /// Whether the same request may succeed soon, so that `Retry-After` makes sense.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::UnknownAuthority | Self::WrongName { .. } | Self::Expired { .. } | Self::Tls(_))
    }

    /// Sorts an error of a TCP connect.
    pub fn from_dial(address: impl Into<String>, error: &io::Error) -> Self {
        let address = address.into();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::TimedOut => Self::TimedOut { during: format!("dial tcp {address}") },
            _ => Self::Dial { address, cause: error.to_string() },
        }
    }

    /// Sorts an error of a TLS handshake; `wanted` is the name that was to be verified.
    pub fn from_handshake(error: &io::Error, wanted: &str) -> Self {
        use rustls::{CertificateError, Error};
        let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Closed(format!(
                    "the backend closed the connection during the TLS handshake: {error}"
                )),
                _ => Self::Tls(error.to_string()),
            };
        };
        let Error::InvalidCertificate(certificate) = tls else { return Self::Tls(tls.to_string()) };
        match certificate {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName => {
                Self::WrongName { valid_for: "other names".to_owned(), wanted: wanted.to_owned() }
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
                let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
                Self::WrongName { valid_for: names, wanted: wanted.to_owned() }
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired { cause: certificate.to_string() },
            other => Self::Tls(format!("failed to verify certificate: {other}")),
        }
    }
}
/// `DnsName("a.b")` and `IpAddress(1.2.3.4)` as people write them.
fn bare_name(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(presented, |name| name.trim_matches('"'))
}
