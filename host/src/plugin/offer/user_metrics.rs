//! Metrics of the plugins' own, shown among those of the gateway.

use crate::observe::{Metrics, MetricsError};
use crate::plugin::offer::declared_metrics::{DeclaredMetric, MetricKind};
use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, Opts};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What stands before every name.
const PREFIX: &str = "aggregator_plugin_user_";
/// The only label.
const PLUGIN: &str = "plugin";

/// What a plugin does to one of its metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::plugin) enum Reading {
    /// A counter goes up.
    Count(u32),
    /// A gauge is set.
    Set(f64),
    /// A histogram gets an observation.
    Observe(f64),
}

impl Reading {
    /// The kind of metric that it is for.
    pub(in crate::plugin) fn kind(self) -> MetricKind {
        match self {
            Self::Count(_) => MetricKind::Counter,
            Self::Set(_) => MetricKind::Gauge,
            Self::Observe(_) => MetricKind::Histogram,
        }
    }
}

#[derive(Clone, Debug)]
enum Series {
    Counter(IntCounter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Series {
    fn open(plugin: &str, metric: &DeclaredMetric) -> prometheus::Result<Self> {
        let help = if metric.help.is_empty() { "Metric of a plugin." } else { &metric.help };
        let opts = Opts::new(format!("{PREFIX}{}", metric.name), help).const_label(PLUGIN, plugin);
        Ok(match metric.kind {
            MetricKind::Counter => Self::Counter(IntCounter::with_opts(opts)?),
            MetricKind::Gauge => Self::Gauge(Gauge::with_opts(opts)?),
            MetricKind::Histogram => Self::Histogram(Histogram::with_opts(HistogramOpts::from(opts))?),
        })
    }

    fn kind(&self) -> MetricKind {
        match self {
            Self::Counter(_) => MetricKind::Counter,
            Self::Gauge(_) => MetricKind::Gauge,
            Self::Histogram(_) => MetricKind::Histogram,
        }
    }

    fn note(&self, reading: Reading) {
        match (self, reading) {
            (Self::Counter(counter), Reading::Count(by)) => counter.inc_by(u64::from(by)),
            (Self::Gauge(gauge), Reading::Set(value)) => gauge.set(value),
            (Self::Histogram(histogram), Reading::Observe(value)) => histogram.observe(value),
            // The caller has found the series by the kind of the reading.
            _ => {}
        }
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match self {
            Self::Counter(counter) => counter.collect(),
            Self::Gauge(gauge) => gauge.collect(),
            Self::Histogram(histogram) => histogram.collect(),
        }
    }
}

/// The metrics of all plugins, by plugin and name.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct UserMetrics(Arc<Mutex<BTreeMap<String, BTreeMap<String, Series>>>>);

impl UserMetrics {
    /// Notes a reading of a metric of that kind. `declared` is all that the plugin's manifest declares; what it
    /// declares no more is dropped.
    ///
    /// # Errors
    /// When another plugin shows the same name as something else, or the value cannot be shown.
    pub(in crate::plugin) fn note(
        &self,
        plugin: &str,
        metric: &DeclaredMetric,
        declared: &[DeclaredMetric],
        reading: Reading,
    ) -> Result<(), String> {
        if let Reading::Set(value) | Reading::Observe(value) = reading
            && !value.is_finite()
        {
            return Err(format!("{value} is no value for metric {:?}", metric.name));
        }
        let mut all = self.0.lock();
        let twin = all.iter().find_map(|(other, series)| {
            let series = series.get(&metric.name).filter(|_| other != plugin)?;
            (series.kind() != metric.kind).then(|| (other.clone(), series.kind()))
        });
        if let Some((other, kind)) = twin {
            let (name, kind) = (&metric.name, kind.word());
            return Err(format!("plugin {other:?} shows {name:?} as {kind}; choose another name"));
        }
        let own = all.entry(plugin.to_owned()).or_default();
        own.retain(|name, series| {
            declared.iter().any(|metric| metric.name == *name && metric.kind == series.kind())
        });
        if !own.contains_key(&metric.name) {
            let series = Series::open(plugin, metric).map_err(|error| error.to_string())?;
            own.insert(metric.name.clone(), series);
        }
        if let Some(series) = own.get(&metric.name) {
            series.note(reading);
        }
        Ok(())
    }

    /// Shows them among those of the gateway.
    ///
    /// # Errors
    /// When they are shown there already.
    pub(in crate::plugin) fn show_in(&self, metrics: &Metrics) -> Result<(), MetricsError> {
        let help = "Metrics that plugins declare.".to_owned();
        let description = Desc::new(format!("{PREFIX}all"), help, vec![PLUGIN.to_owned()], HashMap::new())?;
        metrics.add(Shown(self.clone(), description))
    }

    /// Drops the metrics of a plugin whose file is gone.
    pub(in crate::plugin) fn forget(&self, plugin: &str) {
        self.0.lock().remove(plugin);
    }
}

/// The same as a part of the gateway's metrics.
struct Shown(UserMetrics, Desc);

impl Collector for Shown {
    /// Nobody knows beforehand which ones there will be, so this one stands for all.
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.1]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.0.0.lock();
        all.values().flat_map(BTreeMap::values).flat_map(Series::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml;

    const DECLARED: &str = "[{name: lookups, type: counter, help: Names that were looked up.}, \
                            {name: load, type: gauge}, {name: seconds, type: histogram}]";

    fn declared(text: &str) -> Vec<DeclaredMetric> {
        yaml::read(text).unwrap()
    }

    #[test]
    fn metrics_stand_beside_those_of_the_gateway() {
        let (shown, metrics) = (Metrics::new().unwrap(), UserMetrics::default());
        metrics.show_in(&shown).unwrap();
        let all = declared(DECLARED);
        for plugin in ["a", "b"] {
            metrics.note(plugin, &all[0], &all, Reading::Count(2)).unwrap();
            metrics.note(plugin, &all[0], &all, Reading::Count(3)).unwrap();
        }
        metrics.note("a", &all[1], &all, Reading::Set(0.5)).unwrap();
        metrics.note("a", &all[2], &all, Reading::Observe(0.2)).unwrap();
        let text = || String::from_utf8(shown.render().unwrap()).unwrap();
        let full = text();
        for line in [
            "# HELP aggregator_plugin_user_lookups Names that were looked up.\n",
            "# TYPE aggregator_plugin_user_lookups counter\n",
            "aggregator_plugin_user_lookups{plugin=\"a\"} 5\n",
            "aggregator_plugin_user_lookups{plugin=\"b\"} 5\n",
            "aggregator_plugin_user_load{plugin=\"a\"} 0.5\n",
            "aggregator_plugin_user_seconds_count{plugin=\"a\"} 1\n",
        ] {
            assert_eq!(full.matches(line).count(), 1, "{line} in {full}");
        }
        metrics.forget("b");
        assert!(!text().contains("plugin=\"b\""), "{}", text());
        // A new manifest declares less.
        metrics.note("a", &all[0], &all[..1], Reading::Count(1)).unwrap();
        assert!(!text().contains("user_load"), "{}", text());
        assert!(text().contains("aggregator_plugin_user_lookups{plugin=\"a\"} 6\n"), "{}", text());
    }

    #[test]
    fn one_name_means_one_thing() {
        let metrics = UserMetrics::default();
        let (first, second) = (declared("[{name: x, type: gauge}]"), declared("[{name: x, type: counter}]"));
        metrics.note("a", &first[0], &first, Reading::Set(1.0)).unwrap();
        let refused = metrics.note("b", &second[0], &second, Reading::Count(1)).unwrap_err();
        assert!(refused.contains("plugin \"a\" shows \"x\" as gauge"), "{refused}");
        for value in [f64::NAN, f64::INFINITY] {
            assert!(metrics.note("a", &first[0], &first, Reading::Set(value)).is_err());
        }
        // The plugin itself may change its mind.
        metrics.note("a", &second[0], &second, Reading::Count(1)).unwrap();
    }
}
