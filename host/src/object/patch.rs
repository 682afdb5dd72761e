//! Patches: JSON patch, merge patch, strategic merge patch.

use super::decode::{Decoded, complete};
use crate::kind::Kind;
use crate::model::failure::Failure;
use crate::model::object::Object;

/// The patch formats. Server-side apply is not one of them: it merges field sets, not documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchFormat {
    /// `application/json-patch+json` (RFC 6902).
    Json,
    /// `application/merge-patch+json` (RFC 7386).
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
}

impl PatchFormat {
    /// The format of a `Content-Type`, parameters ignored; `None` is a 415.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            _ => None,
        }
    }
}

/// Applies a patch to the stored object. The result fits the schema and has its defaults; it is not validated.
/// Call again with the newer object when the write loses a race.
///
/// # Errors
/// 400: the patch cannot be read. 413: too many operations. 422: an operation does not apply (contract §1.7).
pub fn apply_patch(
    kind: &'static Kind,
    format: PatchFormat,
    patch: &[u8],
    stored: &Object,
) -> Result<Decoded, Failure> {
    let mut whole = stored.clone().into_value();
    match format {
        PatchFormat::Merge | PatchFormat::Strategic => {
            let patch = serde_json::from_slice(patch)
                .map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))?;
            json_patch::merge(&mut whole, &patch);
        }
        PatchFormat::Json => {
            let patch: json_patch::Patch = serde_json::from_slice(patch)
                .map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))?;
            json_patch::patch(&mut whole, &patch).map_err(|_| {
                let text = "the server rejected our request due to an error in our request";
                Failure { details: Some(Box::default()), ..Failure::new(422, "Invalid", text) }
            })?;
        }
    }
    let text = whole.to_string();
    Ok(Decoded::from_patch(complete(kind, whole), Vec::new(), text))
}
