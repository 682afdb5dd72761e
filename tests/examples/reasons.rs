//! Writes plugins/guide/errors.md from the reason codes.

use umbel_tests::{reasons_page, reasons_path};

fn main() -> std::io::Result<()> {
    std::fs::write(reasons_path(), reasons_page())
}
