//! The program's size.

use super::Row;
use anyhow::Result;
use umbel_tests::umbel_program;

/// Measures the program that the other parts start; `cargo bench` builds it as a release is built.
pub(super) fn measure() -> Result<Vec<Row>> {
    let bytes = umbel_program()?.metadata()?.len();
    let measured = format!("{:.1} MB", bytes as f64 / 1e6);
    Ok(vec![Row { what: "stripped binary with the platform".to_owned(), measured, goal: "≤ 40 MB" }])
}
