use super::*;
use crate::kind::api_service::KIND;
use crate::object::decode::complete;

const STATUS: &str = "status";

fn service(extra: &Value) -> Object {
    let mut value = json!({
        "metadata": {"name": "v1.l.example.com"},
        "spec": {
            "group": "l.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        },
    });
    json_patch::merge(&mut value, extra);
    complete(&KIND, value)
}

fn stored(mut object: Object) -> Object {
    object.set(&["metadata", "uid"], "u");
    object
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn write(old: Option<&Object>, mut new: Object, manager: &str, subresource: &str, second: i64) -> Object {
    record_write(&KIND, old, &mut new, Writer { manager, subresource, now: at(second) });
    stored(new)
}

/// Manager, subresource, seconds and fields of each entry.
fn owners(object: &Object) -> Vec<(String, String, i64, Value)> {
    let list = object.at(&["metadata", "managedFields"]).and_then(Value::as_array).cloned();
    list.unwrap_or_default()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let time: Timestamp = text("time").parse().unwrap();
            (text("manager"), text("subresource"), time.as_second(), entry["fieldsV1"].clone())
        })
        .collect()
}

fn spec_fields() -> Value {
    json!({"f:group": {}, "f:groupPriorityMinimum": {}, "f:version": {}, "f:versionPriority": {}})
}

fn custom_condition(inner: Value) -> Value {
    json!({"f:status": {"f:conditions": {"k:{\"type\":\"Custom\"}": inner}}})
}

#[test]
fn a_create_owns_what_it_sets_but_not_status() {
    let new = service(&json!({
        "metadata": {"finalizers": ["example.com/hold"]},
        "spec": {"insecureSkipTLSVerify": true, "service": {"namespace": "nowhere", "name": "absent"}},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    }));
    let created = write(None, new, "replay", "", 1);
    let fields = json!({
        "f:metadata": {"f:finalizers": {".": {}, "v:\"example.com/hold\"": {}}},
        "f:spec": {
            "f:group": {}, "f:groupPriorityMinimum": {}, "f:insecureSkipTLSVerify": {},
            "f:service": {".": {}, "f:name": {}, "f:namespace": {}, "f:port": {}},
            "f:version": {}, "f:versionPriority": {},
        },
    });
    assert_eq!(owners(&created), [("replay".into(), String::new(), 1, fields)]);
    let entry = &created.at(&["metadata", "managedFields"]).unwrap()[0];
    assert_eq!(entry["apiVersion"], "apiregistration.k8s.io/v1");
    assert_eq!(entry["operation"], "Update");
}

#[test]
fn another_manager_takes_only_what_it_changes() {
    let created = write(None, service(&json!({"metadata": {"labels": {"a": "1", "b": "2"}}})), "one", "", 1);
    let changed = service(&json!({"metadata": {"labels": {"a": "9"}}, "spec": {"versionPriority": 43}}));
    let updated = write(Some(&created), changed, "two", "", 2);
    let one = json!({
        "f:metadata": {"f:labels": {".": {}}},
        "f:spec": {"f:group": {}, "f:groupPriorityMinimum": {}, "f:version": {}},
    });
    let two = json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:versionPriority": {}}});
    // Of the map only itself is left, and that is written without the dot.
    let normal = FieldSet::from_json(&one).unwrap().to_json();
    assert_eq!(
        owners(&updated),
        [("one".into(), String::new(), 1, normal), ("two".into(), String::new(), 2, two)]
    );
}

#[test]
fn a_write_that_changes_nothing_changes_no_entry() {
    let created = write(None, service(&json!({})), "one", "", 1);
    let again = write(Some(&created), service(&json!({})), "one", "", 9);
    assert_eq!(owners(&again), owners(&created));
    assert!(is_same(&created, &again));
}

#[test]
fn the_time_moves_when_an_owned_value_changes() {
    let created = write(None, service(&json!({})), "one", "", 1);
    let updated = write(Some(&created), service(&json!({"spec": {"versionPriority": 16}})), "one", "", 5);
    assert_eq!(owners(&updated), [("one".into(), String::new(), 5, json!({"f:spec": spec_fields()}))]);
    assert!(!is_same(&created, &updated));
}

#[test]
fn removed_labels_leave_their_owners() {
    let created = write(None, service(&json!({"metadata": {"labels": {"a": "1"}}})), "one", "", 1);
    let updated =
        write(Some(&created), service(&json!({"metadata": {"annotations": {"k": "v"}}})), "two", "", 2);
    let annotations = json!({"f:metadata": {"f:annotations": {".": {}, "f:k": {}}}});
    assert_eq!(
        owners(&updated),
        [
            ("one".into(), String::new(), 1, json!({"f:spec": spec_fields()})),
            ("two".into(), String::new(), 2, annotations),
        ]
    );
    let emptied = write(Some(&updated), service(&json!({})), "one", "", 3);
    assert_eq!(owners(&emptied).len(), 1, "an entry without fields goes");
}

#[test]
fn status_is_owned_through_its_subresource_only() {
    let condition = json!({"type": "Custom", "status": "True", "reason": "R"});
    let available = json!({"type": "Available", "status": "True"});
    let mut created = write(None, service(&json!({})), "replay", "", 1);
    created.set(&["status", "conditions"], json!([available]));
    let proposal = service(&json!({
        "metadata": {"labels": {"not": "owned"}},
        "spec": {"versionPriority": 99},
        "status": {"conditions": [condition, available]},
    }));
    let updated = write(Some(&created), proposal, "replay", STATUS, 2);
    let fields = custom_condition(json!({".": {}, "f:reason": {}, "f:status": {}, "f:type": {}}));
    assert_eq!(
        owners(&updated),
        [
            ("replay".into(), String::new(), 1, json!({"f:spec": spec_fields()})),
            ("replay".into(), STATUS.into(), 2, fields.clone()),
        ]
    );
    let without_status = write(Some(&updated), service(&json!({})), "other", "", 3);
    assert!(owners(&without_status).iter().any(|o| o.3 == fields), "a main update takes no status away");
}

#[test]
fn cleared_entries_stay_cleared() {
    let created = write(None, service(&json!({})), "one", "", 1);
    let clear = service(&json!({"metadata": {"managedFields": [{}]}, "spec": {"versionPriority": 2}}));
    let cleared = write(Some(&created), clear, "two", "", 2);
    assert_eq!(owners(&cleared), []);
    let later = write(Some(&cleared), service(&json!({"spec": {"versionPriority": 3}})), "two", "", 3);
    assert_eq!(owners(&later), []);
}

#[test]
fn entries_that_cannot_be_read_are_taken_from_the_stored_object() {
    let created = write(None, service(&json!({})), "one", "", 1);
    for entry in [
        json!({"manager": "x", "fieldsType": "FieldsV9"}),
        json!({"fieldsType": "FieldsV1", "fieldsV1": {"bad": {}}}),
    ] {
        let broken = service(&json!({"metadata": {"managedFields": [entry]}}));
        assert_eq!(owners(&write(Some(&created), broken, "two", "", 2)), owners(&created));
    }
    let rewritten = service(&json!({"metadata": {"managedFields": [{
        "manager": "renamed", "operation": "Update", "apiVersion": "apiregistration.k8s.io/v1",
        "time": "1970-01-01T00:00:07Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:group": {}}},
    }]}}));
    let fields = json!({"f:spec": {"f:group": {}}});
    let updated = write(Some(&created), rewritten, "two", "", 2);
    assert_eq!(owners(&updated), [("renamed".into(), String::new(), 7, fields)]);
}

#[test]
fn no_manager_owns_what_a_delete_sets() {
    let deletion = json!({"metadata": {
        "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "labels": {"a": "1"},
    }});
    let created = write(None, service(&deletion), "mine", "", 1);
    let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": spec_fields()});
    assert_eq!(owners(&created), [("mine".into(), String::new(), 1, fields.clone())]);

    // Neither a client that changes the values nor one that writes the entries itself becomes their manager.
    let mut changed = created.clone();
    changed.set(&["metadata", "deletionTimestamp"], "2021-01-01T00:00:00Z");
    changed.set(&["metadata", "deletionGracePeriodSeconds"], 7);
    let changed = write(Some(&created), changed, "other", "", 2);
    assert_eq!(owners(&changed), [("mine".into(), String::new(), 1, fields.clone())]);
    let mut claimed = created.clone();
    let mut entries = claimed.take(&["metadata", "managedFields"]).unwrap();
    entries[0]["fieldsV1"]["f:metadata"]["f:deletionTimestamp"] = json!({});
    entries[0]["fieldsV1"]["f:metadata"]["f:deletionGracePeriodSeconds"] = json!({});
    claimed.set(&["metadata", "managedFields"], entries);
    assert_eq!(owners(&write(Some(&created), claimed, "other", "", 2))[0].3, fields);
}

#[test]
fn entries_of_another_version_of_the_api_are_dropped() {
    let created = write(None, service(&json!({})), "mine", "", 1);
    let mut changed = created.clone();
    let mut entries = changed.take(&["metadata", "managedFields"]).unwrap();
    entries[0]["apiVersion"] = "apiregistration.k8s.io/v1beta1".into();
    changed.set(&["metadata", "managedFields"], entries);
    changed.set(&["spec", "versionPriority"], 16);
    let changed = write(Some(&created), changed, "other", "", 2);
    let fields = json!({"f:spec": {"f:versionPriority": {}}});
    assert_eq!(owners(&changed), [("other".into(), String::new(), 2, fields)]);
}

#[test]
fn a_subresource_cannot_rewrite_the_entries() {
    let created = write(None, service(&json!({})), "mine", "", 1);
    let mut changed = created.clone();
    let mut entries = changed.take(&["metadata", "managedFields"]).unwrap();
    entries[0]["manager"] = "forged".into();
    changed.set(&["metadata", "managedFields"], entries);
    assert_eq!(owners(&write(Some(&created), changed, "other", STATUS, 2)), owners(&created));
}

#[test]
fn the_times_of_entries_make_no_difference() {
    let created = write(None, service(&json!({})), "mine", "", 1);
    let mut later = created.clone();
    let mut entries = later.take(&["metadata", "managedFields"]).unwrap();
    entries[0]["time"] = "2020-01-01T00:00:00Z".into();
    later.set(&["metadata", "managedFields"], entries);
    assert!(is_same(&created, &later));
    later.set(&["spec", "versionPriority"], 16);
    assert!(!is_same(&created, &later));
}

#[test]
fn the_oldest_of_many_updaters_become_one() {
    let mut object = write(None, service(&json!({})), "m0", "", 0);
    for n in 1..=12 {
        let mut next = object.clone();
        next.set(&["metadata", "labels", &format!("l{n}")], "x");
        object = write(Some(&object), next, &format!("m{n}"), "", n);
    }
    let owners = owners(&object);
    assert_eq!(owners.len(), MOST_UPDATERS);
    assert_eq!((owners[0].0.as_str(), owners[0].2), (ANCIENT, 3));
    assert!(owners[0].3["f:metadata"]["f:labels"].get("f:l3").is_some());
    assert!(owners[0].3.get("f:spec").is_some());
}

#[test]
fn managers_are_named_by_parameter_or_user_agent() {
    assert_eq!(manager_name("me", "kubectl/v1"), "me");
    assert_eq!(manager_name("", "kubectl/v1.30 (linux)"), "kubectl");
    assert_eq!(manager_name("", ""), "");
    assert_eq!(manager_name("", &"x".repeat(300)).len(), LONGEST_NAME);
}
