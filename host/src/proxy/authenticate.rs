//! Who calls (contract §7.6).

use super::connection::Client;
use crate::listen::PeerCertificate;
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use std::sync::Arc;

/// Finds the caller by client certificate, then by bearer token. A credential that is shown and does not
/// hold is a 401 unless the other one holds; none at all is the anonymous caller.
///
/// # Errors
/// 401.
pub fn authenticate(client: &Client, headers: &HeaderMap) -> Result<Arc<Caller>, Box<Failure>> {
    if let PeerCertificate::Trusted(caller) = &client.certificate {
        return Ok(Arc::clone(caller));
    }
    match headers.get(AUTHORIZATION) {
        Some(value) => {
            let known = bearer(value.as_bytes()).and_then(|token| client.worker.inputs.tokens.find(token));
            known.cloned().ok_or_else(|| Box::new(Failure::unauthorized()))
        }
        None if matches!(client.certificate, PeerCertificate::Refused(_)) => {
            Err(Box::new(Failure::unauthorized()))
        }
        None => Ok(Arc::clone(&client.worker.anonymous)),
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for wrong in [&b"Bearer"[..], b"Bearer ", b"Basic abc", b"", b"Bearerabc"] {
            assert_eq!(bearer(wrong), None);
        }
    }
}
