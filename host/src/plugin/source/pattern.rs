//! Names with `*` in them.

use serde::Deserialize;

/// A pattern in which `*` stands for any text, the empty one included. Compared without regard to case and
/// without the final dot of a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(in crate::plugin) struct Pattern(String);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(normal(&text))
    }
}

impl Pattern {
    /// The pattern itself, in its normal form.
    pub(in crate::plugin) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole text fits.
    pub(in crate::plugin) fn matches(&self, text: &str) -> bool {
        fits(self.0.as_bytes(), normal(text).as_bytes())
    }

    /// How much of the pattern is literal: of two that match, the larger one says more.
    pub(in crate::plugin) fn precision(&self) -> usize {
        self.0.bytes().filter(|b| *b != b'*').count() * 2 + usize::from(!self.0.contains('*'))
    }
}

fn normal(text: &str) -> String {
    text.trim_end_matches('.').to_ascii_lowercase()
}

/// Greedy match with one point to return to, linear in practice and quadratic at worst.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            t = from + 1;
            retry = Some((after_star, from + 1));
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*.consul", "a.b.Consul.", true),
            ("*.consul", "consul", false),
            ("*.consul.", "x.consul", true),
            ("prod/*", "prod/shop", true),
            ("prod/*", "product/shop", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(Pattern::from(pattern.to_owned()).matches(text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn the_exact_pattern_says_most() {
        let precision = |text: &str| Pattern::from(text.to_owned()).precision();
        assert!(precision("prod/shop") > precision("prod/shop*"));
        assert!(precision("prod/*") > precision("*"));
    }
}
