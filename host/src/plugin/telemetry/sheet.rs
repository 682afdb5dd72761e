//! Samples on their way to `/metrics`.

use super::histogram::Histogram;
use crate::observe::sample;
use prometheus::core::Desc;
use prometheus::proto::{Bucket, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};

/// A metric: its name, what it means, what it is, and its labels.
#[derive(Debug)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
}

impl About {
    pub(super) fn description(&self) -> Result<Desc, prometheus::Error> {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, HashMap::new())
    }
}

/// Metrics with their samples.
#[derive(Debug, Default)]
pub(super) struct Sheet(BTreeMap<&'static str, MetricFamily>);

impl Sheet {
    /// Notes one number. `labels` are the values of the metric's labels, in their order.
    pub(super) fn write(&mut self, about: &About, labels: &[&str], value: f64) {
        let mut metric = sample(about.kind, value);
        metric.set_label(pairs(about, labels));
        self.add(about, metric);
    }

    /// The same for a count; exact up to 2^53, as every number of Prometheus.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
    pub(super) fn count(&mut self, about: &About, labels: &[&str], value: u64) {
        self.write(about, labels, value as f64);
    }

    /// Notes durations.
    pub(super) fn durations(&mut self, about: &About, labels: &[&str], values: &Histogram) {
        let bucket = |(bound, count): (std::time::Duration, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(values.cumulative().into_iter().map(bucket).collect());
        histogram.set_sample_count(values.count());
        histogram.set_sample_sum(values.total().as_secs_f64());
        let mut metric = Metric::from_label(pairs(about, labels));
        metric.set_histogram(histogram);
        self.add(about, metric);
    }

    fn add(&mut self, about: &About, metric: Metric) {
        let family = self.0.entry(about.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(about.name.to_owned());
            family.set_help(about.help.to_owned());
            family.set_field_type(about.kind);
            family
        });
        family.mut_metric().push(metric);
    }

    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }
}

fn pairs(about: &About, values: &[&str]) -> Vec<LabelPair> {
    let mut named: Vec<_> = about.labels.iter().zip(values).collect();
    // As everywhere else in the text format of the client library.
    named.sort();
    named
        .into_iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect()
}
