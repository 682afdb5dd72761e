//! The recorded answers of an upstream kube-aggregator, replayed (`tests/golden`).

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use umbel::api::{Api, ApiConfig, Readiness};
use umbel::model::identity::Caller;
use umbel::observe::Metrics;
use umbel::registry::Registry;
use umbel::route::Shared;
use umbel::store::MemoryStore;
use umbel_tests::{Answer, Answering, Recording, SampleApiServer, Umbel, need};

/// The API over a store in memory, without sockets and without a control plane.
struct InProcess {
    api: Arc<Api>,
    caller: Arc<Caller>,
}

impl InProcess {
    fn new() -> Result<Self> {
        let config = ApiConfig {
            plugins: None,
            kinds: &umbel::kind::ALL,
            registry: Registry::new(Arc::new(MemoryStore::default())),
            shared: Arc::new(Shared::default()),
            readiness: Readiness::new(&[]),
            metrics: Metrics::new()?,
            runtime: tokio::runtime::Handle::current(),
        };
        let groups = vec!["system:masters".to_owned()];
        let caller = Arc::new(Caller::authenticated("replay", "", groups, Vec::new()));
        Ok(Self { api: Api::new(config), caller })
    }
}

impl Answering for InProcess {
    async fn answer(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        *request.headers_mut() = headers;
        let response = Arc::clone(&self.api).answer(request, Arc::clone(&self.caller)).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// Steps that others answer: server-side apply comes later, the data plane serves discovery, OpenAPI and proxied
/// paths, and these conditions are written by the control plane. The run with the whole process compares them.
const ELSEWHERE: [&str; 16] = [
    "apply/",
    "openapi/",
    "proxy/",
    "discovery/apis",
    "list/limit-negative",
    "list/table-remote",
    "update/settled",
    "update/dry-run",
    "update/after",
    "update/spec",
    "update/drop-labels-add-annotation",
    "update/add-service",
    "update/manager",
    "delete-collection/dry-run",
    "discovery/group-unknown",
    "discovery/gv-unknown",
];

fn is_answered_by_the_api(id: &str) -> bool {
    !ELSEWHERE.iter().any(|prefix| id.starts_with(prefix))
}

#[tokio::test]
async fn own_kinds_answer_as_recorded() -> Result<()> {
    let recording = Recording::load("apiservices")?;
    recording.replay(&InProcess::new()?, None, is_answered_by_the_api).await?.expect_same()
}

/// Server-side apply comes with a later issue. The texts of the OpenAPI documents are Umbel's own, and the suites of
/// kubectl show that clients can use them.
fn is_in_scope(id: &str) -> bool {
    !id.starts_with("apply/") && !id.starts_with("openapi/")
}

#[tokio::test]
async fn the_process_answers_as_recorded() -> Result<()> {
    let umbel = Umbel::start().await?;
    let recording = Recording::load("apiservices")?;
    recording.replay(&umbel.admin()?, None, is_in_scope).await?.expect_same()
}

#[tokio::test]
async fn a_stock_api_server_behind_umbel_answers_as_recorded() -> Result<()> {
    if need(SampleApiServer::available())?.is_none() {
        return Ok(());
    }
    let umbel = Umbel::start().await?;
    let server = SampleApiServer::start_as("wardle/api", &umbel.data_dir()).await?;
    let client = umbel.admin()?;
    let service = serde_json::json!({
        "apiVersion": "service.grafana.app/v0alpha1",
        "kind": "ExternalName",
        "metadata": {"name": "api", "namespace": "wardle"},
        "spec": {"host": "127.0.0.1"},
    });
    let path = "/apis/service.grafana.app/v0alpha1/namespaces/wardle/externalnames";
    client.post(path, &service).await?.expect(201)?;
    let ca = std::fs::read(umbel.data_dir().join("pki/ca.crt"))?;
    let backend = Some((server.port(), STANDARD.encode(ca)));
    let recording = Recording::load("stitched")?;
    recording.replay(&client, backend, is_in_scope).await?.expect_same()
}
