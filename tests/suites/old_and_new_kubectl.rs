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
    Ok(())
}
