//! Why a document of a backend is not served.

/// What is wrong with an OpenAPI document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenApiFault {
    /// It is not JSON, or not of the right shape.
    #[error("the answer is not an OpenAPI document: {0}")]
    Unreadable(String),
    /// It is of another version of OpenAPI.
    #[error("the document says that it is OpenAPI {found:?}, not {wanted}")]
    WrongVersion {
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// It is too large.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// The document as it came, or what was made of it.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
