//! The `Available` condition as the control plane writes it (contract §5).

use crate::kind::api_service::AVAILABLE;
use crate::model::object::Object;
use crate::object::condition;
use jiff::Timestamp;

/// `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

/// The `Available` condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: Truth,
    /// CamelCase reason.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Truth {
    /// As it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Condition {
    /// A condition that holds.
    pub fn holds(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::True, reason: reason.into(), message: message.into() }
    }

    /// A condition that does not hold.
    pub fn fails(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::False, reason: reason.into(), message: message.into() }
    }

    /// A condition of which nobody knows.
    pub fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::Unknown, reason: reason.into(), message: message.into() }
    }

    /// Reads it from a stored APIService.
    pub fn read(object: &Object) -> Option<Self> {
        let found = condition::find(object, AVAILABLE)?;
        let status = match found.status {
            "True" => Truth::True,
            "False" => Truth::False,
            _ => Truth::Unknown,
        };
        Some(Self { status, reason: found.reason.to_owned(), message: found.message.to_owned() })
    }

    /// Writes it into an APIService; `now` becomes `lastTransitionTime` only when the status changes.
    pub fn write(&self, object: &mut Object, now: Timestamp) {
        let condition = condition::Condition {
            kind: AVAILABLE,
            status: self.status.as_str(),
            reason: &self.reason,
            message: &self.message,
        };
        condition::set(object, condition, now);
    }
}
