use serde_json::{Map, json};

use super::*;
use crate::kind::api_service::KIND;
use crate::object::decode::FieldValidation;

fn stored() -> Object {
    complete(
        &KIND,
        json!({
            "metadata": {
                "name": "v1.l.example.com", "uid": "u", "resourceVersion": "7",
                "labels": {"tier": "silver"}, "annotations": {"k": "v"}, "finalizers": ["x/a", "x/b", "x/c"],
            },
            "spec": {
                "group": "l.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            },
            "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Local"}]},
        }),
    )
}

fn apply(
    format: PatchFormat,
    patch: &str,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>), Failure> {
    apply_patch(&KIND, format, patch.as_bytes(), &stored())?.accept(validation)
}

#[track_caller]
fn patched(format: PatchFormat, patch: Value) -> Value {
    apply(format, &patch.to_string(), FieldValidation::Strict).unwrap().0.into_value()
}

#[track_caller]
fn refused(format: PatchFormat, patch: &str) -> (u16, String) {
    let failure = apply(format, patch, FieldValidation::Strict).unwrap_err();
    (failure.code, failure.message)
}

fn strategic(patch: Value) -> Value {
    patched(PatchFormat::Strategic, patch)
}

#[test]
fn a_merge_patch_sets_and_removes() {
    let result =
        patched(PatchFormat::Merge, json!({"metadata": {"labels": {"merged": "yes", "tier": null}}}));
    assert_eq!(result["metadata"]["labels"], json!({"merged": "yes"}));
    let emptied = patched(PatchFormat::Merge, json!({"metadata": {"labels": null, "finalizers": []}}));
    assert_eq!(emptied["metadata"].get("labels").or(emptied["metadata"].get("finalizers")), None);
}

#[test]
fn a_json_patch_applies_or_is_refused_in_one_sentence() {
    let add = json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]);
    assert_eq!(patched(PatchFormat::Json, add)["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(patched(PatchFormat::Json, json!([])), stored().into_value());
    let sentence = "the server rejected our request due to an error in our request".to_owned();
    for patch in [
        r#"[{"op":"test","path":"/spec/version","value":"v9"}]"#,
        r#"[{"op":"remove","path":"/spec/nope"}]"#,
        r#"[{"op":"frobnicate","path":"/spec"}]"#,
    ] {
        assert_eq!(refused(PatchFormat::Json, patch), (422, sentence.clone()), "{patch}");
    }
    let (code, message) = refused(PatchFormat::Json, r#"{"op":"add"}"#);
    assert_eq!((code, message.starts_with("error decoding patch: ")), (400, true));
    assert_eq!(refused(PatchFormat::Json, "[1]").0, 400);
}

#[test]
fn a_json_patch_has_limits() {
    let many = vec![json!({"op": "test", "path": "/kind", "value": "APIService"}); 10_001];
    let (code, message) = refused(PatchFormat::Json, &json!(many).to_string());
    assert_eq!(code, 413);
    assert!(message.ends_with("The allowed maximum operations in a JSON patch is 10000, got 10001"));
    let mut growing = vec![json!({"op": "add", "path": "/metadata/labels/a", "value": "x".repeat(100_000)})];
    growing.extend((0..40).map(
        |n| json!({"op": "copy", "from": "/metadata/labels/a", "path": format!("/metadata/labels/b{n}")}),
    ));
    assert_eq!(refused(PatchFormat::Json, &json!(growing).to_string()).0, 422);
}

#[test]
fn text_that_is_no_patch_is_refused() {
    assert_eq!(
        refused(PatchFormat::Merge, "{"),
        (400, "error decoding patch: unexpected end of JSON input".to_owned())
    );
    assert_eq!(refused(PatchFormat::Strategic, "{").1, "unexpected end of JSON input");
    assert_eq!(refused(PatchFormat::Merge, "[]").0, 400);
}

#[test]
fn strict_patches_show_the_whole_result() {
    let patch = r#"{"spec":{"colour":"red"}}"#;
    let (code, message) = refused(PatchFormat::Merge, patch);
    let whole = r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.l.example.com","uid":"u","resourceVersion":"7","labels":{"tier":"silver"},"annotations":{"k":"v"},"finalizers":["x/a","x/b","x/c"]},"spec":{"colour":"red","group":"l.example.com","groupPriorityMinimum":1000,"version":"v1","versionPriority":15},"status":{"conditions":[{"type":"Available","status":"True","reason":"Local"}]}}"#;
    let wanted = format!(
        " \"\" is invalid: patch: Invalid value: {}: strict decoding error: unknown field \"spec.colour\"",
        quoted(whole)
    );
    assert_eq!((code, message), (422, wanted));
    let wanted = " \"\" is invalid: patch: Invalid value: \"map[spec:map[colour:red]]\": strict decoding error: unknown field \"spec.colour\"";
    assert_eq!(refused(PatchFormat::Strategic, patch), (422, wanted.to_owned()));
    let (object, warnings) = apply(PatchFormat::Merge, patch, FieldValidation::Warn).unwrap();
    assert_eq!((object, warnings), (stored(), vec!["unknown field \"spec.colour\"".to_owned()]));
}

#[test]
fn duplicates_in_a_patch_are_problems() {
    let twice = r#"{"spec":{"versionPriority":1,"versionPriority":2}}"#;
    let (object, warnings) = apply(PatchFormat::Merge, twice, FieldValidation::Warn).unwrap();
    assert_eq!(object.at(&["spec", "versionPriority"]), Some(&json!(2)));
    assert_eq!(warnings, ["duplicate field \"spec.versionPriority\""]);
    let operation = r#"[{"op":"test","path":"/kind","value":"APIService","extra":1}]"#;
    let (_, warnings) = apply(PatchFormat::Json, operation, FieldValidation::Warn).unwrap();
    assert_eq!(warnings, ["json patch unknown field \"[0].extra\""]);
}

#[test]
fn results_of_a_wrong_type_or_kind_are_refused() {
    let (code, message) = refused(PatchFormat::Merge, r#"{"spec":{"versionPriority":"high"}}"#);
    assert_eq!(code, 422);
    assert!(message.ends_with(
        "cannot unmarshal string into Go struct field APIServiceSpec.spec.versionPriority of type int32"
    ));
    let (code, message) = refused(PatchFormat::Merge, r#"{"kind":"Pod"}"#);
    assert_eq!(code, 422);
    assert!(message.ends_with("kind is \"APIService\" and cannot become \"Pod\""));
}

#[test]
fn strategic_conditions_merge_by_type_and_new_ones_come_first() {
    let result = strategic(json!({"status": {"conditions": [{"type": "Custom", "status": "Unknown"}]}}));
    let available = json!({"type": "Available", "status": "True", "reason": "Local"});
    assert_eq!(result["status"]["conditions"], json!([{"type": "Custom", "status": "Unknown"}, available]));
    let result = strategic(json!({"status": {"conditions": [{"type": "Available", "status": "False"}]}}));
    assert_eq!(
        result["status"]["conditions"],
        json!([{"type": "Available", "status": "False", "reason": "Local"}])
    );
    let gone = strategic(json!({"status": {"conditions": [{"type": "Available", "$patch": "delete"}]}}));
    assert_eq!(gone["status"], json!({}));
    let replaced = json!([{"$patch": "replace"}, {"type": "A", "status": "True"}]);
    let result = strategic(json!({"status": {"conditions": replaced}}));
    assert_eq!(result["status"]["conditions"], json!([{"type": "A", "status": "True"}]));
}

#[test]
fn strategic_directives_on_maps() {
    let annotations =
        |patch: Value| strategic(json!({"metadata": {"annotations": patch}}))["metadata"].clone();
    assert_eq!(
        annotations(json!({"$patch": "replace", "only": "this"}))["annotations"],
        json!({"only": "this"})
    );
    assert_eq!(annotations(json!({"$patch": "delete"})).get("annotations"), None);
    let merged = annotations(json!({"$patch": "merge", "s": "1"}));
    assert_eq!(merged["annotations"], json!({"k": "v", "s": "1"}));
    let kept = annotations(json!({"$retainKeys": ["s"], "s": "1"}));
    assert_eq!(kept["annotations"], json!({"s": "1"}));
    let result =
        strategic(json!({"spec": {"service": {"$patch": "replace", "name": "n", "namespace": null}}}));
    assert_eq!(result["spec"]["service"], json!({"name": "n", "port": 443}));
}

#[test]
fn strategic_sets_unite_delete_and_take_an_order() {
    let finalizers = |patch: Value| strategic(json!({ "metadata": patch }))["metadata"]["finalizers"].clone();
    assert_eq!(finalizers(json!({"finalizers": ["x/n", "x/b"]})), json!(["x/n", "x/a", "x/b", "x/c"]));
    assert_eq!(
        finalizers(json!({"$deleteFromPrimitiveList/finalizers": ["x/a", "x/z"]})),
        json!(["x/b", "x/c"])
    );
    assert_eq!(
        finalizers(json!({"$setElementOrder/finalizers": ["x/c", "x/a"]})),
        json!(["x/b", "x/c", "x/a"])
    );
    assert_eq!(
        finalizers(json!({
            "finalizers": ["x/n"],
            "$setElementOrder/finalizers": ["x/b", "x/n", "x/c"],
            "$deleteFromPrimitiveList/finalizers": ["x/a"],
        })),
        json!(["x/b", "x/n", "x/c"])
    );
    assert_eq!(
        finalizers(json!({"finalizers": ["x/n", "x/n"], "$setElementOrder/finalizers": ["x/n", "x/a"]})),
        json!(["x/n", "x/a", "x/b", "x/c"]),
        "an item that the patch has twice follows the order"
    );
    assert_eq!(finalizers(json!({"finalizers": null})), Value::Null);
}

#[test]
fn a_strategic_patch_may_bring_more_items_than_there_were() {
    let given = json!([{"type": "Available", "status": "False"}, {"type": "A", "status": "True"}, {"type": "B", "status": "True"}]);
    let result = strategic(json!({"status": {"conditions": given}}));
    let conditions = result["status"]["conditions"].as_array().unwrap();
    let mut seen: Vec<_> = conditions.iter().map(|c| (c["type"].as_str(), c["status"].as_str())).collect();
    seen.sort_unstable();
    let wanted = [("A", "True"), ("Available", "False"), ("B", "True")];
    assert_eq!(seen, wanted.map(|(kind, status)| (Some(kind), Some(status))));
}

/// Lists and maps as long as a request can carry; only linear work gets through them in reasonable time.
#[test]
fn long_lists_and_maps_merge() {
    const MANY: usize = 20_000;
    let numbered = |n: usize| format!("x/f{n:05}");
    let forwards: Vec<String> = (0..MANY).map(numbered).collect();
    let backwards: Vec<String> = forwards.iter().rev().cloned().collect();
    let owner = |name: &str, kind: &str| json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": name});
    let owners = |names: &[String], kind: &str| names.iter().map(|n| owner(n, kind)).collect::<Vec<_>>();
    let mut long = stored();
    long.set(&["metadata", "finalizers"], forwards.clone());
    long.set(&["metadata", "ownerReferences"], owners(&forwards, "Old"));
    let patched = |format, patch: Value| {
        let text = patch.to_string();
        let decoded = apply_patch(&KIND, format, text.as_bytes(), &long).unwrap();
        decoded.accept(FieldValidation::Strict).unwrap().0.into_value()["metadata"].clone()
    };

    let result = patched(
        PatchFormat::Strategic,
        json!({"metadata": {"finalizers": backwards, "ownerReferences": owners(&backwards, "New")}}),
    );
    assert_eq!(result["finalizers"], json!(backwards));
    assert_eq!(result["ownerReferences"], json!(owners(&backwards, "New")));

    let gone: Vec<Value> = forwards[1..].iter().map(|n| json!({"uid": n, "$patch": "delete"})).collect();
    let result = patched(
        PatchFormat::Strategic,
        json!({"metadata": {
            "$deleteFromPrimitiveList/finalizers": forwards[..MANY - 1],
            "$setElementOrder/ownerReferences": owners(&backwards, "New"),
            "ownerReferences": gone,
        }}),
    );
    assert_eq!(result["finalizers"], json!([numbered(MANY - 1)]));
    assert_eq!(result["ownerReferences"], json!([owner(&numbered(0), "Old")]));

    let labels: Map<String, Value> = (0..3 * MANY).map(|n| (format!("l{n:05}"), json!("v"))).collect();
    let kept: Vec<&String> = labels.keys().collect();
    let result = patched(PatchFormat::Merge, json!({"metadata": {"labels": labels}}));
    assert_eq!(result["labels"].as_object().map(Map::len), Some(3 * MANY + 1));
    let mut retained = labels.clone();
    retained.insert("$retainKeys".to_owned(), json!(kept));
    let result = patched(PatchFormat::Strategic, json!({"metadata": {"labels": retained}}));
    assert_eq!(result["labels"], json!(labels));
}

#[test]
fn a_thousand_duplicates_are_a_hundred_problems() {
    let labels: Vec<String> = (0..2_000).map(|n| format!(r#""l{}":"v""#, n / 2)).collect();
    let patch = format!(r#"{{"metadata":{{"labels":{{{}}}}}}}"#, labels.join(","));
    let (_, warnings) = apply(PatchFormat::Merge, &patch, FieldValidation::Warn).unwrap();
    assert_eq!(warnings.len(), 100);
    assert_eq!(warnings[99], r#"duplicate field "metadata.labels.l99""#);
}

#[test]
fn wrong_directives_are_refused_with_a_reason() {
    let cases = [
        (r#"{"spec":{"$patch":"frobnicate"}}"#, "it must be \"replace\", \"delete\" or \"merge\""),
        (r#"{"spec":{"$retainKeys":"group"}}"#, "must be a list of field names"),
        (
            r#"{"spec":{"$retainKeys":["group"],"version":"v1"}}"#,
            "must name \"version\", which the patch sets",
        ),
        (r#"{"status":{"conditions":[{"status":"True"}]}}"#, "lacks its merge key \"type\""),
        (r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":1}}"#, "must be a list of values"),
        (
            r#"{"metadata":{"finalizers":["x/q"],"$setElementOrder/finalizers":["x/a"]}}"#,
            "do not follow the order",
        ),
    ];
    for (patch, wanted) in cases {
        let (code, message) = refused(PatchFormat::Strategic, patch);
        assert_eq!(code, 400);
        assert!(message.contains(wanted), "{message}");
    }
}
