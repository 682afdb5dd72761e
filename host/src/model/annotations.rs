//! The annotations that Umbel reads on its objects, and warnings about similar ones that it does not know.

use super::failure::quoted;
use super::object::Object;
use super::spelling::did_you_mean;
use serde_json::Value;

/// On an ExternalName or an APIService: the name of the plugin that resolves it.
pub const RESOLVER: &str = "umbel.dev/resolver";
/// On an APIService or its ExternalName: the name of the plugin that judges its health.
pub const HEALTH_CHECKER: &str = "umbel.dev/health-checker";
/// On either: the fallback when the plugin that decides for it fails.
pub use super::failure_policy::ANNOTATION as FAILURE_POLICY;

/// On an object that a file of the manifest directory declares: the name of the file.
pub const MANIFEST: &str = "umbel.dev/manifest";
/// On such an object: why the file is not applied.
pub const MANIFEST_CONFLICT: &str = "umbel.dev/manifest-conflict";

/// Annotations that are valid on an APIService or an ExternalName.
pub const OF_ROUTED_OBJECTS: [&str; 5] =
    [RESOLVER, HEALTH_CHECKER, FAILURE_POLICY, MANIFEST, MANIFEST_CONFLICT];

/// The domain of all annotations that this program reads.
const DOMAIN: &str = "umbel.dev";
/// Maximum number of unknown annotations that are reported.
const COMPLAINTS_MAX: usize = 16;

/// Warnings about annotations of this domain that are not among `known`.
pub fn unknown(object: &Object, known: &[&str]) -> Vec<String> {
    let annotations = object.at(&["metadata", "annotations"]).and_then(Value::as_object);
    let unknown = annotations.into_iter().flatten().map(|(key, _)| key.as_str()).filter(|key| {
        let domain = key.split_once('/').map(|(domain, _)| domain.to_ascii_lowercase()).unwrap_or_default();
        let is_ours = domain == DOMAIN || domain.strip_suffix(DOMAIN).is_some_and(|sub| sub.ends_with('.'));
        is_ours && !known.contains(key)
    });
    unknown.take(COMPLAINTS_MAX).map(|key| complaint(key, known)).collect()
}

fn complaint(key: &str, known: &[&str]) -> String {
    let hint = match meant(key, known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known are {}", known.join(", ")),
    };
    format!("annotation {key} is unknown and does nothing: {hint}")
}

/// The known key whose name is the same or most similar. All keys begin with the same domain, so comparing whole keys
/// would find all of them similar.
fn meant<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed = name_of(key);
    let of_name = |name: &str| known.iter().copied().find(|key| name_of(key) == name);
    of_name(&typed).or_else(|| {
        let names: Vec<String> = known.iter().map(|key| name_of(key)).collect();
        of_name(did_you_mean(&typed, names.iter().map(String::as_str))?)
    })
}

/// The part of a key after its domain.
fn name_of(key: &str) -> String {
    key.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// Warnings about plugins that an object names and that are not `present`.
pub fn absent_plugins(object: &Object, present: &[String]) -> Vec<String> {
    let named = [RESOLVER, HEALTH_CHECKER].into_iter().filter_map(|key| Some((key, object.annotation(key)?)));
    let absent = named.filter(|(_, name)| !present.iter().any(|present| present == name));
    absent.map(|(key, name)| absence(key, name, present)).collect()
}

fn absence(key: &str, name: &str, present: &[String]) -> String {
    let hint = match did_you_mean(name, present.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "until it is installed, its failure policy holds".to_owned(),
    };
    format!("annotation {key} names the plugin {}, and there is none of that name: {hint}", quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn annotated(annotations: &Value) -> Object {
        Object::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
    }

    #[test]
    fn an_annotation_that_means_nothing_is_told_with_the_one_that_was_meant() {
        let told = |annotations: Value| unknown(&annotated(&annotations), &OF_ROUTED_OBJECTS);
        let others = json!({"example.com/healthchecker": "x", "health-checker": "y", "xumbel.dev/resolver": "z",
            RESOLVER: "a", HEALTH_CHECKER: "b", FAILURE_POLICY: "Fail", MANIFEST: "a.yaml", MANIFEST_CONFLICT: "c"});
        assert_eq!(told(others), Vec::<String>::new());
        for (key, meant) in [
            ("umbel.dev/healthchecker", HEALTH_CHECKER),
            ("umbel.dev/health_checker", HEALTH_CHECKER),
            ("Umbel.dev/resolver", RESOLVER),
            ("umbel.dev/Resolver", RESOLVER),
            ("umbel.dev/failure-policy", FAILURE_POLICY),
            ("plugins.umbel.dev/resolver", RESOLVER),
        ] {
            let hint = format!("annotation {key} is unknown and does nothing: did you mean {meant}?");
            assert_eq!(told(json!({key: "x"})), [hint]);
        }
        let told = told(json!({"umbel.dev/zzz": "x"}));
        assert!(told[0].contains("known are umbel.dev/resolver, umbel.dev/health-checker, "), "{told:?}");
    }

    #[test]
    fn a_plugin_that_is_not_there_is_told_with_the_one_that_was_meant() {
        let object = annotated(&json!({RESOLVER: "resolver-svr", HEALTH_CHECKER: "threshold"}));
        let present = ["resolver-srv", "threshold"].map(str::to_owned);
        let told = absent_plugins(&object, &present);
        let wanted = "annotation umbel.dev/resolver names the plugin \"resolver-svr\", and there is none of that name: \
                      did you mean \"resolver-srv\"?";
        assert_eq!(told, [wanted]);
        assert!(
            absent_plugins(&object, &[])[1].contains("\"threshold\", and there is none of that name: until")
        );
        assert_eq!(absent_plugins(&annotated(&json!({})), &present), Vec::<String>::new());
    }
}
