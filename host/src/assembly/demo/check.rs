//! `umbel demo --exit-after-check`: uses the demo as a client would, through the public address.

use super::kinds::Sample;
use super::session::{Refusal, Session, available, tree, wait_for};
use super::{DemoError, say};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TREES: &str = "/apis/orchard.example.com/v1/namespaces/default/trees";
const SHIPS: &str = "/apis/harbour.example.com/v1/namespaces/default/ships";
/// How long a change may take to show on a busy machine.
const BOUND: Duration = Duration::from_secs(30);
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Goes through everything; the first thing that is not as it should be is the error.
pub(super) async fn run(session: &mut Session) -> Result<(), DemoError> {
    say(&format!("gateway on {}, orchard and harbour are available", session.url()));
    discovery(session).await?;
    let mut watch = Watch::open(session).await?;
    objects(session).await?;
    watch.expect(&["ADDED", "MODIFIED", "DELETED"]).await?;
    say("ok: a watch saw it created, changed and deleted");
    drop(watch);
    outage(session).await?;
    say("all checks passed");
    Ok(())
}

async fn discovery(session: &Session) -> Result<(), DemoError> {
    for group in ["orchard.example.com", "harbour.example.com", "apiregistration.k8s.io"] {
        wait_for(&format!("{group} in /apis"), BOUND, async || {
            let list = session.admin.get("/apis").await?;
            let groups = list["groups"].as_array().cloned().unwrap_or_default();
            let is_there = groups.iter().any(|entry| entry["name"] == group);
            if is_there { Ok(()) } else { Err(Refusal::NotYet(format!("it lists {groups:?}"))) }
        })
        .await?;
    }
    let resources = session.admin.get("/apis/orchard.example.com/v1").await?;
    expect("the orchard's resources", &resources["resources"][0]["name"], &json!("trees"))?;
    say("ok: discovery shows both groups beside the gateway's own");
    Ok(())
}

async fn objects(session: &Session) -> Result<(), DemoError> {
    let admin = &session.admin;
    let call = async |method: Method, path: &str, content_type: &str, body: Option<&Value>, wanted: u16| {
        let (status, answer) = admin.call(method.clone(), path, content_type, body).await?;
        expect(&format!("{method} {path}: {}", answer["message"]), &json!(status.as_u16()), &json!(wanted))?;
        Ok::<Value, DemoError>(answer)
    };
    let one = format!("{TREES}/old-apple");
    call(Method::POST, TREES, "application/json", Some(&tree()?), 201).await?;
    let grown = json!({"spec": {"heightCentimetres": 430}});
    let patched = call(Method::PATCH, &one, MERGE_PATCH, Some(&grown), 200).await?;
    expect("the patched height", &patched["spec"]["heightCentimetres"], &json!(430))?;
    let list = call(Method::GET, TREES, "", None, 200).await?;
    expect("the number of trees", &json!(list["items"].as_array().map(Vec::len)), &json!(1))?;
    call(Method::DELETE, &one, "", None, 200).await?;
    call(Method::GET, &one, "", None, 404).await?;
    say("ok: a tree was created, patched, listed and deleted");
    Ok(())
}

async fn outage(session: &mut Session) -> Result<(), DemoError> {
    session.orchard.process.kill().map_err(DemoError::new)?;
    let start = Instant::now();
    wait_for("a 503 Status for the killed orchard", BOUND, async || {
        let (status, answer) = session.admin.call(Method::GET, TREES, "", None).await?;
        let is_told = status == StatusCode::SERVICE_UNAVAILABLE && answer["kind"] == "Status";
        if is_told { Ok(()) } else { Err(Refusal::NotYet(format!("{status} {answer}"))) }
    })
    .await?;
    wait_available(session, "False", "FailedDiscoveryCheck").await?;
    say(&format!("ok: killed: 503, and False (FailedDiscoveryCheck) after {:.1?}", start.elapsed()));
    session.admin.get(SHIPS).await?;
    say("ok: the harbour never noticed");
    session.orchard.restart()?;
    let start = Instant::now();
    wait_available(session, "True", "Passed").await?;
    session.admin.get(TREES).await?;
    say(&format!("ok: restarted: True after {:.1?}", start.elapsed()));
    Ok(())
}

async fn wait_available(session: &Session, status: &str, reason: &str) -> Result<(), DemoError> {
    wait_for(&format!("the orchard to be {status} ({reason})"), BOUND, async || {
        let found = available(&session.admin, Sample::Orchard).await?;
        let is_so = found == (status.to_owned(), reason.to_owned());
        if is_so { Ok(()) } else { Err(Refusal::NotYet(format!("it is {} ({})", found.0, found.1))) }
    })
    .await
}

fn expect(what: &str, found: &Value, wanted: &Value) -> Result<(), DemoError> {
    if found == wanted { Ok(()) } else { Err(DemoError(format!("{what}: expected {wanted}, got {found}"))) }
}

/// An open watch on the trees.
struct Watch {
    body: Incoming,
    text: String,
}

impl Watch {
    async fn open(session: &Session) -> Result<Self, DemoError> {
        let list = session.admin.get(TREES).await?;
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
        let path = format!("{TREES}?watch=1&resourceVersion={revision}");
        Ok(Self { body: session.admin.watch(&path).await?, text: String::new() })
    }

    /// Reads until these events have come, in this order.
    async fn expect(&mut self, wanted: &[&str]) -> Result<(), DemoError> {
        let read = async {
            loop {
                let seen: Vec<Value> =
                    self.text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
                if seen.iter().map(|event| &event["type"]).eq(wanted) {
                    return Ok(());
                }
                match self.body.frame().await {
                    Some(Ok(frame)) => {
                        let data = frame.into_data().unwrap_or_default();
                        self.text.push_str(&String::from_utf8_lossy(&data));
                    }
                    Some(Err(error)) => return Err(DemoError(format!("the watch broke: {error}"))),
                    None => return Err(DemoError(format!("the watch ended after {:?}", self.text))),
                }
            }
        };
        let read = tokio::time::timeout(BOUND, read).await;
        read.unwrap_or_else(|_| Err(DemoError(format!("the watch did not show {wanted:?} within {BOUND:?}"))))
    }
}
