//! Ports for programs that cannot pick one themselves, or that come back to the one they had.

use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// A loopback port that the system gives to nobody who does not ask for it by number, as long as this value lives.
///
/// It is bound, and nothing listens on it: connections are refused. A program that sets `SO_REUSEADDR`, as Rust's and
/// Go's listeners do, can listen on it.
#[derive(Debug)]
pub struct ReservedPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free one.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new() -> Result<Self> {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Reserves this one, on which nobody may listen any more.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn at(address: SocketAddr) -> Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Self { _socket: socket, address })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// The loopback address with it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_refuses_until_somebody_listens_and_stays_reserved() {
        let port = ReservedPort::new().unwrap();
        for _start in 0..2 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
            assert!(ReservedPort::at(port.address()).is_err(), "somebody listens");
            drop(listener);
        }
        let again = ReservedPort::at(port.address()).unwrap();
        assert_eq!(again.number(), port.number());
    }

    #[test]
    fn the_system_gives_a_reserved_port_to_nobody() {
        let reserved = ReservedPort::new().unwrap();
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let is_given_away =
            others.iter().any(|other| other.local_addr().unwrap().port() == reserved.number());
        assert!(!is_given_away);
    }
}
