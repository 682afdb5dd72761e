//! What a component exports and imports, judged before it is linked.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The interfaces of `umbel:host@0.1` that exist.
const OFFERED: [&str; 5] = ["log", "clock", "dns", "http", "probe"];
/// The track of versions that this host speaks: all of `0.1.x`.
const TRACK: &str = "0.1.";
const LIFECYCLE: &str = "umbel:lifecycle/lifecycle";
const RESOLVER: &str = "umbel:resolver/resolver";
const HEALTH: &str = "umbel:health/checker";
const DISCOVERY: &str = "umbel:discovery/transformer";

/// The decisions that a component implements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Found {
    pub resolver: bool,
    pub health: bool,
    pub discovery: bool,
    /// Their names with versions.
    pub names: Vec<String>,
}

/// Judges exports and imports.
///
/// # Errors
/// With the name of the interface that does not fit and what to do about it.
pub(in crate::plugin) fn inspect(component: &Component, engine: &Engine) -> Result<Found, LoadFault> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();
    let found = identify(&exports)?;
    check_imports(&imports, &found)?;
    Ok(found)
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
        let listed = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
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

fn check_imports(imports: &[&str], found: &Found) -> Result<(), LoadFault> {
    let refuse = |reason, text: String| Err(LoadFault::new(reason, text));
    for import in imports {
        if import.starts_with("wasi:") {
            return refuse(
                Reason::ImportNotOffered,
                format!(
                    "imports {import}, and this gateway offers no WASI; build for the target wasm32-unknown-unknown \
                     (Rust: umbel plugin build), with --disable all (JavaScript) or --stub-wasi (Python)"
                ),
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "umbel:lifecycle/lifecycle@0.1.0";

    fn reason(exports: &[&str], imports: &[&str]) -> Option<(Reason, String)> {
        let judged = identify(exports).and_then(|found| check_imports(imports, &found));
        judged.err().map(|fault| (fault.reason, fault.message))
    }

    #[test]
    fn what_fits_is_found() {
        let found = identify(&[BASE, "umbel:resolver/resolver@0.1.0", "umbel:health/checker@0.1.3"]).unwrap();
        assert!(found.resolver && found.health && !found.discovery);
        assert_eq!(reason(&[BASE, "umbel:resolver/resolver@0.1.0"], &["umbel:host/dns@0.1.0"]), None);
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
                vec!["umbel:host/state@0.1.0"],
                Reason::InterfaceTooNew,
                "log, clock, dns, http, probe",
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
        ] {
            let (reason, message) = reason(&exports, &imports).unwrap();
            assert_eq!(reason, wanted, "{message}");
            assert!(message.contains(says), "{message}");
        }
    }
}
