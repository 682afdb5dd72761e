//! What a plugin is asked.

use super::answer::HealthState;
use super::body::Body;
use serde::{Deserialize, Serialize};

/// One question to a plugin, in the words of its WIT interface. The settings come from the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Question {
    /// `resolver.resolve`.
    Resolve {
        /// The service.
        target: ResolveTarget,
    },
    /// `checker.check`.
    Check {
        /// What is judged.
        subject: HealthSubject,
        /// How many judgements came before.
        #[serde(default)]
        round: u32,
        /// The verdict before.
        #[serde(default)]
        was: HealthState,
        /// What the plugin returned as memory the last time.
        #[serde(default, skip_serializing_if = "Body::is_empty")]
        memory: Body,
    },
    /// `transformer.transform`.
    Transform {
        /// One `APIGroupDiscovery` as JSON text.
        group: String,
    },
    /// `transformer.order`.
    Order {
        /// The groups in their present order.
        groups: Vec<VersionedGroup>,
    },
}

impl Question {
    /// What it asks for and about what, in few words.
    pub fn title(&self) -> String {
        match self {
            Self::Resolve { target } => format!("resolve {}/{}", target.namespace, target.name),
            Self::Check { subject, .. } => format!("check {}", subject.api_service),
            Self::Transform { group } => {
                let document: serde_json::Value = serde_json::from_str(group).unwrap_or_default();
                format!("transform {}", document["metadata"]["name"].as_str().unwrap_or("a group"))
            }
            Self::Order { .. } => "order".to_owned(),
        }
    }
}

/// The service that a resolver is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveTarget {
    /// Namespace of the ExternalName.
    pub namespace: String,
    /// Name of the ExternalName.
    pub name: String,
    /// Port from the APIService.
    pub port: u16,
    /// `spec.host` of the ExternalName, where one exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Annotations of the ExternalName, as a map or as a list of pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "super::tape::pairs")]
    pub annotations: Vec<(String, String)>,
}

/// What a health checker is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthSubject {
    /// Name of the APIService, for example `v1.example.com`.
    pub api_service: String,
    /// Its group.
    #[serde(default)]
    pub group: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Where the backend listens.
    pub endpoints: Vec<EndpointSubject>,
    /// What the shared discovery document told.
    #[serde(default)]
    pub evidence: Evidence,
}

/// An endpoint of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSubject {
    /// DNS name or IP literal.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What the host knows from the discovery document that all APIServices of a backend share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// Nothing.
    #[default]
    None,
    /// The document lists the group-version.
    Listed,
    /// It does not.
    NotListed,
}

/// A group and its versions in their present order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionedGroup {
    /// The group's name.
    pub name: String,
    /// Its versions.
    #[serde(default)]
    pub versions: Vec<String>,
}
