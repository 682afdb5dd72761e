//! The README's first command.

use anyhow::{Context, Result};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use umbel_tests::{umbel_program, wait_for};

const BOUND: Duration = Duration::from_secs(120);

#[tokio::test]
async fn it_checks_itself_and_leaves_nothing_behind() -> Result<()> {
    let home = tempfile::TempDir::new()?;
    let mut command = Command::new(umbel_program()?);
    command.args(["demo", "--exit-after-check"]).env("TMPDIR", home.path()).kill_on_drop(true);
    let output = tokio::time::timeout(BOUND, command.output()).await.context("the demo hangs")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(said.contains("all checks passed"), "{said}");
    assert_eq!(std::fs::read_dir(home.path())?.count(), 0, "the temporary directory stays");
    Ok(())
}

#[test]
fn the_first_command_compiles_the_program_alone() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output()?;
    let read: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let members = read["workspace_default_members"].as_array().context("no default members")?;
    assert!(members.len() == 1 && members[0].to_string().contains("/host#"), "{members:?}");
    Ok(())
}

#[tokio::test]
async fn it_says_what_to_try_and_its_children_die_with_it() -> Result<()> {
    let home = tempfile::TempDir::new()?;
    let mut command = Command::new(umbel_program()?);
    command.arg("demo").env("TMPDIR", home.path()).kill_on_drop(true).stdout(Stdio::piped());
    let mut demo = command.spawn()?;
    let mut lines = BufReader::new(demo.stdout.take().context("no output")?).lines();
    let read = async {
        let mut said = String::new();
        while let Some(line) = lines.next_line().await? {
            said.push_str(&line);
            said.push('\n');
            if said.contains("v1.harbour.example.com (default/harbour): True") {
                return Ok(said);
            }
        }
        anyhow::bail!("it ended after\n{said}")
    };
    let said = tokio::time::timeout(BOUND, read).await.context("the demo hangs")??;
    assert!(said.contains("export KUBECONFIG="), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("  kubectl ")).count(), 6, "{said}");
    let pid =
        said.lines().find_map(|line| line.trim().strip_prefix("kill -9 ")).context("no pid")?.to_owned();
    assert!(is_running(&pid));
    // Even a demo that is killed itself takes its children along.
    demo.kill().await?;
    wait_for("the sample API server to end", Duration::from_secs(20), || async {
        anyhow::ensure!(!is_running(&pid), "process {pid} still runs");
        Ok(())
    })
    .await
}

fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}
