//! Whether the other end of an HTTP/2 connection is still there.

/// Seconds without a read before a ping is sent (contract §2.8).
const PING_AFTER: u64 = 30;
/// Seconds for its answer (contract §2.8).
const PING_ANSWER: u64 = 15;

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Wait,
    /// Silence has lasted: ask whether the peer is there.
    Ping,
    /// The peer does not answer.
    Dead,
}

/// When a peer was heard of last.
#[derive(Debug)]
pub struct Liveness {
    last_read: u64,
    pinged: Option<u64>,
}

impl Liveness {
    /// A connection that opens at `now`, in seconds of its worker.
    pub fn new(now: u64) -> Self {
        Self { last_read: now, pinged: None }
    }

    /// Once a second: `has_read` says whether anything came since the last time.
    pub fn judge(&mut self, now: u64, has_read: bool) -> Verdict {
        if has_read {
            *self = Self::new(now);
        }
        match self.pinged {
            Some(sent) if now.saturating_sub(sent) >= PING_ANSWER => Verdict::Dead,
            None if now.saturating_sub(self.last_read) >= PING_AFTER => Verdict::Ping,
            _ => Verdict::Wait,
        }
    }

    /// A ping is on its way.
    pub fn note_ping(&mut self, now: u64) {
        self.pinged = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(answers_at: &[u64], until: u64) -> Vec<(u64, Verdict)> {
        let mut liveness = Liveness::new(0);
        let mut notable = Vec::new();
        for now in 1..=until {
            let verdict = liveness.judge(now, answers_at.contains(&now));
            if verdict == Verdict::Ping {
                liveness.note_ping(now);
            }
            if verdict != Verdict::Wait {
                notable.push((now, verdict));
            }
        }
        notable
    }

    #[test]
    fn silence_is_asked_about_and_then_means_death() {
        assert_eq!(verdicts(&[], 45), [(30, Verdict::Ping), (45, Verdict::Dead)]);
    }

    #[test]
    fn a_peer_that_answers_lives() {
        assert_eq!(verdicts(&[31, 62], 80), [(30, Verdict::Ping), (61, Verdict::Ping)]);
        assert_eq!(verdicts(&[44], 60), [(30, Verdict::Ping)], "late is not dead");
        let busy: Vec<u64> = (1..200).step_by(20).collect();
        assert_eq!(verdicts(&busy, 200), [], "one that sends need not be asked");
    }
}
