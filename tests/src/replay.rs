//! Replays recorded HTTP exchanges and compares what comes back.
//!
//! The recordings in `tests/golden` are answers of an upstream kube-aggregator. Values that differ from run to run
//! (uids, times, resource versions, tokens) are normalised on both sides; see [`super::normalise`].

use super::client::{Answer, Client};
use super::normalise::{Normaliser, differences};
use super::wait::wait_for;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use umbel::object::node::Node;

/// The headers that are compared.
const HEADERS: [&str; 7] = [
    "content-type",
    "warning",
    "allow",
    "accept-patch",
    "cache-control",
    "retry-after",
    "x-content-type-options",
];
/// How long a step waits for a path to come or go.
const SETTLING: Duration = Duration::from_secs(30);

/// One recorded step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, `folder/name`.
    pub id: String,
    #[serde(default = "get")]
    method: String,
    /// Path and query, with `{rv:…}` and the like in it.
    pub path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// In the order of the file, which decoding errors follow.
    #[serde(default)]
    body: Option<Node>,
    #[serde(default)]
    raw: Option<String>,
    /// Under which name its resource version, uid, continue token and entity tag are kept.
    #[serde(default)]
    save: Option<String>,
    /// Seconds to wait before.
    #[serde(default)]
    pause: f64,
    /// Paths that must answer 200 afterwards.
    #[serde(default)]
    wait: Vec<String>,
    /// APIServices that must be available afterwards: their routes come before their conditions are written.
    #[serde(default)]
    wait_available: Vec<String>,
    /// A path that must not answer 200 afterwards.
    #[serde(default)]
    wait_gone: Option<String>,
    /// The step only prepares others and is not compared.
    #[serde(default)]
    setup: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// A step at which Umbel is different on purpose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Why.
    pub reason: String,
    /// The status that Umbel answers with.
    #[serde(default)]
    status: Option<u16>,
    /// A part of the message that Umbel answers with.
    #[serde(default)]
    message: Option<String>,
    /// Nothing may differ outside of these paths, for example `.body.message`.
    #[serde(default)]
    only: Vec<String>,
}

/// The recorded side.
#[derive(Debug)]
pub struct Recording {
    cases: Vec<Case>,
    answers: HashMap<String, Value>,
    allowed: BTreeMap<String, Difference>,
}

/// What came out of a replay.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps that came out the same.
    pub same: Vec<String>,
    /// Steps that differ on purpose.
    pub allowed: Vec<String>,
    /// Steps that differ, with where and how.
    pub different: Vec<String>,
}

/// Something that answers requests.
pub trait Answering {
    /// Answers one request.
    fn answer(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Result<Answer>>;
}

impl Answering for Client {
    async fn answer(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Answer> {
        let mut client = self.clone();
        for (name, value) in &headers {
            client = client.header(name.as_str(), value.to_str()?)?;
        }
        client.send(method, path, "", body).await
    }
}

impl Recording {
    /// Reads `<name>.cases.yaml`, `<name>.golden.json` and `differences.yaml` of `tests/golden`.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn load(name: &str) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let read = |file: String| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        Ok(Self {
            cases: umbel::model::yaml::read_settings(&read(format!("{name}.cases.yaml"))?)?,
            answers: serde_json::from_str(&read(format!("{name}.golden.json"))?)?,
            allowed: umbel::model::yaml::read_settings(&read("differences.yaml".to_owned())?)?,
        })
    }

    /// Runs every step against `server`, in order, and compares those that `counts` accepts.
    ///
    /// # Errors
    /// When a step gets no answer at all.
    pub async fn replay(
        &self,
        server: &impl Answering,
        backend: Option<(u16, String)>,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Outcome> {
        let mut session = Session { saved: HashMap::new(), backend, normaliser: Normaliser::new()? };
        let mut outcome = Outcome::default();
        for case in &self.cases {
            let got = session.run(server, case).await.with_context(|| case.id.clone())?;
            session.settle(server, case).await?;
            if case.setup || !counts(&case.id) {
                continue;
            }
            let wanted = self.answers.get(&case.id).context("the step was never recorded")?;
            let found = differences(wanted, &got);
            match self.allowed.get(&case.id) {
                None if found.is_empty() => outcome.same.push(case.id.clone()),
                None => outcome.different.push(report(case, &found)),
                Some(_) if found.is_empty() => outcome
                    .different
                    .push(format!("{} is listed as different but is the same: take it off", case.id)),
                Some(difference) => match difference.check(&got, &found) {
                    Ok(()) => outcome.allowed.push(case.id.clone()),
                    Err(why) => outcome.different.push(format!("{}: {why:#}", case.id)),
                },
            }
        }
        Ok(outcome)
    }
}

impl Difference {
    /// What the list promises instead must be what came.
    fn check(&self, got: &Value, found: &[String]) -> Result<()> {
        ensure!(self.reason.len() > 20, "the reason {:?} explains nothing", self.reason);
        if let Some(status) = self.status {
            ensure!(got["status"] == status, "differs in another way: {got}");
        }
        if let Some(message) = &self.message {
            let told = got["body"]["message"].as_str().unwrap_or_default();
            ensure!(told.contains(message.as_str()), "the message is {told:?}, not {message:?}");
        }
        if !self.only.is_empty() {
            let is_expected = |line: &&String| self.only.iter().any(|path| line.starts_with(path.as_str()));
            let further: Vec<&String> = found.iter().filter(|line| !is_expected(line)).collect();
            ensure!(further.is_empty(), "differs elsewhere too: {further:#?}");
        }
        Ok(())
    }
}

impl Outcome {
    /// Fails with every step that differs.
    ///
    /// # Errors
    /// When a step differs, or nothing was compared.
    pub fn expect_same(&self) -> Result<()> {
        println!("same {}, different on purpose {}", self.same.len(), self.allowed.len());
        ensure!(!self.same.is_empty(), "nothing was compared");
        let count = self.different.len();
        ensure!(count == 0, "{count} steps differ:\n{}", self.different.join("\n"));
        Ok(())
    }
}

fn report(case: &Case, found: &[String]) -> String {
    let shown: Vec<&str> = found.iter().take(8).map(String::as_str).collect();
    format!("{}  {} {}\n    {}", case.id, case.method, case.path, shown.join("\n    "))
}

struct Session {
    saved: HashMap<(&'static str, String), String>,
    backend: Option<(u16, String)>,
    normaliser: Normaliser,
}

impl Session {
    async fn run(&mut self, server: &impl Answering, case: &Case) -> Result<Value> {
        if case.pause > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(case.pause)).await;
        }
        let body = match (&case.body, &case.raw) {
            (Some(body), _) => Some(json_text(&self.fill(body))),
            (None, Some(raw)) => Some(self.fill_text(raw)),
            (None, None) => None,
        };
        let mut headers = HeaderMap::new();
        headers.insert("accept", "application/json".parse()?);
        headers.insert("user-agent", "replay".parse()?);
        headers.insert("accept-encoding", "identity".parse()?);
        if body.is_some() {
            headers.insert("content-type", "application/json".parse()?);
        }
        for (name, value) in &case.headers {
            headers.insert(HeaderName::try_from(name)?, self.fill_text(value).parse()?);
        }
        let method: Method = case.method.parse()?;
        let path = self.fill_text(&case.path);
        let answer = server.answer(method, &path, headers, body.unwrap_or_default().into()).await?;
        self.keep(case, &answer);
        Ok(self.normalised(&answer))
    }

    async fn settle(&self, server: &impl Answering, case: &Case) -> Result<()> {
        let comes = case.wait.iter().map(|path| (path, true));
        let goes = case.wait_gone.iter().map(|path| (path, false));
        for (path, wanted) in comes.chain(goes) {
            wait_for(path, SETTLING, || async move {
                let answer = server.answer(Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
                ensure!((answer.status == 200) == wanted, "it answers {}", answer.status);
                Ok(())
            })
            .await?;
        }
        for name in &case.wait_available {
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
            wait_for(name, SETTLING, || async {
                let answer = server.answer(Method::GET, &path, HeaderMap::new(), Bytes::new()).await?;
                let condition = answer.json()?["status"]["conditions"][0].clone();
                ensure!(condition["status"] == "True", "{condition}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn keep(&mut self, case: &Case, answer: &Answer) {
        let Some(name) = &case.save else { return };
        if let Ok(object) = answer.json() {
            for (what, field) in [("rv", "resourceVersion"), ("uid", "uid"), ("continue", "continue")] {
                let value = object["metadata"][field].as_str().unwrap_or_default();
                self.saved.insert((what, name.clone()), value.to_owned());
            }
        }
        let tag = answer.headers.get("etag").and_then(|v| v.to_str().ok()).unwrap_or_default();
        self.saved.insert(("etag", name.clone()), tag.to_owned());
    }

    fn normalised(&self, answer: &Answer) -> Value {
        let mut headers = Map::new();
        for name in HEADERS {
            let lines: Vec<&str> =
                answer.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
            if !lines.is_empty() {
                let joined = Value::from(lines.join(", "));
                headers.insert(name.to_owned(), self.normaliser.value(joined, ""));
            }
        }
        if answer.headers.contains_key("etag") {
            headers.insert("etag".to_owned(), "<etag>".into());
        }
        let content_type = answer.headers.get("content-type").and_then(|v| v.to_str().ok());
        let body = self.normaliser.body(content_type.unwrap_or_default(), &answer.body);
        json!({"status": answer.status, "headers": headers, "body": body})
    }

    fn fill(&self, value: &Node) -> Node {
        match (value, &self.backend) {
            (Node::String(text), Some((port, _))) if text == "{port}" => Node::Number((*port).into()),
            (Node::String(text), Some((_, ca))) if text == "{ca}" => Node::String(ca.clone()),
            (Node::String(text), _) => Node::String(self.fill_text(text)),
            (Node::List(items), _) => Node::List(items.iter().map(|item| self.fill(item)).collect()),
            (Node::Record(fields), _) => {
                Node::Record(fields.iter().map(|(key, item)| (key.clone(), self.fill(item))).collect())
            }
            (other, _) => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for ((what, name), value) in &self.saved {
            filled = filled.replace(&format!("{{{what}:{name}}}"), value);
        }
        filled
    }
}

/// JSON with the keys in their order.
fn json_text(node: &Node) -> String {
    match node {
        Node::List(items) => {
            let items: Vec<String> = items.iter().map(json_text).collect();
            format!("[{}]", items.join(","))
        }
        Node::Record(fields) => {
            let field =
                |(key, value): &(String, Node)| format!("{}:{}", Value::from(&**key), json_text(value));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.clone().into_value().to_string(),
    }
}
