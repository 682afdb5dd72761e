//! Who calls (contract §7.6).

use super::bearer_protocol::{BearerProtocol, read_bearer_protocol};
use super::connection::Client;
use crate::listen::PeerCertificate;
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use std::sync::Arc;

/// Finds the caller by client certificate, then by bearer token, then by the token among a WebSocket's protocols.
/// The first that holds counts. A credential that is shown and does not hold is a 401 unless another one does; none
/// at all is the anonymous caller.
///
/// # Errors
/// 401.
pub fn authenticate(client: &Client, headers: &HeaderMap) -> Result<Arc<Caller>, Box<Failure>> {
    let mut is_refused = match &client.certificate {
        PeerCertificate::Trusted(caller) => return Ok(Arc::clone(caller)),
        PeerCertificate::Refused(_) => true,
        PeerCertificate::Absent => false,
    };
    let tokens = &client.worker.inputs.tokens;
    if let Some(value) = headers.get(AUTHORIZATION) {
        if let Some(caller) = bearer(value.as_bytes()).and_then(|token| tokens.find(token)) {
            return Ok(Arc::clone(caller));
        }
        is_refused = true;
    }
    match read_bearer_protocol(headers) {
        BearerProtocol::Absent => {}
        BearerProtocol::Unusable => is_refused = true,
        BearerProtocol::Token(token) => match tokens.find(&token) {
            Some(caller) => return Ok(Arc::clone(caller)),
            None => is_refused = true,
        },
    }
    if is_refused { Err(Box::new(Failure::unauthorized())) } else { Ok(Arc::clone(&client.worker.anonymous)) }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, setup};
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for wrong in [&b"Bearer"[..], b"Bearer ", b"Basic abc", b"", b"Bearerabc"] {
            assert_eq!(bearer(wrong), None);
        }
    }

    #[test]
    fn one_credential_that_holds_is_enough_and_a_wrong_one_is_no_anonymous_caller() {
        let worker = setup("right,jo,7").client.worker.clone();
        let refused = || PeerCertificate::Refused("it has expired".to_owned());
        let trusted =
            || PeerCertificate::Trusted(Arc::new(Caller::authenticated("admin", "", Vec::new(), Vec::new())));
        let absent = || PeerCertificate::Absent;
        let protocol =
            |token: &str| format!("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{token}");
        let (right, wrong) = (protocol("cmlnaHQ"), protocol("d3Jvbmc"));
        for (certificate, authorization, protocols, expected) in [
            (absent(), None, None, Some("system:anonymous")),
            (absent(), Some("Bearer right"), None, Some("jo")),
            (absent(), Some("Bearer wrong"), None, None),
            (absent(), Some("Basic right"), None, None),
            (refused(), None, None, None),
            (refused(), Some("Bearer right"), None, Some("jo")),
            (refused(), Some("Bearer wrong"), None, None),
            (trusted(), None, None, Some("admin")),
            (trusted(), Some("Bearer wrong"), None, Some("admin")),
            (absent(), None, Some(&right), Some("jo")),
            (absent(), None, Some(&wrong), None),
            (absent(), Some("Bearer wrong"), Some(&right), Some("jo")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(AUTHORIZATION, value.parse().unwrap());
            }
            if let Some(value) = protocols {
                headers.insert("connection", "upgrade".parse().unwrap());
                headers.insert("upgrade", "websocket".parse().unwrap());
                headers.insert("sec-websocket-protocol", value.parse().unwrap());
            }
            let what = format!("{certificate:?} {authorization:?} {protocols:?}");
            let found = authenticate(&client(&worker, certificate), &headers);
            let found = found.map(|caller| caller.user.clone()).map_err(|failure| failure.code);
            assert_eq!(found, expected.map(str::to_owned).ok_or(401), "{what}");
        }
    }
}
