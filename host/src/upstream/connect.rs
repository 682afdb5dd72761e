//! Dialling one endpoint with TLS.

use super::UpstreamFault;
use crate::decision::resolver::{Endpoint, url_authority};
use crate::transport::BulkRead;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// TCP with TLS over it.
pub type Stream = tokio_rustls::client::TlsStream<BulkRead<TcpStream>>;

/// Limit for the TCP connect alone (contract appendix B has 30 s; a gateway on a LAN need not wait so long).
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for the TLS handshake (contract §2.8).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence before the first keep-alive probe.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
/// Pause between probes.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// What ALPN chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// An open connection, not yet speaking HTTP.
#[derive(Debug)]
pub struct Connection {
    /// The encrypted stream.
    pub stream: Stream,
    /// What to speak on it.
    pub protocol: Protocol,
}

/// Opens a connection to `endpoint`, verified as `server_name`.
///
/// # Errors
/// Every way in which that can fail has its own [`UpstreamFault`].
pub async fn connect(
    endpoint: &Endpoint,
    server_name: &ServerName<'static>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Connection, UpstreamFault> {
    let tcp = dial(endpoint).await?;
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(server_name.clone(), BulkRead::new(tcp));
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(UpstreamFault::from_handshake(&error, &server_name.to_str())),
        Err(_) => return Err(UpstreamFault::TimedOut { during: "TLS handshake".to_owned() }),
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok(Connection { stream, protocol })
}

/// Has the system notice a peer that vanished while nothing is sent: watches and upgraded connections wait
/// for it without a limit. There is no limit for unacknowledged data on purpose (`TCP_USER_TIMEOUT`): Linux counts
/// the time that a living peer does not read, which would cut a paused `exec`.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER).with_interval(KEEP_ALIVE_EVERY);
    SockRef::from(tcp).set_tcp_keepalive(&probes)
}

async fn dial(endpoint: &Endpoint) -> Result<TcpStream, UpstreamFault> {
    let address = url_authority(endpoint);
    let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<_> = match lookup {
        Ok(found) => found.collect(),
        Err(error) => {
            return Err(UpstreamFault::Lookup { host: endpoint.host.clone(), cause: error.to_string() });
        }
    };
    let mut last = UpstreamFault::Lookup { host: endpoint.host.clone(), cause: "no address".to_owned() };
    for socket in addresses {
        match tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(socket)).await {
            Ok(Ok(tcp)) => {
                if let Err(error) = tcp.set_nodelay(true).and_then(|()| keep_alive(&tcp)) {
                    return Err(UpstreamFault::from_dial(address, &error));
                }
                return Ok(tcp);
            }
            Ok(Err(error)) => last = UpstreamFault::from_dial(socket.to_string(), &error),
            Err(_) => last = UpstreamFault::TimedOut { during: format!("dial tcp {socket}") },
        }
    }
    Err(last)
}
