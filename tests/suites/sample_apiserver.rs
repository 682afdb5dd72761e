//! The upstream sample API server behind Umbel, as anybody would run it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use umbel_tests::{Client, Kubectl, SampleApiServer, Umbel, need, wait_for};

const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.wardle.example.com";
/// What takes two seconds at most on a quiet machine may take this long on a busy one.
const BOUND: Duration = Duration::from_secs(60);

const FLUNDER: &str = "apiVersion: wardle.example.com/v1alpha1\nkind: Flunder\nmetadata:\n  name: one\n  \
                       labels: {made: here}\n";

/// Umbel with the sample API server registered and available; `None` where a peer is missing.
async fn start() -> Result<Option<(Umbel, SampleApiServer, Kubectl)>> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(None) };
    let umbel = Umbel::start().await?;
    let Some(kubectl) = need(Kubectl::newest(&umbel.kubeconfig()))? else { return Ok(None) };
    let server = SampleApiServer::start(&umbel).await?;
    register(&kubectl, &server).await?;
    wait_condition(&umbel.admin()?, "True", "Passed").await?;
    Ok(Some((umbel, server, kubectl)))
}

async fn register(kubectl: &Kubectl, server: &SampleApiServer) -> Result<()> {
    let file = server.registration().display().to_string();
    kubectl.ok(&["apply", "-f", &file]).await.map(drop)
}

async fn wait_condition(admin: &Client, status: &str, reason: &str) -> Result<()> {
    wait_for(&format!("{status} ({reason})"), BOUND, || async {
        let object = admin.get(API_SERVICE).await?.expect(200)?;
        let condition = object["status"]["conditions"][0].clone();
        ensure!(condition["status"] == status && condition["reason"] == reason, "it is {condition}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn flunders_live_through_stock_kubectl() -> Result<()> {
    let Some((umbel, _server, kubectl)) = start().await? else { return Ok(()) };
    let version = umbel.admin()?.get(FLUNDERS).await?.expect(200)?["metadata"]["resourceVersion"].clone();
    let version = version.as_str().context("a list has a resourceVersion")?.to_owned();
    let mut watch = umbel.admin()?.watch(&format!("{FLUNDERS}?watch=1&resourceVersion={version}")).await?;

    kubectl.ok_with_input(&["create", "-f", "-"], FLUNDER).await?;
    let listed = kubectl.ok(&["get", "flunders.v1alpha1.wardle.example.com", "-o", "name"]).await?;
    assert_eq!(listed.trim(), "flunder.wardle.example.com/one");
    kubectl.ok(&["label", "flunder", "one", "made=there", "--overwrite"]).await?;
    kubectl.ok(&["delete", "flunder", "one"]).await?;

    for expected in ["ADDED", "MODIFIED", "DELETED"] {
        let event = watch.next(BOUND).await?.context("the watch ended")?;
        assert_eq!(event["type"], expected, "{event}");
        assert_eq!(event["object"]["metadata"]["name"], "one");
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_backend_is_told_and_comes_back() -> Result<()> {
    let Some((umbel, mut server, kubectl)) = start().await? else { return Ok(()) };
    let admin = umbel.admin()?;
    kubectl.ok_with_input(&["create", "-f", "-"], FLUNDER).await?;

    server.kill()?;
    let answer = wait_for("a 503", BOUND, || async {
        let answer = admin.get(FLUNDERS).await?;
        ensure!(answer.status == 503, "{} {}", answer.status, answer.text());
        Ok(answer)
    })
    .await?;
    let status = answer.json()?;
    assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("ServiceUnavailable")));
    wait_condition(&admin, "False", "FailedDiscoveryCheck").await?;

    // Told at once, not after ten tries.
    let refused = kubectl.run(&["get", "flunders", "-v=8"]).await?;
    let text = &refused.stderr;
    assert!(text.contains("(FailedDiscoveryCheck): the backend refused the connection"), "{text}");
    assert!(refused.code != 0 && !text.contains("Retry-After"), "{text}");

    // The other groups never notice, and neither does who asks for all of them.
    kubectl.ok(&["get", "externalnames", "-A"]).await?;
    let services = kubectl.ok(&["get", "apiservices"]).await?;
    assert!(services.contains("False (FailedDiscoveryCheck)"), "{services}");

    server.restart().await?;
    wait_condition(&admin, "True", "Passed").await?;
    let names = wait_for("the flunder to be back", BOUND, || kubectl.ok(&["get", "flunders", "-o", "name"]));
    assert_eq!(names.await?.trim(), "flunder.wardle.example.com/one");
    Ok(())
}

#[tokio::test]
async fn the_backend_may_be_there_before_umbel() -> Result<()> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(()) };
    let home = tempfile::TempDir::new()?;
    let server = SampleApiServer::start_for(&home.path().join("data")).await?;
    let umbel = Umbel::start_in(home, &[]).await?;
    let Some(kubectl) = need(Kubectl::newest(&umbel.kubeconfig()))? else { return Ok(()) };
    register(&kubectl, &server).await?;
    wait_condition(&umbel.admin()?, "True", "Passed").await?;
    umbel.admin()?.get(FLUNDERS).await?.expect(200)?;
    Ok(())
}

/// Contract §8.13, the conformance steps of the sample API server.
#[tokio::test]
async fn the_upstream_conformance_steps_pass() -> Result<()> {
    let Some((umbel, _server, _kubectl)) = start().await? else { return Ok(()) };
    let admin = umbel.admin()?;
    let flunder = |name: &str| {
        json!({"apiVersion": "wardle.example.com/v1alpha1", "kind": "Flunder",
               "metadata": {"name": name, "namespace": "default"}, "spec": {}, "status": {}})
    };
    admin.post(FLUNDERS, &flunder("conformance")).await?.expect(201)?;
    let list = admin.get(FLUNDERS).await?.expect(200)?;
    assert_eq!(list["items"][0]["metadata"]["name"], "conformance");
    admin.delete(&format!("{FLUNDERS}/conformance")).await?.expect(200)?;

    let status = admin.get(&format!("{API_SERVICE}/status")).await?.expect(200)?;
    assert_eq!(status["status"]["conditions"][0]["message"], "all checks passed");

    let patch = json!({"spec": {"versionPriority": 400}});
    admin.patch(API_SERVICE, "merge", &patch).await?.expect(200)?;
    let all = admin.get("/apis/apiregistration.k8s.io/v1/apiservices").await?.expect(200)?;
    let items = all["items"].as_array().context("a list has items")?;
    let found = items.iter().find(|item| item["metadata"]["name"] == "v1alpha1.wardle.example.com");
    assert_eq!(found.context("the APIService is in the list")?["spec"]["versionPriority"], 400);

    let patch = json!({"metadata": {"labels": {"e2e": "strategic"}}});
    let patched = admin.patch(API_SERVICE, "strategic-merge", &patch).await?.expect(200)?;
    assert_eq!(patched["metadata"]["labels"]["e2e"], "strategic");

    update(&admin, &format!("{API_SERVICE}/status"), |object| {
        let condition = json!({"type": "StatusUpdated", "status": "True", "reason": "E2E",
                               "message": "Set from e2e test"});
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.push(condition);
        }
    })
    .await?;
    update(&admin, API_SERVICE, |object| object["metadata"]["labels"]["updated"] = json!("yes")).await?;
    let patch = json!({"status": {"conditions": [
        {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Patched"}]}});
    let patched = admin.patch(&format!("{API_SERVICE}/status"), "merge", &patch).await?.expect(200)?;
    assert_eq!(patched["status"]["conditions"][0]["type"], "StatusPatched");

    let path = "/apis/apiregistration.k8s.io/v1/apiservices?labelSelector=e2e%3Dstrategic";
    admin.delete(path).await?.expect(200)?;
    wait_for("the APIService to be gone", BOUND, || async {
        match admin.get(API_SERVICE).await?.status {
            404 => Ok(()),
            other => bail!("it still answers {other}"),
        }
    })
    .await?;
    wait_for("its group to be gone", BOUND, || async {
        match admin.get(FLUNDERS).await?.status {
            // The other version of the group is still registered; this one is unknown now.
            404 => Ok(()),
            other => bail!("it still answers {other}"),
        }
    })
    .await
}

/// Reads, changes and writes an object; again when somebody else was faster.
async fn update(client: &Client, path: &str, change: impl Fn(&mut Value)) -> Result<Value> {
    wait_for("an update without conflict", BOUND, || async {
        let mut object = client.get(path).await?.expect(200)?;
        change(&mut object);
        client.put(path, &object).await?.expect(200)
    })
    .await
}
