//! What the same plugins cost in each language, from the components that the tree keeps.

use super::Row;
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use umbel_tests::Author;

const LANGUAGES: [(&str, &str); 4] =
    [("rust", "Rust"), ("go", "Go"), ("js", "JavaScript"), ("python", "Python")];
const PLUGINS: [&str; 3] = ["resolver-srv", "health-threshold", "discovery-filter"];
const CALLS: &str = "1000";

/// A component's costs: bytes, milliseconds to compile, and the median over its cases of the rest.
struct Costs {
    bytes: u64,
    compile_ms: u64,
    instantiate_us: u64,
    call_us: u64,
    warm_us: Option<u64>,
    memory: u64,
}

/// Prints the table, and writes it beside the guide when asked.
pub(super) fn measure(write: bool) -> Result<Vec<Row>> {
    let mut table = String::from(
        "| Plugin | Language | Size | Compile | Instantiate p50 | Whole call p50 | Warm call p50 | Memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut rows = Vec::new();
    for plugin in PLUGINS {
        for (word, name) in LANGUAGES {
            let Some(costs) = costs(plugin, word).with_context(|| format!("{plugin} in {name}"))? else {
                continue;
            };
            let warm = costs.warm_us.map_or_else(|| "-".to_owned(), |us| format!("{us} µs"));
            writeln!(
                table,
                "| {plugin} | {name} | {:.2} MB | {} ms | {} µs | {} µs | {warm} | {:.1} MiB |",
                costs.bytes as f64 / 1e6,
                costs.compile_ms,
                costs.instantiate_us,
                costs.call_us,
                costs.memory as f64 / f64::from(1 << 20),
            )?;
            if plugin == "resolver-srv" && matches!(word, "rust" | "go") {
                let goal = if word == "rust" { "≤ 60 µs" } else { "≤ 700 µs" };
                rows.push(row(format!("{name}: fresh store and resolver call, p50"), costs.call_us, goal));
            }
            if plugin == "resolver-srv" && word == "rust" {
                let warm = costs.warm_us.context("no warm call was measured")?;
                rows.push(row("Rust: the same in a warm instance, p50".to_owned(), warm, "≤ 5 µs"));
            }
        }
    }
    println!("{table}");
    if write {
        fs::write(tree("../plugins/LANGUAGES.md"), page(&table))?;
    }
    Ok(rows)
}

fn row(what: String, us: u64, goal: &'static str) -> Row {
    Row { what, measured: format!("{us} µs"), goal }
}

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(table: &str) -> String {
    format!(
        "# What a plugin costs in each language\n\n\
         The same plugins under the same cases, as `umbel plugin bench` measures them with a release build; the median over\n\
         the cases that ask for a decision. A whole call is a new instance, the call and its end; a warm one is asked of an\n\
         instance that stays (`spec.reuse`). Made by\n\
         `cargo bench -p umbel-tests --bench plugin_platform -- languages --write` from the components in\n\
         `tests/golden/components`; times depend on the machine, so compare lines and not pages.\n\n{table}"
    )
}

fn costs(plugin: &str, language: &str) -> Result<Option<Costs>> {
    let golden = tree("golden/components/0.1.0");
    let packed = golden.join(language).join(format!("{plugin}.wasm.gz"));
    if !packed.exists() {
        return Ok(None);
    }
    let mut author = Author::new()?;
    let name = format!("{plugin}.wasm");
    let bytes = io::copy(&mut GzDecoder::new(File::open(packed)?), &mut File::create(author.path(&name))?)?;
    let cases = golden.join("cases").join(plugin);
    let cases = cases.to_string_lossy();
    let said =
        author.ok(&["plugin", "bench", &name, "--cases", &cases, "--calls", CALLS, "--output", "json"])?;
    let report: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let measured = report["cases"].as_array().context("no cases")?;
    ensure!(!measured.is_empty(), "{said}");
    let median = |key: &str| {
        let mut all: Vec<u64> = measured.iter().filter_map(|case| case[key].as_u64()).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    };
    Ok(Some(Costs {
        bytes,
        compile_ms: report["compileMs"].as_u64().context("no compileMs")?,
        instantiate_us: median("instantiateP50Us").context("no instantiateP50Us")?,
        call_us: median("callP50Us").context("no callP50Us")?,
        warm_us: median("warmP50Us"),
        memory: median("memoryPeak").context("no memoryPeak")?,
    }))
}
