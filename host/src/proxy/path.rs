//! What a path asks for, told without allocating.

use http::Method;

/// A place in the tree that all API servers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// `/apis`, or `/apis/`, which never negotiates (contract §3.1).
    Groups {
        /// Whether a slash ends it.
        has_slash: bool,
    },
    /// `/apis/<group>`, with or without a slash at the end.
    Group(&'a str),
    /// `/apis/<group>/<version>` and everything below; `/api` and everything below is version v1 of the group without a
    /// name.
    Version {
        /// The group.
        group: &'a str,
        /// The version.
        version: &'a str,
        /// What follows the version: empty, or beginning with a slash.
        rest: &'a str,
    },
    /// `/openapi/…`.
    OpenApi,
    /// `/`, `/version`, `/metrics`, `/plugins` and what lies below it, and the health paths.
    Own,
    /// Nowhere.
    Unknown,
}

/// Finds the place of a decoded path.
pub fn locate(path: &str) -> Place<'_> {
    if let Some(below) = path.strip_prefix("/apis") {
        return locate_api(below);
    }
    if let Some(below) = path.strip_prefix("/api").filter(|below| below.is_empty() || below.starts_with('/'))
    {
        return locate_core(below);
    }
    let Some(below) = path.strip_prefix('/') else { return Place::Unknown };
    let (first, has_more) = match below.split_once('/') {
        Some((first, rest)) => (first, !rest.is_empty()),
        None => (below, false),
    };
    match (first, has_more) {
        ("openapi", true) => Place::OpenApi,
        ("healthz" | "livez" | "readyz" | "plugins", _)
        | ("" | "index.html" | "version" | "metrics", false) => Place::Own,
        _ => Place::Unknown,
    }
}

/// All of `/api` belongs to the APIService `v1.` (contract §2.2).
fn locate_core(below: &str) -> Place<'_> {
    let of_version = below.strip_prefix("/v1").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let rest = of_version.unwrap_or(below.trim_end_matches('/'));
    Place::Version { group: "", version: "v1", rest }
}

fn locate_api(below: &str) -> Place<'_> {
    if below.is_empty() {
        return Place::Groups { has_slash: false };
    }
    let Some(below) = below.strip_prefix('/') else { return Place::Unknown };
    if below.is_empty() {
        return Place::Groups { has_slash: true };
    }
    let Some((group, tail)) = below.split_once('/') else { return Place::Group(below) };
    if tail.is_empty() {
        return Place::Group(group);
    }
    let (version, rest) = tail.split_at(tail.find('/').unwrap_or(tail.len()));
    if group.is_empty() || version.is_empty() {
        return Place::Unknown;
    }
    Place::Version { group, version, rest }
}

/// Whether a decoded path names one namespace: `/api/v1/namespaces/<name>`.
pub fn is_namespace(path: &str) -> bool {
    let name = path.strip_prefix("/api/v1/namespaces/").map(|name| name.strip_suffix('/').unwrap_or(name));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// A response that may last as long as it likes (contract §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongRunning {
    /// Events without an end. The client resumes it wherever it ends.
    Watch,
    /// Any other, for example a log: an end means that there is no more.
    Stream,
}

impl LongRunning {
    /// What a request asks for, if that is a watch or a streaming subresource. `rest` is what follows the version.
    pub fn of(method: &Method, rest: &str, query: &str) -> Option<Self> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let kind = if is_read { Self::Watch } else { Self::Stream };
        let watch = asks_to_watch(query).then_some(kind);
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let mut resource = parts.next()?;
        if matches!(resource, "watch" | "proxy") && parts.clone().next().is_some() {
            return Some(if resource == "watch" { kind } else { Self::Stream });
        }
        if resource == "namespaces" {
            let Some(_namespace) = parts.next() else { return watch };
            resource = parts.next()?;
        }
        match (parts.next(), parts.next()) {
            (None, _) => watch.filter(|_| !resource.is_empty()),
            (Some(_), Some("attach" | "exec" | "proxy" | "log" | "portforward")) => Some(Self::Stream),
            _ => None,
        }
    }
}

fn asks_to_watch(query: &str) -> bool {
    parameter(query, "watch").is_some_and(|value| !matches!(value, "0" | "false" | "False"))
}

/// The raw value of the first parameter of that name.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    if query.is_empty() {
        return None;
    }
    query.split('&').find_map(|pair| {
        let rest = pair.strip_prefix(name)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('=') }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_place() {
        assert_eq!(locate("/apis"), Place::Groups { has_slash: false });
        assert_eq!(locate("/apis/"), Place::Groups { has_slash: true });
        assert_eq!(locate("/apis/g.io"), Place::Group("g.io"));
        assert_eq!(locate("/apis/g.io/"), Place::Group("g.io"));
        for (path, rest) in [("/apis/g/v1", ""), ("/apis/g/v1/", "/"), ("/apis/g/v1/a/b//c", "/a/b//c")] {
            assert_eq!(locate(path), Place::Version { group: "g", version: "v1", rest });
        }
        for (path, rest) in
            [("/api", ""), ("/api/", ""), ("/api/v1", ""), ("/api/v1/pods", "/pods"), ("/api/v1x", "/v1x")]
        {
            assert_eq!(locate(path), Place::Version { group: "", version: "v1", rest }, "{path}");
        }
        for path in [
            "/",
            "/index.html",
            "/version",
            "/version/",
            "/metrics",
            "/plugins",
            "/plugins/a/calls",
            "/healthz",
            "/livez/ping",
        ] {
            assert_eq!(locate(path), Place::Own, "{path}");
        }
        assert_eq!(locate("/openapi/v2"), Place::OpenApi);
        for path in [
            "/apisx",
            "/apis//v1",
            "/apiv1",
            "/nothing/here",
            "/metrics/slis",
            "/openapi",
            "/version/x",
            "",
            "*",
        ] {
            assert_eq!(locate(path), Place::Unknown, "{path}");
        }
    }

    #[test]
    fn only_one_namespace_itself_is_a_namespace() {
        assert!(is_namespace("/api/v1/namespaces/prod") && is_namespace("/api/v1/namespaces/prod/"));
        for path in [
            "/api/v1/namespaces",
            "/api/v1/namespaces/",
            "/api/v1/namespaces//",
            "/api/v1/namespaces/prod/pods",
            "/api/v2/namespaces/prod",
            "/apis/g/v1/namespaces/prod",
            "/x/api/v1/namespaces/prod",
        ] {
            assert!(!is_namespace(path), "{path}");
        }
    }

    #[test]
    fn watches_and_streams_are_long_running() {
        let of = |rest, query| LongRunning::of(&Method::GET, rest, query);
        for (rest, query) in [
            ("/things", "watch=true"),
            ("/things", "limit=5&watch=1"),
            ("/things", "watch"),
            ("/namespaces/n/things", "watch=true"),
            ("/namespaces", "watch=1"),
            ("/watch/things", ""),
            ("/watch/namespaces/n/things/one", ""),
        ] {
            assert_eq!(of(rest, query), Some(LongRunning::Watch), "{rest}?{query}");
            assert_eq!(
                LongRunning::of(&Method::POST, rest, query),
                Some(LongRunning::Stream),
                "{rest}?{query}"
            );
        }
        for (rest, query) in [
            ("/namespaces/n/pods/p/exec", ""),
            ("/namespaces/n/pods/p/attach", ""),
            ("/namespaces/n/pods/p/log", "follow=true&watch=true"),
            ("/namespaces/n/pods/p/proxy/deep/er", "watch=true"),
            ("/proxy/things/one", ""),
        ] {
            assert_eq!(of(rest, query), Some(LongRunning::Stream), "{rest}?{query}");
            assert_eq!(
                LongRunning::of(&Method::POST, rest, query),
                Some(LongRunning::Stream),
                "{rest}?{query}"
            );
        }
        for (rest, query) in [
            ("", "watch=1"),
            ("/", ""),
            ("/things", ""),
            ("/things", "watch=false"),
            ("/things", "rewatch=1"),
            ("/things/one", "watch=true"),
            ("/namespaces/n", "watch=true"),
            ("/things/one/status", ""),
        ] {
            assert_eq!(of(rest, query), None, "{rest}?{query}");
        }
    }
}
