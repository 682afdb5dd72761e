//! Stock kubectl, the oldest and the newest, without `--validate=false` anywhere.

use anyhow::{Context, Result};
use std::time::Duration;
use umbel_tests::{Kubectl, SampleApiServer, Umbel, need, wait_for};

const BOUND: Duration = Duration::from_secs(60);

const EXTERNAL_NAME: &str = "apiVersion: service.grafana.app/v0alpha1\nkind: ExternalName\nmetadata:\n  \
                             name: shop\n  namespace: default\nspec:\n  host: shop.example.com\n";
const API_SERVICE: &str = "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  \
                           name: v1.shop.example.com\nspec:\n  group: shop.example.com\n  version: v1\n  \
                           groupPriorityMinimum: 1000\n  versionPriority: 15\n  service:\n    \
                           name: shop\n    namespace: default\n";

/// Oldest and newest kubectl against one Umbel; what is missing is skipped with a word.
fn kubectls(umbel: &Umbel) -> Result<Vec<Kubectl>> {
    let oldest = need(Kubectl::oldest(&umbel.kubeconfig()))?;
    let newest = need(Kubectl::newest(&umbel.kubeconfig()))?;
    Ok(oldest.into_iter().chain(newest).collect())
}

#[tokio::test]
async fn own_kinds_are_created_applied_edited_explained_and_deleted() -> Result<()> {
    let umbel = Umbel::start().await?;
    for kubectl in kubectls(&umbel)? {
        own_kinds(&kubectl).await.with_context(|| kubectl.name())?;
    }
    Ok(())
}

async fn own_kinds(kubectl: &Kubectl) -> Result<()> {
    let resources = kubectl.ok(&["api-resources", "--no-headers"]).await?;
    assert!(resources.contains("apiservices") && resources.contains("externalnames"), "{resources}");

    let said = kubectl.ok_with_input(&["create", "-f", "-"], EXTERNAL_NAME).await?;
    assert!(said.contains("externalname.service.grafana.app/shop created"), "{said}");
    let said = kubectl.ok_with_input(&["apply", "-f", "-"], API_SERVICE).await?;
    assert!(said.contains("apiservice.apiregistration.k8s.io/v1.shop.example.com created"), "{said}");
    let changed = API_SERVICE.replace("versionPriority: 15", "versionPriority: 20");
    let said = kubectl.ok_with_input(&["apply", "-f", "-"], &changed).await?;
    assert!(said.contains("configured"), "{said}");
    let said = kubectl.ok_with_input(&["apply", "-f", "-"], &changed).await?;
    assert!(said.contains("unchanged"), "{said}");

    let typo = EXTERNAL_NAME.replace("  host:", "  hots:").replace("shop", "other");
    let refused = kubectl.run_with_input(&["create", "-f", "-"], &typo).await?;
    assert!(refused.code != 0 && refused.stderr.contains("hots"), "{refused:?}");

    edit(kubectl).await?;
    let described = kubectl.ok(&["describe", "apiservice", "v1.shop.example.com"]).await?;
    assert!(described.contains("Version Priority:") && described.contains("20"), "{described}");
    let table = kubectl.ok(&["get", "apiservice", "v1.shop.example.com"]).await?;
    assert!(table.starts_with("NAME") && table.contains("default/shop"), "{table}");
    let explained = kubectl.ok(&["explain", "apiservices.spec.service"]).await?;
    assert!(explained.contains("namespace") && explained.contains("port"), "{explained}");
    let explained = kubectl.ok(&["explain", "externalnames.spec"]).await?;
    assert!(explained.contains("host"), "{explained}");

    kubectl.ok(&["delete", "apiservice", "v1.shop.example.com"]).await?;
    kubectl.ok(&["delete", "externalname", "shop", "-n", "default"]).await?;
    let gone = kubectl.run(&["get", "externalname", "shop", "-n", "default"]).await?;
    assert!(gone.code == 1 && gone.stderr.contains("NotFound"), "{gone:?}");
    Ok(())
}

/// `kubectl edit` with an editor that changes the host.
async fn edit(kubectl: &Kubectl) -> Result<()> {
    let mut command = kubectl.command(&["edit", "externalname", "shop", "-n", "default"]);
    command.env("KUBE_EDITOR", "sed -i s/shop.example.com/edited.example.com/");
    let edited = kubectl.run_command(command, "").await?;
    assert!(edited.code == 0 && edited.stdout.contains("edited"), "{edited:?}");
    let host = kubectl.ok(&["get", "externalname", "shop", "-o", "jsonpath={.spec.host}"]).await?;
    assert_eq!(host, "edited.example.com");
    Ok(())
}

#[tokio::test]
async fn deletes_that_wait_for_dependents_are_complete_at_once() -> Result<()> {
    let umbel = Umbel::start().await?;
    for kubectl in kubectls(&umbel)? {
        cascades(&kubectl).await.with_context(|| kubectl.name())?;
    }
    Ok(())
}

/// kubectl itself waits until the object is gone, and a call that takes too long is an error.
async fn cascades(kubectl: &Kubectl) -> Result<()> {
    for cascade in ["--cascade=foreground", "--cascade=orphan", "--cascade=background"] {
        for held in [false, true] {
            for (kind, name, text) in
                [("externalname", "shop", EXTERNAL_NAME), ("apiservice", "v1.shop.example.com", API_SERVICE)]
            {
                let finalizer = if cascade.ends_with("orphan") { "orphan" } else { "foregroundDeletion" };
                let finalizers = format!("metadata:\n  finalizers: [{finalizer}]\n");
                let text = if held { text.replace("metadata:\n", &finalizers) } else { text.to_owned() };
                kubectl.ok_with_input(&["create", "-f", "-"], &text).await?;
                let dry = ["delete", kind, name, cascade, "--dry-run=server"];
                let said = kubectl.ok(&dry).await?;
                assert!(said.contains("deleted") && said.contains("dry run"), "{said}");
                kubectl.ok(&["get", kind, name]).await?;
                let said = kubectl.ok(&["delete", kind, name, cascade]).await?;
                assert!(said.contains("deleted"), "{said}");
                let gone = kubectl.run(&["get", kind, name]).await?;
                assert!(gone.stderr.contains("NotFound"), "{cascade} {kind}: {gone:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_object_is_named_in_every_namespace() -> Result<()> {
    let umbel = Umbel::start().await?;
    for kubectl in kubectls(&umbel)? {
        for namespace in ["default", "prod", "kube-system", "Prod", "no.namespace"] {
            for verb in [&["get"][..], &["describe"], &["delete"], &["label", "a=b"], &["annotate", "a=b"]] {
                let arguments =
                    [&verb[..1], &["externalname", "nope"], &verb[1..], &["-n", namespace]].concat();
                let missing = kubectl.run(&arguments).await?;
                let wanted =
                    "Error from server (NotFound): externalnames.service.grafana.app \"nope\" not found\n";
                assert_eq!(
                    (missing.code, missing.stderr.as_str()),
                    (1, wanted),
                    "{} {arguments:?}",
                    kubectl.name()
                );
            }
        }
        let ignored =
            kubectl.run(&["get", "externalname", "nope", "-n", "prod", "--ignore-not-found"]).await?;
        assert_eq!((ignored.code, ignored.stdout.as_str()), (0, ""), "{ignored:?}");
        let resources = kubectl.ok(&["api-resources", "--no-headers"]).await?;
        assert!(!resources.contains("namespaces"), "the core group is not listed: {resources}");
    }
    Ok(())
}

#[tokio::test]
async fn the_wide_table_of_apiservices_tells_endpoint_and_cause() -> Result<()> {
    let umbel = Umbel::start().await?;
    let admin = umbel.admin()?;
    for kubectl in kubectls(&umbel)? {
        kubectl.ok_with_input(&["apply", "-f", "-"], API_SERVICE).await?;
        let missing = "ExternalName \"shop\" in namespace \"default\" is not present";
        let wide = ["get", "apiservices", "v1.shop.example.com", "-o", "wide"];
        let table = wait_for("the cause", BOUND, || async {
            let table = kubectl.ok(&wide).await?;
            anyhow::ensure!(table.contains(missing), "{table}");
            Ok(table)
        })
        .await?;
        assert!(
            table.contains("ENDPOINT") && table.contains("MESSAGE") && table.contains("<none>"),
            "{table}"
        );
        let narrow = kubectl.ok(&["get", "apiservices", "v1.shop.example.com"]).await?;
        assert!(!narrow.contains("ENDPOINT") && !narrow.contains("MESSAGE"), "{narrow}");
        let refused = admin.get("/apis/shop.example.com/v1/things").await?;
        assert!(refused.status == 503 && refused.json()?["message"].to_string().contains("is not present"));

        let nowhere = EXTERNAL_NAME.replace("shop.example.com", "127.0.0.1");
        kubectl.ok_with_input(&["create", "-f", "-"], &nowhere).await?;
        wait_for("the endpoint", BOUND, || async {
            let table = kubectl.ok(&wide).await?;
            anyhow::ensure!(table.contains("127.0.0.1:443") && !table.contains("<none>"), "{table}");
            Ok(())
        })
        .await?;
        kubectl.ok(&["delete", "apiservice", "v1.shop.example.com"]).await?;
        kubectl.ok(&["delete", "externalname", "shop"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_backends_kinds_behave_the_same() -> Result<()> {
    let Some(()) = need(SampleApiServer::available())? else { return Ok(()) };
    let umbel = Umbel::start().await?;
    let server = SampleApiServer::start(&umbel).await?;
    let registration = server.registration().display().to_string();
    for (index, kubectl) in kubectls(&umbel)?.into_iter().enumerate() {
        kubectl.ok(&["apply", "-f", &registration]).await?;
        flunders(&kubectl, &format!("flunder-{index}")).await.with_context(|| kubectl.name())?;
    }
    Ok(())
}

async fn flunders(kubectl: &Kubectl, name: &str) -> Result<()> {
    let wait =
        ["wait", "--for=condition=Available", "apiservice/v1alpha1.wardle.example.com", "--timeout=60s"];
    kubectl.ok(&wait).await?;
    // The documents of a backend are fetched off the request path; they follow availability shortly.
    wait_for("kubectl explain flunders", BOUND, || kubectl.ok(&["explain", "flunders.spec"])).await?;
    let resources = wait_for("flunders in api-resources", BOUND, || kubectl.ok(&["api-resources"])).await?;
    assert!(resources.contains("flunders"), "{resources}");
    let flunder =
        format!("apiVersion: wardle.example.com/v1alpha1\nkind: Flunder\nmetadata:\n  name: {name}\n");
    kubectl.ok_with_input(&["create", "-f", "-"], &flunder).await?;
    let named = format!("{flunder}  labels: {{made: applied}}\n");
    kubectl.ok_with_input(&["apply", "-f", "-"], &named).await?;
    let described = kubectl.ok(&["describe", "flunder", name]).await?;
    assert!(described.contains("made=applied"), "{described}");
    kubectl.ok(&["delete", "flunder", name]).await?;
    let missing = kubectl.run(&["get", "flunder", name, "-n", "prod"]).await?;
    let wanted = format!("Error from server (NotFound): flunders.wardle.example.com \"{name}\" not found\n");
    assert_eq!((missing.code, missing.stderr), (1, wanted));
    Ok(())
}
