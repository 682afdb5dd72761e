//! Leads a guest's probes to the prober of whoever asked for the judgement.
//!
//! The guest runs on the plugin runtime, the prober belongs to the caller and lives on the control runtime, so
//! requests cross over in a channel of one.

use crate::decision::health::{ProbeFault, ProbeRequest, ProbeResponse, Prober, Subject};
use crate::plugin::offer::probe_rules::own_path_of;
use std::future::Future;
use tokio::sync::{mpsc, oneshot};

type Answer = Result<ProbeResponse, ProbeFault>;

/// The guest's end.
#[derive(Debug)]
pub(in crate::plugin) struct ProbeGate {
    sender: mpsc::Sender<(ProbeRequest, oneshot::Sender<Answer>)>,
    /// How many probes were sent.
    pub sent: u32,
    /// How many endpoints the subject has.
    pub endpoints: usize,
    /// The path of the subject's own group-version.
    pub own_path: String,
}

/// The caller's end.
#[derive(Debug)]
pub(in crate::plugin) struct ProbeDesk(mpsc::Receiver<(ProbeRequest, oneshot::Sender<Answer>)>);

pub(in crate::plugin) fn channel(subject: &Subject) -> (ProbeGate, ProbeDesk) {
    let (sender, receiver) = mpsc::channel(1);
    let (endpoints, own_path) = (subject.endpoints.len(), own_path_of(subject));
    (ProbeGate { sender, sent: 0, endpoints, own_path }, ProbeDesk(receiver))
}

impl ProbeGate {
    /// Sends one probe; `None` when the caller has gone.
    pub(in crate::plugin) async fn send(&self, request: ProbeRequest) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.sender.send((request, reply)).await.ok()?;
        answer.await.ok()
    }
}

impl ProbeDesk {
    /// Serves probes until `call` is over.
    pub(in crate::plugin) async fn serve<R>(
        mut self,
        prober: &dyn Prober,
        call: impl Future<Output = R>,
    ) -> R {
        let mut call = std::pin::pin!(call);
        loop {
            let (request, reply) = tokio::select! {
                result = &mut call => return result,
                Some(next) = self.0.recv() => next,
                // The guest's end is gone, so only the answer is left to wait for.
                else => return call.await,
            };
            tokio::select! {
                result = &mut call => return result,
                // Nobody waits for the answer when the guest ran out of time.
                answer = prober.send(request) => drop(reply.send(answer)),
            }
        }
    }
}
