//! `umbel plugin …` as authors run it, in every language whose tools are here.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use umbel_tests::{
    Author, AuthorLanguage, DnsServer, Guest, Record, Umbel, first_ten_minutes, need, reasons_page,
    reasons_path, wait_for,
};

#[tokio::test]
async fn an_author_comes_from_nothing_to_a_plugin_that_serves() -> Result<()> {
    for language in AuthorLanguage::ALL {
        let Some(language) = need(language.here())? else { continue };
        let author = first_ten_minutes(language).await?;
        ensure!(author.transcript().contains("$ umbel plugin install"), "{}", author.transcript());
    }
    Ok(())
}

#[test]
fn every_kind_builds_and_passes_its_cases_as_it_is_written() -> Result<()> {
    for language in AuthorLanguage::ALL {
        let Some(language) = need(language.here())? else { continue };
        for kind in ["resolver", "health", "discovery"] {
            let mut author = Author::new()?;
            author.ok(&["plugin", "new", kind, "mine", "--lang", language.word()])?;
            author.ok(&["plugin", "build", "mine", "--output", "mine"])?;
            let said = author.ok(&["plugin", "test", "mine/mine.wasm"])?;
            ensure!(said.ends_with("3 passed, 0 failed\n"), "{kind} in {}: {said}", language.name());
            // Interpreters take long to compile, and every command compiles.
            if !matches!(language, AuthorLanguage::Rust | AuthorLanguage::Go) {
                continue;
            }
            let shown: Value =
                serde_json::from_str(&author.ok(&["plugin", "inspect", "mine/mine.wasm", "-o", "json"])?)?;
            ensure!(
                shown["kinds"] == serde_json::json!([kind]) && shown["wasi"] == serde_json::json!([]),
                "{shown}"
            );
            let json = author.ok(&["plugin", "bench", "mine/mine.wasm", "--calls", "5", "-o", "json"])?;
            let costs: Value = serde_json::from_str(&json)?;
            ensure!(costs["cases"][0]["fuel"].as_u64() > Some(0), "{costs}");
        }
    }
    Ok(())
}

#[test]
fn a_directory_in_use_is_left_alone() -> Result<()> {
    let mut author = Author::new()?;
    author.ok(&["plugin", "new", "health", "mine", "--lang", "rust"])?;
    std::fs::write(author.path("mine/src/lib.rs"), "precious")?;
    let again = author.umbel(&["plugin", "new", "health", "mine", "--lang", "rust"])?;
    ensure!(again.code == 1 && again.said.contains("mine is not empty"), "{again:?}");
    ensure!(std::fs::read_to_string(author.path("mine/src/lib.rs"))? == "precious");
    Ok(())
}

#[test]
fn what_no_gateway_takes_is_explained_and_not_installed() -> Result<()> {
    let mut author = Author::new()?;
    std::fs::create_dir(author.path("plugins"))?;
    // A core module, a text, and nothing at all.
    for (name, bytes) in [("core", &b"\0asm\x01\0\0\0"[..]), ("text", b"hello"), ("empty", b"")] {
        let file = format!("{name}.wasm");
        std::fs::write(author.path(&file), bytes)?;
        let checked = author.umbel(&["plugin", "check", &file])?;
        ensure!(checked.code == 1 && checked.said.contains("reason    NotAComponent"), "{checked:?}");
        ensure!(checked.said.contains("  fix       build it with"), "{checked:?}");
        author.ok(&["plugin", "inspect", &file])?;
        let installed = author.umbel(&["plugin", "install", &file, "--plugin-dir", "plugins"])?;
        ensure!(installed.code == 1 && author.path("plugins").read_dir()?.next().is_none(), "{installed:?}");
    }
    Ok(())
}

#[test]
fn an_operators_manifest_outlives_an_install() -> Result<()> {
    let Some(component) = need(Guest::ResolverExternalName.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    std::fs::copy(component, author.path("mine.wasm"))?;
    let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\n";
    let (authors, operators) =
        (head.to_owned(), format!("{head}spec: {{grants: {{dns: [a.example.com]}}}}\n"));
    std::fs::write(author.path("mine.yaml"), &authors)?;
    std::fs::create_dir(author.path("plugins"))?;
    author.ok(&["plugin", "install", "mine.wasm", "--plugin-dir", "plugins"])?;
    ensure!(std::fs::read_to_string(author.path("plugins/mine.yaml"))? == authors);
    std::fs::write(author.path("plugins/mine.yaml"), &operators)?;
    let install = ["plugin", "install", "mine.wasm", "--plugin-dir", "plugins"];
    let component = std::fs::metadata(author.path("plugins/mine.wasm"))?.modified()?;
    let stopped = author.umbel(&install)?;
    ensure!(
        stopped.code == 1 && stopped.said.contains("-spec: {grants: {dns: [a.example.com]}}"),
        "{stopped:?}"
    );
    ensure!(
        stopped.said.contains("--keep-manifest") && stopped.said.contains("--replace-manifest"),
        "{stopped:?}"
    );
    ensure!(
        std::fs::metadata(author.path("plugins/mine.wasm"))?.modified()? == component,
        "nothing is installed"
    );
    let said = author.ok(&[&install[..], &["--keep-manifest"]].concat())?;
    ensure!(said.contains("plugins/mine.yaml stays as it is"), "{said}");
    ensure!(std::fs::read_to_string(author.path("plugins/mine.yaml"))? == operators);
    // An operator's manifest that would be rejected stops the install before anything is written.
    std::fs::write(author.path("plugins/mine.yaml"), "nonsense: true\n")?;
    let refused = author.umbel(&[&install[..], &["--keep-manifest"]].concat())?;
    ensure!(refused.code == 1 && refused.said.contains("ManifestInvalid"), "{refused:?}");
    author.ok(&[&install[..], &["--replace-manifest"]].concat())?;
    ensure!(std::fs::read_to_string(author.path("plugins/mine.yaml"))? == authors);
    // Without a manifest of its own, the plugin does not conflict with the installed one.
    std::fs::remove_file(author.path("mine.yaml"))?;
    author.ok(&install)?;
    Ok(())
}

#[test]
fn a_case_that_cannot_be_read_is_an_error_with_file_and_line() -> Result<()> {
    let Some(component) = need(Guest::ResolverExternalName.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    std::fs::copy(component, author.path("mine.wasm"))?;
    std::fs::create_dir(author.path("cases"))?;
    std::fs::write(author.path("cases/a.yaml"), "cases:\n- name: a\n  aks: {call: validate}\n")?;
    let step = author.umbel(&["plugin", "test", "mine.wasm"])?;
    ensure!(
        step.code == 1 && step.said.contains("cases/a.yaml:3:3: cases[0]: unknown field `aks`"),
        "{step:?}"
    );
    ensure!(step.said.contains("; did you mean `ask`?"), "{step:?}");
    Ok(())
}

/// A change of a schema, and what `check` and `test` say about it.
const SCHEMAS: [(&str, &str, &[&str], &[&str]); 4] = [
    (
        "\"required\": [\"zone\"],",
        "",
        &[
            "a gateway takes it, but its settings schema and its validate disagree",
            "  settings  {} (only what the schema requires)\n  schema    accepts\n  validate  rejects: /zone: needs",
            "  hint      add [\"zone\"] to \"required\"",
        ],
        &[
            "FAILED  mine/mine.wasm: its settings schema and its validate agree\n",
            "        settings  {} (only what the schema requires)\n",
            "3 passed, 1 failed",
        ],
    ),
    (
        "\"type\": \"string\", \"minLength\": 1",
        "\"type\": \"integer\"",
        &[
            "reason    SettingsInvalid",
            "{\"zone\":\"svc.example.com\"} (spec.settings in mine/mine.yaml)",
            "schema    rejects: /zone: want integer, but got string\n  validate  accepts",
        ],
        &["SettingsInvalid: spec.settings/zone: want integer", "validate  accepts"],
    ),
    (
        "\"minLength\": 1",
        "\"examples\": [\"\"]",
        &["{\"zone\":\"\"} (example of /zone in the schema)"],
        &["example of /zone in the schema", "3 passed, 1 failed"],
    ),
    (
        "\"type\": \"string\"",
        "\"type\": \"strin\"",
        &["reason    DescribeFailed", "its settings schema is not a JSON Schema"],
        &["DescribeFailed: its settings schema is not a JSON Schema", "0 passed, 3 failed"],
    ),
];

#[test]
fn a_schema_that_contradicts_the_plugin_fails_check_and_test() -> Result<()> {
    let Some(language) = need(AuthorLanguage::Rust.here())? else { return Ok(()) };
    let mut author = Author::new()?;
    author.ok(&["plugin", "new", "resolver", "mine", "--lang", language.word()])?;
    let path = author.path("mine/settings.schema.json");
    let schema = std::fs::read_to_string(&path)?;
    let build = ["plugin", "build", "mine", "--output", "mine"];
    let (check, test) = (["plugin", "check", "mine/mine.wasm"], ["plugin", "test", "mine/mine.wasm"]);
    for (old, new, check_says, test_says) in SCHEMAS {
        ensure!(schema.contains(old), "{old} in {schema}");
        std::fs::write(&path, schema.replace(old, new))?;
        author.ok(&build)?;
        for (command, says) in [(check, check_says), (test, test_says)] {
            let step = author.umbel(&command)?;
            ensure!(step.code == 1, "{new}: {step:?}");
            for part in says {
                ensure!(step.said.contains(part), "{new}: no {part:?} in\n{}", step.said);
            }
        }
    }
    std::fs::write(&path, schema)?;
    author.ok(&build)?;
    author.ok(&check)?;
    author.ok(&test)?;
    // The plugin accepts a key that the schema does not know.
    let case = "cases:\n- name: more\n  spec: {settings: {zone: a.test, more: 1}}\n  ask: {call: validate}\n  expect: ";
    std::fs::write(author.path("mine/cases/more.yaml"), format!("{case}{{answer: valid}}\n"))?;
    let step = author.umbel(&test)?;
    ensure!(
        step.code == 1 && step.said.contains("schema    rejects: /more: unknown; known are zone"),
        "{step:?}"
    );
    std::fs::write(
        author.path("mine/cases/more.yaml"),
        format!("{case}{{answer: invalid, problems: [{{path: /more}}]}}\n"),
    )?;
    author.ok(&test)?;
    Ok(())
}

#[test]
fn a_lookup_without_a_grant_fails_in_a_case_as_in_a_gateway() -> Result<()> {
    let Some(component) = need(Guest::ResolverSrv.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    std::fs::copy(component, author.path("srv.wasm"))?;
    std::fs::create_dir(author.path("cases"))?;
    let case = "cases:\n- name: not granted\n  ask: {call: resolve, target: {namespace: a, name: b, port: 1, externalName: c.test}}\n  \
                expect: {answer: fault, fault: other, message: {contains: spec.grants.dns}}\n- name: not recorded\n  \
                spec: {grants: {dns: ['*']}}\n  ask: {call: resolve, target: {namespace: a, name: b, port: 1, externalName: c.test}}\n  \
                expect: {answer: fault}\n- name: a metadata address\n  spec: {grants: {dns: ['*']}, settings: {lookupAddresses: false}}\n  \
                ask: {call: resolve, target: {namespace: a, name: b, port: 1, externalName: c.test}}\n  \
                world: {dns: [{name: _https._tcp.c.test, services: [{target: 169.254.169.254, port: 80}]}]}\n  \
                expect: {answer: failure, message: {contains: answered nonsense}}\n";
    std::fs::write(author.path("cases/a.yaml"), case)?;
    let step = author.umbel(&["plugin", "test", "srv.wasm"])?;
    ensure!(step.code == 1 && step.said.contains("2 passed, 1 failed"), "{step:?}");
    ensure!(step.said.contains("the plugin asked for dns services of _https._tcp.c.test"), "{step:?}");
    let junit = author.umbel(&["plugin", "test", "srv.wasm", "-o", "junit"])?;
    ensure!(junit.said.contains("<testsuite name=\"srv\" tests=\"3\" failures=\"1\">"), "{junit:?}");
    Ok(())
}

/// A gateway whose plugin was asked, and what was recorded.
async fn asked_gateway(author: &mut Author, component: &Path, dns: &DnsServer) -> Result<Umbel> {
    let umbel = Umbel::start_with(&["--plugin-dns-servers", &dns.address.to_string()]).await?;
    let directory = umbel.data_dir().join("plugins");
    let manifest = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: {settings: {freshSecondsMax: 60}, grants: {dns: ['*.test']}}\n";
    std::fs::write(author.path("shop.yaml"), manifest)?;
    std::fs::copy(component, author.path("shop.wasm"))?;
    let directory = directory.display().to_string();
    author.ok(&["plugin", "install", "shop.wasm", "--plugin-dir", &directory])?;
    let admin = umbel.admin()?;
    let name = json!({"metadata": {"name": "backend", "annotations": {"umbel.dev/resolver": "shop"}},
        "spec": {"host": "shop.test"}});
    let names = "/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames";
    admin.post(names, &name).await?.expect(201)?;
    let service = json!({"metadata": {"name": "v1.shop.example.com"},
        "spec": {"group": "shop.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "backend", "port": 443}}});
    admin.post("/apis/apiregistration.k8s.io/v1/apiservices", &service).await?.expect(201)?;
    wait_for("the plugin to be asked", Duration::from_secs(180), || async {
        let calls = admin.get("/plugins/shop/calls").await?.expect(200)?;
        ensure!(calls["items"].as_array().is_some_and(|items| !items.is_empty()), "{calls}");
        Ok(())
    })
    .await?;
    Ok(umbel)
}

#[tokio::test]
async fn recorded_calls_are_cases_that_the_same_component_passes() -> Result<()> {
    let Some(component) = need(Guest::ResolverSrv.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    let zone = vec![
        ("_https._tcp.shop.test", Record::Srv(10, 1, 8443, "one.shop.test")),
        ("one.shop.test", Record::A(Ipv4Addr::new(10, 0, 0, 1))),
    ];
    let dns = DnsServer::start(zone, 30)?;
    let umbel = asked_gateway(&mut author, &component, &dns).await?;
    let kubeconfig = umbel.kubeconfig().display().to_string();
    let record = ["plugin", "record", "shop", "--kubeconfig", &kubeconfig, "--out", "cases"];
    let said = author.ok(&record)?;
    ensure!(said.contains("cases/recorded-") && said.contains(" calls written, 0 were there"), "{said}");
    let again = author.ok(&record)?;
    ensure!(again.contains("0 calls written") || again.contains("1 calls written"), "{again}");
    // The cases say what held; the manifest beside the component is not needed.
    std::fs::remove_file(author.path("shop.yaml"))?;
    let tested = author.ok(&["plugin", "test", "shop.wasm"])?;
    ensure!(tested.contains("recorded resolve default/backend") && tested.contains(" 0 failed"), "{tested}");
    // Nobody else may see them, and a plugin that is not there has none.
    let refused = umbel.anonymous()?.get("/plugins/shop/calls").await?;
    ensure!(refused.status == 401, "{}", refused.status);
    let ghost =
        author.umbel(&["plugin", "record", "ghost", "--kubeconfig", &kubeconfig, "--out", "cases"])?;
    ensure!(ghost.code == 1 && ghost.said.contains("has no plugin \"ghost\"; it has shop"), "{ghost:?}");
    Ok(())
}

#[test]
fn the_guide_explains_every_reason_in_the_words_of_the_code() -> Result<()> {
    let written = std::fs::read_to_string(reasons_path())?;
    ensure!(written == reasons_page(), "run: cargo run --package umbel-tests --example reasons");
    Ok(())
}
