//! What the text of one file declares.

use super::declarable;
use super::problems::FileProblems;
use crate::kind::{self, Kind};
use crate::model::object::Object;
use crate::object::decode::{Encoding, FieldValidation, decode_object};
use crate::object::yaml_stream::{self, Place};
use crate::registry::ObjectKey;
use std::fmt;

/// One declared object.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) kind: &'static Kind,
    pub(super) key: ObjectKey,
    /// Decoded against its schema, with defaults.
    pub(super) object: Object,
    pub(super) origin: Origin,
}

/// Where something is declared; shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) place: Place,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.place)
    }
}

/// One file of the directory.
#[derive(Clone, Debug, Default)]
pub(super) struct ManifestFile {
    pub(super) name: String,
    pub(super) declared: Vec<Declared>,
    /// What cannot be understood, ready to be shown. With any of these the file may declare more than is known.
    pub(super) problems: FileProblems,
    /// Whether the file is being written and may declare more objects than are known: nothing is removed because of
    /// it.
    pub(super) may_lack_objects: bool,
}

impl ManifestFile {
    /// Whether all objects that it declares are known.
    pub(super) fn is_clear(&self) -> bool {
        self.problems.is_empty() && !self.may_lack_objects
    }
}

/// Reads the text of a file. Broken YAML hides all of the file; a document that is wrong by itself only hides
/// itself.
pub(super) fn parse(name: &str, text: &str) -> ManifestFile {
    let mut file = ManifestFile { name: name.to_owned(), ..ManifestFile::default() };
    for read in yaml_stream::objects(text) {
        let (place, object) = match read {
            Ok(read) => read,
            Err(error) => {
                (file.declared, file.problems) = Default::default();
                let text = format!("{name}: {error}; the whole file is left out until that is mended");
                file.problems.add(text);
                return file;
            }
        };
        let origin = Origin { file: name.to_owned(), place };
        match declare(object) {
            Ok((kind, key, object)) => file.declared.push(Declared { kind, key, object, origin }),
            Err(cause) => file.problems.add(format!("{origin}: {cause}")),
        }
    }
    file
}

fn declare(object: Object) -> Result<(&'static Kind, ObjectKey, Object), String> {
    let (api_version, name) = (object.text(&["apiVersion"]).to_owned(), object.text(&["kind"]).to_owned());
    let Some(kind) = kind::find_by_name(&api_version, &name) else {
        let known: Vec<_> = declarable().map(|k| format!("{} {}", k.api_version(), k.kind)).collect();
        let known = known.join(" and ");
        return Err(format!(
            "kind {name:?} of {api_version:?} is not known here; manifests may hold {known}"
        ));
    };
    kind.check_verb("create").map_err(|failure| failure.message)?;
    let body = object.into_value().to_string();
    let decoded = decode_object(kind, body.as_bytes(), Encoding::Json).map_err(|failure| failure.message)?;
    let (object, _) = decoded.accept(FieldValidation::Strict).map_err(|failure| failure.message)?;
    if object.name().is_empty() {
        return Err("metadata.name is missing; generateName would make a new object each time".to_owned());
    }
    let namespace = match (kind.is_namespaced(), object.namespace()) {
        (false, "") => "",
        (false, given) => {
            return Err(format!("metadata.namespace is {given:?}, but {} has no namespace", kind.kind));
        }
        (true, "") => "default",
        (true, given) => given,
    };
    Ok((kind, ObjectKey::new(namespace, object.name()), object))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTERNAL_NAME: &str = "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {name: api}\nspec: {host: a.example.com}\n";

    #[test]
    fn documents_and_lists_are_read_with_their_places() {
        let text = format!(
            "# what we run\n---\n{EXTERNAL_NAME}---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: apiregistration.k8s.io/v1\n  kind: APIService\n  metadata: {{name: v1.a.com}}\n  spec: {{group: a.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1}}\n"
        );
        let file = parse("a.yaml", &text);
        assert_eq!(file.problems.shown(), [""; 0]);
        let shown: Vec<_> =
            file.declared.iter().map(|d| format!("{} {:?} {}", d.kind.kind, d.key, d.origin)).collect();
        assert_eq!(
            shown,
            [
                r#"ExternalName ObjectKey { namespace: "default", name: "api" } a.yaml: document 1 (line 3)"#,
                r#"APIService ObjectKey { namespace: "", name: "v1.a.com" } a.yaml: document 2 (line 8), item 1"#,
            ]
        );
    }

    #[test]
    fn each_kind_of_mistake_is_told_with_its_place() {
        let table = [
            ("a: [", "x.yaml: document 1 (line 1): "),
            ("- just\n- a list\n", "x.yaml: document 1 (line 1): it is no object"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
                "kind \"Pod\" of \"v1\" is not known here; manifests may hold apiregistration.k8s.io/v1 APIService and service.grafana.app/v0alpha1 ExternalName",
            ),
            (
                "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nspec: {host: a}\n",
                "metadata.name is missing",
            ),
            (
                "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {name: x}\nspec: {hots: a}\n",
                "spec.hots",
            ),
            (
                "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {name: x}\nspec: {host: [a]}\n",
                "host",
            ),
            (
                "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1.a.com, namespace: x}\n",
                "APIService has no namespace",
            ),
        ];
        for (text, wanted) in table {
            let file = parse("x.yaml", text);
            assert!(file.declared.is_empty(), "{text}");
            let problem = file.problems.shown().first().unwrap();
            assert!(problem.starts_with("x.yaml: document 1 (line "), "{problem}");
            assert!(problem.contains(wanted), "{problem}\nwanted {wanted}");
        }
    }

    #[test]
    fn a_wrong_document_hides_itself_and_broken_yaml_the_file() {
        let file = parse("x.yaml", &format!("apiVersion: v1\nkind: Pod\n---\n{EXTERNAL_NAME}"));
        assert_eq!((file.declared.len(), file.problems.shown().len()), (1, 1));
        let file = parse("x.yaml", &format!("{EXTERNAL_NAME}---\nkey: : value\n"));
        assert_eq!((file.declared.len(), file.problems.shown().len()), (0, 1));
        assert!(
            file.problems.shown()[0].starts_with("x.yaml: document 2 (line 6): "),
            "{}",
            file.problems.shown()[0]
        );
    }

    #[test]
    fn a_file_of_mistakes_costs_little() {
        let began = std::time::Instant::now();
        let file = parse("x.yaml", &"kind: Pod\n---\n".repeat(20_000));
        assert_eq!((file.declared.len(), file.problems.shown().len()), (0, 20));
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
}
