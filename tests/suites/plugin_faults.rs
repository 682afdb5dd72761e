//! Error messages for authors of broken plugins.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use umbel_tests::{Author, AuthorLanguage, Guest, Umbel, need, umbel_program, wait_for};

/// A mistake in each language: the file, the text before, the text after, and the expected messages.
const SLIPS: [(AuthorLanguage, &str, &str, &str, [&str; 3]); 6] = [
    (
        AuthorLanguage::Rust,
        "src/lib.rs",
        "let name = format!",
        "println!(\"hello {}\", 7); assert!(zone.is_empty(), \"boom {zone}\"); let name = format!",
        ["panicked at src/lib.rs:", "boom svc.example.com", "log  info: hello 7"],
    ),
    (
        AuthorLanguage::Go,
        "main.go",
        "\tname := fmt.Sprintf",
        "\tfmt.Print(\"hello \", 7)\n\tpanic(\"boom \" + o.Zone)\n\tname := fmt.Sprintf",
        ["panic: boom svc.example.com at=main.resolve:", "unexpected fault: trap", "log  info: hello 7"],
    ),
    (
        AuthorLanguage::JavaScript,
        "plugin.js",
        "const addresses = lookUp(name);",
        "console.log(\"hello\", 7); null.boom; const addresses = lookUp(name);",
        ["TypeError: cannot read property 'boom' of null", "resolve (plugin.js:", "log  info: hello 7"],
    ),
    (
        AuthorLanguage::JavaScript,
        "plugin.js",
        "port: target.port",
        "port: String(target.port)",
        [
            "resolver.resolve: answer.endpoints[0].port is \"8443\"",
            "expected a whole number from 0 to 65535",
            "log  error: TypeError",
        ],
    ),
    (
        AuthorLanguage::Go,
        "main.go",
        "\tname := fmt.Sprintf",
        "\tgo func() { panic(\"boom\") }()\n\tselect {}\n\tname := fmt.Sprintf",
        ["trapped: panic: boom", "log  warn: goroutine ", "log  warn: main.resolve"],
    ),
    (
        AuthorLanguage::Python,
        "app.py",
        "        endpoints = [",
        "        print(\"hello\", 7)\n        1 / 0\n        endpoints = [",
        ["ZeroDivisionError: division by zero", "/app.py\", line ", "log  info: hello 7"],
    ),
];

#[test]
fn what_a_plugin_prints_and_why_it_ends_is_shown_in_every_language() -> Result<()> {
    for (language, file, old, new, says) in SLIPS {
        let Some(language) = need(language.here())? else { continue };
        let mut author = Author::new()?;
        author.ok(&["plugin", "new", "resolver", "mine", "--lang", language.word()])?;
        author.edit(&format!("mine/{file}"), old, new)?;
        author.ok(&["plugin", "build", "mine", "--output", "mine"])?;
        let tested = author.umbel(&["plugin", "test", "mine/mine.wasm", "--filter", "every address"])?;
        let name = language.name();
        ensure!(tested.code == 1 && tested.said.contains("unexpected fault: trap"), "{name}: {tested:?}");
        for part in says {
            ensure!(tested.said.contains(part), "{name} does not say {part:?}:\n{}", tested.said);
        }
        if language != AuthorLanguage::Rust {
            continue;
        }
        ensure!(!tested.said.contains("core::") && !tested.said.contains("_ZN"), "{}", tested.said);
        let json = author.umbel(&["plugin", "test", "mine/mine.wasm", "--filter", "every", "-o", "json"])?;
        let json = json.said.rsplit_once("error:").map_or(json.said.as_str(), |(json, _)| json);
        let report: Value = serde_json::from_str(json).with_context(|| json.to_owned())?;
        let fault = &report["cases"][0]["fault"];
        ensure!(fault["kind"] == "trap", "{report}");
        ensure!(fault["message"].as_str().is_some_and(|text| text.contains("boom")), "{report}");
        let junit = author.umbel(&["plugin", "test", "mine/mine.wasm", "-o", "junit"])?;
        ensure!(junit.said.contains("<failure type=\"trap\"") && junit.said.contains("boom"), "{junit:?}");
    }
    Ok(())
}

#[test]
fn what_a_world_exports_must_be_implemented() -> Result<()> {
    let slips = [
        (
            AuthorLanguage::Go,
            "main.go",
            "\tresolver.Export(resolve)\n",
            "\t_ = resolve\n",
            "nothing calls resolver.Export",
        ),
        (
            AuthorLanguage::JavaScript,
            "plugin.js",
            "export const resolver",
            "export const resolvr",
            "does not export resolver",
        ),
        (
            AuthorLanguage::JavaScript,
            "plugin.js",
            "  resolve(context",
            "  resolv(context",
            "has no function resolve",
        ),
        (AuthorLanguage::JavaScript, "package.json", "plugin.js", "plugn.js", "there is no such file"),
        (
            AuthorLanguage::Python,
            "app.py",
            "class Resolver(",
            "class Resolvr(",
            "app.py has no class Resolver",
        ),
        (AuthorLanguage::Python, "app.py", "def resolve(", "def resolv(", "has no method resolve"),
    ];
    for (language, file, old, new, says) in slips {
        let Some(language) = need(language.here())? else { continue };
        let mut author = Author::new()?;
        author.ok(&["plugin", "new", "resolver", "mine", "--lang", language.word()])?;
        author.edit(&format!("mine/{file}"), old, new)?;
        let built = author.umbel(&["plugin", "build", "mine", "--output", "mine"])?;
        ensure!(built.code == 1 && built.said.contains(says), "{says}: {built:?}");
        ensure!(!author.path("mine/mine.wasm").exists(), "{built:?}");
        ensure!(!built.said.contains("Py_BytesMain"), "the backtrace of the tool hides it: {}", built.said);
    }
    Ok(())
}

#[test]
fn a_component_that_traps_at_a_first_question_does_not_pass_check() -> Result<()> {
    let Some(component) = need(Guest::Misbehaving.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    fs::copy(component, author.path("mine.wasm"))?;
    let head = "apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\n";
    fs::write(author.path("mine.yaml"), format!("{head}spec: {{settings: {{do: trap}}}}\n"))?;
    let checked = author.umbel(&["plugin", "check", "mine.wasm"])?;
    ensure!(
        checked.code == 1 && checked.said.contains("a first call, resolve default/example,"),
        "{checked:?}"
    );
    ensure!(checked.said.contains("Go calls resolver.Export"), "{checked:?}");
    fs::write(author.path("mine.yaml"), head)?;
    author.ok(&["plugin", "check", "mine.wasm"])?;
    Ok(())
}

#[test]
fn a_mistyped_path_is_answered_with_what_was_meant() -> Result<()> {
    let mut author = Author::new()?;
    author.ok(&["plugin", "new", "resolver", "mine", "--lang", "go"])?;
    fs::write(author.path("mine/mine.wasm"), "no component")?;
    for (command, path, says) in [
        ("build", "mien", "did you mean mine?"),
        ("build", "mine/main.go", "it is a file"),
        ("test", "mine", "is a directory; name a component such as mine/mine.wasm"),
        ("check", "mine/mien.wasm", "did you mean mine/mine.wasm?"),
    ] {
        let step = author.umbel(&["plugin", command, path])?;
        ensure!(step.code == 1 && step.said.contains(says), "{says}: {step:?}");
    }
    Ok(())
}

#[tokio::test]
async fn install_says_which_gateway_it_does_not_find() -> Result<()> {
    let Some(component) = need(Guest::ResolverExternalName.component())? else { return Ok(()) };
    let mut author = Author::new()?;
    fs::copy(component, author.path("mine.wasm"))?;
    // There is no gateway.
    let nowhere = author.umbel(&["plugin", "install", "mine.wasm"])?;
    ensure!(nowhere.code == 2 && nowhere.said.contains("./umbel-data does not exist"), "{nowhere:?}");
    ensure!(nowhere.said.contains("umbel serve --data-dir"), "{nowhere:?}");
    ensure!(!author.path("umbel-data").exists(), "nothing is made for a gateway that is not there");
    fs::create_dir(author.path("umbel-dta"))?;
    let foreign = author.umbel(&["plugin", "install", "mine.wasm", "--data-dir", "umbel-dta"])?;
    ensure!(
        foreign.code == 2 && foreign.said.contains("is not the data directory of a gateway"),
        "{foreign:?}"
    );
    let mistyped = author.umbel(&["plugin", "install", "mine.wasm", "--plugin-dir", "umbel-dat"])?;
    ensure!(mistyped.code == 2 && mistyped.said.contains("did you mean umbel-dta?"), "{mistyped:?}");
    // A gateway watches another directory.
    let gateway = Umbel::start().await?;
    let kubeconfig = gateway.kubeconfig().display().to_string();
    fs::create_dir(author.path("plugins"))?;
    let place = ["--plugin-dir", "plugins", "--kubeconfig", &kubeconfig];
    let other = author.umbel(&[&["plugin", "install", "mine.wasm"][..], &place, &["--wait"]].concat())?;
    ensure!(other.code == 2 && other.said.contains("watches "), "{other:?}");
    ensure!(other.said.contains(&gateway.data_dir().join("plugins").display().to_string()), "{other:?}");
    ensure!(fs::read_dir(author.path("plugins"))?.next().is_none(), "nothing is installed");
    // The kubeconfig of the data directory is used, regardless of others.
    std::os::unix::fs::symlink(gateway.data_dir(), author.path("umbel-data"))?;
    fs::write(author.path("umbel-dta/admin.kubeconfig"), "current-context: gone\n")?;
    let wrong = author.umbel(&["plugin", "install", "mine.wasm", "--data-dir", "umbel-dta", "--wait"])?;
    ensure!(
        wrong.code == 1 && wrong.said.contains("umbel-dta/admin.kubeconfig: has no context"),
        "{wrong:?}"
    );
    ensure!(!author.path("umbel-dta/plugins").exists(), "{wrong:?}");
    let said = author.ok(&["plugin", "install", "mine.wasm", "--wait", "--timeout", "180"])?;
    ensure!(said.contains("mine serves"), "{said}");
    let names = ["plugin", "record", "mien", "--out", "cases", "--kubeconfig", &kubeconfig];
    let record = author.umbel(&names)?;
    ensure!(record.code == 1 && record.said.contains("did you mean \"mine\"?"), "{record:?}");
    drop(gateway);
    let stopped = author.ok(&["plugin", "install", "mine.wasm", "--data-dir", "umbel-dta"])?;
    ensure!(stopped.contains("no gateway answers"), "{stopped}");
    Ok(())
}

/// A command in the background, with its output in a file.
struct Watching(Child);

impl Watching {
    fn start(author: &Author, component: &str, output: &Path) -> Result<Self> {
        let output = fs::File::create(output)?;
        let child = Command::new(umbel_program()?)
            .args(["plugin", "run", component, "--watch"])
            .current_dir(author.home())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have exited already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_changed_source_is_built_and_tested_again() -> Result<()> {
    let Some(language) = need(AuthorLanguage::Go.here())? else { return Ok(()) };
    let mut author = Author::new()?;
    author.ok(&["plugin", "new", "resolver", "mine", "--lang", language.word()])?;
    let output = author.path("output");
    let _watching = Watching::start(&author, "mine/mine.wasm", &output)?;
    let says = async |part: &str| {
        wait_for(part, Duration::from_secs(300), || async {
            let said = fs::read_to_string(&output)?;
            ensure!(said.contains(part), "{said}");
            Ok(())
        })
        .await
    };
    // There is no component yet, so it is built.
    says("3 passed, 0 failed").await?;
    author.edit("mine/main.go", "Weight: 1}", "Weight: 1, Prioritie: 2}")?;
    says("not built, so no case ran").await?;
    author.edit("mine/main.go", "Weight: 1, Prioritie: 2}", "Weight: 1, Priority: 2}")?;
    author.edit(
        "mine/cases/resolve.yaml",
        "{host: 10.0.0.1, port: 8443}",
        "{host: 10.0.0.1, priority: 2}",
    )?;
    wait_for("the second build", Duration::from_secs(300), || async {
        let said = fs::read_to_string(&output)?;
        let (_, after) = said.split_once("not built").context("it failed before")?;
        ensure!(after.contains("3 passed, 0 failed"), "{said}");
        Ok(())
    })
    .await
}
