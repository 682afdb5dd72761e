//! A resolver that is plain Rust for `wasm32-wasip2`: it prints, reads clocks, and looks round for whatever it can find.

wit_bindgen::generate!({ path: "../../../wit", world: "umbel:plugin/resolver", generate_all });

use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver::{Context, Fault, Guest, Resolution, Target};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

struct Plugin;

export!(Plugin);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "standard".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "uses the standard library".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn resolve(context: Context, _target: Target) -> Result<Resolution, Fault> {
        if context.settings.contains("exit") {
            eprintln!("about to leave");
            std::process::exit(3);
        }
        if context.settings.contains("panic") {
            panic!("as told");
        }
        if context.settings.contains("draw") {
            return Err(Fault::Other(format!("drawn {}", RandomState::new().hash_one(7))));
        }
        let began = Instant::now();
        println!("one line");
        eprintln!("a warning");
        // Rust keeps what is printed without an end, but not errors.
        eprint!("no end");
        let mut input = Vec::new();
        // A closed input is read to its end at once.
        let read = std::io::stdin().read_to_end(&mut input).unwrap_or(usize::MAX);
        let years = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 31_557_600;
        let random = RandomState::new().hash_one(7) != RandomState::new().hash_one(8);
        Err(Fault::Other(format!(
            "args={} vars={} stdin={read} since1970={} random={random} steady={}",
            std::env::args().count(),
            std::env::vars().count(),
            years > 50,
            began.elapsed().as_secs() < 60,
        )))
    }
}
