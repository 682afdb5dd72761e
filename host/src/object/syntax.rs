//! Says where JSON or YAML text is broken, in the words that Kubernetes clients know.

use super::node::Node;
use crate::model::yaml;
use crate::model::yaml::{MAX_DEPTH, TOO_DEEP};

/// Why `text` is no JSON; `None` when it is (or is nested deeper than any object of ours).
pub fn explain_json(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0, depth: 0 };
    scanner.document().err()
}

/// Reads YAML, as deep as JSON.
///
/// # Errors
/// As `yaml: line N: what`.
pub fn read_yaml(text: &[u8]) -> Result<Node, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("yaml: not UTF-8: {error}"))?;
    yaml::read_with_duplicates(text).map_err(|error| format!("yaml: line {}: {}", error.line, error.cause))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), String> {
        self.value()?;
        self.skip_space();
        match self.text.get(self.at) {
            None => Ok(()),
            Some(byte) => Err(unexpected(*byte, "after top-level value")),
        }
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(|b| b" \t\r\n".contains(b)) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).copied().ok_or("unexpected end of JSON input")?;
        self.at += 1;
        Ok(byte)
    }

    fn next_token(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.next()
    }

    fn value(&mut self) -> Result<(), String> {
        match self.next_token()? {
            b'{' => self.nested(Self::record),
            b'[' => self.nested(Self::list),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.depth += 1;
        // The recursion must end before the stack does.
        if self.depth > MAX_DEPTH {
            return Err(TOO_DEEP.to_owned());
        }
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn record(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            match self.next_token()? {
                b'"' => self.string()?,
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            match self.next_token()? {
                b':' => self.value()?,
                byte => return Err(unexpected(byte, "after object key")),
            }
            match self.next_token()? {
                b',' => {}
                b'}' => return Ok(()),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.text.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            match self.next_token()? {
                b',' => {}
                b']' => return Ok(()),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(unexpected(byte, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    byte => return Err(unexpected(byte, "in string escape code")),
                },
                byte @ 0..0x20 => return Err(unexpected(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != wanted {
                let place = format!("in literal {word} (expecting {})", quoted_byte(wanted));
                return Err(unexpected(byte, &place));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let mut lead = first;
        if first == b'-' {
            lead = self.next()?;
            if !lead.is_ascii_digit() {
                return Err(unexpected(lead, "in numeric literal"));
            }
        }
        if lead != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if self.text.get(self.at).is_some_and(|b| b"eE".contains(b)) {
            self.at += 1;
            if self.text.get(self.at).is_some_and(|b| b"+-".contains(b)) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, place: &str) -> Result<(), String> {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return Err(unexpected(byte, place));
        }
        self.digits();
        Ok(())
    }
}

fn unexpected(byte: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted_byte(byte))
}

/// A byte as Go quotes it.
fn quoted_byte(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x20..=0x7e | 0xa1.. => format!("'{}'", char::from(byte)),
        0x80..=0xa0 => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_is_explained_in_gos_words() {
        let cases = [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("tru", "unexpected end of JSON input"),
            ("tRue", "invalid character 'R' in literal true (expecting 'r')"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
        ];
        for (text, wanted) in cases {
            assert_eq!(explain_json(text.as_bytes()).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(explain_json(br#" {"a":[1,-2.5e3,true,null,"x\u00e9"]} "#), None);
    }

    #[test]
    fn deep_nesting_ends_without_harm() {
        let deep = "[".repeat(100_000);
        assert_eq!(explain_json(deep.as_bytes()).as_deref(), Some("exceeded max depth"));
        let wrong_at = |levels: usize| explain_json(format!("{}x", "[".repeat(levels)).as_bytes());
        let wrong = "invalid character 'x' looking for beginning of value";
        assert_eq!(wrong_at(MAX_DEPTH).as_deref(), Some(wrong));
        assert_eq!(wrong_at(MAX_DEPTH + 1).as_deref(), Some("exceeded max depth"));
    }

    #[test]
    fn yaml_is_read_as_deep_as_json() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (levels, is_read) in
            [(MAX_DEPTH, true), (MAX_DEPTH + 1, false), (MAX_DEPTH + 2, false), (9_999, false)]
        {
            let text = nested(levels);
            assert_eq!(serde_json::from_str::<Node>(&text).is_ok(), is_read, "JSON, {levels}");
            let yaml = read_yaml(text.as_bytes());
            assert_eq!(yaml.is_ok(), is_read, "YAML, {levels}");
            if let Err(why) = yaml {
                assert_eq!(why, "yaml: line 1: exceeded max depth");
                assert_eq!(explain_json(text.as_bytes()).as_deref(), Some(TOO_DEEP));
            }
        }
    }

    #[test]
    fn broken_yaml_names_its_line() {
        let why = read_yaml(b"a: [1\n").unwrap_err();
        assert!(why.starts_with("yaml: line "), "{why}");
    }
}
