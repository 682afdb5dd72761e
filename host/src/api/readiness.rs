//! Is this process alive, is it ready: `/healthz`, `/livez`, `/readyz` (contract §7.5).

use super::query::Query;
use super::reply::{Reply, text};
use crate::registry::Registry;
use http::{HeaderValue, StatusCode, header};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What must have happened before the process is ready. Made and opened by assembly.
#[derive(Debug)]
pub struct Readiness {
    latches: Vec<(&'static str, AtomicBool)>,
    is_shutting_down: watch::Sender<bool>,
}

impl Readiness {
    /// One closed latch per name; the names show as checks, for example `poststarthook/routes`.
    pub fn new(names: &[&'static str]) -> Arc<Self> {
        let latches = names.iter().map(|name| (*name, AtomicBool::new(false))).collect();
        Arc::new(Self { latches, is_shutting_down: watch::Sender::new(false) })
    }

    /// Opens a latch for good. A name that was never given changes nothing.
    pub fn open(&self, name: &str) {
        if let Some((_, latch)) = self.latches.iter().find(|(known, _)| *known == name) {
            latch.store(true, Ordering::Release);
        }
    }

    /// Says that the process is about to end: `/readyz` fails from now on, and the watches of own kinds end.
    pub fn shut_down(&self) {
        self.is_shutting_down.send_replace(true);
    }

    /// Waits until the process is about to end.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut heard = self.is_shutting_down.subscribe();
        async move {
            // Dropped together with the whole API, which is an end as well.
            drop(heard.wait_for(|is_shutting_down| *is_shutting_down).await);
        }
    }

    /// Whether every latch is open and the process is not about to end.
    pub fn is_ready(&self) -> bool {
        !*self.is_shutting_down.borrow()
            && self.latches.iter().all(|(_, latch)| latch.load(Ordering::Acquire))
    }
}

struct Check {
    name: String,
    problem: Option<String>,
}

/// The endpoints with checks.
const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// Answers a path below one of the health endpoints; `None` for any other path. Any method will do, as for upstream's
/// plain handlers (contract §7.5).
pub async fn serve(readiness: &Readiness, registry: &Registry, path: &str, query: &Query) -> Option<Reply> {
    let rest = path.strip_prefix('/')?;
    let (endpoint, check) = rest.split_once('/').unwrap_or((rest, ""));
    if !ENDPOINTS.contains(&endpoint) {
        return None;
    }
    let checks = gather(readiness, registry, endpoint).await;
    if check.is_empty() {
        return Some(summary(endpoint, &checks, query));
    }
    let check = checks.into_iter().find(|known| known.name == check)?;
    Some(match check.problem {
        None => text(StatusCode::OK, "ok"),
        Some(problem) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {problem}\n"))
        }
    })
}

/// The paths of all endpoints and checks, for the index.
pub fn paths(readiness: &Readiness) -> Vec<String> {
    let mut paths = Vec::new();
    for endpoint in ENDPOINTS {
        paths.push(format!("/{endpoint}"));
        paths.extend(names(readiness, endpoint).into_iter().map(|name| format!("/{endpoint}/{name}")));
    }
    paths
}

fn names(readiness: &Readiness, endpoint: &str) -> Vec<String> {
    let mut names = vec!["ping".to_owned(), "store".to_owned()];
    if endpoint != "livez" {
        names.extend(readiness.latches.iter().map(|(name, _)| (*name).to_owned()));
    }
    if endpoint == "readyz" {
        names.push("shutdown".to_owned());
    }
    names
}

async fn gather(readiness: &Readiness, registry: &Registry, endpoint: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    for name in names(readiness, endpoint) {
        let problem = match name.as_str() {
            "ping" => None,
            // A lost store makes the process unready, but not dead: restarting it would lose what can still be read.
            "store" if endpoint == "readyz" => registry
                .probe()
                .await
                .and_then(|()| registry.check_store())
                .err()
                .map(|failure| failure.message),
            "store" => registry.probe().await.err().map(|failure| failure.message),
            "shutdown" => readiness.is_shutting_down.borrow().then(|| "process is shutting down".to_owned()),
            latch => readiness
                .latches
                .iter()
                .any(|(known, open)| *known == latch && !open.load(Ordering::Acquire))
                .then(|| "not finished".to_owned()),
        };
        checks.push(Check { name, problem });
    }
    checks
}

fn summary(endpoint: &str, checks: &[Check], query: &Query) -> Reply {
    let excluded = query.all("exclude");
    let mut body = String::new();
    let mut has_failed = false;
    for check in checks {
        // Writing to a string cannot fail.
        let _ = if excluded.contains(&check.name) {
            writeln!(body, "[+]{} excluded: ok", check.name)
        } else if check.problem.is_some() {
            has_failed = true;
            writeln!(body, "[-]{} failed: reason withheld", check.name)
        } else {
            writeln!(body, "[+]{} ok", check.name)
        };
    }
    let unknown: Vec<&String> =
        excluded.iter().filter(|name| checks.iter().all(|check| &check.name != *name)).collect();
    if !unknown.is_empty() {
        let listed: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let listed = listed.join(",");
        let _ = writeln!(body, "warn: some health checks cannot be excluded: no matches for {listed}");
    }
    let mut response = if has_failed {
        let _ = writeln!(body, "{endpoint} check failed");
        text(StatusCode::INTERNAL_SERVER_ERROR, body)
    } else if query.first("verbose").is_some() {
        let _ = writeln!(body, "{endpoint} check passed");
        text(StatusCode::OK, body)
    } else {
        text(StatusCode::OK, "ok")
    };
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use http_body_util::BodyExt;

    async fn ask(readiness: &Readiness, path: &str, query: &str) -> (u16, String) {
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        let response = serve(readiness, &registry, path, &Query::parse(query)).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_waits_for_its_latches_and_ends_with_shutdown() {
        let readiness = Readiness::new(&["poststarthook/routes"]);
        let (status, body) = ask(&readiness, "/readyz", "").await;
        assert_eq!(status, 500);
        assert!(body.contains("[-]poststarthook/routes failed: reason withheld"), "{body}");
        assert!(body.ends_with("readyz check failed\n"), "{body}");
        assert_eq!(ask(&readiness, "/livez", "").await, (200, "ok".to_owned()));
        assert_eq!(ask(&readiness, "/readyz", "exclude=poststarthook/routes").await.0, 200);
        readiness.open("poststarthook/routes");
        assert_eq!(ask(&readiness, "/readyz", "").await, (200, "ok".to_owned()));
        assert!(ask(&readiness, "/readyz", "verbose").await.1.ends_with("readyz check passed\n"));
        readiness.shut_down();
        assert_eq!(ask(&readiness, "/readyz/shutdown", "").await.0, 500);
        assert_eq!(ask(&readiness, "/healthz", "").await.0, 200);
    }

    #[tokio::test]
    async fn a_lost_store_is_not_ready_but_alive() {
        let home = tempfile::tempdir().unwrap();
        let store = crate::store::FileStore::open(home.path()).unwrap();
        let (registry, readiness) = (Registry::new(Arc::new(store)), Readiness::new(&[]));
        std::fs::remove_dir_all(home.path().join("store")).unwrap();
        for (path, expected) in [("/readyz", 500), ("/readyz/store", 500), ("/livez", 200), ("/healthz", 200)]
        {
            let response = serve(&readiness, &registry, path, &Query::default()).await.unwrap();
            assert_eq!(response.status(), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn unknown_checks_are_told() {
        let readiness = Readiness::new(&[]);
        assert!(
            ask(&readiness, "/readyz", "verbose&exclude=zzz").await.1.contains(r#"no matches for "zzz""#)
        );
        let registry = Registry::new(Arc::new(MemoryStore::default()));
        assert!(serve(&readiness, &registry, "/readyz/nope", &Query::default()).await.is_none());
    }
}
