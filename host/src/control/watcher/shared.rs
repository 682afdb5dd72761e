//! The discovery document that all group-versions of a backend share.

use super::prober::{Round, identity};
use crate::control::client::{Answer, Question};
use crate::decision::health::Evidence;
use crate::merge::discovery::{DiscoveryFault, Resource, decode_aggregated};
use crate::model::group_version::GroupVersion;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The only form that is asked for (contract §3.7).
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// How large a document may be, in bytes.
const DOCUMENT_MAX: usize = 32 * 1024 * 1024;
/// Documents of this size or more, in bytes, take so long to decode that other work would be delayed.
const LARGE: usize = 256 * 1024;
/// How long to wait before the own paths are asked instead: shorter while nobody knows whether the backend
/// has such a document at all, because a new APIService waits for it.
const LIMIT_UNKNOWN: Duration = Duration::from_millis(700);
/// The limit of contract §3.7.
const LIMIT_KNOWN: Duration = Duration::from_secs(5);

/// Whether a backend has an aggregated document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// It has one.
    Aggregated,
    /// It answers without one.
    Legacy,
}

/// What a fetch told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: not asked, not answered, or no such document.
    Nothing,
    /// The document is as before.
    Same,
    /// There is a new document.
    New,
}

/// The resources of one group-version, or why they cannot be used.
pub(super) type Found = Result<Arc<Vec<Resource>>, DiscoveryFault>;

/// The last known aggregated document of a backend.
#[derive(Debug, Default)]
pub(super) struct SharedDocument {
    pub(super) style: Style,
    etag: Option<HeaderValue>,
    wanted: HashSet<GroupVersion>,
    found: HashMap<GroupVersion, Found>,
    /// The reason that the backend's answer is not used.
    fault: Option<String>,
}

impl SharedDocument {
    /// Asks for the document, with the entity tag of the last one unless new group-versions are wanted.
    pub(super) async fn fetch(
        &mut self,
        round: &Round<'_>,
        endpoint: usize,
        wanted: HashSet<GroupVersion>,
    ) -> Told {
        let mut headers = identity();
        headers.push((header::ACCEPT, HeaderValue::from_static(ACCEPT)));
        let etag = self.etag.clone().filter(|_| wanted.is_subset(&self.wanted));
        if let Some(etag) = &etag {
            headers.push((header::IF_NONE_MATCH, etag.clone()));
        }
        let limit = if self.style == Style::Aggregated { LIMIT_KNOWN } else { LIMIT_UNKNOWN };
        let question =
            Question { endpoint, method: Method::GET, path: "/apis", headers, limit, body_max: DOCUMENT_MAX };
        // A fault leaves the style as it was: the own paths tell.
        let Ok(answer) = round.ask(&question).await else { return Told::Nothing };
        if answer.status == 304 && etag.is_some() {
            return Told::Same;
        }
        if answer.status != 200 || !is_aggregated(&answer.headers) {
            *self = Self { style: Style::Legacy, ..Self::default() };
            return Told::Nothing;
        }
        match read(&answer, &wanted).await {
            Ok(found) => {
                self.style = Style::Aggregated;
                self.etag = answer.headers.get(header::ETAG).cloned();
                self.wanted = wanted;
                self.found =
                    found.into_iter().map(|(key, resources)| (key, resources.map(Arc::new))).collect();
                self.fault = None;
                Told::New
            }
            Err(fault) => {
                let service = &round.backend().service;
                tracing::warn!(%service, fault, "the aggregated discovery of a backend is not usable");
                *self = Self { style: Style::Legacy, fault: Some(fault), ..Self::default() };
                Told::Nothing
            }
        }
    }

    /// The reason that the backend's document is not used.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What the document says of a group-version, given what the last fetch told.
    pub(super) fn evidence(&self, told: Told, group_version: &GroupVersion) -> Evidence {
        match told {
            Told::Nothing => Evidence::None,
            Told::Same | Told::New if self.found.contains_key(group_version) => Evidence::Listed,
            Told::Same | Told::New => Evidence::NotListed,
        }
    }

    /// The resources of a group-version that is listed.
    pub(super) fn resources(&self, group_version: &GroupVersion) -> Option<&Found> {
        self.found.get(group_version)
    }
}

type Listed = HashMap<GroupVersion, Result<Vec<Resource>, DiscoveryFault>>;

async fn read(answer: &Answer, wanted: &HashSet<GroupVersion>) -> Result<Listed, String> {
    let (body, wanted) = (whole("/apis", answer, DOCUMENT_MAX)?, wanted.clone());
    let decoded = decode(body, move |body| decode_aggregated(body, &wanted)).await?;
    decoded.map_err(|fault| format!("GET /apis: {fault}"))
}

/// The body of an answer that is complete and readable.
///
/// # Errors
/// When it is not, for the condition of the APIService.
pub(super) fn whole(path: &str, answer: &Answer, max: usize) -> Result<Bytes, String> {
    if let Some(fault) = &answer.body_fault {
        return Err(format!("GET {path}: {fault}"));
    }
    if answer.truncated {
        return Err(format!("GET {path}: the answer is larger than {max} bytes, which is the limit"));
    }
    Ok(answer.body.clone())
}

/// Decodes a document. A large one is decoded on another thread, because this runtime watches all other backends.
pub(super) async fn decode<T: Send + 'static>(
    body: Bytes,
    decode: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, String> {
    if body.len() < LARGE {
        return Ok(decode(&body));
    }
    let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
    decoded.map_err(|error| format!("reading the discovery document failed: {error}"))
}

fn is_aggregated(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let parts: HashSet<&str> = match parts.next() {
        Some("application/json") => parts.collect(),
        _ => return false,
    };
    ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].iter().all(|wanted| parts.contains(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_for_type_is_taken_as_aggregated() {
        let of = |text: &'static str| {
            is_aggregated(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]))
        };
        assert!(of(ACCEPT));
        assert!(of("application/json; as=APIGroupDiscoveryList; g=apidiscovery.k8s.io; v=v2; charset=utf-8"));
        assert!(!of("application/json"));
        assert!(!of("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"));
    }
}
