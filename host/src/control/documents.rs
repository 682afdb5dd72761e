//! The discovery documents: fragments of groups, transformed, kept and joined.

use super::publish::GroupInput;
use crate::decision::discovery::{DiscoveryTransformer, GroupHead, Outcome};
use crate::merge::discovery::{
    AggregatedVersion, DocumentFault, Fragment, GroupDiscovery, Registration, Standing, build_group,
    check_order, check_replacement, compress, join_aggregated, join_legacy, prepare_fragment,
    sort_aggregated, sort_legacy, sort_versions,
};
use crate::route::{Document, DocumentSet};
use std::collections::HashMap;
use std::sync::Arc;

/// This group is how everything else is repaired, so no transformer touches it.
const UNTOUCHABLE: &str = "apiregistration.k8s.io";
/// Documents up to this many bytes are compressed at once, larger ones when things are quiet.
const COMPRESS_AT_ONCE: usize = 64 * 1024;

struct Shown {
    standing: Standing,
    versions: Vec<String>,
    fragment: Fragment,
    hidden: bool,
}

/// All groups as they are shown.
#[derive(Default)]
pub(super) struct Documents {
    groups: HashMap<String, Shown>,
    aggregated_order: Vec<String>,
    legacy_order: Vec<String>,
}

impl Documents {
    /// Takes in one group; `None` means that it is gone.
    pub(super) async fn update(
        &mut self,
        group: &str,
        input: Option<&GroupInput>,
        transformers: &[Arc<dyn DiscoveryTransformer>],
    ) {
        let registrations = input.map(|input| input.registrations.as_slice()).unwrap_or_default();
        // The legacy core group lives under `/api`, not in these documents (contract §3.1).
        if group.is_empty() || registrations.is_empty() {
            self.groups.remove(group);
            return;
        }
        match show(group, registrations, transformers).await {
            Ok(shown) => drop(shown.and_then(|shown| self.groups.insert(group.to_owned(), shown))),
            Err(fault) => tracing::error!(group, %fault, "a group is left as it was"),
        }
    }

    /// Sorts the groups anew.
    pub(super) async fn arrange(&mut self, transformers: &[Arc<dyn DiscoveryTransformer>]) {
        let mut standings: Vec<&Standing> = self.groups.values().map(|shown| &shown.standing).collect();
        sort_aggregated(&mut standings);
        let aggregated: Vec<String> = standings.iter().map(|s| s.group.clone()).collect();
        sort_legacy(&mut standings);
        let legacy: Vec<String> = standings.iter().map(|s| s.group.clone()).collect();
        let mut order = aggregated.clone();
        order.retain(|name| name != UNTOUCHABLE);
        let mut reordered = false;
        for transformer in transformers {
            match self.reorder(&order, transformer.as_ref()).await {
                Ok(Some(next)) => {
                    reordered |= next != order;
                    order = next;
                }
                Ok(None) => {}
                Err(reason) => tracing::warn!(reason, "a discovery transformer is left out"),
            }
        }
        if aggregated.iter().any(|name| name == UNTOUCHABLE) {
            order.insert(0, UNTOUCHABLE.to_owned());
        }
        (self.aggregated_order, self.legacy_order) =
            if reordered { (order.clone(), order) } else { (aggregated, legacy) };
    }

    async fn reorder(
        &self,
        order: &[String],
        transformer: &dyn DiscoveryTransformer,
    ) -> Result<Option<Vec<String>>, String> {
        let heads: Vec<GroupHead> = order
            .iter()
            .filter_map(|name| {
                let versions = self.groups.get(name)?.versions.clone();
                Some(GroupHead { name: name.clone(), versions })
            })
            .collect();
        match transformer.order(&heads).await? {
            Some(answer) => check_order(order, answer).map(Some).map_err(|fault| fault.to_string()),
            None => Ok(None),
        }
    }

    /// The documents as they are now. Large ones are not compressed yet: see [`compress_all`].
    pub(super) fn join(&self, set: &mut DocumentSet) {
        let listed = |order: &'_ [String]| {
            order
                .iter()
                .filter_map(|name| self.groups.get(name))
                .filter(|shown| !shown.hidden)
                .map(|shown| &shown.fragment)
                .collect::<Vec<_>>()
        };
        let (legacy, aggregated) = (listed(&self.legacy_order), listed(&self.aggregated_order));
        let (json, yaml) = join_legacy(legacy.iter().copied());
        set.groups_json = Some(compress_small(json));
        set.groups_yaml = Some(compress_small(yaml));
        let join = |version| compress_small(join_aggregated(version, aggregated.iter().copied()));
        set.aggregated_v2 = Some(join(AggregatedVersion::V2));
        set.aggregated_v2beta1 = Some(join(AggregatedVersion::V2Beta1));
        set.group = self.groups.iter().map(|(k, shown)| (k.clone(), shown.fragment.single.clone())).collect();
    }
}

async fn show(
    group: &str,
    registrations: &[Registration],
    transformers: &[Arc<dyn DiscoveryTransformer>],
) -> Result<Option<Shown>, DocumentFault> {
    let mut sorted: Vec<&Registration> = registrations.iter().collect();
    sort_versions(&mut sorted);
    let Some(standing) = Standing::of(&sorted) else { return Ok(None) };
    let mut hidden = false;
    let mut shown = build_group(group, &sorted);
    if group != UNTOUCHABLE {
        for transformer in transformers {
            let Some(given) = shown.take() else { break };
            match transform(&given, transformer.as_ref()).await {
                Ok(answer) => shown = answer,
                Err(reason) => {
                    tracing::warn!(group, reason, "a discovery transformer is left out");
                    shown = Some(given);
                }
            }
            hidden = shown.is_none();
        }
    }
    let fragment = prepare_fragment(group, &sorted, shown.as_ref())?;
    let versions = sorted.iter().map(|r| r.group_version.version.clone()).collect();
    Ok(Some(Shown { standing, versions, fragment, hidden }))
}

/// What a transformer makes of a group; `Ok(None)` when it hides it.
async fn transform(
    given: &GroupDiscovery,
    transformer: &dyn DiscoveryTransformer,
) -> Result<Option<GroupDiscovery>, String> {
    let text = serde_json::to_string(given).map_err(|error| error.to_string())?;
    match transformer.transform(&text).await? {
        Outcome::Keep => Ok(Some(given.clone())),
        Outcome::Hide(reason) => {
            tracing::debug!(group = given.metadata.name, reason, "a discovery transformer hides a group");
            Ok(None)
        }
        Outcome::Replace(answer) => {
            check_replacement(given, &answer).map(Some).map_err(|fault| fault.to_string())
        }
    }
}

fn compress_small(document: Document) -> Document {
    if document.identity.len() <= COMPRESS_AT_ONCE { compress(document) } else { document }
}

/// Whether [`compress_all`] has something to do.
pub(super) fn is_uncompressed(set: &DocumentSet) -> bool {
    [&set.groups_json, &set.groups_yaml, &set.aggregated_v2, &set.aggregated_v2beta1]
        .into_iter()
        .flatten()
        .any(|document| document.gzip.is_none() && document.identity.len() > COMPRESS_AT_ONCE)
}

/// Compresses what is large.
pub(super) fn compress_all(set: &mut DocumentSet) {
    for document in
        [&mut set.groups_json, &mut set.groups_yaml, &mut set.aggregated_v2, &mut set.aggregated_v2beta1]
    {
        *document = document.take().map(compress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::discovery::{Known, Resource};
    use crate::model::group_version::GroupVersion;
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use serde_json::Value;

    struct Rules;

    impl DiscoveryTransformer for Rules {
        fn transform<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<Outcome, String>> {
            let mut value: Value = serde_json::from_str(group).unwrap();
            let outcome = match value["metadata"]["name"].as_str().unwrap() {
                "hidden" => Ok(Outcome::Hide("internal".into())),
                "liar" => {
                    value["versions"][0]["version"] = "v9".into();
                    Ok(Outcome::Replace(value.to_string()))
                }
                "broken" => Err("trapped".into()),
                "apiregistration.k8s.io" => panic!("must not be asked"),
                _ => Ok(Outcome::Keep),
            };
            Box::pin(std::future::ready(outcome))
        }

        fn order<'a>(
            &'a self,
            groups: &'a [GroupHead],
        ) -> BoxFuture<'a, Result<Option<Vec<String>>, String>> {
            let order = groups.iter().rev().map(|head| head.name.clone()).collect();
            Box::pin(std::future::ready(Ok(Some(order))))
        }
    }

    fn input(group: &str) -> GroupInput {
        let resource = Resource { resource: "things".into(), scope: "Cluster".into(), ..Resource::default() };
        let registration = Registration {
            name: format!("v1.{group}"),
            group_version: GroupVersion::new(group, "v1"),
            group_priority: if group == UNTOUCHABLE { 20_001 } else { 1000 },
            version_priority: 1,
            known: Known::Resources { last: Some(Arc::new(vec![resource])), fresh: true },
        };
        GroupInput { registrations: vec![registration], routes: Vec::new() }
    }

    fn groups(transformers: &[Arc<dyn DiscoveryTransformer>]) -> (Vec<String>, Vec<String>, DocumentSet) {
        let mut documents = Documents::default();
        for group in ["broken", "liar", "hidden", UNTOUCHABLE, "z"] {
            documents.update(group, Some(&input(group)), transformers).now_or_never().unwrap();
        }
        documents.arrange(transformers).now_or_never().unwrap();
        let mut set = DocumentSet::default();
        documents.join(&mut set);
        let names = |document: &Option<Document>, list: &str, path: &str| {
            let value: Value = serde_json::from_slice(&document.as_ref().unwrap().identity).unwrap();
            let list = value[list].as_array().unwrap().clone();
            list.iter().map(|g| g.pointer(path).unwrap().as_str().unwrap().to_owned()).collect()
        };
        let aggregated = names(&set.aggregated_v2, "items", "/metadata/name");
        (aggregated, names(&set.groups_json, "groups", "/name"), set)
    }

    #[test]
    fn without_transformers_everything_is_listed_in_order() {
        let (aggregated, legacy, _) = groups(&[]);
        assert_eq!(aggregated, [UNTOUCHABLE, "broken", "hidden", "liar", "z"]);
        assert_eq!(legacy, aggregated);
    }

    #[test]
    fn transformers_hide_and_reorder_but_do_not_invent() {
        let (aggregated, legacy, set) = groups(&[Arc::new(Rules)]);
        assert_eq!(aggregated, [UNTOUCHABLE, "z", "liar", "broken"]);
        assert_eq!(legacy, aggregated);
        let text = String::from_utf8_lossy(&set.aggregated_v2.unwrap().identity).into_owned();
        assert!(!text.contains("v9"), "{text}");
        assert!(set.group.contains_key("hidden"), "a hidden group is not listed, and still there");
    }
}
