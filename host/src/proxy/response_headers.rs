//! The head of a backend's answer (contract §2.3, §2.6).

use crate::model::failure::Failure;
use crate::model::message_head::{HEADERS_MAX, TransferCoding};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::response::Parts;

/// Removes what belongs to the backend's connection or to a browser's dealings with us.
///
/// # Errors
/// 502 for a status that is no answer (a 101 that nobody asked for would leave HTTP).
/// 502 for more header fields than [`HEADERS_MAX`], and for a transfer coding other than chunked.
/// 502 for a redirect: following it, or letting the client follow it, would lend our identity to whatever
/// place a backend names.
pub fn clean(head: &mut Parts) -> Result<(), Box<Failure>> {
    if !(200..600).contains(&head.status.as_u16()) {
        let text =
            format!("the backend answered with status code {}, which is no answer", head.status.as_u16());
        return Err(Box::new(Failure::new(502, "", text)));
    }
    if head.headers.len() > HEADERS_MAX {
        return Err(Box::new(too_many_headers()));
    }
    settle_length(&mut head.headers)?;
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

/// 502 for a head beyond the limits.
pub fn too_many_headers() -> Failure {
    let text = format!(
        "the backend's response has too many header fields: at most {HEADERS_MAX} fields and about 400 KiB are accepted"
    );
    Failure::new(502, "", text)
}

/// Leaves one indication of the end of the body. As in Go's `net/http`, chunked wins over a length, and a repeated
/// length counts once. Different lengths are an error of the parser.
fn settle_length(headers: &mut HeaderMap) -> Result<(), Box<Failure>> {
    match TransferCoding::of(headers) {
        TransferCoding::Absent => {}
        TransferCoding::Chunked => {
            headers.remove(CONTENT_LENGTH);
        }
        TransferCoding::Unsupported(coding) => {
            let text = format!(
                "the backend's response has the transfer encoding {coding:?}; only chunked is supported"
            );
            return Err(Box::new(Failure::new(502, "", text)));
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    if lengths.next().is_some() || length.as_bytes().contains(&b',') {
        let first = length.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
        if let Ok(first) = HeaderValue::from_bytes(first.trim_ascii()) {
            headers.insert(CONTENT_LENGTH, first);
        }
    }
    Ok(())
}

/// Removes trailers that describe the connection or the end of the body.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    let dropped: Vec<HeaderName> =
        trailers.keys().filter(|name| is_dropped(name) || *name == CONTENT_LENGTH).cloned().collect();
    for name in dropped {
        trailers.remove(name);
    }
}

fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    names.filter(|name| name != CONTENT_LENGTH).collect()
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
    fn too_many_headers_are_refused() {
        for (count, passes) in [(HEADERS_MAX, true), (HEADERS_MAX + 1, false)] {
            let lines = vec![("a", "b"); count];
            assert_eq!(
                clean(&mut head(200, &lines)).map_err(|failure| failure.code),
                passes.then_some(()).ok_or(502)
            );
        }
    }

    #[test]
    fn one_way_to_tell_the_length_is_left() {
        let lengths = |lines: &[(&str, &str)]| {
            let mut head = head(200, lines);
            clean(&mut head).map_err(|failure| failure.code)?;
            let lengths = head.headers.get_all(CONTENT_LENGTH).iter();
            Ok(lengths.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        let (length, coding) = ("content-length", "transfer-encoding");
        assert_eq!(lengths(&[(length, "3")]), Ok(vec!["3".to_owned()]));
        assert_eq!(lengths(&[(length, "3"), (length, "3")]), Ok(vec!["3".to_owned()]));
        assert_eq!(lengths(&[(length, "3 , 3")]), Ok(vec!["3".to_owned()]));
        assert_eq!(lengths(&[(length, "3"), (coding, "chunked")]), Ok(Vec::new()));
        for codings in [&["gzip, chunked"][..], &["identity"], &["gzip"], &["gzip", "chunked"]] {
            let lines: Vec<_> = codings.iter().map(|value| (coding, *value)).collect();
            assert_eq!(lengths(&lines), Err(502), "{codings:?}");
        }
    }

    #[test]
    fn trailers_say_nothing_about_the_body_or_the_connection() {
        let lines = [
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("x-sum", "1"),
        ];
        let mut trailers = head(200, &lines).headers;
        clean_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
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
