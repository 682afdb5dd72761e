//! OpenAPI documents on the wire: the own kinds' and a real backend's.

use crate::control_kit::{ALPN, encode, status};
use crate::proxying::backend::{Backend, Handler, handler, whole};
use crate::proxying::pki::Authority;
use anyhow::{Context, Result, ensure};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use umbel_tests::{Client, SampleApiServer, Umbel, need, wait_for};

const BOUND: Duration = Duration::from_secs(60);
const OWN: &str = "apis/apiregistration.k8s.io/v1";
const WARDLE: &str = "apis/wardle.example.com/v1alpha1";

async fn index(admin: &Client) -> Result<Value> {
    Ok(admin.get("/openapi/v3").await?.expect(200)?["paths"].clone())
}

/// Serves the document of a group-version, and the group-version itself without resources.
fn later_backend(key: &'static str) -> Handler {
    handler(move |request| async move {
        let url = format!("/openapi/v3/{key}");
        let body = match request.uri().path() {
            "/openapi/v3" => json!({"paths": {key: {"serverRelativeURL": url}}}),
            path if path == url => json!({"openapi": "3.0.0", "paths": {}}),
            path if path == format!("/{key}") => json!({"kind": "APIResourceList", "resources": []}),
            _ => return status(StatusCode::NOT_FOUND),
        };
        Response::new(whole(body.to_string()))
    })
}

fn url_of(index: &Value, key: &str) -> Result<String> {
    let url = index[key]["serverRelativeURL"].as_str();
    Ok(url.with_context(|| format!("{key} in {index}"))?.to_owned())
}

#[tokio::test]
async fn a_hash_makes_a_document_immutable_and_a_stale_one_leads_to_it() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let found = admin.get("/openapi/v3").await?;
    assert_eq!(found.headers["content-type"], "application/json");
    let same = admin.clone().header("if-none-match", found.headers["etag"].to_str()?)?;
    assert_eq!(same.get("/openapi/v3").await?.status, 304);

    let url = url_of(&index(&admin).await?, OWN)?;
    let document = admin.get(&url).await?;
    assert_eq!(document.headers["cache-control"], "public, immutable");
    assert!(document.headers.contains_key("expires"));
    let tag = document.headers["etag"].to_str()?.trim_matches('"').to_owned();
    assert_eq!(url, format!("/openapi/v3/{OWN}?hash={tag}"));
    let (path, _) = url.split_once('?').context("a hash")?;
    let fresh = admin.get(path).await?;
    assert_eq!(fresh.headers["cache-control"], "no-cache, private");
    assert_eq!(fresh.body, document.body);
    let moved = admin.get(&format!("{path}?hash=STALE")).await?;
    assert_eq!((moved.status, moved.headers["location"].to_str()?), (301, url.as_str()));

    let missing = admin.get("/openapi/v3/apis/nope.example.com/v1").await?.expect(404)?;
    assert_eq!((&missing["kind"], &missing["reason"]), (&"Status".into(), &"NotFound".into()));
    let picky = admin.clone().header("accept", "text/html")?;
    assert_eq!(picky.get("/openapi/v3").await?.expect(406)?["reason"], "NotAcceptable");
    let head = admin.send("HEAD".parse()?, &url, "", Vec::new()).await?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], document.body.len().to_string());
    Ok(())
}

#[tokio::test]
async fn version_2_comes_as_json_and_as_protobuf() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let document = admin.get("/openapi/v2").await?.expect(200)?;
    let paths: BTreeSet<_> = document["paths"].as_object().context("paths")?.keys().collect();
    assert!(
        paths.contains(&"/apis/apiregistration.k8s.io/v1/apiservices/{name}/status".to_owned()),
        "{paths:?}"
    );
    let wanted = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    for accept in [wanted, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"] {
        let found = admin.clone().header("accept", accept)?.get("/openapi/v2").await?;
        assert_eq!((found.status, found.headers["content-type"].to_str()?), (200, wanted));
        // The first field is `swagger`: "2.0".
        assert_eq!(&found.body[..5], b"\x0a\x032.0");
    }
    Ok(())
}

#[tokio::test]
async fn a_backends_documents_are_collected_kept_and_dropped() -> Result<()> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(()) };
    let home = TempDir::new()?;
    let directory = home.path().join("manifests");
    fs::create_dir(&directory)?;
    let argument = directory.display().to_string();
    let umbel = Umbel::start_in(home, &["--manifest-dir", &argument]).await?;
    let admin = umbel.admin()?;
    let mut server = SampleApiServer::start(&umbel).await?;
    let registration = directory.join("register.yaml");
    fs::copy(server.registration(), &registration)?;

    let url = wait_for("the backend's document in the index", BOUND, || async {
        url_of(&index(&admin).await?, WARDLE)
    })
    .await?;
    let document = admin.get(&url).await?.expect(200)?;
    assert!(document["paths"].get(format!("/{WARDLE}/namespaces/{{namespace}}/flunders")).is_some());
    let keys: BTreeSet<String> = index(&admin).await?.as_object().context("index")?.keys().cloned().collect();
    let registered = [
        "apis/apiregistration.k8s.io/v1",
        "apis/events.k8s.io/v1",
        "apis/plugins.umbel.dev/v1alpha1",
        "apis/service.grafana.app/v0alpha1",
        WARDLE,
    ];
    let strange: Vec<_> =
        keys.iter().filter(|k| !registered.contains(&k.as_str()) && !k.starts_with("apis/wardle")).collect();
    assert!(strange.is_empty(), "a backend may only describe what it is registered for: {strange:?}");
    let v2 = admin.get("/openapi/v2").await?.expect(200)?;
    assert!(v2["paths"].get(format!("/{WARDLE}/flunders")).is_some());

    server.kill()?;
    let flunders = format!("/{WARDLE}/flunders");
    wait_for("503", BOUND, || async {
        let answer = admin.get(&flunders).await?;
        ensure!(answer.status == 503, "{}", answer.status);
        Ok(())
    })
    .await?;
    // The document of another backend that is added now shows that the loss was handled: it was collected after that.
    let (later, ca) = ("apis/later.example.com/v1", Authority::new("later")?);
    let backend = Backend::start(&ca, &ALPN, later_backend(later)).await?;
    let named = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    admin
        .post("/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames", &named)
        .await?
        .expect(201)?;
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.later.example.com"},
        "spec": {"group": "later.example.com", "version": "v1", "groupPriorityMinimum": 1000,
            "versionPriority": 15, "caBundle": encode(&ca.pem),
            "service": {"namespace": "default", "name": "backend", "port": backend.port}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &service).await?.expect(201)?;
    wait_for("the later document in the index", BOUND, || async { url_of(&index(&admin).await?, later) })
        .await?;
    assert!(index(&admin).await?.get(WARDLE).is_some(), "what was good stays in the index");
    assert_eq!(admin.get(&url).await?.expect(200)?, document, "what was good stays served");
    let v2 = admin.get("/openapi/v2").await?.expect(200)?;
    assert!(v2["paths"].get(format!("/{WARDLE}/flunders")).is_some());

    fs::remove_file(&registration)?;
    wait_for("the document to go with its APIService", BOUND, || async {
        let index = index(&admin).await?;
        ensure!(index.get(WARDLE).is_none(), "{index}");
        Ok(())
    })
    .await?;
    assert_eq!(admin.get(&url).await?.status, 404);
    Ok(())
}
