//! Query parameters as the API machinery reads them.

use crate::model::failure::Failure;

/// The decoded query of one request.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `query`, the part after `?`.
    pub fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, `""` when it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    /// Every value of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A flag: present and neither `false` nor `0` means yes, as upstream reads it.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.first(name)?;
        Some(!(value.eq_ignore_ascii_case("false") || value == "0"))
    }

    /// A whole number; 400 in upstream's words when it is none.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.first(name) else { return Ok(None) };
        let problem = match text.parse::<i64>() {
            Ok(number) => return Ok(Some(number)),
            Err(e) => match e.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            },
        };
        Err(Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: {problem}")))
    }
}

/// Reads a duration such as `1m30s`, `250ms` or `0` as Go does; `None` when it is none.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    if text == "0" {
        return Some(std::time::Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let units =
            [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, factor) = units.iter().find(|(unit, _)| {
            rest.strip_prefix(unit).is_some_and(|after| {
                after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            })
        })?;
        seconds += number * factor;
        rest = rest.strip_prefix(unit)?;
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn flags_and_numbers_read_as_upstream_reads_them() {
        let query = Query::parse("a&b=0&c=False&d=yes&n=-1&x=q");
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|n| query.flag(n)),
            [Some(true), Some(false), Some(false), Some(true), None]
        );
        assert_eq!(query.integer("n"), Ok(Some(-1)));
        let refused = query.integer("x").unwrap_err();
        assert_eq!(refused.message, r#"strconv.ParseInt: parsing "q": invalid syntax"#);
    }

    #[test]
    fn durations_read_as_go_reads_them() {
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "5", "s", "1x", "-1s", "1m30"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
