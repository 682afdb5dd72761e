//! A gateway with backends and plugins, and what its process uses.

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::{Body, Handler, handler, whole};
use umbel_tests::{Client, Guest, Memory, Umbel, wait_for};

/// Nothing here may take longer; the numbers are measured, not bounded.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// How a service is bound to plugins.
#[derive(Clone, Copy, Default)]
pub(super) struct Bound<'a> {
    pub(super) resolver: Option<&'a str>,
    pub(super) health_checker: Option<&'a str>,
}

/// An API server as its library makes them: discovery in one document and OpenAPI, both with entity tags, and a
/// list of things in each of so many groups.
pub(super) fn things(groups: usize) -> Handler {
    let documents =
        Arc::new([("/apis", V2, discovery(groups)), ("/openapi/v3", "application/json", index(groups))]);
    handler(move |request: Request<Incoming>| {
        let documents = Arc::clone(&documents);
        async move {
            let path = request.uri().path();
            if let Some((_, kind, document)) = documents.iter().find(|(at, ..)| *at == path) {
                return tagged(&request, kind, document);
            }
            match path.split('/').collect::<Vec<_>>().as_slice() {
                ["", "apis", _, _, "things"] => Response::new(whole(r#"{"kind": "ThingList", "items": []}"#)),
                ["", "healthz"] => Response::new(whole("ok")),
                ["", "openapi", "v3", "apis", _, _] => {
                    Response::new(whole(r#"{"openapi": "3.0.0", "info": {"title": "things"}, "paths": {}}"#))
                }
                _ => status(StatusCode::NOT_FOUND),
            }
        }
    })
}

fn discovery(groups: usize) -> String {
    let items: Vec<Value> = (0..groups)
        .map(|number| {
            json!({"metadata": {"name": format!("g{number}.example.com")}, "versions": [{"version": "v1",
                "resources": [{"resource": "things", "responseKind": {"group": "", "version": "", "kind": "Thing"},
                    "scope": "Namespaced", "singularResource": "thing", "verbs": ["get", "list"]}]}]})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items})
        .to_string()
}

fn index(groups: usize) -> String {
    let paths = (0..groups).map(|number| {
        let path = format!("apis/g{number}.example.com/v1");
        let url = format!("/openapi/v3/{path}?hash=1");
        (path, json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<serde_json::Map<_, _>>()}).to_string()
}

fn tagged(request: &Request<Incoming>, kind: &'static str, document: &str) -> Response<Body> {
    const TAG: HeaderValue = HeaderValue::from_static("\"1\"");
    let mut answer = if request.headers().get(header::IF_NONE_MATCH) == Some(&TAG) {
        status(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(whole(document.to_owned()))
    };
    answer.headers_mut().insert(header::ETAG, TAG);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn status(code: StatusCode) -> Response<Body> {
    let mut answer = Response::new(whole(""));
    *answer.status_mut() = code;
    answer
}

/// Makes `default/backend-<number>` a name of loopback.
pub(super) async fn name_backend(admin: &Client, number: usize, bound: Bound<'_>) -> Result<()> {
    let name = json!({"metadata": {"name": format!("backend-{number}"),
            "annotations": annotation("umbel.dev/resolver", bound.resolver)},
        "spec": {"host": "127.0.0.1"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    admin.post(names, &name).await?.expect(201)?;
    Ok(())
}

fn annotation(key: &str, plugin: Option<&str>) -> Value {
    match plugin {
        Some(plugin) => json!({ key: plugin }),
        None => json!({}),
    }
}

/// Registers `v1.g<number>.example.com` at a port of `default/backend-<backend>`.
pub(super) async fn register(
    admin: &Client,
    ca: &Authority,
    (number, backend): (usize, usize),
    port: u16,
    bound: Bound<'_>,
) -> Result<()> {
    let group = format!("g{number}.example.com");
    let service = json!({"metadata": {"name": format!("v1.{group}"),
            "annotations": annotation("umbel.dev/health-checker", bound.health_checker)},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": base64::engine::general_purpose::STANDARD.encode(&ca.pem),
            "service": {"namespace": "default", "name": format!("backend-{backend}"), "port": port}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &service).await?.expect(201)?;
    Ok(())
}

/// The names under which services know their backends.
pub(super) fn backend_names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("backend-{number}.default.svc")).collect()
}

/// Waits until so many of the registered services are available.
pub(super) async fn wait_available(admin: &Client, count: usize) -> Result<()> {
    wait_for("every service to be available", PATIENCE, || async {
        let list = admin.get("/apis/apiregistration.k8s.io/v1/apiservices").await?.expect(200)?;
        let items = list["items"].as_array().context("no items")?;
        let remote = items.iter().filter(|item| item["spec"]["service"].is_object());
        let available = remote.filter(|item| {
            let conditions = item["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|one| one["type"] == "Available" && one["status"] == "True")
        });
        let available = available.count();
        ensure!(available == count, "{available} of {count}");
        Ok(())
    })
    .await
}

/// Waits until every one of so many plugins serves.
pub(super) async fn wait_active(admin: &Client, count: usize) -> Result<Vec<Value>> {
    wait_for("every plugin to be active", PATIENCE, || async {
        let list = admin.get("/plugins").await?.expect(200)?;
        let items = list["items"].as_array().context("no items")?;
        let active = items.iter().filter(|item| item["state"] == "Active").count();
        ensure!(active == count, "{active} of {count}: {}", items.first().unwrap_or(&Value::Null));
        Ok(items.clone())
    })
    .await
}

/// Puts a guest into the plugin directory with a manifest; `note` makes its digest another one.
pub(super) fn drop_plugin(dir: &Path, guest: Guest, name: &str, spec: &str, note: u16) -> Result<()> {
    let component = guest.component().map_err(|missing| anyhow!("{missing}"))?;
    fs::create_dir_all(dir)?;
    let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
    let files =
        [("yaml", format!("{head}{spec}\n").into_bytes()), ("wasm", noted(&fs::read(component)?, note))];
    for (extension, bytes) in files {
        let hidden = dir.join(format!(".{name}.{extension}"));
        fs::write(&hidden, bytes)?;
        fs::rename(hidden, dir.join(format!("{name}.{extension}")))?;
    }
    Ok(())
}

/// The same code with a note at its end.
pub(super) fn noted(component: &[u8], note: u16) -> Vec<u8> {
    let [high, low] = note.to_be_bytes();
    // A custom section: its id, its length, the length of its name, and its name.
    [component, &[0, 5, 4, b'a' + high / 16, b'a' + high % 16, b'a' + low / 16, b'a' + low % 16]].concat()
}

/// Processor time that the process has used, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("no fields")?.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("no such field")?.parse()?) };
    // utime and stime, in the 1/100 s that Linux shows to programs.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// The process's share of memory, in MiB.
pub(super) fn memory_mib(pid: u32) -> Result<f64> {
    Ok(Memory::of(pid)?.proportional as f64 / f64::from(1 << 20))
}

/// Starts a gateway whose plugin directory was filled before.
pub(super) async fn start(fill: impl FnOnce(&Path) -> Result<()>) -> Result<Umbel> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("data/plugins");
    fs::create_dir_all(&dir)?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(home.path().join("data"), fs::Permissions::from_mode(0o700))?;
    fill(&dir)?;
    Umbel::start_in(home, &["--log-format", "json"]).await
}
