//! Limits for the head of a request, beyond those of the parser.

use crate::model::failure::Failure;
use crate::model::message_head::{HEADERS_MAX, TransferCoding, URI_MAX};
use http::header::HOST;
use http::{HeaderMap, Method, Request, Version};

/// Checks a request before anything is added to its headers. After an error its connection does not carry another
/// request: client and gateway may disagree on where this one ends.
///
/// # Errors
/// 431, 414, 405 or 501.
pub fn check_head<B>(request: &Request<B>) -> Result<(), Box<Failure>> {
    if request.headers().len() > HEADERS_MAX {
        return Err(Box::new(too_many_headers()));
    }
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > URI_MAX) {
        return Err(Box::new(uri_too_long()));
    }
    if *request.method() == Method::CONNECT {
        return Err(Box::new(Failure::method_not_allowed()));
    }
    match TransferCoding::of(request.headers()) {
        TransferCoding::Absent | TransferCoding::Chunked => Ok(()),
        TransferCoding::Unsupported(coding) => {
            let text = format!("unsupported transfer encoding {coding:?}: send the body plain or chunked");
            Err(Box::new(Failure::new(501, "", text)))
        }
    }
}

/// 431.
pub fn too_many_headers() -> Failure {
    let text = format!(
        "request header fields too large: at most {HEADERS_MAX} fields and about 400 KiB are accepted"
    );
    Failure::new(431, "", text)
}

/// 414.
pub fn uri_too_long() -> Failure {
    let text = format!("request URI too long: a path with its query may have at most {URI_MAX} bytes");
    Failure::new(414, "", text)
}

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
    fn a_head_beyond_a_limit_is_refused() {
        let check = |method: &str, path: usize, lines: &[(&str, usize)]| {
            let mut request = Request::builder().method(method).uri(format!("/{}", "a".repeat(path - 1)));
            for (name, count) in lines {
                for _ in 0..*count {
                    request = request.header(*name, "gzip, chunked");
                }
            }
            check_head(&request.body(()).unwrap()).map_err(|failure| failure.code)
        };
        assert_eq!(check("GET", URI_MAX, &[("a", HEADERS_MAX)]), Ok(()));
        assert_eq!(check("GET", 1, &[("a", HEADERS_MAX), ("b", 1)]), Err(431));
        assert_eq!(check("GET", URI_MAX + 1, &[]), Err(414));
        assert_eq!(check("CONNECT", 1, &[]), Err(405));
        assert_eq!(check("POST", 1, &[("transfer-encoding", 1)]), Err(501));
    }

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
