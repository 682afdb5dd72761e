//! Components are compiled by a child process, and what became of it is kept.

use super::{PATIENCE, Plugins, drop_guest, target};
use anyhow::{Context, Result, anyhow, ensure};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;
use umbel::plugin::{CompileChild, CompileLimits, Compiler, Reason, State, Status};
use umbel_tests::{Guest, Umbel, umbel_program, wait_for};

/// The program as the gateway starts it, behind a shell script where one is given.
fn child(script: Option<&str>, limits: CompileLimits) -> Result<Compiler> {
    let program = umbel_program()?;
    let Some(script) = script else {
        return Ok(Compiler::Child(CompileChild {
            program,
            arguments: vec!["plugin-compile".to_owned()],
            limits,
        }));
    };
    let own = program.to_string_lossy().into_owned();
    let arguments = ["-c", script, &own, "plugin-compile"].map(str::to_owned).to_vec();
    Ok(Compiler::Child(CompileChild { program: "/bin/sh".into(), arguments, limits }))
}

/// A component that takes many seconds to compile and means nothing: one large module, again and again.
fn write_large(path: &Path) -> Result<()> {
    let mut text = "(module\n".to_owned();
    for function in 0..3000 {
        write!(text, "(func (param i32) (result i32) local.get 0")?;
        for step in 0..60 {
            write!(text, " i32.const {} i32.mul local.get 0 i32.xor", function * 61 + step)?;
        }
        writeln!(text, ")")?;
    }
    text.push(')');
    let module = wat::parse_str(&text)?;
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..14 {
        // Section 1 is a core module; its size is a number of seven bits a byte.
        component.push(1);
        let mut size = module.len();
        while size > 0x7f {
            component.push(u8::try_from(size & 0x7f)? | 0x80);
            size >>= 7;
        }
        component.push(u8::try_from(size)?);
        component.extend_from_slice(&module);
    }
    fs::write(path, component).context("a large component")
}

/// A cache that holds the code of a guest.
async fn cache_with(guest: Guest, code_dir: &Path) -> Result<()> {
    let compiler = child(None, CompileLimits::default())?;
    let plugins =
        Plugins::start_compiled(vec![], compiler, Some(code_dir), |dir| drop_guest(dir, guest, "p"))?;
    plugins.wait_generation("p", 1).await?;
    let counts = plugins.host.code_counts();
    ensure!((counts.compiled, counts.recalled, counts.unkept) == (1, 0, 0), "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn compile_child_dies() -> Result<()> {
    let home = tempfile::tempdir()?;
    let (code_dir, large) = (home.path().join("code"), home.path().join("large.wasm"));
    cache_with(Guest::Misbehaving, &code_dir).await?;
    write_large(&large)?;
    let sound = CompileLimits::default();
    for (script, limits, reason, says) in [
        (None, CompileLimits { memory: 96 << 20, ..sound }, Reason::CompileMemory, "96 MiB"),
        (
            None,
            CompileLimits { cpu: Duration::from_secs(1), ..sound },
            Reason::CompileTimeout,
            "1 s of computing",
        ),
        (Some("kill -KILL $$"), sound, Reason::CompileFailed, "killed from outside"),
        (Some("kill -SEGV $$"), sound, Reason::CompileFailed, "died of signal 11"),
        (Some("head -c 5000 /dev/zero"), sound, Reason::CompileFailed, "5000 bytes that are no native code"),
        (
            Some("exec sleep 600"),
            CompileLimits { wall: Duration::from_millis(500), ..sound },
            Reason::CompileTimeout,
            "was not over",
        ),
    ] {
        let plugins = Plugins::start_compiled(vec![], child(script, limits)?, Some(&code_dir), |dir| {
            fs::copy(&large, dir.join("bad.wasm"))?;
            super::write_manifest(dir, "good", "{settings: {host: 10.0.0.1}}")?;
            drop_guest(dir, Guest::Misbehaving, "good")
        })?;
        plugins.wait_generation("good", 1).await?;
        let bad = plugins.wait_status("bad", "refused", |status| status.reason.is_some()).await?;
        assert_eq!((bad.state, bad.reason), (State::Rejected, Some(reason)), "{script:?}: {}", bad.message);
        assert!(bad.message.contains(says), "{script:?}: {}", bad.message);
        let found = plugins.resolver("good").resolve(&target(None)).await?;
        assert_eq!(found.endpoints[0].host, "10.0.0.1", "{script:?}: the other plugin serves");
        let counts = plugins.host.code_counts();
        assert_eq!((counts.recalled, counts.compiled, counts.failed), (1, 0, 1), "{script:?}");
    }
    Ok(())
}

/// The limit that the process sets itself last.
const LAST_LIMIT: &str = "Max cpu time              60                   61";

/// The process that compiles for this one, where there is one that has taken its rights from itself.
fn restricted_child() -> Result<(std::path::PathBuf, String)> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let path = entry.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        // The name may hold spaces, so fields are counted from its end.
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let is_ours = fields.get(1).is_some_and(|parent| *parent == std::process::id().to_string());
        let limits = read("limits");
        if is_ours && read("cmdline").contains("--memory=1073741823") && limits.contains(LAST_LIMIT) {
            let niceness = fields.get(16).copied().unwrap_or_default();
            let environment = read("environ");
            return Ok((path, format!("nice {niceness}\nenvironment {environment}\n{limits}")));
        }
    }
    Err(anyhow!("no compiler runs"))
}

#[tokio::test]
async fn the_compile_child_gives_its_rights_away_and_ends_with_its_host() -> Result<()> {
    let home = tempfile::tempdir()?;
    write_large(&home.path().join("large.wasm"))?;
    // One byte less than usual tells it from those of other tests.
    let limits = CompileLimits { memory: (1 << 30) - 1, ..CompileLimits::default() };
    let plugins = Plugins::start_compiled(vec![], child(None, limits)?, None, |_| Ok(()))?;
    fs::copy(home.path().join("large.wasm"), plugins.dir.path().join("large.wasm"))?;
    let found = || async { restricted_child() };
    let (process, rights) = wait_for("the compiler to run", PATIENCE, found).await?;
    let rights: String = rights.split_whitespace().collect::<Vec<_>>().join(" ");
    for right in [
        "nice 19",
        "environment RAYON_NUM_THREADS=2\0",
        "Max cpu time 60 61 seconds",
        "Max core file size 0 0 bytes",
        "Max address space 1073741823 1073741823 bytes",
    ] {
        assert!(rights.contains(right), "{right} is not among {rights}");
    }
    drop(plugins);
    wait_for("the compiler to end", PATIENCE, || async {
        ensure!(!process.join("limits").exists(), "{} is still there", process.display());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_slow_compilation_delays_no_other_plugin() -> Result<()> {
    let home = tempfile::tempdir()?;
    let code_dir = home.path().join("code");
    for guest in [Guest::Misbehaving, Guest::ResolverExternalName] {
        cache_with(guest, &code_dir).await?;
    }
    let go = home.path().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done; exec \"$0\" \"$@\"", go.display());
    let compiler = child(Some(&script), CompileLimits { wall: PATIENCE, ..CompileLimits::default() })?;
    let plugins = Plugins::start_compiled(vec![], compiler, Some(&code_dir), |dir| {
        drop_guest(dir, Guest::Misbehaving, "leaves")?;
        drop_guest(dir, Guest::Misbehaving, "changes")
    })?;
    let dir = plugins.dir.path();
    plugins.wait_generation("leaves", 1).await?;
    plugins.wait_generation("changes", 1).await?;

    let compiling = |status: &Status| status.state == State::Compiling;
    drop_guest(dir, Guest::HealthDiscoveryProbe, "slow")?;
    drop_guest(dir, Guest::DiscoveryIdentity, "withdrawn")?;
    plugins.wait_status("slow", "in the works", compiling).await?;
    plugins.wait_status("withdrawn", "waiting for the compiler", compiling).await?;

    fs::remove_file(dir.join("leaves.wasm"))?;
    wait_for("the plugin to be gone", PATIENCE, || async {
        let left = plugins.status("leaves").ok().filter(|status| status.generation > 0);
        left.map_or(Ok(()), |left| Err(anyhow!("{left:?}")))
    })
    .await?;
    drop_guest(dir, Guest::ResolverExternalName, "changes")?;
    plugins.wait_generation("changes", 2).await?;
    drop_guest(dir, Guest::ResolverExternalName, "comes")?;
    plugins.wait_generation("comes", 1).await?;
    drop_guest(dir, Guest::Misbehaving, "withdrawn")?;
    let withdrawn = plugins.wait_generation("withdrawn", 1).await?;
    assert_eq!(plugins.status("slow")?.state, State::Compiling, "all of that while it was compiled");

    fs::write(&go, "")?;
    plugins.wait_generation("slow", 1).await?;
    assert_eq!(
        plugins.status("withdrawn")?.digest,
        withdrawn.digest,
        "what was ordered before is not applied"
    );
    // What was ordered before this one would have been compiled before it.
    drop_guest(dir, Guest::Waiting, "last")?;
    plugins.wait_generation("last", 1).await?;
    let counts = plugins.host.code_counts();
    assert_eq!((counts.compiled, counts.failed), (2, 0), "what nobody wants any more is not compiled");
    Ok(())
}

#[tokio::test]
async fn a_gateway_finds_its_native_code_again() -> Result<()> {
    let mut gateway = Umbel::start().await?;
    drop_guest(&gateway.data_dir().join("plugins"), Guest::ResolverExternalName, "p")?;
    let serves = |gateway: &Umbel, from: &str| {
        let (path, from) = (gateway.data_dir().join("../umbel.log"), format!("code_from=\"{from}\""));
        async move {
            wait_for(&format!("the log to say {from}"), PATIENCE, || async {
                let log = fs::read_to_string(&path)?;
                ensure!(log.contains(&from), "the log says:\n{log}");
                Ok(())
            })
            .await
        }
    };
    serves(&gateway, "compiler").await?;
    let cache = gateway.data_dir().join("plugin-cache");
    let files = || -> Result<usize> { Ok(fs::read_dir(&cache)?.count()) };
    assert_eq!(files()?, 2, "the key and one component");
    gateway.kill()?;
    gateway.restart().await?;
    serves(&gateway, "cache").await?;
    assert_eq!(files()?, 2);
    Ok(())
}
