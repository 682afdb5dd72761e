//! One number as the client library of Prometheus wants it.

use prometheus::proto::{Counter, Gauge, Metric, MetricType};

/// A sample without labels: a counter where `kind` says so, a gauge otherwise.
pub fn sample(kind: MetricType, value: f64) -> Metric {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}
