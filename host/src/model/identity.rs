//! Who calls, and how a backend is told.

use http::{HeaderName, HeaderValue};

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The common name of the certificate that the gateway shows to backends.
pub const FRONT_PROXY_NAME: &str = "umbel-front-proxy";
/// The group that every authenticated caller belongs to.
pub const AUTHENTICATED: &str = "system:authenticated";

/// An authenticated (or anonymous) caller. Built once per credential, shared by its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User name, `system:anonymous` when nobody showed a credential.
    pub user: String,
    /// Opaque user id, often empty.
    pub uid: String,
    /// Groups, with `system:authenticated` or `system:unauthenticated` among them.
    pub groups: Vec<String>,
    /// Further attributes; keys in lower case.
    pub extra: Vec<(String, Vec<String>)>,
    /// The `X-Remote-*` headers that carry all of the above to a backend.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Caller {
    /// A caller with a credential; `system:authenticated` is added to its groups.
    pub fn authenticated(
        user: impl Into<String>,
        uid: impl Into<String>,
        mut groups: Vec<String>,
        extra: Vec<(String, Vec<String>)>,
    ) -> Self {
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self::build(user.into(), uid.into(), groups, extra)
    }

    /// The caller without a credential.
    pub fn anonymous() -> Self {
        Self::build(
            "system:anonymous".into(),
            String::new(),
            vec!["system:unauthenticated".into()],
            Vec::new(),
        )
    }

    /// Whether the caller showed no credential.
    pub fn is_anonymous(&self) -> bool {
        self.user == "system:anonymous"
    }

    /// Whether the caller may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }

    /// The headers to add to a request to a backend, one entry per header line.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    fn build(user: String, uid: String, groups: Vec<String>, extra: Vec<(String, Vec<String>)>) -> Self {
        let mut headers = Vec::new();
        let mut add = |name: &str, value: &str| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.push((name, value));
            }
        };
        add("x-remote-user", &user);
        if !uid.is_empty() {
            add("x-remote-uid", &uid);
        }
        for group in &groups {
            add("x-remote-group", group);
        }
        for (key, values) in &extra {
            let name = format!("x-remote-extra-{}", escape_header_key(key));
            for value in values {
                add(&name, value);
            }
        }
        Self { user, uid, groups, extra, headers }
    }
}

/// Percent-escapes what may not stand in a header name, and `%` itself (contract §2.3).
fn escape_header_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
        if is_token {
            out.push(byte.to_ascii_lowercase().into());
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_keys_are_escaped_and_groups_repeat() {
        let extra =
            vec![("authentication.kubernetes.io/credential-id".to_owned(), vec!["X509SHA256=ab".to_owned()])];
        let caller = Caller::authenticated("jo", "", vec!["a".into()], extra);
        let lines: Vec<String> =
            caller.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        assert_eq!(
            lines,
            [
                "x-remote-user: jo",
                "x-remote-group: a",
                "x-remote-group: system:authenticated",
                "x-remote-extra-authentication.kubernetes.io%2fcredential-id: X509SHA256=ab"
            ]
        );
    }
}
