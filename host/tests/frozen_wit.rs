//! Published interfaces never change: plugins that were built against them must go on loading.

#![cfg(test)]

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wit_parser::{Resolve, WorldId};

/// Every published version with the SHA-256 of its text. Lines are added here and never changed.
const PUBLISHED: [(&str, &str, &str); 6] = [
    ("host", "0.1.0", "e0b60abf0718f1e42f446eb7751a2d4b5f7543495d36df87618d49372bb93eeb"),
    ("host", "0.1.1", "85915a328f998c61f28d2153bd47dfef7ba588bc2ce869387b5772ea9a97f23f"),
    ("lifecycle", "0.1.0", "1dc1f6730ca7366e4e38cba8119b1831276c4083e0ebaa9f93393f5acdbf68c0"),
    ("resolver", "0.1.0", "de83ce26346a870d7ecb1ce3bbfc1e1975c9aeb0f6064c2f58d45c6b2fb70e8c"),
    ("health", "0.1.0", "e2b14e7bd5be0b39a8538f74df61b5a8db12e62618eb5ea1ede9d35a558e6eb3"),
    ("discovery", "0.1.0", "090a8372b21f35b8025c22a90b94155441f1db2045089a3bd726029783ab1251"),
];

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

fn frozen(package: &str, version: &str) -> String {
    let path = wit().join(format!("frozen/umbel-{package}-{version}/{package}.wit"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn frozen_wit_unchanged() {
    for (package, version, wanted) in PUBLISHED {
        let digest = Sha256::digest(frozen(package, version).as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, wanted, "umbel:{package}@{version} is published; add a new version beside it");
    }
}

#[test]
fn everything_frozen_is_listed() {
    let mut found: Vec<String> = fs::read_dir(wit().join("frozen"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut listed: Vec<String> =
        PUBLISHED.iter().map(|(package, version, _)| format!("umbel-{package}-{version}")).collect();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn what_is_built_against_is_what_is_published() {
    for (package, version, _) in PUBLISHED {
        let path = wit().join(format!("deps/{package}/{package}.wit"));
        let text = fs::read_to_string(&path).unwrap();
        let stated = format!("package umbel:{package}@{version};");
        if text.contains(&stated) {
            assert_eq!(text, frozen(package, version), "{} changed; raise its version", path.display());
        }
    }
}

/// Every package with its published versions, the oldest first.
fn histories() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut histories: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (package, version, _) in PUBLISHED {
        histories.entry(package).or_default().push(version);
    }
    histories
}

/// A world that imports or exports all interfaces of a package.
fn whole(resolve: &mut Resolve, package: &str, version: &str, text: &str) -> WorldId {
    let parsed = resolve.push_str(format!("{package}-{version}.wit"), text).unwrap();
    // Plugins import what the host offers and export the rest.
    let word = if package == "host" { "import" } else { "export" };
    let interfaces: String = resolve.packages[parsed]
        .interfaces
        .keys()
        .map(|interface| format!("  {word} umbel:{package}/{interface}@{version};\n"))
        .collect();
    let world = format!("package umbel:whole@{version};\nworld whole {{\n{interfaces}}}");
    let whole = resolve.push_str("whole.wit", &world).unwrap();
    resolve.select_world(&[whole], Some("whole")).unwrap()
}

/// Whether a component that was built against the first text goes on fitting a host that offers the second.
fn is_compatible(package: &str, (old, before): (&str, &str), (new, after): (&str, &str)) -> bool {
    let mut resolve = Resolve::default();
    let old = whole(&mut resolve, package, old, before);
    let new = whole(&mut resolve, package, new, after);
    wit_component::semver_check(resolve, old, new).is_ok()
}

#[test]
fn semver_check() {
    for (package, versions) in histories() {
        for pair in versions.windows(2) {
            let [old, new] = pair else { unreachable!() };
            let (before, after) = (frozen(package, old), frozen(package, new));
            assert!(
                is_compatible(package, (old, &before), (new, &after)),
                "umbel:{package}@{new} breaks {old}"
            );
        }
    }
    // The check itself sees what it is there for.
    let text = frozen("host", "0.1.1");
    for (from, to) in [
        ("wall-ms: func() -> u64;", "wall-ms: func() -> u32;"),
        ("remaining-ms: func() -> u32;", ""),
        ("    ttl-ms: u32,\n  }\n\n  /// One SRV", "    ttl-ms: u32,\n    more: u32,\n  }\n\n  /// One SRV"),
        ("    timed-out,\n", "    timed-out,\n    late,\n"),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let changed = text.replace(from, to).replace("@0.1.1;", "@0.1.2;");
        assert!(!is_compatible("host", ("0.1.1", &text), ("0.1.2", &changed)), "{from}");
    }
}
