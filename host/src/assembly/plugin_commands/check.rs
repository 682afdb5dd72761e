//! `umbel plugin check`: what a gateway would say to a component.

use super::given::{Given, GivenFlags};
use super::inspect::{Anatomy, dissect};
use super::report::{Form, rows};
use crate::assembly::CommandError;
use crate::plugin::{Description, Metering, Reason, Refusal, Workbench};
use clap::Args;
use serde::Serialize;
use serde_json::json;

/// What gateways offer of `umbel:host`, by version.
const HOST_VERSIONS: &[(&str, &[&str])] = &[
    ("0.1.0", &["log", "clock", "dns", "http", "probe"]),
    ("0.1.1", &["log", "clock", "dns", "http", "probe", "state", "metrics"]),
];

/// Flags of `umbel plugin check`.
#[derive(Args, Clone, Debug)]
pub(in crate::assembly) struct CheckFlags {
    #[command(flatten)]
    given: GivenFlags,
    /// Check for gateways that offer this version of umbel:host [default: what this program offers]
    #[arg(long, value_name = "VERSION", value_parser = host_version)]
    host: Option<&'static str>,
    #[command(flatten)]
    form: Form,
}

fn host_version(text: &str) -> Result<&'static str, String> {
    let known = HOST_VERSIONS.iter().map(|(version, _)| *version);
    known.clone().find(|version| *version == text).ok_or_else(|| {
        format!(
            "there is no version {text} of umbel:host; known are {}",
            known.collect::<Vec<_>>().join(", ")
        )
    })
}

/// What a gateway says to a component.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Judgement {
    /// Whether it would be taken into service.
    pub(super) accepted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Explained>,
    /// What the component says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Description>,
    /// The decisions that it implements.
    pub(super) interfaces: Vec<String>,
}

/// A refusal with the cure of its reason.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Explained {
    #[serde(flatten)]
    refusal: Refusal,
    cause: &'static str,
    fix: &'static str,
}

impl From<Refusal> for Explained {
    fn from(refusal: Refusal) -> Self {
        let (cause, fix) = (refusal.reason.cause(), refusal.reason.cure());
        Self { refusal, cause, fix }
    }
}

impl Explained {
    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let Refusal { reason, message } = &self.refusal;
        rows(&[
            ("reason", reason.to_string()),
            ("says", message.clone()),
            ("cause", self.cause.to_owned()),
            ("fix", self.fix.to_owned()),
        ])
    }
}

/// Loads the component as a gateway does, up to its first real call.
pub(super) fn judge(given: &Given) -> Judgement {
    let mut interfaces = Vec::new();
    let judged = Workbench::open(Metering::Off).and_then(|bench| {
        let compiled = bench.compile(&given.name, &given.component)?;
        interfaces = compiled.interfaces().to_vec();
        Ok(compiled.candidate(given.manifest_text())?.description())
    });
    match judged {
        Ok(description) => Judgement { accepted: true, refusal: None, description, interfaces },
        Err(refusal) => {
            Judgement { accepted: false, refusal: Some(refusal.into()), description: None, interfaces }
        }
    }
}

/// Whether an older gateway offers what the component imports.
fn judge_for(host: &str, anatomy: &Anatomy) -> Option<Refusal> {
    let (_, offered) = HOST_VERSIONS.iter().find(|(version, _)| *version == host)?;
    let newer = anatomy.imports.iter().find(|import| {
        let (interface, _) = import.split_once('@').unwrap_or((import, ""));
        // What an interface offers was there when it was published: later versions only add interfaces.
        interface.strip_prefix("umbel:host/").is_some_and(|name| !offered.contains(&name))
    })?;
    let message = format!("imports {newer}; a gateway with umbel:host@{host} offers {}", offered.join(", "));
    Some(Refusal { reason: Reason::InterfaceTooNew, message })
}

/// Prints the judgement.
///
/// # Errors
/// `Failed` when a gateway would refuse the component.
pub(super) fn run(flags: &CheckFlags) -> Result<(), CommandError> {
    let given = flags.given.read()?;
    let mut judgement = judge(&given);
    let older = flags.host.and_then(|host| judge_for(host, &dissect(&given.component)));
    if let Some(refusal) = older.filter(|_| judgement.accepted) {
        judgement.accepted = false;
        judgement.refusal = Some(refusal.into());
    }
    let file = given.file.display().to_string();
    let text = match &judgement.refusal {
        None => accepted(&file, &given, &judgement),
        Some(explained) => format!("{file}: a gateway refuses it\n{}", explained.text()),
    };
    flags
        .form
        .print(&text, &json!({"file": file, "manifest": given.manifest_words(), "judgement": judgement}))?;
    match judgement.refusal {
        None => Ok(()),
        Some(explained) => Err(CommandError::failed(format!("{file}: {}", explained.refusal.reason))),
    }
}

fn accepted(file: &str, given: &Given, judgement: &Judgement) -> String {
    let says = judgement.description.as_ref();
    let says = says.map_or_else(String::new, |one| format!("{} {}: {}", one.name, one.version, one.summary));
    format!(
        "{file}: a gateway takes it\n{}",
        rows(&[
            ("says", says),
            ("decides", judgement.interfaces.join(", ")),
            ("manifest", given.manifest_words()),
        ])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_gateway_lacks_is_named() {
        let anatomy = |import: &str| Anatomy { imports: vec![import.to_owned()], ..Anatomy::default() };
        for fitting in ["umbel:host/dns@0.1.0", "umbel:host/dns@0.1.1"] {
            assert_eq!(judge_for("0.1.0", &anatomy(fitting)), None);
        }
        assert_eq!(judge_for("0.1.1", &anatomy("umbel:host/state@0.1.1")), None);
        for import in ["umbel:host/state@0.1.1", "umbel:host/metrics@0.1.1"] {
            let refusal = judge_for("0.1.0", &anatomy(import)).unwrap();
            assert_eq!(refusal.reason, Reason::InterfaceTooNew);
            assert!(refusal.message.contains(import), "{refusal}");
        }
        assert!(host_version("9.9.9").unwrap_err().contains("known are 0.1.0"));
    }

    #[test]
    fn a_refusal_says_reason_cause_and_fix() {
        let given = Given {
            file: "a.wasm".into(),
            name: "a".into(),
            component: b"\0asm\x01\0\0\0".to_vec(),
            manifest: None,
        };
        let text = judge(&given).refusal.unwrap().text();
        assert!(text.contains("reason    NotAComponent\n"), "{text}");
        assert!(text.contains("fix       build it with `umbel plugin build`"), "{text}");
    }
}
