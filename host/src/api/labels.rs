//! What a request is called in the metrics.

use crate::kind::Kind;
use crate::model::request_info::RequestInfo;
use crate::observe::RequestLabels;
use http::Method;

/// Labels from fixed sets only, so that clients cannot grow the number of series.
pub fn labels<'a>(
    kinds: &[&'static Kind],
    info: &'a RequestInfo,
    method: &Method,
    is_dry_run: bool,
) -> RequestLabels<'a> {
    let verb = match (info.verb.as_str(), method.as_str()) {
        ("list", _) => "LIST",
        ("watch", _) => "WATCH",
        ("deletecollection", _) => "DELETECOLLECTION",
        (_, "GET" | "HEAD") => "GET",
        (_, "POST") => "POST",
        (_, "PUT") => "PUT",
        (_, "PATCH") => "PATCH",
        (_, "DELETE") => "DELETE",
        _ => "other",
    };
    let dry_run = if is_dry_run { "All" } else { "" };
    let known = info.target.as_ref().and_then(|target| {
        let kind = Kind::find_in(kinds, &target.group, &target.version, &target.resource)?;
        Some((kind, target))
    });
    let Some((kind, target)) = known else { return RequestLabels { verb, ..RequestLabels::default() } };
    let scope = match (target.name.is_empty(), target.namespace.is_empty()) {
        (false, _) if !matches!(verb, "LIST" | "WATCH" | "DELETECOLLECTION") => "resource",
        (_, false) => "namespace",
        _ => "cluster",
    };
    let subresource = if target.subresource == "status" { "status" } else { "" };
    RequestLabels {
        verb,
        group: kind.group,
        version: kind.version,
        resource: kind.plural,
        subresource,
        scope,
        dry_run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::ALL;

    #[test]
    fn a_request_is_named_after_its_verb_and_scope() {
        let named = |method: Method, path: &str, query: &str| {
            let info = RequestInfo::new(&method, path, query);
            let labels = labels(&ALL, &info, &method, false);
            [labels.verb, labels.resource, labels.subresource, labels.scope].map(str::to_owned)
        };
        let (all, one) = (
            "/apis/service.grafana.app/v0alpha1/externalnames",
            "/apis/apiregistration.k8s.io/v1/apiservices/a",
        );
        let inside = "/apis/service.grafana.app/v0alpha1/namespaces/n/externalnames";
        assert_eq!(named(Method::GET, all, ""), ["LIST", "externalnames", "", "cluster"]);
        assert_eq!(named(Method::GET, inside, ""), ["LIST", "externalnames", "", "namespace"]);
        assert_eq!(named(Method::GET, inside, "watch=true"), ["WATCH", "externalnames", "", "namespace"]);
        assert_eq!(named(Method::DELETE, inside, ""), ["DELETECOLLECTION", "externalnames", "", "namespace"]);
        assert_eq!(named(Method::GET, one, ""), ["GET", "apiservices", "", "resource"]);
        assert_eq!(
            named(Method::PUT, &format!("{one}/status"), ""),
            ["PUT", "apiservices", "status", "resource"]
        );
        assert_eq!(
            named(Method::DELETE, &format!("{inside}/x"), ""),
            ["DELETE", "externalnames", "", "resource"]
        );
        assert_eq!(named(Method::GET, "/apis/other.example.com/v1/things/a", ""), ["GET", "", "", ""]);
    }
}
