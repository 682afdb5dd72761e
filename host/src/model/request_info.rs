//! What a request asks for, told from its method and path alone (contract §7.3).

use std::borrow::Cow;

/// A request, taken apart. Authorisation, routing and messages all speak of these parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// The decoded path.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `proxy`; the method in
    /// lower case where [`Self::target`] is `None`.
    pub verb: String,
    /// The resource asked for; `None` for `/healthz`, `/apis/<group>/<version>` and the like.
    pub target: Option<ResourceTarget>,
}

/// The resource part of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceTarget {
    /// API group, `""` below `/api`.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace, `""` at the cluster scope.
    pub namespace: String,
    /// Resource in plural, for example `apiservices`.
    pub resource: String,
    /// Everything after the name, joined by `/`; `""` for the object itself.
    pub subresource: String,
    /// Name of the object. For a list or watch: the name that the field selector demands, else `""`.
    pub name: String,
}

impl RequestInfo {
    /// Takes a request apart. `raw_path` is as it stood in the request line, `query` likewise or `""`.
    pub fn new(method: &http::Method, raw_path: &str, query: &str) -> Self {
        let path = decode_path(raw_path).into_owned();
        match ResourceRequest::parse(method, &path, query) {
            Some(found) => Self { path, verb: found.verb, target: Some(found.target) },
            None => Self { path, verb: method.as_str().to_ascii_lowercase(), target: None },
        }
    }

    /// Whether the answer may last longer than any request timeout (contract §7.4).
    pub fn is_long_running(&self) -> bool {
        let lasting = ["attach", "exec", "proxy", "log", "portforward"];
        matches!(self.verb.as_str(), "watch" | "proxy")
            || self.target.as_ref().is_some_and(|t| lasting.contains(&t.subresource.as_str()))
    }
}

struct ResourceRequest {
    verb: String,
    target: ResourceTarget,
}

impl ResourceRequest {
    fn parse(method: &http::Method, path: &str, query: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, mut rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return None,
        };
        let mut verb = verb_of(method);
        if let ["watch", inner @ ..] | ["proxy", inner @ ..] = rest
            && !inner.is_empty()
        {
            verb = if rest.first() == Some(&"watch") { "watch" } else { "proxy" };
            rest = inner;
        }
        let mut target =
            ResourceTarget { group: group.into(), version: version.into(), ..ResourceTarget::default() };
        if let ["namespaces", namespace, inner @ ..] = rest {
            (*namespace).clone_into(&mut target.namespace);
            if !matches!(inner, [] | ["status" | "finalize", ..]) {
                rest = inner;
            }
        }
        if let [resource, inner @ ..] = rest {
            (*resource).clone_into(&mut target.resource);
            if let [name, inner @ ..] = inner {
                (*name).clone_into(&mut target.name);
                target.subresource = inner.join("/");
            }
        }
        let verb = widen(verb, &mut target, query);
        Some(Self { verb: verb.to_owned(), target })
    }
}

/// Without a name, `get` means many objects and `delete` all of them.
fn widen(verb: &'static str, target: &mut ResourceTarget, query: &str) -> &'static str {
    if !target.name.is_empty() {
        return verb;
    }
    let verb = match verb {
        "get" if asks_to_watch(query) => "watch",
        "get" => "list",
        "delete" => "deletecollection",
        other => other,
    };
    if matches!(verb, "list" | "watch" | "deletecollection") {
        target.name = selected_name(query).unwrap_or_default();
    }
    verb
}

fn verb_of(method: &http::Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn asks_to_watch(query: &str) -> bool {
    parameter(query, "watch").is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "False"))
}

fn selected_name(query: &str) -> Option<String> {
    let selector = parameter(query, "fieldSelector")?;
    let name = selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    })?;
    (!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])).then_some(name)
}

fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v.into_owned())
}

/// Decodes `%xx` in a path; borrows where there is none. What does not decode to text stays as it was, so that two
/// parsers never see two paths.
pub fn decode_path(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(raw), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn target(path: &str) -> (String, ResourceTarget) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let info = RequestInfo::new(&Method::GET, path, query);
        (info.verb, info.target.expect("a resource request"))
    }

    #[test]
    fn paths_come_apart_as_upstream_takes_them() {
        let (verb, found) = target("/apis/g/v1/namespaces/ns/things/one/scale/deep");
        assert_eq!((verb.as_str(), found.namespace.as_str()), ("get", "ns"));
        assert_eq!(
            (found.resource.as_str(), found.name.as_str(), found.subresource.as_str()),
            ("things", "one", "scale/deep")
        );
        let (_, found) = target("/api/v1/namespaces/ns/status");
        assert_eq!(
            (found.resource.as_str(), found.name.as_str(), found.subresource.as_str()),
            ("namespaces", "ns", "status")
        );
        for path in
            ["/", "/healthz", "/apis", "/apis/g", "/apis/g/v1", "/apis/g/v1/", "/api/v1", "/openapi/v3/a/b"]
        {
            let info = RequestInfo::new(&Method::GET, path, "");
            assert_eq!((info.target, info.verb.as_str()), (None, "get"), "{path}");
        }
    }

    #[test]
    fn collections_list_watch_and_delete_together() {
        assert_eq!(target("/apis/g/v1/things").0, "list");
        assert_eq!(target("/apis/g/v1/things?watch=1").0, "watch");
        assert_eq!(target("/apis/g/v1/things?watch=false").0, "list");
        assert_eq!(target("/apis/g/v1/watch/things").0, "watch");
        assert_eq!(target("/apis/g/v1/things/one?watch=true").0, "get");
        let (verb, found) = target("/apis/g/v1/things?fieldSelector=a%3Db,metadata.name%3Dx");
        assert_eq!((verb.as_str(), found.name.as_str()), ("list", "x"));
        let info = RequestInfo::new(&Method::DELETE, "/apis/g/v1/things", "");
        assert_eq!(info.verb, "deletecollection");
    }

    #[test]
    fn encoded_slashes_separate_and_broken_escapes_stay() {
        assert_eq!(target("/apis/g/v1/things/a%2Fb").1.subresource, "b");
        assert_eq!(target("/apis/g/v1/things/a%20b%zz").1.name, "a b%zz");
    }
}
