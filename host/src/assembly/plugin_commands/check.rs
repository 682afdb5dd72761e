//! `umbel plugin check`: what a gateway would say to a component.

use super::agreement::{Disagreement, Written, disagreements};
use super::first_calls::trapping_call;
use super::given::{Given, GivenFlags};
use super::inspect::{Anatomy, dissect};
use super::report::{Form, rows};
use crate::assembly::CommandError;
use crate::plugin::{Candidate, Compiled, Description, Metering, Reason, Refusal, Workbench, check_manifest};
use clap::Args;
use serde::Serialize;
use serde_json::json;

/// What gateways offer of `umbel:host`, by version.
const HOST_VERSIONS: &[(&str, &[&str])] = &[
    ("0.1.0", &["log", "clock", "dns", "http", "probe"]),
    ("0.1.1", &["log", "clock", "dns", "http", "probe", "state", "metrics"]),
];

/// The summary of all disagreements.
const DISAGREE: &str = "its settings schema and its validate disagree";

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
    /// Further errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) also: Vec<Explained>,
    /// What the component says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Description>,
    /// The decisions that it implements.
    pub(super) interfaces: Vec<String>,
    /// Settings on which its schema and its `validate` disagree; empty where they were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disagreements: Vec<Disagreement>,
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

impl Judgement {
    /// All errors as text.
    pub(super) fn complaints(&self) -> String {
        self.refusal.iter().chain(&self.also).map(Explained::text).collect::<Vec<_>>().join("\n")
    }

    /// What schema and `validate` say, where they differ.
    fn differences(&self) -> String {
        let listed: Vec<String> = self.disagreements.iter().map(Disagreement::text).collect();
        if listed.is_empty() { String::new() } else { format!("{DISAGREE}\n{}", listed.join("\n")) }
    }
}

/// Loads the component as a gateway does, up to its first real call.
pub(super) fn judge(given: &Given) -> Judgement {
    judge_with(given, |_, _| None, |_| Vec::new())
}

/// The same, with a question to each decision that it exports, and with its schema compared with its `validate`.
fn judge_and_ask(given: &Given) -> Judgement {
    judge_with(given, trapping_call, |compiled| compare(given, compiled))
}

fn judge_with(
    given: &Given,
    ask: impl Fn(&Candidate<'_>, &[String]) -> Option<Refusal>,
    compare: impl Fn(&Compiled<'_>) -> Vec<Disagreement>,
) -> Judgement {
    let (mut interfaces, mut also, mut disagreements) = (Vec::new(), Vec::new(), Vec::new());
    let judged = Workbench::open(Metering::Off).and_then(|bench| {
        let compiled = bench.compile(&given.name, &given.component)?;
        interfaces = compiled.interfaces().to_vec();
        disagreements = compare(&compiled);
        let candidate = compiled.candidate(given.manifest_text()).inspect_err(|refusal| {
            // A mistake in the manifest must not hide one of the component. Without a manifest it has no settings.
            let alone = (refusal.reason == Reason::ManifestInvalid).then(|| compiled.candidate(None).err());
            also.extend(alone.flatten().filter(|other| other.reason != Reason::SettingsInvalid));
        })?;
        match ask(&candidate, &interfaces) {
            None => Ok(candidate.description()),
            Some(refusal) => Err(refusal),
        }
    });
    let manifest = given.manifest_text().and_then(|text| check_manifest(&given.name, text).err());
    let (refusal, description) = match judged {
        Ok(description) => (None, description),
        Err(refusal) => {
            also.extend(manifest.filter(|other| *other != refusal));
            (Some(refusal.into()), None)
        }
    };
    let also = also.into_iter().map(Explained::from).collect();
    Judgement { accepted: refusal.is_none(), refusal, also, description, interfaces, disagreements }
}

/// Compares schema and `validate`, with the settings of the manifest and others. A gateway that refuses the component
/// for another reason says so itself.
fn compare(given: &Given, compiled: &Compiled<'_>) -> Vec<Disagreement> {
    let Ok(candidate) = compiled.unasked(given.manifest_text()) else { return Vec::new() };
    let settings = serde_json::from_str(&candidate.settings()).unwrap_or_default();
    let place = match &given.manifest {
        Some((path, _)) => format!("spec.settings in {}", path.display()),
        None => "no manifest".to_owned(),
    };
    disagreements(&candidate, &[Written { place, settings, is_meant: given.manifest.is_some() }])
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
    let mut judgement = judge_and_ask(&given);
    let older = flags.host.and_then(|host| judge_for(host, &dissect(&given.component)));
    if let Some(refusal) = older.filter(|_| judgement.accepted) {
        judgement.accepted = false;
        judgement.refusal = Some(refusal.into());
    }
    let file = given.file.display().to_string();
    let text = match &judgement.refusal {
        None if judgement.disagreements.is_empty() => accepted(&file, &given, &judgement),
        None => format!("{file}: a gateway takes it, but {}", judgement.differences()),
        Some(_) => {
            format!("{file}: a gateway refuses it\n{}{}", judgement.complaints(), judgement.differences())
        }
    };
    flags
        .form
        .print(&text, &json!({"file": file, "manifest": given.manifest_words(), "judgement": judgement}))?;
    match judgement.refusal {
        None if judgement.disagreements.is_empty() => Ok(()),
        None => Err(CommandError::failed(format!("{file}: {DISAGREE}"))),
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
    fn a_mistake_in_the_manifest_does_not_hide_one_in_the_component() {
        let manifest = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: {grant: {}}\n";
        let given = Given {
            file: "a.wasm".into(),
            name: "a".into(),
            component: b"\0asm\x01\0\0\0".to_vec(),
            manifest: Some(("a.yaml".into(), manifest.to_owned())),
        };
        let judgement = judge(&given);
        assert_eq!(judgement.also.len(), 1);
        let text = judgement.complaints();
        assert!(text.contains("NotAComponent") && text.contains("ManifestInvalid"), "{text}");
        assert!(text.contains("unknown field `grant`"), "{text}");
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
