//! `umbel serve`: builds all parts and runs them.

use super::CommandError;
use crate::config::ServeConfig;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When a part cannot be built or the address cannot be had.
pub fn run(config: ServeConfig) -> Result<(), CommandError> {
    Err(CommandError::Failed(format!(
        "serving is not built into this program yet; nothing listens on {}",
        config.listen
    )))
}
