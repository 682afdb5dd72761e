//! The control plane over a store in memory, with real TLS backends, all in this process.

use crate::proxying::backend::{Backend, Handler, handler, whole};
use crate::proxying::pki::{Authority, Leaf};
use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel::control::events::{self, Events};
use umbel::control::{ControlConfig, ControlPlane, Running};
use umbel::decision::binding::Decisions;
use umbel::decision::builtin::BuiltInDecisions;
use umbel::kind::{api_service, external_name};
use umbel::model::object::Object;
use umbel::observe::Metrics;
use umbel::registry::{DeleteOptions, ObjectKey, Part, Registry, WriteOptions};
use umbel::route::{Availability, Shared, Signals, Target};
use umbel::store::{HistoryBound, MemoryStore, Store};
use umbel::upstream::{BackendTls, FrontProxy};
use umbel_tests::wait_for;

/// Longer than any goal, so that a busy machine fails no test.
pub const BOUND: Duration = Duration::from_secs(60);
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub struct Control {
    pub ca: Authority,
    pub registry: Registry,
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    pub signals: Signals,
    pub running: Running,
    _events: Events,
    store: Arc<dyn Store>,
}

impl Control {
    /// Starts with an empty store and the built-in decisions.
    pub async fn start() -> Result<Self> {
        Self::start_with(Arc::new(BuiltInDecisions::default())).await
    }

    /// Starts with an empty store and other decisions.
    pub async fn start_with(decisions: Arc<dyn Decisions>) -> Result<Self> {
        let store = Arc::new(MemoryStore::new(HistoryBound::default()));
        Self::start_over(store, Authority::new("umbel")?, decisions).await
    }

    /// Starts anew over the same store.
    pub async fn restart(self) -> Result<Self> {
        drop(self.running);
        Self::start_over(self.store, self.ca, Arc::new(BuiltInDecisions::default())).await
    }

    async fn start_over(store: Arc<dyn Store>, ca: Authority, decisions: Arc<dyn Decisions>) -> Result<Self> {
        let registry = Registry::new(Arc::clone(&store));
        let shared = Arc::new(Shared::default());
        let metrics = Metrics::new()?;
        let (signals, heard) = Signals::channel(64);
        let Leaf { chain, key } = ca.client("front-proxy", &[])?;
        let tls = Arc::new(BackendTls::new(FrontProxy { chain, key }, ca.pem.as_bytes())?);
        let (recorder, events) = events::start(registry.clone());
        let running = ControlPlane::start(ControlConfig {
            registry: registry.clone(),
            shared: Arc::clone(&shared),
            tls,
            decisions,
            signals: heard,
            metrics: Arc::clone(&metrics),
            events: recorder,
        });
        anyhow::ensure!(running.ready().await, "the control plane stopped");
        Ok(Self { ca, registry, shared, metrics, signals, running, _events: events, store })
    }

    /// Makes `default/backend` mean loopback.
    pub async fn name_backend(&self) -> Result<()> {
        let object = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
            "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
        let options = WriteOptions::by("test");
        self.registry.create(&external_name::KIND, "default", to_object(object)?, &options).await?;
        Ok(())
    }

    /// Registers `v1.<group>` at a port of `default/backend`, trusting the own CA.
    pub async fn register(&self, group: &str, port: u16) -> Result<()> {
        self.register_with(group, port, json!({ "caBundle": encode(&self.ca.pem) })).await
    }

    /// The same with further fields of the spec.
    pub async fn register_with(&self, group: &str, port: u16, extra: Value) -> Result<()> {
        let mut object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1.{group}")},
            "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                "service": {"namespace": "default", "name": "backend", "port": port}}});
        for (key, value) in extra.as_object().context("an object")? {
            object["spec"][key] = value.clone();
        }
        self.registry.create(&api_service::KIND, "", to_object(object)?, &WriteOptions::by("test")).await?;
        Ok(())
    }

    /// Writes an APIService that was read before.
    pub async fn update(&self, object: Object) -> Result<()> {
        let key = ObjectKey::new("", object.name());
        let options = WriteOptions::by("test");
        self.registry.update(&api_service::KIND, &key, Part::Main, object, &options).await?;
        Ok(())
    }

    pub async fn unregister(&self, group: &str) -> Result<()> {
        let key = ObjectKey::new("", format!("v1.{group}"));
        self.registry.delete(&api_service::KIND, &key, &DeleteOptions::default()).await?;
        Ok(())
    }

    /// The stored APIService.
    pub async fn stored(&self, group: &str) -> Result<Object> {
        Ok(self.registry.get(&api_service::KIND, &ObjectKey::new("", format!("v1.{group}"))).await?)
    }

    /// Waits until the stored condition has this status, and returns it with the time that took.
    pub async fn condition(&self, group: &str, status: &str) -> Result<(Value, Duration)> {
        let began = Instant::now();
        let what = format!("{group} to be {status}");
        let condition = wait_for(&what, BOUND, || async {
            let object = self.stored(group).await?;
            let found = object.at(&["status", "conditions"]).and_then(|list| list.get(0)).cloned();
            let found = found.ok_or_else(|| anyhow!("no condition yet"))?;
            if found["status"] == status { Ok(found) } else { Err(anyhow!("{found}")) }
        })
        .await?;
        Ok((condition, began.elapsed()))
    }

    /// Why requests for a group are refused now; `None` when they pass.
    pub fn refusal(&self, group: &str) -> Option<String> {
        let snapshot = self.shared.load();
        match &snapshot.route(group, "v1")?.target {
            Target::Backend { availability: Availability::Open, .. } | Target::Local => None,
            Target::Backend { availability: Availability::Closed { message, .. }, .. }
            | Target::Unreachable { message, .. } => Some(message.clone()),
        }
    }

    /// The entry of a group in the aggregated document that is served now.
    pub fn discovered(&self, group: &str) -> Result<Option<Value>> {
        let snapshot = self.shared.load();
        let document = snapshot.documents.aggregated_v2.as_ref().context("no document")?;
        let value: Value = serde_json::from_slice(&document.identity)?;
        let items = value["items"].as_array().context("items")?.clone();
        Ok(items.into_iter().find(|item| item["metadata"]["name"] == group))
    }

    /// Waits until the only version of a group is shown with this freshness and so many resources.
    pub async fn discovery(&self, group: &str, freshness: &str, resources: usize) -> Result<Duration> {
        let began = Instant::now();
        wait_for(&format!("{group} to be {freshness} with {resources} resources"), BOUND, || async {
            let found = self.discovered(group)?.ok_or_else(|| anyhow!("not listed"))?;
            let version = &found["versions"][0];
            let count = version["resources"].as_array().map_or(0, Vec::len);
            if version["freshness"] == freshness && count == resources {
                Ok(())
            } else {
                Err(anyhow!("{found}"))
            }
        })
        .await?;
        Ok(began.elapsed())
    }
}

/// A backend that answers own paths only.
pub async fn legacy_backend(ca: &Authority, verbs: &'static [&'static str]) -> Result<Backend> {
    Backend::start(ca, &ALPN, legacy(verbs)).await
}

/// Answers `/apis/<g>/<v>` and nothing else.
pub fn legacy(verbs: &'static [&'static str]) -> Handler {
    handler(move |request: Request<Incoming>| async move {
        let parts: Vec<&str> = request.uri().path().split('/').collect();
        match parts.as_slice() {
            ["", "apis", group, version] => {
                let list = json!({"kind": "APIResourceList", "apiVersion": "v1",
                    "groupVersion": format!("{group}/{version}"),
                    "resources": [{"name": "things", "singularName": "thing", "namespaced": true,
                        "kind": "Thing", "verbs": verbs}]});
                Response::new(whole(list.to_string()))
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    })
}

/// Answers `/apis` with an aggregated document of these groups, and everything else with 404.
pub fn aggregated(groups: &'static [&'static str]) -> Handler {
    handler(move |request: Request<Incoming>| async move {
        if request.uri().path() != "/apis" || request.headers().get(header::ACCEPT).is_none_or(|a| a != V2) {
            return status(StatusCode::NOT_FOUND);
        }
        let mut response = if request.headers().get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"1\"") {
            status(StatusCode::NOT_MODIFIED)
        } else {
            let items: Vec<Value> = groups
                .iter()
                .map(|group| {
                    json!({"metadata": {"name": group}, "versions": [{"version": "v1", "freshness": "Current",
                    "resources": [{"resource": "things", "scope": "Namespaced", "singularResource": "thing",
                        "responseKind": {"group": group, "version": "v1", "kind": "Thing"},
                        "verbs": ["delete", "get", "list"]}]}]})
                })
                .collect();
            let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {}, "items": items});
            Response::new(whole(list.to_string()))
        };
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(V2));
        response.headers_mut().insert(header::ETAG, header::HeaderValue::from_static("\"1\""));
        response
    })
}

/// Answers everything so.
pub fn always(code: StatusCode) -> Handler {
    handler(move |_| async move { status(code) })
}

pub fn status(code: StatusCode) -> Response<crate::proxying::backend::Body> {
    let mut response = Response::new(whole(""));
    *response.status_mut() = code;
    response
}

pub fn encode(pem: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(pem)
}

fn to_object(value: Value) -> Result<Object> {
    Object::from_value(value).map_err(|value| anyhow!("no object: {value}"))
}
