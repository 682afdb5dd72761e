//! The listening socket: what accepted connections inherit, and how errors of `accept` are survived.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// Time without traffic before the kernel asks whether a client is still there (contract §7.12).
const KEEP_ALIVE: Duration = Duration::from_secs(180);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sets what accepted connections inherit on Linux, so that none of them costs a system call for it.
///
/// # Errors
/// Those of the socket.
pub fn prepare_listener(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))
}

/// How long to wait after `accept` failed. Running out of file descriptors must neither end the loop nor
/// turn it into a busy one.
#[derive(Debug, Default)]
pub struct AcceptBackOff(u32);

impl AcceptBackOff {
    /// `accept` worked.
    pub fn reset(&mut self) {
        self.0 = 0;
    }

    /// The pause after `error`: none for a client that went away before it was accepted, else longer each
    /// time up to one second. The flag says whether this is the first failure in a row, worth a log line.
    pub fn pause(&mut self, error: &io::Error) -> (Duration, bool) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return (Duration::ZERO, false);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.0.min(8)).min(LONGEST_PAUSE);
        self.0 = self.0.saturating_add(1);
        (pause, self.0 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over() {
        let exhausted = io::Error::from_raw_os_error(24);
        let mut back_off = AcceptBackOff::default();
        assert_eq!(back_off.pause(&exhausted), (FIRST_PAUSE, true));
        let pauses: Vec<_> = (0..20).map(|_| back_off.pause(&exhausted)).collect();
        assert!(pauses.windows(2).all(|pair| pair[0].0 <= pair[1].0 && !pair[1].1));
        assert_eq!(pauses[19].0, LONGEST_PAUSE);
        back_off.reset();
        assert_eq!(back_off.pause(&exhausted).0, FIRST_PAUSE);
        let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(back_off.pause(&gone).0, Duration::ZERO);
    }
}
