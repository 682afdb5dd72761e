//! `spec.metrics` of a manifest: what a plugin may count, set and observe.

use serde::Deserialize;
use std::collections::BTreeSet;

/// Metrics of one plugin.
const METRICS_MAX: usize = 32;
/// Bytes of a name, and of what is said about it.
const NAME_MAX: usize = 64;
const HELP_MAX: usize = 256;
/// What the text format makes of histograms.
const RESERVED: [&str; 3] = ["_bucket", "_sum", "_count"];

/// One metric of a plugin's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::plugin) struct DeclaredMetric {
    /// Its name, without the prefix that all of them get.
    pub name: String,
    /// How it moves.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// One line for people.
    #[serde(default)]
    pub help: String,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugin) enum MetricKind {
    /// Only up.
    Counter,
    /// To any value.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl MetricKind {
    /// The word of the manifest.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// All errors in the metrics of a manifest.
pub(in crate::plugin) fn check_metrics(metrics: &[DeclaredMetric]) -> Vec<String> {
    let mut mistakes = Vec::new();
    if metrics.len() > METRICS_MAX {
        mistakes.push(format!("spec.metrics has {} entries; {METRICS_MAX} are the limit", metrics.len()));
    }
    let mut seen = BTreeSet::new();
    for metric in metrics.iter().take(METRICS_MAX) {
        let name = &metric.name;
        let why = metric.mistake().or_else(|| (!seen.insert(name)).then(|| "stands twice".to_owned()));
        mistakes.extend(why.map(|why| format!("spec.metrics: {name:?} {why}")));
    }
    mistakes
}

impl DeclaredMetric {
    fn mistake(&self) -> Option<String> {
        let Self { name, help, .. } = self;
        let formed = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !formed || name.len() > NAME_MAX {
            let rule = "is no name: lower-case letters, digits and _, beginning with a letter, at most 64";
            return Some(rule.to_owned());
        }
        if let Some(end) = RESERVED.iter().find(|end| name.ends_with(**end)) {
            return Some(format!("must not end with {end}, which histograms use"));
        }
        let is_long = help.len() > HELP_MAX || help.chars().any(char::is_control);
        is_long.then(|| "has a help that is no single line of at most 256 bytes".to_owned())
    }
}

/// The declaration of a metric.
///
/// # Errors
/// The line that the manifest lacks, or what it says instead.
pub(in crate::plugin) fn find_metric<'a>(
    metrics: &'a [DeclaredMetric],
    name: &str,
    kind: MetricKind,
) -> Result<&'a DeclaredMetric, String> {
    let word = kind.word();
    match metrics.iter().find(|metric| metric.name == name) {
        Some(metric) if metric.kind == kind => Ok(metric),
        Some(metric) => Err(format!(
            "metric {name:?} is declared as {}; write type: {word} in spec.metrics of the manifest",
            metric.kind.word()
        )),
        None => Err(format!(
            "metric {name:?} is not declared; add {{name: {name}, type: {word}, help: …}} to spec.metrics of the \
             manifest"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::yaml;

    fn check(text: &str) -> Result<(), String> {
        let mistakes = check_metrics(&yaml::read::<Vec<DeclaredMetric>>(text).unwrap());
        mistakes.into_iter().next().map_or(Ok(()), Err)
    }

    #[test]
    fn names_are_those_of_the_text_format() {
        check("[{name: lookups_total, type: counter, help: Lookups.}, {name: a1, type: histogram}]").unwrap();
        for (text, says) in [
            ("[{name: Lookups, type: counter}]", "is no name"),
            ("[{name: '1a', type: counter}]", "is no name"),
            ("[{name: '', type: counter}]", "is no name"),
            ("[{name: 'a{b=\"c\"}', type: counter}]", "is no name"),
            ("[{name: a_sum, type: gauge}]", "must not end with _sum"),
            ("[{name: a, type: gauge}, {name: a, type: counter}]", "stands twice"),
            ("[{name: a, type: gauge, help: \"x\\n# TYPE y\"}]", "single line"),
        ] {
            let refused = check(text).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("{{name: a{n}, type: gauge}}")).collect();
        assert!(check(&format!("[{}]", many.join(", "))).unwrap_err().contains("32 are the limit"));
    }

    #[test]
    fn what_is_not_declared_names_the_line() {
        let metrics: Vec<DeclaredMetric> = yaml::read("[{name: a, type: gauge}]").unwrap();
        find_metric(&metrics, "a", MetricKind::Gauge).unwrap();
        let refused = find_metric(&metrics, "b", MetricKind::Counter).unwrap_err();
        assert!(refused.contains("add {name: b, type: counter, help: …} to spec.metrics"), "{refused}");
        let refused = find_metric(&metrics, "a", MetricKind::Counter).unwrap_err();
        assert!(refused.contains("declared as gauge"), "{refused}");
    }
}
