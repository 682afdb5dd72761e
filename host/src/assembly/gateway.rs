//! All parts of one serving process, built in order and taken down in order.

use super::CommandError;
use super::controllers::Controllers;
use super::parts::{
    backend_tls, bind, control_runtime, ensure_credentials, listen_tls, make_manifest_dir, open_store,
    read_tokens, start_plugins,
};
use super::renewal::{self, Shown};
use crate::api::{Api, ApiConfig, Readiness};
use crate::config::ServeConfig;
use crate::control::{ControlConfig, events, plugins as plugin_objects};
use crate::observe::{BudgetCollector, Metrics, Supervisor};
use crate::proxy::{ANSWER_STALL, DataPlane, DataPlaneConfig};
use crate::registry::Registry;
use crate::route::{Shared, Signals};
use crate::store::Store;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The latch that opens when every stored APIService is routed.
const ROUTES: &str = "poststarthook/apiservice-registration-controller";
/// The latch that opens when the manifest directory has been applied once.
const MANIFESTS: &str = "poststarthook/manifests";
/// How many hints from traffic may wait for the control plane.
const SIGNALS_MAX: usize = 1024;
/// How long control tasks may take to notice that the process ends.
const CONTROL_STOP: Duration = Duration::from_secs(2);

/// A serving process.
pub(super) struct Gateway {
    address: SocketAddr,
    readiness: Arc<Readiness>,
    data_plane: DataPlane,
    control: Controllers,
    runtime: Runtime,
}

fn show_uploads(metrics: &Metrics, data_plane: &DataPlane) -> Result<(), CommandError> {
    let help = "Room that is reserved for bodies of requests which are not passed on yet.";
    let collector = BudgetCollector::new("umbel_upload_buffer_bytes", help, Arc::clone(data_plane.uploads()));
    metrics.add(collector.map_err(CommandError::failed)?).map_err(CommandError::failed)
}

impl Gateway {
    /// Builds everything and starts to serve. The store comes first, because its lock keeps a second process
    /// from touching anything; the kubeconfig is written once the port is known.
    pub(super) fn start(config: &ServeConfig) -> Result<Self, CommandError> {
        let store: Arc<dyn Store> = Arc::new(open_store(config)?);
        let credentials = ensure_credentials(config)?;
        let listener = bind(config.listen)?;
        let tls = listen_tls(config, &credentials)?;
        let backend_tls = backend_tls(&credentials)?;
        let tokens = read_tokens(config)?;
        let runtime = control_runtime()?;
        let metrics = Metrics::new().map_err(CommandError::failed)?;
        let plugins = start_plugins(config, &listener, &metrics)?;
        let readiness = Readiness::new(&[ROUTES, MANIFESTS]);
        let shared = Arc::new(Shared::default());
        let registry = Registry::new(store);
        runtime
            .block_on(plugin_objects::restore(plugins.as_ref(), &registry))
            .map_err(|failure| CommandError::failed(failure.message))?;
        runtime.block_on(make_manifest_dir(config, &registry))?;
        let (signals, heard) = Signals::channel(SIGNALS_MAX);
        // Whatever starts there spawns its tasks on the control runtime.
        let entered = runtime.enter();
        let (recorder, events) = events::start(registry.clone());
        let control = ControlConfig {
            registry: registry.clone(),
            shared: Arc::clone(&shared),
            tls: Arc::clone(&backend_tls),
            decisions: plugins.clone(),
            signals: heard,
            metrics: Arc::clone(&metrics),
            events: recorder,
        };
        let control = Controllers::start(control, config.manifest_dir.clone(), plugins.clone(), events);
        drop(entered);
        let local = Api::new(ApiConfig {
            kinds: &crate::kind::ALL,
            registry,
            shared: Arc::clone(&shared),
            readiness: Arc::clone(&readiness),
            metrics: Arc::clone(&metrics),
            plugins: Some(plugins),
            runtime: runtime.handle().clone(),
        });
        let data_plane = DataPlane::start(DataPlaneConfig {
            listener,
            workers: config.worker_threads,
            tls: Arc::clone(&tls),
            tokens,
            drain_timeout: config.drain_timeout,
            upload_pause: crate::model::failure::UPLOAD_PAUSE,
            answer_stall: ANSWER_STALL,
            snapshots: shared,
            local,
            signals,
        })
        .map_err(|error| CommandError::failed(format!("cannot start the workers: {error}")))?;
        show_uploads(&metrics, &data_plane)?;
        let address = data_plane.local_addr();
        credentials.publish(address).map_err(CommandError::failed)?;
        let (renewed, shown) = (config.clone(), Shown { listen: tls, backends: backend_tls });
        runtime.spawn(async move {
            let mut supervisor = Supervisor::new("renewing certificates");
            while supervisor.must_restart(renewal::run(renewed.clone(), address, shown.clone())).await {}
        });
        Ok(Self { address, readiness, data_plane, control, runtime })
    }

    /// Where clients reach it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the manifests are applied and every stored APIService is routed, then opens the latches of `/readyz`.
    pub(super) async fn become_ready(&self) {
        self.control.manifests.first_look().await;
        self.readiness.open(MANIFESTS);
        if self.control.routes.ready().await {
            self.readiness.open(ROUTES);
        }
    }

    /// Fails `/readyz`, drains the data plane within its bound, then stops the control plane and closes the
    /// store. Blocks.
    pub(super) fn stop(self) {
        self.readiness.shut_down();
        self.data_plane.drain();
        drop(self.control);
        self.runtime.shutdown_timeout(CONTROL_STOP);
    }
}
