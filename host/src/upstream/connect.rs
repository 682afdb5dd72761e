//! Dialling one endpoint with TLS.

use super::UpstreamFault;
use super::stream::Stream;
use crate::decision::resolver::{Endpoint, url_authority};
use crate::transport::{BulkRead, TlsRecords};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Limit for the TCP connect to one address (contract appendix B has 30 s; a gateway on a LAN need not wait so long).
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit for the look-up of a name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence of one address after which the next one is dialled beside it.
const STAGGER: Duration = Duration::from_millis(300);
/// Time limit for the TLS handshake: less than the 10 s of contract §2.8, so that a request to a backend that stopped
/// fails within that time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(8);

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
    /// The address that took it.
    pub address: SocketAddr,
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
    secure(dial(endpoint).await?, server_name, tls).await
}

/// Opens a connection to one address of an endpoint.
///
/// # Errors
/// As [`connect`].
pub async fn connect_to_address(
    address: SocketAddr,
    server_name: &ServerName<'static>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Connection, UpstreamFault> {
    secure(dial_one(address).await?, server_name, tls).await
}

async fn secure(
    tcp: TcpStream,
    server_name: &ServerName<'static>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Connection, UpstreamFault> {
    let address = tcp.peer_addr().map_err(|error| UpstreamFault::Closed(error.to_string()))?;
    let records = TlsRecords::new(BulkRead::new(tcp));
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(server_name.clone(), records);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(UpstreamFault::from_handshake(&error, &server_name.to_str())),
        Err(_) => return Err(UpstreamFault::TimedOut { during: "TLS handshake".to_owned() }),
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok(Connection { stream: Stream::new(stream, protocol), protocol, address })
}

/// Has the system notice a peer that vanished while nothing is sent: watches and upgraded connections wait
/// for it without a limit. There is no limit for unacknowledged data on purpose (`TCP_USER_TIMEOUT`): Linux counts
/// the time that a living peer does not read, which would cut a paused `exec`.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE_AFTER).with_interval(KEEP_ALIVE_EVERY);
    SockRef::from(tcp).set_tcp_keepalive(&probes)
}

async fn dial(endpoint: &Endpoint) -> Result<TcpStream, UpstreamFault> {
    let lookup_fault = |cause| UpstreamFault::Lookup { host: endpoint.host.clone(), cause };
    let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    let addresses: Vec<_> = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(lookup_fault(error.to_string())),
        Err(_) => return Err(UpstreamFault::TimedOut { during: format!("lookup {}", endpoint.host) }),
    };
    let tcp = dial_any(&addresses).await.unwrap_or_else(|| Err(lookup_fault("no address".to_owned())))?;
    match tcp.set_nodelay(true).and_then(|()| keep_alive(&tcp)) {
        Ok(()) => Ok(tcp),
        Err(error) => Err(UpstreamFault::from_dial(url_authority(endpoint), &error)),
    }
}

/// The first connection that any address takes. The next address joins when the one before failed or keeps silent
/// (as RFC 8305 §5 has it), so that one that swallows packets holds up nobody. `None` without addresses.
async fn dial_any(addresses: &[SocketAddr]) -> Option<Result<TcpStream, UpstreamFault>> {
    let mut waiting = addresses.iter();
    let mut dialling = FuturesUnordered::new();
    dialling.push(dial_one(*waiting.next()?));
    loop {
        let outcome = if waiting.len() == 0 {
            dialling.next().await
        } else {
            // Silence adds an address, as a failure does.
            tokio::time::timeout(STAGGER, dialling.next()).await.unwrap_or(None)
        };
        if let Some(Ok(tcp)) = outcome {
            return Some(Ok(tcp));
        }
        match waiting.next() {
            Some(address) => dialling.push(dial_one(*address)),
            None if dialling.is_empty() => return outcome,
            None => {}
        }
    }
}

async fn dial_one(address: SocketAddr) -> Result<TcpStream, UpstreamFault> {
    match tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) => Err(UpstreamFault::from_dial(address.to_string(), &error)),
        Err(_) => Err(UpstreamFault::TimedOut { during: format!("dial tcp {address}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    /// A socket whose queue is full: the system drops what asks for more.
    async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queued.push(stream.unwrap());
        }
        (listener, queued)
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_holds_up_no_other() {
        let (hole, _queued) = black_hole().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = open.local_addr().map(|address| (open, address)).unwrap();
        let addresses = [hole.local_addr().unwrap(), closed, open.1];
        let dialled = tokio::time::timeout(DIAL_TIMEOUT / 2, dial_any(&addresses)).await.unwrap();
        assert_eq!(dialled.unwrap().unwrap().peer_addr().unwrap(), open.1);
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let fault = dial_any(&[closed, closed]).await.unwrap().unwrap_err();
        assert_eq!(fault, UpstreamFault::Refused { address: closed.to_string() });
        assert!(dial_any(&[]).await.is_none());
    }
}
