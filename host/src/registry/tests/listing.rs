//! Which revision a list or a watch shows.

use super::{create, key, labelled, local, names, next, registry, set_label, told};
use crate::kind::api_service::KIND;
use crate::registry::{DeleteOptions, ListOptions, ObjectEvent, VersionMatch, WatchOptions, WatchStart};
use std::time::Duration;

#[tokio::test]
async fn a_list_shows_the_revision_that_it_is_asked_for() {
    let registry = registry();
    let first = create(&registry, local("a.example.com", &[])).await;
    create(&registry, local("b.example.com", &[])).await;
    let version = first.resource_version().to_owned();
    let (both, only_first) = (vec!["v1.a.example.com", "v1.b.example.com"], vec!["v1.a.example.com"]);
    for (version_match, limit, wanted) in [
        (None, 0, &both),
        (None, 5, &only_first),
        (Some(VersionMatch::NotOlderThan), 0, &both),
        (Some(VersionMatch::NotOlderThan), 5, &both),
        (Some(VersionMatch::Exact), 0, &only_first),
        (Some(VersionMatch::Exact), 5, &only_first),
    ] {
        let options =
            ListOptions { resource_version: version.clone(), version_match, limit, ..ListOptions::default() };
        let list = registry.list(&KIND, &options).await.unwrap();
        assert_eq!(&names(&list.objects), wanted, "{version_match:?} {limit}");
    }
}

#[tokio::test]
async fn a_continued_list_takes_no_version() {
    let registry = registry();
    for group in ["a.x", "b.x", "c.x"] {
        create(&registry, local(group, &[])).await;
    }
    let first = registry.list(&KIND, &ListOptions { limit: 1, ..ListOptions::default() }).await.unwrap();
    assert_eq!((names(&first.objects), first.remaining), (vec!["v1.a.x"], Some(2)));
    let next = |resource_version: &str| ListOptions {
        limit: 1,
        continue_token: first.continue_token.clone(),
        resource_version: resource_version.to_owned(),
        ..ListOptions::default()
    };
    let refused = registry.list(&KIND, &next("1")).await.unwrap_err();
    assert_eq!((refused.code, refused.message.contains("not allowed when using continue")), (400, true));
    for version in ["", "0"] {
        let second = registry.list(&KIND, &next(version)).await.unwrap();
        assert_eq!((names(&second.objects), second.remaining), (vec!["v1.b.x"], Some(1)));
    }
}

#[tokio::test]
async fn a_watch_with_initial_objects_waits_for_its_revision() {
    let registry = registry();
    let newest: u64 = create(&registry, local("a.x", &[])).await.resource_version().parse().unwrap();
    let options =
        WatchOptions { start: WatchStart::CurrentNotOlderThan(newest + 1), ..WatchOptions::default() };
    let (watch, _) = tokio::join!(registry.watch(&KIND, options), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        create(&registry, local("b.x", &[])).await
    });
    let mut watch = watch.unwrap();
    // Both belong to the initial objects, which end with a bookmark.
    for wanted in ["v1.a.x", "v1.b.x"] {
        assert_eq!(told(watch.next().await.unwrap()).1, wanted);
    }
    assert_eq!(watch.next().await.unwrap(), ObjectEvent::Synced(newest + 1));
}

#[tokio::test]
async fn an_object_that_is_read_is_not_older_than_asked() {
    let registry = registry();
    let newest: u64 = create(&registry, local("a.x", &[])).await.resource_version().parse().unwrap();
    let key = key("a.x");
    let (read, written) = tokio::join!(registry.get_not_older(&KIND, &key, newest + 1), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        set_label(&registry, "a.x", "n", "1").await
    });
    assert_eq!(read.unwrap(), written);
}

#[tokio::test]
async fn a_watch_tells_how_far_it_is_and_what_is_gone() {
    let registry = registry();
    create(&registry, local("a.x", &[("tier", "gold")])).await;
    let options =
        WatchOptions { selector: labelled("tier=gold"), start: WatchStart::Now, ..WatchOptions::default() };
    let mut watch = registry.watch(&KIND, options).await.unwrap();
    set_label(&registry, "a.x", "n", "1").await;
    assert_eq!(told(next(&mut watch).await).0, "modified");
    assert_eq!(watch.position(), Some(registry.revision()));
    registry.delete(&KIND, &key("a.x"), &DeleteOptions::default()).await.unwrap();
    let event = next(&mut watch).await;
    let ObjectEvent::Deleted(last) = event else { panic!("{event:?}") };
    assert_eq!((last.name(), last.resource_version()), ("v1.a.x", registry.revision().to_string().as_str()));
    assert_eq!(watch.position(), Some(registry.revision()));
}
