//! A plugin that comes, is replaced and goes while a real gateway is in use: no caller notices.

use super::{PATIENCE, write_manifest};
use crate::control_kit::{ALPN, encode, legacy};
use crate::proxying::backend::{Backend, Handler, handler, whole};
use crate::proxying::pki::Authority;
use anyhow::{Context, Result, anyhow, ensure};
use http::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use umbel_tests::{Client, Guest, Umbel, wait_for};

const EXTERNAL_NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const PLUGIN: &str = "shop-resolver";
const THINGS: &str = "/apis/shop.example.com/v1/things";
const CALLERS: usize = 2;
/// So many requests are made in every state of the plugin.
const REQUESTS: usize = 50;
/// Leaves the machine some time for others.
const PAUSE: Duration = Duration::from_millis(5);

/// Says how it is asked for its resources, and lists its things.
fn shop() -> Handler {
    let discovery = legacy(&["get", "list"]);
    handler(move |request| {
        let discovery = Arc::clone(&discovery);
        async move {
            if request.uri().path() != THINGS {
                return discovery(request).await;
            }
            Response::new(whole(json!({"kind": "ThingList", "items": []}).to_string()))
        }
    })
}

/// Callers that never rest, and what they got.
struct Traffic {
    seen: Arc<Seen>,
    callers: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Traffic {
    fn start(client: &Client, path: &'static str) -> Self {
        let seen = Arc::<Seen>::default();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call(client.clone(), path, Arc::clone(&seen)));
        }
        Self { seen, callers }
    }

    fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Waits until more requests were made, and fails when one of all so far failed.
    async fn go_on(&self) -> Result<()> {
        let goal = self.requests() + REQUESTS;
        wait_for(&format!("{goal} requests"), PATIENCE, || async {
            let made = self.requests();
            ensure!(made >= goal, "{made}");
            Ok(())
        })
        .await?;
        let failures = self.seen.failures.lock();
        ensure!(failures.is_empty(), "{} of {goal} requests failed: {:?}", failures.len(), failures.first());
        Ok(())
    }

    /// The number of all requests, and the failures among them.
    async fn end(self) -> (usize, Vec<String>) {
        self.seen.stop.store(true, Ordering::SeqCst);
        self.callers.join_all().await;
        let failures = std::mem::take(&mut *self.seen.failures.lock());
        (self.seen.requests.load(Ordering::SeqCst), failures)
    }
}

async fn call(client: Client, path: &'static str, seen: Arc<Seen>) {
    while !seen.stop.load(Ordering::SeqCst) {
        match client.get(path).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => seen.failures.lock().push(format!("{} {}", answer.status, answer.text())),
            Err(error) => seen.failures.lock().push(format!("{error:#}")),
        }
        seen.requests.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
}

struct Gateway {
    umbel: Umbel,
    admin: Client,
}

impl Gateway {
    /// With an APIService at the backend, whose resolver is a plugin that is not there yet.
    async fn start(ca: &Authority, backend: &Backend) -> Result<Self> {
        let umbel = Umbel::start_with(&["-v", "--log-format", "json"]).await?;
        let admin = umbel.admin()?;
        let name = json!({"metadata": {"name": "backend", "annotations": {"umbel.dev/resolver": PLUGIN,
            "umbel.dev/health-checker": PLUGIN}}, "spec": {"host": "127.0.0.1"}});
        admin.post(EXTERNAL_NAMES, &name).await?.expect(201)?;
        let service = json!({"metadata": {"name": "v1.shop.example.com"},
            "spec": {"group": "shop.example.com", "version": "v1", "groupPriorityMinimum": 1000,
                "versionPriority": 15, "caBundle": encode(&ca.pem),
                "service": {"namespace": "default", "name": "backend", "port": backend.port}}});
        admin.post(API_SERVICES, &service).await?.expect(201)?;
        wait_for("the backend to be served", PATIENCE, || async {
            admin.get(THINGS).await?.expect(200).map(drop)
        })
        .await?;
        Ok(Self { umbel, admin })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.umbel.data_dir().join("plugins").join(name)
    }

    /// Puts a component into the directory, under a dot-name first, and returns when that was.
    fn drop_component(&self, bytes: &[u8]) -> Result<Instant> {
        let hidden = self.file(&format!(".{PLUGIN}.wasm"));
        fs::write(&hidden, bytes)?;
        let began = Instant::now();
        fs::rename(hidden, self.file(&format!("{PLUGIN}.wasm")))?;
        Ok(began)
    }

    /// Waits until `/plugins` shows it so, then until the object that kubectl reads agrees. Says on standard
    /// output how long the first took: the promise is two seconds, and a busy machine must not fail the test.
    async fn wait_shown(&self, what: &str, since: Instant, good: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = wait_for(&format!("/plugins to show it {what}"), PATIENCE, || async {
            let list = self.admin.get("/plugins").await?.expect(200)?;
            let items = list["items"].as_array().context("no items")?;
            let item = items.iter().find(|item| item["name"] == PLUGIN).context("it is not listed")?;
            if good(item) { Ok(item.clone()) } else { Err(anyhow!("{item}")) }
        })
        .await?;
        println!("{what} after {:?} (promised: 2 s)", since.elapsed());
        let path = format!("/apis/plugins.umbel.dev/v1alpha1/plugins/{PLUGIN}");
        wait_for(&format!("the object to show it {what}"), PATIENCE, || async {
            let object = self.admin.get(&path).await?.expect(200)?;
            let status = &object["status"];
            let agrees = status["state"] == found["state"] && status["generation"] == found["generation"];
            ensure!(agrees, "{status}");
            Ok(())
        })
        .await?;
        Ok(found)
    }

    fn log_lines(&mut self) -> Vec<Value> {
        let log = self.umbel.process().log();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What a series of `/metrics` says; nothing where there is none.
    async fn number(&self, series: &str) -> Result<f64> {
        let text = self.admin.get("/metrics").await?.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(Ok(0.0), |number| number.parse().context("no number"))
    }

    /// How many calls of the plugin have ended, with or without success.
    async fn ended_calls(&self) -> Result<u64> {
        let lines = self.metrics().await?.into_iter();
        let counts = lines.filter(|line| line.starts_with("aggregator_plugin_calls_total{"));
        let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// The lines of `/metrics` that tell of the plugin.
    async fn metrics(&self) -> Result<Vec<String>> {
        let text = self.admin.get("/metrics").await?.text();
        let of_plugin = format!("plugin=\"{PLUGIN}\"");
        let lines = text.lines().filter(|line| line.starts_with("aggregator_plugin_"));
        Ok(lines.filter(|line| line.contains(&of_plugin)).map(str::to_owned).collect())
    }
}

/// Whether this generation serves and was asked, more often than before.
fn is_asked(plugin: &Value, generation: u64, calls_before: u64) -> bool {
    plugin["state"] == "Active"
        && plugin["generation"] == generation
        && plugin["calls"].as_u64().is_some_and(|calls| calls > calls_before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_a_plugin_comes_is_replaced_and_goes() -> Result<()> {
    let component = Guest::ResolverExternalName.component().map_err(|missing| anyhow!("{missing}"))?;
    let first = fs::read(component)?;
    // The same code with a note at its end: another digest.
    let second = [first.as_slice(), &[0, 3, 1, b'n', 2]].concat();
    let ca = Authority::new("shop")?;
    let backend = Backend::start(&ca, &ALPN, shop()).await?;
    let mut gateway = Gateway::start(&ca, &backend).await?;
    let traffic = Traffic::start(&gateway.admin, THINGS);
    traffic.go_on().await?;

    let dir = gateway.umbel.data_dir().join("plugins");
    write_manifest(&dir, PLUGIN, "{grants: {addresses: [127.0.0.1/32]}}")?;
    let dropped = gateway.drop_component(&first)?;
    let one = gateway.wait_shown("asked", dropped, |plugin| is_asked(plugin, 1, 0)).await?;
    traffic.go_on().await?;

    let calls = one["calls"].as_u64().context("no calls")?;
    let replaced = gateway.drop_component(&second)?;
    let two = gateway.wait_shown("replaced", replaced, |plugin| is_asked(plugin, 2, calls)).await?;
    assert_ne!(one["digest"], two["digest"]);
    assert_eq!(two["faults"], 0, "{two}");
    traffic.go_on().await?;
    let shown = gateway.metrics().await?;
    let taken =
        format!("aggregator_plugin_reload_total{{plugin=\"{PLUGIN}\",reason=\"\",result=\"taken\"}} 2");
    ensure!(shown.contains(&taken), "{shown:#?}");

    let removed = Instant::now();
    fs::remove_file(gateway.file(&format!("{PLUGIN}.wasm")))?;
    let gone = gateway.wait_shown("gone", removed, |plugin| plugin["reason"] == "Missing").await?;
    let mut left = gateway.metrics().await?;
    // What stands in for a plugin that is not there is counted on.
    left.retain(|line| !line.starts_with("aggregator_plugin_policy_applied_total"));
    assert_eq!(left, [""; 0], "its series are gone with it");
    assert_eq!((&gone["state"], &gone["generation"]), (&json!("Missing"), &json!(0)), "{gone}");
    traffic.go_on().await?;

    let (requests, failures) = traffic.end().await;
    let lines = gateway.log_lines();
    for line in lines.iter().filter(|line| line["level"] != "DEBUG") {
        println!("{line}");
    }
    let told =
        lines.iter().find(|line| line["message"] == "a plugin call ended" && line["result"] == "answer");
    let span = &told.context("no call in the log")?["span"];
    assert_eq!((&span["name"], &span["plugin"]), (&json!("plugin.call"), &json!(PLUGIN)), "{span}");
    println!("{requests} requests");
    assert_eq!(failures, [""; 0], "of {requests} requests");
    assert!(requests > 100, "{requests}");
    assert!(backend.requests() >= requests, "they were answered by the backend");
    Ok(())
}

/// Every plugin that there is computes without end: the resolver and the checker of the very service that is asked
/// for, and a transformer of its discovery. Nothing of it concerns those whose requests pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plugin_call_on_request_path() -> Result<()> {
    let component = Guest::Misbehaving.component().map_err(|missing| anyhow!("{missing}"))?;
    let ca = Authority::new("shop")?;
    let backend = Backend::start(&ca, &ALPN, shop()).await?;
    let gateway = Gateway::start(&ca, &backend).await?;
    let traffic = Traffic::start(&gateway.admin, THINGS);
    traffic.go_on().await?;

    let dir = gateway.umbel.data_dir().join("plugins");
    let hangs = "{settings: {do: loop}, limits: {wall: 60s, cpu: 10s}, discovery: {enabled: true}}";
    write_manifest(&dir, PLUGIN, hangs)?;
    gateway.drop_component(&fs::read(component)?)?;
    let instances = "aggregator_plugin_pool_occupancy{resource=\"component-instances\"}";
    wait_for("plugin calls to hang", PATIENCE, || async {
        let hanging = gateway.number(instances).await?;
        ensure!(hanging >= 2.0, "{hanging}");
        Ok(())
    })
    .await?;
    // A request that waited for a plugin would end together with a call, and each call takes ten seconds.
    wait_for("a request during which no plugin call ends", PATIENCE, || async {
        let before = gateway.ended_calls().await?;
        gateway.admin.get(THINGS).await?.expect(200)?;
        let after = gateway.ended_calls().await?;
        ensure!(before == after, "{before} calls had ended before, and {after} after it");
        Ok(())
    })
    .await?;
    traffic.go_on().await?;
    // Discovery is asked for the order of groups besides, which it answers.
    for kind in ["resolver", "health"] {
        let answered =
            format!("aggregator_plugin_calls_total{{kind=\"{kind}\",plugin=\"{PLUGIN}\",result=\"answer\"}}");
        assert_eq!(gateway.number(&answered).await?, 0.0, "{answered}");
    }
    let (requests, failures) = traffic.end().await;
    assert_eq!(failures, [""; 0], "of {requests} requests");
    Ok(())
}
