//! First start makes everything; later starts change nothing.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_tests::{Kubectl, Umbel, need};

/// Certificates, kubeconfigs and the backends' folder with their bytes; every mode is checked on the way.
fn credentials(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        ensure!(mode == expected, "{} has mode {mode:o}", path.display());
        if path.is_dir() {
            found.extend(credentials(&path)?);
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}

fn all_credentials(data_dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = credentials(&data_dir.join("pki"))?;
    all.extend(credentials(&data_dir.join("backend"))?);
    all.insert("admin.kubeconfig".into(), fs::read(data_dir.join("admin.kubeconfig"))?);
    Ok(all)
}

#[tokio::test]
async fn everything_is_there_and_a_restart_changes_no_byte() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let mode = fs::metadata(umbel.data_dir())?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let before = all_credentials(&umbel.data_dir())?;
    for name in [
        "pki/ca.crt",
        "pki/ca.key",
        "pki/serving.crt",
        "pki/client-ca.crt",
        "pki/admin.crt",
        "pki/front-proxy-ca.crt",
        "pki/front-proxy-client.crt",
        "backend/kubeconfig",
        "backend/client-ca.crt",
        "backend/front-proxy-ca.crt",
        "backend/flags.txt",
    ] {
        assert!(before.contains_key(&umbel.data_dir().join(name)), "{name} is missing");
    }
    let status = umbel.terminate(Duration::from_secs(15)).await?;
    assert_eq!(status.code(), Some(0), "{}", umbel.process().log_tail());
    let admin = umbel.admin()?;
    umbel.restart().await?;
    assert_eq!(before, all_credentials(&umbel.data_dir())?);
    admin.get("/apis").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_kubeconfig_is_complete_and_verifies_the_server() -> Result<()> {
    let umbel = Umbel::start().await?;
    let text = fs::read_to_string(umbel.kubeconfig())?;
    assert!(!text.contains("insecure"), "{text}");
    let config: serde_json::Value = umbel::model::yaml::read(&text)?;
    assert_eq!(config["current-context"], "umbel");
    assert_eq!(config["clusters"][0]["name"], "umbel");
    assert_eq!(config["clusters"][0]["cluster"]["server"], umbel.url());
    assert_eq!(config["contexts"][0]["name"], "umbel");
    assert_eq!(config["users"][0]["name"], "umbel-admin");
    let Some(kubectl) = need(Kubectl::newest(&umbel.kubeconfig()))? else { return Ok(()) };
    let whole = kubectl.ok(&["config", "view", "--raw"]).await?;
    assert!(whole.contains("client-key-data"), "{whole}");
    let resources = kubectl.ok(&["api-resources", "--no-headers"]).await?;
    assert!(resources.contains("apiservices"), "{resources}");
    Ok(())
}

/// Files of an earlier version keep working, under the new names.
#[tokio::test]
async fn an_older_kubeconfig_gets_the_new_names() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let text = fs::read_to_string(umbel.kubeconfig())?;
    let backend = umbel.data_dir().join("backend/kubeconfig");
    for (path, user) in [(umbel.kubeconfig(), "umbel-admin"), (backend.clone(), "umbel-backend")] {
        let old = fs::read_to_string(&path)?
            .replace(&format!("name: {user}"), "name: default")
            .replace(&format!("user: {user}"), "user: default")
            .replace("cluster: umbel", "cluster: default-cluster")
            .replacen("name: umbel", "name: default-cluster", 1)
            .replacen("name: umbel", "name: default-context", 1)
            .replace("current-context: umbel", "current-context: default-context");
        ensure!(!old.contains("umbel"), "{old}");
        fs::write(&path, old)?;
    }
    umbel.terminate(Duration::from_secs(15)).await?;
    umbel.restart().await?;
    let read: serde_json::Value = umbel::model::yaml::read(&fs::read_to_string(umbel.kubeconfig())?)?;
    let first: serde_json::Value = umbel::model::yaml::read(&text)?;
    assert_eq!(read, first);
    assert!(fs::read_to_string(backend)?.contains("user: umbel-backend"));
    let Some(kubectl) = need(Kubectl::oldest(&umbel.kubeconfig()))? else { return Ok(()) };
    assert_eq!(kubectl.ok(&["config", "current-context"]).await?, "umbel\n");
    kubectl.ok(&["get", "apiservices"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_port_is_written_and_what_somebody_added_stays() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    let text = fs::read_to_string(umbel.kubeconfig())?;
    let changed = text
        .replace("    user: umbel-admin\n", "    user: umbel-admin\n    namespace: mine\n")
        .replace(&umbel.url(), "https://127.0.0.1:1");
    ensure!(changed.contains("namespace: mine") && changed.contains("127.0.0.1:1\""), "{changed}");
    umbel.kill()?;
    fs::write(umbel.kubeconfig(), changed)?;
    umbel.restart().await?;
    let text = fs::read_to_string(umbel.kubeconfig())?;
    assert!(text.contains(&umbel.url()) && text.contains("namespace: mine"), "{text}");
    Ok(())
}

/// A certificate of somebody's own CA, with its key, as files below `home`.
fn own_certificate(home: &Path, name: &str) -> Result<[String; 2]> {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let files = [home.join("own.crt"), home.join("own.key")];
    fs::write(&files[0], certified.cert.pem())?;
    fs::write(&files[1], certified.signing_key.serialize_pem())?;
    Ok(files.map(|file| file.display().to_string()))
}

#[tokio::test]
async fn a_certificate_of_ones_own_comes_and_goes_and_kubectl_follows() -> Result<()> {
    let home = tempfile::TempDir::new()?;
    let [certificate, key] = own_certificate(home.path(), "*.example.com")?;
    let flags = ["--tls-cert-file", &certificate, "--tls-private-key-file", &key];
    let mut umbel = Umbel::start_in(home, &flags).await?;
    let kubectl = need(Kubectl::newest(&umbel.kubeconfig()))?;
    for _start in 0..2 {
        if let Some(kubectl) = &kubectl {
            kubectl.ok(&["get", "apiservices"]).await?;
        }
        let text = fs::read_to_string(umbel.kubeconfig())?;
        assert!(text.contains("umbel.example.com"), "{text}");
        umbel.terminate(Duration::from_secs(15)).await?;
        umbel.restart().await?;
    }
    umbel.terminate(Duration::from_secs(15)).await?;
    umbel.restart_with(&[]).await?;
    let text = fs::read_to_string(umbel.kubeconfig())?;
    assert!(!text.contains("tls-server-name"), "{text}");
    if let Some(kubectl) = &kubectl {
        kubectl.ok(&["get", "apiservices"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_shows_no_certificate_sees_health_and_version_only() -> Result<()> {
    let umbel = Umbel::start().await?;
    let anonymous = umbel.anonymous()?;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(anonymous.get(path).await?.status, 200, "{path}");
    }
    for path in ["/apis", "/apis/apiregistration.k8s.io/v1/apiservices", "/metrics"] {
        let answer = anonymous.get(path).await?;
        assert!([401, 403].contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.json()?["kind"], "Status", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_gone_is_never_replaced_by_an_empty_one_unasked() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    umbel.terminate(Duration::from_secs(15)).await?;
    let store = umbel.data_dir().join("store");
    fs::rename(&store, umbel.data_dir().join("store.away"))?;
    // Each of these alone shows that there was a store.
    for _ in 0..3 {
        let told = umbel.restart().await.err().context("it started without its objects")?;
        let told = format!("{told:#}");
        assert!(
            told.contains("store is missing, although") && told.contains("--allow-empty-store"),
            "{told}"
        );
        assert!(!store.exists(), "nothing was made");
        for made in ["admin.kubeconfig", "backend"] {
            if umbel.data_dir().join(made).exists() {
                fs::rename(umbel.data_dir().join(made), umbel.data_dir().join(format!("{made}.away")))?;
                break;
            }
        }
    }
    umbel.restart_with(&["--allow-empty-store"]).await?;
    umbel.terminate(Duration::from_secs(15)).await?;
    umbel.restart_with(&[]).await?;
    umbel.terminate(Duration::from_secs(15)).await?;

    // Only its file: the folder says that there was one, so nothing is taken for empty.
    fs::remove_file(store.join("store.redb"))?;
    let told = umbel.restart().await.err().context("it started without its objects")?;
    let told = format!("{told:#}");
    assert!(told.contains("store.redb is missing, although"), "{told}");
    umbel.restart_with(&["--allow-empty-store"]).await
}

#[tokio::test]
async fn a_store_that_is_deleted_at_run_time_takes_no_write_and_is_not_ready() -> Result<()> {
    const NAMES: &str = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    let object = |name: &str| json!({"metadata": {"name": name}, "spec": {"host": "a.example.com"}});
    admin.post(NAMES, &object("kept")).await?.expect(201)?;
    let (file, away) = (umbel.data_dir().join("store/store.redb"), umbel.data_dir().join("away"));
    fs::rename(&file, &away)?;
    let refused = admin.post(NAMES, &object("lost")).await?.expect(500)?;
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("store.redb was deleted or moved away"), "{refused}");
    assert_eq!(admin.get("/readyz").await?.status, 500);
    let told = admin.get("/readyz/store").await?;
    assert!(told.status == 500 && told.text().contains("deleted or moved away"), "{}", told.text());
    assert_eq!(admin.get("/livez").await?.status, 200, "a restart would lose what can still be read");
    admin.get(&format!("{NAMES}/kept")).await?.expect(200)?;
    assert_eq!(admin.get(&format!("{NAMES}/lost")).await?.status, 404);
    fs::rename(&away, &file)?;
    assert_eq!(admin.get("/readyz").await?.status, 200);
    admin.post(NAMES, &object("found")).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_damaged_key_is_named_and_nothing_is_replaced() -> Result<()> {
    let mut umbel = Umbel::start().await?;
    umbel.terminate(Duration::from_secs(15)).await?;
    let key = umbel.data_dir().join("pki/client-ca.key");
    fs::write(&key, "half")?;
    let before = all_credentials(&umbel.data_dir())?;
    let told = umbel.restart().await.err().context("it started with a damaged key")?;
    let told = format!("{told:#}");
    assert!(told.contains("client-ca.key: holds no usable private key"), "{told}");
    assert!(told.contains("restore the folder pki from a backup"), "{told}");
    assert_eq!(before, all_credentials(&umbel.data_dir())?);
    Ok(())
}
