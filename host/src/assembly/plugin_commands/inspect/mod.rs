//! `umbel plugin inspect`: what a component is, whether a gateway takes it or not.

mod anatomy;

pub(super) use anatomy::{Anatomy, dissect};

use super::check::{Judgement, judge};
use super::given::{Given, GivenFlags, pin};
use super::report::{Form, rows, size};
use crate::assembly::CommandError;
use clap::Args;
use serde_json::json;

/// What of the manifest each imported interface needs.
const GRANTS: [(&str, &str); 4] = [
    ("umbel:host/dns", "spec.grants.dns: the names it looks up"),
    ("umbel:host/http", "spec.grants.http: where it asks"),
    ("umbel:host/state", "spec.grants.state: {bytes: …}"),
    ("umbel:host/metrics", "spec.metrics: what it shows"),
];
const LIFECYCLE: &str = "umbel:lifecycle/";

/// Flags of `umbel plugin inspect`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct InspectFlags {
    #[command(flatten)]
    given: GivenFlags,
    #[command(flatten)]
    form: Form,
}

/// Prints what the file is. A file that no gateway takes is no failure here.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn run(flags: &InspectFlags) -> Result<(), CommandError> {
    let given = flags.given.read()?;
    let anatomy = dissect(&given.component);
    let judgement = judge(&given);
    let document = json!({
        "file": given.file.display().to_string(),
        "size": given.component.len(),
        "digest": pin(&given.component),
        "anatomy": anatomy,
        "kinds": kinds(&anatomy),
        "wasi": wasi(&anatomy),
        "needs": needs(&anatomy),
        "judgement": judgement,
    });
    flags.form.print(&text(&given, &anatomy, &judgement), &document)
}

fn text(given: &Given, anatomy: &Anatomy, judgement: &Judgement) -> String {
    let says = judgement.description.as_ref();
    let form = match anatomy.form {
        anatomy::Form::Component => "component",
        anatomy::Form::CoreModule => "core module, of which a component can be made",
        anatomy::Form::Unknown => "no WebAssembly",
    };
    let inside = format!(
        "{} core modules, {} core instances, {} memories with {} at the start",
        anatomy.core_modules,
        anatomy.core_instances,
        anatomy.memories,
        size(anatomy.memory_bytes),
    );
    let readable = anatomy.form != anatomy::Form::Unknown;
    let head = rows(&[
        ("is", form.to_owned()),
        ("size", size(given.component.len() as u64)),
        ("digest", pin(&given.component)),
        (
            "says",
            says.map_or_else(String::new, |one| format!("{} {}: {}", one.name, one.version, one.summary)),
        ),
        ("kinds", kinds(anatomy).join(", ")),
        ("exports", anatomy.exports.join(", ")),
        ("imports", anatomy.imports.join(", ")),
        ("wasi", if readable { wasi_words(anatomy) } else { String::new() }),
        ("needs", needs(anatomy).join("; ")),
        ("inside", if readable { inside } else { String::new() }),
        ("made by", anatomy.producers.join(", ")),
        ("damage", anatomy.damage.clone().unwrap_or_default()),
        (
            "settings",
            says.and_then(|one| one.settings_schema.clone())
                .map(|schema| compact(&schema))
                .unwrap_or_default(),
        ),
    ]);
    let verdict = match &judgement.refusal {
        None => format!("a gateway takes it, with manifest {}\n", given.manifest_words()),
        Some(_) => format!("a gateway refuses it\n{}", judgement.complaints()),
    };
    format!("{}\n{head}{verdict}", given.file.display())
}

/// JSON on one line; what is none stays as it is.
fn compact(schema: &str) -> String {
    serde_json::from_str::<serde_json::Value>(schema)
        .map_or_else(|_| schema.to_owned(), |value| value.to_string())
}

fn kinds(anatomy: &Anatomy) -> Vec<&'static str> {
    let known =
        [("umbel:resolver/", "resolver"), ("umbel:health/", "health"), ("umbel:discovery/", "discovery")];
    let has = |prefix: &str| anatomy.exports.iter().any(|export| export.starts_with(prefix));
    known.into_iter().filter(|(prefix, _)| has(prefix)).map(|(_, kind)| kind).collect()
}

fn wasi(anatomy: &Anatomy) -> Vec<&str> {
    let is_wasi = |import: &&String| import.starts_with("wasi");
    anatomy.imports.iter().filter(is_wasi).map(String::as_str).collect()
}

fn wasi_words(anatomy: &Anatomy) -> String {
    let lifecycle = anatomy.exports.iter().any(|export| export.starts_with(LIFECYCLE));
    match wasi(anatomy).len() {
        0 => "none".to_owned(),
        count if lifecycle => format!("{count} interfaces"),
        count => format!("{count} imports"),
    }
}

fn needs(anatomy: &Anatomy) -> Vec<&'static str> {
    let imported = |interface: &str| anatomy.imports.iter().any(|import| import.starts_with(interface));
    GRANTS.into_iter().filter(|(interface, _)| imported(interface)).map(|(_, need)| need).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_decides_and_needs_is_read_from_its_interfaces() {
        let anatomy = Anatomy {
            exports: vec!["umbel:lifecycle/lifecycle@0.1.0".into(), "umbel:resolver/resolver@0.1.0".into()],
            imports: vec!["umbel:host/dns@0.1.0".into(), "wasi:io/streams@0.2.0".into()],
            ..Anatomy::default()
        };
        assert_eq!(kinds(&anatomy), ["resolver"]);
        assert_eq!(wasi(&anatomy), ["wasi:io/streams@0.2.0"]);
        assert!(needs(&anatomy)[0].starts_with("spec.grants.dns"));
    }

    #[test]
    fn what_cannot_be_loaded_is_shown_too() {
        let given =
            Given { file: "a.wasm".into(), name: "a".into(), component: b"hello".to_vec(), manifest: None };
        let shown = text(&given, &dissect(&given.component), &judge(&given));
        assert!(shown.contains("no WebAssembly") && shown.contains("NotAComponent"), "{shown}");
    }
}
