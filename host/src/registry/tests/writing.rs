//! Creates and changes: preconditions, versions, names, sizes, field owners.

use super::{create, key, local, registry, set_label, with_finalizers};
use crate::kind::api_service::KIND;
use crate::model::failure::Failure;
use crate::model::object::Object;
use crate::registry::{OBJECT_MAX, ObjectKey, Part, WriteOptions, stored};
use serde_json::json;
use std::time::Duration;

fn relabeled(object: &Object, value: &str) -> Object {
    let mut next = object.clone();
    next.set(&["metadata", "labels", "n"], value);
    next
}

#[tokio::test]
async fn an_update_must_name_the_version_and_the_uid_that_are_stored() {
    let registry = registry();
    let first = create(&registry, local("a.example.com", &[])).await;
    let current = set_label(&registry, "a.example.com", "n", "1").await;
    let with_version = |version: &str| {
        let mut next = relabeled(&current, "2");
        next.set(&["metadata", "resourceVersion"], version);
        next
    };
    let key = key("a.example.com");
    for (version, code, reason) in [
        (first.resource_version(), 409, "Conflict"),
        ("999999", 409, "Conflict"),
        ("", 422, "Invalid"),
        ("0", 422, "Invalid"),
        ("abc", 400, "BadRequest"),
    ] {
        for dry_run in [true, false] {
            let options = WriteOptions { dry_run, ..WriteOptions::by("t") };
            let proposed = with_version(version);
            let refused = registry.update(&KIND, &key, Part::Main, proposed, &options).await.unwrap_err();
            assert_eq!((refused.code, refused.reason), (code, reason), "{version:?}: {}", refused.message);
        }
    }
    let other = WriteOptions { uid: Some("other".to_owned()), ..WriteOptions::by("t") };
    let refused =
        registry.update(&KIND, &key, Part::Main, relabeled(&current, "2"), &other).await.unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, "Conflict"));
    assert!(
        refused.message.contains("Precondition failed: UID in precondition: other"),
        "{}",
        refused.message
    );
    assert_eq!(registry.get(&KIND, &key).await.unwrap(), current, "nothing was written");

    let same = WriteOptions { uid: Some(current.uid().to_owned()), ..WriteOptions::by("t") };
    let written = registry.update(&KIND, &key, Part::Main, relabeled(&current, "2"), &same).await.unwrap();
    assert_eq!(written, registry.get(&KIND, &key).await.unwrap());
    assert_eq!(written.resource_version(), registry.revision().to_string());
    assert_eq!(written.text(&["metadata", "labels", "n"]), "2");
}

#[tokio::test]
async fn a_dry_update_is_shown_and_not_stored() {
    let registry = registry();
    let current = create(&registry, local("a.example.com", &[])).await;
    let dry = WriteOptions { dry_run: true, ..WriteOptions::by("t") };
    let key = key("a.example.com");
    let shown = registry.update(&KIND, &key, Part::Main, relabeled(&current, "2"), &dry).await.unwrap();
    assert_eq!(shown.text(&["metadata", "labels", "n"]), "2");
    assert_eq!(registry.get(&KIND, &key).await.unwrap(), current);
}

#[tokio::test]
async fn a_create_must_not_name_a_version_and_takes_no_other_name() {
    let registry = registry();
    let mut versioned = local("a.example.com", &[]);
    versioned.set(&["metadata", "resourceVersion"], "1");
    let options = WriteOptions::by("t");
    let refused = registry.create(&KIND, "", versioned, &options).await.unwrap_err();
    assert_eq!((refused.code, refused.reason), (400, "BadRequest"));
    let created = create(&registry, local("a.example.com", &[])).await;
    assert_eq!(created.resource_version(), registry.revision().to_string());
    for dry_run in [true, false] {
        let options = WriteOptions { dry_run, ..options.clone() };
        let refused = registry.create(&KIND, "", local("a.example.com", &[]), &options).await.unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "AlreadyExists"));
        assert!(!refused.message.contains("being deleted"), "{}", refused.message);
    }
}

#[tokio::test]
async fn the_status_is_changed_and_owned_through_its_part_only() {
    let registry = registry();
    let current = create(&registry, local("a.example.com", &[])).await;
    let mut proposed = relabeled(&current, "2");
    let condition = json!([{"type": "Custom", "status": "True"}]);
    proposed.set(&["status", "conditions"], condition.clone());
    proposed.set(&["spec", "versionPriority"], 99);
    let options = WriteOptions::by("status-writer");
    let key = key("a.example.com");
    let written = registry.update(&KIND, &key, Part::Status, proposed.clone(), &options).await.unwrap();
    assert_eq!(written.at(&["status", "conditions"]), Some(&condition));
    assert_eq!((written.at(&["spec"]), written.at(&["metadata", "labels"])), (current.at(&["spec"]), None));
    let owners = written.at(&["metadata", "managedFields"]).unwrap().as_array().unwrap();
    let of_status = owners.iter().find(|entry| entry["manager"] == "status-writer").unwrap();
    assert_eq!(of_status["subresource"], "status");

    proposed.set(&["metadata", "resourceVersion"], written.resource_version());
    proposed.set(&["status", "conditions"], json!([]));
    let written = registry.update(&KIND, &key, Part::Main, proposed, &options).await.unwrap();
    assert_eq!(written.at(&["status", "conditions"]), Some(&condition), "the main part leaves the status");
    assert_eq!(written.at(&["spec", "versionPriority"]), Some(&json!(99)));
}

/// An earlier version let such an object in. It may shrink even where it stays above the limit.
#[tokio::test]
async fn an_object_above_the_limit_may_shrink_but_not_grow() {
    let registry = registry();
    let object = create(&registry, with_finalizers(1)).await;
    let key = key("a.example.com");
    let sized = |object: &Object, count: usize| {
        let mut next = object.clone();
        next.set(
            &["metadata", "finalizers"],
            with_finalizers(count).take(&["metadata", "finalizers"]).unwrap(),
        );
        next
    };
    let many = OBJECT_MAX / 56;
    let large = stored::encode(&sized(&object, many + 2)).unwrap();
    let revision = object.resource_version().parse().unwrap();
    registry.store.update(key.path(&KIND), revision, large).await.unwrap();
    let options = WriteOptions::by("t");
    for (count, is_accepted) in [(many + 3, false), (many + 1, true), (many + 2, false), (1, true)] {
        let written =
            registry.change(&KIND, &key, Part::Main, &options, |current| Ok(sized(current, count))).await;
        match written {
            Ok(_) => assert!(is_accepted, "{count} of {many}"),
            Err(refused) => assert_eq!((refused.code, is_accepted), (413, false), "{count} of {many}"),
        }
    }
}

#[tokio::test]
async fn generated_names_are_drawn_again_when_they_are_taken() {
    let registry = registry();
    let object = || {
        Object::from_value(json!({
            "apiVersion": "service.grafana.app/v0alpha1",
            "kind": "ExternalName",
            "metadata": {"generateName": "x-", "namespace": "prod"},
            "spec": {"host": "localhost"},
        }))
        .unwrap()
    };
    let kind = &crate::kind::external_name::KIND;
    let options = WriteOptions::by("t");
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let created = registry.create(kind, "prod", object(), &options).await.unwrap();
        assert!(created.name().len() == 7 && created.name().starts_with("x-"), "{}", created.name());
        names.insert(created.name().to_owned());
    }
    assert_eq!(names.len(), 5);
    // The same seed draws the same name again, which is taken by then.
    fastrand::seed(1);
    let first = registry.create(kind, "prod", object(), &options).await.unwrap();
    fastrand::seed(1);
    let second = registry.create(kind, "prod", object(), &options).await.unwrap();
    assert_ne!(first.name(), second.name());
    let mut stray = object();
    stray.set(&["metadata", "namespace"], "other");
    assert_eq!(registry.create(kind, "prod", stray, &options).await.unwrap_err().code, 400);
    let missing = registry.get(kind, &ObjectKey::new("prod", "x-")).await.unwrap_err();
    assert_eq!(missing.code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_by_large_input_leaves_the_only_thread_to_other_tasks() {
    let registry = registry();
    create(&registry, local("a.example.com", &[])).await;
    let writing = tokio::spawn(async move {
        let options = WriteOptions { input_size: 1 << 20, ..WriteOptions::by("t") };
        let propose = |current: &Object| {
            let (sender, receiver) = std::sync::mpsc::channel();
            tokio::spawn(async move { sender.send(()) });
            receiver.recv_timeout(Duration::from_secs(20)).map_err(Failure::internal)?;
            Ok(relabeled(current, "2"))
        };
        registry.change(&KIND, &key("a.example.com"), Part::Main, &options, propose).await
    });
    assert_eq!(writing.await.unwrap().map(drop), Ok(()));
}
