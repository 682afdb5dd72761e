//! Sockets in: TLS, client certificates, tokens and the accept loop.

mod accept;
mod client_certificate;
mod plain_http;
mod refusal_log;
mod tls;
mod tokens;

pub use accept::{AcceptBackOff, prepare_listener};
pub use client_certificate::{CertificateJudge, PeerCertificate};
pub use plain_http::refuse_plain_http;
pub use tls::{ListenTls, ListenTlsError, SharedListenTls, TlsStream, handshake};
pub use tokens::{TokenFileError, TokenTable};
