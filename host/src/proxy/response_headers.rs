//! The head of a backend's answer (contract §2.3, §2.6).

use crate::model::failure::Failure;
use http::header::{CONNECTION, HeaderMap, HeaderName, LOCATION};
use http::response::Parts;

/// Removes what belongs to the backend's connection or to a browser's dealings with us.
///
/// # Errors
/// 502 for a status that is no answer (a 101 that nobody asked for would leave HTTP).
/// 502 for a redirect: following it, or letting the client follow it, would lend our identity to whatever
/// place a backend names.
pub fn clean(head: &mut Parts) -> Result<(), Box<Failure>> {
    if !(200..600).contains(&head.status.as_u16()) {
        let text =
            format!("the backend answered with status code {}, which is no answer", head.status.as_u16());
        return Err(Box::new(Failure::new(502, "", text)));
    }
    if head.status.is_redirection() && head.headers.contains_key(LOCATION) {
        let text = "the backend attempted to redirect this request, which is not permitted";
        return Err(Box::new(Failure::new(502, "", text)));
    }
    let mut dropped = head.headers.keys().filter(|name| is_dropped(name)).peekable();
    if dropped.peek().is_some() {
        let dropped: Vec<HeaderName> = dropped.cloned().chain(named(&head.headers)).collect();
        for name in dropped {
            head.headers.remove(name);
        }
    }
    Ok(())
}

fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    names.filter(|name| name != http::header::CONTENT_LENGTH).collect()
}

fn is_dropped(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "access-control-allow-credentials"
            | "access-control-allow-headers"
            | "access-control-allow-methods"
            | "access-control-allow-origin"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn head(status: u16, lines: &[(&str, &str)]) -> Parts {
        let mut builder = Response::builder().status(status);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn redirects_are_refused_and_plain_304_passes() {
        for status in [301, 302, 304, 307] {
            let failure = clean(&mut head(status, &[("location", "https://evil")])).unwrap_err();
            assert_eq!(failure.code, 502);
        }
        assert!(clean(&mut head(304, &[])).is_ok());
        assert!(clean(&mut head(201, &[("location", "/x")])).is_ok());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (status, passes) in
            [(101, false), (103, false), (200, true), (599, true), (600, false), (999, false)]
        {
            assert_eq!(
                clean(&mut head(status, &[])).map_err(|failure| failure.code),
                passes.then_some(()).ok_or(502)
            );
        }
    }

    #[test]
    fn connection_headers_stay_behind() {
        let mut head = head(
            200,
            &[
                ("connection", "close, x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "5"),
                ("access-control-allow-origin", "*"),
                ("warning", "299 - \"old\""),
                ("content-encoding", "gzip"),
                ("trailer", "x-sum"),
            ],
        );
        clean(&mut head).unwrap();
        let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "trailer", "warning"]);
    }
}
