//! What the plugin platform costs, side by side with a gateway without plugins.
//!
//! ```text
//! cargo bench -p umbel-tests --bench plugin_platform              # everything, about a quarter of an hour
//! cargo bench -p umbel-tests --bench plugin_platform -- hundred   # one part
//! cargo bench -p umbel-tests --bench plugin_platform -- languages --write   # also into plugins/LANGUAGES.md
//! UMBEL_PROGRAM=… cargo bench --profile dev -p umbel-tests --bench plugin_platform   # of a release that is there
//! ```
//!
//! `calls` and `swaps` run the plugin host inside the bench, so only they depend on how the bench itself is built.

mod cached;
mod calls;
mod gateway;
mod hanging;
mod host;
mod idle;
mod languages;
mod size;
mod swaps;

use anyhow::{Result, bail};

/// One line of the closing table.
struct Row {
    what: String,
    measured: String,
    goal: &'static str,
}

const PARTS: [&str; 7] = ["languages", "calls", "size", "cached", "idle", "hanging", "swaps"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let (mut wanted, mut write) = (Vec::new(), false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--write" => write = true,
            part if PARTS.contains(&part) => wanted.push(part.to_owned()),
            other => bail!("{other:?} is no part of this bench: they are {}", PARTS.join(", ")),
        }
    }
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| wanted.is_empty() || wanted.iter().any(|one| one == part)) {
        println!("## {part}\n");
        let measured = match part {
            "languages" => languages::measure(write)?,
            "calls" => calls::measure().await?,
            "size" => size::measure()?,
            "cached" => cached::measure().await?,
            "idle" => idle::measure().await?,
            "hanging" => hanging::measure().await?,
            _ => swaps::measure().await?,
        };
        print_table(&measured);
        rows.extend(measured);
    }
    println!("## All\n");
    print_table(&rows);
    Ok(())
}

fn print_table(rows: &[Row]) {
    println!("| | measured | goal |\n|---|---|---|");
    for Row { what, measured, goal } in rows {
        println!("| {what} | {measured} | {goal} |");
    }
    println!();
}
