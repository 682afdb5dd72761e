//! Which form of an answer the client asks for (contract §7.10).

use crate::model::failure::Failure;
use http::{HeaderMap, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::StatusDetails;

/// How an answer is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON on one line.
    #[default]
    Json,
    /// JSON with indentation, for people.
    PrettyJson,
    /// YAML.
    Yaml,
}

impl Format {
    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::PrettyJson => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// What the objects of an answer are turned into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The objects as they are.
    #[default]
    Whole,
    /// A table with printer columns; the version of `meta.k8s.io` asked for.
    Table(&'static str),
    /// The metadata of one object.
    Partial(&'static str),
    /// The metadata of each object of a list.
    PartialList(&'static str),
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How it is written.
    pub format: Format,
    /// What is written.
    pub view: View,
    /// Whether the client unpacks gzip.
    pub gzip: bool,
}

/// What a route can produce, which decides the words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Documents and single objects: JSON, YAML.
    Documents,
    /// Lists, which may also be watched: JSON, YAML, JSON watch streams.
    Lists,
    /// A watch stream: JSON only.
    Stream,
}

const DOCUMENT_TYPES: &str = "application/json, application/yaml";
const LIST_TYPES: &str = "application/json, application/yaml, application/json;stream=watch";
const STREAM_TYPES: &str = "application/json;stream=watch";

/// Picks the first acceptable clause by weight, then by position. 406 when there is none: a media type that the
/// route never produces is refused in go-restful's words, an impossible parameter in the API machinery's.
pub fn negotiate(
    headers: &HeaderMap,
    query: &super::query::Query,
    offer: Offer,
) -> Result<Accepted, Failure> {
    let clauses = clauses(headers);
    let produced = clauses.iter().filter(|c| format_of(&c.media_type).is_some());
    let mut known = false;
    for clause in produced {
        known = true;
        let Some(format) = format_of(&clause.media_type) else { continue };
        if offer == Offer::Stream && format == Format::Yaml {
            continue;
        }
        if let Some(view) = view_of(&clause.parameters) {
            let pretty = format == Format::Json && wants_pretty(headers, query);
            let format = if pretty { Format::PrettyJson } else { format };
            return Ok(Accepted { format, view, gzip: accepts_gzip(headers) });
        }
    }
    Err(if known { impossible(offer) } else { unknown(offer) })
}

/// The form of a failure: what the client reads first, JSON when that cannot be had.
pub fn error_format(headers: &HeaderMap) -> Format {
    clauses(headers).iter().find_map(|clause| format_of(&clause.media_type)).unwrap_or_default()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok()).any(|line| {
        line.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim() == "gzip" && !matches!(weight.trim(), "q=0" | "q=0.0")
        })
    })
}

fn unknown(offer: Offer) -> Failure {
    let types = if offer == Offer::Documents { DOCUMENT_TYPES } else { LIST_TYPES };
    let message = format!("406: Not Acceptable\n\nAvailable representations: {types}");
    Failure {
        details: Some(Box::new(StatusDetails::default())),
        ..Failure::new(406, "NotAcceptable", message)
    }
}

fn impossible(offer: Offer) -> Failure {
    let types = if offer == Offer::Stream { STREAM_TYPES } else { DOCUMENT_TYPES };
    Failure::new(406, "NotAcceptable", format!("only the following media types are accepted: {types}"))
}

struct Clause {
    media_type: String,
    parameters: Vec<(String, String)>,
    weight: f32,
}

fn clauses(headers: &HeaderMap) -> Vec<Clause> {
    let mut found = Vec::new();
    for line in headers.get_all(header::ACCEPT) {
        let text = line.to_str().unwrap_or_default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut pieces = part.split(';').map(str::trim);
            let media_type = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let mut parameters: Vec<(String, String)> = pieces
                .filter_map(|piece| piece.split_once('='))
                .map(|(key, value)| {
                    (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
                })
                .collect();
            let weight = parameters.iter().find(|(key, _)| key == "q").and_then(|(_, q)| q.parse().ok());
            parameters.retain(|(key, _)| key != "q");
            found.push(Clause { media_type, parameters, weight: weight.unwrap_or(1.0) });
        }
    }
    if found.is_empty() {
        found.push(Clause { media_type: "*/*".to_owned(), parameters: Vec::new(), weight: 1.0 });
    }
    found.retain(|clause| clause.weight > 0.0);
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found
}

fn format_of(media_type: &str) -> Option<Format> {
    match media_type {
        "*/*" | "application/*" | "application/json" => Some(Format::Json),
        "application/yaml" => Some(Format::Yaml),
        _ => None,
    }
}

/// `None` when the parameters ask for something that is not offered.
fn view_of(parameters: &[(String, String)]) -> Option<View> {
    let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    if value("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        return None;
    }
    let Some(kind) = value("as") else { return Some(View::Whole) };
    if value("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = match value("v") {
        Some("v1") => "v1",
        Some("v1beta1") => "v1beta1",
        _ => return None,
    };
    match kind {
        "Table" => Some(View::Table(version)),
        "PartialObjectMetadata" => Some(View::Partial(version)),
        "PartialObjectMetadataList" => Some(View::PartialList(version)),
        _ => None,
    }
}

fn wants_pretty(headers: &HeaderMap, query: &super::query::Query) -> bool {
    if let Some(asked) = query.flag("pretty") {
        return asked;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
}

#[cfg(test)]
mod tests {
    use super::super::query::Query;
    use super::*;

    fn ask(accept: &str, offer: Offer) -> Result<Accepted, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        negotiate(&headers, &Query::default(), offer)
    }

    #[test]
    fn the_first_possible_clause_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(ask(kubectl, Offer::Lists).unwrap().view, View::Table("v1"));
        let typed = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(ask(typed, Offer::Lists).unwrap(), Accepted::default());
        let weighted = "application/yaml;q=0.5,application/json;q=0.9";
        assert_eq!(ask(weighted, Offer::Documents).unwrap().format, Format::Json);
        let odd = "application/json;as=Odd;g=meta.k8s.io;v=v1,application/yaml";
        assert_eq!(ask(odd, Offer::Documents).unwrap().format, Format::Yaml);
    }

    #[test]
    fn refusals_say_what_can_be_had() {
        let refused = ask("text/html", Offer::Documents).unwrap_err();
        assert!(refused.message.starts_with("406: Not Acceptable\n\nAvailable representations:"));
        assert!(refused.details.is_some());
        let refused = ask("application/json;as=Odd;g=x;v=v1", Offer::Documents).unwrap_err();
        assert!(refused.message.starts_with("only the following media types are accepted:"));
        assert!(refused.details.is_none());
        assert!(ask("application/yaml", Offer::Stream).is_err());
    }

    #[test]
    fn people_get_indentation() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "curl/8".parse().unwrap());
        let got = negotiate(&headers, &Query::default(), Offer::Documents).unwrap();
        assert_eq!(got.format, Format::PrettyJson);
        let got = negotiate(&headers, &Query::parse("pretty=0"), Offer::Documents).unwrap();
        assert_eq!(got.format, Format::Json);
    }

    #[test]
    fn gzip_is_used_unless_it_has_no_weight() {
        let accepts = |lines: &[&'static str]| {
            let line =
                |text: &&'static str| (header::ACCEPT_ENCODING, header::HeaderValue::from_static(text));
            accepts_gzip(&HeaderMap::from_iter(lines.iter().map(line)))
        };
        for yes in [&["gzip"][..], &["br, gzip"], &["br", "gzip"], &["gzip;q=0.5"], &["deflate;q=0, gzip"]] {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in [&[][..], &["br"], &["gzip;q=0"], &["gzip; q=0.0"], &["identity"]] {
            assert!(!accepts(no), "{no:?}");
        }
    }
}
