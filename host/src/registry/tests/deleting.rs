//! Deletes: preconditions, finalizers, dry runs, collections.

use super::{create, key, labelled, local, names, registry, set_label};
use crate::kind::api_service::KIND;
use crate::kind::external_name;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::registry::{DeleteOptions, Deleted, ListOptions, ObjectKey, Part, Registry, WriteOptions, stored};
use serde_json::{Value, json};

fn with_finalizers(group: &str, finalizers: &[&str]) -> Object {
    let mut object = local(group, &[]);
    object.set(&["metadata", "finalizers"], json!(finalizers));
    object
}

fn finalizers(object: &Object) -> Value {
    object.at(&["metadata", "finalizers"]).cloned().unwrap_or_default()
}

/// Sets the finalizers as a client does.
async fn put_finalizers(registry: &Registry, group: &str, finalizers: &[&str]) -> Result<Object, Failure> {
    let propose = |current: &Object| {
        let mut next = current.clone();
        next.set(&["metadata", "finalizers"], json!(finalizers));
        Ok(next)
    };
    registry.change(&KIND, &key(group), Part::Main, &WriteOptions::by("t"), propose).await
}

async fn delete(registry: &Registry, group: &str) -> Deleted {
    registry.delete(&KIND, &key(group), &DeleteOptions::default()).await.unwrap()
}

async fn is_gone(registry: &Registry, group: &str) -> bool {
    registry.get(&KIND, &key(group)).await.is_err_and(|failure| failure.code == 404)
}

/// Writes an object as an earlier version left it.
async fn store_raw(registry: &Registry, group: &str, change: impl FnOnce(&mut Object)) -> Object {
    let mut object = registry.get(&KIND, &key(group)).await.unwrap();
    let revision = object.resource_version().parse().unwrap();
    change(&mut object);
    let value = stored::encode(&object).unwrap();
    registry.store.update(key(group).path(&KIND), revision, value).await.unwrap();
    registry.get(&KIND, &key(group)).await.unwrap()
}

fn terminate(object: &mut Object) {
    object.set(&["metadata", "deletionTimestamp"], "2020-01-01T00:00:00Z");
    object.set(&["metadata", "deletionGracePeriodSeconds"], 0);
}

#[tokio::test]
async fn preconditions_guard_a_delete() {
    let registry = registry();
    let object = create(&registry, local("a.example.com", &[])).await;
    let (uid, version) = (Some(object.uid().to_owned()), Some(object.resource_version().to_owned()));
    let (other_uid, other_version) = (Some("other".to_owned()), Some("999".to_owned()));
    let by = |uid: &Option<String>, resource_version: &Option<String>| DeleteOptions {
        uid: uid.clone(),
        resource_version: resource_version.clone(),
        ..DeleteOptions::default()
    };
    let (wrong_uid, wrong_version) =
        ("the UID in the precondition", "the ResourceVersion in the precondition");
    for (options, message) in [
        (by(&other_uid, &None), wrong_uid),
        (by(&other_uid, &version), wrong_uid),
        (by(&None, &other_version), wrong_version),
        (by(&uid, &other_version), wrong_version),
    ] {
        for dry_run in [true, false] {
            let options = DeleteOptions { dry_run, ..options.clone() };
            let refused = registry.delete(&KIND, &key("a.example.com"), &options).await.unwrap_err();
            assert_eq!((refused.code, refused.reason), (409, "Conflict"), "{options:?}");
            assert!(refused.message.contains(message), "{options:?}: {}", refused.message);
        }
    }
    let gone = registry.delete(&KIND, &key("a.example.com"), &by(&uid, &version)).await.unwrap();
    assert!(matches!(gone, Deleted::Gone(_)));
    assert!(is_gone(&registry, "a.example.com").await);
}

#[tokio::test]
async fn an_object_with_finalizers_waits_until_the_last_one_is_removed() {
    let registry = registry();
    create(&registry, with_finalizers("a.example.com", &["example.com/one", "example.com/two"])).await;
    let Deleted::Waiting(waiting) = delete(&registry, "a.example.com").await else {
        panic!("the finalizers are ignored")
    };
    assert!(!waiting.text(&["metadata", "deletionTimestamp"]).is_empty());
    assert_eq!(waiting.at(&["metadata", "deletionGracePeriodSeconds"]), Some(&json!(0)));
    assert_eq!(waiting, registry.get(&KIND, &key("a.example.com")).await.unwrap());
    let refused = registry.create(&KIND, "", local("a.example.com", &[]), &WriteOptions::by("t")).await;
    assert!(refused.unwrap_err().message.starts_with("object is being deleted: "));

    let left = put_finalizers(&registry, "a.example.com", &["example.com/two"]).await.unwrap();
    assert_eq!(left, registry.get(&KIND, &key("a.example.com")).await.unwrap());
    put_finalizers(&registry, "a.example.com", &[]).await.unwrap();
    assert!(is_gone(&registry, "a.example.com").await);
}

#[tokio::test]
async fn a_repeated_delete_changes_nothing() {
    let registry = registry();
    create(&registry, with_finalizers("a.example.com", &["example.com/hold"])).await;
    // The deletion began long ago, so that a second timestamp would differ from the first.
    let before = store_raw(&registry, "a.example.com", terminate).await;
    let revision = registry.revision();
    for dry_run in [true, false] {
        let options = DeleteOptions { dry_run, ..DeleteOptions::default() };
        let again = registry.delete(&KIND, &key("a.example.com"), &options).await.unwrap();
        assert_eq!(again, Deleted::Waiting(before.clone()));
    }
    assert_eq!(registry.revision(), revision);
}

#[tokio::test]
async fn a_live_object_survives_the_removal_of_its_last_finalizer() {
    let registry = registry();
    let created = create(&registry, with_finalizers("a.example.com", &["example.com/hold"])).await;
    let freed = put_finalizers(&registry, "a.example.com", &[]).await.unwrap();
    let kept = registry.get(&KIND, &key("a.example.com")).await.unwrap();
    assert_eq!((kept.uid(), &kept), (created.uid(), &freed));
    assert_eq!(kept.at(&["metadata", "deletionTimestamp"]), None);
}

#[tokio::test]
async fn finalizers_of_the_garbage_collector_never_hold_a_delete() {
    for preset in [["foregroundDeletion"], ["orphan"]] {
        let registry = registry();
        create(&registry, with_finalizers("a.example.com", &preset)).await;
        // They mean nothing until the object is deleted.
        let labelled = set_label(&registry, "a.example.com", "n", "1").await;
        assert_eq!(finalizers(&labelled), json!(preset));
        let dry = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
        let would_go = registry.delete(&KIND, &key("a.example.com"), &dry).await.unwrap();
        assert!(matches!(would_go, Deleted::Gone(_)), "{preset:?}");
        assert!(!is_gone(&registry, "a.example.com").await, "a dry run deletes nothing");
        assert!(matches!(delete(&registry, "a.example.com").await, Deleted::Gone(_)), "{preset:?}");
        assert!(is_gone(&registry, "a.example.com").await);
    }
}

#[tokio::test]
async fn other_finalizers_still_hold_a_delete() {
    for all in [["foregroundDeletion", "example.com/hold"], ["example.com/hold", "orphan"]] {
        let registry = registry();
        create(&registry, with_finalizers("a.example.com", &all)).await;
        let Deleted::Waiting(waiting) = delete(&registry, "a.example.com").await else {
            panic!("the finalizer is ignored")
        };
        assert_eq!(finalizers(&waiting), json!(["example.com/hold"]));
        assert_eq!(waiting, registry.get(&KIND, &key("a.example.com")).await.unwrap());
        put_finalizers(&registry, "a.example.com", &[]).await.unwrap();
        assert!(is_gone(&registry, "a.example.com").await);
    }
}

/// Earlier versions stored such objects and never deleted them.
#[tokio::test]
async fn an_object_that_already_waits_for_the_garbage_collector_goes_with_the_next_write() {
    for by_delete in [true, false] {
        let registry = registry();
        create(&registry, with_finalizers("a.example.com", &["foregroundDeletion"])).await;
        store_raw(&registry, "a.example.com", terminate).await;
        if by_delete {
            assert!(matches!(delete(&registry, "a.example.com").await, Deleted::Gone(_)));
        } else {
            set_label(&registry, "a.example.com", "n", "1").await;
        }
        assert!(is_gone(&registry, "a.example.com").await, "{by_delete}");
    }
}

#[tokio::test]
async fn dry_runs_store_nothing() {
    let registry = registry();
    let dry = WriteOptions { dry_run: true, ..WriteOptions::by("test") };
    let object = registry.create(&KIND, "", local("a.example.com", &[]), &dry).await.unwrap();
    assert!(!object.uid().is_empty() && object.resource_version().is_empty());
    create(&registry, local("a.example.com", &[])).await;
    create(&registry, with_finalizers("b.example.com", &["example.com/hold"])).await;
    create(&registry, with_finalizers("c.example.com", &["example.com/hold"])).await;
    let waiting = store_raw(&registry, "c.example.com", terminate).await;
    let revision = registry.revision();

    let dry_delete = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    let gone = registry.delete(&KIND, &key("a.example.com"), &dry_delete).await.unwrap();
    assert!(matches!(gone, Deleted::Gone(_)));
    let Deleted::Waiting(marked) = registry.delete(&KIND, &key("b.example.com"), &dry_delete).await.unwrap()
    else {
        panic!("the finalizer is ignored")
    };
    assert!(!marked.text(&["metadata", "deletionTimestamp"]).is_empty());
    registry.delete_collection(&KIND, &ListOptions::default(), &dry_delete).await.unwrap();
    let free = |current: &Object| {
        let mut next = current.clone();
        next.take(&["metadata", "finalizers"]);
        Ok(next)
    };
    registry.change(&KIND, &key("c.example.com"), Part::Main, &dry, free).await.unwrap();
    assert_eq!(registry.get(&KIND, &key("c.example.com")).await.unwrap(), waiting);
    let b = registry.get(&KIND, &key("b.example.com")).await.unwrap();
    assert_eq!(b.at(&["metadata", "deletionTimestamp"]), None);
    assert_eq!(registry.revision(), revision);
}

#[tokio::test]
async fn a_limited_delete_of_a_collection_tells_where_it_goes_on() {
    let registry = registry();
    for group in ["a.x", "b.x", "c.x", "d.x", "e.x"] {
        create(&registry, local(group, &[("tier", "gold")])).await;
    }
    let mut which = ListOptions { limit: 2, ..ListOptions::default() };
    let options = DeleteOptions::default();
    let mut pages = Vec::new();
    loop {
        let page = registry.delete_collection(&KIND, &which, &options).await.unwrap();
        pages.push((names(&page.objects).join(" "), page.remaining));
        which.continue_token = page.continue_token;
        if which.continue_token.is_empty() {
            break;
        }
    }
    let wanted = [("v1.a.x v1.b.x", Some(3)), ("v1.c.x v1.d.x", Some(1)), ("v1.e.x", None)];
    assert_eq!(pages, wanted.map(|(names, remaining)| (names.to_owned(), remaining)));
    assert_eq!(registry.list(&KIND, &ListOptions::default()).await.unwrap().objects, []);
}

#[tokio::test]
async fn a_limited_delete_with_a_selector_deletes_only_its_page() {
    let registry = registry();
    for (group, tier) in [("a.x", "gold"), ("b.x", "silver"), ("c.x", "gold"), ("d.x", "gold")] {
        create(&registry, local(group, &[("tier", tier)])).await;
    }
    let which = ListOptions { limit: 2, selector: labelled("tier=gold"), ..ListOptions::default() };
    let page = registry.delete_collection(&KIND, &which, &DeleteOptions::default()).await.unwrap();
    assert_eq!((names(&page.objects), page.remaining), (vec!["v1.a.x", "v1.c.x"], None));
    assert!(!page.continue_token.is_empty());
    let left = registry.list(&KIND, &ListOptions::default()).await.unwrap();
    assert_eq!(names(&left.objects), ["v1.b.x", "v1.d.x"]);
}

#[tokio::test]
async fn a_collection_of_another_kind_is_freed_as_well() {
    let registry = registry();
    let object = |name: &str, finalizer: &str| {
        Object::from_value(json!({
            "apiVersion": "service.grafana.app/v0alpha1",
            "kind": "ExternalName",
            "metadata": {"name": name, "finalizers": [finalizer]},
            "spec": {"host": "localhost"},
        }))
        .unwrap()
    };
    let options = WriteOptions::by("test");
    for (name, finalizer) in [("x", "orphan"), ("y", "foregroundDeletion")] {
        registry.create(&external_name::KIND, "prod", object(name, finalizer), &options).await.unwrap();
    }
    let within = ListOptions { namespace: "prod".to_owned(), ..ListOptions::default() };
    let options = DeleteOptions::default();
    let deleted = registry.delete_collection(&external_name::KIND, &within, &options).await.unwrap();
    assert_eq!(names(&deleted.objects), ["x", "y"]);
    let refused = registry.get(&external_name::KIND, &ObjectKey::new("prod", "x")).await.unwrap_err();
    assert_eq!(refused.code, 404);
}

#[tokio::test]
async fn two_clients_may_delete_a_collection_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    // This store waits for its disk, so that both clients list every object before the first one is gone.
    let registry =
        Registry::new(std::sync::Arc::new(crate::store::FileStore::open(directory.path()).unwrap()));
    for group in ["a.x", "b.x", "c.x"] {
        create(&registry, local(group, &[])).await;
    }
    let (which, options) = (ListOptions::default(), DeleteOptions::default());
    let delete = || registry.delete_collection(&KIND, &which, &options);
    let (first, second) = tokio::join!(delete(), delete());
    let deleted = [first.unwrap().objects, second.unwrap().objects].concat();
    assert_eq!(deleted.len(), 3, "each object is reported once");
}
