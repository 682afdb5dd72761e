//! One accepted connection: TLS, then HTTP/1.1 or HTTP/2, until it ends, is drained, or idles too long.

use super::exchange::answer;
use super::http1_connection::Http1Connection;
use super::progress::{Patience, Watchdog};
use super::upload_buffer::{self, UploadBuffer};
use super::worker::Worker;
use crate::listen::{PeerCertificate, TlsStream, handshake, refuse_plain_http};
use crate::model::failure::Failure;
use crate::observe::failpoint;
use crate::transport::{
    BulkRead, DeferredFlush, HeaderLimit, Http1OutputHandle, LingerHandle, LingerLimits, LingeringClose,
};
use http::{HeaderValue, Version};
use hyper::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpStream;

/// Limit for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds until the first request must be complete (contract §7.12).
const FIRST_REQUEST: u64 = 32;
/// Seconds without a request after which a connection is closed (contract §7.12).
const IDLE: u64 = 90;
/// Seconds without a request after which an HTTP/1.1 connection is parked. A busy connection must not be.
const PARK: u64 = 2;
/// Seconds that an idle client has to leave by itself.
const GRACE: u64 = 5;

/// HTTP/2 limits (contract §7.12). The window is that of Kubernetes' server, rounded up.
const STREAMS: u32 = 1000;
pub const UPLOAD_WINDOW: u32 = 128 << 10;
/// Twice the upload budget, so that uploads that a backend does not read do not block other ones.
const CONNECTION_WINDOW: u32 = 2 * upload_buffer::CONNECTION_MAX as u32;
/// More than [`HeaderLimit`] lets through, because the codec rejects without a body.
const HEADER_LIST: u32 = 2 << 20;

/// How a connection is told to end, and what it does meanwhile.
#[derive(Debug)]
pub struct Gate {
    requests: Cell<u32>,
    had_requests: Cell<bool>,
    quiet_since: Cell<u64>,
    uploading: Cell<usize>,
    is_parkable: Cell<bool>,
    order: Cell<Order>,
    task: RefCell<Option<Waker>>,
}

/// What a connection task has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve requests.
    Serve,
    /// Release memory while there is no request, and go on.
    Park,
    /// Finish what it does, and close.
    Finish,
    /// The same, said before.
    Finishing,
    /// Close.
    Cut,
}

impl Gate {
    /// A connection that opens at `now`, in seconds of its worker.
    pub fn new(now: u64) -> Self {
        Self {
            requests: Cell::new(0),
            had_requests: Cell::new(false),
            quiet_since: Cell::new(now),
            uploading: Cell::new(0),
            is_parkable: Cell::new(false),
            order: Cell::new(Order::Serve),
            task: RefCell::default(),
        }
    }

    /// Bytes reserved for its uploads.
    pub fn uploading(&self) -> usize {
        self.uploading.get()
    }

    /// Sets [`Self::uploading`].
    pub fn set_uploading(&self, bytes: usize) {
        self.uploading.set(bytes);
    }

    /// Whether a request is in progress.
    pub fn is_serving(&self) -> bool {
        self.requests.get() > 0
    }

    /// Sets whether the connection can be parked, and is not.
    pub fn set_parkable(&self, is_parkable: bool) {
        self.is_parkable.set(is_parkable);
    }

    /// Asks the connection to finish what it does and to close.
    pub fn drain(&self) {
        if matches!(self.order.get(), Order::Serve | Order::Park) {
            self.give(Order::Finish);
        }
    }

    /// Asks the connection to finish in a drain that began at `since`, and closes it when its client does not read
    /// the rest of the last response.
    pub fn drain_until_quiet(&self, now: u64, since: u64) {
        self.drain();
        let quiet = now.saturating_sub(self.quiet_since.get().max(since));
        if self.requests.get() == 0 && quiet >= GRACE {
            self.give(Order::Cut);
        }
    }

    /// Closes the connection when it has been without a request for too long.
    pub fn expire(&self, now: u64) {
        if self.requests.get() > 0 {
            return;
        }
        let quiet = now.saturating_sub(self.quiet_since.get());
        let limit = if self.had_requests.get() { IDLE } else { FIRST_REQUEST };
        if quiet >= limit + GRACE || (quiet >= limit && !self.had_requests.get()) {
            self.give(Order::Cut);
        } else if quiet >= limit {
            self.drain();
        } else if quiet >= PARK && self.is_parkable.get() && self.order.get() == Order::Serve {
            self.give(Order::Park);
        }
    }

    fn give(&self, order: Order) {
        self.order.set(order);
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// What the connection task has to do now; remembers whom to wake.
    fn order(&self, cx: &Context<'_>) -> Order {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        let order = self.order.get();
        match order {
            Order::Finish => self.order.set(Order::Finishing),
            Order::Park => self.order.set(Order::Serve),
            _ => {}
        }
        order
    }
}

/// The client side of a connection, shared by its requests.
pub struct Client {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// What it showed in the handshake.
    pub certificate: PeerCertificate,
    /// Its address, as `X-Forwarded-For` has it.
    pub address: HeaderValue,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
    /// How it ends.
    pub gate: Rc<Gate>,
    /// Asked as soon as a request has a body, which its answer need not wait for.
    pub linger: LingerHandle,
    /// Is notified when a response begins and ends; takes interim responses.
    pub http1: Http1OutputHandle,
}

impl Client {
    /// Whether interim responses can be sent for a request of this version. hyper cannot send them over HTTP/2.
    pub fn takes_interim(&self, version: Version) -> bool {
        !self.is_http2 && version == Version::HTTP_11
    }
}

impl Client {
    /// Reserves memory for the body of a request.
    ///
    /// # Errors
    /// 429 when the budget is used up.
    pub fn reserve_upload(&self, body: &impl Body) -> Result<Option<UploadBuffer>, Box<Failure>> {
        UploadBuffer::reserve(&self.gate, &self.worker.inputs.uploads, body)
    }
}

/// A client's connection.
pub type Stream = LingeringClose<TlsStream>;

/// Marks a request as being served, until its answer is sent or given up.
pub struct InFlight(Rc<Client>);

impl InFlight {
    /// A request begins.
    pub fn new(client: Rc<Client>) -> Self {
        client.gate.requests.set(client.gate.requests.get() + 1);
        client.gate.had_requests.set(true);
        client.http1.begin();
        Self(client)
    }
}

impl InFlight {
    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.0.worker.is_draining()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let gate = &self.0.gate;
        gate.requests.set(gate.requests.get() - 1);
        self.0.http1.end();
        gate.quiet_since.set(self.0.worker.now());
    }
}

/// Serves one connection to its end. Its memory while a client idles decides how many clients fit into the process:
/// so each phase is in a box of its own, which is freed with the phase.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    failpoint("proxy.connection");
    let gate = worker.open_gate();
    let Some((stream, certificate)) = Box::pin(open(&worker, stream, remote)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let address = HeaderValue::try_from(remote.ip().to_canonical().to_string())
        .unwrap_or(HeaderValue::from_static("unknown"));
    let linger = LingerHandle::default();
    let stream = LingeringClose::new(stream, &linger, LingerLimits::default());
    let http1 = Http1OutputHandle::default();
    let client = Rc::new(Client { worker, certificate, address, is_http2, gate, linger, http1 });
    let served = if is_http2 { serve_http2(client, stream) } else { serve_http1(client, stream) };
    if let Err(error) = served.await {
        tracing::debug!(%remote, %error, "connection ended early");
    }
}

/// The TLS stream and the client's certificate. `None` if the connection is over already.
async fn open(
    worker: &Worker,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<(TlsStream, PeerCertificate)> {
    let mut stream = BulkRead::new(stream);
    let tls = worker.inputs.tls.load_full();
    let opening = async {
        if refuse_plain_http(&mut stream).await? {
            return Ok(None);
        }
        handshake(stream, &tls).await.map(Some)
    };
    let mut draining = worker.inputs.draining.clone();
    let opened = tokio::select! {
        biased;
        // A request on it would not be accepted.
        _ = draining.wait_for(|is_draining| *is_draining) => return None,
        opened = tokio::time::timeout(HANDSHAKE_TIMEOUT, opening) => opened,
    };
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%remote, "TLS handshake took too long");
            None
        }
    };
    if let Some((_, PeerCertificate::Refused(cause))) = &opened {
        tls.log_refused_certificate(remote, cause);
    }
    opened
}

/// A connection until its end.
type Served = Pin<Box<dyn Future<Output = Result<(), hyper::Error>>>>;

fn serve_http1(client: Rc<Client>, stream: Stream) -> Served {
    let gate = Rc::clone(&client.gate);
    let mut watchdog = Watchdog::new(client.worker.patience());
    let mut connection = Http1Connection::new(client, stream);
    Box::pin(poll_fn(move |cx| {
        let order = gate.order(cx);
        let outcome = watchdog.poll(cx, |cx| connection.poll(cx, order));
        // A stalled response closes its connection.
        outcome.map(|outcome| outcome.unwrap_or(Ok(())))
    }))
}

fn serve_http2(client: Rc<Client>, stream: Stream) -> Served {
    let gate = Rc::clone(&client.gate);
    let executor = ThisThread(client.worker.patience());
    let service = service_fn(move |request| answer(Rc::clone(&client), request));
    let (stream, header_limit) = HeaderLimit::new(stream);
    let (io, flush) = DeferredFlush::new(stream);
    let connection = hyper::server::conn::http2::Builder::new(executor)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(UPLOAD_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = Box::pin(connection);
    Box::pin(poll_fn(move |cx| {
        match gate.order(cx) {
            Order::Cut => return Poll::Ready(Ok(())),
            Order::Finish => connection.as_mut().graceful_shutdown(),
            Order::Serve | Order::Park | Order::Finishing => {}
        }
        let outcome = flush.turn(cx, |cx| connection.as_mut().poll(cx));
        if header_limit.is_exceeded() {
            // Later requests cannot be decoded. This wakes the task, and has no effect if the drain has begun
            // already.
            gate.drain();
        }
        outcome
    }))
}

/// Runs the streams of a connection on the thread of its worker. A stream whose response stalls is reset.
#[derive(Clone, Debug)]
struct ThisThread(Patience);

impl<F: Future + 'static> hyper::rt::Executor<F> for ThisThread {
    fn execute(&self, future: F) {
        let watchdog = Watchdog::new(self.0.clone());
        let _detached = tokio::task::spawn_local(Watched { watchdog, future });
    }
}

pin_project! {
    /// A stream under a watchdog. Not an `async` block, which would hold `future` twice.
    struct Watched<F> {
        watchdog: Watchdog,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.watchdog.poll(cx, |cx| this.future.as_mut().poll(cx)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, setup};
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        // Each of thousands of idle clients holds one.
        assert!(size_of_future(serve) <= 2048, "{} bytes", size_of_future(serve));
    }

    fn order_after(had_requests: bool, requests: u32, seconds: u64) -> Order {
        let gate = Gate::new(100);
        gate.had_requests.set(had_requests);
        gate.requests.set(requests);
        gate.expire(100 + seconds);
        gate.order.get()
    }

    #[test]
    fn a_client_that_sends_no_whole_request_is_cut() {
        assert_eq!(order_after(false, 0, FIRST_REQUEST - 1), Order::Serve);
        assert_eq!(order_after(false, 0, FIRST_REQUEST), Order::Cut);
    }

    #[test]
    fn only_an_idle_connection_with_a_codec_is_parked() {
        let order = |is_parkable: bool, requests: u32, seconds: u64| {
            let gate = Gate::new(100);
            gate.had_requests.set(true);
            gate.requests.set(requests);
            gate.set_parkable(is_parkable);
            gate.expire(100 + seconds);
            let order = gate.order.get();
            gate.drain();
            assert_eq!(gate.order.get(), Order::Finish, "a drain is more urgent");
            order
        };
        assert_eq!(order(true, 0, PARK), Order::Park);
        assert_eq!(order(true, 0, PARK - 1), Order::Serve);
        assert_eq!(order(false, 0, PARK), Order::Serve);
        assert_eq!(order(true, 1, PARK), Order::Serve);
    }

    #[test]
    fn a_drain_cuts_connections_without_requests_only() {
        let order = |requests: u32, quiet_since: u64, seconds: u64| {
            let gate = Gate::new(quiet_since);
            gate.requests.set(requests);
            gate.drain_until_quiet(100 + seconds, 100);
            gate.order.get()
        };
        assert_eq!(order(0, 50, GRACE - 1), Order::Finish, "it has time for the rest of an answer");
        assert_eq!(order(0, 50, GRACE), Order::Cut);
        assert_eq!(order(0, 103, GRACE), Order::Finish, "its last request ended after the drain began");
        assert_eq!(order(1, 50, 10 * GRACE), Order::Finish);
    }

    #[test]
    fn an_idle_client_is_asked_to_leave_before_it_is_cut() {
        assert_eq!(order_after(true, 0, IDLE - 1), Order::Serve);
        assert_eq!(order_after(true, 0, IDLE), Order::Finish);
        assert_eq!(order_after(true, 0, IDLE + GRACE), Order::Cut);
        assert_eq!(order_after(true, 1, 10 * IDLE), Order::Serve, "a watch is no idling");
    }

    #[test]
    fn a_connection_is_quiet_when_its_last_request_is_over() {
        let client = setup("").client;
        let (first, second) = (InFlight::new(Rc::clone(&client)), InFlight::new(Rc::clone(&client)));
        let mut seen = vec![client.gate.requests.get()];
        for request in [first, second] {
            drop(request);
            seen.push(client.gate.requests.get());
        }
        assert_eq!(seen, [2, 1, 0]);
        assert!(client.gate.had_requests.get());
    }

    #[test]
    fn interim_responses_are_for_http_1_1_alone() {
        let worker = setup("").client.worker.clone();
        for (is_http2, version, takes) in [
            (false, Version::HTTP_11, true),
            (false, Version::HTTP_10, false),
            (true, Version::HTTP_2, false),
        ] {
            let client = Client { is_http2, ..client(&worker, PeerCertificate::Absent) };
            assert_eq!(client.takes_interim(version), takes, "{version:?}");
        }
    }
}
