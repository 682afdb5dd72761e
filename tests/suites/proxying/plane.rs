//! The data plane in the test's own process, with a snapshot made by hand, and clients that call it.

use super::backend::NAME;
use super::pki::{Authority, Leaf};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use umbel::decision::resolver::Endpoint;
use umbel::listen::{ListenTls, TokenTable};
use umbel::model::group_version::GroupVersion;
use umbel::model::identity::Caller;
use umbel::proxy::{DataPlane, DataPlaneConfig};
use umbel::route::{
    Availability, Backend, BackendId, ClientBody, LocalApi, LocalBody, Route, Shared, Signal, Signals,
    Snapshot, Target,
};
use umbel::upstream::{BackendTls, FrontProxy, TlsSource};

pub type Body = UnsyncBoxBody<Bytes, anyhow::Error>;
pub use umbel_tests::Connection as Client;

/// No answer may take longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How long an upload may pause.
pub const UPLOAD_PAUSE: Duration = Duration::from_millis(500);

/// How long a response may stall.
pub const ANSWER_STALL: Duration = Duration::from_secs(2);

/// A running data plane that routes `g.example/v1` to one backend.
pub struct Plane {
    pub address: SocketAddr,
    pub ca: Authority,
    pub client_ca: Authority,
    pub signals: mpsc::Receiver<Signal>,
    pub running: Option<DataPlane>,
    shared: Arc<Shared>,
}

/// How a backend is to be trusted and named.
pub struct Trust<'a> {
    pub ports: &'a [u16],
    pub ca: &'a Authority,
    pub server_name: &'static str,
}

/// Answers own paths with the caller's name.
struct Names;

impl LocalApi for Names {
    fn serve(
        &self,
        request: Request<ClientBody>,
        caller: Arc<Caller>,
    ) -> BoxFuture<'static, Response<LocalBody>> {
        Box::pin(async move {
            let text = format!("{} {}", caller.user, request.uri());
            Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
        })
    }
}

impl Plane {
    /// Starts one worker without any route.
    pub fn start() -> Result<Self> {
        Self::start_with_drain(Duration::from_millis(300))
    }

    /// The same with another drain timeout.
    pub fn start_with_drain(drain_timeout: Duration) -> Result<Self> {
        let (ca, client_ca) = (Authority::new("umbel")?, Authority::new("clients")?);
        let leaf = ca.server(&["127.0.0.1"], false)?;
        let tls = ListenTls::new(leaf.chain, leaf.key, vec![client_ca.der.clone()])?;
        let shared = Arc::new(Shared::default());
        let (signals, seen) = Signals::channel(64);
        let tokens = "admin-token,ann,7,system:masters\njo-token,jo,\n";
        let plane = DataPlane::start(DataPlaneConfig {
            listener: TcpListener::bind("127.0.0.1:0")?,
            workers: 1,
            tls: Arc::new(Arc::new(tls).into()),
            tokens: Arc::new(TokenTable::parse(tokens)?),
            drain_timeout,
            upload_pause: UPLOAD_PAUSE,
            answer_stall: ANSWER_STALL,
            snapshots: Arc::clone(&shared),
            local: Arc::new(Names),
            signals,
        })?;
        let address = plane.local_addr();
        Ok(Self { address, ca, client_ca, signals: seen, running: Some(plane), shared })
    }

    /// Starts one worker that forwards to a loopback port.
    pub fn before(port: u16, ca: &Authority) -> Result<Self> {
        let plane = Self::start()?;
        plane.route_to(port, ca)?;
        Ok(plane)
    }

    /// Routes `g.example/v1` to a loopback port.
    pub fn route_to(&self, port: u16, ca: &Authority) -> Result<()> {
        self.route(&Trust { ports: &[port], ca, server_name: NAME }, Availability::Open)
    }

    /// Routes `g.example/v1` anew.
    pub fn route(&self, trust: &Trust<'_>, availability: Availability) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Leaf { chain, key } = self.ca.client("front-proxy", &[])?;
        let tls = BackendTls::new(FrontProxy { chain, key }, self.ca.pem.as_bytes())?;
        let (tls, tls_http1) = tls.configs(&TlsSource::CaBundle(trust.ca.pem.clone().into_bytes()))?;
        let endpoint = |port: &u16| Endpoint { host: "127.0.0.1".to_owned(), port: *port, weight: 1 };
        let backend = Backend {
            id: BackendId(NEXT.fetch_add(1, Ordering::Relaxed)),
            service: "default/backend:443".to_owned(),
            endpoints: trust.ports.iter().map(endpoint).collect(),
            authorities: trust.ports.iter().map(|_| http::HeaderValue::from_static(NAME)).collect(),
            server_name: ServerName::try_from(trust.server_name)?,
            tls,
            tls_http1,
        };
        self.publish(Target::Backend { backend: Arc::new(backend), availability });
        Ok(())
    }

    /// Routes `g.example/v1` to `target`.
    pub fn publish(&self, target: Target) {
        let route = Route {
            api_service: "v1.g.example".to_owned(),
            group_version: GroupVersion::new("g.example", "v1"),
            target,
            counter: Arc::default(),
        };
        self.shared.publish(Snapshot {
            routes: [("g.example".into(), [route].into())].into(),
            ..Default::default()
        });
    }

    /// Gives the route another group-version.
    pub fn move_route(&self, group_version: GroupVersion) {
        let known = self.shared.load_full();
        let moved = known.routes.values().flat_map(|routes| routes.iter());
        let moved: Arc<[Route]> =
            moved.map(|route| Route { group_version: group_version.clone(), ..route.clone() }).collect();
        self.shared.publish(Snapshot {
            routes: [(group_version.group.as_str().into(), moved)].into(),
            ..Default::default()
        });
    }

    /// Opens TLS to the plane.
    pub async fn dial(&self, leaf: Option<Leaf>, alpn: &str) -> Result<TlsStream<TcpStream>> {
        self.dial_by(self.ca.call(leaf, alpn)?).await
    }

    /// Opens TLS to the plane as told.
    pub async fn dial_by(&self, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        Ok(TlsConnector::from(tls).connect(ServerName::try_from("127.0.0.1")?, tcp).await?)
    }

    /// A client without a certificate.
    pub async fn client(&self, alpn: &str) -> Result<Client> {
        Client::new(self.dial(None, alpn).await?, alpn).await
    }

    /// Sends one request as the administrator on a connection of its own, and reads the whole answer.
    pub async fn ask(&self, alpn: &str, request: Request<Body>) -> Result<Answer> {
        let mut client = self.client(alpn).await?;
        Answer::read(client.send(authorised(request)?).await?).await
    }

    /// [`Self::ask`] with a GET by HTTP/1.1.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask("http/1.1", Request::get(path).body(empty())?).await
    }
}

/// The request with the administrator's token.
pub fn authorised(mut request: Request<Body>) -> Result<Request<Body>> {
    request.headers_mut().insert("authorization", "Bearer admin-token".parse()?);
    Ok(request)
}

/// No body.
pub fn empty() -> Body {
    whole("")
}

/// A body that is known whole.
pub fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub trailers: Option<http::HeaderMap>,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(LIMIT, body.collect()).await.context("the body does not end")??;
        let trailers = body.trailers().cloned();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, trailers, body: body.to_bytes() })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// The `metav1.Status` that the answer must be.
    pub fn status_object(&self) -> Result<serde_json::Value> {
        let object: serde_json::Value =
            serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))?;
        anyhow::ensure!(object["kind"] == "Status" && object["code"] == self.status, "no Status: {object}");
        Ok(object)
    }
}
