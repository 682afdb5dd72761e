//! The registry's semantics over the store in memory.

use super::{
    DeleteOptions, Deleted, ListOptions, OBJECT_MAX, ObjectEvent, ObjectKey, ObjectWatch, Part, Registry,
    Selector, WatchOptions, WatchStart, WriteOptions,
};
use crate::kind::api_service::KIND;
use crate::kind::external_name;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::object::selector::{FieldSelector, LabelSelector};
use crate::store::{
    FileStore, HistoryBound, ListRequest, MemoryStore, Page, Record, Revision, Store, StoreError, Watch,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

mod deleting;
mod listing;
mod writing;

fn registry() -> Registry {
    Registry::new(Arc::new(MemoryStore::default()))
}

fn local(group: &str, labels: &[(&str, &str)]) -> Object {
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let mut value = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15},
        "status": {},
    });
    if !labels.is_empty() {
        value["metadata"]["labels"] = labels.into();
    }
    Object::from_value(value).unwrap()
}

fn key(group: &str) -> ObjectKey {
    ObjectKey::new("", format!("v1.{group}"))
}

async fn create(registry: &Registry, object: Object) -> Object {
    registry.create(&KIND, "", object, &WriteOptions::by("test")).await.unwrap()
}

async fn set_label(registry: &Registry, group: &str, label: &str, value: &str) -> Object {
    let propose = |current: &Object| {
        let mut next = current.clone();
        next.set(&["metadata", "labels", label], value);
        Ok(next)
    };
    let options = WriteOptions::by("test");
    registry.change(&KIND, &key(group), Part::Main, &options, propose).await.unwrap()
}

fn labelled(text: &str) -> Selector {
    Selector { labels: LabelSelector::parse(text).unwrap(), fields: FieldSelector::default() }
}

async fn next(watch: &mut ObjectWatch) -> ObjectEvent {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap();
        if !matches!(event, ObjectEvent::Progress(_) | ObjectEvent::Synced(_)) {
            return event;
        }
    }
}

fn told(event: ObjectEvent) -> (&'static str, String, String) {
    let (what, object) = match event {
        ObjectEvent::Added(object) => ("added", object),
        ObjectEvent::Modified(object) => ("modified", object),
        ObjectEvent::Deleted(object) => ("deleted", object),
        ObjectEvent::Synced(_) | ObjectEvent::Progress(_) => ("mark", Object::default()),
    };
    (what, object.name().to_owned(), object.resource_version().to_owned())
}

#[tokio::test]
async fn a_watch_sees_objects_come_into_and_out_of_its_selector() {
    let registry = registry();
    create(&registry, local("a.example.com", &[("tier", "gold")])).await;
    create(&registry, local("b.example.com", &[])).await;
    let options = WatchOptions { selector: labelled("tier=gold"), ..WatchOptions::default() };
    let mut watch = registry.watch(&KIND, options).await.unwrap();
    assert_eq!(told(next(&mut watch).await).1, "v1.a.example.com");

    let entered = set_label(&registry, "b.example.com", "tier", "gold").await;
    assert_eq!(
        told(next(&mut watch).await),
        ("added", "v1.b.example.com".into(), entered.resource_version().into())
    );
    set_label(&registry, "b.example.com", "n", "1").await;
    assert_eq!(told(next(&mut watch).await).0, "modified");
    let left = set_label(&registry, "b.example.com", "tier", "silver").await;
    let event = next(&mut watch).await;
    assert_eq!(told(event.clone()), ("deleted", "v1.b.example.com".into(), left.resource_version().into()));
    let ObjectEvent::Deleted(last) = event else { panic!("checked above") };
    assert_eq!(last.text(&["metadata", "labels", "tier"]), "gold", "the last state that matched");

    registry.delete(&KIND, &key("a.example.com"), &DeleteOptions::default()).await.unwrap();
    let gone = told(next(&mut watch).await);
    assert_eq!((gone.0, gone.2), ("deleted", registry.revision().to_string()));
}

#[tokio::test]
async fn changes_beside_the_selector_are_progress() {
    let registry = registry();
    let after = create(&registry, local("a.example.com", &[])).await.resource_version().parse().unwrap();
    let options = WatchOptions {
        selector: labelled("tier=gold"),
        start: WatchStart::After(after),
        ..WatchOptions::default()
    };
    let mut watch = registry.watch(&KIND, options).await.unwrap();
    assert_eq!(watch.position(), Some(after));
    set_label(&registry, "a.example.com", "tier", "silver").await;
    let told = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap();
    assert_eq!(told, ObjectEvent::Progress(registry.revision()));
    let initial = registry.watch(&KIND, WatchOptions::default()).await.unwrap();
    assert_eq!(initial.position(), None, "the initial objects are not delivered yet");
}

#[tokio::test]
async fn a_watch_starts_where_it_is_told() {
    let registry = registry();
    let first = create(&registry, local("a.example.com", &[])).await;
    create(&registry, local("b.example.com", &[])).await;
    let after = first.resource_version().parse().unwrap();
    let start = |start| WatchOptions { start, ..WatchOptions::default() };

    let mut watch = registry.watch(&KIND, start(WatchStart::After(after))).await.unwrap();
    assert_eq!(told(next(&mut watch).await).1, "v1.b.example.com");
    let mut watch = registry.watch(&KIND, start(WatchStart::Now)).await.unwrap();
    create(&registry, local("c.example.com", &[])).await;
    assert_eq!(told(next(&mut watch).await).1, "v1.c.example.com");
    let mut watch = registry.watch(&KIND, start(WatchStart::Current)).await.unwrap();
    for wanted in ["v1.a.example.com", "v1.b.example.com", "v1.c.example.com"] {
        assert_eq!(
            told(next(&mut watch).await),
            ("added", wanted.into(), told_version(&registry, wanted).await)
        );
    }
}

async fn told_version(registry: &Registry, name: &str) -> String {
    registry.get(&KIND, &ObjectKey::new("", name)).await.unwrap().resource_version().to_owned()
}

#[tokio::test]
async fn pages_show_one_revision_whatever_happens_between() {
    let registry = registry();
    for group in ["a.example.com", "b.example.com", "c.example.com", "d.example.com"] {
        create(&registry, local(group, &[])).await;
    }
    let mut options = ListOptions { limit: 2, ..ListOptions::default() };
    let first = registry.list(&KIND, &options).await.unwrap();
    assert_eq!(
        (names(&first.objects), first.remaining),
        (vec!["v1.a.example.com", "v1.b.example.com"], Some(2))
    );

    registry.delete(&KIND, &key("c.example.com"), &DeleteOptions::default()).await.unwrap();
    create(&registry, local("bb.example.com", &[])).await;
    options.continue_token = first.continue_token;
    let second = registry.list(&KIND, &options).await.unwrap();
    assert_eq!(names(&second.objects), ["v1.c.example.com", "v1.d.example.com"]);
    assert_eq!((second.revision, second.continue_token.as_str()), (first.revision, ""));
}

#[tokio::test]
async fn a_page_that_is_no_longer_kept_offers_the_rest_as_it_is_now() {
    let bound = HistoryBound { events: 2, ..HistoryBound::default() };
    let registry = Registry::new(Arc::new(MemoryStore::new(bound)));
    for group in ["a.example.com", "b.example.com", "c.example.com"] {
        create(&registry, local(group, &[])).await;
    }
    let mut options = ListOptions { limit: 1, ..ListOptions::default() };
    let first = registry.list(&KIND, &options).await.unwrap();
    for n in 0..20 {
        set_label(&registry, "a.example.com", "n", &n.to_string()).await;
    }
    options.continue_token = first.continue_token;
    let expired = registry.list(&KIND, &options).await.unwrap_err();
    assert_eq!((expired.code, expired.reason), (410, "Expired"));
    options.continue_token = expired.continue_token.unwrap();
    let rest = registry.list(&KIND, &options).await.unwrap();
    assert_eq!(names(&rest.objects), ["v1.b.example.com"]);
}

#[tokio::test]
async fn a_collection_larger_than_the_history_goes_as_a_whole() {
    let bound = HistoryBound { events: 2, ..HistoryBound::default() };
    let registry = Registry::new(Arc::new(MemoryStore::new(bound)));
    for index in 0..600 {
        create(&registry, local(&format!("g{index}.x"), &[])).await;
    }
    let deleted =
        registry.delete_collection(&KIND, &ListOptions::default(), &DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted.objects.len(), 600);
    assert_eq!(registry.list(&KIND, &ListOptions::default()).await.unwrap().objects, []);
}

fn names(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(Object::name).collect()
}

#[tokio::test]
async fn selected_pages_are_full_and_tell_no_remainder() {
    let registry = registry();
    for (group, tier) in [("a.x", "gold"), ("b.x", "silver"), ("c.x", "gold"), ("d.x", "gold")] {
        create(&registry, local(group, &[("tier", tier)])).await;
    }
    let options = ListOptions { limit: 2, selector: labelled("tier=gold"), ..ListOptions::default() };
    let page = registry.list(&KIND, &options).await.unwrap();
    assert_eq!((names(&page.objects), page.remaining), (vec!["v1.a.x", "v1.c.x"], None));
    assert!(!page.continue_token.is_empty());
}

#[tokio::test]
async fn a_selected_page_is_filled_from_far_behind() {
    let registry = registry();
    for index in 0..1200 {
        let tier = if index % 600 == 599 { "gold" } else { "silver" };
        create(&registry, local(&format!("g{index:04}.x"), &[("tier", tier)])).await;
    }
    let mut options = ListOptions { limit: 1, selector: labelled("tier=gold"), ..ListOptions::default() };
    let first = registry.list(&KIND, &options).await.unwrap();
    assert_eq!(names(&first.objects), ["v1.g0599.x"]);
    registry.delete(&KIND, &key("g1199.x"), &DeleteOptions::default()).await.unwrap();
    options.continue_token = first.continue_token;
    let second = registry.list(&KIND, &options).await.unwrap();
    assert_eq!(names(&second.objects), ["v1.g1199.x"], "as of the first page");
    assert_eq!(second.continue_token, "");
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_none() {
    let registry = registry();
    let object = create(&registry, local("a.example.com", &[("a", "b")])).await;
    let again = set_label(&registry, "a.example.com", "a", "b").await;
    assert_eq!(again, object);
    assert_eq!(registry.revision().to_string(), object.resource_version());
}

#[tokio::test]
async fn a_stale_object_conflicts_and_a_proposal_is_made_again() {
    let registry = registry();
    let stale = create(&registry, local("a.example.com", &[])).await;
    set_label(&registry, "a.example.com", "n", "1").await;
    let options = WriteOptions::by("test");
    let mut changed = stale;
    changed.set(&["metadata", "labels", "n"], "2");
    let refused =
        registry.update(&KIND, &key("a.example.com"), Part::Main, changed, &options).await.unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));

    // A writer that comes in between makes the first try lose; the second sees what it wrote.
    let mut tries = 0;
    let rival = registry.clone();
    let propose = |current: &Object| {
        tries += 1;
        if tries == 1 {
            let mut theirs = current.clone();
            theirs.set(&["metadata", "labels", "rival"], "was-here");
            let write = super::stored::encode(&theirs)?;
            let revision = current.resource_version().parse().unwrap();
            let path = key("a.example.com").path(&KIND);
            futures_util::FutureExt::now_or_never(rival.store.update(path, revision, write))
                .expect("the store in memory never waits")
                .map_err(Failure::internal)?;
        }
        let mut next = current.clone();
        next.set(&["metadata", "labels", "mine"], "too");
        Ok(next)
    };
    let written = registry.change(&KIND, &key("a.example.com"), Part::Main, &options, propose).await.unwrap();
    assert_eq!(tries, 2);
    assert_eq!(written.text(&["metadata", "labels", "rival"]), "was-here");
    assert_eq!(written.text(&["metadata", "labels", "mine"]), "too");
}

#[tokio::test]
async fn changes_without_a_resource_version_all_get_their_turn() {
    const WRITERS: usize = 64;
    let directory = tempfile::tempdir().unwrap();
    // This store waits for its disk, so that all writers read before the first one has written.
    let registry = Registry::new(Arc::new(FileStore::open(directory.path()).unwrap()));
    create(&registry, local("a.example.com", &[])).await;
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer-{n}")).collect();
    let writes = names.iter().map(|name| set_label(&registry, "a.example.com", name, "was-here"));
    futures_util::future::join_all(writes).await;
    let object = registry.get(&KIND, &key("a.example.com")).await.unwrap();
    for name in &names {
        assert_eq!(object.text(&["metadata", "labels", name]), "was-here", "{name}");
    }
}

/// An object with `count` finalizers of 56 bytes each.
fn with_finalizers(count: usize) -> Object {
    let mut object = local("a.example.com", &[]);
    let finalizers: Vec<String> =
        (0..count).map(|n| format!("example.com/{}{n:06}", "x".repeat(38))).collect();
    object.set(&["metadata", "finalizers"], json!(finalizers));
    object
}

#[tokio::test]
async fn no_object_grows_beyond_the_limit() {
    let registry = registry();
    let options = WriteOptions::by("test");
    let many = OBJECT_MAX / 56;
    for dry_run in [true, false] {
        let options = WriteOptions { dry_run, ..options.clone() };
        let refused = registry.create(&KIND, "", with_finalizers(many), &options).await.unwrap_err();
        assert_eq!((refused.code, refused.reason), (413, "RequestEntityTooLarge"));
        assert!(refused.message.contains("v1.a.example.com"), "{}", refused.message);
    }
    create(&registry, with_finalizers(1)).await;
    let grow = |current: &Object| {
        let mut next = current.clone();
        next.set(
            &["metadata", "finalizers"],
            with_finalizers(many).take(&["metadata", "finalizers"]).unwrap(),
        );
        Ok(next)
    };
    let key = key("a.example.com");
    let refused = registry.change(&KIND, &key, Part::Main, &options, grow).await.unwrap_err();
    assert_eq!(refused.code, 413);
    assert_eq!(registry.revision(), 1);

    // One that an older version let in may shrink, and go.
    let large = super::stored::encode(&grow(&registry.get(&KIND, &key).await.unwrap()).unwrap()).unwrap();
    registry.store.update(key.path(&KIND), 1, large).await.unwrap();
    let Deleted::Waiting(_) = registry.delete(&KIND, &key, &DeleteOptions::default()).await.unwrap() else {
        panic!("the finalizers are ignored")
    };
    let shrink = |current: &Object| {
        let mut next = current.clone();
        next.set(&["metadata", "finalizers"], with_finalizers(1).take(&["metadata", "finalizers"]).unwrap());
        Ok(next)
    };
    registry.change(&KIND, &key, Part::Main, &options, shrink).await.unwrap();
}

#[tokio::test]
async fn namespaces_separate_lists_and_collections() {
    let registry = registry();
    let named = |namespace: &str, name: &str| {
        Object::from_value(json!({
            "apiVersion": "service.grafana.app/v0alpha1",
            "kind": "ExternalName",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"host": "localhost"},
        }))
        .unwrap()
    };
    let options = WriteOptions::by("test");
    for (namespace, name) in [("a", "x"), ("a", "y"), ("ab", "x")] {
        registry.create(&external_name::KIND, namespace, named(namespace, name), &options).await.unwrap();
    }
    let strayed = registry.create(&external_name::KIND, "b", named("a", "z"), &options).await;
    assert_eq!(strayed.unwrap_err().code, 400);
    let within = ListOptions { namespace: "a".to_owned(), ..ListOptions::default() };
    let deleted = registry.delete_collection(&external_name::KIND, &within, &DeleteOptions::default()).await;
    assert_eq!(names(&deleted.unwrap().objects), ["x", "y"]);
    let left = registry.list(&external_name::KIND, &ListOptions::default()).await.unwrap();
    assert_eq!(left.objects.iter().map(Object::namespace).collect::<Vec<_>>(), ["ab"]);
}

/// A store whose medium does not answer.
struct Broken;

fn refused<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(std::future::ready(Err(StoreError::Medium("the disk is gone".to_owned()))))
}

impl Store for Broken {
    fn revision(&self) -> Revision {
        0
    }

    fn check(&self) -> Result<(), StoreError> {
        Err(StoreError::Medium("the file is gone".to_owned()))
    }

    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        refused()
    }

    fn list(&self, _: ListRequest) -> BoxFuture<'_, Result<Page, StoreError>> {
        refused()
    }

    fn create(&self, _: String, _: Bytes) -> BoxFuture<'_, Result<Revision, StoreError>> {
        refused()
    }

    fn update(&self, _: String, _: Revision, _: Bytes) -> BoxFuture<'_, Result<Revision, StoreError>> {
        refused()
    }

    fn delete(&self, _: String, _: Revision) -> BoxFuture<'_, Result<Revision, StoreError>> {
        refused()
    }

    fn watch(&self, _: String, _: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        refused()
    }
}

#[tokio::test]
async fn a_medium_that_does_not_answer_is_told() {
    let broken = Registry::new(Arc::new(Broken));
    let probed = broken.probe().await.unwrap_err();
    let checked = broken.check_store().unwrap_err();
    assert_eq!((probed.code, checked.code), (500, 500));
    assert!(probed.message.contains("the disk is gone"), "{}", probed.message);
    assert!(checked.message.contains("the file is gone"), "{}", checked.message);
    let whole = registry();
    assert_eq!((whole.probe().await, whole.check_store()), (Ok(()), Ok(())));
}
