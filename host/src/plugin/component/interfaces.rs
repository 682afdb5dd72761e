//! What a component exports and imports, judged before it is linked.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::offer::log_gate::tame_to;
use crate::plugin::source::manifest::Wasi;
use crate::plugin::status::Reason;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The interfaces of `umbel:host@0.1` that exist.
const OFFERED: [&str; 7] = ["log", "clock", "dns", "http", "probe", "state", "metrics"];
/// The track of versions that this host speaks: all of `0.1.x`.
const TRACK: &str = "0.1.";
/// Bytes of a name of an interface.
const NAME_MAX: usize = 256;
/// Names that stand in a message.
const NAMES_SHOWN: usize = 8;
const LIFECYCLE: &str = "umbel:lifecycle/lifecycle";
const RESOLVER: &str = "umbel:resolver/resolver";
const HEALTH: &str = "umbel:health/checker";
const DISCOVERY: &str = "umbel:discovery/transformer";

/// The interfaces of the `std` profile of WASI, in the versions `0.2.x`.
const WASI_STD: [&str; 18] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
];

/// The decisions that a component implements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Found {
    pub resolver: bool,
    pub health: bool,
    pub discovery: bool,
    /// Whether it imports interfaces of the `std` profile of WASI.
    pub wasi: bool,
    /// Their names with versions.
    pub names: Vec<String>,
}

/// Judges exports and imports.
///
/// # Errors
/// With the name of the interface that does not fit and what to do about it.
pub(in crate::plugin) fn inspect(
    component: &Component,
    engine: &Engine,
    wasi: Wasi,
) -> Result<Found, LoadFault> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();
    let mut found = judge(&exports, &imports, wasi)?;
    found.wasi = imports.iter().any(|import| import.starts_with("wasi:"));
    Ok(found)
}

fn judge(exports: &[&str], imports: &[&str], wasi: Wasi) -> Result<Found, LoadFault> {
    let mut names = exports.iter().chain(imports);
    if let Some(long) = names.find(|name| name.len() > NAME_MAX) {
        let text = format!(
            "has an interface with a name of {} bytes, {:?}; no world in wit/ has such a name",
            long.len(),
            tame_to(NAME_MAX, long)
        );
        return Err(LoadFault::new(Reason::NoKnownInterface, text));
    }
    let found = identify(exports)?;
    check_imports(imports, &found, wasi)?;
    Ok(found)
}

/// The first of them, and how many more there are.
fn list(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).copied().collect();
    match names.len() {
        0 => "nothing".to_owned(),
        count if count > NAMES_SHOWN => format!("{} and {} more", shown.join(", "), count - NAMES_SHOWN),
        _ => shown.join(", "),
    }
}

fn identify(exports: &[&str]) -> Result<Found, LoadFault> {
    let mut found = Found::default();
    let mut lifecycle = false;
    for export in exports {
        let (interface, version) = export.split_once('@').unwrap_or((export, ""));
        let known = match interface {
            LIFECYCLE => &mut lifecycle,
            RESOLVER => &mut found.resolver,
            HEALTH => &mut found.health,
            DISCOVERY => &mut found.discovery,
            _ => continue,
        };
        if !version.starts_with(TRACK) {
            return Err(LoadFault::new(
                Reason::InterfaceTooNew,
                format!(
                    "exports {export}, but this gateway speaks {interface}@{TRACK}x; build against its wit/ folder"
                ),
            ));
        }
        *known = true;
        if interface != LIFECYCLE {
            found.names.push((*export).to_owned());
        }
    }
    if found.names.is_empty() {
        let listed = list(exports);
        let wanted = format!("{RESOLVER}@0.1.0, {HEALTH}@0.1.0 or {DISCOVERY}@0.1.0");
        let text =
            format!("exports {listed}; a plugin exports {wanted}: build against one of the worlds in wit/");
        return Err(LoadFault::new(Reason::NoKnownInterface, text));
    }
    if !lifecycle {
        let text =
            format!("does not export {LIFECYCLE}@0.1.0, which every plugin does (describe and validate)");
        return Err(LoadFault::new(Reason::NoKnownInterface, text));
    }
    Ok(found)
}

fn check_imports(imports: &[&str], found: &Found, wasi: Wasi) -> Result<(), LoadFault> {
    let refuse = |reason, text: String| Err(LoadFault::new(reason, text));
    for import in imports {
        if import.starts_with("wasi:") {
            check_wasi_import(import, found, wasi)?;
            continue;
        }
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let Some(name) = interface.strip_prefix("umbel:host/") else {
            return refuse(
                Reason::ImportNotOffered,
                format!("imports {import}; a plugin may import umbel:host/* and nothing else"),
            );
        };
        if !version.starts_with(TRACK) || !OFFERED.contains(&name) {
            let offered = OFFERED.join(", ");
            return refuse(
                Reason::InterfaceTooNew,
                format!("imports {import}; this gateway offers of umbel:host@{TRACK}x: {offered}"),
            );
        }
        if found.discovery && name != "log" {
            return refuse(
                Reason::ImportNotOffered,
                format!(
                    "imports {import}, but a discovery transformer may import umbel:host/log only: every replica must \
                     give the same answer; put other decisions into a component of their own"
                ),
            );
        }
    }
    Ok(())
}

/// Judges an import of WASI.
fn check_wasi_import(import: &str, found: &Found, wasi: Wasi) -> Result<(), LoadFault> {
    const WITHOUT: &str = "build without WASI: for the target wasm32-unknown-unknown (Rust: umbel plugin build), with \
                           --disable all (JavaScript) or --stub-wasi (Python)";
    let refuse = |text: String| Err(LoadFault::new(Reason::ImportNotOffered, text));
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if found.discovery {
        return refuse(format!(
            "imports {import}, but a discovery transformer gets no WASI: every replica must give the same answer; \
             {WITHOUT}"
        ));
    }
    if !WASI_STD.contains(&interface) || !version.starts_with("0.2.") {
        return refuse(format!(
            "imports {import}, which no gateway offers: files, sockets and the like are not for plugins, and of WASI \
             there is wasi: std alone (output, clocks, random numbers, 0.2.x); leave out what asks for it, or {WITHOUT}"
        ));
    }
    if cfg!(not(feature = "wasi-std")) {
        return refuse(format!("imports {import}, and this gateway was built without WASI; {WITHOUT}"));
    }
    if wasi == Wasi::None {
        return refuse(format!(
            "imports {import}, and its manifest does not ask for WASI; add wasi: std to spec of the manifest, or {WITHOUT}"
        ));
    }
    Ok(())
}

/// Whether a manifest asks for what a component that is linked already imports.
///
/// # Errors
/// `ImportNotOffered`.
pub(in crate::plugin) fn check_profile(imports_wasi: bool, wasi: Wasi) -> Result<(), LoadFault> {
    if imports_wasi && wasi == Wasi::None {
        let text =
            "imports WASI, and its manifest does not ask for it; add wasi: std to spec of the manifest";
        return Err(LoadFault::new(Reason::ImportNotOffered, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "umbel:lifecycle/lifecycle@0.1.0";

    fn reason(exports: &[&str], imports: &[&str]) -> Option<(Reason, String)> {
        reason_with(exports, imports, Wasi::None)
    }

    fn reason_with(exports: &[&str], imports: &[&str], wasi: Wasi) -> Option<(Reason, String)> {
        judge(exports, imports, wasi).err().map(|fault| (fault.reason, fault.message))
    }

    #[test]
    #[cfg(feature = "wasi-std")]
    fn wasi_is_for_those_who_ask_and_never_files_or_sockets() {
        let resolver = [BASE, "umbel:resolver/resolver@0.1.0"];
        let transformer = [BASE, "umbel:discovery/transformer@0.1.0"];
        let output = ["wasi:cli/stdout@0.2.6", "wasi:io/streams@0.2.6", "umbel:host/log@0.1.1"];
        assert_eq!(reason_with(&resolver, &output, Wasi::Std), None);
        for (exports, import, wasi, says) in [
            (resolver, "wasi:cli/stdout@0.2.6", Wasi::None, "add wasi: std to spec of the manifest"),
            (resolver, "wasi:filesystem/types@0.2.6", Wasi::Std, "files, sockets and the like"),
            (resolver, "wasi:filesystem/preopens@0.2.6", Wasi::Std, "files, sockets and the like"),
            (resolver, "wasi:sockets/tcp@0.2.6", Wasi::Std, "files, sockets and the like"),
            (resolver, "wasi:http/outgoing-handler@0.2.6", Wasi::Std, "no gateway offers"),
            (resolver, "wasi:clocks/timezone@0.2.6", Wasi::Std, "no gateway offers"),
            (resolver, "wasi:cli/stdout@0.3.0", Wasi::Std, "0.2.x"),
            (transformer, "wasi:random/random@0.2.6", Wasi::Std, "same answer"),
        ] {
            let (reason, message) = reason_with(&exports, &[import], wasi).unwrap();
            assert_eq!(reason, Reason::ImportNotOffered, "{import}");
            assert!(message.contains(says) && message.contains(import), "{message}");
        }
        assert!(check_profile(true, Wasi::None).is_err());
        check_profile(true, Wasi::Std).and(check_profile(false, Wasi::None)).unwrap();
    }

    /// A name is what the author of a component wants it to be: some forms hold any text.
    #[test]
    fn names_cannot_forge_and_cannot_bury_the_mend() {
        let resolver = [BASE, "umbel:resolver/resolver@0.1.0"];
        let (reason, message) = reason(&resolver, &["url=<\u{1b}[2J\nINFO all is well>"]).unwrap();
        assert_eq!(reason, Reason::ImportNotOffered);
        assert!(message.contains("imports url=<\\u{1b}[2J\\nINFO all is well>; a plugin may"), "{message}");
        let long = "a".repeat(1 << 20);
        let (reason, message) = reason_with(&resolver, &[&long], Wasi::None).unwrap();
        assert_eq!(reason, Reason::NoKnownInterface);
        assert!(message.contains("1048576 bytes") && message.ends_with("such a name"), "{message}");
        let many: Vec<String> = (0..10_000).map(|n| format!("a{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (_, message) = reason_with(&many, &[], Wasi::None).unwrap();
        assert!(
            message.contains("exports a0, a1") && message.contains("and 9992 more; a plugin"),
            "{message}"
        );
    }

    #[test]
    fn what_fits_is_found() {
        let found = identify(&[BASE, "umbel:resolver/resolver@0.1.0", "umbel:health/checker@0.1.3"]).unwrap();
        assert!(found.resolver && found.health && !found.discovery);
        assert_eq!(reason(&[BASE, "umbel:resolver/resolver@0.1.0"], &["umbel:host/dns@0.1.0"]), None);
        assert_eq!(reason(&[BASE, "umbel:health/checker@0.1.0"], &["umbel:host/state@0.1.1"]), None);
    }

    #[test]
    fn what_does_not_fit_is_named_with_a_cure() {
        for (exports, imports, wanted, says) in [
            (vec![], vec![], Reason::NoKnownInterface, "exports nothing"),
            (vec![BASE], vec![], Reason::NoKnownInterface, "one of the worlds in wit/"),
            (
                vec!["umbel:resolver/resolver@0.1.0"],
                vec![],
                Reason::NoKnownInterface,
                "describe and validate",
            ),
            (vec![BASE, "umbel:resolver/resolver@0.2.0"], vec![], Reason::InterfaceTooNew, "@0.1.x"),
            (
                vec![BASE, "umbel:resolver/resolver@0.1.0"],
                vec!["wasi:filesystem/types@0.2.12"],
                Reason::ImportNotOffered,
                "wasm32-unknown-unknown",
            ),
            (
                vec![BASE, "umbel:resolver/resolver@0.1.0"],
                vec!["umbel:host/disk@0.1.7"],
                Reason::InterfaceTooNew,
                "log, clock, dns, http, probe, state, metrics",
            ),
            (
                vec![BASE, "umbel:resolver/resolver@0.1.0"],
                vec!["acme:db/sql@1.0.0"],
                Reason::ImportNotOffered,
                "nothing else",
            ),
            (
                vec![BASE, "umbel:discovery/transformer@0.1.0"],
                vec!["umbel:host/clock@0.1.0"],
                Reason::ImportNotOffered,
                "same answer",
            ),
            (
                vec![BASE, "umbel:discovery/transformer@0.1.0"],
                vec!["umbel:host/state@0.1.1"],
                Reason::ImportNotOffered,
                "same answer",
            ),
        ] {
            let (reason, message) = reason(&exports, &imports).unwrap();
            assert_eq!(reason, wanted, "{message}");
            assert!(message.contains(says), "{message}");
        }
    }
}
