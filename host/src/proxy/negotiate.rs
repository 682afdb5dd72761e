//! Which form of a discovery document a client wants (contract §3.5).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

/// A form of `/apis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Aggregated discovery, `apidiscovery.k8s.io/v2`.
    AggregatedV2,
    /// Aggregated discovery, `apidiscovery.k8s.io/v2beta1`, for old clients.
    AggregatedV2Beta1,
    /// The legacy list as JSON.
    Json,
    /// The legacy list as YAML.
    Yaml,
}

/// The first clause that can be honoured, better weights first; `None` when there is none (406). Aggregated
/// clauses count only when `may_aggregate`.
pub fn choose(headers: &HeaderMap, may_aggregate: bool) -> Option<Form> {
    let mut best: Option<(u16, Form)> = None;
    let mut is_silent = true;
    for value in headers.get_all(ACCEPT) {
        for clause in value.to_str().unwrap_or_default().split(',') {
            let clause = clause.trim();
            if clause.is_empty() {
                continue;
            }
            is_silent = false;
            if let Some((weight, form)) = read_clause(clause)
                && (may_aggregate || matches!(form, Form::Json | Form::Yaml))
                && weight > best.map_or(0, |(weight, _)| weight)
            {
                best = Some((weight, form));
            }
        }
    }
    if is_silent { Some(Form::Json) } else { best.map(|(_, form)| form) }
}

fn read_clause(clause: &str) -> Option<(u16, Form)> {
    let mut parts = clause.split(';').map(str::trim);
    let plain = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" | "application/*" | "*/*" => Form::Json,
        "application/yaml" => Form::Yaml,
        _ => return None,
    };
    let (mut weight, mut group, mut version, mut kind) = (1000, "", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            Some(("as", value)) => kind = value,
            Some(("q", value)) => weight = thousandths(value),
            _ => {}
        }
    }
    let form = match (kind, group, version, plain) {
        ("", ..) => plain,
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2", Form::Json) => Form::AggregatedV2,
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1", Form::Json) => Form::AggregatedV2Beta1,
        _ => return None,
    };
    Some((weight, form))
}

/// A weight such as `0.75` in thousandths; what is no weight counts as 1.
fn thousandths(text: &str) -> u16 {
    let Some(fraction) = text.strip_prefix('0') else { return 1000 };
    let digits = fraction.strip_prefix('.').unwrap_or_default().bytes().chain([b'0'; 3]).take(3);
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0').min(9)))
}

/// Whether the client takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
            is_gzip && parts.filter_map(|p| p.strip_prefix("q=")).all(|weight| thousandths(weight) > 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wanted(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        choose(&headers, true)
    }

    #[test]
    fn the_first_clause_that_can_be_honoured_counts() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        assert_eq!(wanted(v2), Some(Form::AggregatedV2));
        assert_eq!(wanted(&format!("{v2},{beta},application/json")), Some(Form::AggregatedV2));
        assert_eq!(wanted(&format!("{beta},application/json")), Some(Form::AggregatedV2Beta1));
        assert_eq!(wanted(&format!("{v2};profile=nopeer,{v2}")), Some(Form::AggregatedV2));
        assert_eq!(wanted(&format!("application/json,{v2}")), Some(Form::Json));
        assert_eq!(wanted(&format!("application/json;q=0.5,{v2};q=0.75")), Some(Form::AggregatedV2));
        assert_eq!(wanted(&v2.replace("v2", "v9")), None);
        assert_eq!(wanted("text/html"), None);
        assert_eq!(wanted("application/json;q=0"), None);
        assert_eq!(wanted("text/html, */*;q=0.8"), Some(Form::Json));
        assert_eq!(wanted("application/yaml"), Some(Form::Yaml));
        assert_eq!(wanted(""), Some(Form::Json));
        assert_eq!(choose(&HeaderMap::new(), true), Some(Form::Json));
    }

    #[test]
    fn gzip_is_used_where_it_is_welcome() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            accepts_gzip(&headers)
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("*"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("gzip;q=0.000") && !takes(""));
    }
}
