//! The paths of a kind and what can be done there.

use super::definition::REFERENCE;
use super::meta;
use super::own::list_definition;
use super::parameter::{self, common, queries};
use crate::kind::Kind;
use serde_json::{Map, Value, json};

/// What answers come as.
const ANSWERS: [&str; 2] = ["application/json", "application/yaml"];
/// What watches come as.
const STREAM: &str = "application/json;stream=watch";
/// The kinds of patch.
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Names operations after a group-version: tags and operation ids.
pub(super) struct Naming {
    /// `ApiregistrationV1`.
    camel: String,
    /// `apiregistration_v1`.
    tag: String,
}

impl Naming {
    pub(super) fn new(group: &str, version: &str) -> Self {
        let labels = group.strip_suffix(".k8s.io").unwrap_or(group).split('.');
        let camel: String = labels.map(capitalise).collect();
        let mut lower = camel.chars();
        let first: String = lower.next().map(|c| c.to_lowercase().collect()).unwrap_or_default();
        let tag = format!("{first}{}_{version}", lower.as_str());
        Self { camel: format!("{camel}{}", capitalise(version)), tag }
    }

    /// An operation without parameters, body and answers.
    fn operation(&self, verb: &str, rest: &str, description: String) -> Value {
        json!({
            "operationId": format!("{verb}{}{rest}", self.camel),
            "description": description,
            "tags": [self.tag],
        })
    }

    /// `GET /apis/<g>/<v>/`.
    pub(super) fn resources(&self) -> Value {
        let mut get = self.operation("get", "APIResources", "get available resources".to_owned());
        get["responses"] = responses(&[("200", "OK")], meta::API_RESOURCE_LIST.definition, false);
        json!({"get": get})
    }
}

fn capitalise(word: &str) -> String {
    let mut letters = word.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    first + letters.as_str()
}

/// The paths of one kind.
pub(super) struct Paths<'a> {
    pub(super) kind: &'a Kind,
    pub(super) definition: &'a str,
    pub(super) naming: &'a Naming,
}

impl Paths<'_> {
    pub(super) fn add_to(&self, paths: &mut Map<String, Value>) {
        let kind = self.kind;
        let root = format!("/apis/{}/{}", kind.group, kind.version);
        let place = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
        let all = format!("{root}{place}/{}", kind.plural);
        let watch = format!("{root}/watch{place}/{}", kind.plural);
        let scope = if kind.is_namespaced() { "Namespaced" } else { "" };
        let mut add = |path: String, further: &[&str], mut item: Value| {
            item["parameters"] = common(kind.kind, &path, further);
            paths.insert(path, item);
        };
        add(all.clone(), &[], self.collection(scope));
        add(format!("{all}/{{name}}"), &[], self.object(scope));
        if kind.has_status {
            add(format!("{all}/{{name}}/status"), &[], self.status(scope));
        }
        add(
            watch.clone(),
            parameter::LIST,
            json!({"get": self.watch_list(&format!("{scope}{}List", kind.kind))}),
        );
        add(format!("{watch}/{{name}}"), parameter::LIST, json!({"get": self.watch_one(scope)}));
        if kind.is_namespaced() {
            let suffix = format!("{}ForAllNamespaces", kind.kind);
            add(format!("{root}/{}", kind.plural), parameter::LIST, json!({"get": self.list(&suffix)}));
            let suffix = format!("{}ListForAllNamespaces", kind.kind);
            let item = json!({"get": self.watch_list(&suffix)});
            add(format!("{root}/watch/{}", kind.plural), parameter::LIST, item);
        }
    }

    fn collection(&self, scope: &str) -> Value {
        let (kind, own) = (self.kind.kind, self.definition);
        let mut list = self.list(&format!("{scope}{kind}"));
        list["parameters"] = queries(parameter::LIST);
        let mut create = self.operation("create", scope, "post", format!("create {} {kind}", article(kind)));
        create["parameters"] = queries(parameter::WRITE);
        create["requestBody"] = body(&["*/*"], own, true);
        create["responses"] =
            responses(&[("200", "OK"), ("201", "Created"), ("202", "Accepted")], own, false);
        let collection = format!("Collection{scope}");
        let description = format!("delete collection of {kind}");
        let mut delete = self.operation("delete", &collection, "deletecollection", description);
        delete["parameters"] = queries(parameter::DELETE_COLLECTION);
        delete["requestBody"] = body(&["*/*"], meta::DELETE_OPTIONS.definition, false);
        delete["responses"] = responses(&[("200", "OK")], meta::STATUS.definition, false);
        let mut item = json!({"get": list, "post": create, "delete": delete});
        self.keep_offered(&mut item, &[("post", "create"), ("delete", "deletecollection")]);
        item
    }

    /// Takes out what the kind does not have.
    fn keep_offered(&self, item: &mut Value, verbs: &[(&str, &str)]) {
        let Some(operations) = item.as_object_mut() else { return };
        for (method, _) in verbs.iter().filter(|(_, verb)| !self.kind.verbs.contains(verb)) {
            operations.remove(*method);
        }
    }

    fn object(&self, scope: &str) -> Value {
        let kind = self.kind.kind;
        let mut item = self.read_and_write(scope, "", &format!("the specified {kind}"));
        let description = format!("delete {} {kind}", article(kind));
        let mut delete = self.operation("delete", scope, "delete", description);
        delete["parameters"] = queries(parameter::DELETE);
        delete["requestBody"] = body(&["*/*"], meta::DELETE_OPTIONS.definition, false);
        delete["responses"] =
            responses(&[("200", "OK"), ("202", "Accepted")], meta::STATUS.definition, false);
        item["delete"] = delete;
        self.keep_offered(&mut item, &[("put", "update"), ("patch", "patch"), ("delete", "delete")]);
        item
    }

    fn status(&self, scope: &str) -> Value {
        self.read_and_write(scope, "Status", &format!("status of the specified {}", self.kind.kind))
    }

    /// GET, PUT and PATCH of an object or its status.
    fn read_and_write(&self, scope: &str, part: &str, what: &str) -> Value {
        let own = self.definition;
        let named = |verb: &str, action: &str, description: String| {
            let rest = format!("{scope}{}{part}", self.kind.kind);
            self.mark(self.naming.operation(verb, &rest, description), action)
        };
        let mut read = named("read", "get", format!("read {what}"));
        read["responses"] = responses(&[("200", "OK")], own, false);
        let mut replace = named("replace", "put", format!("replace {what}"));
        replace["parameters"] = queries(parameter::WRITE);
        replace["requestBody"] = body(&["*/*"], own, true);
        replace["responses"] = responses(&[("200", "OK"), ("201", "Created")], own, false);
        let mut patch = named("patch", "patch", format!("partially update {what}"));
        patch["parameters"] = queries(parameter::PATCH);
        patch["requestBody"] = body(&PATCHES, meta::PATCH.definition, true);
        patch["responses"] = responses(&[("200", "OK"), ("201", "Created")], own, false);
        json!({"get": read, "put": replace, "patch": patch})
    }

    fn list(&self, suffix: &str) -> Value {
        let description = format!("list or watch objects of kind {}", self.kind.kind);
        let mut list = self.mark(self.naming.operation("list", suffix, description), "list");
        list["responses"] = responses(&[("200", "OK")], &list_definition(self.definition), true);
        list
    }

    fn watch_list(&self, suffix: &str) -> Value {
        let description = format!(
            "watch individual changes to a list of {}. deprecated: use the 'watch' parameter with a list operation instead.",
            self.kind.kind
        );
        let mut watch = self.mark(self.naming.operation("watch", suffix, description), "watchlist");
        watch["responses"] = responses(&[("200", "OK")], meta::WATCH_EVENT.definition, true);
        watch
    }

    fn watch_one(&self, scope: &str) -> Value {
        let description = format!(
            "watch changes to an object of kind {}. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter.",
            self.kind.kind
        );
        let mut watch = self.operation("watch", scope, "watch", description);
        watch["responses"] = responses(&[("200", "OK")], meta::WATCH_EVENT.definition, true);
        watch
    }

    fn operation(&self, verb: &str, scope: &str, action: &str, description: String) -> Value {
        let rest = format!("{scope}{}", self.kind.kind);
        self.mark(self.naming.operation(verb, &rest, description), action)
    }

    fn mark(&self, mut operation: Value, action: &str) -> Value {
        operation["x-kubernetes-action"] = action.into();
        operation["x-kubernetes-group-version-kind"] =
            json!({"group": self.kind.group, "version": self.kind.version, "kind": self.kind.kind});
        operation
    }
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" }
}

fn content<'a>(types: impl IntoIterator<Item = &'a str>, definition: &str) -> Value {
    let schema = json!({"schema": {"$ref": format!("{REFERENCE}{definition}")}});
    types.into_iter().map(|media| (media.to_owned(), schema.clone())).collect::<Map<_, _>>().into()
}

fn body(types: &[&str], definition: &str, required: bool) -> Value {
    let mut body = json!({"content": content(types.iter().copied(), definition)});
    if required {
        body["required"] = json!(true);
    }
    body
}

fn responses(codes: &[(&str, &str)], definition: &str, stream: bool) -> Value {
    let types = ANSWERS.into_iter().chain(stream.then_some(STREAM));
    let content = content(types, definition);
    let response = |text: &str| json!({"description": text, "content": content});
    codes.iter().map(|(code, text)| ((*code).to_owned(), response(text))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_as_upstream_names_them() {
        let own = Naming::new("apiregistration.k8s.io", "v1");
        assert_eq!((own.camel.as_str(), own.tag.as_str()), ("ApiregistrationV1", "apiregistration_v1"));
        let other = Naming::new("service.grafana.app", "v0alpha1");
        let wanted = ("ServiceGrafanaAppV0alpha1", "serviceGrafanaApp_v0alpha1");
        assert_eq!((other.camel.as_str(), other.tag.as_str()), wanted);
    }

    #[test]
    fn an_article_goes_with_the_kind() {
        assert_eq!(["APIService", "Event", "ExternalName", "Plugin"].map(article), ["an", "an", "an", "a"]);
    }

    #[test]
    fn the_list_of_resources_says_what_it_answers_with() {
        let item = Naming::new("apiregistration.k8s.io", "v1").resources();
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let definition = schema.as_str().unwrap_or_default().strip_prefix(REFERENCE);
        assert_eq!(definition, Some(meta::API_RESOURCE_LIST.definition));
    }

    #[test]
    fn each_path_has_the_parameters_that_it_names() {
        let kind = &crate::kind::external_name::KIND;
        let naming = Naming::new(kind.group, kind.version);
        let mut paths = Map::new();
        Paths { kind, definition: "x", naming: &naming }.add_to(&mut paths);
        assert!(paths.keys().any(|path| path.contains("{name}")));
        for (path, item) in &paths {
            let listed = item["parameters"].as_array().unwrap();
            let of_path = listed.iter().filter(|parameter| parameter["in"] == "path");
            let mut names: Vec<_> = of_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            names.sort_unstable();
            let wanted =
                ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
            assert_eq!(names, wanted.collect::<Vec<_>>(), "{path}");
            assert!(listed.iter().any(|parameter| parameter["name"] == "pretty"), "{path}");
        }
    }
}
