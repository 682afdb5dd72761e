//! One round of asking a backend for its documents.

use super::download::DownloadFault::{Unanswered, Unusable};
use super::download::{Download, DownloadFault, Received, Wanted};
use super::source::Source;
use crate::merge::openapi::{OpenApiFault, convert_backend_v2, prepare_backend_v2, prepare_backend_v3};
use crate::model::group_version::GroupVersion;
use crate::route::HashedDocument;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Semaphore;

/// Largest index, in bytes.
const INDEX_MAX: usize = 4 << 20;
/// Maximum size of one group-version's document, as downloaded or as converted from OpenAPI v2, in bytes. The core
/// group of Kubernetes has 4 MB.
const DOCUMENT_MAX: usize = 32 << 20;
/// Largest OpenAPI v2 document, which describes a whole server, in bytes.
const V2_MAX: usize = 32 << 20;
/// Largest sum of the documents of one backend, in bytes.
const BACKEND_MAX: usize = 128 << 20;
/// How many documents are processed at a time: each takes several times its size in memory meanwhile.
static READERS: Semaphore = Semaphore::const_new(2);

/// What is known of one backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Entity tag of the index, or of the v2 document where there is no index.
    pub(super) etag: Option<String>,
    /// The group-versions for which `etag` was asked: with others an unchanged answer says nothing.
    pub(super) asked_for: BTreeSet<GroupVersion>,
    /// The documents, each with the URL that the backend gave for it.
    pub(super) v3: BTreeMap<GroupVersion, (String, HashedDocument)>,
    /// Its OpenAPI v2 document, kept to its own group-versions.
    pub(super) v2: Option<Bytes>,
    /// Whether `v2` is older than the rest, because it could not be had again.
    pub(super) is_v2_old: bool,
    /// The reason that the backend's v2 document is not served.
    pub(super) v2_fault: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    paths: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    #[serde(rename = "serverRelativeURL")]
    url: String,
}

/// Asks a backend what has changed since `known`. `None` when nothing has.
///
/// # Errors
/// When an answer is missing, too large or broken; whatever was known stays.
pub(super) async fn ask(
    download: &dyn Download,
    source: &Source,
    known: &Known,
) -> Result<Option<Known>, DownloadFault> {
    let etag = known.etag.clone().filter(|_| known.asked_for == source.group_versions);
    let wanted = Wanted { path: "/openapi/v3".to_owned(), etag: etag.clone(), max: INDEX_MAX };
    let answer = download.get(wanted).await?;
    match answer.status {
        304 if etag.is_some() => Ok(None),
        200 => take_index(download, source, known, answer).await.map(Some),
        404 => ask_v2_only(download, source, known, etag).await,
        status => Err(Unanswered(format!("GET /openapi/v3: status {status}"))),
    }
}

async fn take_index(
    download: &dyn Download,
    source: &Source,
    known: &Known,
    answer: Received,
) -> Result<Known, DownloadFault> {
    let index: Index = serde_json::from_slice(&answer.body)
        .map_err(|error| Unusable(format!("GET /openapi/v3: the answer is no index: {error}")))?;
    let mut new = Known { etag: answer.etag, asked_for: source.group_versions.clone(), ..Known::default() };
    let mut size = 0_usize;
    for group_version in &source.group_versions {
        let Some(entry) = index.paths.get(&format!("apis/{group_version}")) else { continue };
        let document = match known.v3.get(group_version) {
            Some((url, document)) if *url == entry.url && url.contains("hash=") => document.clone(),
            _ => get_document(download, &entry.url).await?,
        };
        size = size.saturating_add(document.document.identity.len());
        if size > BACKEND_MAX {
            let fault = format!(
                "its OpenAPI documents together are larger than {BACKEND_MAX} bytes, which is the limit"
            );
            return Err(Unusable(fault));
        }
        new.v3.insert(group_version.clone(), (entry.url.clone(), document));
    }
    // Servers make both versions from one source: the second is asked for again only when the first has changed.
    let is_same = new.v3.keys().eq(known.v3.keys())
        && new.v3.values().zip(known.v3.values()).all(|((_, new), (_, old))| new.hash == old.hash);
    if is_same && known.v2.is_some() && !known.is_v2_old {
        new.v2.clone_from(&known.v2);
        return Ok(new);
    }
    match get_v2(download, source).await {
        Ok(v2) => new.v2 = v2,
        Err(cause) => {
            if !known.is_v2_old {
                let service = &source.backend.service;
                tracing::warn!(%service, %cause, "no OpenAPI v2 document; what was known stays served");
            }
            if let Unusable(fault) = cause {
                new.v2_fault = Some(fault);
            }
            // Without a tag the index is answered in full, and v2 asked for again, in the next round.
            (new.v2, new.etag, new.is_v2_old) = (known.v2.clone(), None, true);
        }
    }
    Ok(new)
}

async fn get_document(download: &dyn Download, url: &str) -> Result<HashedDocument, DownloadFault> {
    let mut path = url.to_owned();
    // A hash that went stale since the index was read is redirected to the present one.
    for _ in 0..2 {
        if !path.starts_with("/openapi/v3/") {
            return Err(Unusable(format!("its index names {path:?}, which is not below /openapi/v3/")));
        }
        let wanted = Wanted { path: path.clone(), etag: None, max: DOCUMENT_MAX };
        let answer = download.get(wanted).await?;
        match (answer.status, answer.location) {
            (200, _) => {
                let checked = off_the_runtime(move || {
                    prepare_backend_v3(answer.body, DOCUMENT_MAX).map_err(|fault| fault.to_string())
                });
                return checked.await.map_err(|error| Unusable(format!("GET {path}: {error}")));
            }
            (301 | 302 | 307 | 308, Some(location)) => path = location,
            (status, _) => return Err(Unanswered(format!("GET {path}: status {status}"))),
        }
    }
    Err(Unanswered(format!("GET {url}: redirected twice")))
}

/// The v2 document beside v3 ones. Only old clients read it, so a backend without it is no fault.
async fn get_v2(download: &dyn Download, source: &Source) -> Result<Option<Bytes>, DownloadFault> {
    let wanted = Wanted { path: "/openapi/v2".to_owned(), etag: None, max: V2_MAX };
    let answer = download.get(wanted).await?;
    match answer.status {
        200 => {
            let kept = source.group_versions.clone();
            let prepared = off_the_runtime(move || Ok(Some(prepare_v2(&answer.body, &kept)?)));
            prepared.await.map_err(|error| Unusable(format!("GET /openapi/v2: {error}")))
        }
        403 | 404 | 406 => Ok(None),
        status => Err(Unanswered(format!("GET /openapi/v2: status {status}"))),
    }
}

/// A backend without v3: its v2 document is converted (contract §4.3).
async fn ask_v2_only(
    download: &dyn Download,
    source: &Source,
    known: &Known,
    etag: Option<String>,
) -> Result<Option<Known>, DownloadFault> {
    // The index answered 404, so the tag that is known can only be of the v2 document.
    let etag = etag.filter(|_| known.v3.values().all(|(url, _)| url.is_empty()));
    let wanted = Wanted { path: "/openapi/v2".to_owned(), etag: etag.clone(), max: V2_MAX };
    let answer = download.get(wanted).await?;
    let mut new = Known { etag: answer.etag, asked_for: source.group_versions.clone(), ..Known::default() };
    match answer.status {
        304 if etag.is_some() => return Ok(None),
        200 => {
            let kept = source.group_versions.clone();
            let converted = off_the_runtime(move || convert(answer.body, &kept));
            let (v3, v2) = converted.await.map_err(|error| Unusable(format!("GET /openapi/v2: {error}")))?;
            (new.v3, new.v2) = (v3, Some(v2));
        }
        // It describes nothing.
        404 => new.etag = None,
        status => return Err(Unanswered(format!("GET /openapi/v2: status {status}"))),
    }
    Ok(Some(new))
}

type Converted = (BTreeMap<GroupVersion, (String, HashedDocument)>, Bytes);

fn convert(body: Bytes, kept: &BTreeSet<GroupVersion>) -> Result<Converted, String> {
    let v2 = prepare_v2(&body, kept)?;
    drop(body);
    let converted = convert_backend_v2(&v2, kept, DOCUMENT_MAX, BACKEND_MAX);
    let v3 = converted.map_err(|fault| fault.to_string())?.into_iter();
    Ok((v3.map(|(group_version, document)| (group_version, (String::new(), document))).collect(), v2))
}

fn prepare_v2(body: &[u8], kept: &BTreeSet<GroupVersion>) -> Result<Bytes, String> {
    prepare_backend_v2(body, kept, V2_MAX).map_err(|fault: OpenApiFault| fault.to_string())
}

/// Documents are megabytes: reading and compressing one would hold up whatever else runs there.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    // The semaphore is never closed.
    let _reader = READERS.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(format!("reading it broke off: {error}")))
}
