//! Unusual OpenAPI documents of backends, as clients of the gateway see them.

use crate::control_kit::ALPN;
use crate::proxying::backend::{Backend, Body, handler, whole};
use crate::proxying::pki::Authority;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use umbel_tests::{
    Client, Kubectl, Memory, Umbel, many_definitions, need, register_backend, resource_list, shared_parts,
    wait_for,
};

const BOUND: Duration = Duration::from_secs(120);
const GROUP: &str = "odd.example.com";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A gateway with one backend for `v1.odd.example.com`, which answers these paths and its own.
struct Odd {
    umbel: Umbel,
    admin: Client,
    _backend: Backend,
}

impl Odd {
    /// Every body has the content coding `coding`, if one is named; with `gzip` it really is compressed. With a
    /// coding, only requests for `identity` are answered.
    async fn start(pages: Vec<(&str, Bytes)>, coding: Option<&'static str>) -> Result<Self> {
        let (umbel, ca) = (Umbel::start().await?, Authority::new("odd")?);
        let mut all = HashMap::from([(format!("/apis/{GROUP}/v1"), resource_list(GROUP).to_string().into())]);
        all.extend(pages.into_iter().map(|(path, body)| (path.to_owned(), body)));
        let all = Arc::new(all);
        let backend = Backend::start(
            &ca,
            &ALPN,
            handler(move |request| {
                let found = all.get(request.uri().path()).cloned();
                let identity =
                    request.headers().get(header::ACCEPT_ENCODING).is_some_and(|v| v == "identity");
                async move { answer(found.filter(|_| identity || coding.is_none()), coding) }
            }),
        )
        .await?;
        let admin = umbel.admin()?;
        register_backend(&admin, &ca, GROUP, backend.port).await?;
        Ok(Self { umbel, admin, _backend: backend })
    }

    async fn v3(&self) -> Result<Value> {
        wait_for("the backend's OpenAPI v3", BOUND, || async {
            self.admin.get("/openapi/v3/apis/odd.example.com/v1").await?.expect(200)
        })
        .await
    }

    /// Waits for a condition `Available` with this reason, and returns its message.
    async fn message(&self, reason: &str) -> Result<String> {
        wait_for(reason, BOUND, || async {
            let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.odd.example.com";
            let condition = self.admin.get(path).await?.expect(200)?["status"]["conditions"][0].clone();
            ensure!(condition["reason"] == reason && condition["status"] == "True", "{condition}");
            Ok(condition["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }
}

fn answer(found: Option<Bytes>, coding: Option<&'static str>) -> Response<Body> {
    let Some(body) = found else {
        let mut missing = Response::new(whole("not here, or not in this coding"));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let Some(coding) = coding else { return Response::new(whole(body)) };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(&body).and_then(|()| encoder.finish()).unwrap_or_default();
    let mut response = Response::new(whole(packed));
    response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static(coding));
    response
}

/// A v2 document with a kind whose schema refers to a Go type by its name, as some generators write it.
fn with_go_names() -> Value {
    let option = json!({"$ref": "#/definitions/github.com~1x~1y.Option"});
    json!({
        "swagger": "2.0",
        "info": {"title": "odd", "version": "v1"},
        "paths": {"/apis/odd.example.com/v1/namespaces/{namespace}/things": {"get": {
            "operationId": "listThings",
            "parameters": [{"$ref": "#/parameters/x~1limit"}],
            "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Thing"}}},
            "x-kubernetes-action": "list",
            "x-kubernetes-group-version-kind": {"group": "odd.example.com", "version": "v1", "kind": "Thing"},
        }}},
        "parameters": {"x/limit": {"in": "query", "name": "limit", "type": "integer"}},
        "definitions": {
            "Thing": {
                "type": "object", "description": "A thing.",
                "properties": {
                    "spec": option,
                    "other": {"$ref": "#/definitions/github.com%2Fx%2Fy~0z.Option"},
                    "broken": {"$ref": "#/definitions/nowhere"},
                    "list": {"type": "array"},
                    "either": {"type": ["string", "integer"]},
                },
                "x-kubernetes-group-version-kind": [{"group": "odd.example.com", "version": "v1", "kind": "Thing"}],
            },
            "github.com/x/y.Option": {"type": "object", "properties": {"color": {"type": "string", "description": "Which color."}}},
            "github.com/x/y~z.Option": {"type": "object", "properties": {"size": {"type": "string"}}},
        },
    })
}

#[tokio::test]
async fn names_of_go_types_are_readable_for_every_client() -> Result<()> {
    let odd = Odd::start(vec![("/openapi/v2", with_go_names().to_string().into())], None).await?;
    let v3 = odd.v3().await?;
    let schemas = v3["components"]["schemas"].as_object().context("schemas")?;
    assert!(schemas.contains_key("com.github.x.y.Option") && schemas.contains_key("com.github.x.y_z.Option"));
    assert_eq!(schemas["Thing"]["properties"]["spec"]["$ref"], "#/components/schemas/com.github.x.y.Option");
    assert!(v3["components"]["parameters"].get("x.limit").is_some(), "{v3}");
    let v2 = wait_for("the backend's OpenAPI v2", BOUND, || async {
        let v2 = odd.admin.get("/openapi/v2").await?.expect(200)?;
        ensure!(v2["definitions"].get("Thing").is_some());
        Ok(v2)
    })
    .await?;
    let properties = &v2["definitions"]["Thing"]["properties"];
    assert_eq!(properties["spec"]["$ref"], "#/definitions/com.github.x.y.Option");
    assert_eq!(properties["other"]["$ref"], "#/definitions/com.github.x.y_z.Option");
    let protobuf = odd.admin.clone().header("accept", PROTOBUF)?.get("/openapi/v2").await?.body;
    for old in ["github.com/x", "github.com~1x", "nowhere"] {
        assert!(!protobuf.windows(old.len()).any(|part| part == old.as_bytes()), "{old} in protobuf");
    }
    // One definition that kubectl cannot resolve makes the whole document unreadable for it.
    let kubeconfig = odd.umbel.kubeconfig();
    let kubectls = [need(Kubectl::oldest(&kubeconfig))?, need(Kubectl::newest(&kubeconfig))?];
    for kubectl in kubectls.into_iter().flatten() {
        let flags =
            if kubectl.name().contains("1.27") { vec![] } else { vec!["--output=plaintext-openapiv2"] };
        for (what, wanted) in [("apiservices.spec", "versionPriority"), ("things.spec", "Which color")] {
            for flags in [&[][..], flags.as_slice()] {
                let arguments: Vec<&str> =
                    ["explain", what].into_iter().chain(flags.iter().copied()).collect();
                let said = kubectl.ok(&arguments).await.with_context(|| kubectl.name())?;
                assert!(said.contains(wanted), "{} {arguments:?}: {said}", kubectl.name());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn compressed_documents_are_read_though_they_were_asked_for_plain() -> Result<()> {
    let url = "/openapi/v3/apis/odd.example.com/v1";
    let index = json!({"paths": {"apis/odd.example.com/v1": {"serverRelativeURL": url}}});
    let document = json!({"openapi": "3.0.0", "info": {"title": "packed"}, "paths": {}});
    let pages = vec![
        ("/openapi/v3", index.to_string().into()),
        (url, document.to_string().into()),
        ("/openapi/v2", with_go_names().to_string().into()),
    ];
    let odd = Odd::start(pages, Some("gzip")).await?;
    assert_eq!(odd.v3().await?, document);
    wait_for("version 2", BOUND, || async {
        let v2 = odd.admin.get("/openapi/v2").await?.expect(200)?;
        ensure!(v2["definitions"].get("Thing").is_some());
        Ok(())
    })
    .await?;
    assert_eq!(odd.message("Passed").await?, "all checks passed");
    Ok(())
}

#[tokio::test]
async fn the_condition_names_what_cannot_be_shown() -> Result<()> {
    let odd = Odd::start(vec![("/openapi/v2", with_go_names().to_string().into())], Some("br")).await?;
    let message = odd.message("DiscoveryNotUsable").await?;
    assert!(
        message.contains("Content-Encoding \"br\"") && message.contains("/apis/odd.example.com/v1"),
        "{message}"
    );
    let of_openapi = wait_for("the OpenAPI documents in the condition", BOUND, || async {
        let message = odd.message("DiscoveryNotUsable").await?;
        ensure!(message.contains("GET /openapi/v3") || message.contains("GET /openapi/v2"), "{message}");
        Ok(message)
    })
    .await?;
    assert!(of_openapi.matches("Content-Encoding \"br\"").count() == 2, "{of_openapi}");

    let large = format!(r#"{{"swagger": "2.0", "x": "{}"}}"#, "x".repeat(33 << 20));
    let odd = Odd::start(vec![("/openapi/v2", large.into())], None).await?;
    let message = odd.message("OpenAPINotUsable").await?;
    assert!(message.contains("GET /openapi/v2") && message.contains("33554432"), "{message}");
    Ok(())
}

#[tokio::test]
async fn what_operations_share_is_served_once() -> Result<()> {
    let v2 = shared_parts(GROUP, 2_000);
    let size = v2.len();
    let odd = Odd::start(vec![("/openapi/v2", v2.into())], None).await?;
    odd.v3().await?;
    let v3 = odd.admin.get("/openapi/v3/apis/odd.example.com/v1").await?.body.len();
    assert!(v3 < 2 * size, "{size} bytes of v2 became {v3} of v3");
    let of_all = wait_for("version 2 with its paths", BOUND, || async {
        let json = odd.admin.get("/openapi/v2").await?.body.len();
        ensure!(json > size / 2, "{json}");
        Ok(json)
    })
    .await?;
    let protobuf = odd.admin.clone().header("accept", PROTOBUF)?.get("/openapi/v2").await?.body.len();
    let own = 1 << 20;
    assert!(of_all < size + own && protobuf < size + own, "{size} bytes became {of_all} and {protobuf}");
    Ok(())
}

fn peak(umbel: &mut Umbel) -> Result<usize> {
    Ok(Memory::of(umbel.process().id())?.peak.try_into()?)
}

#[tokio::test]
async fn a_large_document_takes_a_few_times_its_size() -> Result<()> {
    let text = many_definitions(GROUP, 200_000);
    let size = text.len();
    let mut odd = Odd::start(vec![], None).await?;
    odd.message("Passed").await?;
    let before = peak(&mut odd.umbel)?;
    drop(odd);
    let mut odd = Odd::start(vec![("/openapi/v2", text.into())], None).await?;
    odd.v3().await?;
    wait_for("version 2 with its definitions", BOUND, || async {
        // HEAD, so that the document is not copied to this client again and again.
        let head = odd.admin.send(http::Method::HEAD, "/openapi/v2", "", Vec::new()).await?;
        let length: usize = head.headers["content-length"].to_str()?.parse()?;
        ensure!(length > size / 2, "{length}");
        Ok(())
    })
    .await?;
    let grown = peak(&mut odd.umbel)?.saturating_sub(before);
    println!(
        "{size} bytes of OpenAPI v2 took {grown} bytes at most, {:.1} times as much",
        grown as f64 / size as f64
    );
    assert!(grown < 8 * size, "{grown} bytes for a document of {size}");
    Ok(())
}
