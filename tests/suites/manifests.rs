//! `--manifest-dir` of a running Umbel.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use umbel_tests::{Client, Umbel, wait_for};

const BOUND: Duration = Duration::from_secs(60);
const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

fn external_name(name: &str, host: &str) -> String {
    format!(
        "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata: {{name: {name}}}\nspec: {{host: {host}}}\n"
    )
}

fn api_service(group: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {
            "group": group, "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10,
            "service": {"namespace": "default", "name": "api"},
        },
    })
}

/// An Umbel whose data directory holds these manifests before it starts for the first time.
async fn start(files: &[(&str, &str)]) -> Result<(Umbel, PathBuf)> {
    let home = TempDir::new()?;
    let directory = home.path().join("manifests");
    fs::create_dir(&directory)?;
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    let argument = directory.display().to_string();
    Ok((Umbel::start_in(home, &["--manifest-dir", &argument]).await?, directory))
}

async fn wait_host(admin: &Client, name: &str, host: Option<&str>) -> Result<()> {
    wait_for(&format!("{name} at {host:?}"), BOUND, || async {
        let answer = admin.get(&format!("{NAMES}/{name}")).await?;
        let found = answer.json()?["spec"]["host"].as_str().map(str::to_owned);
        ensure!(found.as_deref() == host, "{} {}", answer.status, answer.text());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_file_declares_is_there_when_umbel_is_ready_and_goes_with_it() -> Result<()> {
    let list = format!(
        "{}---\n{}",
        external_name("api", "one.example.com"),
        json!({"kind": "List", "apiVersion": "v1", "items": [api_service("a.example.com")]})
    );
    let (mut umbel, directory) = start(&[("a.yaml", &list)]).await?;
    let admin = umbel.admin()?;
    let object = admin.get(&format!("{NAMES}/api")).await?.expect(200)?;
    assert_eq!(object["metadata"]["annotations"]["umbel.dev/manifest"], "a.yaml");
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "umbel-manifests");
    admin.get(&format!("{SERVICES}/v1.a.example.com")).await?.expect(200)?;

    fs::write(directory.join("a.yaml"), external_name("api", "two.example.com"))?;
    wait_host(&admin, "api", Some("two.example.com")).await?;
    assert_eq!(admin.get(&format!("{SERVICES}/v1.a.example.com")).await?.status, 404);

    // A file that goes while Umbel does not run is missed at the next start.
    umbel.kill()?;
    fs::remove_file(directory.join("a.yaml"))?;
    fs::write(directory.join("b.yaml"), external_name("other", "three.example.com"))?;
    umbel.restart().await?;
    let admin = umbel.admin()?;
    wait_host(&admin, "api", None).await?;
    wait_host(&admin, "other", Some("three.example.com")).await
}

#[tokio::test]
async fn a_broken_file_is_named_with_its_line_and_takes_nothing_away() -> Result<()> {
    let (mut umbel, directory) = start(&[("a.yaml", &external_name("api", "one.example.com"))]).await?;
    let admin = umbel.admin()?;
    let broken = format!("{}---\nkind: [\n", external_name("api", "two.example.com"));
    fs::write(directory.join("a.yaml"), broken)?;
    wait_for("the log to name the place", BOUND, || {
        let log = umbel.process().log();
        async move {
            ensure!(log.contains("a.yaml: document 2 (line "), "{log}");
            Ok(())
        }
    })
    .await?;
    wait_host(&admin, "api", Some("one.example.com")).await
}

#[tokio::test]
async fn an_object_made_by_hand_stays_and_tells_of_the_conflict() -> Result<()> {
    let (umbel, directory) = start(&[]).await?;
    let admin = umbel.admin()?;
    admin.post(SERVICES, &api_service("a.example.com")).await?.expect(201)?;
    let mut declared = api_service("a.example.com");
    declared["spec"]["versionPriority"] = json!(99);
    fs::write(directory.join("a.json"), declared.to_string())?;
    let path = format!("{SERVICES}/v1.a.example.com");
    let object = wait_for("the condition", BOUND, || async {
        let object = admin.get(&path).await?.expect(200)?;
        let told = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let types: Vec<_> = told.iter().filter_map(|c| c["type"].as_str()).collect();
        ensure!(types.contains(&"ManifestConflict") && types.contains(&"Available"), "{object}");
        Ok(object)
    })
    .await?;
    assert_eq!(object["spec"]["versionPriority"], 10);
    fs::remove_file(directory.join("a.json"))?;
    wait_for("the condition to go", BOUND, || async {
        let object = admin.get(&path).await?.expect(200)?;
        ensure!(!object.to_string().contains("\"ManifestConflict\""), "{object}");
        Ok(())
    })
    .await
}

/// The file rules, and who edits what it declares is told so.
#[tokio::test]
async fn an_edit_is_put_back_and_told_with_its_author() -> Result<()> {
    let text = external_name("api", "one.example.com");
    let (mut umbel, directory) = start(&[("a.yaml", &text)]).await?;
    let admin = umbel.admin()?;
    let path = format!("{NAMES}/api?fieldManager=kubectl-edit");
    let edited = json!({"spec": {"host": "edited.example.com"}});
    admin.patch(&path, "merge", &edited).await?.expect(200)?;
    // Touched, so that the test need not wait for the comparison that comes once a minute.
    fs::write(directory.join("a.yaml"), &text)?;
    wait_host(&admin, "api", Some("one.example.com")).await?;
    let told = wait_for("the log to tell of the edit", BOUND, || {
        let log = umbel.process().log();
        async move {
            let line = log.lines().find(|line| line.contains("an edit was put back")).map(str::to_owned);
            line.ok_or_else(|| anyhow::anyhow!("{log}"))
        }
    })
    .await?;
    for part in ["INFO", "ExternalName default/api", "a.yaml", "kubectl-edit"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    Ok(())
}

async fn wait_log(umbel: &mut Umbel, part: &str) -> Result<()> {
    wait_for(&format!("the log to say {part:?}"), BOUND, || {
        let log = umbel.process().log();
        async move {
            ensure!(log.contains(part), "{log}");
            Ok(())
        }
    })
    .await
}

/// A volume that is not mounted, or a typo.
#[tokio::test]
async fn a_named_directory_that_is_missing_at_start_takes_nothing_away() -> Result<()> {
    let (mut umbel, directory) = start(&[("a.yaml", &external_name("api", "one.example.com"))]).await?;
    umbel.kill()?;
    let aside = directory.with_extension("aside");
    fs::rename(&directory, &aside)?;
    umbel.restart().await?;
    wait_log(&mut umbel, "cannot be read").await?;
    assert!(!directory.exists(), "a directory that somebody names is not made");
    let admin = umbel.admin()?;
    wait_host(&admin, "api", Some("one.example.com")).await?;
    // Once it is there it rules again.
    fs::write(aside.join("a.yaml"), external_name("other", "two.example.com"))?;
    fs::rename(&aside, &directory)?;
    wait_host(&admin, "other", Some("two.example.com")).await?;
    wait_host(&admin, "api", None).await
}

/// Objects that were exported from one data directory and imported into another one come without their files.
#[tokio::test]
async fn objects_whose_default_directory_is_missing_at_start_stay() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let directory = umbel.data_dir().join("manifests");
    assert!(directory.is_dir(), "the first start makes it");
    fs::write(directory.join("a.yaml"), external_name("api", "one.example.com"))?;
    wait_host(&umbel.admin()?, "api", Some("one.example.com")).await?;
    for _ in 0..2 {
        umbel.kill()?;
        fs::remove_dir_all(&directory).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        umbel.restart().await?;
        wait_log(&mut umbel, "objects made from it stay as they are").await?;
        wait_host(&umbel.admin()?, "api", Some("one.example.com")).await?;
    }
    // Whoever makes it has decided.
    fs::create_dir(&directory)?;
    wait_host(&umbel.admin()?, "api", None).await?;
    // Nothing is left to lose: the next start makes it.
    umbel.kill()?;
    fs::remove_dir(&directory)?;
    umbel.restart().await?;
    assert!(directory.is_dir());
    Ok(())
}

async fn uid(admin: &Client, name: &str) -> Result<String> {
    let object = admin.get(&format!("{NAMES}/{name}")).await?.expect(200)?;
    Ok(object["metadata"]["uid"].to_string())
}

/// `(sleep 0.5; cat a.yaml.copy) > manifests/a.yaml`: the shell truncates the file long before anything is written.
#[tokio::test]
async fn a_file_in_progress_takes_nothing_away() -> Result<()> {
    let text = external_name("api", "one.example.com") + "---\n" + &external_name("other", "two.example.com");
    let (mut umbel, directory) = start(&[("a.yaml", &text)]).await?;
    let admin = umbel.admin()?;
    let before = [uid(&admin, "api").await?, uid(&admin, "other").await?];
    let mut file = fs::File::create(directory.join("a.yaml"))?;
    wait_log(&mut umbel, "a manifest file is being written and does not count yet").await?;
    // Another file counts meanwhile, which shows that the directory was scanned.
    fs::write(directory.join("b.yaml"), external_name("third", "three.example.com"))?;
    wait_host(&admin, "third", Some("three.example.com")).await?;
    let cut = external_name("api", "one.exam");
    file.write_all(cut.trim_end_matches("}\n").as_bytes())?;
    fs::write(directory.join("b.yaml"), external_name("third", "four.example.com"))?;
    wait_host(&admin, "third", Some("four.example.com")).await?;
    wait_host(&admin, "api", Some("one.example.com")).await?;
    file.write_all(format!("ple.com}}\n---\n{}", external_name("other", "new.example.com")).as_bytes())?;
    drop(file);
    wait_host(&admin, "other", Some("new.example.com")).await?;
    assert_eq!([uid(&admin, "api").await?, uid(&admin, "other").await?], before, "an object was made anew");

    // The gateway does not wait endlessly for a writer that never closes the file.
    let mut file = fs::File::create(directory.join("a.yaml"))?;
    file.write_all(external_name("api", "five.example.com").as_bytes())?;
    wait_host(&admin, "api", Some("five.example.com")).await?;
    wait_host(&admin, "other", None).await?;
    drop(file);

    // A file that is renamed into place counts, even if it is empty.
    fs::write(directory.join(".a.new"), "")?;
    fs::rename(directory.join(".a.new"), directory.join("a.yaml"))?;
    wait_host(&admin, "api", None).await
}

#[tokio::test]
async fn a_file_of_mistakes_fills_no_log() -> Result<()> {
    let (mut umbel, directory) = start(&[]).await?;
    let mistakes = "kind: Pod\n---\n".repeat(5_000) + &external_name("api", "one.example.com");
    fs::write(directory.join("a.yaml"), mistakes)?;
    wait_log(&mut umbel, "a.yaml: 4980 more problems are not shown").await?;
    wait_host(&umbel.admin()?, "api", Some("one.example.com")).await?;
    let lines = umbel.process().log().lines().filter(|line| line.contains("a.yaml: document")).count();
    assert_eq!(lines, 20);
    Ok(())
}
