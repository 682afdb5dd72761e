use super::download::{Download, DownloadFault, Received, Wanted};
use super::*;
use crate::decision::resolver::Endpoint;
use crate::kind;
use crate::model::group_version::GroupVersion;
use crate::route::{Availability, Backend, BackendId, OpenApiDocuments, Route, Snapshot, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

const PACE: Pace = Pace {
    refresh: Duration::from_millis(20),
    retry_min: Duration::from_millis(10),
    retry_max: Duration::from_millis(40),
    gather: Duration::from_millis(1),
};

type Page = (u16, Option<String>, String);

/// A backend in memory: paths with status, tag and body; counts what was asked.
#[derive(Default)]
struct Server {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<String>>,
}

impl Server {
    fn put(&self, path: &str, status: u16, tag: Option<&str>, body: &Value) {
        self.pages.lock().insert(path.to_owned(), (status, tag.map(str::to_owned), body.to_string()));
    }

    fn index(&self, tag: &str, entries: &[(&str, &str)]) {
        let paths: serde_json::Map<_, _> = entries
            .iter()
            .map(|(key, hash)| {
                let url = format!("/openapi/v3/{key}?hash={hash}");
                ((*key).to_owned(), json!({"serverRelativeURL": url}))
            })
            .collect();
        self.put("/openapi/v3", 200, Some(tag), &json!({"paths": paths}));
    }

    fn times(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|asked| *asked == path).count()
    }
}

struct Line(Arc<Server>);

impl Download for Line {
    fn get(&self, wanted: Wanted) -> BoxFuture<'_, Result<Received, DownloadFault>> {
        self.0.asked.lock().push(wanted.path.clone());
        let page = self.0.pages.lock().get(&wanted.path).cloned();
        let (status, etag, body) = page.unwrap_or((404, None, String::new()));
        let received = if etag.is_some() && wanted.etag == etag {
            Received { status: 304, ..Received::default() }
        } else if body.len() > wanted.max {
            return Box::pin(std::future::ready(Err(DownloadFault::Unusable("too large".to_owned()))));
        } else {
            let location = (status == 301).then(|| body.trim_matches('"').to_owned());
            Received { status, etag, location, body: Bytes::from(body) }
        };
        Box::pin(std::future::ready(Ok(received)))
    }
}

fn backend(id: u64) -> Arc<Backend> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let tls = Arc::new(tls);
    Arc::new(Backend {
        id: BackendId(id),
        service: "default/api:443".to_owned(),
        endpoints: vec![Endpoint { host: "localhost".to_owned(), port: 443, weight: 1 }],
        authorities: vec![HeaderValue::from_static("localhost:443")],
        server_name: "api.default.svc".try_into().unwrap(),
        tls: Arc::clone(&tls),
        tls_http1: tls,
    })
}

struct Bench {
    server: Arc<Server>,
    parts: SnapshotParts,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Bench {
    fn start() -> Self {
        Self::start_with(PACE)
    }

    fn start_with(pace: Pace) -> Self {
        let (server, parts, shared) = (Arc::new(Server::default()), SnapshotParts::new(), Arc::default());
        let own = OwnDocuments::new(&kind::ALL);
        let known = Arc::clone(&server);
        let connect: Connect = Arc::new(move |_| Box::new(Line(Arc::clone(&known))));
        let task = start_with(&parts, Arc::clone(&shared), own, connect, pace);
        Self { server, parts, shared, task }
    }

    fn route(&self, routes: &[(&str, u64, bool)]) {
        let mut snapshot = Snapshot::default();
        for (group, id, open) in routes {
            let availability = if *open {
                Availability::Open
            } else {
                Availability::Closed {
                    reason: "FailedDiscoveryCheck".into(),
                    message: "down".into(),
                    is_checked: true,
                }
            };
            let target = Target::Backend { backend: backend(*id), availability };
            let group_version = GroupVersion::new(*group, "v1");
            let counter = Arc::default();
            let route = Route { api_service: format!("v1.{group}"), group_version, target, counter };
            snapshot.routes.insert((*group).into(), [route].into());
        }
        self.shared.publish(snapshot);
        self.parts.published.send_modify(|count| *count += 1);
    }

    async fn until(&self, what: &str, holds: impl Fn(&OpenApiDocuments) -> bool) {
        let mut seen = self.parts.openapi.subscribe();
        let waiting = seen.wait_for(|documents| holds(documents));
        drop(tokio::time::timeout(Duration::from_secs(10), waiting).await.expect(what).expect(what));
    }

    /// Adds a backend to the routes and waits until it is asked: by then all earlier changes were handled.
    async fn until_seen(&self, group: &str, id: u64, routes: &[(&str, u64, bool)]) {
        let asked = self.server.times("/openapi/v3");
        let all: Vec<_> = routes.iter().copied().chain([(group, id, true)]).collect();
        self.route(&all);
        self.until_asked("/openapi/v3", asked + 1).await;
    }

    async fn until_asked(&self, path: &str, times: usize) {
        let wait = async {
            while self.server.times(path) < times {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect(path);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn v3(title: &str) -> Value {
    json!({"openapi": "3.0.0", "info": {"title": title}, "paths": {}})
}

fn title(documents: &OpenApiDocuments, key: &str) -> Option<String> {
    let found = documents.by_key.get(key)?;
    let value: Value = serde_json::from_slice(&found.document.identity).ok()?;
    value["info"]["title"].as_str().map(str::to_owned)
}

const KEY: &str = "apis/a.com/v1";
const URL: &str = "/openapi/v3/apis/a.com/v1?hash=1";

#[tokio::test]
async fn a_backend_describes_its_own_group_versions_and_nothing_else() {
    let bench = Bench::start();
    // Every kind of the gateway has a group of its own.
    let own = crate::kind::ALL.len();
    bench.until("own documents at once", |d| d.index.is_some() && d.by_key.len() == own).await;
    bench.server.index("t1", &[(KEY, "1"), ("api/v1", "2"), ("apis/apiregistration.k8s.io/v1", "3")]);
    bench.server.put(URL, 200, None, &v3("one"));
    let v2 = json!({"swagger": "2.0", "paths": {"/apis/a.com/v1/things": {}, "/api/v1/pods": {}}});
    bench.server.put("/openapi/v2", 200, None, &v2);
    bench.route(&[("a.com", 1, true)]);
    bench
        .until("its document", |d| title(d, KEY).as_deref() == Some("one") && d.by_key.len() == own + 1)
        .await;
    bench
        .until("its paths in version 2", |d| {
            let text = String::from_utf8_lossy(&d.v2.as_ref().unwrap().json.identity).into_owned();
            text.contains("/apis/a.com/v1/things") && !text.contains("/api/v1/pods")
        })
        .await;
}

#[tokio::test]
async fn a_document_is_fetched_again_only_when_its_hash_has_changed() {
    let bench = Bench::start();
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.route(&[("a.com", 1, true)]);
    bench.until_asked("/openapi/v3", 4).await;
    assert_eq!(bench.server.times(URL), 1);
    let next = "/openapi/v3/apis/a.com/v1?hash=2";
    // Between index and document the hash changed once more.
    bench.server.put(next, 301, None, &json!("/openapi/v3/apis/a.com/v1?hash=3"));
    bench.server.put("/openapi/v3/apis/a.com/v1?hash=3", 200, None, &v3("three"));
    bench.server.index("t2", &[(KEY, "2")]);
    bench.until("the new document", |d| title(d, KEY).as_deref() == Some("three")).await;
}

#[tokio::test]
async fn what_was_good_stays_until_its_api_service_goes() {
    let bench = Bench::start();
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.route(&[("a.com", 1, true)]);
    bench.until("its document", |d| title(d, KEY).is_some()).await;
    bench.server.put("/openapi/v3", 500, None, &json!({}));
    let asked = bench.server.times("/openapi/v3");
    bench.until_asked("/openapi/v3", asked + 3).await;
    bench.until("kept", |d| title(d, KEY).as_deref() == Some("one")).await;
    // Unavailable, and at another place: not asked, and still kept.
    bench.route(&[("a.com", 2, false)]);
    bench.route(&[("a.com", 2, false), ("b.com", 3, true)]);
    bench.until("kept", |d| title(d, KEY).as_deref() == Some("one")).await;
    bench.route(&[]);
    bench.until("dropped", |d| title(d, KEY).is_none()).await;
}

#[tokio::test]
async fn a_backend_that_becomes_available_is_asked_at_once() {
    // Its next attempt would come in an hour.
    let bench = Bench::start_with(Pace { refresh: Duration::from_secs(3600), ..PACE });
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.route(&[("a.com", 1, true)]);
    bench.until("its document", |d| title(d, KEY).is_some()).await;
    let next = "/openapi/v3/apis/a.com/v1?hash=2";
    bench.server.index("t2", &[(KEY, "2")]);
    bench.server.put(next, 200, None, &v3("two"));
    bench.route(&[("a.com", 1, false)]);
    // A request to another backend shows that the change was handled.
    bench.until_seen("b.com", 2, &[("a.com", 1, false)]).await;
    assert_eq!(bench.server.times(next), 0, "it is not available");
    bench.route(&[("a.com", 1, true)]);
    bench.until("what it says now", |d| title(d, KEY).as_deref() == Some("two")).await;
}

#[tokio::test]
async fn one_that_gets_another_group_version_is_asked_at_once() {
    let bench = Bench::start_with(Pace { refresh: Duration::from_secs(3600), ..PACE });
    bench.server.index("t1", &[(KEY, "1"), ("apis/c.com/v1", "1")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.server.put("/openapi/v3/apis/c.com/v1?hash=1", 200, None, &v3("more"));
    bench.route(&[("a.com", 1, true)]);
    bench.until("its document", |d| title(d, KEY).is_some()).await;
    bench.route(&[("a.com", 1, true), ("c.com", 1, true)]);
    bench.until("the other", |d| title(d, "apis/c.com/v1").as_deref() == Some("more")).await;
}

#[tokio::test]
async fn what_cannot_be_served_is_reported_as_long_as_that_is_so() {
    let bench = Bench::start();
    let mut faults = bench.parts.openapi_faults.subscribe();
    let mut fault = async |what: &str, holds: &dyn Fn(Option<&String>) -> bool| {
        let waiting = faults.wait_for(|faults| holds(faults.get(&BackendId(1))));
        drop(tokio::time::timeout(Duration::from_secs(10), waiting).await.expect(what).expect(what));
    };
    let says =
        |text: &'static str| move |fault: Option<&String>| fault.is_some_and(|fault| fault.contains(text));
    bench.server.put("/openapi/v3", 200, None, &json!("no index"));
    bench.route(&[("a.com", 1, true)]);
    fault("no index", &says("GET /openapi/v3: the answer is no index")).await;
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &json!({"openapi": "3.0.0"}));
    fault("no paths", &says("has no \"paths\"")).await;
    bench.server.put(URL, 200, None, &v3("one"));
    bench.server.put("/openapi/v2", 200, None, &json!({"swagger": "1.2"}));
    fault("another version", &says("GET /openapi/v2: the document says that it is OpenAPI \"1.2\", not 2.0"))
        .await;
    bench.until("version 3 all the same", |d| title(d, KEY).as_deref() == Some("one")).await;
    bench.server.put("/openapi/v2", 200, None, &json!({"swagger": "2.0", "paths": {}}));
    fault("nothing", &|fault| fault.is_none()).await;
    // No answer is not an error in the document.
    bench.server.put("/openapi/v3", 500, None, &json!({}));
    let asked = bench.server.times("/openapi/v3");
    bench.until_asked("/openapi/v3", asked + 3).await;
    fault("still nothing", &|fault| fault.is_none()).await;
    bench.server.put("/openapi/v3", 200, None, &json!("no index"));
    fault("no index", &says("no index")).await;
    bench.route(&[]);
    fault("it is gone", &|fault| fault.is_none()).await;
}

#[tokio::test]
async fn a_backend_with_version_2_only_is_converted() {
    let bench = Bench::start();
    let v2 = json!({
        "swagger": "2.0",
        "info": {"title": "old"},
        "paths": {"/apis/a.com/v1/things": {"get": {}}, "/apis/other.com/v1/x": {}},
    });
    bench.server.put("/openapi/v2", 200, Some("t"), &v2);
    bench.route(&[("a.com", 1, true)]);
    bench.until("converted", |d| title(d, KEY).as_deref() == Some("old")).await;
    bench
        .until("only its own paths", |d| {
            let text = String::from_utf8_lossy(&d.by_key[KEY].document.identity).into_owned();
            text.contains("/apis/a.com/v1/things") && !text.contains("other.com")
        })
        .await;
    // It learns version 3.
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &v3("new"));
    bench.until("version 3", |d| title(d, KEY).as_deref() == Some("new")).await;
}

#[tokio::test]
async fn an_answer_that_is_no_news_publishes_nothing() {
    let bench = Bench::start();
    // One says the same each time, without a tag; another has no documents at all.
    bench.server.put(
        "/openapi/v2",
        200,
        None,
        &json!({"swagger": "2.0", "info": {"title": "old"}, "paths": {}}),
    );
    bench.route(&[("a.com", 1, true)]);
    bench.until("its document", |d| title(d, KEY).is_some()).await;
    let mut published = bench.parts.openapi.subscribe();
    published.mark_unchanged();
    let asked = bench.server.times("/openapi/v2");
    bench.until_asked("/openapi/v2", asked + 5).await;
    assert!(!published.has_changed().unwrap());
}

#[tokio::test]
async fn nonsense_is_refused() {
    let bench = Bench::start();
    bench.server.put("/openapi/v3", 200, Some("t0"), &json!("no index"));
    bench.route(&[("a.com", 1, true)]);
    bench.until_asked("/openapi/v3", 2).await;
    let elsewhere = json!({"paths": {KEY: {"serverRelativeURL": "/api/v1/secrets"}}});
    bench.server.put("/openapi/v3", 200, Some("t1"), &elsewhere);
    bench.until_asked("/openapi/v3", 4).await;
    assert_eq!(bench.server.times("/api/v1/secrets"), 0);
    bench.server.index("t2", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &json!({"openapi": "2.5", "paths": {}}));
    bench.until_asked(URL, 2).await;
    bench.until("nothing of it", |d| title(d, KEY).is_none()).await;
}

#[tokio::test]
async fn version_2_is_asked_for_again_when_version_3_has_changed() {
    let bench = Bench::start();
    let things = |name: &str| json!({"swagger": "2.0", "paths": {format!("/apis/a.com/v1/{name}"): {}}});
    bench.server.index("t1", &[(KEY, "1")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.server.put("/openapi/v2", 200, None, &things("old"));
    bench.route(&[("a.com", 1, true)]);
    let has = |text: &'static str| {
        move |d: &OpenApiDocuments| {
            String::from_utf8_lossy(&d.v2.as_ref().unwrap().json.identity).contains(text)
        }
    };
    bench.until("version 2", has("/apis/a.com/v1/old")).await;
    let asked = bench.server.times("/openapi/v2");
    bench.until_asked("/openapi/v3", bench.server.times("/openapi/v3") + 3).await;
    assert_eq!(bench.server.times("/openapi/v2"), asked, "nothing has changed");
    bench.server.put("/openapi/v2", 200, None, &things("new"));
    bench.server.put("/openapi/v3/apis/a.com/v1?hash=2", 200, None, &v3("two"));
    bench.server.index("t2", &[(KEY, "2")]);
    bench.until("the new version 2", has("/apis/a.com/v1/new")).await;
}

#[tokio::test]
async fn what_umbel_serves_itself_no_backend_describes() {
    let bench = Bench::start();
    let own = "apiregistration.k8s.io";
    let url = "/openapi/v3/apis/apiregistration.k8s.io/v1?hash=9";
    bench.server.index("t1", &[(KEY, "1"), ("apis/apiregistration.k8s.io/v1", "9")]);
    bench.server.put(URL, 200, None, &v3("one"));
    bench.server.put(url, 200, None, &v3("stolen"));
    bench.route(&[("a.com", 1, true), (own, 1, true)]);
    bench.until("its document", |d| title(d, KEY).is_some()).await;
    assert_eq!(bench.server.times(url), 0);
}

#[tokio::test]
async fn unchanged_is_no_answer_to_who_knows_nothing() {
    let server = Arc::new(Server::default());
    let group_versions = [GroupVersion::new("a.example.com", "v1")].into();
    let source = source::Source { backend: backend(1), group_versions, is_open: true };
    for path in ["/openapi/v3", "/openapi/v2"] {
        server.pages.lock().clear();
        server.put(path, 304, None, &json!({}));
        let asked = fetch::ask(&Line(Arc::clone(&server)), &source, &fetch::Known::default()).await;
        let fault = asked.map(|known| known.is_some()).unwrap_err();
        assert!(matches!(&fault, DownloadFault::Unanswered(text) if text.ends_with("status 304")), "{fault}");
    }
}
