//! TLS faults in the words that Go's programs use, because those are the words people know and search for.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// The parameters that Umbel offers, for a backend that accepts none of them. Go also offers P-521 and CBC suites,
/// which rustls lacks.
pub(super) const OFFER: &str = "the backend takes no cipher suite (TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or \
    ChaCha20-Poly1305) or no key exchange (X25519MLKEM768, X25519, P-256, P-384) that Umbel offers: allow one of these \
    in the backend's TLS settings";

/// What is wrong with a certificate, without the causes that have an `UpstreamFault` of their own.
pub(super) fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::BadEncoding => "x509: malformed certificate",
        CertificateError::Revoked => "x509: certificate has been revoked",
        CertificateError::UnhandledCriticalExtension => "x509: unhandled critical extension",
        CertificateError::UnknownRevocationStatus => "x509: nobody tells whether the certificate is revoked",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "x509: the certificate's revocation list has expired"
        }
        CertificateError::BadSignature => {
            "x509: certificate signed by unknown authority (a signature does not fit the key that should have made it)"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "x509: cannot verify signature: algorithm unimplemented"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage: it is not for servers"
        }
        CertificateError::InvalidOcspResponse => "x509: the certificate's OCSP response is invalid",
        CertificateError::Other(other) => other.0.downcast_ref().map_or(UNUSABLE, chain),
        _ => UNUSABLE,
    }
}

const UNUSABLE: &str = "x509: certificate cannot be used";

/// What is wrong with a chain, as far as rustls has no word of its own for it.
fn chain(error: &webpki::Error) -> &'static str {
    use webpki::Error;
    match error {
        Error::CaUsedAsEndEntity => {
            "x509: certificate is that of a CA (CA:TRUE): serve one that it has signed, or put it into caBundle itself"
        }
        Error::EndEntityUsedAsCa => "x509: certificate is not authorized to sign other certificates",
        Error::NameConstraintViolation => {
            "x509: a root or intermediate certificate is not authorized to sign for this name"
        }
        Error::PathLenConstraintViolated => "x509: too many intermediates for path length constraint",
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            "x509: the certificate chain is too long to be verified"
        }
        Error::UnsupportedCertVersion => "x509: unsupported certificate version: only version 3 will do",
        Error::SignatureAlgorithmMismatch => {
            "x509: inner and outer signature algorithm identifiers don't match"
        }
        Error::EmptyEkuExtension
        | Error::ExtensionValueInvalid
        | Error::InvalidNetworkMaskConstraint
        | Error::InvalidSerialNumber
        | Error::MalformedDnsIdentifier
        | Error::MalformedExtensions
        | Error::MalformedNameConstraint => "x509: malformed certificate",
        _ => UNUSABLE,
    }
}

/// What went wrong in a handshake other than with the certificate.
pub(super) fn handshake(error: &Error) -> String {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "first record does not look like a TLS handshake".to_owned()
        }
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            "server selected unsupported protocol version".to_owned()
        }
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => {
            "the backend sent a malformed message".to_owned()
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "unexpected message".to_owned()
        }
        Error::PeerIncompatible(why) => incompatible(why).to_owned(),
        Error::PeerMisbehaved(_) => "the backend breaks the rules of the protocol".to_owned(),
        Error::DecryptError => "bad record MAC".to_owned(),
        Error::NoCertificatesPresented => "received no certificate from the backend".to_owned(),
        Error::NoApplicationProtocol => "server selected unadvertised ALPN protocol".to_owned(),
        Error::General(text) => text.clone(),
        _ => "the handshake failed on this side".to_owned(),
    }
}

fn incompatible(why: &PeerIncompatible) -> &'static str {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "server selected unsupported protocol version: only TLS 1.2 and 1.3 will do"
        }
        PeerIncompatible::NoCipherSuitesInCommon => "server chose an unconfigured cipher suite",
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => {
            "server selected unsupported curve"
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "the backend offers no signature algorithm in common"
        }
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => {
            "the backend's TLS 1.2 has no extended master secret"
        }
        _ => "the backend's TLS has nothing in common with ours",
    }
}

/// The text after an alert with which a backend rejects the certificate of the gateway.
const CERTIFICATE_REJECTED: &str = " (the backend does not accept the client certificate of the gateway's front proxy: it \
     must trust front-proxy-ca.crt)";

/// The meaning of the backend's alert, in Go's wording, with a hint if the gateway's certificate is the cause.
pub(super) fn alert(alert: AlertDescription) -> String {
    let rejects_certificate = matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    );
    let hint = if rejects_certificate { CERTIFICATE_REJECTED } else { "" };
    format!("{}{hint}", alert_name(alert))
}

/// Go's name for an alert; a number if it has none.
fn alert_name(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CloseNotify => "close notify",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::InappropriateFallback => "inappropriate fallback",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::NoRenegotiation => "no renegotiation",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    };
    words.to_owned()
}

/// The moment as RFC 3339.
pub(super) fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "the end of time".to_owned(), |at| at.to_string())
}
