//! The headers of a request to a backend (contract §2.3).

use super::bearer_protocol::keep_back_bearer_protocols;
use crate::model::identity::Caller;
use crate::model::message_head::HEADERS_MAX;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, TE,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Maximum capacity that is allocated for headers in advance.
const CAPACITY_MAX: usize = 2 * HEADERS_MAX;

/// What a backend is told about a request beside the client's own headers.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The client's address.
    pub address: &'a HeaderValue,
    /// The raw path.
    pub path: &'a str,
    /// The authority of an HTTP/2 request, where `Host` is missing.
    pub authority: Option<&'a str>,
}

/// Builds the headers to send. Nothing of the client's that speaks of identity passes; nothing that speaks of
/// its own connection does either.
pub fn outgoing(inbound: &HeaderMap, context: &Context<'_>) -> HeaderMap {
    let identity = context.caller.headers();
    // Both numbers are limited: by `check_head`, and by the certificates that an operator signs. A capacity beyond
    // the limit of the map panics.
    let mut out = HeaderMap::with_capacity((inbound.len() + identity.len() + 5).min(CAPACITY_MAX));
    let named = inbound.get(CONNECTION).map(|_| Named::of(inbound));
    for (name, value) in inbound {
        if !is_kept_back(name) && !named.as_ref().is_some_and(|named| named.contains(name)) {
            out.append(name.clone(), value.clone());
        }
    }
    if inbound.get_all(TE).iter().any(accepts_trailers) {
        out.insert(TE, HeaderValue::from_static("trailers"));
    }
    if inbound.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        keep_back_bearer_protocols(&mut out);
    }
    add_forwarded(&mut out, inbound, context);
    for (name, value) in identity {
        out.append(name.clone(), value.clone());
    }
    out
}

fn add_forwarded(out: &mut HeaderMap, inbound: &HeaderMap, context: &Context<'_>) {
    let chain = match inbound.get(&FORWARDED_FOR) {
        None => context.address.clone(),
        Some(_) => extend_chain(inbound, context.address),
    };
    out.insert(FORWARDED_FOR, chain);
    let host = match inbound.get(HOST) {
        Some(host) => Some(host.clone()),
        None => context.authority.and_then(|authority| HeaderValue::from_str(authority).ok()),
    };
    if let Some(host) = host {
        out.insert(FORWARDED_HOST, host);
    }
    out.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    if let Ok(mut path) = HeaderValue::from_str(context.path) {
        // No secret: kept out of HTTP/2's header table, where each path would push out what repeats.
        path.set_sensitive(true);
        out.insert(FORWARDED_URI, path);
    }
}

fn extend_chain(inbound: &HeaderMap, address: &HeaderValue) -> HeaderValue {
    let mut chain: Vec<u8> = Vec::new();
    for part in inbound.get_all(&FORWARDED_FOR) {
        chain.extend_from_slice(part.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(address.as_bytes());
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| address.clone())
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether a client's header stays behind: credentials, identity, what we write ourselves, and what belongs to
/// the client's connection. `Expect` is ours too: the body is asked for when the backend can take it.
fn is_kept_back(name: &HeaderName) -> bool {
    match name.as_str() {
        "authorization"
        | "connection"
        | "expect"
        | "host"
        | "http2-settings"
        | "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection"
        | "te"
        | "transfer-encoding"
        | "upgrade" => true,
        text => match text.as_bytes()[0] {
            b'x' => is_reserved(text),
            b'i' => text.starts_with("impersonate-") || text.starts_with("impersonate_"),
            _ => false,
        },
    }
}

/// `X-Remote-*` and `X-Forwarded-*`, with underscores too: some servers read both as the same header.
fn is_reserved(name: &str) -> bool {
    let bytes = name.as_bytes();
    let starts_with = |prefix: &str| {
        bytes.len() >= prefix.len()
            && bytes.iter().zip(prefix.bytes()).all(|(b, p)| *b == p || (*b == b'_' && p == b'-'))
    };
    starts_with("x-remote-")
        || ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-uri"]
            .iter()
            .any(|reserved| bytes.len() == reserved.len() && starts_with(reserved))
}

/// The headers that `Connection` names.
struct Named(Vec<HeaderName>);

impl Named {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONNECTION).iter();
        let tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
        Self(tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect())
    }

    fn contains(&self, name: &HeaderName) -> bool {
        // A client must not have these dropped by naming them: they decide where the body ends and who asks.
        *name != CONTENT_LENGTH && name.as_str() != "audit-id" && self.0.contains(name)
    }
}

/// Removes the trailers that would decide, as headers, where the body ends or who the caller is, or that are not
/// allowed as headers: some servers treat both alike.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    let is_dropped = |name: &&HeaderName| {
        is_kept_back(name) || matches!(name.as_str(), "audit-id" | "content-length" | "cookie" | "trailer")
    };
    let dropped: Vec<HeaderName> = trailers.keys().filter(is_dropped).cloned().collect();
    for name in dropped {
        trailers.remove(name);
    }
}

/// HTTP/2 clients may send cookies one by one; HTTP/1.1 wants them in one line (RFC 9113 §8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(lines: &[(&str, &str)]) -> Vec<String> {
        let mut inbound = HeaderMap::new();
        for (name, value) in lines {
            inbound.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        let caller = Caller::authenticated("jo", "7", vec!["a".into()], Vec::new());
        let context = Context {
            caller: &caller,
            address: &HeaderValue::from_static("10.0.0.9"),
            path: "/apis/g/v1",
            authority: Some("umbel.example:6443"),
        };
        let out = outgoing(&inbound, &context);
        let mut lines: Vec<String> =
            out.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const ADDED: [&str; 8] = [
        "x-forwarded-for: 10.0.0.9",
        "x-forwarded-host: umbel.example:6443",
        "x-forwarded-proto: https",
        "x-forwarded-uri: /apis/g/v1",
        "x-remote-group: a",
        "x-remote-group: system:authenticated",
        "x-remote-uid: 7",
        "x-remote-user: jo",
    ];

    #[test]
    fn nothing_about_identity_passes() {
        let lines = forwarded(&[
            ("authorization", "Bearer secret"),
            ("x-remote-user", "root"),
            ("X-Remote-Group", "system:masters"),
            ("x-remote-group", "system:masters"),
            ("x-remote-uid", "0"),
            ("x-remote-extra-scopes", "all"),
            ("x-remote-anything", "x"),
            ("x_remote_user", "root"),
            ("x-remote_user", "root"),
            ("impersonate-user", "root"),
            ("impersonate-extra-a", "b"),
            ("proxy-authorization", "Basic x"),
        ]);
        assert_eq!(lines, ADDED);
    }

    #[test]
    fn tokens_among_websocket_protocols_stay_behind() {
        let token = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
        let protocols = format!("v4.channel.k8s.io,{token} , v5.channel.k8s.io");
        let lines = forwarded(&[("sec-websocket-protocol", &protocols), ("Sec-WebSocket-Protocol", token)]);
        assert_eq!(lines[0], "sec-websocket-protocol: v4.channel.k8s.io, v5.channel.k8s.io");
        assert_eq!(lines[1..], ADDED);
    }

    #[test]
    fn nothing_about_the_clients_connection_passes() {
        let lines = forwarded(&[
            ("connection", "close, X-Hop, content-length, audit-id"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("audit-id", "a"),
            ("keep-alive", "300"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-forwarded-uri", "/forged"),
            ("x-forwarded-proto", "http"),
        ]);
        let mut wanted = vec!["audit-id: a", "content-length: 5"];
        wanted.extend(ADDED);
        assert_eq!(lines, wanted);
    }

    #[test]
    fn everything_else_passes_and_the_chain_grows() {
        let lines = forwarded(&[
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("host", "front.example"),
            ("te", "gzip, trailers"),
            ("trailer", "x-sum"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-port", "1"),
            ("x-remoteish", "1"),
        ]);
        assert_eq!(
            lines,
            [
                "accept-encoding: gzip",
                "accept: application/json",
                "te: trailers",
                "trailer: x-sum",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.9",
                "x-forwarded-host: front.example",
                "x-forwarded-port: 1",
                "x-forwarded-proto: https",
                "x-forwarded-uri: /apis/g/v1",
                "x-remote-group: a",
                "x-remote-group: system:authenticated",
                "x-remote-uid: 7",
                "x-remote-user: jo",
                "x-remoteish: 1",
            ]
        );
    }

    #[test]
    fn nothing_about_identity_or_framing_passes_as_a_trailer() {
        let kept = ["x-checksum", "x-remoteish"];
        let dropped = [
            "authorization",
            "proxy-authorization",
            "cookie",
            "impersonate-user",
            "impersonate-group",
            "impersonate-uid",
            "impersonate-extra-scopes",
            "impersonate_user",
            "x-remote-user",
            "x-remote-group",
            "x-remote-uid",
            "x-remote-extra-scopes",
            "x_remote_user",
            "x-forwarded-for",
            "x-forwarded-uri",
            "audit-id",
            "connection",
            "content-length",
            "transfer-encoding",
            "trailer",
            "host",
            "te",
            "upgrade",
        ];
        let mut trailers = HeaderMap::new();
        for name in kept.iter().chain(&dropped) {
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("2"));
        }
        clean_trailers(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, kept);
    }

    #[test]
    fn a_caller_in_many_groups_is_forwarded() {
        let groups: Vec<String> = (0..30_000).map(|number| format!("group-{number}")).collect();
        let caller = Caller::authenticated("jo", "", groups, Vec::new());
        let address = HeaderValue::from_static("10.0.0.9");
        let context = Context { caller: &caller, address: &address, path: "/", authority: None };
        assert_eq!(outgoing(&HeaderMap::new(), &context).get_all("x-remote-group").iter().count(), 30_001);
    }

    #[test]
    fn cookies_are_joined_for_http1() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
