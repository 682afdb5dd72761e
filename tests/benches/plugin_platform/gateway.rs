//! A gateway with backends and plugins, and what its process uses.

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine as _;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::{Handler, handler, whole};
use umbel_tests::{Client, Guest, Umbel, wait_for};

/// Nothing here may take longer; the numbers are measured, not bounded.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// How a service is bound to plugins.
#[derive(Clone, Copy, Default)]
pub(super) struct Bound<'a> {
    pub(super) resolver: Option<&'a str>,
    pub(super) health_checker: Option<&'a str>,
}

/// Answers `/apis/<g>/<v>`, a list of things below it, and `/healthz`.
pub(super) fn things() -> Handler {
    handler(move |request: Request<Incoming>| async move {
        let parts: Vec<&str> = request.uri().path().split('/').collect();
        let answer = match parts.as_slice() {
            ["", "apis", group, version] => json!({"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": format!("{group}/{version}"),
                "resources": [{"name": "things", "singularName": "thing", "namespaced": true,
                    "kind": "Thing", "verbs": ["get", "list"]}]}),
            ["", "apis", _, _, "things"] => json!({"kind": "ThingList", "items": []}),
            ["", "healthz"] => json!("ok"),
            _ => {
                let mut missing = Response::new(whole("{}"));
                *missing.status_mut() = StatusCode::NOT_FOUND;
                return missing;
            }
        };
        Response::new(whole(answer.to_string()))
    })
}

/// Registers `v1.g<number>.example.com` with a name of its own at a port of loopback.
pub(super) async fn register(
    admin: &Client,
    ca: &Authority,
    number: usize,
    port: u16,
    bound: Bound<'_>,
) -> Result<()> {
    let annotation = |key: &str, plugin: Option<&str>| match plugin {
        Some(plugin) => json!({ key: plugin }),
        None => json!({}),
    };
    let name = json!({"metadata": {"name": format!("backend-{number}"),
            "annotations": annotation("umbel.dev/resolver", bound.resolver)},
        "spec": {"host": "127.0.0.1"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    admin.post(names, &name).await?.expect(201)?;
    let group = format!("g{number}.example.com");
    let service = json!({"metadata": {"name": format!("v1.{group}"),
            "annotations": annotation("umbel.dev/health-checker", bound.health_checker)},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": base64::engine::general_purpose::STANDARD.encode(&ca.pem),
            "service": {"namespace": "default", "name": format!("backend-{number}"), "port": port}}});
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
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024.0)
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
