//! The decision: counting answers in a row.
//!
//! Each call runs in a fresh instance, so the count travels: it goes out with the verdict and comes back with the
//! next call.

use crate::settings::Settings;

/// How a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody knows.
    Unknown,
    /// It answers.
    Up,
    /// It fails, but not often enough in a row.
    Degraded,
    /// It does not answer.
    Down,
}

/// What one look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whether enough endpoints answered well.
    pub success: bool,
}

/// Equal observations in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Failures, zero after a success.
    pub failures: u32,
    /// Successes, zero after a failure.
    pub successes: u32,
}

/// The outcome of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The state.
    pub state: State,
    /// Condition reason.
    pub reason: &'static str,
    /// Condition message.
    pub message: String,
    /// To be handed back the next time.
    pub streak: Streak,
    /// Whether a row is being counted.
    pub ask_again_soon: bool,
}

impl Streak {
    /// Reads what [`Streak::to_memory`] wrote; anything else counts as nothing.
    pub fn from_memory(memory: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
        let parts = memory.split_at_checked(4).filter(|(_, rest)| rest.len() == 4);
        let counts = parts.and_then(|(failures, successes)| Some((number(failures)?, number(successes)?)));
        counts.map(|(failures, successes)| Self { failures, successes }).unwrap_or_default()
    }

    /// The counts as eight bytes.
    pub fn to_memory(self) -> Vec<u8> {
        [self.failures.to_le_bytes(), self.successes.to_le_bytes()].concat()
    }

    fn after(self, observation: Observation) -> Self {
        if observation.success {
            Self { failures: 0, successes: self.successes.saturating_add(1) }
        } else {
            Self { failures: self.failures.saturating_add(1), successes: 0 }
        }
    }
}

/// Judges one observation in the light of those before it.
pub fn judge(settings: &Settings, was: State, before: Streak, observation: Observation) -> Judgement {
    let streak = before.after(observation);
    let available = matches!(was, State::Up | State::Degraded);
    let (state, reason, message) = if observation.success {
        if available || streak.successes >= settings.successes {
            (State::Up, "Passed", "all checks passed".to_owned())
        } else {
            let counted = format!("{} of {} successes in a row", streak.successes, settings.successes);
            (was, "AwaitingSuccesses", counted)
        }
    } else if streak.failures >= settings.failures || was == State::Down {
        (State::Down, "FailedHealthCheck", format!("{} failures in a row", streak.failures))
    } else {
        let counted = format!("{} of {} failures in a row", streak.failures, settings.failures);
        let state = if available { State::Degraded } else { was };
        (state, "AwaitingFailures", counted)
    };
    let ask_again_soon = matches!(reason, "AwaitingSuccesses" | "AwaitingFailures");
    Judgement { state, reason, message, streak, ask_again_soon }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds observations as the host does: state and count of one call go into the next.
    fn run(settings: &Settings, looks: &str) -> Vec<State> {
        let (mut was, mut memory) = (State::Unknown, Vec::new());
        let mut states = Vec::new();
        for look in looks.chars() {
            let observation = Observation { success: look == '+' };
            let judgement = judge(settings, was, Streak::from_memory(&memory), observation);
            (was, memory) = (judgement.state, judgement.streak.to_memory());
            states.push(was);
        }
        states
    }

    #[test]
    fn it_takes_three_failures_to_fall_and_two_successes_to_rise() {
        use State::{Degraded, Down, Unknown, Up};
        let settings = Settings { failures: 3, successes: 2, ..Settings::default() };
        assert_eq!(run(&settings, "++"), [Unknown, Up]);
        assert_eq!(
            run(&settings, "++--+---"),
            [Unknown, Up, Degraded, Degraded, Up, Degraded, Degraded, Down]
        );
        assert_eq!(run(&settings, "---+-++"), [Unknown, Unknown, Down, Down, Down, Down, Up]);
    }

    #[test]
    fn the_message_counts() {
        let settings = Settings::default();
        let judgement = judge(&settings, State::Up, Streak::default(), Observation { success: false });
        assert_eq!(judgement.message, "1 of 3 failures in a row");
        assert!(judgement.ask_again_soon);
        let streak = Streak { failures: 2, successes: 0 };
        let judgement = judge(&settings, State::Degraded, streak, Observation { success: false });
        assert_eq!((judgement.state, judgement.reason), (State::Down, "FailedHealthCheck"));
        assert!(!judgement.ask_again_soon);
    }

    #[test]
    fn a_lost_memory_starts_the_count_anew() {
        assert_eq!(Streak::from_memory(b""), Streak::default());
        assert_eq!(Streak::from_memory(b"nonsense!"), Streak::default());
        let streak = Streak { failures: 7, successes: 0 };
        assert_eq!(Streak::from_memory(&streak.to_memory()), streak);
    }
}
