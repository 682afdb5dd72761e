//! Lists: pages, revisions, continue tokens (contract §7.9).

use super::continue_token::ContinueToken;
use super::freshness::{parse_revision, wait_for};
use super::key::prefix;
use super::options::{ListOptions, VersionMatch};
use super::{Registry, stored};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::store::{ListRequest, Page, Revision, StoreError};

const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter, or use the continue token in this response to \
    retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - \
    objects that were created, modified, or deleted between the time the first chunk was returned and now may \
    show up in the list.";

/// How many records are read at once where a selector leaves some out.
const CHUNK: usize = 500;

/// Objects of one kind as of one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// The objects, sorted by key.
    pub objects: Vec<Object>,
    /// The revision that the list shows.
    pub revision: Revision,
    /// Where the rest can be had; empty when there is none.
    pub continue_token: String,
    /// How many objects are left, where that is known.
    pub remaining: Option<u64>,
}

impl Registry {
    /// Lists objects of a kind.
    ///
    /// # Errors
    /// 400 for a broken token or resource version, 410 when it is no longer kept, 504 when it lies ahead.
    pub async fn list(&self, kind: &'static Kind, options: &ListOptions) -> Result<List, Failure> {
        let prefix = prefix(kind, &options.namespace);
        let start = self.start_of(kind, options).await?;
        let mut found = List::default();
        let mut after = start.after.map(|after| format!("{prefix}{after}"));
        let mut at = start.at;
        loop {
            let request =
                ListRequest { prefix: prefix.clone(), after, limit: chunk_limit(options, &found), at };
            let page = self
                .store_of(kind)
                .list(request)
                .await
                .map_err(|e| self.refusal(e, &prefix, &start.token))?;
            found.revision = page.revision;
            at = Some(page.revision);
            let last = Self::gather(&mut found, &page, options)?;
            let is_full = options.limit > 0 && found.objects.len() >= options.limit;
            let Some(last) = last.filter(|last| last.index + 1 < page.records.len() || page.remaining > 0)
            else {
                return Ok(found);
            };
            if is_full {
                let key = last.key.strip_prefix(&prefix).unwrap_or_default().to_owned();
                let revision = start.token.as_ref().map_or(Some(page.revision), |token| token.revision);
                found.continue_token = ContinueToken { revision, after: key }.encode();
                let unread = page.records.len() - last.index - 1;
                let remaining = page.remaining + u64::try_from(unread).unwrap_or_default();
                found.remaining = options.selector.is_everything().then_some(remaining);
                return Ok(found);
            }
            after = Some(last.key);
        }
    }

    /// Takes what matches; returns the last record that was looked at.
    fn gather(found: &mut List, page: &Page, options: &ListOptions) -> Result<Option<Looked>, Failure> {
        let mut last = None;
        for (index, record) in page.records.iter().enumerate() {
            last = Some(Looked { index, key: record.key.clone() });
            let object = stored::decode(&record.key, &record.value, record.revision)?;
            if options.selector.matches(&object) {
                found.objects.push(object);
                if options.limit > 0 && found.objects.len() >= options.limit {
                    break;
                }
            }
        }
        Ok(last)
    }

    async fn start_of(&self, kind: &Kind, options: &ListOptions) -> Result<Start, Failure> {
        if !options.continue_token.is_empty() {
            let token = ContinueToken::decode(&options.continue_token)?;
            if !matches!(options.resource_version.as_str(), "" | "0") {
                let message = "specifying resource version is not allowed when using continue";
                return Err(Failure::bad_request(message));
            }
            return Ok(Start { at: token.revision, after: Some(token.after.clone()), token: Some(token) });
        }
        let asked = parse_revision(&options.resource_version).map_err(|refused| Failure {
            message: format!("invalid resource version: {}", refused.message),
            ..refused
        })?;
        let Some(revision) = asked.filter(|revision| *revision > 0) else { return Ok(Start::default()) };
        wait_for(self.store_of(kind), revision).await?;
        // Without a match a limit means: exactly that revision, as it always did.
        let is_exact = match options.version_match {
            Some(wanted) => wanted == VersionMatch::Exact,
            None => options.limit > 0,
        };
        Ok(Start { at: is_exact.then_some(revision), ..Start::default() })
    }

    fn refusal(&self, error: StoreError, prefix: &str, token: &Option<ContinueToken>) -> Failure {
        match (error, token) {
            (StoreError::Compacted { .. }, Some(token)) => {
                let fresh = ContinueToken { revision: None, after: token.after.clone() };
                Failure { continue_token: Some(fresh.encode()), ..Failure::expired(CONTINUE_TOO_OLD) }
            }
            (StoreError::Compacted { .. }, None) => Failure::expired(TOO_OLD),
            (error, _) => {
                tracing::error!(%prefix, %error, "cannot list");
                stored::medium_failure(&error)
            }
        }
    }
}

#[derive(Default)]
struct Start {
    at: Option<Revision>,
    after: Option<String>,
    token: Option<ContinueToken>,
}

struct Looked {
    index: usize,
    key: String,
}

/// Without a selector exactly what is missing, else a chunk that is likely to hold it.
fn chunk_limit(options: &ListOptions, found: &List) -> usize {
    match options.limit {
        0 => 0,
        limit if options.selector.is_everything() => limit - found.objects.len(),
        limit => limit.max(CHUNK),
    }
}
