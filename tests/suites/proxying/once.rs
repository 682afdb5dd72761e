//! A write executes at most once: every verb, at every point at which the connection to a backend can break.

use super::backend::NAME;
use super::breaking::{Break, BreakingServer};
use super::pki::Authority;
use super::plane::{LIMIT, Plane, Trust, authorised, whole};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use umbel::route::Availability;

const OBJECT: &str = "/apis/g.example/v1/namespaces/n/things/x";
const LIST: &str = "/apis/g.example/v1/namespaces/n/things";

/// Sizes of bodies: empty, small, and larger than the buffer for another attempt.
const SIZES: [usize; 4] = [0, 1, 700, 70_000];

struct Seen {
    status: u16,
    headers: HeaderMap,
    /// `None` if it was cut off.
    body: Option<Bytes>,
}

impl Seen {
    fn asks_for_retry(&self) -> bool {
        let in_body = self
            .body
            .as_ref()
            .is_some_and(|body| String::from_utf8_lossy(body).contains("retryAfterSeconds"));
        self.headers.contains_key("retry-after") || in_body
    }
}

async fn send(plane: &Plane, alpn: &str, request: Request<super::plane::Body>) -> Result<Seen> {
    let mut client = plane.client(alpn).await?;
    // The gateway also breaks off a response that the backend cut, and may not have sent its head by then.
    let Ok(answer) = client.send(authorised(request)?).await else {
        return Ok(Seen { status: 0, headers: HeaderMap::new(), body: None });
    };
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(LIMIT, body.collect()).await.context("the body does not end")?;
    let body = body.ok().map(|body| body.to_bytes());
    Ok(Seen { status: head.status.as_u16(), headers: head.headers, body })
}

/// One request at one point.
#[derive(Clone, Copy, Debug)]
struct Case {
    method: &'static Method,
    path: &'static str,
    size: usize,
    /// The protocol of the client.
    client: &'static str,
    /// The protocol of the backend.
    backend: &'static str,
    point: Break,
    /// Whether the connection to the backend has carried a request before.
    is_warm: bool,
}

impl Case {
    fn request(&self) -> Result<Request<super::plane::Body>> {
        let query = if self.point == Break::Silence { "?timeout=200ms" } else { "" };
        let request = Request::builder().method(self.method).uri(format!("{}{query}", self.path));
        Ok(request.body(whole(vec![b'x'; self.size]))?)
    }

    async fn check(&self, plane: &Plane, ca: &Authority) -> Result<()> {
        let mut server =
            BreakingServer::start(ca, self.backend, self.point, usize::from(self.is_warm)).await?;
        plane.route(&Trust { ports: &[server.port], ca, server_name: NAME }, Availability::Open)?;
        if self.is_warm {
            let answer = send(plane, self.client, Request::get(LIST).body(whole(""))?).await?;
            ensure!(answer.status == 200, "warming up: {}", answer.status);
        }
        if self.point == Break::BeforeAccept {
            server.stop().await;
        }
        let before = server.executed();
        let seen = send(plane, self.client, self.request()?).await?;
        let executed = server.executed() - before;
        if !self.method.is_safe() {
            ensure!(executed <= 1, "executed {executed} times by the gateway alone");
            let is_answered = seen.status == 200;
            ensure!(
                is_answered || executed == 0 || !seen.asks_for_retry(),
                "asks to repeat what was executed"
            );
        }
        ensure!(seen.status != 0 || self.point == Break::PartialBody, "no answer");
        if self.point.excludes_processing() && seen.status != 200 {
            ensure!(executed == 0 && seen.asks_for_retry(), "nothing was executed: {executed}");
        }
        if self.point == Break::PartialBody && *self.method != Method::HEAD && seen.status < 300 {
            ensure!(seen.body.is_none(), "a body that was cut looks complete");
        }
        Ok(())
    }
}

fn all_cases(random: &mut fastrand::Rng) -> Vec<Case> {
    const VERBS: [(&Method, &str); 7] = [
        (&Method::GET, OBJECT),
        (&Method::HEAD, OBJECT),
        (&Method::POST, LIST),
        (&Method::PUT, OBJECT),
        (&Method::PATCH, OBJECT),
        (&Method::DELETE, OBJECT),
        (&Method::DELETE, LIST),
    ];
    let http1 = Break::HTTP1.iter().map(|point| ("http/1.1", *point));
    let http2 = Break::HTTP1.iter().chain(&Break::HTTP2).map(|point| ("h2", *point));
    let mut cases = Vec::new();
    for (backend, point) in http1.chain(http2) {
        for (method, path) in VERBS {
            for is_warm in [false, true] {
                // A connection that carried a request is past these points.
                if is_warm && matches!(point, Break::AfterAccept | Break::AfterTls) {
                    continue;
                }
                let size = if method.is_safe() { 0 } else { SIZES[random.usize(..SIZES.len())] };
                let client = if random.bool() { "h2" } else { "http/1.1" };
                cases.push(Case { method, path, size, client, backend, point, is_warm });
            }
        }
    }
    random.shuffle(&mut cases);
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_executes_twice_wherever_its_connection_breaks() -> Result<()> {
    let seed = std::env::var("UMBEL_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("UMBEL_SEED={seed}");
    let ca = Authority::new("backends")?;
    let cases = all_cases(&mut fastrand::Rng::with_seed(seed));
    println!("{} cases", cases.len());
    // One test plane routes to one backend at a time.
    let lanes = (0..4).map(|lane| {
        let (ca, cases) = (&ca, cases.iter().skip(lane).step_by(4));
        async move {
            let plane = Plane::start()?;
            for case in cases {
                case.check(&plane, ca).await.with_context(|| format!("UMBEL_SEED={seed} {case:?}"))?;
            }
            anyhow::Ok(())
        }
    });
    futures_util::future::try_join_all(lanes).await?;
    Ok(())
}
