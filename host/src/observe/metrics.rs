//! The counters that `/metrics` shows, under the names that dashboards of Kubernetes know (contract §3.9, §5.4,
//! §7.5).

use super::incidents::IncidentCollector;
use super::process::ProcessCollector;
use super::proxied::{ProxiedCollector, ProxiedRequests};
use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// Why the metrics cannot be set up or shown: a name that is no metric name, or one registered twice.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Upper bounds in seconds, as upstream has them for `apiserver_request_duration_seconds`.
const DURATION_BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

const REQUEST: [&str; 6] = ["verb", "group", "version", "resource", "subresource", "scope"];

/// What a request to an own kind was. Every value comes from a fixed set, never from the client's free text,
/// so that nobody can grow the number of series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLabels<'a> {
    /// `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `DELETECOLLECTION`, or `other`.
    pub verb: &'a str,
    /// API group, empty for paths that are no resources.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural resource name.
    pub resource: &'a str,
    /// `status`, or empty; for other paths the path itself, as upstream does (`openapi/v3`).
    pub subresource: &'a str,
    /// `cluster`, `namespace`, `resource` (one object), or empty.
    pub scope: &'a str,
    /// `All` for a dry run, else empty.
    pub dry_run: &'a str,
}

impl<'a> RequestLabels<'a> {
    fn base(&self) -> [&'a str; 6] {
        [self.verb, self.group, self.version, self.resource, self.subresource, self.scope]
    }
}

/// Every metric of the program. One per process, shared by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    unavailable: IntGaugeVec,
    unavailable_total: IntCounterVec,
    discovery_aggregations: IntCounter,
    requests: IntCounterVec,
    durations: HistogramVec,
    long_running: IntGaugeVec,
    terminations: IntCounterVec,
    proxied: ProxiedCollector,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// Only when two metrics share a name, which a test of this module rules out.
    pub fn new() -> Result<Arc<Self>, MetricsError> {
        let metrics = Self {
            registry: Registry::new(),
            unavailable: IntGaugeVec::new(
                Opts::new(
                    "aggregator_unavailable_apiservice",
                    "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
                ),
                &["name"],
            )?,
            unavailable_total: IntCounterVec::new(
                Opts::new(
                    "aggregator_unavailable_apiservice_total",
                    "Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
                ),
                &["name", "reason"],
            )?,
            discovery_aggregations: IntCounter::new(
                "aggregator_discovery_aggregation_count_total",
                "Counter of number of times discovery was aggregated",
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "apiserver_request_total",
                    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
                ),
                &with(&["dry_run", "component", "code"]),
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "apiserver_request_duration_seconds",
                    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &with(&["dry_run", "component"]),
            )?,
            long_running: IntGaugeVec::new(
                Opts::new(
                    "apiserver_longrunning_requests",
                    "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.",
                ),
                &with(&["component"]),
            )?,
            terminations: IntCounterVec::new(
                Opts::new(
                    "apiserver_request_terminations_total",
                    "Number of requests which apiserver terminated in self-defense.",
                ),
                &with(&["component", "code"]),
            )?,
            proxied: ProxiedCollector::new()?,
        };
        metrics.register()?;
        Ok(Arc::new(metrics))
    }

    fn register(&self) -> Result<(), MetricsError> {
        self.registry.register(Box::new(self.unavailable.clone()))?;
        self.registry.register(Box::new(self.unavailable_total.clone()))?;
        self.registry.register(Box::new(self.discovery_aggregations.clone()))?;
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.durations.clone()))?;
        self.registry.register(Box::new(self.long_running.clone()))?;
        self.registry.register(Box::new(self.terminations.clone()))?;
        self.registry.register(Box::new(self.proxied.clone()))?;
        self.registry.register(Box::new(ProcessCollector::new()?))?;
        self.registry.register(Box::new(IncidentCollector::new()?))?;
        let build = IntGauge::with_opts(
            Opts::new("umbel_build_info", "Always 1; the labels say what is running.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        self.registry.register(Box::new(build))?;
        Ok(())
    }

    /// Says whether an APIService is available; call it after every check (contract §5.4).
    pub fn set_available(&self, api_service: &str, available: bool) {
        self.unavailable.with_label_values(&[api_service]).set(i64::from(!available));
    }

    /// Counts a change of an APIService from available to anything else.
    pub fn count_unavailable(&self, api_service: &str, reason: &str) {
        let reason = if reason.is_empty() { "UnknownReason" } else { reason };
        self.unavailable_total.with_label_values(&[api_service, reason]).inc();
    }

    /// Drops the gauge of an APIService that was deleted.
    pub fn forget_api_service(&self, api_service: &str) {
        // An APIService that was never checked has no series to remove.
        drop(self.unavailable.remove_label_values(&[api_service]));
    }

    /// Counts one rebuild of the aggregated discovery document.
    pub fn count_discovery_aggregation(&self) {
        self.discovery_aggregations.inc();
    }

    /// Records one finished request to an own kind.
    pub fn record_request(&self, labels: &RequestLabels<'_>, code: u16, took: Duration) {
        let [verb, group, version, resource, subresource, scope] = labels.base();
        let common = [verb, group, version, resource, subresource, scope, labels.dry_run, COMPONENT];
        self.durations.with_label_values(&common).observe(took.as_secs_f64());
        let code = code.to_string();
        let [verb, group, version, resource, subresource, scope, dry_run, component] = common;
        let all = [verb, group, version, resource, subresource, scope, dry_run, component, &code];
        self.requests.with_label_values(&all).inc();
    }

    /// Counts a long-running request (a watch) for as long as the answer lives.
    pub fn long_running(&self, labels: &RequestLabels<'_>) -> LongRunning {
        let [verb, group, version, resource, subresource, scope] = labels.base();
        let gauge = self.long_running.with_label_values(&[
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
            COMPONENT,
        ]);
        gauge.inc();
        LongRunning(gauge)
    }

    /// Counts a request that was cut off to protect the server: a timeout, a drain, too many in flight.
    pub fn count_termination(&self, labels: &RequestLabels<'_>, code: u16) {
        let [verb, group, version, resource, subresource, scope] = labels.base();
        let code = code.to_string();
        let all = [verb, group, version, resource, subresource, scope, COMPONENT, &code];
        self.terminations.with_label_values(&all).inc();
    }

    /// The counters of the requests that are forwarded for one group-version. Ask once per route and keep the
    /// answer; counting itself takes no lock. Asking again gives the same counters.
    pub fn proxied(&self, group: &str, version: &str) -> Arc<ProxiedRequests> {
        self.proxied.handle(group, version)
    }

    /// Shows what another part collects.
    ///
    /// # Errors
    /// When a metric of that name is there already.
    pub fn add(&self, collector: impl Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.registry.register(Box::new(collector))?)
    }

    /// `Content-Type` of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// The body of `/metrics`.
    ///
    /// # Errors
    /// When a metric family is inconsistent, which would be a defect of this program.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

const COMPONENT: &str = "apiserver";

fn with(further: &[&'static str]) -> Vec<&'static str> {
    REQUEST.iter().chain(further).copied().collect()
}

/// Counts a long-running request until it is dropped.
#[derive(Debug)]
pub struct LongRunning(IntGauge);

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    const LIST: RequestLabels<'static> = RequestLabels {
        verb: "LIST",
        group: "apiregistration.k8s.io",
        version: "v1",
        resource: "apiservices",
        subresource: "",
        scope: "cluster",
        dry_run: "",
    };

    #[test]
    fn availability_is_a_gauge_that_goes_with_its_object_and_a_counter_that_stays() {
        let metrics = Metrics::new().unwrap();
        metrics.set_available("v1.example.com", false);
        metrics.count_unavailable("v1.example.com", "FailedDiscoveryCheck");
        metrics.count_unavailable("v1.example.com", "");
        let shown = text(&metrics);
        assert!(shown.contains("aggregator_unavailable_apiservice{name=\"v1.example.com\"} 1\n"), "{shown}");
        let counter = "aggregator_unavailable_apiservice_total{name=\"v1.example.com\",reason=";
        assert!(shown.contains(&format!("{counter}\"FailedDiscoveryCheck\"}} 1\n")), "{shown}");
        assert!(shown.contains(&format!("{counter}\"UnknownReason\"}} 1\n")), "{shown}");
        metrics.set_available("v1.example.com", true);
        assert!(text(&metrics).contains("aggregator_unavailable_apiservice{name=\"v1.example.com\"} 0\n"));
        metrics.forget_api_service("v1.example.com");
        metrics.forget_api_service("v1.example.com");
        let shown = text(&metrics);
        assert!(!shown.contains("aggregator_unavailable_apiservice{"), "{shown}");
        assert!(shown.contains(counter), "{shown}");
    }

    #[test]
    fn requests_are_counted_and_timed_under_upstreams_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.record_request(&LIST, 200, Duration::from_millis(3));
        let shown = text(&metrics);
        let labels = "component=\"apiserver\",dry_run=\"\",group=\"apiregistration.k8s.io\",resource=\"apiservices\",scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\"";
        let wanted = format!("apiserver_request_total{{code=\"200\",{labels}}} 1\n");
        assert!(shown.contains(&wanted), "{shown}");
        let bucket = format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 1\n");
        assert!(shown.contains(&bucket), "{shown}");
    }

    #[test]
    fn a_long_running_request_counts_until_it_ends() {
        let metrics = Metrics::new().unwrap();
        let watch = metrics.long_running(&RequestLabels { verb: "WATCH", ..LIST });
        let of = |shown: &str| {
            let line = shown.lines().find(|l| l.starts_with("apiserver_longrunning_requests{")).unwrap();
            line.rsplit(' ').next().unwrap().to_owned()
        };
        assert_eq!(of(&text(&metrics)), "1");
        drop(watch);
        assert_eq!(of(&text(&metrics)), "0");
    }

    #[test]
    fn the_process_and_the_build_describe_themselves() {
        let shown = text(&Metrics::new().unwrap());
        let build = format!("umbel_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        assert!(shown.contains(&build), "{shown}");
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(shown.contains(&format!("\n{name} ")), "{name} in {shown}");
        }
    }
}
