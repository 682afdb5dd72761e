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

#[cfg(test)]
mod tests {
    use super::super::source::{Source, Sources};
    use super::*;
    use crate::merge::openapi::prepare_v3;
    use crate::route::{Backend, BackendId};
    use std::sync::Arc;

    fn gv(group: &str) -> GroupVersion {
        GroupVersion::new(group, "v1")
    }

    fn known(v3: &[(&str, &str)], v2: Option<&str>) -> Known {
        let document = |text: &str| prepare_v3(Bytes::from(text.to_owned()));
        Known {
            v3: v3.iter().map(|(group, text)| (gv(group), (String::new(), document(text)))).collect(),
            v2: v2.map(|text| Bytes::from(text.to_owned())),
            ..Known::default()
        }
    }

    fn sources(registered: &[&str], served: &[(&str, &str)]) -> Sources {
        let backends = served.iter().zip(1..).map(|((group, service), id)| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            let tls = Arc::new(tls);
            let backend = Arc::new(Backend {
                id: BackendId(id),
                service: (*service).to_owned(),
                endpoints: Vec::new(),
                authorities: Vec::new(),
                server_name: "api.default.svc".try_into().unwrap(),
                tls: Arc::clone(&tls),
                tls_http1: tls,
            });
            (BackendId(id), Source { backend, group_versions: [gv(group)].into(), is_open: true })
        });
        Sources {
            backends: backends.collect(),
            registered: registered.iter().map(|group| gv(group)).collect(),
        }
    }

    #[test]
    fn only_what_is_said_anew_is_news() {
        let mut kept = Kept::default();
        let both = BTreeSet::from([gv("a"), gv("b")]);
        let first = known(&[("a", "1"), ("b", "2")], Some("v2"));
        assert!(kept.take("s", &both, &first));
        assert!(!kept.take("s", &both, &first));
        for other in [
            known(&[("a", "1"), ("b", "3")], Some("v2")),
            known(&[("a", "1")], Some("v2")),
            known(&[("a", "1"), ("b", "2")], Some("other")),
            known(&[("a", "1"), ("b", "2")], None),
        ] {
            assert!(kept.take("s", &both, &other), "{other:?}");
            assert!(kept.take("s", &both, &first));
        }
        assert!(kept.take("t", &both, &first), "another service says it");
        assert!(!kept.take("t", &both, &first));
    }

    #[test]
    fn a_document_is_kept_while_its_service_is_registered_for_it() {
        let mut kept = Kept::default();
        kept.take("s", &[gv("a")].into(), &known(&[("a", "1")], Some("v2")));
        let has = |kept: &Kept| (kept.v3.len(), kept.v2.len());
        assert!(!kept.drop_unregistered(&sources(&["a"], &[])), "unreachable, and registered");
        assert!(!kept.drop_unregistered(&sources(&["a", "b"], &[("a", "s"), ("b", "t")])));
        assert_eq!(has(&kept), (1, 1));
        let mut moved = kept.clone();
        assert!(moved.drop_unregistered(&sources(&["a"], &[("a", "t")])), "another service serves it now");
        assert_eq!(has(&moved), (0, 0));
        assert!(kept.drop_unregistered(&sources(&["b"], &[("b", "s")])));
        assert_eq!(has(&kept), (0, 0));
    }
}
