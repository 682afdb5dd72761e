//! Prepared bodies: one fragment per group, serialised when the group changes, joined for each document.

use super::group::{GroupDiscovery, Registration};
use crate::model::yaml;
use crate::route::Document;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use serde::Serialize;
use sha2::{Digest, Sha512};
use std::io::Write;

/// Bodies below this many bytes are not worth compressing.
const GZIP_FROM: usize = 8 * 1024;

/// The two versions in which clients ask for aggregated discovery; kubectl 1.27 to 1.29 needs the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregatedVersion {
    /// `apidiscovery.k8s.io/v2`.
    V2,
    /// `apidiscovery.k8s.io/v2beta1`, the same shape.
    V2Beta1,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyVersion {
    group_version: String,
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyGroup<'a> {
    name: &'a str,
    preferred_version: Option<LegacyVersion>,
    versions: Vec<LegacyVersion>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SingleGroup<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    group: LegacyGroup<'a>,
}

/// The prepared pieces of one group.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Its `APIGroupDiscovery` and the digest of that; `None` when aggregated documents leave it out.
    pub aggregated: Option<(Bytes, [u8; 64])>,
    /// Its entry in the `APIGroupList`: JSON, YAML (a list item).
    pub legacy: (Bytes, Bytes),
    /// `/apis/<g>`: JSON, YAML.
    pub single: (Document, Document),
}

/// Why a document cannot be written; a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("discovery cannot be serialised: {0}")]
pub struct DocumentFault(String);

impl DocumentFault {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Serialises one group. `sorted` are its registrations in the order of [`super::sort_versions`]; `shown` is
/// what aggregated documents say of it, whose order of versions wins.
///
/// # Errors
/// Never for values that can be built; see [`DocumentFault`].
pub fn prepare_fragment(
    group: &str,
    sorted: &[&Registration],
    shown: Option<&GroupDiscovery>,
) -> Result<Fragment, DocumentFault> {
    let mut versions: Vec<&str> = sorted.iter().map(|r| r.group_version.version.as_str()).collect();
    if let Some(shown) = shown {
        let place = |version: &str| shown.versions.iter().position(|v| v.version == version);
        versions.sort_by_key(|version| place(version).unwrap_or(usize::MAX));
    }
    let aggregated = match shown {
        Some(shown) => {
            let bytes = serde_json::to_vec(shown).map_err(DocumentFault::of)?;
            let digest = Sha512::digest(&bytes).into();
            Some((Bytes::from(bytes), digest))
        }
        None => None,
    };
    let json = serde_json::to_vec(&legacy_group(group, &versions)).map_err(DocumentFault::of)?;
    let yaml = to_yaml(&[legacy_group(group, &versions)])?;
    let single = SingleGroup { api_version: "v1", kind: "APIGroup", group: legacy_group(group, &versions) };
    let mut single_json = serde_json::to_vec(&single).map_err(DocumentFault::of)?;
    single_json.push(b'\n');
    let single_yaml = to_yaml(&single)?;
    Ok(Fragment {
        aggregated,
        legacy: (json.into(), yaml.into()),
        single: (plain("application/json", single_json), plain("application/yaml", single_yaml.into())),
    })
}

fn to_yaml(value: &impl Serialize) -> Result<String, DocumentFault> {
    serde_json::to_value(value).map(|value| yaml::write(&value)).map_err(DocumentFault::of)
}

fn legacy_group<'a>(name: &'a str, versions: &[&str]) -> LegacyGroup<'a> {
    let entry = |version: &&str| LegacyVersion {
        group_version: format!("{name}/{version}"),
        version: (*version).to_owned(),
    };
    LegacyGroup {
        name,
        preferred_version: versions.first().map(entry),
        versions: versions.iter().map(entry).collect(),
    }
}

fn plain(content_type: &'static str, body: Vec<u8>) -> Document {
    Document {
        content_type: HeaderValue::from_static(content_type),
        etag: None,
        identity: body.into(),
        gzip: None,
    }
}

/// Joins fragments to the `APIGroupList`: JSON, YAML.
pub fn join_legacy<'a>(fragments: impl Iterator<Item = &'a Fragment> + Clone) -> (Document, Document) {
    let mut json = br#"{"kind":"APIGroupList","apiVersion":"v1","groups":["#.to_vec();
    join(&mut json, fragments.clone().map(|f| &f.legacy.0));
    json.extend_from_slice(b"]}\n");
    let mut yaml = b"apiVersion: v1\ngroups:\n".to_vec();
    for fragment in fragments {
        yaml.extend_from_slice(&fragment.legacy.1);
    }
    yaml.extend_from_slice(b"kind: APIGroupList\n");
    (plain("application/json", json), plain("application/yaml", yaml))
}

/// Joins fragments to the `APIGroupDiscoveryList`. The entity tag is the SHA-512 of the groups' digests, so
/// that a change of one group does not cost a hash over all; equal documents have equal tags everywhere.
pub fn join_aggregated<'a>(
    version: AggregatedVersion,
    fragments: impl Iterator<Item = &'a Fragment> + Clone,
) -> Document {
    let (name, content_type) = match version {
        AggregatedVersion::V2 => {
            ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
        }
        AggregatedVersion::V2Beta1 => {
            ("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")
        }
    };
    let shown = fragments.filter_map(|f| f.aggregated.as_ref());
    let mut hash = Sha512::new_with_prefix(name);
    let head = format!(
        r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/{name}","metadata":{{}},"items":["#
    );
    let size = shown.clone().map(|(bytes, _)| bytes.len() + 1).sum::<usize>();
    let mut json = Vec::with_capacity(head.len() + size + 3);
    json.extend_from_slice(head.as_bytes());
    join(
        &mut json,
        shown.map(|(bytes, digest)| {
            hash.update(digest);
            bytes
        }),
    );
    json.extend_from_slice(b"]}\n");
    let tag: String = hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
    let etag = HeaderValue::try_from(format!("\"{tag}\"")).ok();
    Document { etag, ..plain(content_type, json) }
}

fn join<'a>(out: &mut Vec<u8>, parts: impl Iterator<Item = &'a Bytes>) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(part);
    }
}

/// The document with a compressed body, where that is worth it.
#[must_use]
pub fn compress(mut document: Document) -> Document {
    if document.identity.len() >= GZIP_FROM && document.gzip.is_none() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(4));
        let packed = encoder.write_all(&document.identity).and_then(|()| encoder.finish());
        document.gzip = packed.ok().filter(|p| p.len() < document.identity.len()).map(Bytes::from);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::discovery::group::{Known, build_group};
    use crate::model::group_version::GroupVersion;
    use serde_json::{Value, json};
    use std::io::Read;
    use std::sync::Arc;

    fn fragment(group: &str, version: &str) -> Fragment {
        let registration = Registration {
            name: format!("{version}.{group}"),
            group_version: GroupVersion::new(group, version),
            group_priority: 1,
            version_priority: 1,
            known: Known::Resources { last: Some(Arc::default()), fresh: true },
        };
        let sorted = [&registration];
        prepare_fragment(group, &sorted, build_group(group, &sorted).as_ref()).unwrap()
    }

    fn yaml_value(bytes: &Bytes) -> Value {
        yaml::read(std::str::from_utf8(bytes).unwrap()).unwrap()
    }

    #[test]
    fn joined_documents_say_what_the_parts_say() {
        let parts = [fragment("a.example.com", "v1"), fragment("null", "v2")];
        let document = join_aggregated(AggregatedVersion::V2, parts.iter());
        let value: Value = serde_json::from_slice(&document.identity).unwrap();
        assert_eq!(
            value,
            json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
                "items": [
                    {"metadata": {"name": "a.example.com"}, "versions": [{"version": "v1", "freshness": "Current"}]},
                    {"metadata": {"name": "null"}, "versions": [{"version": "v2", "freshness": "Current"}]}]})
        );
        let (json, yaml) = join_legacy(parts.iter());
        let json: Value = serde_json::from_slice(&json.identity).unwrap();
        let yaml: Value = yaml_value(&yaml.identity);
        assert_eq!(json, yaml);
        assert_eq!(json["groups"][1]["preferredVersion"]["groupVersion"], "null/v2");
        let single: Value = serde_json::from_slice(&parts[0].single.0.identity).unwrap();
        let single_yaml: Value = yaml_value(&parts[0].single.1.identity);
        assert_eq!(single, single_yaml);
        assert_eq!(single["kind"], "APIGroup");
    }

    #[test]
    fn a_tag_stands_for_one_document_in_one_version() {
        let parts = [fragment("a", "v1"), fragment("b", "v1")];
        let tag = |version, parts: &[Fragment]| join_aggregated(version, parts.iter()).etag.unwrap();
        let v2 = tag(AggregatedVersion::V2, &parts);
        assert_eq!(v2, tag(AggregatedVersion::V2, &[fragment("a", "v1"), fragment("b", "v1")]));
        assert_ne!(v2, tag(AggregatedVersion::V2Beta1, &parts));
        assert_ne!(v2, tag(AggregatedVersion::V2, &parts[..1]));
        assert_eq!(v2.len(), 130);
        assert_eq!(v2.to_str().unwrap(), v2.to_str().unwrap().to_uppercase());
    }

    #[test]
    fn large_documents_are_compressed_and_small_ones_are_not() {
        let small = compress(plain("application/json", b"{}".to_vec()));
        assert!(small.gzip.is_none());
        let large = compress(plain("application/json", vec![b'a'; GZIP_FROM]));
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&*large.gzip.unwrap()).read_to_end(&mut back).unwrap();
        assert_eq!(back, large.identity);
    }

    #[test]
    fn legacy_documents_have_the_order_of_versions_that_aggregated_ones_have() {
        let registration = |version: &str| Registration {
            name: format!("{version}.g"),
            group_version: GroupVersion::new("g", version),
            group_priority: 1,
            version_priority: 1,
            known: Known::Resources { last: Some(Arc::default()), fresh: true },
        };
        let all = [registration("v2"), registration("v1"), registration("v0")];
        let sorted: Vec<&Registration> = all.iter().collect();
        let mut shown = build_group("g", &sorted).unwrap();
        shown.versions.swap(0, 1);
        shown.versions.truncate(2);
        let fragment = prepare_fragment("g", &sorted, Some(&shown)).unwrap();
        let single: Value = serde_json::from_slice(&fragment.single.0.identity).unwrap();
        let names: Vec<_> =
            single["versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
        assert_eq!(names, ["v1", "v2", "v0"], "what a transformer leaves out is last");
        assert_eq!(single["preferredVersion"]["version"], "v1");
        let plain = prepare_fragment("g", &sorted, None).unwrap();
        assert!(plain.aggregated.is_none());
        let single: Value = serde_json::from_slice(&plain.single.0.identity).unwrap();
        assert_eq!(single["preferredVersion"]["groupVersion"], "g/v2");
    }
}
