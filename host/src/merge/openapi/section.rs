//! The sections of a document that are targets of references, and the references.

use super::json::Json;
use std::borrow::Cow;

/// The sections of an OpenAPI v2 document that hold shared parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Section {
    Definitions,
    Parameters,
    Responses,
}

pub(super) const SECTIONS: [Section; 3] = [Section::Definitions, Section::Parameters, Section::Responses];

impl Section {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Parameters => "parameters",
            Self::Responses => "responses",
        }
    }

    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Definitions => "#/definitions/",
            Self::Parameters => "#/parameters/",
            Self::Responses => "#/responses/",
        }
    }
}

/// A reference into a section, split into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The name as it is written in the section.
    pub(super) name: Cow<'a, str>,
    /// The path inside the target, with its leading slash; usually empty.
    pub(super) inside: &'a str,
}

impl<'a> Target<'a> {
    /// Splits the text after the prefix of a section. Generators do not agree on the spelling: the name is looked up
    /// as it is written, then as the JSON pointer (`~1`) in a URI fragment (`%2F`) that it should be. `None` if none
    /// of these names exists.
    pub(super) fn find(rest: &'a str, is_there: impl Fn(&str) -> bool) -> Option<Self> {
        let (first, inside) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        [(rest, ""), (first, inside)].into_iter().find_map(|(name, inside)| {
            let spellings =
                [Cow::Borrowed(name), unescape(name), unescape(&decode(name)).into_owned().into()];
            let name = spellings.into_iter().find(|name| is_there(name))?;
            Some(Self { name, inside })
        })
    }
}

/// Decodes `~1` and `~0` of a JSON pointer.
fn unescape(name: &str) -> Cow<'_, str> {
    if name.contains('~') { name.replace("~1", "/").replace("~0", "~").into() } else { name.into() }
}

/// Decodes `%2F` and the like; invalid escapes stay as they are.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Calls `visit` with every reference in a value.
pub(super) fn each_reference<'a>(value: Json<'a>, visit: &mut dyn FnMut(Cow<'a, str>)) {
    if !value.may_refer() {
        return;
    }
    for item in value.items() {
        each_reference(item, visit);
    }
    for (key, member) in value.members() {
        match member.string().filter(|_| key == "$ref") {
            Some(target) => visit(target),
            None => each_reference(member, visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_spelling() {
        let names = ["github.com/x/y.Option", "a~b", "a%2Fb", "plain", "c d"];
        let find = |rest| Target::find(rest, |name| names.contains(&name));
        for (rest, name, inside) in [
            ("github.com~1x~1y.Option", "github.com/x/y.Option", ""),
            ("github.com%2Fx%2Fy.Option", "github.com/x/y.Option", ""),
            ("github.com%2fx~1y.Option", "github.com/x/y.Option", ""),
            ("github.com%7E1x%7E1y.Option", "github.com/x/y.Option", ""),
            ("github.com/x/y.Option", "github.com/x/y.Option", ""),
            ("github.com~1x~1y.Option/properties/z", "github.com/x/y.Option", "/properties/z"),
            ("a~0b", "a~b", ""),
            ("a~b", "a~b", ""),
            ("a%2Fb", "a%2Fb", ""),
            ("a%252Fb", "a%2Fb", ""),
            ("plain/properties/a~1b", "plain", "/properties/a~1b"),
            ("c%20d", "c d", ""),
        ] {
            let wanted = Target { name: name.into(), inside };
            assert_eq!(find(rest), Some(wanted), "{rest}");
        }
        for rest in ["", "nope", "nope/plain", "%", "%zz", "%e9", "a~01b"] {
            assert_eq!(find(rest), None, "{rest}");
        }
    }

    #[test]
    fn references_are_found_at_any_depth_and_other_things_are_not() {
        let text =
            r##"{"$ref":{"$ref":"a"},"list":[[{"\u0024ref":"b"}]],"description":"$ref","x":{"$ref":7}}"##;
        let mut found = Vec::new();
        each_reference(Json::part(text), &mut |target| found.push(target.into_owned()));
        assert_eq!(found, ["a", "b"]);
    }
}
