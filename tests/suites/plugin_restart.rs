//! The state of plugins after a gateway was killed, as operators see it.

use super::plugin_objects::Bench;
use anyhow::Result;

const HEAD: &str = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: ";
const OBJECTS: &str = "apiVersion: service.grafana.app/v0alpha1
kind: ExternalName
metadata: {name: shop, namespace: default, annotations: {umbel.dev/health-checker: p}}
spec: {host: 127.0.0.1}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.shop.example.com}
spec:
  group: shop.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {namespace: default, name: shop, port: 1}
";

#[tokio::test]
async fn a_component_that_was_rolled_back_does_not_come_back_with_a_restart() -> Result<()> {
    let Some(mut bench) = Bench::start().await? else { return Ok(()) };
    bench.drop_plugin("p")?;
    bench.wait("p", "condition=Ready").await?;
    bench.kubectl.ok_with_input(&["create", "-f", "-"], OBJECTS).await?;
    let traps = format!("{HEAD}{{settings: {{do: trap}}, rehearsal: off, probation: {{calls: 1}}}}\n");
    bench.write("p.yaml", traps.as_bytes())?;
    bench.wait_field("p", ".status.reason", "RolledBack").await?;
    let told = bench.field("p", ".status.message").await?;
    for is_killed in [true, false, true] {
        if is_killed {
            bench.umbel.kill()?;
        } else {
            bench.umbel.terminate(super::plugin_objects::PATIENCE).await?;
        }
        bench.umbel.restart().await?;
        bench.wait_field("p", ".status.reason", "RolledBack").await?;
        bench.wait("p", "condition=Serving").await?;
        assert_eq!(bench.field("p", ".status.state").await?, "Rejected");
        assert_eq!(bench.field("p", ".status.message").await?, told);
        assert_eq!(bench.field("p", ".spec.settings.host").await?, "10.0.0.1", "what serves is the good one");
    }
    let good = format!("{HEAD}{{settings: {{host: 10.0.0.3}}, rehearsal: off}}\n");
    bench.write("p.yaml", good.as_bytes())?;
    bench.wait_field("p", ".spec.settings.host", "10.0.0.3").await?;
    bench.wait("p", "condition=Loaded").await
}
