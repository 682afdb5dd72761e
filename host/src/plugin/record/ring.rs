//! The last calls of one plugin.

use super::exchange::{Asked, Said};
use super::tape::Tape;
use crate::plugin::component::call_state::Profile;
use crate::plugin::component::fault::CallFault;
use crate::plugin::component::runner::Surroundings;
use crate::plugin::offer::witness::{SharedWitness, Witness};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Calls that are kept.
const CALLS_MAX: usize = 16;
/// Bytes that all of them take, about.
const BYTES_MAX: usize = 1 << 20;
/// Bytes that one may take.
const CALL_BYTES_MAX: usize = 256 << 10;

/// One real call: question, world, answer.
#[derive(Debug)]
pub(in crate::plugin) struct Sample {
    /// When it ended.
    pub at: SystemTime,
    /// Who was asked, with settings and grants.
    pub profile: Arc<Profile>,
    pub asked: Asked,
    /// The answer, or in what way the plugin failed.
    pub said: Result<Said, String>,
    /// What the host functions answered.
    pub world: Tape,
    /// Keys of state that the call found empty.
    pub absent_keys: BTreeSet<String>,
    /// Why the call cannot be repeated, where it cannot.
    pub gap: Option<String>,
    size: usize,
}

/// The last calls of a plugin, of each question the last one. Bounded in number and in bytes.
#[derive(Debug, Default)]
pub(in crate::plugin) struct CallRing(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<Arc<Sample>>,
    bytes: usize,
    too_large: u64,
    heard_secret: u64,
}

impl CallRing {
    /// The kept calls, the oldest first.
    pub(in crate::plugin) fn samples(&self) -> Vec<Arc<Sample>> {
        self.0.lock().calls.iter().cloned().collect()
    }

    fn keep(&self, sample: Sample) {
        let mut kept = self.0.lock();
        if sample.size > CALL_BYTES_MAX {
            kept.too_large += 1;
            return;
        }
        let repeated = kept.calls.iter().position(|before| {
            before.said.is_ok() == sample.said.is_ok() && before.asked.repeats(&sample.asked)
        });
        if let Some(before) = repeated.and_then(|index| kept.calls.remove(index)) {
            kept.bytes -= before.size;
        }
        kept.bytes += sample.size;
        kept.calls.push_back(Arc::new(sample));
        while kept.calls.len() > CALLS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.calls.pop_front() else { break };
            kept.bytes -= oldest.size;
        }
    }

    /// The document that `/plugins/<name>/calls` shows.
    pub(in crate::plugin) fn report(&self, plugin: &str) -> Value {
        let items: Vec<Value> = self.samples().iter().map(|sample| sample.show()).collect();
        let Kept { too_large, heard_secret, .. } = *self.0.lock();
        json!({
            "apiVersion": "plugins.umbel.dev/v1alpha1",
            "kind": "PluginCallList",
            "plugin": plugin,
            "leftOut": {"tooLarge": too_large, "secretRepeated": heard_secret},
            "items": items,
        })
    }
}

impl Sample {
    fn show(&self) -> Value {
        let at = jiff::Timestamp::try_from(self.at).map(|at| at.to_string()).unwrap_or_default();
        let settings: Value = serde_json::from_str(&self.profile.manifest.settings).unwrap_or_default();
        let mut shown = Map::from_iter([
            ("time".to_owned(), json!(at)),
            ("generation".to_owned(), json!(self.profile.generation)),
            ("question".to_owned(), json!(self.asked.question())),
            ("settings".to_owned(), settings),
            ("replayable".to_owned(), json!(self.gap.is_none())),
        ]);
        for key in ["grants", "limits", "secrets"] {
            if let Some(value) = self.profile.manifest.shown.get(key).filter(|value| !value.is_null()) {
                shown.insert(key.to_owned(), value.clone());
            }
        }
        if !self.world.is_empty() {
            shown.insert("world".to_owned(), json!(self.world));
        }
        if let Some(gap) = &self.gap {
            shown.insert("gap".to_owned(), json!(gap));
        }
        match &self.said {
            Ok(said) => shown.insert("answer".to_owned(), json!(said.answer())),
            Err(failure) => shown.insert("failure".to_owned(), json!(failure)),
        };
        Value::Object(shown)
    }
}

/// A call that is under way and will be kept when it ends.
pub(in crate::plugin) struct Hearing<'a> {
    ring: &'a CallRing,
    profile: Arc<Profile>,
    asked: Asked,
    witness: SharedWitness,
}

impl<'a> Hearing<'a> {
    pub(in crate::plugin) fn open(ring: &'a CallRing, profile: &Arc<Profile>, asked: Asked) -> Self {
        Self { ring, profile: Arc::clone(profile), asked, witness: Witness::shared() }
    }

    /// The real world, with somebody who notes its answers.
    pub(in crate::plugin) fn surroundings(&self) -> Surroundings {
        Surroundings { witness: Some(SharedWitness::clone(&self.witness)), ..Surroundings::default() }
    }

    /// Keeps the call and hands on what came of it. What says nothing about the plugin is not kept.
    ///
    /// # Errors
    /// The fault that it was given.
    pub(in crate::plugin) fn close<T>(self, outcome: Result<(Said, T), CallFault>) -> Result<T, CallFault> {
        if matches!(&outcome, Err(CallFault::Busy(_) | CallFault::Host(_))) {
            return outcome.map(|(_, judged)| judged);
        }
        let witness = std::mem::take(&mut *self.witness.lock());
        if witness.heard_secret {
            self.ring.0.lock().heard_secret += 1;
            return outcome.map(|(_, judged)| judged);
        }
        let gap = witness.gap.or_else(|| match &outcome {
            Err(CallFault::WallBudget(_)) => Some("it waited until its time was over".to_owned()),
            _ => None,
        });
        let (said, result) = match outcome {
            Ok((said, judged)) => (Ok(said), Ok(judged)),
            Err(fault) => (Err(fault.to_string()), Err(fault)),
        };
        let size = self.asked.size() + said.as_ref().map_or_else(String::len, Said::size) + witness.size;
        self.ring.keep(Sample {
            at: SystemTime::now(),
            profile: self.profile,
            asked: self.asked,
            said,
            world: witness.tape,
            absent_keys: witness.absent_keys,
            gap,
            size,
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::bindings::resolver::exports::umbel::resolver::resolver as wit;
    use crate::plugin::record::{DnsRecord, Question};
    use crate::plugin::source::manifest::Manifest;
    use std::time::Duration;

    const MANIFEST: &str = "
apiVersion: plugins.umbel.dev/v1alpha1
kind: Plugin
spec: {settings: {zone: a}, secrets: {token: {file: /run/secrets/token}}, grants: {dns: ['*']}}
";

    fn profile(generation: u64) -> Arc<Profile> {
        let manifest = Manifest::parse("p", MANIFEST).unwrap();
        Arc::new(Profile::new("p", generation, manifest))
    }

    fn resolve(name: &str) -> Asked {
        Asked::Resolve(Arc::new(wit::Target {
            namespace: "prod".to_owned(),
            name: name.to_owned(),
            port: 443,
            external_name: None,
            annotations: Vec::new(),
            extra: Vec::new(),
        }))
    }

    fn not_found() -> Said {
        Said::Resolution(Err(wit::Fault::NotFound("no".to_owned())))
    }

    fn names(ring: &CallRing) -> Vec<String> {
        let name = |sample: &Arc<Sample>| match sample.asked.question() {
            Question::Resolve { target } => target.name,
            Question::Transform { group } => format!("{} bytes", group.len()),
            other => panic!("{other:?}"),
        };
        ring.samples().iter().map(name).collect()
    }

    #[test]
    fn the_last_sixteen_questions_are_kept() {
        let (ring, profile) = (CallRing::default(), profile(1));
        for number in 0..20 {
            let hearing = Hearing::open(&ring, &profile, resolve(&format!("s{number}")));
            hearing.close(Ok((not_found(), ()))).unwrap();
        }
        assert_eq!(names(&ring), (4..20).map(|number| format!("s{number}")).collect::<Vec<_>>());
        // Asked again it takes the place of the call before, and goes to the end.
        Hearing::open(&ring, &profile, resolve("s7")).close(Ok((not_found(), ()))).unwrap();
        assert_eq!(names(&ring).len(), CALLS_MAX);
        assert_eq!(names(&ring).last().map(String::as_str), Some("s7"));
        // A failure is another thing than an answer, and both stay.
        let failed = Hearing::open(&ring, &profile, resolve("s7"))
            .close::<()>(Err(CallFault::Trap("unreachable".to_owned())));
        assert_eq!(failed, Err(CallFault::Trap("unreachable".to_owned())));
        assert_eq!(names(&ring).iter().filter(|name| *name == "s7").count(), 2);
    }

    #[test]
    fn what_says_nothing_about_the_plugin_is_not_kept() {
        let (ring, profile) = (CallRing::default(), profile(1));
        for fault in [CallFault::Busy(32), CallFault::Host("gone".to_owned())] {
            Hearing::open(&ring, &profile, resolve("a")).close::<()>(Err(fault)).unwrap_err();
        }
        drop(Hearing::open(&ring, &profile, resolve("cancelled")));
        let repeated = Hearing::open(&ring, &profile, resolve("secret"));
        repeated.surroundings().witness.unwrap().lock().heard_secret = true;
        repeated.close(Ok((not_found(), ()))).unwrap();
        assert_eq!(ring.report("p")["leftOut"]["secretRepeated"], 1);
        assert_eq!(names(&ring), [""; 0]);
        let late = CallFault::WallBudget(Duration::from_secs(2));
        Hearing::open(&ring, &profile, resolve("late")).close::<()>(Err(late)).unwrap_err();
        assert_eq!(ring.samples()[0].gap.as_deref(), Some("it waited until its time was over"));
    }

    #[test]
    fn the_bytes_of_all_calls_are_bounded() {
        let (ring, profile) = (CallRing::default(), profile(1));
        let keep = |group: &str| {
            let said = Said::Outcome(Ok(crate::plugin::component::bindings::discovery::exports::umbel::discovery::transformer::Outcome::Keep));
            Hearing::open(&ring, &profile, Asked::Transform(group.into())).close(Ok((said, ()))).unwrap();
        };
        for number in 0..9 {
            keep(&format!("{number}{}", "x".repeat(200 << 10)));
        }
        assert_eq!(names(&ring).len(), 5, "five times 200 KiB fit into one MiB");
        assert!(ring.0.lock().bytes <= BYTES_MAX);
        keep(&"x".repeat(CALL_BYTES_MAX + 1));
        assert_eq!(names(&ring).len(), 5);
        assert_eq!(ring.report("p")["leftOut"]["tooLarge"], 1);
        keep("small");
        let bytes: usize = ring.samples().iter().map(|sample| sample.size).sum();
        assert_eq!(ring.0.lock().bytes, bytes, "every byte that goes is counted");
    }

    #[test]
    fn a_report_tells_question_world_settings_and_answer_and_no_secret() {
        let (ring, profile) = (CallRing::default(), profile(3));
        let hearing = Hearing::open(&ring, &profile, resolve("shop"));
        let dns = DnsRecord { name: "a".to_owned(), addresses: Some(Vec::new()), ..DnsRecord::default() };
        hearing.surroundings().witness.unwrap().lock().tape.dns.push(dns);
        hearing.close(Ok((not_found(), ()))).unwrap();
        let report = ring.report("p");
        let item = &report["items"][0];
        assert_eq!(item["question"]["target"]["name"], "shop");
        assert_eq!(item["settings"], json!({"zone": "a"}));
        assert_eq!(item["world"]["dns"][0]["name"], "a");
        assert_eq!(item["answer"], json!({"answer": "fault", "fault": "notFound", "message": "no"}));
        assert_eq!((&item["generation"], &item["replayable"]), (&json!(3), &json!(true)));
        assert_eq!((&item["secrets"], &item["grants"]), (&json!(["token"]), &json!({"dns": ["*"]})));
        assert!(!report.to_string().contains("/run/secrets"), "{report}");
    }
}
