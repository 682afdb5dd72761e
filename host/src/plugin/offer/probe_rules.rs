//! Which paths of a backend a health checker may ask for.
//!
//! Probes carry the identity of the control plane, which backends let read everything. Without a grant a plugin
//! therefore sees only what tells health and discovery.

use crate::decision::builtin::own_path;
use crate::decision::health::Subject;
use serde::Deserialize;

/// Paths that tell health; what lies below them is a single check.
const HEALTH: [&str; 3] = ["/healthz", "/livez", "/readyz"];
/// Paths that tell discovery, besides that of the subject's own group-version.
const DISCOVERY: [&str; 2] = ["/apis", "/openapi/v3"];

/// A path of `grants.probe` that may be asked for, with all that lies below it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::plugin) struct ProbePrefix(String);

impl TryFrom<String> for ProbePrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = |why: &str| format!("spec.grants.probe: {text:?} {why}; write a path such as /status/");
        if text.contains(['?', '*']) {
            return Err(refuse("holds a query or a *"));
        }
        check_form(&text).map_err(|why| refuse(&why))?;
        Ok(Self(text))
    }
}

impl ProbePrefix {
    fn covers(&self, path: &str) -> bool {
        is_at_or_below(path, self.0.trim_end_matches('/'))
    }
}

/// Says whether a probe of this subject may ask for `target`, a path with or without a query.
///
/// # Errors
/// What is wrong with it, or the line that the manifest lacks.
pub(in crate::plugin) fn check_target(
    target: &str,
    own_path: &str,
    granted: &[ProbePrefix],
) -> Result<(), String> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    check_form(path).map_err(|why| format!("path {target:?} {why}"))?;
    if target.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(format!("path {target:?} has a query that cannot be sent"));
    }
    let tells_health = HEALTH.iter().any(|prefix| is_at_or_below(path, prefix));
    let tells_discovery = path == own_path || DISCOVERY.contains(&path);
    if tells_health || tells_discovery || granted.iter().any(|prefix| prefix.covers(path)) {
        return Ok(());
    }
    Err(format!(
        "path {path:?} is not granted; besides {} and {own_path} a probe needs this in the manifest: \
         spec: {{grants: {{probe: [{path:?}]}}}}",
        HEALTH.iter().chain(&DISCOVERY).copied().collect::<Vec<_>>().join(", ")
    ))
}

/// The path that a subject describes itself under.
pub(in crate::plugin) fn own_path_of(subject: &Subject) -> String {
    own_path(&subject.group, &subject.version)
}

/// Everything by which a server could read another path than the one that is compared here is refused.
fn check_form(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("must start with /".to_owned());
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must hold no spaces and ASCII only".to_owned());
    }
    let forbidden = ["%", "\\", "#", ";", "//", "..", "/./"];
    let found = forbidden.iter().find(|text| path.contains(**text));
    match found {
        Some(text) => Err(format!("must not hold {text:?}, which servers read in different ways")),
        None if path.ends_with("/.") => Err("must not end with \"/.\"".to_owned()),
        None => Ok(()),
    }
}

fn is_at_or_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "/apis/example.com/v1";

    fn judge(target: &str, granted: &[&str]) -> Result<(), String> {
        let granted: Vec<_> =
            granted.iter().map(|text| ProbePrefix::try_from((*text).to_owned()).unwrap()).collect();
        check_target(target, OWN, &granted)
    }

    #[test]
    fn health_and_discovery_need_no_grant() {
        for target in [
            "/healthz",
            "/livez",
            "/readyz",
            "/readyz/etcd",
            "/readyz?verbose",
            "/healthz?x=%20",
            "/apis",
            "/apis/example.com/v1",
            "/openapi/v3",
        ] {
            judge(target, &[]).unwrap();
        }
    }

    #[test]
    fn everything_else_names_the_line_that_is_missing() {
        for target in [
            "/",
            "/healthzz",
            "/api",
            "/api/v1/secrets",
            "/apis/",
            "/apis/example.com",
            "/apis/example.com/v1/things",
            "/apis/example.com/v2",
            "/apis/other.com/v1",
            "/openapi/v2",
            "/openapi/v3/apis",
            "/metrics",
            "/debug/pprof/heap",
        ] {
            let refused = judge(target, &[]).unwrap_err();
            assert!(refused.contains(&format!("spec: {{grants: {{probe: [{target:?}]}}}}")), "{refused}");
        }
    }

    #[test]
    fn a_grant_covers_its_path_and_what_lies_below() {
        for (grant, target, wanted) in [
            ("/status/", "/status", true),
            ("/status/", "/status/a", true),
            ("/status", "/status/a?b", true),
            ("/status", "/statuses", false),
            ("/a/b", "/a", false),
            ("/", "/anything/at/all", true),
        ] {
            assert_eq!(judge(target, &[grant]).is_ok(), wanted, "{grant} {target}");
        }
    }

    #[test]
    fn disguises_are_refused_whatever_is_granted() {
        for target in [
            "",
            "healthz",
            "http://other/healthz",
            "//other/healthz",
            "/healthz/../api/v1/secrets",
            "/healthz/..",
            "/healthz/%2e%2e/api",
            "/healthz%2fx",
            "/healthz/./x",
            "/healthz/.",
            "/healthz//x",
            "/healthz\\..\\api",
            "/healthz/..;/api",
            "/healthz;x/y",
            "/healthz#/x",
            "/healthz x",
            "/healthz\r\nx: y",
            "/healthz/\u{e9}",
            "/healthz?a b",
        ] {
            assert!(judge(target, &["/"]).is_err(), "{target:?}");
        }
        for grant in ["", "status", "/a//b", "/a/../b", "/a?b", "/a/*"] {
            let refused = ProbePrefix::try_from(grant.to_owned()).unwrap_err();
            assert!(refused.contains("spec.grants.probe"), "{refused}");
        }
    }
}
