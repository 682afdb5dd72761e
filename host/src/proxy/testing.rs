//! A client and its worker without sockets, for unit tests.

use super::Inputs;
use super::connection::Client;
use super::upload_buffer::PROCESS_MAX;
use super::worker::Worker;
use crate::listen::{ListenTls, PeerCertificate, TokenTable};
use crate::model::byte_budget::ByteBudget;
use crate::model::identity::Caller;
use crate::route::{ClientBody, LocalApi, LocalBody, Signal, Signals};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use rustls::pki_types::PrivateKeyDer;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A data plane with one client.
pub struct Setup {
    /// Speaks HTTP/1.1 and has no certificate.
    pub client: Rc<Client>,
    /// What the control plane is told.
    pub signals: mpsc::Receiver<Signal>,
    /// Dropping it would begin the drain.
    _drain: watch::Sender<bool>,
}

/// A data plane that knows these tokens.
pub fn setup(tokens: &str) -> Setup {
    let (signals, seen) = Signals::channel(16);
    let (drain, draining) = watch::channel(false);
    let inputs = Inputs {
        tls: Arc::new(ArcSwap::from_pointee(tls())),
        tokens: Arc::new(TokenTable::parse(tokens).unwrap()),
        drain_timeout: Duration::from_secs(1),
        upload_pause: Duration::from_secs(1),
        answer_stall: Duration::from_secs(1),
        snapshots: Arc::default(),
        local: Arc::new(Everything),
        signals,
        uploads: ByteBudget::new(PROCESS_MAX),
        draining,
    };
    let worker = Worker::new(&Arc::new(inputs));
    Setup { client: Rc::new(client(&worker, PeerCertificate::Absent)), signals: seen, _drain: drain }
}

/// A client of the worker that showed this certificate.
pub fn client(worker: &Rc<Worker>, certificate: PeerCertificate) -> Client {
    Client {
        gate: worker.open_gate(),
        worker: Rc::clone(worker),
        certificate,
        address: HeaderValue::from_static("10.0.0.9"),
        is_http2: false,
        linger: Default::default(),
        http1: Default::default(),
    }
}

fn tls() -> ListenTls {
    let made = rcgen::generate_simple_self_signed(["umbel.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    ListenTls::new(vec![made.cert.der().clone()], key, Vec::new()).unwrap()
}

/// Answers every request.
struct Everything;

impl LocalApi for Everything {
    fn serve(&self, _: Request<ClientBody>, _: Arc<Caller>) -> BoxFuture<'static, Response<LocalBody>> {
        Box::pin(async { Response::new(LocalBody::default()) })
    }
}
