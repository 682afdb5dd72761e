//! The states of plugins as operators see them: in `/plugins`, by stock kubectl, and while they change.

use super::plugin_objects::{Bench, PATIENCE};
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use umbel_tests::{Client, Guest, Umbel, need, trapping_component, wait_for};

const MANIFEST: &str = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
/// Every bad file by name, with the reason that it must get and what the message must say.
const BAD: [(&str, &str, &str); 8] = [
    ("broken-manifest", "ManifestInvalid", "unknown field `setings`"),
    ("core-module", "NotAComponent", "umbel plugin build"),
    ("oversized", "TooLarge", "at most 33554432"),
    ("trapping", "DescribeFailed", "trapped"),
    ("truncated", "InvalidWasm", "damaged"),
    ("unlike-its-pin", "DigestMismatch", "the manifest pins sha256:0000"),
    ("world-writable", "PermissionsTooOpen", "has mode 0666"),
    ("wrong-world", "NoKnownInterface", "worlds in wit/"),
];

/// Fills a plugin directory with one good plugin and all the bad ones.
fn fill(dir: &Path) -> Result<()> {
    let guest = fs::read(Guest::Misbehaving.component().map_err(|missing| anyhow!("{missing}"))?)?;
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(format!("{name}.wasm")), bytes);
    for name in ["good", "broken-manifest", "unlike-its-pin", "world-writable", "oversized"] {
        write(name, &guest)?;
    }
    let manifest =
        |name: &str, spec: &str| fs::write(dir.join(format!("{name}.yaml")), format!("{MANIFEST}{spec}\n"));
    manifest("good", "{settings: {host: 10.0.0.1}}")?;
    manifest("broken-manifest", "{setings: {host: 10.0.0.1}}")?;
    manifest("unlike-its-pin", &format!("{{digest: 'sha256:{}'}}", "0".repeat(64)))?;
    fs::set_permissions(dir.join("world-writable.wasm"), Permissions::from_mode(0o666))?;
    File::options().write(true).open(dir.join("oversized.wasm"))?.set_len((32 << 20) + 1)?;
    write("core-module", &wat::parse_str("(module)")?)?;
    write("truncated", &guest[..guest.len() / 2])?;
    write("wrong-world", &wat::parse_str("(component)")?)?;
    Ok(write("trapping", &trapping_component()?)?)
}

async fn plugins(admin: &Client) -> Result<Vec<Value>> {
    let list = admin.get("/plugins").await?.expect(200)?;
    Ok(list["items"].as_array().context("no items")?.clone())
}

fn named<'a>(all: &'a [Value], name: &str) -> Result<&'a Value> {
    all.iter().find(|plugin| plugin["name"] == name).with_context(|| format!("no plugin {name}"))
}

#[tokio::test]
async fn one_bad_plugin_leaves_the_rest() -> Result<()> {
    if need(Guest::Misbehaving.component())?.is_none() {
        return Ok(());
    }
    let home = TempDir::new()?;
    let dir = home.path().join("data/plugins");
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    fill(&dir)?;
    let Some(bench) = Bench::start_in(home, &[]).await? else { return Ok(()) };
    let admin = bench.umbel.admin()?;
    let all = wait_for("every plugin to be judged", PATIENCE, || async {
        let all = plugins(&admin).await?;
        let is_judged =
            |plugin: &Value| ["Active", "Probation", "Rejected"].iter().any(|s| plugin["state"] == *s);
        ensure!(all.len() == BAD.len() + 1 && all.iter().all(is_judged), "{all:?}");
        Ok(all)
    })
    .await?;
    let good = named(&all, "good")?;
    assert!(good["state"] != "Rejected" && good["generation"] == 1, "{good}");
    for (name, reason, says) in BAD {
        let bad = named(&all, name)?;
        assert_eq!((&bad["state"], &bad["reason"]), (&"Rejected".into(), &reason.into()), "{bad}");
        let message = bad["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{name}: {message}");
    }
    let table = wait_for("kubectl to show all of them", PATIENCE, || async {
        let table = bench.kubectl.ok(&["get", "plugins"]).await?;
        ensure!(table.lines().count() == BAD.len() + 2, "{table}");
        Ok(table)
    })
    .await?;
    for (name, reason, _) in BAD {
        let row = table.lines().find(|line| line.starts_with(name)).context("no row")?;
        assert!(row.contains("Rejected") && row.ends_with(reason), "{row}");
    }
    let row = table.lines().find(|line| line.starts_with("good ")).context("no row")?;
    assert!(row.contains("Active") || row.contains("Probation"), "{row}");

    // Mending one is noticed, and is nobody else's business.
    fs::set_permissions(dir.join("world-writable.wasm"), Permissions::from_mode(0o644))?;
    bench.wait("world-writable", "condition=Serving").await?;
    let after = plugins(&admin).await?;
    assert_eq!(named(&after, "good")?["generation"], 1, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn insecure_permissions_can_be_allowed() -> Result<()> {
    if need(Guest::Misbehaving.component())?.is_none() {
        return Ok(());
    }
    let home = TempDir::new()?;
    let dir = home.path().join("data/plugins");
    fs::create_dir_all(&dir)?;
    let component = Guest::Misbehaving.component().map_err(|missing| anyhow!("{missing}"))?;
    fs::copy(component, dir.join("p.wasm"))?;
    fs::set_permissions(&dir, Permissions::from_mode(0o777))?;
    let Some(mut bench) = Bench::start_in(home, &[]).await? else { return Ok(()) };
    bench.wait("p", "condition=Serving=false").await?;
    let message = bench.field("p", ".status.message").await?;
    let mend = format!("everybody may write it; run chmod go-w {}", dir.display());
    assert!(message.starts_with("the directory") && message.ends_with(&mend), "{message}");
    bench.umbel.terminate(PATIENCE).await?;
    bench.umbel.restart_with(&["--plugins-insecure-permissions"]).await?;
    bench.wait("p", "condition=Serving").await?;
    bench.umbel.terminate(PATIENCE).await?;
    bench.umbel.restart_with(&[]).await?;
    bench.wait("p", "condition=Serving=false").await?;
    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    bench.wait("p", "condition=Serving").await
}

#[tokio::test]
async fn kubectl_watches_a_plugin_from_arrival_to_removal() -> Result<()> {
    let Some(bench) = Bench::start().await? else { return Ok(()) };
    let mut command = bench.kubectl.command(&["get", "plugins", "--watch"]);
    let mut watching = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(watching.stdout.take().context("no output")?).lines();
    let mut wait_line = async |what: [&str; 2]| {
        let seen = async {
            while let Some(line) = lines.next_line().await? {
                if what.iter().all(|part| line.contains(part)) {
                    return Ok(());
                }
            }
            Err(anyhow!("kubectl ended before it showed {what:?}"))
        };
        tokio::time::timeout(PATIENCE, seen).await.with_context(|| format!("no line with {what:?}"))?
    };
    bench.write("p.wasm", b"no component")?;
    wait_line(["Rejected", "NotAComponent"]).await?;
    bench.drop_plugin("p")?;
    wait_line(["p ", "resolver,health,discovery"]).await?;
    bench.wait("p", "condition=Serving").await?;
    bench.write("p.wasm", b"no component")?;
    wait_line(["Rejected", "NotAComponent"]).await?;
    assert_eq!(bench.field("p", ".status.generation").await?, "1", "what served before serves on");
    bench.wait("p", "condition=Serving").await?;
    bench.wait("p", "condition=Loaded=false").await?;
    fs::remove_file(bench.file("p.wasm"))?;
    wait_line(["p ", "Removed"]).await
}

#[tokio::test]
async fn asking_a_plugin_for_something_needs_the_right_to_write() -> Result<()> {
    if need(Guest::Misbehaving.component())?.is_none() {
        return Ok(());
    }
    let home = TempDir::new()?;
    let tokens = home.path().join("tokens.csv");
    fs::write(&tokens, "jo-token,jo,1\nroot-token,root,2,system:masters\n")?;
    let flags = ["--token-auth-file", tokens.to_str().context("path")?];
    let Some(bench) = Bench::start_in(home, &flags).await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Serving").await?;
    let ask = async |token: &str, deed: &str| -> Result<u16> {
        let client = Umbel::anonymous(&bench.umbel)?.header("authorization", &format!("Bearer {token}"))?;
        let path = "/apis/plugins.umbel.dev/v1alpha1/plugins/p";
        let patch =
            serde_json::json!({"metadata": {"annotations": {format!("plugins.umbel.dev/{deed}"): "true"}}});
        Ok(client.patch(path, "merge", &patch).await?.status)
    };
    for deed in ["reload", "rollback", "reset", "disabled"] {
        assert_eq!(ask("jo-token", deed).await?, 403, "{deed}");
    }
    assert_eq!(ask("root-token", "disabled").await?, 200);
    bench.wait_field("p", ".status.state", "Disabled").await?;
    assert_eq!(bench.field("p", ".status.observedActions").await?, "", "nobody's wish was heard before");
    Ok(())
}
