//! Bodies that grow while they are sent.

use crate::route::{LocalBody, LocalError};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

/// How many chunks may wait for a slow client before the sender does.
const CHUNKS: usize = 16;

/// A body and the end that feeds it. The sender waits while the client is slow, and is told when it is gone.
pub fn channel() -> (mpsc::Sender<Bytes>, LocalBody) {
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, LocalError>(Frame::data(bytes)), receiver))
    });
    (sender, StreamBody::new(Box::pin(frames)).boxed_unsync())
}
