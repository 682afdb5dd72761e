use super::apply::apply;
use super::declared::parse;
use super::*;
use crate::kind::{Kind, api_service, event, external_name};
use crate::model::object::Object;
use crate::object::condition;
use crate::registry::{DeleteOptions, ObjectKey, Part, WriteOptions};
use crate::store::MemoryStore;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

struct Bench {
    registry: Registry,
}

fn api_service(name: &str, priority: u32) -> String {
    let (version, group) = name.split_once('.').unwrap();
    format!(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: {name}}}\nspec: {{group: {group}, version: {version}, groupPriorityMinimum: {priority}, versionPriority: 10, service: {{namespace: default, name: api}}}}\n---\n"
    )
}

fn external_name(name: &str, host: &str) -> String {
    format!(
        "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {{name: {name}}}\nspec: {{host: {host}}}\n---\n"
    )
}

impl Bench {
    fn new() -> Self {
        Self { registry: Registry::new(Arc::new(MemoryStore::default())) }
    }

    async fn apply(&self, files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(name, text)| parse(name, text)).collect();
        apply(&self.registry, &files).await.unwrap()
    }

    async fn by_hand(&self, text: &str) {
        for declared in parse("hand", text).declared {
            let options = WriteOptions::by("kubectl");
            let namespace = &declared.key.namespace;
            self.registry.create(declared.kind, namespace, declared.object, &options).await.unwrap();
        }
    }

    async fn edit(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        path: &[&str],
        value: impl Into<serde_json::Value>,
    ) {
        let value = value.into();
        let change = |current: &Object| {
            let mut next = current.clone();
            next.set(path, value.clone());
            Ok(next)
        };
        let options = WriteOptions::by("kubectl");
        self.registry.change(kind, key, Part::Main, &options, change).await.unwrap();
    }

    async fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Option<Object> {
        self.registry.get(kind, key).await.ok()
    }

    async fn host(&self, name: &str) -> Option<String> {
        let object = self.get(&external_name::KIND, &ObjectKey::new("default", name)).await?;
        Some(object.text(&["spec", "host"]).to_owned())
    }
}

fn service() -> ObjectKey {
    ObjectKey::new("", "v1.a.com")
}

fn api() -> ObjectKey {
    ObjectKey::new("default", "api")
}

#[tokio::test]
async fn what_files_declare_is_made_changed_and_removed() {
    let bench = Bench::new();
    let both = api_service("v1.a.com", 10) + &external_name("api", "one.example.com");
    assert_eq!(bench.apply(&[("a.yaml", &both)]).await, [""; 0]);
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(object.annotation(MARK), Some("a.yaml"));
    assert_eq!(bench.host("api").await.as_deref(), Some("one.example.com"));
    // Nothing changed, nothing written.
    let revision = bench.registry.revision();
    bench.apply(&[("a.yaml", &both)]).await;
    assert_eq!(bench.registry.revision(), revision);
    // Changed, moved to another file, and one taken out.
    bench.apply(&[("b.yaml", &external_name("api", "two.example.com"))]).await;
    assert_eq!(bench.host("api").await.as_deref(), Some("two.example.com"));
    assert!(bench.get(&api_service::KIND, &service()).await.is_none());
    bench.apply(&[]).await;
    assert_eq!(bench.host("api").await, None);
}

#[tokio::test]
async fn what_others_edit_in_a_spec_is_put_right_and_what_they_add_stays() {
    let bench = Bench::new();
    let labelled =
        external_name("api", "one.example.com").replace("{name: api}", "{name: api, labels: {ours: a}}");
    bench.apply(&[("a.yaml", &labelled)]).await;
    bench.edit(&external_name::KIND, &api(), &["spec", "host"], "evil.example.com").await;
    bench.edit(&external_name::KIND, &api(), &["metadata", "labels", "theirs"], "b").await;
    bench.apply(&[("a.yaml", &external_name("api", "one.example.com"))]).await;
    let object = bench.get(&external_name::KIND, &api()).await.unwrap();
    assert_eq!(object.text(&["spec", "host"]), "one.example.com");
    assert_eq!(object.at(&["metadata", "labels"]).unwrap(), &serde_json::json!({"theirs": "b"}));
}

#[tokio::test]
async fn objects_made_by_hand_are_left_alone_and_tell_why() {
    let bench = Bench::new();
    let by_hand = api_service("v1.a.com", 10) + &external_name("api", "hand.example.com");
    bench.by_hand(&by_hand).await;
    let declared = api_service("v1.a.com", 99) + &external_name("api", "file.example.com");
    let problems = bench.apply(&[("a.yaml", &declared)]).await;
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[0]
            .starts_with("APIService v1.a.com: declared in a.yaml: document 1 (line 1), but made by hand")
    );
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(object.at(&["spec", "groupPriorityMinimum"]).unwrap(), 10);
    let told = condition::find(&object, CONFLICT_CONDITION).unwrap();
    assert_eq!((told.status, told.reason), ("True", "MadeByHand"));
    assert!(told.message.ends_with("with the annotation umbel.dev/manifest=a.yaml"), "{}", told.message);
    assert_eq!(bench.host("api").await.as_deref(), Some("hand.example.com"));
    let object = bench.get(&external_name::KIND, &api()).await.unwrap();
    assert!(object.annotation(CONFLICT).unwrap().contains("made by hand"));
    // Told once.
    let revision = bench.registry.revision();
    bench.apply(&[("a.yaml", &declared)]).await;
    assert_eq!(bench.registry.revision(), revision);
    // One is given to the file, the other is deleted.
    bench.edit(&api_service::KIND, &service(), &["metadata", "annotations", MARK], "a.yaml").await;
    bench.registry.delete(&external_name::KIND, &api(), &DeleteOptions::default()).await.unwrap();
    assert_eq!(bench.apply(&[("a.yaml", &declared)]).await, [""; 0]);
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(object.at(&["spec", "groupPriorityMinimum"]).unwrap(), 99);
    assert_eq!(condition::find(&object, CONFLICT_CONDITION), None);
    assert_eq!(bench.host("api").await.as_deref(), Some("file.example.com"));
}

#[tokio::test]
async fn a_conflict_that_ends_is_told_no_more_and_the_object_stays() {
    let bench = Bench::new();
    bench.by_hand(&(api_service("v1.a.com", 10) + &external_name("api", "hand.example.com"))).await;
    bench.apply(&[("a.yaml", &(api_service("v1.a.com", 99) + &external_name("api", "x")))]).await;
    bench.apply(&[]).await;
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(condition::find(&object, CONFLICT_CONDITION), None);
    let object = bench.get(&external_name::KIND, &api()).await.unwrap();
    assert_eq!(object.annotation(CONFLICT), None);
}

#[tokio::test]
async fn a_file_that_cannot_be_understood_takes_nothing_away() {
    let bench = Bench::new();
    let good = external_name("api", "one.example.com") + &external_name("other", "two.example.com");
    bench.apply(&[("a.yaml", &good)]).await;
    for broken in ["key: : value", &(external_name("api", "one.example.com") + "kind: Pod\napiVersion: v1\n")]
    {
        let problems = bench.apply(&[("a.yaml", broken)]).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("a.yaml: document "), "{problems:?}");
        assert_eq!(bench.host("other").await.as_deref(), Some("two.example.com"));
    }
    // Another file does not take over what the broken one may still declare.
    let takes = external_name("other", "three.example.com");
    bench.apply(&[("a.yaml", "key: : value"), ("b.yaml", &takes)]).await;
    assert_eq!(bench.host("other").await.as_deref(), Some("two.example.com"));
    bench.apply(&[("a.yaml", &external_name("api", "one.example.com"))]).await;
    assert_eq!(bench.host("other").await, None);
}

#[tokio::test]
async fn of_two_files_the_first_by_name_has_the_object() {
    let bench = Bench::new();
    let files = [("a.yaml", &*api_service("v1.a.com", 10)), ("b.yaml", &*api_service("v1.a.com", 20))];
    let problems = bench.apply(&files).await;
    let wanted = "APIService v1.a.com: declared in a.yaml: document 1 (line 1) and again in b.yaml: document 1 (line 1): the first has it, take out the other";
    assert_eq!(problems, [wanted]);
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(object.at(&["spec", "groupPriorityMinimum"]).unwrap(), 10);
    assert_eq!(condition::find(&object, CONFLICT_CONDITION).unwrap().reason, "DeclaredTwice");
    // Without the first, the second has it.
    bench.apply(&files[1..]).await;
    let object = bench.get(&api_service::KIND, &service()).await.unwrap();
    assert_eq!(object.at(&["spec", "groupPriorityMinimum"]).unwrap(), 20);
    assert_eq!(condition::find(&object, CONFLICT_CONDITION), None);
}

#[tokio::test]
async fn what_the_rules_of_a_kind_refuse_is_told_with_its_place() {
    let bench = Bench::new();
    let problems = bench.apply(&[("a.yaml", &external_name("api", "http://x"))]).await;
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with(
            "a.yaml: document 1 (line 1): ExternalName.service.grafana.app \"api\" is invalid: spec.host"
        ),
        "{}",
        problems[0]
    );
}

async fn until(bench: &Bench, name: &str, host: Option<&str>) {
    let wait = async {
        while bench.host(name).await.as_deref() != host {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{name} is not {host:?}"));
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

#[tokio::test]
async fn a_directory_may_come_change_go_and_come_back() {
    let (bench, home) = (Bench::new(), tempfile::tempdir().unwrap());
    let directory = home.path().join("manifests");
    let manifests = start(directory.clone(), bench.registry.clone());
    manifests.first_look().await;
    fs::create_dir(&directory).unwrap();
    write(&directory, "a.yaml", &external_name("api", "one.example.com"));
    until(&bench, "api", Some("one.example.com")).await;
    write(&directory, "a.yaml", &external_name("api", "two.example.com"));
    until(&bench, "api", Some("two.example.com")).await;
    // A directory that is gone declares nothing and takes nothing away.
    fs::remove_dir_all(&directory).unwrap();
    write(home.path(), "marker", "");
    fs::create_dir(&directory).unwrap();
    write(&directory, "b.yaml", &external_name("other", "three.example.com"));
    until(&bench, "other", Some("three.example.com")).await;
    until(&bench, "api", None).await;
    // Events work in the new one too.
    fs::remove_file(directory.join("b.yaml")).unwrap();
    until(&bench, "other", None).await;
}

#[tokio::test]
async fn links_that_are_swapped_are_followed() {
    let (bench, home) = (Bench::new(), tempfile::tempdir().unwrap());
    let directory = home.path();
    for (data, host) in [("..1", "one.example.com"), ("..2", "two.example.com")] {
        fs::create_dir(directory.join(data)).unwrap();
        write(&directory.join(data), "a.yaml", &external_name("api", host));
    }
    std::os::unix::fs::symlink("..1", directory.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", directory.join("a.yaml")).unwrap();
    let _manifests = start(directory.to_owned(), bench.registry.clone());
    until(&bench, "api", Some("one.example.com")).await;
    std::os::unix::fs::symlink("..2", directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    until(&bench, "api", Some("two.example.com")).await;
}

#[tokio::test]
async fn objects_that_no_file_can_declare_are_left_alone_whatever_mark_they_carry() {
    let bench = Bench::new();
    let key = ObjectKey::new("default", "p.1");
    let marked = |_: Option<&Object>| {
        let mut event = Object::default();
        for (path, text) in [
            ("apiVersion", "events.k8s.io/v1"),
            ("kind", "Event"),
            ("eventTime", "2026-01-01T00:00:00.000000Z"),
        ] {
            event.set(&[path], text);
        }
        event.set(&["metadata", "name"], "p.1");
        event.set(&["metadata", "namespace"], "default");
        event.set(&["metadata", "annotations", MARK], "gone.yaml");
        event
    };
    bench.registry.keep(&event::KIND, &key, "umbel", marked).await.unwrap();
    assert!(!has_made_any(&bench.registry).await.unwrap());
    assert_eq!(bench.apply(&[]).await, [""; 0]);
    assert!(bench.get(&event::KIND, &key).await.is_some());
}

#[tokio::test]
async fn nothing_follows_a_directory_once_its_handle_is_dropped() {
    let (store, home) = (Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap());
    let manifests = start(home.path().to_owned(), Registry::new(store.clone()));
    manifests.first_look().await;
    assert!(Arc::strong_count(&store) > 1, "the task has no registry");
    drop(manifests);
    let ended = async {
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), ended).await.is_ok(), "the task goes on");
}
