//! Memory limits for data that clients have sent and backends have not taken yet.

use super::connection::{Gate, UPLOAD_WINDOW};
use crate::model::byte_budget::{ByteBudget, Reservation};
use crate::model::failure::Failure;
use http_body::Body;
use std::rc::Rc;
use std::sync::Arc;

/// Limit for the uploads of one connection, in bytes.
pub const CONNECTION_MAX: usize = 16 << 20;
/// The same for all connections together.
pub const PROCESS_MAX: usize = 64 << 20;

/// The reservation for the body of one request, from its first byte until all of it is passed on or dropped. Only the
/// protocol implementation knows the actual use, so each body counts as its maximum: its length, but not more than
/// the window of a stream.
pub struct UploadBuffer {
    gate: Rc<Gate>,
    bytes: usize,
    _reservation: Reservation,
}

impl UploadBuffer {
    /// Reserves memory for `body`; `None` if the request has no body.
    ///
    /// # Errors
    /// 429 when the bodies of other requests use the whole budget.
    pub fn reserve(
        gate: &Rc<Gate>,
        budget: &Arc<ByteBudget>,
        body: &impl Body,
    ) -> Result<Option<Self>, Box<Failure>> {
        if body.is_end_stream() {
            return Ok(None);
        }
        let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        let bytes = length.unwrap_or(usize::MAX).min(UPLOAD_WINDOW as usize);
        let refused = || Box::new(Failure::too_many_uploads());
        if gate.uploading() + bytes > CONNECTION_MAX {
            return Err(refused());
        }
        let reservation = budget.reserve(bytes).ok_or_else(refused)?;
        gate.set_uploading(gate.uploading() + bytes);
        Ok(Some(Self { gate: Rc::clone(gate), bytes, _reservation: reservation }))
    }
}

impl Drop for UploadBuffer {
    fn drop(&mut self) {
        self.gate.set_uploading(self.gate.uploading() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn endless() -> impl Body {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>())
    }

    fn sized(size: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![0; size]))
    }

    #[test]
    fn each_body_counts_what_it_may_take_until_it_is_gone() {
        let (gate, budget) = (Rc::new(Gate::new(0)), ByteBudget::new(PROCESS_MAX));
        let held: Vec<_> = [
            UploadBuffer::reserve(&gate, &budget, &sized(0)),
            UploadBuffer::reserve(&gate, &budget, &sized(500)),
            UploadBuffer::reserve(&gate, &budget, &sized(10 << 20)),
            UploadBuffer::reserve(&gate, &budget, &endless()),
        ]
        .map(|buffer| buffer.unwrap().map(|buffer| buffer.bytes))
        .into();
        let window = UPLOAD_WINDOW as usize;
        assert_eq!(held, [None, Some(500), Some(window), Some(window)]);
        assert_eq!((gate.uploading(), budget.used()), (0, 0));
    }

    #[test]
    fn a_connection_and_the_process_have_limits() {
        let budget = ByteBudget::new(PROCESS_MAX);
        let per_connection = CONNECTION_MAX / UPLOAD_WINDOW as usize;
        let mut held = Vec::new();
        for _ in 0..PROCESS_MAX / CONNECTION_MAX {
            let gate = Rc::new(Gate::new(0));
            for _ in 0..per_connection {
                held.push(UploadBuffer::reserve(&gate, &budget, &endless()).unwrap());
            }
            let refused = UploadBuffer::reserve(&gate, &budget, &endless()).map(drop).unwrap_err();
            assert_eq!((refused.code, refused.retry_after_seconds()), (429, Some(1)));
        }
        let other = Rc::new(Gate::new(0));
        assert!(UploadBuffer::reserve(&other, &budget, &endless()).is_err(), "the process is full");
        held.pop();
        assert!(UploadBuffer::reserve(&other, &budget, &endless()).is_ok());
    }
}
