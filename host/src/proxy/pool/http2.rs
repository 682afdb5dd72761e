//! HTTP/2 connections to a backend: many requests on one.

use super::host::Host;
use super::liveness::{Liveness, Verdict};
use crate::route::SignalKind;
use crate::transport::{DeferredFlush, FlushOnce};
use crate::upstream::{Stream, UpstreamFault};
use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Limit for the HTTP/2 preface and settings.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Windows and frames, as measured.
const STREAM_WINDOW: u32 = 2 << 20;
/// The most that HTTP/2 allows: a client that does not read holds back its own stream, never the connection
/// that it shares with everybody else.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const FRAME: u32 = 256 << 10;
/// Limit for a backend's header list, as the codec counts it; the number of its fields has a separate limit. The
/// codec derives the number of CONTINUATION frames that it accepts from it and from [`FRAME`]: 20, or 320 KiB in
/// frames of the usual size.
const HEADER_LIST: u32 = 4 << 20;
/// Stands for the peer's limit of streams until its settings say one.
const UNSETTLED: usize = usize::MAX - 1;
/// Bytes of one stream that may lie unsent.
const SEND_BUFFER: usize = 1 << 20;
/// Seconds that a connection without a request is kept (contract §2.8).
const IDLE: u64 = 90;

/// One connection.
pub struct Http2Connection {
    host: Weak<Host>,
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    idle_since: Cell<u64>,
    /// Takes no new requests: closed, or going away.
    is_spent: Cell<bool>,
    /// Whether it carried a request to its answer.
    has_answered: Cell<bool>,
    /// Whether anything was read since the last tick.
    has_read: Cell<bool>,
    health: RefCell<Health>,
    task: RefCell<Option<Waker>>,
}

struct Health {
    ping: Option<PingPong>,
    liveness: Liveness,
    is_dead: bool,
}

impl Http2Connection {
    /// Whether another request fits. A stream that is given up frees its slot on the wire before the next one
    /// takes it, so no slot has to stay empty.
    pub(super) fn has_room(&self) -> bool {
        !self.is_spent.get() && self.streams.get() < self.sender.current_max_send_streams()
    }

    /// Takes no new requests from now on; those that it carries go on.
    pub fn spend(&self) {
        self.is_spent.set(true);
    }

    /// Whether an earlier request was answered on it.
    pub fn has_answered(&self) -> bool {
        self.has_answered.get()
    }

    /// An answer began: the connection works.
    pub fn note_answer(&self) {
        self.has_answered.set(true);
    }

    /// Takes no new requests and ends with the last one that it carries.
    pub(super) fn retire(&self) {
        self.spend();
        self.wake();
    }

    /// Looks after the connection once a second; `false` drops it from the pool.
    pub(super) fn tick(&self, now: u64) -> bool {
        let mut health = self.health.borrow_mut();
        let is_busy = self.streams.get() > 0;
        match health.liveness.judge(now, self.has_read.replace(false), is_busy) {
            Verdict::Dead => {
                health.is_dead = true;
                drop(health);
                self.retire();
                self.report(SignalKind::Undeliverable);
                return false;
            }
            Verdict::Doubt => self.report(SignalKind::Silent),
            Verdict::Ping => health.send_ping(now),
            Verdict::Wait => {}
        }
        let is_idle = self.streams.get() == 0 && now.saturating_sub(self.idle_since.get()) >= IDLE;
        if is_idle {
            drop(health);
            self.retire();
        }
        !is_idle
    }

    /// Whether the peer left a ping unanswered.
    pub fn is_dead(&self) -> bool {
        self.health.borrow().is_dead
    }

    fn report(&self, kind: SignalKind) {
        if let Some(host) = self.host.upgrade() {
            host.report(kind);
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// Whether the connection task has to stop: the peer is dead, or nobody needs the connection any more.
    fn must_end(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.is_spent.get() && (self.streams.get() == 0 || self.is_dead())
    }
}

impl Health {
    fn send_ping(&mut self, now: u64) {
        let Some(ping) = self.ping.as_mut() else { return };
        // Takes the answer to the previous ping, without which a new one must not be sent. If that answer is missing,
        // the previous ping is the one that counts.
        drop(ping.poll_pong(&mut Context::from_waker(Waker::noop())));
        drop(ping.send_ping(Ping::opaque()));
        self.liveness.note_ping(now);
    }
}

/// The right to one stream.
pub struct Http2Lease {
    connection: Rc<Http2Connection>,
}

impl Http2Lease {
    pub(super) fn new(connection: Rc<Http2Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self { connection }
    }

    /// Something to send one request with.
    pub fn sender(&self) -> SendRequest<Bytes> {
        self.connection.sender.clone()
    }

    /// The connection.
    pub fn connection(&self) -> &Rc<Http2Connection> {
        &self.connection
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        if connection.streams.get() == 0 {
            if let Some(host) = connection.host.upgrade() {
                connection.idle_since.set(host.now.get());
            }
            if connection.is_spent.get() {
                connection.wake();
            }
        }
    }
}

/// Speaks HTTP/2 on a fresh connection and spawns the task that drives it. Comes back when the peer has said
/// how many streams it takes: a request sent before that might be refused with its body gone.
pub(super) async fn open(host: &Rc<Host>, stream: Stream) -> Result<Rc<Http2Connection>, UpstreamFault> {
    let opening = start(host, stream);
    let opened = tokio::time::timeout(HANDSHAKE_TIMEOUT, opening).await;
    opened.map_err(|_| UpstreamFault::TimedOut { during: "HTTP/2 handshake".to_owned() })?
}

async fn start<T>(host: &Rc<Host>, stream: T) -> Result<Rc<Http2Connection>, UpstreamFault>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (io, flush) = DeferredFlush::new(stream);
    let (sender, mut driver) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(UNSETTLED)
        .handshake::<_, Bytes>(io)
        .await
        .map_err(|error| UpstreamFault::Protocol(format!("HTTP/2 handshake: {error}")))?;
    let liveness = Liveness::new(host.now.get());
    let health = Health { ping: driver.ping_pong(), liveness, is_dead: false };
    let connection = Rc::new(Http2Connection {
        host: Rc::downgrade(host),
        sender,
        streams: Cell::new(0),
        idle_since: Cell::new(host.now.get()),
        is_spent: Cell::new(false),
        has_answered: Cell::new(false),
        has_read: Cell::new(true),
        health: RefCell::new(health),
        task: RefCell::default(),
    });
    let (settled, mut is_settled) = watch::channel(false);
    let _detached = tokio::task::spawn_local(drive(driver, flush, Rc::clone(&connection), settled));
    if is_settled.wait_for(|is_settled| *is_settled).await.is_err() {
        return Err(UpstreamFault::Closed("the connection closed before it took a request".to_owned()));
    }
    Ok(connection)
}

async fn drive<T: AsyncRead + AsyncWrite + Unpin>(
    driver: Connection<DeferredFlush<T>, Bytes>,
    flush: FlushOnce<T>,
    connection: Rc<Http2Connection>,
    settled: watch::Sender<bool>,
) {
    let mut settled = Some(settled);
    let _end = End(Rc::clone(&connection));
    let mut driver = pin!(driver);
    let outcome = poll_fn(|cx| {
        if connection.must_end(cx) {
            return Poll::Ready(None);
        }
        let outcome = flush.turn(cx, |cx| driver.as_mut().poll(cx));
        if flush.take_has_read() {
            connection.has_read.set(true);
        }
        if connection.sender.current_max_send_streams() != UNSETTLED
            && let Some(settled) = settled.take()
        {
            settled.send_replace(true);
        }
        outcome.map(Some)
    })
    .await;
    let Some(host) = connection.host.upgrade() else { return };
    if let Some(outcome) = outcome {
        let error = outcome.err().map(tracing::field::display);
        tracing::debug!(endpoint = %host.authority, error, "HTTP/2 connection to a backend closed");
        host.report(SignalKind::ConnectionClosed);
    }
}

/// Removes the connection from the pool when the task that drives it ends, including by a panic.
struct End(Rc<Http2Connection>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.spend();
        if let Some(host) = self.0.host.upgrade() {
            host.forget(&self.0);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::backend_for_tests;
    use super::*;
    use crate::route::Signals;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::LocalSet;

    const PREFACE: usize = 24;
    const PING: u8 = 6;
    const ACK: u8 = 1;

    async fn read_frame(peer: &mut DuplexStream) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        peer.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        peer.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], payload))
    }

    async fn read_ping(peer: &mut DuplexStream) -> Option<Vec<u8>> {
        loop {
            match read_frame(peer).await? {
                (PING, 0, payload) => return Some(payload),
                _ => continue,
            }
        }
    }

    /// A connection to a peer that settled it with these settings and then says nothing of its own.
    pub async fn settle(host: &Rc<Host>, settings: &[u8]) -> (Rc<Http2Connection>, DuplexStream) {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let peer = async {
            far.read_exact(&mut [0; PREFACE]).await.unwrap();
            far.write_all(&[0, 0, settings.len() as u8, 4, 0, 0, 0, 0, 0]).await.unwrap();
            far.write_all(settings).await.unwrap();
            far
        };
        let (connection, far) = tokio::join!(start(host, near), peer);
        let connection = connection.unwrap();
        host.add_http2(Rc::clone(&connection));
        (connection, far)
    }

    #[tokio::test]
    async fn a_connection_whose_peer_answers_no_ping_is_dropped() {
        let (signals, mut seen) = Signals::channel(16);
        let host = Rc::new(Host::new(&backend_for_tests(&[1]), 0, signals, 0).unwrap());
        let test = async {
            let (connection, mut far) = settle(&host, &[]).await;
            let lease = Http2Lease::new(Rc::clone(&connection));
            let (answer, _) = lease.sender().send_request(http::Request::default(), true).unwrap();
            (0..=3).for_each(|now| host.tick(now));
            assert!(read_ping(&mut far).await.is_some(), "silence is not asked about");
            (4..8).for_each(|now| host.tick(now));
            assert!(host.take(None).is_some(), "a ping has its time");
            host.tick(8);
            assert!(host.take(None).is_none(), "a dead connection is still offered");
            assert!(answer.await.is_err(), "a request waits for a dead peer");
            while read_frame(&mut far).await.is_some() {}
            let mut told = Vec::new();
            while let Ok(signal) = seen.try_recv() {
                told.push(signal.kind);
            }
            assert_eq!(told.first(), Some(&SignalKind::Silent), "the check need not wait for the end");
            assert_eq!(told.last(), Some(&SignalKind::Undeliverable));
        };
        let local = LocalSet::new();
        tokio::time::timeout(Duration::from_secs(20), local.run_until(test)).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_whose_peer_answers_pings_stays() {
        let host = Rc::new(Host::new(&backend_for_tests(&[1]), 0, Signals::channel(4).0, 0).unwrap());
        let test = async {
            let (connection, mut far) = settle(&host, &[]).await;
            // A watch without events: nothing comes but the answers to pings.
            let _lease = Http2Lease::new(connection.clone());
            for round in 0..3 {
                let start = round * 40;
                (start..=start + 4).for_each(|now| host.tick(now));
                let ping = read_ping(&mut far).await.unwrap();
                far.write_all(&[0, 0, 8, PING, ACK, 0, 0, 0, 0]).await.unwrap();
                far.write_all(&ping).await.unwrap();
                poll_fn(|cx| {
                    if connection.has_read.get() {
                        Poll::Ready(())
                    } else {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                })
                .await;
                host.tick(start + 5);
            }
            assert!(host.take(None).is_some());
        };
        let local = LocalSet::new();
        tokio::time::timeout(Duration::from_secs(20), local.run_until(test)).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_takes_as_many_requests_as_its_peer_allows() {
        // SETTINGS_MAX_CONCURRENT_STREAMS = 2
        const TWO_STREAMS: [u8; 6] = [0, 3, 0, 0, 0, 2];
        let host = Rc::new(Host::new(&backend_for_tests(&[1]), 0, Signals::channel(4).0, 0).unwrap());
        let test = async {
            let (_connection, _far) = settle(&host, &TWO_STREAMS).await;
            let (first, _second) = (host.take(None).unwrap(), host.take(None).unwrap());
            assert!(host.take(None).is_none(), "a third request would wait for one of the others");
            drop(first);
            assert!(host.take(None).is_some());
        };
        LocalSet::new().run_until(test).await;
    }
}
