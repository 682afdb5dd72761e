//! The grammars of names, labels and label values. Each function returns the broken rules in upstream's words,
//! nothing when the text is fine.

const SUBDOMAIN_LENGTH: usize = 253;
/// Most bytes of a DNS label, and of a label's value.
pub const LABEL_LENGTH: usize = 63;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const QUALIFIED: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// A DNS subdomain, for example an API group.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut rules = too_long(text, SUBDOMAIN_LENGTH);
    if !text.split('.').all(is_1123_label) {
        rules.push(SUBDOMAIN.to_owned());
    }
    rules
}

/// What a DNS subdomain may begin with: a dash at its end is no fault, because more follows.
pub fn dns1123_subdomain_prefix(text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(front) if !front.is_empty() => dns1123_subdomain(&format!("{front}a")),
        _ => dns1123_subdomain(text),
    }
}

/// A DNS label, for example a namespace.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut rules = too_long(text, LABEL_LENGTH);
    if !is_1123_label(text) {
        rules.push(if dns1123_subdomain(text).is_empty() {
            "must not contain dots".to_owned()
        } else {
            LABEL_1123.to_owned()
        });
    }
    rules
}

/// A DNS label that starts with a letter, for example an API version.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut rules = too_long(text, LABEL_LENGTH);
    if !(is_1123_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        rules.push(LABEL_1035.to_owned());
    }
    rules
}

/// A key of labels or annotations, or a finalizer: a name with an optional `prefix/`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (prefix, name) = match parts.as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => return vec![QUALIFIED.to_owned()],
    };
    let mut rules = Vec::new();
    match prefix {
        Some("") => rules.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            rules.extend(dns1123_subdomain(prefix).into_iter().map(|r| format!("prefix part {r}")))
        }
        None => {}
    }
    if name.is_empty() {
        rules.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        rules.push(format!("name part must be no more than {LABEL_LENGTH} bytes"));
    }
    if !is_qualified_part(name) {
        rules.push(NAME_PART.to_owned());
    }
    rules
}

/// The value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut rules = too_long(text, LABEL_LENGTH);
    if !text.is_empty() && !is_qualified_part(text) {
        rules.push(LABEL_VALUE.to_owned());
    }
    rules
}

/// A name that can stand in a path.
pub fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." => vec!["may not be '.'".to_owned()],
        ".." => vec!["may not be '..'".to_owned()],
        _ => ['/', '%']
            .iter()
            .filter(|c| text.contains(**c))
            .map(|c| format!("may not contain '{c}'"))
            .collect(),
    }
}

fn too_long(text: &str, most: usize) -> Vec<String> {
    if text.len() > most { vec![format!("must be no more than {most} bytes")] } else { Vec::new() }
}

fn is_1123_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    encloses(text, plain, |b| plain(b) || b == b'-')
}

fn is_qualified_part(text: &str) -> bool {
    encloses(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Not empty, the ends of the one sort of bytes and all of the other.
fn encloses(text: &str, ends: impl Fn(u8) -> bool, all: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    ends(*first) && ends(*last) && bytes.iter().all(|b| all(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_break_no_rule() {
        for name in ["a", "example.com", "1.2-3.x"] {
            assert!(dns1123_subdomain(name).is_empty(), "{name}");
        }
        for key in ["a", "A_b.c-1", "example.com/Key"] {
            assert!(qualified_name(key).is_empty(), "{key}");
        }
        assert!(label_value("").is_empty());
        assert!(dns1035_label("v1").is_empty());
        assert!(path_segment("v1.example.com").is_empty());
    }

    #[test]
    fn bad_names_name_their_rules() {
        assert_eq!(dns1123_subdomain("D_"), [SUBDOMAIN]);
        assert_eq!(dns1123_subdomain("a..b"), [SUBDOMAIN]);
        assert_eq!(dns1123_subdomain("-a"), [SUBDOMAIN]);
        assert_eq!(dns1123_subdomain("a-"), [SUBDOMAIN]);
        assert_eq!(qualified_name("_a"), [NAME_PART]);
        assert_eq!(dns1123_subdomain_prefix("a-"), [""; 0]);
        assert_eq!(dns1123_subdomain_prefix("-"), [SUBDOMAIN]);
        assert_eq!(dns1123_subdomain_prefix("a_-"), [SUBDOMAIN]);
        assert_eq!(dns1035_label("1v"), [LABEL_1035]);
        assert_eq!(qualified_name("a/b/c"), [QUALIFIED]);
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name(""), ["name part must be non-empty", NAME_PART]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
    }
}
