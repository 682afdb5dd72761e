//! What a client is told about each wrong field and each broken body. Flags have their table in `cli.rs`,
//! components theirs in `plugins`.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};
use umbel_tests::Umbel;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// An APIService with one field of its spec replaced.
fn service(field: &str, value: Value) -> String {
    let mut object = json!({
        "metadata": { "name": "v1.x.example.com" },
        "spec": {
            "group": "x.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": { "namespace": "a", "name": "b" },
        },
    });
    object["spec"][field] = value;
    object.to_string()
}

fn host(value: Value) -> String {
    json!({ "metadata": { "name": "x" }, "spec": { "host": value } }).to_string()
}

/// What is sent, the status, the field that is blamed, and words of the message.
struct Case {
    path: &'static str,
    content_type: &'static str,
    body: String,
    status: u16,
    field: Option<&'static str>,
    says: &'static str,
}

fn field(path: &'static str, body: String, field: &'static str, says: &'static str) -> Case {
    Case { path, content_type: JSON, body, status: 422, field: Some(field), says }
}

fn body(content_type: &'static str, body: &str, status: u16, says: &'static str) -> Case {
    Case { path: NAMES, content_type, body: body.to_owned(), status, field: None, says }
}

fn fields_of_an_api_service() -> Vec<Case> {
    let of_service = |port: Value| json!({ "namespace": "a", "name": "b", "port": port });
    vec![
        field(SERVICES, service("group", json!("X")), "spec.group", "a lowercase RFC 1123 subdomain"),
        field(SERVICES, service("version", json!("1")), "spec.version", "a DNS-1035 label"),
        field(SERVICES, service("version", json!("v2")), "metadata.name", "must be `spec.version"),
        field(
            SERVICES,
            service("groupPriorityMinimum", json!(0)),
            "spec.groupPriorityMinimum",
            "less than 20000",
        ),
        field(SERVICES, service("versionPriority", json!(1001)), "spec.versionPriority", "less than 1000"),
        field(SERVICES, service("service", of_service(json!(0))), "spec.service.port", "between 1 and 65535"),
        field(
            SERVICES,
            service("service", json!({ "name": "b" })),
            "spec.service.namespace",
            "Required value",
        ),
        field(
            SERVICES,
            service("service", json!({ "namespace": "b" })),
            "spec.service.name",
            "Required value",
        ),
        field(
            SERVICES,
            service("caBundle", json!("bm90IGEgcGVt")),
            "spec.caBundle",
            "holds no PEM certificate",
        ),
    ]
}

fn fields_of_an_external_name() -> Vec<Case> {
    let refused = [
        ("", "give the DNS name or IP address"),
        ("https://a.example.com", r#"leave out "https://""#),
        ("a.example.com:443", "give the port in the APIService"),
        ("a.example.com/x", r#"leave out "/x""#),
        ("a b", "must not contain spaces"),
        ("[::1]", r#"write "::1""#),
        ("A.example.com", r#"write "a.example.com""#),
        ("a.example.com.", r#"write "a.example.com""#),
        ("2130706433", "some resolvers read it as 127.0.0.1"),
        ("0x7f000001", "some resolvers read it as 127.0.0.1"),
        ("0", "some resolvers read it as 0.0.0.0"),
        ("127.1", "some resolvers read it as 127.0.0.1"),
        ("1.2.3.4.5", "looks like an IPv4 address but is none"),
    ];
    let of_host =
        refused.into_iter().map(|(value, says)| field(NAMES, host(json!(value)), "spec.host", says));
    let bad_name = host(json!("a")).replace("\"x\"", "\"Bad_Name\"");
    let of_name = field(NAMES, bad_name, "metadata.name", "a lowercase RFC 1123 subdomain");
    of_host.chain([of_name]).collect()
}

fn broken_bodies() -> Vec<Case> {
    vec![
        body(JSON, "", 400, "unexpected end of JSON input"),
        body(JSON, "{", 400, "unexpected end of JSON input"),
        body(JSON, "[]", 400, "not an object"),
        body(JSON, "{}x", 400, "invalid character 'x' after top-level value"),
        body(JSON, r#"{"kind":"Pod","apiVersion":"v1"}"#, 400, r#"this path takes kind "ExternalName""#),
        body(JSON, &host(json!(5)), 400, "cannot unmarshal number"),
        body(
            JSON,
            &service("host", json!("a")).replace("v1.x", "x"),
            400,
            "unknown field \\\"spec.group\\\"",
        ),
        body(YAML, "a: [", 400, "yaml: line "),
        body("text/csv", "a,b", 415, "accepted media types include: application/json"),
        body("application/vnd.kubernetes.protobuf", "k8s", 415, "accepted media types include"),
    ]
}

#[tokio::test]
async fn each_wrong_field_and_each_broken_body_is_told_and_stores_nothing() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let cases = [fields_of_an_api_service(), fields_of_an_external_name(), broken_bodies()];
    for case in cases.into_iter().flatten() {
        let path = format!("{}?fieldValidation=Strict", case.path);
        let answer = admin.send(Method::POST, &path, case.content_type, case.body.clone()).await?;
        let shown: String = case.body.chars().take(120).collect();
        let status = answer.expect(case.status).map_err(|error| error.context(shown.clone()))?;
        assert_eq!(status["kind"], "Status", "{shown}");
        let message = status["message"].as_str().unwrap_or_default();
        let says = case.says.replace("\\\"", "\"");
        assert!(message.contains(&says), "{shown} is told {message:?}, without {says:?}");
        if let Some(field) = case.field {
            let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
            assert!(causes.iter().any(|cause| cause["field"] == field), "{shown} blames {causes:?}");
        }
    }
    for path in [SERVICES, NAMES] {
        assert_eq!(admin.get(path).await?.expect(200)?["items"], json!([]), "{path}");
    }
    Ok(())
}

/// Plain handlers of upstream's look at no method, go-restful's routes take GET only (contract §3.1, §3.3, §7.5;
/// recorded: discovery/post-group, discovery/delete-gv, discovery/options-gv, discovery/head-gv).
#[tokio::test]
async fn methods_of_paths_that_are_no_resources_are_taken_as_upstream_takes_them() -> Result<()> {
    const ANY: u16 = 200;
    const GET_ONLY: u16 = 405;
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let table = [
        ("/apis", ANY),
        ("/apis/", ANY),
        ("/apis/apiregistration.k8s.io", GET_ONLY),
        ("/apis/apiregistration.k8s.io/v1", GET_ONLY),
        ("/openapi/v2", ANY),
        ("/openapi/v3", ANY),
        ("/openapi/v3/apis/apiregistration.k8s.io/v1", ANY),
        ("/version", GET_ONLY),
        ("/healthz", ANY),
        ("/livez/ping", ANY),
    ];
    for (path, others) in table {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS]
        {
            let wanted = if method == Method::GET { 200 } else { others };
            let answer = admin.send(method.clone(), path, JSON, "").await?;
            assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.text());
            assert!(!answer.headers.contains_key("allow"), "{method} {path}");
        }
    }
    Ok(())
}
