//! Counting forwarded requests at the price of one atomic addition.

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const NAME: &str = "umbel_proxied_requests_total";
const HELP: &str = "Requests for a group-version of a backend, by the code that the client received; 0 when the client went away first.";

/// Codes that share a hundred; most routes only ever answer with one or two of those.
type Hundred = [AtomicU64; 100];

/// The counters of one group-version.
#[derive(Debug, Default)]
pub struct ProxiedRequests([OnceLock<Box<Hundred>>; 6]);

impl ProxiedRequests {
    /// Counts one request by the status that the client received; 0 when it went away first. Takes no lock
    /// and, but for the first code of each hundred, allocates nothing.
    pub fn count(&self, code: u16) {
        let (hundred, rest) = (usize::from(code / 100), usize::from(code % 100));
        let Some(slot) = self.0.get(hundred) else { return };
        let counters = slot.get_or_init(|| Box::new([const { AtomicU64::new(0) }; 100]));
        counters[rest].fetch_add(1, Ordering::Relaxed);
    }

    /// Every code that was counted, with its count, in ascending order.
    fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().enumerate().filter_map(|(hundred, slot)| Some((hundred, slot.get()?))).flat_map(
            |(hundred, counters)| {
                let read = move |(rest, counter): (usize, &AtomicU64)| {
                    (hundred * 100 + rest, counter.load(Ordering::Relaxed))
                };
                counters.iter().enumerate().map(read).filter(|(_, count)| *count > 0)
            },
        )
    }
}

/// Key: group and version. Kept for the life of the process, as counters have to be.
type Table = Arc<Mutex<BTreeMap<(String, String), Arc<ProxiedRequests>>>>;

/// Hands out counters and shows them.
#[derive(Clone, Debug)]
pub(super) struct ProxiedCollector {
    table: Table,
    description: Desc,
}

impl ProxiedCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let labels = ["group", "version", "code"].map(str::to_owned).to_vec();
        let description = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())?;
        Ok(Self { table: Table::default(), description })
    }

    pub(super) fn handle(&self, group: &str, version: &str) -> Arc<ProxiedRequests> {
        Arc::clone(self.table.lock().entry((group.to_owned(), version.to_owned())).or_default())
    }
}

impl Collector for ProxiedCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metrics = Vec::new();
        for ((group, version), requests) in self.table.lock().iter() {
            for (code, count) in requests.counts() {
                metrics.push(sample(group, version, code, count));
            }
        }
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(metrics);
        vec![family]
    }
}

fn sample(group: &str, version: &str, code: usize, count: u64) -> Metric {
    let label = |name: &str, value: &str| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let code = code.to_string();
    let labels = vec![label("code", &code), label("group", group), label("version", version)];
    let mut metric = Metric::from_label(labels);
    let mut counter = Counter::default();
    // Exact up to 2^53, as every Prometheus counter.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus counters are doubles")]
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, Registry, TextEncoder};

    #[test]
    fn each_code_has_its_own_count_and_a_route_that_comes_back_counts_on() {
        let collector = ProxiedCollector::new().unwrap();
        let registry = Registry::new();
        registry.register(Box::new(collector.clone())).unwrap();
        let route = collector.handle("wardle.example.com", "v1alpha1");
        for code in [200, 200, 503, 0, 999, 65_535] {
            route.count(code);
        }
        drop(route);
        collector.handle("wardle.example.com", "v1alpha1").count(200);
        let mut out = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let lines: Vec<_> = shown.lines().filter(|l| !l.starts_with('#')).collect();
        let labels = "group=\"wardle.example.com\",version=\"v1alpha1\"";
        assert_eq!(
            lines,
            [
                format!("umbel_proxied_requests_total{{code=\"0\",{labels}}} 1"),
                format!("umbel_proxied_requests_total{{code=\"200\",{labels}}} 3"),
                format!("umbel_proxied_requests_total{{code=\"503\",{labels}}} 1"),
            ]
        );
    }
}
