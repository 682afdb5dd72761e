//! What stands in for a plugin that gives no usable answer: the table of policies, and why it was needed.

use crate::model::failure_policy::FailurePolicy;
use crate::plugin::component::budget::Facet;
use crate::plugin::component::fault::{CallFault, FaultClass};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// One thing that can stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plugin) enum Step {
    /// What the plugin answered last, while that may be used.
    LastGood,
    /// The built-in; for a resolver only where the service names a host.
    Builtin,
    /// As though there were no plugin.
    Bypass,
    /// A verdict that nobody stands for any more.
    Unknown,
    /// Nothing.
    Fail,
}

impl Step {
    /// The word in metrics and status.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::LastGood => "UseLastGood",
            Self::Builtin => "Builtin",
            Self::Bypass => "Bypass",
            Self::Unknown => "Unknown",
            Self::Fail => "Fail",
        }
    }
}

/// What stands in, in this order. `restricts` says that a transformer removes what must not be seen: it is the only
/// one for which showing everything is not the lesser evil.
pub(in crate::plugin) fn plan(
    facet: Facet,
    policy: Option<FailurePolicy>,
    restricts: bool,
) -> &'static [Step] {
    use FailurePolicy as P;
    use Step::{Builtin, Bypass, Fail, LastGood, Unknown};
    match (facet, policy) {
        (_, Some(P::Fail)) => &[Fail],
        (Facet::Resolver | Facet::Lifecycle, None) => &[LastGood, Builtin, Fail],
        (Facet::Resolver | Facet::Lifecycle, Some(P::UseLastGood)) => &[LastGood, Fail],
        (Facet::Resolver | Facet::Lifecycle, Some(P::Builtin | P::Bypass)) => &[Builtin, Fail],
        (Facet::Health, None | Some(P::Builtin)) => &[Builtin],
        (Facet::Health, Some(P::UseLastGood)) => &[LastGood, Unknown],
        (Facet::Health, Some(P::Bypass)) => &[Bypass],
        (Facet::Discovery, None) if restricts => &[Fail],
        (Facet::Discovery, Some(P::UseLastGood)) if restricts => &[LastGood, Fail],
        (Facet::Discovery, None | Some(P::UseLastGood)) => &[LastGood, Bypass],
        (Facet::Discovery, Some(P::Builtin | P::Bypass)) => &[Bypass],
    }
}

/// The plan in words, for status.
pub(in crate::plugin) fn describe(plan: &[Step]) -> String {
    plan.iter().map(|step| step.word()).collect::<Vec<_>>().join(", then ")
}

/// Why something has to stand in. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plugin) enum Cause {
    /// There is no file of that name.
    Missing,
    /// Nothing could be loaded under that name yet.
    NotLoaded,
    /// An operator has switched it off.
    Disabled,
    /// It failed too often, and is asked again later.
    Suspended,
    /// It failed too often, and is not asked any more.
    Quarantined,
    /// It takes other decisions.
    OtherKind,
    /// The call failed, or the plugin said that it cannot tell.
    Fault(FaultClass),
}

impl Cause {
    /// The word in metrics and status.
    pub(in crate::plugin) fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotLoaded => "not-loaded",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Quarantined => "quarantined",
            Self::OtherKind => "other-kind",
            Self::Fault(class) => class.word(),
        }
    }

    /// The same as the end of a sentence about the plugin; holds nothing that a plugin said.
    fn phrase(self) -> &'static str {
        match self {
            Self::Missing => "is not there",
            Self::NotLoaded => "is not loaded",
            Self::Disabled => "is switched off",
            Self::Suspended => "failed too often and is asked again later",
            Self::Quarantined => "failed too often and is quarantined",
            Self::OtherKind => "does not take this decision",
            Self::Fault(FaultClass::Trap) => "trapped",
            Self::Fault(FaultClass::TimeoutCpu) => "used up its CPU budget",
            Self::Fault(FaultClass::TimeoutWall) => "did not answer in time",
            Self::Fault(FaultClass::Memory) => "wanted more memory than it may have",
            Self::Fault(FaultClass::HostBytes) => "answered with too many bytes",
            Self::Fault(FaultClass::AnswerInvalid) => "gave an answer that breaks a rule",
            Self::Fault(FaultClass::QueueFull) => "is busy",
            Self::Fault(FaultClass::Link) => "could not be run",
            Self::Fault(FaultClass::PluginFault) => "could not tell",
        }
    }
}

/// Why there is no answer of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Trouble {
    pub plugin: String,
    pub cause: Cause,
    /// For operators: names the plugin, and what it did.
    pub text: String,
}

impl Trouble {
    /// A call that failed.
    pub(in crate::plugin) fn of_call(plugin: &str, fault: &CallFault) -> Self {
        let cause = Cause::Fault(fault.class());
        Self { plugin: plugin.to_owned(), cause, text: format!("plugin {plugin:?} {fault}") }
    }

    /// The plugin says that it cannot tell now.
    pub(in crate::plugin) fn declared(plugin: &str, text: String) -> Self {
        Self { plugin: plugin.to_owned(), cause: Cause::Fault(FaultClass::PluginFault), text }
    }

    /// Whether it passes by itself and speaks neither against the plugin nor for another answer than its own.
    pub(in crate::plugin) fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::Fault(FaultClass::QueueFull | FaultClass::PluginFault))
    }

    /// For clients: nothing that the plugin said, and no addresses.
    pub(in crate::plugin) fn for_client(&self) -> String {
        format!("plugin {:?} {}, and nothing stands in for it", self.plugin, self.cause.phrase())
    }
}

/// How often something stood in for a plugin.
#[derive(Debug, Default)]
pub(in crate::plugin) struct StandIns(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_plugin: BTreeMap<String, BTreeMap<(Facet, Step, Cause), u64>>,
    entries: usize,
}

/// Entries at most: names of plugins come from annotations.
const ENTRIES_MAX: usize = 10_000;

/// One line of the count.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandInCount {
    /// The kind of decision.
    pub kind: &'static str,
    /// What stood in.
    pub policy: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

impl StandIns {
    pub(in crate::plugin) fn count(&self, facet: Facet, step: Step, trouble: &Trouble) {
        let key = (facet, step, trouble.cause);
        let mut all = self.0.lock();
        let Counts { by_plugin, entries } = &mut *all;
        if let Some(count) = by_plugin.get_mut(&trouble.plugin).and_then(|own| own.get_mut(&key)) {
            *count += 1;
        } else if *entries < ENTRIES_MAX {
            by_plugin.entry(trouble.plugin.clone()).or_default().insert(key, 1);
            *entries += 1;
        }
    }

    /// What was counted for a plugin.
    pub(in crate::plugin) fn of(&self, plugin: &str) -> Vec<StandInCount> {
        self.0.lock().by_plugin.get(plugin).map(|own| lines(own).collect()).unwrap_or_default()
    }

    /// What was counted, by plugin; those that are not there are among them.
    pub(in crate::plugin) fn all(&self) -> Vec<(String, StandInCount)> {
        let all = self.0.lock();
        let by_plugin = all.by_plugin.iter();
        by_plugin.flat_map(|(name, own)| lines(own).map(|line| (name.clone(), line))).collect()
    }
}

fn lines(counts: &BTreeMap<(Facet, Step, Cause), u64>) -> impl Iterator<Item = StandInCount> {
    counts.iter().map(|((facet, step, cause), count)| {
        let (kind, policy, reason) = (facet.word(), step.word(), cause.word());
        StandInCount { kind, policy, reason, count: *count }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_policies() {
        use FailurePolicy as P;
        for (policy, resolver, health, discovery, restricting) in [
            (None, "UseLastGood, then Builtin, then Fail", "Builtin", "UseLastGood, then Bypass", "Fail"),
            (
                Some(P::UseLastGood),
                "UseLastGood, then Fail",
                "UseLastGood, then Unknown",
                "UseLastGood, then Bypass",
                "UseLastGood, then Fail",
            ),
            (Some(P::Builtin), "Builtin, then Fail", "Builtin", "Bypass", "Bypass"),
            (Some(P::Bypass), "Builtin, then Fail", "Bypass", "Bypass", "Bypass"),
            (Some(P::Fail), "Fail", "Fail", "Fail", "Fail"),
        ] {
            let told = |facet, restricts| describe(plan(facet, policy, restricts));
            assert_eq!(told(Facet::Resolver, false), resolver, "{policy:?}");
            assert_eq!(told(Facet::Health, false), health, "{policy:?}");
            assert_eq!(told(Facet::Discovery, false), discovery, "{policy:?}");
            assert_eq!(told(Facet::Discovery, true), restricting, "{policy:?}");
        }
    }

    #[test]
    fn load_and_what_a_plugin_says_itself_pass() {
        let passes = |fault: &CallFault| Trouble::of_call("p", fault).is_passing();
        assert!(passes(&CallFault::Busy(3)) && Trouble::declared("p", "later".to_owned()).is_passing());
        for fault in [CallFault::Trap(String::new()), CallFault::Memory(1), CallFault::Answer(String::new())]
        {
            assert!(!passes(&fault), "{fault:?}");
        }
        for cause in [Cause::Missing, Cause::Disabled, Cause::Suspended] {
            assert!(
                !Trouble { plugin: "p".to_owned(), cause, text: String::new() }.is_passing(),
                "{cause:?}"
            );
        }
    }

    /// Anybody who may write annotations names plugins.
    #[test]
    fn the_count_is_bounded() {
        let stand_ins = StandIns::default();
        let count = |plugin: &str| {
            let trouble = Trouble { plugin: plugin.to_owned(), cause: Cause::Missing, text: String::new() };
            stand_ins.count(Facet::Resolver, Step::Fail, &trouble);
        };
        (0..ENTRIES_MAX).for_each(|number| count(&number.to_string()));
        count("one more");
        count("7");
        assert_eq!(stand_ins.of("one more").len(), 0);
        assert_eq!(stand_ins.of("7")[0].count, 2, "what is counted already goes on");
        assert_eq!(stand_ins.all().len(), ENTRIES_MAX, "each of them once");
    }

    #[test]
    fn clients_are_told_the_cause_and_not_what_the_plugin_said() {
        let fault = CallFault::Answer("\"10.1.2.3\" is private".to_owned());
        let trouble = Trouble::of_call("consul", &fault);
        assert!(trouble.text.contains("10.1.2.3"));
        let told = trouble.for_client();
        assert_eq!(told, "plugin \"consul\" gave an answer that breaks a rule, and nothing stands in for it");
        let counts = StandIns::default();
        counts.count(Facet::Resolver, Step::Fail, &trouble);
        counts.count(Facet::Resolver, Step::Fail, &trouble);
        let line = StandInCount { kind: "resolver", policy: "Fail", reason: "answer-invalid", count: 2 };
        assert_eq!((counts.of("consul"), counts.of("other")), (vec![line], vec![]));
    }
}
