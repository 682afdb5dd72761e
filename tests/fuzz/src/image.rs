//! Answers as they lie in a component's memory, by the canonical ABI.

use crate::parrot::{ANSWER, ANSWER_MAX};
use arbitrary::Arbitrary;

/// One answer, and what is done to its bytes.
#[derive(Arbitrary, Clone, Debug)]
pub struct Case {
    pub answer: Answer,
    /// Bytes that are changed: pointers, lengths and discriminants among them.
    pub damage: Vec<(u16, u8)>,
}

/// Which function answers, and what.
#[derive(Arbitrary, Clone, Debug)]
pub enum Answer {
    Validate(Result<(), Vec<(Text, Text)>>),
    Resolve(Result<Resolution, (u8, Text)>),
    Check(Result<Verdict, (u8, Text)>),
    Transform(Result<(u8, Document), Text>),
    Order(Result<Option<Vec<Text>>, Text>),
}

/// A text: one that gets far, or anything.
#[derive(Arbitrary, Clone, Debug)]
pub enum Text {
    Known(u8),
    Any(Vec<u8>),
    Long(u8, u16),
}

/// A document: what the transformer was given with pieces of it replaced, or anything.
#[derive(Arbitrary, Clone, Debug)]
pub enum Document {
    Edited(Vec<(u16, u8, Text)>),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Resolution {
    pub endpoints: Vec<Endpoint>,
    pub fresh: Option<u32>,
    pub stale: Option<u32>,
    pub extra: Vec<(Text, Text)>,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Endpoint {
    pub host: Text,
    pub numbers: [u16; 3],
    pub server_name: Option<Text>,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Verdict {
    pub state: u8,
    pub reason: Text,
    pub message: Text,
    pub findings: Vec<(u32, u8, Text)>,
    pub next: Option<u32>,
    pub memory: Text,
}

/// What texts are made of that pass the first looks.
const KNOWN: [&str; 24] = [
    "",
    "Passed",
    "a.test",
    "own.test",
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "::1",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "localhost",
    "shop.prod.svc",
    "g.test",
    "h.test",
    "v1",
    "things",
    "status",
    "get",
    "\u{1b}[2J\n",
    "\u{202e}",
    "{",
    "1e999",
];

/// What the transformer is given.
pub const GROUP: &str = r#"{"metadata":{"name":"g.test"},"versions":[{"version":"v1","freshness":"Current","resources":[{"resource":"things","responseKind":{"group":"g.test","version":"v1","kind":"Thing"},"scope":"Namespaced","singularResource":"thing","verbs":["get","list"],"shortNames":["th"],"subresources":[{"subresource":"status","verbs":["get"]}]}]},{"version":"v2","freshness":"Stale"}]}"#;

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].as_bytes().to_vec(),
            Self::Any(bytes) => bytes.clone(),
            Self::Long(byte, length) => vec![*byte; usize::from(*length) % 8_192],
        }
    }
}

impl Document {
    fn bytes(&self) -> Vec<u8> {
        let edits = match self {
            Self::Any(bytes) => return bytes.clone(),
            Self::Edited(edits) => edits,
        };
        let mut document = GROUP.as_bytes().to_vec();
        for (at, length, text) in edits {
            let from = usize::from(*at) % (document.len() + 1);
            let to = (from + usize::from(*length)).min(document.len());
            document.splice(from..to, text.bytes());
        }
        document
    }
}

/// Records are written at the front, what they point to behind them.
struct Memory {
    bytes: Vec<u8>,
}

impl Memory {
    fn reserve(&mut self, size: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at + size, 0);
        at
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn put_u32(&mut self, at: usize, value: usize) {
        self.put(at, &u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn put_list(&mut self, at: usize, place: usize, count: usize) {
        self.put_u32(at, ANSWER as usize + place);
        self.put_u32(at + 4, count);
    }

    fn put_text(&mut self, at: usize, bytes: &[u8]) {
        let place = self.reserve(bytes.len());
        self.put(place, bytes);
        self.put_list(at, place, bytes.len());
    }

    fn put_option(&mut self, at: usize, value: Option<u32>) {
        if let Some(value) = value {
            self.put_u32(at, 1);
            self.put_u32(at + 4, value as usize);
        }
    }

    fn put_pairs(&mut self, at: usize, pairs: &[(Text, Text)]) {
        let place = self.reserve(16 * pairs.len());
        self.put_list(at, place, pairs.len());
        for (index, (first, second)) in pairs.iter().enumerate() {
            self.put_text(place + 16 * index, &first.bytes());
            self.put_text(place + 16 * index + 8, &second.bytes());
        }
    }

    fn put_variant(&mut self, at: usize, discriminant: u8, text: &[u8]) {
        self.put(at, &[discriminant]);
        self.put_text(at + 4, text);
    }

    fn put_resolution(&mut self, at: usize, resolution: &Resolution) {
        let Resolution { endpoints, fresh, stale, extra } = resolution;
        let place = self.reserve(36 * endpoints.len());
        self.put_list(at, place, endpoints.len());
        for (index, endpoint) in endpoints.iter().enumerate() {
            let at = place + 36 * index;
            self.put_text(at, &endpoint.host.bytes());
            for (index, number) in endpoint.numbers.iter().enumerate() {
                self.put(at + 8 + 2 * index, &number.to_le_bytes());
            }
            if let Some(name) = &endpoint.server_name {
                self.put_variant(at + 16, 1, &name.bytes());
            }
        }
        self.put_option(at + 8, *fresh);
        self.put_option(at + 16, *stale);
        self.put_pairs(at + 24, extra);
    }

    fn put_verdict(&mut self, at: usize, verdict: &Verdict) {
        let Verdict { state, reason, message, findings, next, memory } = verdict;
        self.put(at, &[*state]);
        self.put_text(at + 4, &reason.bytes());
        self.put_text(at + 12, &message.bytes());
        let place = self.reserve(16 * findings.len());
        self.put_list(at + 20, place, findings.len());
        for (index, (endpoint, state, text)) in findings.iter().enumerate() {
            let at = place + 16 * index;
            self.put_u32(at, *endpoint as usize);
            self.put_variant(at + 4, *state, &text.bytes());
        }
        self.put_option(at + 28, *next);
        self.put_text(at + 36, &memory.bytes());
    }

    fn put_order(&mut self, at: usize, names: &[Text]) {
        self.put(at, &[1]);
        let place = self.reserve(8 * names.len());
        self.put_list(at + 4, place, names.len());
        for (index, name) in names.iter().enumerate() {
            self.put_text(place + 8 * index, &name.bytes());
        }
    }
}

impl Case {
    /// The memory, from [`ANSWER`] on.
    pub fn image(&self) -> Vec<u8> {
        let mut memory = Memory { bytes: vec![0; 64] };
        match &self.answer {
            Answer::Validate(Ok(())) | Answer::Order(Ok(None)) => {}
            Answer::Validate(Err(problems)) => {
                memory.put(0, &[1]);
                memory.put_pairs(4, problems);
            }
            Answer::Resolve(Ok(resolution)) => memory.put_resolution(4, resolution),
            Answer::Check(Ok(verdict)) => memory.put_verdict(4, verdict),
            Answer::Transform(Ok((kind, document))) => memory.put_variant(4, *kind, &document.bytes()),
            Answer::Order(Ok(Some(names))) => memory.put_order(4, names),
            Answer::Resolve(Err((fault, text))) | Answer::Check(Err((fault, text))) => {
                memory.put(0, &[1]);
                memory.put_variant(4, *fault, &text.bytes());
            }
            Answer::Transform(Err(text)) | Answer::Order(Err(text)) => {
                memory.put(0, &[1]);
                memory.put_text(4, &text.bytes());
            }
        }
        for (at, byte) in &self.damage {
            let at = usize::from(*at) % memory.bytes.len();
            memory.put(at, &[*byte]);
        }
        memory.bytes.truncate(ANSWER_MAX);
        memory.bytes
    }
}
