//! What stands in for a plugin that gives no usable answer, as people write it.

use super::failure::{FieldError, quoted};
use super::object::Object;

/// Annotation on an APIService or an ExternalName: what stands in when the plugin that decides for it fails. It goes
/// before `spec.failurePolicy` of the plugin's manifest.
pub const ANNOTATION: &str = "umbel.dev/plugin-failure-policy";

/// What stands in for a plugin. A closed set; without one, each kind of decision has its own usual order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailurePolicy {
    /// What it answered last, for a limited time.
    UseLastGood,
    /// The built-in.
    Builtin,
    /// As though there were no plugin.
    Bypass,
    /// Nothing: no endpoints, not available, not listed.
    Fail,
}

impl FailurePolicy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::UseLastGood, Self::Builtin, Self::Bypass, Self::Fail];

    /// The word in annotations, manifests and status.
    pub fn word(self) -> &'static str {
        match self {
            Self::UseLastGood => "UseLastGood",
            Self::Builtin => "Builtin",
            Self::Bypass => "Bypass",
            Self::Fail => "Fail",
        }
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// What may stand there instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.word() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::word).join(", ");
            format!("{text:?} is no failure policy: write one of {known}")
        })
    }
}

/// What is wrong with the annotation of an object; such a text means nothing, so the default holds.
pub fn complaint(object: &Object) -> Option<String> {
    let cause = FailurePolicy::parse(object.annotation(ANNOTATION)?).err()?;
    Some(format!("annotation {ANNOTATION} does nothing: {cause}; until then the default holds"))
}

/// Refuses such a text where it is written; one that is stored already bars no other change of its object.
pub fn refusal(object: &Object, old: Option<&Object>) -> Option<FieldError> {
    let text = object.annotation(ANNOTATION)?;
    let is_stored = old.is_some_and(|old| old.annotation(ANNOTATION) == Some(text));
    if is_stored || FailurePolicy::parse(text).is_ok() {
        return None;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    Some(FieldError::not_supported(field, quoted(text), &FailurePolicy::ALL.map(FailurePolicy::word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_as_they_are_written_and_others_are_explained() {
        for policy in FailurePolicy::ALL {
            assert_eq!(FailurePolicy::parse(policy.word()), Ok(policy));
        }
        let mut object = Object::default();
        assert_eq!(complaint(&object), None);
        object.set(&["metadata", "annotations", ANNOTATION], "Fail");
        assert_eq!(complaint(&object), None);
        assert_eq!(refusal(&object, None), None);
        object.set(&["metadata", "annotations", ANNOTATION], "fail");
        let refused = refusal(&object, None).unwrap();
        assert_eq!(refused.field, "metadata.annotations[umbel.dev/plugin-failure-policy]");
        assert!(
            refused.detail.ends_with("\"UseLastGood\", \"Builtin\", \"Bypass\", \"Fail\""),
            "{refused:?}"
        );
        assert_eq!(refusal(&object, Some(&object)), None, "it was stored before");
        let told = complaint(&object).unwrap();
        assert!(told.contains("\"fail\" is no failure policy: write one of UseLastGood, Builtin"), "{told}");
    }
}
