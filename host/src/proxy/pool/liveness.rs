//! Whether the peer of an HTTP/2 connection still answers.

/// Seconds without a read before a ping is sent while requests wait.
const PING_AFTER_BUSY: u64 = 3;
/// The same on a connection without requests (contract §2.8).
const PING_AFTER_IDLE: u64 = 30;
/// Seconds after an unanswered ping until the backend must be checked.
const DOUBT_AFTER: u64 = 1;
/// Seconds for the answer to a ping. A process that is only slow answers within that time: pings need no handler.
const PING_ANSWER: u64 = 5;
/// Seconds between two calls that show that this process itself did not run, for example because it was stopped.
const PAUSE: u64 = 4;

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Wait,
    /// Silence has lasted: ask whether the peer is there.
    Ping,
    /// The answer is overdue: the control plane should check the backend.
    Doubt,
    /// The peer does not answer.
    Dead,
}

/// When a peer was heard of last.
#[derive(Debug)]
pub struct Liveness {
    last_read: u64,
    pinged: Option<u64>,
    judged: u64,
}

impl Liveness {
    /// A connection that opens at `now`, in seconds of its worker.
    pub fn new(now: u64) -> Self {
        Self { last_read: now, pinged: None, judged: now }
    }

    /// Called once a second: `has_read` says whether data arrived since the last call, `is_busy` whether requests
    /// wait.
    pub fn judge(&mut self, now: u64, has_read: bool, is_busy: bool) -> Verdict {
        let was_paused = now.saturating_sub(self.judged) >= PAUSE;
        self.judged = now;
        if has_read {
            *self = Self::new(now);
        }
        if was_paused {
            // An answer that arrived meanwhile has not been read yet.
            self.pinged = self.pinged.map(|_| now);
        }
        let quiet = if is_busy { PING_AFTER_BUSY } else { PING_AFTER_IDLE };
        match self.pinged.map(|sent| now.saturating_sub(sent)) {
            Some(waited) if waited >= PING_ANSWER => Verdict::Dead,
            Some(waited) if waited >= DOUBT_AFTER && is_busy => Verdict::Doubt,
            None if now.saturating_sub(self.last_read) >= quiet => Verdict::Ping,
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

    fn verdicts(answers_at: &[u64], until: u64, is_busy: bool) -> Vec<(u64, Verdict)> {
        let mut liveness = Liveness::new(0);
        let mut notable = Vec::new();
        for now in 1..=until {
            let verdict = liveness.judge(now, answers_at.contains(&now), is_busy);
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
        assert_eq!(verdicts(&[], 35, false), [(30, Verdict::Ping), (35, Verdict::Dead)]);
        let doubts = (4..8).map(|now| (now, Verdict::Doubt));
        let busy = verdicts(&[], 8, true);
        assert_eq!(busy[..1], [(3, Verdict::Ping)]);
        assert!(busy[1..5].iter().copied().eq(doubts));
        assert_eq!(busy[5..], [(8, Verdict::Dead)]);
    }

    #[test]
    fn a_peer_that_answers_lives() {
        let pings = verdicts(&[31, 62], 80, false);
        assert_eq!(pings, [(30, Verdict::Ping), (61, Verdict::Ping)]);
        let late = [(3, Verdict::Ping), (4, Verdict::Doubt), (5, Verdict::Doubt), (6, Verdict::Doubt)];
        assert_eq!(verdicts(&[7], 9, true), late, "late is not dead");
        let talking: Vec<u64> = (1..200).step_by(2).collect();
        assert_eq!(verdicts(&talking, 200, true), [], "one that sends need not be asked");
    }

    #[test]
    fn a_pause_of_this_process_is_no_silence_of_the_peer() {
        let mut liveness = Liveness::new(0);
        assert_eq!(liveness.judge(3, false, true), Verdict::Ping);
        liveness.note_ping(3);
        assert_eq!(liveness.judge(60, false, true), Verdict::Wait);
        assert_eq!(liveness.judge(61, true, true), Verdict::Wait);
    }
}
