//! Backends with several endpoints, some of which cannot be reached.

use super::backend::{Backend, NAME, echo};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, Trust, authorised, empty, whole};
use anyhow::{Result, ensure};
use http::Request;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use umbel::route::Availability;
use umbel_tests::{ReservedPort, wait_for};

const PATH: &str = "/apis/g.example/v1/things";

/// A port that swallows what is sent to it: its queue is full, so the system drops everything that asks for more.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    async fn open() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queued.push(stream?);
        }
        Ok(Self { address, _listener: listener, _queued: queued })
    }
}

/// A port that takes connections and closes them at once, and counts them.
struct Closer {
    port: u16,
    dialled: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Closer {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let dialled = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&dialled);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Ok(Self { port, dialled, task })
    }

    fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn route_to(plane: &Plane, ca: &Authority, ports: &[u16]) -> Result<()> {
    plane.route(&Trust { ports, ca, server_name: NAME }, Availability::Open)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_is_tried_when_one_is_dead() -> Result<()> {
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2"], echo()).await?;
    let reserved = ReservedPort::new()?;
    let dead = reserved.number();
    let plane = Plane::start()?;
    plane.route(
        &Trust { ports: &[dead, backend.port, dead], ca: &ca, server_name: NAME },
        Availability::Open,
    )?;
    for _ in 0..20 {
        assert_eq!(plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?.status, 200);
    }
    assert_eq!(backend.requests(), 20);
    Ok(())
}

/// The time that a request has must outlast an endpoint that never answers a dial.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_swallows_packets_costs_no_request() -> Result<()> {
    let ca = Authority::new("backends")?;
    for alpn in ["h2", "http/1.1"] {
        let (hole, backend) = (BlackHole::open().await?, Backend::start(&ca, &[alpn], echo()).await?);
        let plane = Plane::start()?;
        route_to(&plane, &ca, &[hole.address.port(), backend.port])?;
        for _ in 0..12 {
            let request = Request::post(format!("{PATH}?timeout=6s")).body(whole("x"))?;
            assert_eq!(plane.ask("http/1.1", request).await?.status, 200, "{alpn}");
        }
    }
    Ok(())
}

/// What was found out by one request serves the next ones: requests and upgrades alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_failed_is_left_alone() -> Result<()> {
    const ASKS: usize = 40;
    let ca = Authority::new("backends")?;
    let backend = Backend::start(&ca, &["h2", "http/1.1"], echo()).await?;
    for is_upgrade in [false, true] {
        let (closer, began) = (Closer::open().await?, std::time::Instant::now());
        let plane = Plane::start()?;
        route_to(&plane, &ca, &[closer.port, backend.port])?;
        for _ in 0..ASKS {
            let mut request = Request::get(PATH).body(empty())?;
            if is_upgrade {
                request.headers_mut().insert("connection", "Upgrade".parse()?);
                request.headers_mut().insert("upgrade", "SPDY/3.1".parse()?);
            }
            let mut client = plane.client("http/1.1").await?;
            // The echo does not switch protocols, which its client reads as 503: here it only has to be reached.
            let answer = client.send(authorised(request)?).await?;
            assert_eq!(answer.status(), if is_upgrade { 503 } else { 200 });
        }
        // The first dial, and the checks whether it is back: 1, 3, 7, 15 s later, and every 16 s then.
        let (mut due, mut pause, mut most) = (1, 1, 1);
        while due <= began.elapsed().as_secs() + 1 {
            (pause, most) = (16.min(2 * pause), most + 1);
            due += pause;
        }
        let dialled = closer.dialled();
        assert!((1..=most).contains(&dialled), "{dialled} dials of at most {most}, upgrade: {is_upgrade}");
        assert!(most < ASKS / 4, "this machine is too slow to see a difference");
    }
    assert_eq!(backend.requests(), 2 * ASKS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_back_gets_requests_again() -> Result<()> {
    let ca = Authority::new("backends")?;
    let (port, second) = (ReservedPort::new()?, Backend::start(&ca, &["h2"], echo()).await?);
    let plane = Plane::start()?;
    route_to(&plane, &ca, &[port.number(), second.port])?;
    let ask = async || {
        assert_eq!(plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?.status, 200);
        anyhow::Ok(())
    };
    for _ in 0..20 {
        ask().await?;
    }
    let first = Backend::start_at(&port, &ca, &["h2"], echo()).await?;
    wait_for("the endpoint that came back", LIMIT, || async {
        ask().await?;
        ensure!(first.requests() > 0, "no request reaches it");
        Ok(())
    })
    .await?;
    Ok(())
}
