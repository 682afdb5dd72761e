//! OpenAPI v2 documents of a backend.

use super::measure::{PATIENCE, Row, Run, mib};
use anyhow::{Result, ensure};
use http::{Response, StatusCode};
use std::sync::Arc;
use umbel_tests::authority::Authority;
use umbel_tests::tls_backend::{Backend, handler, whole};
use umbel_tests::{Client, many_definitions, register_backend, resource_list, shared_parts, wait_for};

const GROUP: &str = "openapi.example.com";
const V2: &str = "/openapi/v2";
const V3: &str = "/openapi/v3/apis/openapi.example.com/v1";
const SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.openapi.example.com";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Measures many definitions, and paths that share large parts.
pub(super) async fn measure() -> Result<Vec<Row>> {
    Ok(vec![
        serve(
            "200,000 definitions",
            many_definitions(GROUP, 200_000),
            "peak ≤ 8 × the document; released after its APIService is deleted",
        )
        .await?,
        serve(
            "2,000 paths that share parts of 20 KB",
            shared_parts(GROUP, 2_000),
            "shared parts stay shared; the limit applies to the result",
        )
        .await?,
    ])
}

async fn serve(what: &str, document: String, limit: &'static str) -> Result<Row> {
    let size = document.len();
    let mut run = Run::start(&[]).await?;
    run.begin().await?;
    let (ca, document) = (Authority::new("openapi")?, Arc::new(document));
    let backend = Backend::start(
        &ca,
        &["h2"],
        handler(move |request| {
            let found = match request.uri().path() {
                V2 => whole((*document).clone()),
                "/apis/openapi.example.com/v1" => whole(resource_list(GROUP).to_string()),
                _ => whole(""),
            };
            async move {
                let mut response = Response::new(found);
                if hyper::body::Body::is_end_stream(response.body()) {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                response
            }
        }),
    )
    .await?;
    register_backend(&run.admin, &ca, GROUP, backend.port).await?;
    wait_for("OpenAPI v3", PATIENCE, || async { length(&run.admin, V3).await }).await?;
    wait_for("OpenAPI v2", PATIENCE, || async {
        let served = length(&run.admin, V2).await?;
        ensure!(served > size / 2, "{served}");
        Ok(())
    })
    .await?;
    let protobuf = run.admin.clone().header("accept", PROTOBUF)?;
    let served = [length(&run.admin, V2).await?, length(&protobuf, V2).await?, length(&run.admin, V3).await?];
    run.hold().await?;
    let times = run.grown()? as f64 / size as f64;
    run.admin.delete(SERVICE).await?.expect(200)?;
    let [json, protobuf, v3] = served.map(|length| mib(length as u64));
    let found = format!(
        "peak {times:.1} × the document above the start; served {json} as v2, {protobuf} as v2 in protobuf, {v3} as v3"
    );
    run.end(format!("OpenAPI v2 of {:.1} MB, {what}", size as f64 / 1e6), found, limit).await
}

/// The size of a document that is served.
async fn length(client: &Client, path: &str) -> Result<usize> {
    let answer = client.get(path).await?;
    ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
    Ok(answer.body.len())
}
