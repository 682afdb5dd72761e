//! Why a document of a backend is not served.

/// An error in an OpenAPI document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenApiFault {
    /// It is not JSON, or not of the right shape.
    #[error("the answer is not an OpenAPI document: {0}")]
    Unreadable(String),
    /// It has another version of OpenAPI.
    #[error("the document says that it is OpenAPI {found:?}, not {wanted}")]
    WrongVersion {
        /// The version in the document.
        found: String,
        /// The expected version.
        wanted: &'static str,
    },
    /// It is too large.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// The document as it was received, or the result of a conversion.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
