//! Names with `*` in them.

/// Whether the whole text fits a pattern in which `*` stands for any text, the empty one included.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("v*alpha*", "v1alpha1", true),
            ("v*alpha*", "v1beta1", false),
            ("a*b*c", "abbc", true),
            ("ab*bc", "abc", false),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
