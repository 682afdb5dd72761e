//! Who may do what: `system:masters` everything, everybody the health and version paths (contract §7.7).

use crate::model::failure::Failure;
use crate::model::identity::Caller;
use crate::model::request_info::{RequestInfo, decode_path};
use http::{HeaderMap, Method};

/// Paths that need no credential.
fn is_open(raw_path: &str) -> bool {
    let path = decode_path(raw_path);
    let path = path.trim_end_matches('/');
    path == "/version"
        || ["/healthz", "/livez", "/readyz"]
            .iter()
            .any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Lets a request pass or refuses it; `path` is as it stood in the request line.
///
/// # Errors
/// 401 without a credential, 403 in upstream's words with one.
pub fn authorise(caller: &Caller, method: &Method, path: &str, query: &str) -> Result<(), Box<Failure>> {
    if caller.is_master() || (is_open(path) && matches!(*method, Method::GET | Method::HEAD)) {
        return Ok(());
    }
    if caller.is_anonymous() {
        return Err(Box::new(Failure::unauthorized()));
    }
    Err(Box::new(forbid(caller, &RequestInfo::new(method, path, query))))
}

/// Refuses to act as somebody else. Ignoring the wish would do with the caller's full rights what was meant to
/// be done with lesser ones.
///
/// # Errors
/// 403 when a header asks for it.
pub fn refuse_impersonation(headers: &HeaderMap) -> Result<(), Box<Failure>> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(());
    }
    let user = headers.get("impersonate-user").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = format!(
        "users {:?} is forbidden: this server does not impersonate; call with that user's own credential",
        escape_html(user)
    );
    Err(Box::new(Failure::new(403, "Forbidden", text).about(user, "", "users")))
}

fn forbid(caller: &Caller, request: &RequestInfo) -> Failure {
    let user = escape_html(&caller.user);
    let verb = escape_html(&request.verb);
    let Some(target) = &request.target else {
        let path = escape_html(&request.path);
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        let mut failure = Failure::new(403, "Forbidden", message);
        failure.details = Some(Box::default());
        return failure;
    };
    let mut resource = escape_html(&target.resource);
    let mut subject = resource.clone();
    if !target.subresource.is_empty() {
        resource.push_str(&format!("/{}", escape_html(&target.subresource)));
    }
    if !target.group.is_empty() {
        subject.push_str(&format!(".{}", escape_html(&target.group)));
    }
    if !target.name.is_empty() {
        subject.push_str(&format!(" {:?}", escape_html(&target.name)));
    }
    let group = escape_html(&target.group);
    let place = if target.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", escape_html(&target.namespace))
    };
    let message = format!(
        "{subject} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}"
    );
    Failure::new(403, "Forbidden", message).about(&target.name, &target.group, &target.resource)
}

/// Upstream escapes what a browser might take for markup.
fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str, query: &str) -> Failure {
        let caller = Caller::authenticated("jo", "", Vec::new(), Vec::new());
        *authorise(&caller, &Method::GET, path, query).unwrap_err()
    }

    #[test]
    fn refusals_read_as_upstream_writes_them() {
        let texts = [
            (
                "/apis/g.io/v1/namespaces/ns/things/a<b",
                r#"things.g.io "a&lt;b" is forbidden: User "jo" cannot get resource "things" in API group "g.io" in the namespace "ns""#,
            ),
            (
                "/apis/g.io/v1/things/a/status",
                r#"things.g.io "a" is forbidden: User "jo" cannot get resource "things/status" in API group "g.io" at the cluster scope"#,
            ),
            (
                "/apis/g.io/v1/things",
                r#"things.g.io is forbidden: User "jo" cannot list resource "things" in API group "g.io" at the cluster scope"#,
            ),
            ("/metrics", r#"forbidden: User "jo" cannot get path "/metrics""#),
        ];
        for (path, text) in texts {
            assert_eq!(refusal(path, "").message, text);
        }
        assert!(refusal("/apis/g.io/v1/things", "watch=1").message.contains("cannot watch"));
    }

    #[test]
    fn only_health_and_version_are_open() {
        let nobody = Caller::anonymous();
        for path in ["/healthz", "/livez/ping", "/readyz", "/version", "/version/"] {
            assert!(authorise(&nobody, &Method::GET, path, "").is_ok(), "{path}");
        }
        for path in ["/healthzz", "/metrics", "/", "/apis", "/versions"] {
            assert_eq!(authorise(&nobody, &Method::GET, path, "").unwrap_err().code, 401, "{path}");
        }
        assert_eq!(authorise(&nobody, &Method::POST, "/healthz", "").unwrap_err().code, 401);
    }
}
