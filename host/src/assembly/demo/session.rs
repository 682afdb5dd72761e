//! The running demo: its processes, and their registration.

use super::DemoError;
use super::admin::Admin;
use super::children::{Running, SampleServer, backend_directory, start_gateway};
use super::kinds::Sample;
use crate::model::yaml;
use crate::object::yaml_stream;
use crate::pki::{BackendRequest, prepare_backend, server_of_kubeconfig};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a part may take to start on a busy machine.
const START: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

/// A tree to create, for the user and for the check.
const TREE: &str = "apiVersion: orchard.example.com/v1\nkind: Tree\nmetadata:\n  name: old-apple\n  \
                    namespace: default\nspec:\n  fruit: apple\n  heightCentimetres: 420\n";

/// Everything that runs. Dropping it ends all of it.
pub(super) struct Session {
    pub(super) admin: Admin,
    pub(super) orchard: SampleServer,
    pub(super) harbour: SampleServer,
    gateway: Running,
    address: SocketAddr,
    home: PathBuf,
}

impl Session {
    /// Starts the three processes and registers the backends.
    pub(super) async fn start(home: &Path) -> Result<Self, DemoError> {
        let mut gateway = start_gateway(home)?;
        let data_dir = home.join("data");
        let address = wait_for("the gateway to say where it serves", START, async || {
            let kubeconfig = std::fs::read_to_string(data_dir.join("admin.kubeconfig"));
            let server = kubeconfig.ok().and_then(|text| server_of_kubeconfig(&text));
            let address = server.and_then(|url| url.strip_prefix("https://")?.parse().ok());
            if !gateway.is_running() {
                return Err(Refusal::Final(format!("the gateway ended:\n{}", gateway.last_words())));
            }
            address.ok_or_else(|| Refusal::NotYet("nothing yet".to_owned()))
        })
        .await?;
        let admin = Admin::new(address, &data_dir)?;
        wait_for("the gateway to be ready", START, async || Ok(admin.get("/version").await?)).await?;
        let (orchard, harbour) = (prepare(Sample::Orchard, home)?, prepare(Sample::Harbour, home)?);
        for sample in Sample::ALL {
            register(&admin, &backend_directory(home, sample)).await?;
        }
        std::fs::write(home.join("tree.yaml"), TREE).map_err(DemoError::new)?;
        let mut session = Self { admin, orchard, harbour, gateway, address, home: home.to_owned() };
        session.wait_available().await?;
        Ok(session)
    }

    /// Waits until both backends are available.
    async fn wait_available(&mut self) -> Result<(), DemoError> {
        for sample in Sample::ALL {
            let admin = self.admin.clone();
            let what = format!("{} to be available", sample.name());
            let waited = wait_for(&what, START, async || {
                let (status, reason) = available(&admin, sample).await?;
                if status == "True" { Ok(()) } else { Err(Refusal::NotYet(reason)) }
            });
            if let Err(error) = waited.await {
                let server = if sample == Sample::Orchard { &self.orchard } else { &self.harbour };
                let words = server.process.last_words();
                return Err(DemoError(format!("{error}\n{words}\n{}", self.gateway.last_words())));
            }
        }
        Ok(())
    }

    /// The gateway's URL.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The administrator's kubeconfig.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.home.join("data/admin.kubeconfig")
    }

    /// The temporary directory.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }
}

/// What the APIService of a sample says: status and reason of its condition `Available`.
pub(super) async fn available(admin: &Admin, sample: Sample) -> Result<(String, String), DemoError> {
    let kind = sample.kind();
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{}.{}", kind.version, kind.group);
    Ok(condition(&admin.get(&path).await?))
}

/// Status and reason of the condition `Available`.
pub(super) fn condition(api_service: &Value) -> (String, String) {
    let conditions = api_service.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Available"));
    let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or("Unknown").to_owned();
    (text("status"), text("reason"))
}

/// The tree of `tree.yaml` as JSON.
pub(super) fn tree() -> Result<Value, DemoError> {
    yaml::read(TREE).map_err(DemoError::new)
}

/// Does what `umbel backend init` does, and starts the server with it.
fn prepare(sample: Sample, home: &Path) -> Result<SampleServer, DemoError> {
    let kind = sample.kind();
    let port = free_port().map_err(DemoError::new)?;
    prepare_backend(&BackendRequest {
        data_dir: &home.join("data"),
        namespace: "default",
        name: sample.name(),
        group: kind.group,
        versions: &[kind.version.to_owned()],
        host: "127.0.0.1",
        port,
        out: &backend_directory(home, sample),
        now: SystemTime::now(),
    })
    .map_err(DemoError::new)?;
    SampleServer::start(sample, port, home)
}

/// Applies `register.yaml`.
async fn register(admin: &Admin, directory: &Path) -> Result<(), DemoError> {
    let text = std::fs::read_to_string(directory.join("register.yaml")).map_err(DemoError::new)?;
    for read in yaml_stream::objects(&text) {
        let object = read.map_err(DemoError::new)?.1.into_value();
        let path = match object["kind"].as_str() {
            Some("ExternalName") => "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames",
            _ => "/apis/apiregistration.k8s.io/v1/apiservices",
        };
        admin.create(path, &object).await?;
    }
    Ok(())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Why a condition is not true.
pub(super) enum Refusal {
    /// It may become true.
    NotYet(String),
    /// It never will.
    Final(String),
}

impl From<DemoError> for Refusal {
    fn from(error: DemoError) -> Self {
        Self::NotYet(error.0)
    }
}

/// Asks again and again until `condition` succeeds or `bound` has passed.
pub(super) async fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, Refusal>,
) -> Result<T, DemoError> {
    let start = Instant::now();
    loop {
        let refusal = match condition().await {
            Ok(value) => return Ok(value),
            Err(Refusal::Final(text)) => return Err(DemoError(text)),
            Err(Refusal::NotYet(text)) => text,
        };
        if start.elapsed() > bound {
            return Err(DemoError(format!("waited {bound:?} for {what}: {refusal}")));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
