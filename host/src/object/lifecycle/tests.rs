use serde_json::{Value, json};

use super::*;
use crate::kind::{api_service, external_name};
use crate::object::decode::complete;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An APIService for a remote service, changed by a merge patch.
fn service(change: &Value) -> Object {
    let mut value = json!({
        "metadata": {"name": "v1.d.example.com"},
        "spec": {
            "group": "d.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "insecureSkipTLSVerify": true, "service": {"namespace": "nowhere", "name": "absent"},
        },
    });
    json_patch::merge(&mut value, change);
    complete(&api_service::KIND, value)
}

fn create_of(kind: &'static Kind, namespace: &str, mut object: Object) -> Result<Object, Failure> {
    let mut random = |_| 0;
    let birth = Birth { namespace, uid: "u", now: at(1), random: &mut random };
    create(kind, &mut object, birth).map(|()| object)
}

fn causes(failure: &Failure) -> Vec<(String, String)> {
    assert_eq!((failure.code, failure.reason), (422, "Invalid"));
    let causes = failure.details.as_ref().and_then(|d| d.causes.clone()).unwrap_or_default();
    causes.into_iter().map(|c| (c.field.unwrap_or_default(), c.message.unwrap_or_default())).collect()
}

#[track_caller]
fn assert_refused(change: Value, wanted: &[(&str, &str)]) {
    let failure = create_of(&api_service::KIND, "", service(&change)).unwrap_err();
    let found = causes(&failure);
    let found: Vec<(&str, &str)> = found.iter().map(|(f, m)| (f.as_str(), m.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_remote_service_starts_with_an_empty_status() {
    let status = json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}});
    let created = create_of(&api_service::KIND, "", service(&status)).unwrap();
    assert_eq!(created.at(&["status"]), Some(&json!({})));
    assert_eq!(created.at(&["spec", "service", "port"]), Some(&json!(443)));
}

#[test]
fn a_local_service_is_available_at_once() {
    let local = json!({"spec": {"service": null, "insecureSkipTLSVerify": null}});
    let created = create_of(&api_service::KIND, "", service(&local)).unwrap();
    let condition = json!({
        "type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available", "lastTransitionTime": "1970-01-01T00:00:01Z",
    });
    assert_eq!(created.at(&["status"]), Some(&json!({ "conditions": [condition] })));
}

#[test]
fn each_field_of_an_api_service_has_its_rule() {
    let ranks = ("spec.groupPriorityMinimum", "Invalid value: 0: must be positive and less than 20000");
    assert_refused(json!({"spec": {"groupPriorityMinimum": 0}}), &[ranks]);
    assert_refused(
        json!({"spec": {"versionPriority": 1001}}),
        &[("spec.versionPriority", "Invalid value: 1001: must be positive and less than 1000")],
    );
    assert_refused(
        json!({"metadata": {"name": "v1.other"}}),
        &[(
            "metadata.name",
            "Invalid value: \"v1.other\": must be `spec.version+\".\"+spec.group`: \"v1.d.example.com\"",
        )],
    );
    assert_refused(
        json!({"spec": {"service": {"namespace": "", "name": "", "port": 0}, "caBundle": "Zm9v"}}),
        &[
            ("spec.service.namespace", "Required value"),
            ("spec.service.name", "Required value"),
            (
                "spec.service.port",
                "Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ),
            ("spec.insecureSkipTLSVerify", "Invalid value: true: may not be true if caBundle is present"),
        ],
    );
    assert_refused(
        json!({"spec": {"service": null, "caBundle": "Zm9v"}}),
        &[
            ("spec.caBundle", "Invalid value: \"3 bytes\": local APIServices may not have a caBundle"),
            (
                "spec.insecureSkipTLSVerify",
                "Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ),
        ],
    );
    assert_refused(
        json!({"metadata": {"name": "v2."}, "spec": {"group": "", "version": "v2"}}),
        &[("spec.group", "Required value: only v1 may have an empty group and it better be legacy kube")],
    );
}

#[test]
fn a_bundle_without_certificates_is_refused_with_a_way_out() {
    let rule = "Invalid value: \"3 bytes\": holds no PEM certificate: give the base64 of a PEM file with one or more CERTIFICATE blocks";
    assert_refused(
        json!({"spec": {"caBundle": "Zm9v", "insecureSkipTLSVerify": null}}),
        &[("spec.caBundle", rule)],
    );
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let bundle =
        |text: &str| json!({"spec": {"caBundle": engine.encode(text), "insecureSkipTLSVerify": null}});
    let pem = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
    assert!(create_of(&api_service::KIND, "", service(&bundle(&format!("{pem}{pem}")))).is_ok());
    let refused =
        |text: &str| causes(&create_of(&api_service::KIND, "", service(&bundle(text))).unwrap_err());
    assert!(refused(&engine.encode(&pem))[0].1.contains("encoded twice"));
    let key = pem.replace("CERTIFICATE", "PRIVATE KEY");
    assert!(refused(&key)[0].1.contains("holds no PEM certificate"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refused(&format!("{pem}{broken}"))[0].1.contains("certificate 2 is broken"));
}

#[test]
fn generated_names_are_reported_before_names() {
    let change = json!({"metadata": {"name": null, "generateName": "x-"}});
    let failure = create_of(&api_service::KIND, "", service(&change)).unwrap_err();
    let fields: Vec<String> = causes(&failure).into_iter().map(|c| c.0).collect();
    assert_eq!(fields, ["metadata.generateName", "metadata.name"]);
}

#[test]
fn an_update_keeps_the_stored_status_and_identity() {
    let local = json!({"spec": {"service": null, "insecureSkipTLSVerify": null}});
    let stored = create_of(&api_service::KIND, "", service(&local)).unwrap();
    let mut changed = service(&json!({
        "spec": {"service": null, "insecureSkipTLSVerify": null, "versionPriority": 2},
        "status": {"conditions": [{"type": "Available", "status": "False"}]},
    }));
    update(&api_service::KIND, &mut changed, &stored).unwrap();
    assert_eq!(changed.at(&["status"]), stored.at(&["status"]));
    assert_eq!(changed.at(&["metadata"]), stored.at(&["metadata"]));
    assert_eq!(changed.at(&["spec", "versionPriority"]), Some(&json!(2)));
}

#[test]
fn failures_of_metadata_are_reported_once_on_update() {
    let mut stored = create_of(&api_service::KIND, "", service(&json!({}))).unwrap();
    stored.set(&["metadata", "deletionTimestamp"], "2020-01-01T00:00:00Z");
    let mut changed = stored.clone();
    changed.set(&["metadata", "finalizers"], json!(["example.com/more"]));
    changed.set(&["metadata", "labels"], json!({"a": "b c!"}));
    changed.set(&["metadata", "annotations"], json!({"a": "x".repeat(300_000)}));
    let failure = update(&api_service::KIND, &mut changed, &stored).unwrap_err();
    let fields: Vec<String> = causes(&failure).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["metadata.labels", "metadata.annotations", "metadata.finalizers"]);
    assert_eq!(failure.message.matches("no new finalizers").count(), 1);
    changed = stored.clone();
    changed.set(&["spec", "version"], "v9");
    let found = causes(&update(&api_service::KIND, &mut changed, &stored).unwrap_err());
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("must be `spec.version"), "{found:?}");
}

#[test]
fn a_status_update_changes_nothing_else() {
    let stored = create_of(&api_service::KIND, "", service(&json!({}))).unwrap();
    let mut changed = service(&json!({
        "metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]},
        "spec": {"versionPriority": 99},
        "status": {"conditions": [{"type": "Custom", "status": "True"}]},
    }));
    update_status(&api_service::KIND, &mut changed, &stored).unwrap();
    assert_eq!(changed.at(&["metadata"]), stored.at(&["metadata"]));
    assert_eq!(changed.at(&["spec"]), stored.at(&["spec"]));
    assert_eq!(changed.at(&["status", "conditions"]).and_then(|c| c[0]["type"].as_str()), Some("Custom"));
    changed.set(&["status", "conditions"], json!([{"type": "Custom", "status": "Sometimes"}]));
    let failure = update_status(&api_service::KIND, &mut changed, &stored).unwrap_err();
    let text = "Unsupported value: \"Sometimes\": supported values: \"True\", \"False\", \"Unknown\"";
    assert_eq!(causes(&failure), [("status.conditions[0].status".to_owned(), text.to_owned())]);
}

#[test]
fn the_host_of_an_external_name_is_a_name_or_an_address() {
    let named = |host: &str| {
        let value = json!({"metadata": {"name": "a"}, "spec": {"host": host}});
        create_of(&external_name::KIND, "n", complete(&external_name::KIND, value))
    };
    for host in ["localhost", "api.example.com", "10.0.0.1", "::1", "fd00::1", "a-b.c", "1password.com"] {
        assert!(named(host).is_ok(), "{host}");
    }
    let long = format!("{}.example.com", "a".repeat(64));
    let refused = [
        ("", "Required value: give the DNS name"),
        (
            "https://a.example.com:8443/x",
            "must not have a scheme: leave out \"https://\", write \"a.example.com\"",
        ),
        ("a.example.com:8443", "must not have a port: write \"a.example.com\", and give the port in"),
        ("a.example.com/api", "must not have a path or query: leave out \"/api\""),
        ("a b", "must not contain spaces"),
        ("[::1]:443", "must not have a port or brackets: write \"::1\""),
        ("[::1]", "must not have brackets: write \"::1\""),
        ("::g", "is neither a DNS name nor an IP address"),
        ("A_b", "must be a DNS name or an IP address: a lowercase RFC 1123 subdomain"),
        ("1.2.3.999", "looks like an IPv4 address but is none"),
        ("a.example.com.", "must not end with a dot, write \"a.example.com\""),
        ("A.b", "must be in lower case and must not end with a dot, write \"a.b\""),
        ("A_b.", "must be a DNS name or an IP address: a lowercase RFC 1123 subdomain"),
        (&long, "each part between dots must be no more than 63 bytes, \"aaaa"),
    ];
    assert!(named(&format!("{}.example.com", "a".repeat(63))).is_ok());
    for (host, wanted) in refused {
        let found = causes(&named(host).unwrap_err());
        assert_eq!(found[0].0, "spec.host");
        assert!(found[0].1.contains(wanted), "{host}: {}", found[0].1);
    }
}

#[test]
fn the_name_of_an_external_name_is_one_that_dns_can_carry() {
    let named = |metadata: Value| {
        let value = json!({"metadata": metadata, "spec": {"host": "a"}});
        create_of(&external_name::KIND, "n", complete(&external_name::KIND, value))
    };
    for name in ["a", "a.b-c.1"] {
        assert!(named(json!({ "name": name })).is_ok(), "{name}");
    }
    let long = "a".repeat(254);
    for (name, wanted) in [
        (
            "Bad_Name",
            "Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case",
        ),
        ("a.", "Invalid value: \"a.\": a lowercase RFC 1123 subdomain must consist of lower case"),
        (&long, "must be no more than 253 bytes"),
    ] {
        let found = causes(&named(json!({ "name": name })).unwrap_err());
        assert_eq!((found.len(), found[0].0.as_str()), (1, "metadata.name"), "{found:?}");
        assert!(found[0].1.contains(wanted), "{}", found[0].1);
    }
    let found = causes(&named(json!({"generateName": "Bad-"})).unwrap_err());
    assert_eq!(found[0].0, "metadata.generateName", "{found:?}");
}

/// Contract §1.3: upstream has no rule for them but that they are there, so neither do we.
#[test]
fn names_in_the_service_of_an_api_service_need_only_be_there() {
    let change = json!({"spec": {"service": {"namespace": "x y", "name": "A_"}}});
    assert!(create_of(&api_service::KIND, "", service(&change)).is_ok());
}
