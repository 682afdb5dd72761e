//! What traffic tells the control plane about a backend.

use super::BackendId;
use tokio::sync::mpsc;

/// Something that traffic saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// A pooled connection closed, or was reset, from the other side.
    ConnectionClosed,
    /// A request could not be delivered.
    Undeliverable,
    /// No data has arrived for a while although requests wait: the backend is slow or dead.
    Silent,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The backend it is about.
    pub backend: BackendId,
    /// What was seen.
    pub kind: SignalKind,
}

/// The sending half that workers hold. Never blocks: a full queue means the control plane is awake already.
#[derive(Clone, Debug)]
pub struct Signals(mpsc::Sender<Signal>);

impl Signals {
    /// A bounded queue of signals.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Signal>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Reports one observation.
    pub fn report(&self, backend: BackendId, kind: SignalKind) {
        // A full queue already wakes the control plane; losing one more hint loses nothing.
        let _: Result<(), _> = self.0.try_send(Signal { backend, kind });
    }
}
