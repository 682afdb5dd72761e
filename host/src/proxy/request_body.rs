//! The body of a request: kept while it is small and its answer has not begun, so that it can be sent again, and
//! given up when the client stops sending it.

use super::head::too_many_headers;
use super::request_headers::clean_trailers;
use super::upload_buffer::UploadBuffer;
use crate::model::failure::Failure;
use crate::model::message_head::HEADERS_MAX;
use crate::route::ClientBody;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Bytes of a body that are kept for another attempt. They are shared with what is under way, not copied.
const MOST_KEPT: usize = 64 << 10;
/// Pieces of such a body: a client that sends single bytes must not make each one a search through all before it.
const MOST_PIECES: usize = 64;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum UploadError<E> {
    /// The client broke off.
    #[error(transparent)]
    Client(E),
    /// The client paused for too long.
    #[error("nothing more of the request's body came for {0:?}")]
    Stalled(Duration),
    /// The client sent more trailers than are accepted.
    #[error("the request has too many trailers")]
    TooManyTrailers,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, UploadError<E>>>>;

/// A body as its request holds it, from attempt to attempt.
pub struct RequestBody<B = ClientBody>(Rc<RefCell<Shared<B>>>);

struct Shared<B> {
    incoming: B,
    /// What was read so far, as long as that is everything.
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// The memory that it counts as, until its last byte is passed on and it cannot be sent again.
    buffer: Option<UploadBuffer>,
    /// Whether `kept` begins with the first byte and may be sent again.
    is_whole: bool,
    /// Whether `incoming` was read to its end.
    is_read: bool,
    attempts: u32,
    pause: Pause,
    /// The error for the client if its body caused the failure.
    failure: Option<Failure>,
}

/// Watches over the time between two reads, until the answer begins: from then on both sides may take their time.
struct Pause {
    most: Duration,
    /// Runs while the client is waited for; made when that is first the case.
    timer: Option<Pin<Box<Sleep>>>,
    has_read: bool,
    has_answer: bool,
    is_over: bool,
}

impl Pause {
    /// The client has sent nothing new. Ready when it had time enough.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_answer {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.most)));
        if std::mem::take(&mut self.has_read) {
            timer.as_mut().reset(Instant::now() + self.most);
        }
        ready!(timer.as_mut().poll(cx));
        self.is_over = true;
        Poll::Ready(())
    }
}

impl<B> RequestBody<B> {
    /// `incoming` must not have been read. `pause` is the time limit for a pause before the response begins. `buffer`
    /// is held while the body uses memory.
    pub fn new(incoming: B, pause: Duration, buffer: Option<UploadBuffer>) -> Self {
        let pause = Pause { most: pause, timer: None, has_read: false, has_answer: false, is_over: false };
        let shared = Shared {
            incoming,
            kept: Vec::new(),
            trailers: None,
            buffer,
            is_whole: true,
            is_read: false,
            attempts: 0,
            pause,
            failure: None,
        };
        Self(Rc::new(RefCell::new(shared)))
    }

    /// Begins to send the body from its start; what an earlier attempt still does is ended.
    pub fn attempt(&self) -> UploadBody<B> {
        let mut shared = self.0.borrow_mut();
        shared.attempts += 1;
        let number = shared.attempts;
        UploadBody(Some(Attempt { shared: Rc::clone(&self.0), number, next: 0, are_trailers_sent: false }))
    }

    /// Whether everything that was read is still there.
    pub fn can_repeat(&self) -> bool {
        self.0.borrow().is_whole
    }

    /// How long the client paused, if that was too long.
    pub fn stalled(&self) -> Option<Duration> {
        let pause = &self.0.borrow().pause;
        pause.is_over.then_some(pause.most)
    }

    /// The error for the client if its body caused the failure: it was cut off, is malformed, or has too many
    /// trailers.
    pub fn failure(&self) -> Option<Failure> {
        self.0.borrow().failure.clone()
    }

    /// The answer begins: the body is not sent again, and the client may pause as long as it likes. What is kept and was
    /// not sent yet still has to be.
    pub fn note_answer(&self) {
        let mut shared = self.0.borrow_mut();
        shared.is_whole = false;
        shared.pause.has_answer = true;
        shared.pause.timer = None;
    }
}

impl<B> Shared<B> {
    fn let_go(&mut self) {
        self.is_whole = false;
        self.kept = Vec::new();
    }

    /// Releases the budget of a body whose last frame was taken and that is not kept: a backend may take its time to
    /// answer, and other uploads need not wait for that.
    fn release(&mut self) {
        if self.is_read && !self.is_whole {
            self.buffer = None;
        }
    }

    /// Keeps `data` unless that is too much; `true` when it is kept.
    fn keep(&mut self, data: &Bytes) -> bool {
        if self.is_whole {
            let kept: usize = self.kept.iter().map(Bytes::len).sum();
            if kept + data.len() > MOST_KEPT || self.kept.len() == MOST_PIECES {
                self.let_go();
            } else {
                self.kept.push(data.clone());
            }
        }
        self.is_whole
    }
}

/// A body on its way to a backend; `None` is no body.
pub struct UploadBody<B = ClientBody>(Option<Attempt<B>>);

impl<B> UploadBody<B> {
    /// No body.
    pub fn none() -> Self {
        Self(None)
    }
}

struct Attempt<B> {
    shared: Rc<RefCell<Shared<B>>>,
    number: u32,
    /// What of the kept part comes next.
    next: usize,
    are_trailers_sent: bool,
}

/// Whoever sends the body drops it when it has sent the last frame.
impl<B> Drop for Attempt<B> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        if shared.attempts == self.number {
            shared.release();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Attempt<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        let shared = &mut *self.shared.borrow_mut();
        if shared.attempts != self.number {
            // Nobody waits for this attempt any more; what there is belongs to the next one.
            return Poll::Pending;
        }
        if let Some(data) = shared.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if !shared.is_whole {
            shared.kept = Vec::new();
        }
        if let Some(trailers) = shared.trailers.as_ref().filter(|_| !self.are_trailers_sent) {
            self.are_trailers_sent = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let Poll::Ready(frame) = Pin::new(&mut shared.incoming).poll_frame(cx) else {
            ready!(shared.pause.poll(cx));
            return Poll::Ready(Some(Err(UploadError::Stalled(shared.pause.most))));
        };
        shared.pause.has_read = true;
        shared.is_read = frame.is_none() || shared.incoming.is_end_stream();
        let frame = match frame.transpose() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                shared.release();
                return Poll::Ready(None);
            }
            Err(error) => {
                shared.failure = Some(Failure::bad_request("the request body broke off or is malformed"));
                return Poll::Ready(Some(Err(UploadError::Client(error))));
            }
        };
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(trailers) if trailers.len() > HEADERS_MAX => {
                shared.failure = Some(too_many_headers());
                return Poll::Ready(Some(Err(UploadError::TooManyTrailers)));
            }
            Ok(mut trailers) => {
                clean_trailers(&mut trailers);
                self.are_trailers_sent = true;
                shared.trailers = Some(trailers.clone());
                Frame::trailers(trailers)
            }
            Err(frame) => {
                if let Some(data) = frame.data_ref()
                    && shared.keep(data)
                {
                    self.next += 1;
                }
                frame
            }
        })))
    }

    fn is_over(&self) -> bool {
        let shared = self.shared.borrow();
        let is_repeated =
            self.next >= shared.kept.len() && (shared.trailers.is_none() || self.are_trailers_sent);
        is_repeated && shared.incoming.is_end_stream()
    }

    fn size(&self) -> SizeHint {
        let shared = self.shared.borrow();
        let kept: u64 = shared.kept.iter().skip(self.next).map(|data| data.len() as u64).sum();
        let rest = shared.incoming.size_hint();
        let mut size = SizeHint::new();
        size.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            size.set_upper(kept + upper);
        }
        size
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for UploadBody<B> {
    type Data = Bytes;
    type Error = UploadError<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Error> {
        self.0.as_mut().map_or(Poll::Ready(None), |attempt| attempt.poll(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Attempt::is_over)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Attempt::size)
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Gate;
    use super::*;
    use crate::model::byte_budget::ByteBudget;
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    fn body(chunks: &[usize]) -> RequestBody<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        trailers.insert("x-remote-user", "root".parse().unwrap());
        let data: Vec<_> = chunks.iter().map(|size| Frame::data(Bytes::from(vec![b'x'; *size]))).collect();
        let frames = data.into_iter().chain([Frame::trailers(trailers)]).map(Ok);
        RequestBody::new(StreamBody::new(stream::iter(frames).fuse()), Duration::from_secs(60), None)
    }

    fn with_buffer<B>(incoming: B, gate: &Rc<Gate>) -> RequestBody<B>
    where
        B: Body<Data = Bytes, Error = Infallible>,
    {
        let buffer = UploadBuffer::reserve(gate, &ByteBudget::new(1 << 20), &incoming).unwrap();
        RequestBody::new(incoming, Duration::from_secs(60), buffer)
    }

    /// The backend may take minutes to answer.
    #[tokio::test]
    async fn the_budget_is_released_when_the_last_byte_is_sent() {
        let large = Bytes::from(vec![b'x'; MOST_KEPT]);
        let gate = Rc::new(Gate::new(0));
        let frames = [&large, &large].map(|data| Ok(Frame::data(data.clone())));
        let streamed = with_buffer(StreamBody::new(stream::iter(frames).fuse()), &gate);
        let mut attempt = streamed.attempt();
        assert!(attempt.frame().await.is_some() && attempt.frame().await.is_some());
        assert!(gate.uploading() > 0, "the end was not read");
        assert!(attempt.frame().await.is_none());
        assert_eq!(gate.uploading(), 0, "the body without a length");
        let sized = with_buffer(Full::new([large.clone(), large].concat().into()), &gate);
        let mut attempt = sized.attempt();
        assert!(attempt.frame().await.is_some() && attempt.is_end_stream());
        assert!(gate.uploading() > 0, "the last frame is being sent");
        drop(attempt);
        assert_eq!(gate.uploading(), 0, "the body with a length");
        drop((streamed, sized));
    }

    #[tokio::test]
    async fn the_budget_is_held_while_the_body_is_kept_or_incomplete() {
        let gate = Rc::new(Gate::new(0));
        let kept = with_buffer(Full::new(Bytes::from("small")), &gate);
        assert!(kept.attempt().frame().await.is_some());
        assert_eq!(gate.uploading(), 5);
        drop(kept);
        let data = stream::iter([Ok(Frame::data(Bytes::from(vec![b'x'; MOST_KEPT + 1])))]);
        let incomplete = with_buffer(StreamBody::new(data.chain(stream::pending())), &gate);
        assert!(incomplete.attempt().frame().await.is_some());
        assert!(gate.uploading() > 0);
        drop(incomplete);
        assert_eq!(gate.uploading(), 0);
    }

    async fn read<B: Body<Data = Bytes, Error = Infallible> + Unpin>(
        attempt: UploadBody<B>,
    ) -> (usize, HeaderMap) {
        let read = attempt.collect().await.unwrap();
        let trailers = read.trailers().cloned().unwrap_or_default();
        (read.to_bytes().len(), trailers)
    }

    #[tokio::test]
    async fn each_attempt_sends_the_whole_body() {
        let body = body(&[10, 20, 30]);
        let whole = || {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "42".parse().unwrap());
            (60, trailers)
        };
        let mut first = body.attempt();
        assert_eq!(first.frame().await.unwrap().unwrap().data_ref().unwrap().len(), 10);
        assert!(first.frame().await.unwrap().is_ok());
        let second = body.attempt();
        assert!(
            first.frame().now_or_never().is_none(),
            "an attempt that was given up takes from the next one"
        );
        assert!(second.size_hint().lower() >= 30, "what is kept counts");
        assert_eq!(read(second).await, whole());
        assert_eq!(read(body.attempt()).await, whole());
        assert!(body.can_repeat());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_passed_on_and_not_kept() {
        let large = body(&[MOST_KEPT, 1]);
        let mut attempt = large.attempt();
        assert!(attempt.frame().await.unwrap().is_ok());
        assert!(large.can_repeat(), "a body of just the limit is kept");
        assert_eq!(attempt.frame().await.unwrap().unwrap().data_ref().unwrap().len(), 1);
        assert!(!large.can_repeat());
        assert!(large.0.borrow().kept.is_empty());
    }

    #[tokio::test]
    async fn a_body_in_too_many_pieces_is_passed_on_and_not_kept() {
        for (pieces, is_kept) in [(MOST_PIECES, true), (MOST_PIECES + 1, false)] {
            let single = vec![1; pieces];
            let crumbs = body(&single);
            assert_eq!(read(crumbs.attempt()).await.0, pieces);
            assert_eq!(crumbs.can_repeat(), is_kept, "{pieces} pieces");
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_once_the_answer_began() {
        let body = body(&[10, 20]);
        let mut attempt = body.attempt();
        assert!(attempt.frame().await.unwrap().is_ok());
        body.note_answer();
        assert_eq!(read(attempt).await.0, 20);
        assert!(!body.can_repeat() && body.0.borrow().kept.is_empty());
    }

    /// Otherwise a backend that answers early would receive a body with a gap.
    #[tokio::test]
    async fn a_second_attempt_sends_all_of_the_body_although_the_answer_began() {
        let body = body(&[10, 20, 30]);
        assert_eq!(read(body.attempt()).await.0, 60);
        let mut second = body.attempt();
        assert!(second.frame().await.unwrap().is_ok());
        body.note_answer();
        assert!(!body.can_repeat());
        assert_eq!(read(second).await.0, 50);
        assert!(body.0.borrow().kept.is_empty());
    }

    /// One frame, then nothing for ever.
    fn stalling() -> RequestBody<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let first = stream::iter([Ok(Frame::data(Bytes::from("{")))]);
        RequestBody::new(StreamBody::new(first.chain(stream::pending())), Duration::from_millis(50), None)
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_is_given_up() {
        let body = stalling();
        let mut attempt = body.attempt();
        assert!(attempt.frame().await.unwrap().is_ok());
        assert_eq!(body.stalled(), None);
        assert!(matches!(attempt.frame().await, Some(Err(UploadError::Stalled(_)))));
        assert!(body.stalled().is_some());
    }

    #[tokio::test]
    async fn a_client_may_pause_when_the_answer_began() {
        let body = stalling();
        let mut attempt = body.attempt();
        assert!(attempt.frame().await.unwrap().is_ok());
        assert!(attempt.frame().now_or_never().is_none(), "the timer runs");
        body.note_answer();
        let ended = tokio::time::timeout(Duration::from_millis(200), attempt.frame()).await;
        assert!(ended.is_err() && body.stalled().is_none());
    }

    #[tokio::test]
    async fn a_body_that_is_at_fault_is_told_from_a_backend_that_is() {
        let mut trailers = HeaderMap::new();
        for _ in 0..=HEADERS_MAX {
            trailers.append("a", "1".parse().unwrap());
        }
        let broken = std::io::Error::from(std::io::ErrorKind::InvalidData);
        for (frame, code) in [(Err(broken), 400), (Ok(Frame::trailers(trailers)), 431)] {
            let frames = [Ok(Frame::data(Bytes::from("{"))), frame];
            let body = RequestBody::new(StreamBody::new(stream::iter(frames)), Duration::from_secs(60), None);
            let mut attempt = body.attempt();
            assert!(attempt.frame().await.unwrap().is_ok());
            assert!(body.failure().is_none());
            assert!(attempt.frame().await.unwrap().is_err());
            assert_eq!(body.failure().map(|failure| failure.code), Some(code));
        }
    }

    #[tokio::test]
    async fn the_time_begins_anew_with_each_read() {
        let pause = Duration::from_millis(500);
        let steps = stream::unfold(0, |step| async move {
            sleep(Duration::from_millis(200)).await;
            (step < 5).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from("x"))), step + 1))
        });
        let body = RequestBody::new(StreamBody::new(Box::pin(steps)), pause, None);
        assert_eq!(body.attempt().collect().await.unwrap().to_bytes(), "xxxxx");
    }

    #[tokio::test]
    async fn the_length_and_the_end_of_a_body_are_known_to_each_attempt() {
        let body = RequestBody::new(Full::new(Bytes::from("12345")), Duration::from_secs(60), None);
        let mut first = body.attempt();
        assert_eq!((first.size_hint().exact(), first.is_end_stream()), (Some(5), false));
        assert!(first.frame().await.unwrap().is_ok());
        assert_eq!((first.size_hint().exact(), first.is_end_stream()), (Some(0), true));
        let second = body.attempt();
        assert_eq!((second.size_hint().exact(), second.is_end_stream()), (Some(5), false));
    }
}
