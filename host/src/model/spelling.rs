//! Suggestions for mistyped names.

use strsim::damerau_levenshtein;

/// Minimum length of a name that is suggested as a part of a longer one, in bytes.
const PART_MIN: usize = 4;
/// Longest name that is compared, in bytes: the time grows with the product of both lengths.
const NAME_MAX: usize = 256;

/// The known name that is closest to a mistyped one, if it is close enough. Case is ignored. A longer name that
/// contains the typed one is suggested if no name is a misspelling.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = name.to_lowercase();
    let near = known.into_iter().filter(|known| *known != name && known.len().max(name.len()) <= NAME_MAX);
    let ranked = near.filter_map(|known| Some((rank(&typed, &known.to_lowercase())?, known)));
    ranked.min().map(|(_, known)| known)
}

/// How far a known name is from the typed one; lower is closer, `None` is another name.
fn rank(typed: &str, known: &str) -> Option<usize> {
    let length = typed.chars().count();
    let distance = damerau_levenshtein(typed, known);
    // Names that differ in more than a third of the characters are different names.
    if distance <= (length / 3).max(1) && distance < length {
        return Some(distance);
    }
    (typed.len() >= PART_MIN && known.contains(typed)).then_some(NAME_MAX + distance)
}

/// The known name that was perhaps meant in an error of serde, such as "unknown field `aks`, expected `ask` or `name`".
pub fn meant_in_error(error: &str) -> Option<&str> {
    let quoted =
        ["unknown field `", "unknown variant `"].iter().find_map(|begin| error.strip_prefix(begin))?;
    let (typed, rest) = quoted.split_once("`, expected ")?;
    let known = rest.strip_prefix("one of ").unwrap_or(rest).split(", ").flat_map(|part| part.split(" or "));
    did_you_mean(typed, known.map(|name| name.trim_matches('`')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_distant_one_is_not() {
        let known = ["health-checker", "resolver", "failure-policy", "ship", "zone"];
        for (typed, wanted) in [
            ("healthchecker", Some("health-checker")),
            ("Health-Checker", Some("health-checker")),
            ("resolvr", Some("resolver")),
            ("resovler", Some("resolver")),
            ("shp", Some("ship")),
            ("policy", Some("failure-policy")),
            ("note", None),
            ("zone", None),
            ("hip", Some("ship")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(typed, known), wanted, "{typed}");
        }
        assert_eq!(
            did_you_mean("shop", ["shop-resolver", "stop"]),
            Some("stop"),
            "a misspelling comes first"
        );
        assert_eq!(did_you_mean("x", []), None);
        let long = "a".repeat(NAME_MAX + 1);
        assert_eq!(did_you_mean(&long, [&long[1..]]), None);
    }

    #[test]
    fn an_error_of_serde_names_what_was_meant() {
        for (error, wanted) in [
            ("unknown field `aks`, expected one of `name`, `spec`, `ask`", Some("ask")),
            ("unknown field `aks`, expected `ask` or `name`", Some("ask")),
            ("unknown field `aks`, expected `ask`", Some("ask")),
            ("unknown field `aks`, expected one of name, ask", Some("ask")),
            ("unknown variant `chek`, expected one of `resolve`, `check`", Some("check")),
            ("unknown field `other`, expected `ask` or `name`", None),
            ("unknown field `aks`, there are no fields", None),
            ("missing field `ask`", None),
        ] {
            assert_eq!(meant_in_error(error), wanted, "{error}");
        }
    }
}
