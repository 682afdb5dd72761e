//! Sending the body of a request on an HTTP/2 stream.

use super::pool::Http2Lease;
use super::request_body::UploadBody;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::sync::oneshot;

/// A request's hold on its HTTP/2 stream. When it is dropped, because the answer is over or nobody waits for it
/// any more, an upload that still goes on is cut off, and the stream counts as used until that is done.
pub struct StreamHold {
    lease: Option<Http2Lease>,
    upload: Option<oneshot::Sender<Http2Lease>>,
}

impl StreamHold {
    /// Sends `body`, if there is one, on `stream`, as fast as the backend takes it. The client is asked for more
    /// only when what it sent before is on its way; the stream is reset when the client breaks off.
    pub fn start(lease: Http2Lease, body: Option<UploadBody>, stream: SendStream<Bytes>) -> Self {
        let upload = body.map(|body| {
            let (given_up, ended) = oneshot::channel();
            let _detached = tokio::task::spawn_local(upload(body, stream, ended));
            given_up
        });
        Self { lease: Some(lease), upload }
    }
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        if let (Some(lease), Some(upload)) = (self.lease.take(), self.upload.take()) {
            // Comes back, and is dropped here, when the upload is over already.
            drop(upload.send(lease));
        }
    }
}

async fn upload(body: UploadBody, mut stream: SendStream<Bytes>, ended: oneshot::Receiver<Http2Lease>) {
    let lease = tokio::select! {
        biased;
        lease = ended => lease,
        () = send(body, &mut stream) => return,
    };
    stream.send_reset(Reason::CANCEL);
    drop((stream, lease));
}

async fn send(mut body: UploadBody, stream: &mut SendStream<Bytes>) {
    loop {
        let next = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                // The backend has its answer without the rest.
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(cx).map(Some)
        });
        let sent = match next.await {
            None => return,
            Some(None) => return drop(stream.send_data(Bytes::new(), true)),
            Some(Some(Err(_))) => return stream.send_reset(Reason::CANCEL),
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => send_data(stream, data, body.is_end_stream()).await,
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => return drop(stream.send_trailers(trailers)),
                    Err(_) => continue,
                },
            },
        };
        // An error means that the stream is over, which the waiting request learns from its answer.
        if sent.is_err() || body.is_end_stream() {
            return;
        }
    }
}

async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, is_last: bool) -> Result<(), h2::Error> {
    if data.is_empty() && is_last {
        return stream.send_data(data, true);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let granted = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(granted) => granted?,
            None => return Err(Reason::CANCEL.into()),
        };
        let chunk = data.split_to(granted.min(data.len()));
        stream.send_data(chunk, is_last && data.is_empty())?;
    }
    Ok(())
}
