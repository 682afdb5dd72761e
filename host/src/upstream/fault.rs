//! Why a backend cannot be reached, told apart as a person would want it.

use super::words;
use rustls::{AlertDescription, CertificateError, Error};
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
    /// No route leads to the address, or its machine does not answer.
    #[error("dial tcp {address}: {cause}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system said.
        cause: String,
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
    #[error("tls: failed to verify certificate: x509: certificate is {}", mismatch(valid_for, wanted))]
    WrongName {
        /// The names it is for; none is the empty text.
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
    /// The backend broke the handshake off and said why, often because it refuses the certificate we show.
    #[error("remote error: tls: {0}")]
    Alert(String),
    /// The backend aborted the handshake because it supports none of the offered parameters.
    #[error("remote error: tls: {alert}: {}", words::OFFER)]
    NothingInCommon {
        /// The alert of the backend.
        alert: String,
    },
    /// TLS failed otherwise.
    #[error("tls: {0}")]
    Tls(String),
    /// The connection closed before an answer came.
    #[error("{0}")]
    Closed(String),
    /// It answered before, and now answers neither requests nor pings nor new connections.
    #[error("the backend stopped answering")]
    Silent,
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
            Self::Unreachable { cause, .. } | Self::Dial { cause, .. } => {
                format!("the backend cannot be reached: {cause}")
            }
            Self::TimedOut { .. } => "the backend did not answer in time".to_owned(),
            Self::UnknownAuthority
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::Alert(_)
            | Self::NothingInCommon { .. }
            | Self::Tls(_)
            | Self::Closed(_)
            | Self::Silent
            | Self::Protocol(_) => self.to_string(),
        }
    }

    /// Whether the same request may succeed soon, so that `Retry-After` makes sense.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::UnknownAuthority
                | Self::WrongName { .. }
                | Self::Expired { .. }
                | Self::Alert(_)
                | Self::NothingInCommon { .. }
                | Self::Tls(_)
        )
    }

    /// Sorts an error of a TCP connect.
    pub fn from_dial(address: impl Into<String>, error: &io::Error) -> Self {
        let address = address.into();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::TimedOut => Self::TimedOut { during: format!("dial tcp {address}") },
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Unreachable { address, cause: error.to_string() }
            }
            _ => Self::Dial { address, cause: error.to_string() },
        }
    }

    /// Sorts an error of a TLS handshake; `wanted` is the name that was to be verified.
    pub fn from_handshake(error: &io::Error, wanted: &str) -> Self {
        match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(certificate)) => Self::from_certificate(certificate, wanted),
            Some(Error::AlertReceived(
                alert @ (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity),
            )) => Self::NothingInCommon { alert: words::alert(*alert) },
            Some(Error::AlertReceived(alert)) => Self::Alert(words::alert(*alert)),
            Some(other) => Self::Tls(words::handshake(other)),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Closed(format!(
                    "the backend closed the connection during the TLS handshake: {error}"
                )),
                _ => Self::Tls(error.to_string()),
            },
        }
    }

    /// The texts hold no time of day, so that a condition's message is the same at each probe.
    fn from_certificate(error: &CertificateError, wanted: &str) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName => {
                Self::WrongName { valid_for: "other names".to_owned(), wanted: wanted.to_owned() }
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<&str> = presented.iter().filter_map(|name| bare_name(name)).collect();
                Self::WrongName { valid_for: names.join(", "), wanted: wanted.to_owned() }
            }
            CertificateError::Expired => Self::Expired { cause: "its time is over".to_owned() },
            CertificateError::NotValidYet => Self::Expired { cause: "its time is still to come".to_owned() },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { cause: format!("it was valid until {}", words::moment(*not_after)) }
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::Expired { cause: format!("it is valid from {}", words::moment(*not_before)) }
            }
            other => Self::Tls(format!("failed to verify certificate: {}", words::certificate(other))),
        }
    }
}

/// `DnsName("a.b")` and `IpAddress(1.2.3.4)`, as rustls tells them, as people write them. Nothing for names of
/// other sorts, which no server is called by.
fn bare_name(presented: &str) -> Option<&str> {
    let quoted = presented.strip_prefix("DnsName(").or_else(|| presented.strip_prefix("IpAddress("))?;
    Some(quoted.strip_suffix(')')?.trim_matches('"'))
}

fn mismatch(valid_for: &str, wanted: &str) -> String {
    if valid_for.is_empty() {
        format!("not valid for any names, but wanted to match {wanted}")
    } else {
        format!("valid for {valid_for}, not {wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::server::VerifierBuilderError;
    use rustls::{
        AlertDescription, ContentType, ExtendedKeyPurpose, HandshakeType, InvalidMessage, OtherError,
        PeerIncompatible, PeerMisbehaved,
    };
    use std::sync::Arc;
    use std::time::Duration;

    fn told(error: Error) -> UpstreamFault {
        UpstreamFault::from_handshake(&io::Error::new(io::ErrorKind::InvalidData, error), "a.b.svc")
    }

    fn chain(error: webpki::Error) -> Error {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn each_certificate_error_is_told_in_words() {
        let presented = |names: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.b.svc").unwrap(),
            presented: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let table: Vec<(Error, &str)> = vec![
            (CertificateError::UnknownIssuer.into(), "x509: certificate signed by unknown authority"),
            (CertificateError::BadEncoding.into(), "x509: malformed certificate"),
            (CertificateError::Revoked.into(), "x509: certificate has been revoked"),
            (CertificateError::UnhandledCriticalExtension.into(), "x509: unhandled critical extension"),
            (
                CertificateError::BadSignature.into(),
                "x509: certificate signed by unknown authority (a signature",
            ),
            (
                CertificateError::InvalidPurposeContext {
                    required: ExtendedKeyPurpose::ServerAuth,
                    presented: vec![ExtendedKeyPurpose::ClientAuth],
                }
                .into(),
                "x509: certificate specifies an incompatible key usage",
            ),
            (CertificateError::ApplicationVerificationFailure.into(), "x509: certificate cannot be used"),
            (
                presented(&["DnsName(\"c.d\")", "IpAddress(1.2.3.4)", "DirectoryName"]).into(),
                "x509: certificate is valid for c.d, 1.2.3.4, not a.b.svc",
            ),
            (
                presented(&[]).into(),
                "x509: certificate is not valid for any names, but wanted to match a.b.svc",
            ),
            (
                CertificateError::ExpiredContext { time: at(2_000_000_000), not_after: at(1_000_000_000) }
                    .into(),
                "x509: certificate has expired or is not yet valid: it was valid until 2001-09-09T01:46:40Z",
            ),
            (
                CertificateError::NotValidYetContext { time: at(1), not_before: at(u64::MAX) }.into(),
                "x509: certificate has expired or is not yet valid: it is valid from the end of time",
            ),
            (chain(webpki::Error::CaUsedAsEndEntity), "x509: certificate is that of a CA (CA:TRUE)"),
            (chain(webpki::Error::EndEntityUsedAsCa), "x509: certificate is not authorized to sign"),
            (chain(webpki::Error::UnsupportedCertVersion), "x509: unsupported certificate version"),
            (chain(webpki::Error::UnsupportedDeltaCrl), "x509: certificate cannot be used"),
            (
                CertificateError::Other(OtherError(Arc::new(VerifierBuilderError::NoRootAnchors))).into(),
                "x509: certificate cannot be used",
            ),
        ];
        for (error, words) in table {
            let fault = told(error);
            let start = format!("tls: failed to verify certificate: {words}");
            assert!(fault.to_string().starts_with(&start), "{fault}\nwanted {start}");
            assert!(!fault.is_transient(), "{fault}");
        }
    }

    #[test]
    fn what_else_breaks_a_handshake_is_told_in_words() {
        let table = [
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "remote error: tls: unknown certificate authority (the backend does not accept the client certificate \
                 of the gateway's front proxy: it must trust front-proxy-ca.crt)",
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                "remote error: tls: protocol version not supported",
            ),
            (Error::AlertReceived(AlertDescription::Unknown(200)), "remote error: tls: alert(200)"),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                concat!(
                    "remote error: tls: handshake failure: the backend takes no cipher suite (TLS 1.3, or TLS 1.2 ",
                    "with ECDHE and AES-GCM or ChaCha20-Poly1305) or no key exchange (X25519MLKEM768, X25519, P-256, ",
                    "P-384) that Umbel offers: allow one of these in the backend's TLS settings",
                ),
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "tls: first record does not look like a TLS handshake",
            ),
            (
                Error::InvalidMessage(InvalidMessage::MissingData("x")),
                "tls: the backend sent a malformed message",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "tls: server selected unsupported protocol version: only TLS 1.2 and 1.3 will do",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::IllegalTlsInnerPlaintext),
                "tls: the backend breaks the rules of the protocol",
            ),
            (
                Error::InappropriateHandshakeMessage {
                    expect_types: vec![HandshakeType::ServerHello],
                    got_type: HandshakeType::Finished,
                },
                "tls: unexpected message",
            ),
            (
                Error::InappropriateMessage {
                    expect_types: vec![ContentType::Handshake],
                    got_type: ContentType::Alert,
                },
                "tls: unexpected message",
            ),
            (Error::FailedToGetRandomBytes, "tls: the handshake failed on this side"),
        ];
        for (error, words) in table {
            let fault = told(error);
            assert_eq!(fault.to_string(), words);
            assert_eq!(fault.for_client(), words);
        }
    }
}
