//! Failures of the process as a whole: counted where they happen, read when `/metrics` is requested.

use super::sample::sample;
use super::{log_queue, panics};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;

/// A counter that lives elsewhere.
type Counter = (&'static str, &'static str, fn() -> u64);

const COUNTERS: [Counter; 2] = [
    (
        "umbel_log_lines_dropped_total",
        "Log lines that could not be written because standard error was closed, full or not read.",
        log_queue::dropped,
    ),
    ("umbel_panics_total", "Panics; each ended one connection, request or task.", panics::count),
];

/// Shows these counters.
#[derive(Debug)]
pub(super) struct IncidentCollector(Vec<Desc>);

impl IncidentCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let describe =
            |(name, help, _): Counter| Desc::new(name.to_owned(), help.to_owned(), vec![], HashMap::new());
        Ok(Self(COUNTERS.into_iter().map(describe).collect::<Result<_, _>>()?))
    }
}

impl Collector for IncidentCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        COUNTERS.into_iter().map(family).collect()
    }
}

fn family((name, help, read): Counter) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::COUNTER);
    #[allow(clippy::cast_precision_loss, reason = "Prometheus counters are doubles")]
    family.set_metric(vec![sample(MetricType::COUNTER, read() as f64)]);
    family
}
