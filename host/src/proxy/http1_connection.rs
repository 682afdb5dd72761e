//! An HTTP/1.1 connection of a client, without its codec while it is idle.
//!
//! hyper holds a read and a write buffer of 8 KiB each as long as a connection lives. Thousands of idle clients would
//! pay for them, so the codec is dropped when a connection has been idle for a moment, and built again when bytes
//! arrive. hyper itself decides whether it is idle: asked to shut down, it ends at once if it is between two requests
//! and holds no bytes, and otherwise it finishes what it does and closes the connection.

use super::answer::complete;
use super::body::AnswerBody;
use super::connection::{Client, Order, Stream};
use super::exchange::answer;
use crate::model::message_head::HEADERS_MAX;
use crate::transport::Http1Output;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

type Output = Http1Output<Stream>;
type Codec = UpgradeableConnection<TokioIo<Output>, Answers>;

/// Answers the requests of a connection.
struct Answers(Rc<Client>);

impl Service<Request<Incoming>> for Answers {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    // Boxed, because hyper keeps the space for a request even while there is none.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(answer(Rc::clone(&self.0), request))
    }
}

/// The connection. It begins without a codec, too.
pub struct Http1Connection {
    client: Rc<Client>,
    parked: Option<Output>,
    codec: Option<Box<Codec>>,
}

impl Http1Connection {
    /// Serves `client` on `stream`.
    pub fn new(client: Rc<Client>, stream: Stream) -> Self {
        let output = Http1Output::new(stream, &client.http1, &client.linger, complete);
        Self { client, parked: Some(output), codec: None }
    }

    /// Continues to serve, and does what is ordered.
    pub fn poll(&mut self, cx: &mut Context<'_>, order: Order) -> Poll<Result<(), hyper::Error>> {
        if order == Order::Cut {
            return Poll::Ready(Ok(()));
        }
        if let Some(output) = &mut self.parked
            && order != Order::Finish
        {
            // The codec will meet an error or the end.
            ready!(poll_readable(output, cx));
        }
        let Some(codec) = self.unpark() else { return Poll::Ready(Ok(())) };
        if order == Order::Finish {
            Pin::new(&mut *codec).graceful_shutdown();
        }
        if let Poll::Ready(outcome) = Pin::new(codec).poll(cx) {
            return Poll::Ready(outcome);
        }
        if order == Order::Park { self.park(cx) } else { Poll::Pending }
    }

    /// The codec; built if there is none.
    fn unpark(&mut self) -> Option<&mut Codec> {
        if let Some(output) = self.parked.take() {
            let service = Answers(Rc::clone(&self.client));
            let codec =
                Builder::new().max_headers(HEADERS_MAX).serve_connection(TokioIo::new(output), service);
            self.codec = Some(Box::new(codec.with_upgrades()));
            self.client.gate.set_parkable(true);
        }
        self.codec.as_deref_mut()
    }

    /// Drops the codec if it is idle.
    fn park(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        if self.client.gate.is_serving() || !self.client.http1.is_idle() {
            return Poll::Pending;
        }
        let Some(codec) = self.codec.as_deref_mut() else { return Poll::Pending };
        // While it is held, it cannot end for another reason than that it is idle.
        self.client.http1.hold(true);
        Pin::new(&mut *codec).graceful_shutdown();
        let outcome = Pin::new(&mut *codec).poll(cx);
        self.client.http1.hold(false);
        match outcome {
            // This time it asks to be woken by the next bytes.
            Poll::Pending => return Pin::new(codec).poll(cx),
            Poll::Ready(outcome) => outcome?,
        }
        let Some(parts) = self.codec.take().and_then(|codec| codec.into_parts()) else {
            return Poll::Ready(Ok(()));
        };
        self.client.gate.set_parkable(false);
        let output = self.parked.insert(parts.io.into_inner());
        if poll_readable(output, cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Ready when the client has sent something or has closed the connection.
fn poll_readable(output: &mut Output, cx: &mut Context<'_>) -> Poll<()> {
    use std::io::BufRead;
    let (socket, session) = output.get_mut().get_mut().get_mut();
    // Decrypted bytes that nothing has read yet; without any this fails.
    if session.reader().fill_buf().is_ok() {
        return Poll::Ready(());
    }
    socket.poll_fill(cx).map(drop)
}
