//! Writes plugins/FIRST-TEN-MINUTES.md: what an author sees, by really running the commands.

use anyhow::Result;
use std::fmt::Write;
use std::path::Path;
use umbel_tests::{AuthorLanguage, first_ten_minutes};

const HEAD: &str = "# An author's first ten minutes\n\nWhat the commands say in an empty directory, with a gateway running \
beside it (`umbel serve`, whose data directory is\n`./umbel-data`). Written by `cargo run --package umbel-tests --example \
first_ten_minutes`; messages of the languages' own\ntools are left out. The guide is [GUIDE.md](GUIDE.md).\n";

#[tokio::main]
async fn main() -> Result<()> {
    let mut text = HEAD.to_owned();
    for language in AuthorLanguage::ALL {
        let transcript = match language.here() {
            Ok(language) => first_ten_minutes(language).await?.transcript(),
            Err(missing) => anyhow::bail!("{missing}"),
        };
        write!(
            text,
            "\n## {}\n\n```console\n{}```\n",
            language.name(),
            transcript.trim_end_matches('\n').to_owned() + "\n"
        )?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/FIRST-TEN-MINUTES.md");
    std::fs::write(&path, text)?;
    println!("{}", path.display());
    Ok(())
}
