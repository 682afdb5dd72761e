//! Umbel killed while many write to it: what was acknowledged is there, and every credential still works.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use umbel_tests::{Client, Kubectl, Umbel, need, wait_for};

const EXTERNAL_NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const WRITERS: usize = 4;
const KILLS: usize = 5;
/// Each writer gets at least so many acknowledgements between two kills.
const WRITES: usize = 5;
const BOUND: Duration = Duration::from_secs(60);

/// Names whose creation was acknowledged, with their revisions, in order.
async fn write(
    client: Client,
    writer: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<(String, u64)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let name = format!("writer-{writer}-{number}");
        let object = json!({
            "apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
            "metadata": {"name": name, "namespace": "default"}, "spec": {"host": "127.0.0.1"},
        });
        let Ok(answer) = client.post(EXTERNAL_NAMES, &object).await else { continue };
        let revision = answer.expect(201).ok().and_then(|created| {
            created["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok())
        });
        if let Some(revision) = revision {
            acknowledged.push((name, revision));
            count.fetch_add(1, Ordering::AcqRel);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_it_is_killed() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(umbel.admin()?, writer, Arc::clone(&stop), Arc::clone(&count))));
    }
    for _ in 0..KILLS {
        let goal = count.load(Ordering::Acquire) + WRITERS * WRITES;
        wait_for("acknowledged writes", BOUND, || async {
            let reached = count.load(Ordering::Acquire);
            if reached < goal { bail!("{reached} of {goal}") } else { Ok(()) }
        })
        .await?;
        umbel.kill()?;
        umbel.restart().await?;
    }
    stop.store(true, Ordering::Release);
    let admin = umbel.admin()?;
    for writer in writers {
        let acknowledged = writer.await?;
        ensure!(acknowledged.is_sorted_by_key(|(_, revision)| *revision), "revisions went back");
        for (name, revision) in acknowledged {
            let found = admin.get(&format!("{EXTERNAL_NAMES}/{name}")).await?.expect(200)?;
            assert_eq!(found["metadata"]["resourceVersion"], revision.to_string(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_and_its_credentials_outlive_a_kill() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let Some(kubectl) = need(Kubectl::newest(&umbel.kubeconfig()))? else { return Ok(()) };
    let object = "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata:\n  name: kept\n  \
                  namespace: default\nspec:\n  host: kept.example.com\n";
    kubectl.ok_with_input(&["apply", "-f", "-"], object).await?;
    let before = kubectl.ok(&["get", "externalname", "kept", "-o", "yaml"]).await?;
    let admin = umbel.admin()?;
    umbel.kill()?;
    umbel.restart().await?;
    assert_eq!(kubectl.ok(&["get", "externalname", "kept", "-o", "yaml"]).await?, before);
    admin.get(EXTERNAL_NAMES).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_watch_resumes_across_a_kill_without_loss_or_repetition() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let create = async |name: &str| -> Result<String> {
        let object = json!({
            "apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
            "metadata": {"name": name, "namespace": "default"}, "spec": {"host": "127.0.0.1"},
        });
        let created = admin.post(EXTERNAL_NAMES, &object).await?.expect(201)?;
        created["metadata"]["resourceVersion"].as_str().map(str::to_owned).context("no resourceVersion")
    };
    let first = create("first").await?;
    create("second").await?;
    umbel.kill()?;
    umbel.restart().await?;
    create("third").await?;
    let mut watch = admin.watch(&format!("{EXTERNAL_NAMES}?watch=1&resourceVersion={first}")).await?;
    for expected in ["second", "third"] {
        let event = watch.next(BOUND).await?.context("the watch ended")?;
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!("ADDED"), &json!(expected))
        );
    }
    Ok(())
}

/// All files below a directory with content and time of change, but for the database, to which the first process
/// may write at any time.
fn files(directory: &Path) -> Result<BTreeMap<PathBuf, (Vec<u8>, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.file_name() != Some("store.redb".as_ref()) {
            let changed = path.metadata()?.modified()?;
            found.insert(path.clone(), (std::fs::read(&path)?, changed));
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() -> Result<()> {
    let umbel = Umbel::start().await?;
    let before = files(&umbel.data_dir())?;
    ensure!(before.len() > 3, "the data directory has files: {:?}", before.keys());
    let output = std::process::Command::new(umbel_tests::umbel_program()?)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(umbel.data_dir())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let refusal = format!("the store in {}/store is in use by process ", umbel.data_dir().display());
    assert!(told.contains(&refusal) && told.contains("stop it first"), "{told}");
    assert_eq!(files(&umbel.data_dir())?, before, "the second process changed files");
    umbel.admin()?.get(EXTERNAL_NAMES).await?.expect(200)?;
    Ok(())
}
