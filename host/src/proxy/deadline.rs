//! How long an answer may take to begin.

use super::path::{LongRunning, parameter};
use crate::model::failure::Failure;
use std::time::Duration;

/// Discovery of one group-version: `/apis/<g>/<v>` (contract §2.3).
pub const DISCOVERY: Duration = Duration::from_secs(5);
/// Every other request that is no watch (contract §7.2).
pub const ORDINARY: Duration = Duration::from_secs(60);

/// The limit for a proxied request, `None` for one whose response is `lasting`. `rest` is what follows the version.
///
/// # Errors
/// 400 when `?timeout=` is no duration.
pub fn limit(
    lasting: Option<LongRunning>,
    rest: &str,
    query: &str,
) -> Result<Option<Duration>, Box<Failure>> {
    if lasting.is_some() {
        return Ok(None);
    }
    let most = if rest.trim_end_matches('/').is_empty() { DISCOVERY } else { ORDINARY };
    let Some(text) = parameter(query, "timeout").filter(|text| !text.is_empty()) else {
        return Ok(Some(most));
    };
    let asked = parse_go_duration(text).ok_or_else(|| refuse(text))?;
    Ok(Some(if asked.is_zero() { most } else { asked.min(most) }))
}

fn refuse(text: &str) -> Box<Failure> {
    Box::new(Failure::bad_request(format!(
        "invalid timeout specified in the request URL - time: invalid duration {text:?}; write for example 30s or 1m30s"
    )))
}

/// Reads what Go's `time.ParseDuration` reads; what is below zero counts as zero.
fn parse_go_duration(text: &str) -> Option<Duration> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    if is_negative { Some(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in
            [("32s", 32_000), ("1m30s", 90_000), ("1.5s", 1500), ("250ms", 250), ("0", 0), ("-3s", 0)]
        {
            assert_eq!(parse_go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "10", "1x", "1s2", ".", "abc", "1..2s"] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_client_may_ask_for_less_never_for_more() {
        let limit = |rest, query| limit(LongRunning::of(&http::Method::GET, rest, query), rest, query);
        assert_eq!(limit("/things", "").unwrap(), Some(ORDINARY));
        assert_eq!(limit("/things", "timeout=2s").unwrap(), Some(Duration::from_secs(2)));
        assert_eq!(limit("/things", "timeout=1h").unwrap(), Some(ORDINARY));
        assert_eq!(limit("", "").unwrap(), Some(DISCOVERY));
        assert_eq!(limit("/", "timeout=32s").unwrap(), Some(DISCOVERY));
        assert_eq!(limit("/things", "watch=true&timeout=2s").unwrap(), None);
        let failure = limit("/things", "timeout=soon").unwrap_err();
        assert_eq!(failure.code, 400);
        assert!(failure.message.starts_with("invalid timeout specified in the request URL - "));
    }
}
