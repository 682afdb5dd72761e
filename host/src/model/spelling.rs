//! Suggestions for mistyped names.

/// Minimum similarity of two names, from 0 to 1.
const LEAST: f64 = 0.8;

/// The known name that is most similar to a mistyped one, if it is similar enough.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |known: &'a str| (strsim::jaro_winkler(&name, &known.to_lowercase()), known);
    let near = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= LEAST);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_distant_one_is_not() {
        let known = ["umbel.dev/health-checker", "umbel.dev/resolver", "umbel.dev/failure-policy"];
        for (typed, wanted) in [
            ("umbel.dev/healthchecker", Some(known[0])),
            ("umbel.dev/Health-Checker", Some(known[0])),
            ("umbel.dev/resolvr", Some(known[1])),
            ("note", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(typed, known), wanted, "{typed}");
        }
    }
}
