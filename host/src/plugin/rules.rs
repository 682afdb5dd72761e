//! What a manifest says about how a plugin takes part, and what becomes of those who ask when it fails.

use crate::decision::binding::BindingSubject;
use crate::model::failure_policy::FailurePolicy;
use crate::plugin::adapter::stand_in::{Step, plan};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::generation::Generation;
use crate::plugin::source::manifest::{Bindings, Discovery, Manifest, Purpose};
use crate::plugin::source::pattern::Pattern;

/// The part of a manifest that holds also where no component can be loaded.
#[derive(Clone, Debug, Default)]
pub(in crate::plugin) struct Rules {
    pub policy: Option<FailurePolicy>,
    pub discovery: Discovery,
    bindings: Bindings,
}

impl Rules {
    pub(in crate::plugin) fn of(manifest: &Manifest) -> Self {
        let spec = &manifest.spec;
        Self {
            policy: spec.failure_policy,
            discovery: spec.discovery.clone(),
            bindings: spec.bindings.clone(),
        }
    }

    /// What holds while a generation serves.
    pub(in crate::plugin) fn of_service(generation: &Generation) -> Self {
        Self::of(&generation.profile.manifest)
    }

    /// What stands in, in this order.
    pub(in crate::plugin) fn plan(&self, facet: Facet, own: Option<FailurePolicy>) -> &'static [Step] {
        plan(facet, own.or(self.policy), self.discovery.purpose == Purpose::Restrict)
    }

    /// How precisely the manifest names an object; `None` where it does not.
    pub(in crate::plugin) fn precision(&self, subject: &BindingSubject) -> Option<usize> {
        let (namespace, name) = &subject.service;
        let by_service = most_precise(&self.bindings.services, &format!("{namespace}/{name}"));
        by_service.max(most_precise(&self.bindings.api_services, &subject.api_service))
    }

    /// Whether an object stays without this plugin rather than without its decision. Which decisions a component
    /// takes that was never loaded nobody knows, so this holds for all of them.
    pub(in crate::plugin) fn holds_unloaded(&self, subject: &BindingSubject) -> bool {
        subject.failure_policy.or(self.policy) == Some(FailurePolicy::Fail)
    }

    /// Whether groups are hidden while the transformer gives no answer.
    pub(in crate::plugin) fn hides(&self) -> bool {
        self.discovery.enabled && self.plan(Facet::Discovery, None).contains(&Step::Fail)
    }
}

fn most_precise(patterns: &[Pattern], text: &str) -> Option<usize> {
    patterns.iter().filter(|pattern| pattern.matches(text)).map(Pattern::precision).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(spec: &str) -> Rules {
        let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
        Rules::of(&Manifest::parse("p", &format!("{head}{spec}\n")).unwrap())
    }

    #[test]
    fn the_policy_of_an_object_goes_before_that_of_the_manifest() {
        let rules = rules("{failurePolicy: Fail}");
        assert_eq!(rules.plan(Facet::Health, None), [Step::Fail]);
        assert_eq!(rules.plan(Facet::Health, Some(FailurePolicy::Bypass)), [Step::Bypass]);
        let usual = Rules::default();
        assert_eq!(usual.plan(Facet::Health, Some(FailurePolicy::Fail)), [Step::Fail]);
        assert_ne!(usual.plan(Facet::Health, None), [Step::Fail]);
        let subject = |policy| BindingSubject { failure_policy: policy, ..BindingSubject::default() };
        assert!(rules.holds_unloaded(&subject(None)));
        assert!(!rules.holds_unloaded(&subject(Some(FailurePolicy::Builtin))));
    }

    #[test]
    fn only_a_transformer_that_takes_part_hides() {
        assert!(rules("{discovery: {enabled: true, purpose: restrict}}").hides());
        assert!(rules("{discovery: {enabled: true}, failurePolicy: Fail}").hides());
        assert!(!rules("{discovery: {purpose: restrict}}").hides(), "it is switched off");
        assert!(!rules("{failurePolicy: Fail}").hides());
        assert!(!rules("{discovery: {enabled: true}}").hides());
    }

    #[test]
    fn the_more_precise_binding_counts() {
        let rules = rules("{bindings: {services: ['prod/*', prod/shop], apiServices: ['*.example.com']}}");
        let precision = |service: [&str; 2], api_service: &str| {
            rules.precision(&BindingSubject {
                api_service: api_service.to_owned(),
                service: service.map(str::to_owned).into(),
                ..BindingSubject::default()
            })
        };
        assert_eq!(precision(["dev", "shop"], "v1.test"), None);
        assert!(precision(["prod", "shop"], "v1.test") > precision(["prod", "other"], "v1.test"));
        assert!(precision(["prod", "other"], "v1.test").is_some());
        assert!(precision(["dev", "shop"], "v1.example.com").is_some());
    }
}
