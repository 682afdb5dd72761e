//! What of a plugin's changes is told as an event. Pure.

use super::asked::Outcome;
use super::aspects::{CALLS_FAIL, ROLLED_BACK};
use crate::control::events::{NOTE_MAX, Tale, Weight, shorten};
use crate::decision::plugins::{Newest, PluginView};
use crate::kind::plugin::HEALTHY;
use crate::model::object::Object;
use crate::object::condition::{self, time_text};

/// The states, and the reasons, of what is loaded and is not asked.
const HELD: [&str; 2] = ["Suspended", "Quarantined"];

/// The plugin as its object shows it from before.
struct Before<'a> {
    object: Option<&'a Object>,
    /// The number of the outcome that was reported last, where this process reported one.
    outcome: Option<u64>,
    view: &'a PluginView,
}

/// What there is to tell of a plugin that was so and is now otherwise; nothing while its files are on their way.
pub(super) fn of_change(before: Option<&Object>, outcome: Option<u64>, view: &PluginView) -> Vec<Tale> {
    let before = Before { object: before, outcome, view };
    before.of_state().into_iter().chain(before.of_hold()).chain(before.of_health()).collect()
}

impl Before<'_> {
    fn was(&self, field: &str) -> &str {
        self.object.map(|object| object.text(&["status", field])).unwrap_or_default()
    }

    /// The reason why what was loaded was not asked: the condition shows it in every state.
    fn was_held(&self) -> Option<&str> {
        let healthy = condition::find(self.object?, HEALTHY)?;
        HELD.contains(&healthy.reason).then_some(healthy.reason)
    }

    fn was_failing(&self) -> bool {
        let healthy = self.object.and_then(|object| condition::find(object, HEALTHY));
        healthy.is_some_and(|healthy| healthy.reason == CALLS_FAIL)
    }

    /// Whether its files had no further outcome. Timestamps have a resolution of one second, and much can happen
    /// within it, so they only tell where another process reported the last outcome.
    fn is_same_outcome(&self) -> bool {
        self.outcome.map_or_else(
            || self.was("since") == time_text(self.view.since),
            |outcome| outcome == self.view.outcome,
        )
    }

    fn is_same_generation(&self) -> bool {
        let generation = self.object.and_then(|object| object.at(&["status", "generation"])?.as_u64());
        generation == Some(self.view.generation)
    }

    /// Numbers begin anew with the process, so they alone do not tell.
    fn is_same_component(&self) -> bool {
        self.is_same_generation() && self.was("digest") == self.view.digest
    }

    fn of_state(&self) -> Option<Tale> {
        let view = self.view;
        let is_same = self.was("state") == view.state
            && self.was("reason") == view.reason
            && self.is_same_outcome()
            && self.is_same_generation();
        if is_same {
            return None;
        }
        match view.state.as_str() {
            "Probation" | "Active" => Some(self.came_into_service()),
            // It was given up before it was suspended; now it is merely asked again.
            "Rejected" if view.reason == ROLLED_BACK && self.has_recovered() => None,
            "Rejected" => Some(warning("Load", &view.reason, trouble(view, ""))),
            state if HELD.contains(&state) => Some(warning("Hold", state, trouble(view, ""))),
            "Disabled" => self.of_disabled(),
            "Removed" if view.bindings.is_empty() => Some(normal("Remove", "Removed", trouble(view, ""))),
            state @ ("Removed" | "Missing") => {
                let bound = format!("; bindings that lead to it: {}", view.bindings.len());
                Some(warning("Remove", state, trouble(view, &bound)))
            }
            _ => None,
        }
    }

    /// A file may be refused while the plugin is switched off.
    fn of_disabled(&self) -> Option<Tale> {
        let view = self.view;
        let was_disabled = self.was("state") == view.state;
        let is_refused = !view.reason.is_empty() && view.hold.is_none();
        if is_refused && (was_disabled || self.was("reason") != view.reason) {
            return Some(warning("Load", &view.reason, trouble(view, "")));
        }
        (!was_disabled).then(|| normal("Disable", "Disabled", trouble(view, "")))
    }

    /// A hold that begins or ends while the state tells of something else.
    fn of_hold(&self) -> Option<Tale> {
        let view = self.view;
        match &view.hold {
            Some(_) if HELD.contains(&view.state.as_str()) => None,
            Some((reason, _)) if self.was_held() == Some(reason) && self.is_same_generation() => None,
            Some((reason, message)) => Some(warning("Hold", reason, message.clone())),
            None if view.state == "Rejected" && self.has_recovered() => Some(recovered(view)),
            None => None,
        }
    }

    /// The first fault of the serving generation, and the end of its faults. A suspension has an event of its own.
    fn of_health(&self) -> Option<Tale> {
        let view = self.view;
        match &view.failing {
            _ if view.hold.is_some() || !view.serves => None,
            Some(fault) if !self.was_failing() || !self.is_same_component() => {
                Some(warning("Call", CALLS_FAIL, format!("a call failed: {fault}")))
            }
            None if self.was_failing() && self.is_same_component() => Some(recovered(view)),
            _ => None,
        }
    }

    fn has_recovered(&self) -> bool {
        self.was_held().is_some() && self.view.hold.is_none() && self.view.serves && self.is_same_component()
    }

    fn came_into_service(&self) -> Tale {
        let view = self.view;
        let number = view.generation;
        match self.was("state") {
            "Probation" if self.is_same_component() && view.state == "Active" => {
                normal("Activate", "ProbationPassed", format!("generation {number} has passed its probation"))
            }
            "Disabled" if self.is_same_component() => {
                normal("Activate", "Enabled", format!("generation {number} is asked again"))
            }
            _ if self.has_recovered() => recovered(view),
            _ => {
                let digest = view.digest.get(..12).unwrap_or(&view.digest);
                let mut note =
                    format!("generation {number} serves: {}, sha256 {digest}", view.interfaces.join(", "));
                if view.state == "Probation" {
                    note.push_str("; it is on probation, the generation before stands by");
                }
                normal("Activate", "Activated", note)
            }
        }
    }
}

fn recovered(view: &PluginView) -> Tale {
    normal("Activate", "Recovered", format!("generation {} is asked again", view.generation))
}

/// What there is to tell of things that annotations asked for and that could not be done.
pub(super) fn of_refusals(outcomes: &[Outcome]) -> impl Iterator<Item = Tale> {
    outcomes.iter().filter_map(|outcome| {
        let cause = outcome.result.as_ref().err()?;
        Some(warning("Obey", "ActionRefused", format!("{} cannot be done: {cause}", outcome.deed.word())))
    })
}

/// What is wrong, with the mend and `end` in full, however long the message is.
fn trouble(view: &PluginView, end: &str) -> String {
    let mut rest = String::new();
    if !view.mend.is_empty() {
        rest.push_str("; to mend it: ");
        rest.push_str(&view.mend);
    }
    if view.newest == Newest::Refused && view.serves {
        rest.push_str(&format!("; generation {} goes on serving", view.generation));
    }
    rest.push_str(end);
    let left = NOTE_MAX.saturating_sub(rest.len());
    format!("{}{rest}", shorten(&view.message, left))
}

fn normal(action: &'static str, reason: &str, note: String) -> Tale {
    Tale { weight: Weight::Normal, action, reason: reason.to_owned(), note }
}

fn warning(action: &'static str, reason: &str, note: String) -> Tale {
    Tale { weight: Weight::Warning, action, reason: reason.to_owned(), note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::plugins::picture::picture;
    use crate::decision::plugins::Deed;
    use jiff::Timestamp;

    fn view(state: &str, reason: &str) -> PluginView {
        PluginView {
            name: "p".to_owned(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            message: "m".to_owned(),
            generation: 2,
            ..PluginView::default()
        }
    }

    fn held(state: &str, reason: &str, hold: &str) -> PluginView {
        PluginView { hold: Some((hold.to_owned(), "it trapped".to_owned())), ..view(state, reason) }
    }

    /// Reason and weight of the events between two views.
    fn told(before: &PluginView, after: &PluginView) -> String {
        let before = picture(before, None, &[], Timestamp::UNIX_EPOCH);
        let tales = of_change(Some(&before), None, after);
        let short = tales.iter().map(|tale| format!("{} {}", tale.weight.as_str(), tale.reason));
        short.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_change_that_an_operator_cares_about_is_told_once() {
        let checking = view("Checking", "");
        for (before, after, wanted) in [
            (checking.clone(), view("Active", ""), "Normal Activated"),
            (checking.clone(), view("Probation", ""), "Normal Activated"),
            (view("Probation", ""), view("Active", ""), "Normal ProbationPassed"),
            (view("Probation", ""), view("Rejected", "RolledBack"), "Warning RolledBack"),
            (checking.clone(), view("Rejected", "TooLarge"), "Warning TooLarge"),
            (view("Rejected", "TooLarge"), view("Rejected", "NotAComponent"), "Warning NotAComponent"),
            (view("Active", ""), suspended(), "Warning Suspended"),
            (suspended(), serving("Active", ""), "Normal Recovered"),
            (suspended(), held("Quarantined", "Quarantined", "Quarantined"), "Warning Quarantined"),
            (view("Active", ""), view("Disabled", ""), "Normal Disabled"),
            (view("Disabled", ""), view("Active", ""), "Normal Enabled"),
            (view("Active", ""), view("Removed", ""), "Normal Removed"),
            (view("Active", ""), view("Missing", "Missing"), "Warning Missing"),
            (view("Active", ""), checking, ""),
            (view("Active", ""), view("Active", ""), ""),
        ] {
            assert_eq!(told(&before, &after), wanted, "{} to {}", before.state, after.state);
        }
    }

    fn serving(state: &str, reason: &str) -> PluginView {
        PluginView { serves: true, ..view(state, reason) }
    }

    fn suspended() -> PluginView {
        held("Suspended", "Suspended", "Suspended")
    }

    #[test]
    fn a_hold_is_told_also_while_the_newest_file_is_refused() {
        let refused = serving("Rejected", "TooLarge");
        let refused_and_held = |reason| held("Rejected", "TooLarge", reason);
        let rolled_back = serving("Rejected", "RolledBack");
        let other = PluginView { digest: "another".to_owned(), ..serving("Active", "") };
        for (before, after, wanted) in [
            (&refused, &refused_and_held("Suspended"), "Warning Suspended"),
            (&refused_and_held("Suspended"), &refused_and_held("Suspended"), ""),
            (&refused_and_held("Suspended"), &refused_and_held("Quarantined"), "Warning Quarantined"),
            (&refused_and_held("Suspended"), &refused, "Normal Recovered"),
            (&suspended(), &refused_and_held("Suspended"), "Warning TooLarge"),
            (&rolled_back, &suspended(), "Warning Suspended"),
            (&suspended(), &rolled_back, "Normal Recovered"),
            (&PluginView { generation: 3, ..suspended() }, &rolled_back, "Warning RolledBack"),
            (&suspended(), &other, "Normal Activated"),
        ] {
            assert_eq!(told(before, after), wanted, "{before:?} to {after:?}");
        }
        let before = picture(&refused, None, &[], Timestamp::UNIX_EPOCH);
        let tales = of_change(Some(&before), None, &refused_and_held("Suspended"));
        assert_eq!(tales[0].note, "it trapped");
    }

    #[test]
    fn a_file_that_is_refused_while_the_plugin_is_switched_off_is_a_warning() {
        let disabled = |reason| PluginView { disabled: true, ..view("Disabled", reason) };
        for (before, after, wanted) in [
            (disabled(""), disabled("TooLarge"), "Warning TooLarge"),
            (disabled("TooLarge"), disabled("TooLarge"), ""),
            (disabled("TooLarge"), disabled(""), ""),
            (serving("Rejected", "TooLarge"), disabled("TooLarge"), "Normal Disabled"),
            (
                suspended(),
                PluginView { disabled: true, ..held("Disabled", "Suspended", "Suspended") },
                "Normal Disabled",
            ),
        ] {
            assert_eq!(told(&before, &after), wanted, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_long_message_leaves_the_mend_and_what_serves_in_sight() {
        let refused = PluginView {
            message: "é".repeat(2_048),
            mend: "do".to_owned(),
            newest: Newest::Refused,
            ..serving("Rejected", "TooLarge")
        };
        let note = &of_change(None, None, &refused)[0].note;
        assert!(note.len() <= NOTE_MAX, "{}", note.len());
        assert!(note.ends_with("é…; to mend it: do; generation 2 goes on serving"), "{note}");
    }

    #[test]
    fn what_an_annotation_asked_for_in_vain_is_told() {
        let outcome = |result| Outcome { deed: Deed::Rollback, value: "1".to_owned(), result };
        let outcomes = [outcome(Ok("done".to_owned())), outcome(Err("there is nothing".to_owned()))];
        let told: Vec<Tale> = of_refusals(&outcomes).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].note, "rollback cannot be done: there is nothing");
    }

    #[test]
    fn another_file_that_is_refused_for_the_same_reason_is_told_again() {
        let before = view("Rejected", "TooLarge");
        let after = PluginView { since: Timestamp::from_second(9).unwrap(), ..before.clone() };
        assert_eq!(told(&before, &after), "Warning TooLarge");
    }

    #[test]
    fn two_rejections_within_a_second_are_told_twice() {
        let first = PluginView { outcome: 7, ..view("Rejected", "TooLarge") };
        let stored = picture(&first, None, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(of_change(Some(&stored), Some(7), &first), []);
        let second = PluginView { outcome: 8, ..first.clone() };
        assert_eq!(
            picture(&second, Some(&stored), &[], Timestamp::UNIX_EPOCH),
            stored,
            "the object is the same"
        );
        assert_eq!(of_change(Some(&stored), Some(7), &second).len(), 1);
        let moved = PluginView { since: Timestamp::from_second(9).unwrap(), ..first };
        assert_eq!(of_change(Some(&stored), Some(7), &moved), [], "nothing became of other files");
    }

    #[test]
    fn the_first_fault_and_the_recovery_are_told_once() {
        let good = serving("Active", "");
        let failing = PluginView { failing: Some("it trapped".to_owned()), ..good.clone() };
        let other = PluginView { digest: "another".to_owned(), ..failing.clone() };
        let held = PluginView { failing: None, ..suspended() };
        for (before, after, wanted) in [
            (&good, &failing, "Warning CallsFail"),
            (&failing, &failing, ""),
            (&failing, &other, "Warning CallsFail"),
            (&failing, &good, "Normal Recovered"),
            (&failing, &held, "Warning Suspended"),
            (&held, &good, "Normal Recovered"),
            (
                &failing,
                &PluginView { failing: None, serves: false, ..view("Disabled", "") },
                "Normal Disabled",
            ),
        ] {
            assert_eq!(told(before, after), wanted, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_rejection_tells_the_mend_and_what_serves_and_a_missing_file_who_needs_it() {
        let rejected = PluginView { mend: "do".into(), serves: true, ..view("Rejected", "TooLarge") };
        let tale = &of_change(None, None, &rejected)[0];
        assert_eq!(tale.note, "m; to mend it: do; generation 2 goes on serving");
        let binding = ["APIService/v1.a".to_owned(), "health".to_owned(), "Builtin".to_owned()];
        let missing = PluginView { bindings: vec![binding], ..view("Missing", "Missing") };
        let tale = &of_change(None, None, &missing)[0];
        assert_eq!((tale.weight, tale.reason.as_str()), (Weight::Warning, "Missing"));
        assert!(tale.note.ends_with("lead to it: 1"), "{}", tale.note);
    }
}
