//! The settings of `umbel serve`: flags and file merged, checked, every problem reported at once.
//!
//! This folder reads no disk itself: [`Files`] is handed in, so that every problem can be shown in a test.

mod checks;
mod file;
mod flags;
mod merge;
mod problem;
mod settings;
mod tokens;

pub use flags::ServeFlags;
pub use merge::{Files, load};
pub use problem::{Origin, Problem, Problems};
pub use settings::{LogFormat, ServeConfig};
pub use tokens::{StaticToken, TokenProblem, parse_tokens};
