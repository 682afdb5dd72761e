//! What of a plugin's changes is told as an event. Pure.

use super::asked::Outcome;
use crate::control::events::{Tale, Weight};
use crate::decision::plugins::{Newest, PluginView};
use crate::model::object::Object;
use crate::object::condition::time_text;

/// What there is to tell of a plugin that was so and is now otherwise; nothing while its files are on their way.
pub(super) fn of_change(before: Option<&Object>, view: &PluginView) -> Option<Tale> {
    let was = |field: &str| before.map(|object| object.text(&["status", field])).unwrap_or_default();
    let generation = before.and_then(|object| object.at(&["status", "generation"])?.as_u64());
    let is_same = was("state") == view.state
        && was("reason") == view.reason
        && was("since") == time_text(view.since)
        && generation == Some(view.generation);
    if is_same {
        return None;
    }
    match view.state.as_str() {
        "Probation" | "Active" => Some(came_into_service(was("state"), generation, view)),
        "Rejected" => Some(warning("Load", &view.reason, trouble(view))),
        "Suspended" | "Quarantined" => Some(warning("Hold", &view.state, trouble(view))),
        "Disabled" => Some(normal("Disable", "Disabled", trouble(view))),
        "Removed" if view.bindings.is_empty() && view.reason.is_empty() => {
            Some(normal("Remove", "Removed", trouble(view)))
        }
        "Removed" => {
            let reason = if view.reason.is_empty() { "Removed" } else { &view.reason };
            let bound = view.bindings.len();
            Some(warning("Remove", reason, format!("{}; bindings that lead to it: {bound}", trouble(view))))
        }
        _ => None,
    }
}

/// What there is to tell of things that annotations asked for and that could not be done.
pub(super) fn of_refusals(outcomes: &[Outcome]) -> impl Iterator<Item = Tale> {
    outcomes.iter().filter_map(|outcome| {
        let cause = outcome.result.as_ref().err()?;
        Some(warning("Obey", "ActionRefused", format!("{} cannot be done: {cause}", outcome.deed.word())))
    })
}

fn came_into_service(was: &str, generation: Option<u64>, view: &PluginView) -> Tale {
    let number = view.generation;
    let is_the_same = generation == Some(number);
    match was {
        "Probation" if is_the_same && view.state == "Active" => {
            normal("Activate", "ProbationPassed", format!("generation {number} has passed its probation"))
        }
        "Suspended" | "Quarantined" if is_the_same => {
            normal("Activate", "Recovered", format!("generation {number} is asked again"))
        }
        "Disabled" if is_the_same => {
            normal("Activate", "Enabled", format!("generation {number} is asked again"))
        }
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

fn trouble(view: &PluginView) -> String {
    let mut text = view.message.clone();
    if !view.mend.is_empty() {
        text.push_str("; to mend it: ");
        text.push_str(&view.mend);
    }
    if view.newest == Newest::Refused && view.serves {
        text.push_str(&format!("; generation {} goes on serving", view.generation));
    }
    text
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

    /// Reason and weight of the event between two views.
    fn told(before: &PluginView, after: &PluginView) -> String {
        let before = picture(before, None, &[], Timestamp::UNIX_EPOCH);
        let tale = of_change(Some(&before), after);
        tale.map_or_else(String::new, |tale| format!("{} {}", tale.weight.as_str(), tale.reason))
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
            (view("Active", ""), view("Suspended", "Suspended"), "Warning Suspended"),
            (view("Suspended", "Suspended"), view("Active", ""), "Normal Recovered"),
            (view("Suspended", "Suspended"), view("Quarantined", "Quarantined"), "Warning Quarantined"),
            (view("Active", ""), view("Disabled", ""), "Normal Disabled"),
            (view("Disabled", ""), view("Active", ""), "Normal Enabled"),
            (view("Active", ""), view("Removed", ""), "Normal Removed"),
            (view("Active", ""), view("Removed", "Missing"), "Warning Missing"),
            (view("Active", ""), checking, ""),
            (view("Active", ""), view("Active", ""), ""),
        ] {
            assert_eq!(told(&before, &after), wanted, "{} to {}", before.state, after.state);
        }
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
    fn a_rejection_tells_the_mend_and_what_serves_and_a_missing_file_who_needs_it() {
        let rejected = PluginView { mend: "do".into(), serves: true, ..view("Rejected", "TooLarge") };
        let tale = of_change(None, &rejected).unwrap();
        assert_eq!(tale.note, "m; to mend it: do; generation 2 goes on serving");
        let binding = ["APIService/v1.a".to_owned(), "health".to_owned(), "Builtin".to_owned()];
        let missing = PluginView { bindings: vec![binding], ..view("Removed", "Missing") };
        let tale = of_change(None, &missing).unwrap();
        assert_eq!((tale.weight, tale.reason.as_str()), (Weight::Warning, "Missing"));
        assert!(tale.note.ends_with("lead to it: 1"), "{}", tale.note);
    }
}
