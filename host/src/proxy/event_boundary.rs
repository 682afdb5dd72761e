//! Where one event of a watch ends, so that a watch can end between two events.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Bytes of the length before each event of a protobuf watch.
const LENGTH: u8 = 4;

/// The position in the events of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventBoundary {
    /// JSON: one event per line.
    Lines {
        /// The last byte did not end a line.
        is_inside: bool,
    },
    /// Protobuf: each event after its length in four bytes.
    Frames {
        /// Bytes of the length that have passed; zero within an event.
        length_bytes: u8,
        /// The length as far as it has passed, and then the remaining bytes of the event.
        rest: u32,
    },
}

impl EventBoundary {
    /// The position before the first event of a response with these headers. `None` if its bytes do not show where
    /// events end: there is a content coding, whose blocks end elsewhere, or the media type is another one. Such a
    /// watch cannot end as if it were complete; it is cut, and its client resumes it.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        match content_type.split(';').next().unwrap_or_default().trim_ascii() {
            "application/json" => Some(Self::Lines { is_inside: false }),
            "application/vnd.kubernetes.protobuf" => Some(Self::Frames { length_bytes: 0, rest: 0 }),
            _ => None,
        }
    }

    /// Moves on by `data`.
    pub fn advance(&mut self, mut data: &[u8]) {
        match self {
            Self::Lines { is_inside } => {
                if let Some(last) = data.last() {
                    *is_inside = *last != b'\n';
                }
            }
            Self::Frames { length_bytes, rest } => {
                while let [first, others @ ..] = data {
                    if *length_bytes == 0 && *rest > 0 {
                        let passed = data.len().min(*rest as usize);
                        *rest -= passed as u32;
                        data = &data[passed..];
                        continue;
                    }
                    *rest = (*rest << 8) | u32::from(*first);
                    *length_bytes = (*length_bytes + 1) % LENGTH;
                    data = others;
                }
            }
        }
    }

    /// Whether no event has begun that has not ended.
    pub fn is_between(&self) -> bool {
        match self {
            Self::Lines { is_inside } => !is_inside,
            Self::Frames { length_bytes, rest } => *length_bytes == 0 && *rest == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Option<EventBoundary> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        EventBoundary::of(&headers)
    }

    fn ends(boundary: EventBoundary, events: &[&[u8]]) {
        let whole = events.concat();
        let ends: Vec<usize> =
            events.iter().scan(0, |end, event| Some(*end + event.len()).inspect(|new| *end = *new)).collect();
        for piece in [1, 2, 3, 5, whole.len()] {
            let (mut boundary, mut passed) = (boundary, 0);
            for data in whole.chunks(piece) {
                boundary.advance(data);
                passed += data.len();
                assert_eq!(boundary.is_between(), ends.contains(&passed), "{passed} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn the_end_of_each_event_is_known() {
        let lines = of(&[("content-type", "application/json;stream=watch")]).unwrap();
        assert!(lines.is_between());
        ends(lines, &[b"{}\n", b"{\"a\":1}\n", b"\n"]);
        let frames = of(&[("content-type", "application/vnd.kubernetes.protobuf;stream=watch")]).unwrap();
        assert!(frames.is_between());
        let long = [&[0, 0, 1, 44][..], &[7; 300]].concat();
        ends(frames, &[&[0, 0, 0, 1, 9], &long, &[0, 0, 0, 0], &[0, 0, 0, 2, 0, 0]]);
    }

    #[test]
    fn what_does_not_show_its_events_has_no_boundary() {
        for lines in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/cbor-seq")],
            &[("content-type", "application/json-patch+json")],
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }
}
