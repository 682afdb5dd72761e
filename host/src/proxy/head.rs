//! What the head of an HTTP/1.1 message may look like, beyond what the parser holds it to.

use crate::model::failure::Failure;
use http::header::HOST;
use http::{HeaderMap, Version};

/// Most headers of one message, from clients and from backends alike. The parser's own 100 are too few for some
/// gateways in front; its bound on the bytes of a head stays.
pub const HEADERS_MAX: usize = 256;

/// Checks that a request says which one host it is for (RFC 9112 §3.2). HTTP/1.0 need not say it.
///
/// # Errors
/// 400 in the words of upstream's server.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Box<Failure>> {
    let refuse = |message: &str| Err(Box::new(Failure::bad_request(message)));
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => refuse("missing required Host header"),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => refuse("too many Host headers"),
        (Some(host), None) if host.as_bytes().iter().all(|&byte| is_host_byte(byte)) => Ok(()),
        (Some(_), None) => refuse("malformed Host header"),
    }
}

/// RFC 3986 §3.2.2 with a port, without a check of its form: whoever takes the host checks that.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_host_that_can_be_one() {
        let check = |version, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            check_host(version, &headers).map_err(|failure| (failure.code, failure.message))
        };
        let refused = |message: &str| Err((400, message.to_owned()));
        for good in ["", "a", "a.example:6443", "127.0.0.1", "[fe80::1%25eth0]:1"] {
            assert_eq!(check(Version::HTTP_11, &[good]), Ok(()), "{good}");
        }
        for bad in ["a/b", "u@a", "a b", "a?b", "a#b", "a\\b", "\"a\""] {
            assert_eq!(check(Version::HTTP_11, &[bad]), refused("malformed Host header"), "{bad}");
        }
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(Version::HTTP_11, &[]), refused("missing required Host header"));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(check(version, &["a", "a"]), refused("too many Host headers"));
        }
    }
}
