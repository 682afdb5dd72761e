//! The memory of the program under inputs that a client or a backend chooses.
//!
//! ```text
//! cargo bench -p umbel-tests --bench memory                  # everything, about ten minutes
//! cargo bench -p umbel-tests --bench memory -- connections   # one part
//! UMBEL_PROGRAM=… cargo bench --profile dev -p umbel-tests --bench memory   # of a release that is there
//! ```
//!
//! It prints what it measured and compares nothing: each row to standard error when it is there, the tables to standard
//! output. It fails when a request fails in an unexpected way.

mod bodies;
mod connections;
mod descriptors;
mod hints;
mod measure;
mod openapi;
mod uploads;

use anyhow::{Result, bail};
use measure::{Row, print_table};

const PARTS: [&str; 5] = ["connections", "uploads", "bodies", "openapi", "hints"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            part if PARTS.contains(&part) => wanted.push(part.to_owned()),
            other => bail!("{other:?} is not a part of this bench: they are {}", PARTS.join(", ")),
        }
    }
    descriptors::raise_limit()?;
    let mut rows: Vec<Row> = Vec::new();
    for part in PARTS.into_iter().filter(|part| wanted.is_empty() || wanted.iter().any(|one| one == part)) {
        println!("## {part}\n");
        let measured = match part {
            "connections" => connections::measure().await?,
            "uploads" => uploads::measure().await?,
            "bodies" => bodies::measure().await?,
            "openapi" => openapi::measure().await?,
            _ => hints::measure().await?,
        };
        print_table(&measured);
        rows.extend(measured);
    }
    if wanted.len() != 1 {
        println!("## All\n");
        print_table(&rows);
    }
    Ok(())
}
