//! The bearer token among the protocols of a WebSocket (contract §7.6): browsers cannot set `Authorization` there.

use super::upgrade::is_upgrade;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

/// What stands before the token.
const PREFIX: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// What a request says by its protocols about its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum BearerProtocol {
    /// Nothing.
    Absent,
    /// This token.
    Token(Vec<u8>),
    /// Something that cannot be a credential: two tokens, none that decodes, or no other protocol beside it that the
    /// backend could choose.
    Unusable,
}

/// Reads the token of a request for a WebSocket.
pub fn read_bearer_protocol(headers: &HeaderMap) -> BearerProtocol {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) || !is_websocket(headers) {
        return BearerProtocol::Absent;
    }
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let (mut token, mut has_other) = (None, false);
    for protocol in lines.flat_map(protocols) {
        match protocol.strip_prefix(PREFIX) {
            None => has_other = true,
            Some(_) if token.is_some() => return BearerProtocol::Unusable,
            Some(encoded) => token = Some(encoded),
        }
    }
    match token.map(|encoded| URL_SAFE_NO_PAD.decode(encoded)) {
        None => BearerProtocol::Absent,
        Some(Ok(token)) if has_other && !token.is_empty() => BearerProtocol::Token(token),
        Some(_) => BearerProtocol::Unusable,
    }
}

/// Removes the token: a credential like any other, which is none of the backend's business.
pub fn keep_back_bearer_protocols(out: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = out.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
    out.remove(SEC_WEBSOCKET_PROTOCOL);
    for line in lines {
        let kept: Vec<&[u8]> = protocols(&line).filter(|protocol| !protocol.starts_with(PREFIX)).collect();
        if let (false, Ok(line)) = (kept.is_empty(), HeaderValue::from_bytes(&kept.join(&b", "[..]))) {
            out.append(SEC_WEBSOCKET_PROTOCOL, line);
        }
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let protocol = headers.get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    protocol.eq_ignore_ascii_case(b"websocket") && is_upgrade(headers)
}

fn protocols(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|protocol| !protocol.is_empty())
}
