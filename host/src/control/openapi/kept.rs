//! What is served of backends: the last good word of each.

use super::fetch::Known;
use super::source::Sources;
use crate::merge::openapi::OwnDocuments;
use crate::model::group_version::GroupVersion;
use crate::route::{HashedDocument, OpenApiDocuments};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The documents of all backends. One stays while an APIService gives its group-version to the service that said
/// it, reachable or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    v3: BTreeMap<GroupVersion, (String, HashedDocument)>,
    /// By service and the group-versions that the document was kept to.
    v2: BTreeMap<(String, BTreeSet<GroupVersion>), Bytes>,
}

impl Kept {
    /// Takes in what a service has said about `asked_for`; says whether that is news.
    pub(super) fn take(&mut self, service: &str, asked_for: &BTreeSet<GroupVersion>, known: &Known) -> bool {
        if self.says_the_same(service, asked_for, known) {
            return false;
        }
        self.v3.retain(|gv, _| !asked_for.contains(gv));
        self.v2.retain(|(_, kept_to), _| kept_to.is_disjoint(asked_for));
        for (gv, (_, document)) in &known.v3 {
            self.v3.insert(gv.clone(), (service.to_owned(), document.clone()));
        }
        if let Some(v2) = &known.v2 {
            self.v2.insert((service.to_owned(), asked_for.clone()), v2.clone());
        }
        true
    }

    fn says_the_same(&self, service: &str, asked_for: &BTreeSet<GroupVersion>, known: &Known) -> bool {
        let is_same_v3 = asked_for.iter().all(|gv| match (self.v3.get(gv), known.v3.get(gv)) {
            (None, None) => true,
            (Some((from, old)), Some((_, new))) => from == service && old.hash == new.hash,
            _ => false,
        });
        let mut v2 = self.v2.iter().filter(|((_, kept_to), _)| !kept_to.is_disjoint(asked_for));
        let is_same_v2 = match (v2.next(), &known.v2) {
            (None, None) => true,
            (Some(((from, kept_to), old)), Some(new)) => {
                from == service && kept_to == asked_for && old == new && v2.next().is_none()
            }
            _ => false,
        };
        is_same_v3 && is_same_v2
    }

    /// Drops what nobody registers any more, or another service now serves. Says whether anything went.
    pub(super) fn drop_unregistered(&mut self, sources: &Sources) -> bool {
        let before = (self.v3.len(), self.v2.len());
        let services: BTreeMap<&GroupVersion, &str> = sources
            .backends
            .values()
            .flat_map(|source| source.group_versions.iter().map(|gv| (gv, source.backend.service.as_str())))
            .collect();
        let belongs = |gv: &GroupVersion, service: &str| {
            sources.registered.contains(gv) && services.get(gv).is_none_or(|now| *now == service)
        };
        self.v3.retain(|gv, (service, _)| belongs(gv, service));
        self.v2.retain(|(service, kept_to), _| kept_to.iter().any(|gv| belongs(gv, service)));
        before != (self.v3.len(), self.v2.len())
    }

    /// Everything together with the own documents. Takes a while: parses and writes whole documents.
    pub(super) fn unite(&self, own: &OwnDocuments) -> OpenApiDocuments {
        own.unite(self.v3.iter().map(|(gv, (_, document))| (gv, document)), self.v2.values())
    }
}
