//! Who calls a sample API server: whoever Umbel says, when it is Umbel that says it.

use crate::listen::PeerCertificate;
use crate::model::failure::Failure;
use crate::model::identity::Caller;
use http::HeaderMap;

/// The common name of Umbel's certificate, as `flags.txt` tells stock API servers.
const FRONT_PROXY: &str = "umbel-front-proxy";
const EXTRA: &str = "x-remote-extra-";

/// The caller of a request. Only the front proxy's certificate makes the `X-Remote-*` headers count.
///
/// # Errors
/// 401 when the headers come from somebody else, or name nobody.
pub(super) fn caller(certificate: &PeerCertificate, headers: &HeaderMap) -> Result<Caller, Failure> {
    let PeerCertificate::Trusted(proxy) = certificate else {
        return Err(Failure::unauthorized());
    };
    let values = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let user = values("x-remote-user").into_iter().next().unwrap_or_default();
    if proxy.user != FRONT_PROXY || user.is_empty() {
        return Err(Failure::unauthorized());
    }
    let uid = values("x-remote-uid").into_iter().next().unwrap_or_default();
    let keys = headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA));
    let extra = keys.map(|key| (key.to_owned(), values(&format!("{EXTRA}{key}")))).collect();
    Ok(Caller::authenticated(user, uid, values("x-remote-group"), extra))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn certificate(name: &str) -> PeerCertificate {
        PeerCertificate::Trusted(Arc::new(Caller::authenticated(name, "", Vec::new(), Vec::new())))
    }

    #[test]
    fn headers_count_only_with_the_proxys_certificate() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "ann".parse().unwrap());
        headers.append("x-remote-group", "ops".parse().unwrap());
        headers.append("x-remote-group", "system:masters".parse().unwrap());
        let ann = caller(&certificate("umbel-front-proxy"), &headers).unwrap();
        assert!(ann.user == "ann" && ann.is_master() && ann.groups.contains(&"ops".to_owned()));
        for stranger in [certificate("eve"), PeerCertificate::Absent] {
            assert_eq!(caller(&stranger, &headers).unwrap_err().code, 401);
        }
        assert_eq!(caller(&certificate("umbel-front-proxy"), &HeaderMap::new()).unwrap_err().code, 401);
    }
}
