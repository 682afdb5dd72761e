//! What stored objects declare, as far as it decides about routing.

use super::condition::Condition;
use crate::model::annotations::{FAILURE_POLICY, HEALTH_CHECKER, RESOLVER};
use crate::model::failure_policy::{self, FailurePolicy};
use crate::model::group_version::GroupVersion;
use crate::model::object::Object;
use crate::store::Revision;
use crate::upstream::TlsSource;
use base64::Engine as _;
use serde_json::Value;

/// The port of a service when the APIService names none.
const DEFAULT_PORT: u16 = 443;

/// Names an ExternalName: namespace, name.
pub(super) type ServiceName = (String, String);

/// An APIService.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApiService {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) revision: Revision,
    pub(super) group_version: GroupVersion,
    pub(super) group_priority: i32,
    pub(super) version_priority: i32,
    /// `None` for a local one.
    pub(super) service: Option<(ServiceName, u16)>,
    pub(super) tls: TlsSource,
    pub(super) resolver: Option<String>,
    pub(super) health_checker: Option<String>,
    pub(super) failure_policy: Option<FailurePolicy>,
    pub(super) condition: Option<Condition>,
}

/// An ExternalName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExternalName {
    pub(super) host: String,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) resolver: Option<String>,
    pub(super) health_checker: Option<String>,
    pub(super) failure_policy: Option<FailurePolicy>,
}

impl ApiService {
    /// Reads a stored object. Admission has checked it; what is odd anyway ends in a condition, not here.
    pub(super) fn read(object: &Object) -> Self {
        let number = |path: &[&str]| object.at(path).and_then(Value::as_i64);
        let priority = |key| number(&["spec", key]).and_then(|n| i32::try_from(n).ok()).unwrap_or_default();
        let service = object.at(&["spec", "service"]).filter(|s| s.is_object()).map(|_| {
            let port = number(&["spec", "service", "port"]).and_then(|n| u16::try_from(n).ok());
            let part = |key| object.text(&["spec", "service", key]).to_owned();
            ((part("namespace"), part("name")), port.unwrap_or(DEFAULT_PORT))
        });
        Self {
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            revision: object.resource_version().parse().unwrap_or_default(),
            group_version: GroupVersion::new(
                object.text(&["spec", "group"]),
                object.text(&["spec", "version"]),
            ),
            group_priority: priority("groupPriorityMinimum"),
            version_priority: priority("versionPriority"),
            service,
            tls: read_tls(object),
            resolver: object.annotation(RESOLVER).map(str::to_owned),
            health_checker: object.annotation(HEALTH_CHECKER).map(str::to_owned),
            failure_policy: read_policy(object),
            condition: Condition::read(object),
        }
    }

    /// Whether both lead to the same backend, judged by the same checker.
    pub(super) fn routes_like(&self, other: &Self) -> bool {
        let of = |it: &Self| {
            let decisions = (it.resolver.clone(), it.health_checker.clone(), it.failure_policy);
            (it.uid.clone(), it.group_version.clone(), it.service.clone(), decisions)
        };
        of(self) == of(other) && self.tls == other.tls
    }
}

/// A text that is no policy leaves the default, as the log says.
fn read_policy(object: &Object) -> Option<FailurePolicy> {
    if let Some(complaint) = failure_policy::complaint(object) {
        tracing::warn!(object = object.name(), "{complaint}");
    }
    FailurePolicy::parse(object.annotation(FAILURE_POLICY)?).ok()
}

fn read_tls(object: &Object) -> TlsSource {
    if object.at(&["spec", "insecureSkipTLSVerify"]).and_then(Value::as_bool) == Some(true) {
        return TlsSource::Insecure;
    }
    match object.text(&["spec", "caBundle"]) {
        "" => TlsSource::Default,
        // Admission refuses what is no base64; an empty bundle then names itself in the condition.
        text => {
            TlsSource::CaBundle(base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default())
        }
    }
}

impl ExternalName {
    /// Reads a stored object.
    pub(super) fn read(object: &Object) -> Self {
        let annotations = object.at(&["metadata", "annotations"]).and_then(Value::as_object);
        let annotations = annotations.into_iter().flatten();
        Self {
            host: object.text(&["spec", "host"]).to_owned(),
            annotations: annotations
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            resolver: object.annotation(RESOLVER).map(str::to_owned),
            health_checker: object.annotation(HEALTH_CHECKER).map(str::to_owned),
            failure_policy: read_policy(object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_api_service_is_read_with_its_defaults() {
        let object = Object::from_value(json!({
            "metadata": {"name": "v1.g", "uid": "u", "resourceVersion": "7",
                "annotations": {"umbel.dev/resolver": "srv"}},
            "spec": {"group": "g", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                "caBundle": "aGk=", "service": {"namespace": "ns", "name": "api"}}}))
        .unwrap();
        let read = ApiService::read(&object);
        assert_eq!(read.service, Some((("ns".into(), "api".into()), 443)));
        assert_eq!(read.tls, TlsSource::CaBundle(b"hi".to_vec()));
        assert_eq!((read.revision, read.group_priority, read.version_priority), (7, 1000, 15));
        assert_eq!(read.resolver.as_deref(), Some("srv"));
        assert_eq!(read.condition, None);
    }

    #[test]
    fn a_stored_condition_is_read_with_its_status() {
        use crate::control::condition::Truth;
        for (status, truth) in [
            ("True", Truth::True),
            ("False", Truth::False),
            ("Unknown", Truth::Unknown),
            ("x", Truth::Unknown),
        ] {
            let object = Object::from_value(json!({"status": {"conditions": [
                {"type": "Other", "status": "True", "reason": "O", "message": "o"},
                {"type": "Available", "status": status, "reason": "R", "message": "m"}]}}))
            .unwrap();
            let condition = ApiService::read(&object).condition.unwrap();
            assert_eq!(
                (condition.status, condition.reason.as_str(), condition.message.as_str()),
                (truth, "R", "m")
            );
        }
    }

    #[test]
    fn what_decides_about_the_backend_makes_another_route() {
        let declared = |change: Value| {
            let mut object = json!({
                "metadata": {"name": "v1.g", "uid": "u", "resourceVersion": "7"},
                "spec": {"group": "g", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                    "service": {"namespace": "ns", "name": "api"}}});
            json_patch::merge(&mut object, &change);
            ApiService::read(&Object::from_value(object).unwrap())
        };
        let first = declared(json!({}));
        for other in [
            json!({"metadata": {"uid": "v"}}),
            json!({"metadata": {"annotations": {RESOLVER: "srv"}}}),
            json!({"metadata": {"annotations": {HEALTH_CHECKER: "ping"}}}),
            json!({"metadata": {"annotations": {FAILURE_POLICY: "Fail"}}}),
            json!({"spec": {"service": {"name": "other"}}}),
            json!({"spec": {"service": {"port": 8443}}}),
            json!({"spec": {"caBundle": "aGk="}}),
            json!({"spec": {"insecureSkipTLSVerify": true}}),
        ] {
            assert!(!declared(other.clone()).routes_like(&first), "{other}");
        }
        for same in [
            json!({"metadata": {"resourceVersion": "8", "labels": {"a": "b"}}}),
            json!({"spec": {"versionPriority": 99}}),
            json!({"status": {"conditions": [{"type": "Available", "status": "True", "reason": "R"}]}}),
        ] {
            assert!(declared(same.clone()).routes_like(&first), "{same}");
        }
    }
}
