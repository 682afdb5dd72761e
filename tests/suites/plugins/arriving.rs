//! Every way in which a file comes into the directory: one activation each, and no error on the way.

use super::policies::Writer;
use super::{PATIENCE, Plugins, write_manifest};
use anyhow::{Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel::plugin::{Host, State, Status, digest};
use umbel_tests::{Guest, wait_for};

/// A component of its own for each number: the same code, with a note at its end.
fn numbered(number: u8) -> Result<Vec<u8>> {
    let mut bytes =
        fs::read(Guest::Misbehaving.component().map_err(|missing| anyhow::anyhow!("{missing}"))?)?;
    bytes.extend([0, 3, 1, b'n', number]);
    Ok(bytes)
}

/// Looks at the status again and again, and remembers what went wrong there.
struct Onlooker {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Onlooker {
    fn start(host: Arc<Host>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for status in host.status() {
                    let error = status.reason.map(|reason| format!("{}: {reason}", status.name));
                    seen.extend(error.filter(|error| seen.last() != Some(error)));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    fn errors(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Writes a file in pieces, as a slow copy does.
fn trickle(path: &Path, bytes: &[u8], pieces: usize, pause: Duration) -> Result<()> {
    let mut file = File::create(path)?;
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        file.write_all(piece)?;
        std::thread::sleep(pause);
    }
    Ok(())
}

fn run(program: &str, arguments: &[&Path]) -> Result<()> {
    ensure!(Command::new(program).args(arguments).status()?.success(), "{program} {arguments:?}");
    Ok(())
}

/// Does one thing with the directory. The number is the generation that it must lead to.
type Means = (&'static str, fn(&Path, &Path, u8) -> Result<()>);

const MEANS: [Means; 11] = [
    ("cp", |dir, other, number| {
        fs::write(other.join("new.wasm"), numbered(number)?)?;
        run("cp", &[&other.join("new.wasm"), &dir.join("p.wasm")])
    }),
    ("slow cp", |dir, _, number| {
        trickle(&dir.join("p.wasm"), &numbered(number)?, 10, Duration::from_secs(1))
    }),
    ("mv", |dir, other, number| {
        fs::write(other.join("new.wasm"), numbered(number)?)?;
        run("mv", &[&other.join("new.wasm"), &dir.join("p.wasm")])
    }),
    ("editor that writes beside and renames", |dir, _, number| {
        write_manifest(dir, "p", &format!("{{settings: {{host: g{number}.example.com}}}}"))
    }),
    ("editor that keeps a backup", |dir, _, number| {
        let text = fs::read_to_string(dir.join("p.yaml"))?;
        fs::rename(dir.join("p.yaml"), dir.join("p.yaml~"))?;
        fs::write(dir.join("4913"), b"")?;
        let text = text.replace(&format!("g{}", number - 1), &format!("g{number}"));
        trickle(&dir.join("p.yaml"), text.as_bytes(), 3, Duration::from_millis(300))
    }),
    ("delete and create", |dir, _, number| {
        fs::remove_file(dir.join("p.wasm"))?;
        std::thread::sleep(Duration::from_millis(900));
        Ok(fs::write(dir.join("p.wasm"), numbered(number)?)?)
    }),
    ("both files", |dir, _, number| {
        fs::write(dir.join("p.wasm"), numbered(number)?)?;
        write_manifest(dir, "p", &format!("{{settings: {{host: g{number}.example.com}}}}"))
    }),
    ("mv in a storm of events", |dir, other, number| {
        // More than are kept, so that some are lost and a look has to find the file.
        for count in 0..20_000 {
            File::create(dir.join(format!(".{count}")))?;
        }
        fs::write(other.join("new.wasm"), numbered(number)?)?;
        run("mv", &[&other.join("new.wasm"), &dir.join("p.wasm")])?;
        for count in 0..20_000 {
            fs::remove_file(dir.join(format!(".{count}")))?;
        }
        Ok(())
    }),
    ("mv of the whole directory", |dir, other, number| {
        // What is watched is the old one, so that no event tells of the new.
        let next = other.join("next");
        fs::create_dir(&next)?;
        fs::write(next.join("p.wasm"), numbered(number)?)?;
        fs::copy(dir.join("p.yaml"), next.join("p.yaml"))?;
        fs::rename(dir, other.join("last"))?;
        Ok(fs::rename(next, dir)?)
    }),
    ("ln -sf", |dir, _, number| {
        fs::create_dir_all(dir.join("versions"))?;
        let target = dir.join(format!("versions/{number}.wasm"));
        fs::write(&target, numbered(number)?)?;
        ensure!(Command::new("ln").arg("-sf").arg(&target).arg(dir.join("p.wasm")).status()?.success());
        Ok(())
    }),
    ("..data", |dir, _, number| {
        let data = format!("..2026_{number}");
        fs::create_dir(dir.join(&data))?;
        fs::write(dir.join(&data).join("p.wasm"), numbered(number)?)?;
        symlink(&data, dir.join("..data_tmp"))?;
        fs::rename(dir.join("..data_tmp"), dir.join("..data"))?;
        symlink("..data/p.wasm", dir.join(".p"))?;
        Ok(fs::rename(dir.join(".p"), dir.join("p.wasm"))?)
    }),
];

/// Time limits within which several writes count as one change, which a busy machine may exceed.
const LIMITS: [(&str, Duration); 4] = [
    ("editor that keeps a backup", Duration::from_millis(1_200)),
    ("delete and create", Duration::from_millis(1_200)),
    ("both files", Duration::from_millis(30)),
    ("mv of the whole directory", Duration::from_millis(1_000)),
];

/// Waits until the files in the directory serve.
async fn wait_served(plugins: &Plugins) -> Result<()> {
    let component = digest(&fs::read(plugins.dir.path().join("p.wasm"))?);
    let text = fs::read_to_string(plugins.dir.path().join("p.yaml")).unwrap_or_default();
    let is_served = |status: &Status| {
        let host = status.manifest["settings"]["host"].as_str().unwrap_or_default();
        status.reason.is_none()
            && ["Active", "Probation"].contains(&status.state.to_string().as_str())
            && status.digest.as_ref() == Some(&component)
            && (text.is_empty() || text.contains(&format!("host: {host}}}")))
    };
    plugins.wait_status("p", "made of what lies there", is_served).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_by_every_means() -> Result<()> {
    let plugins =
        Plugins::start_loaded(vec![], |dir| Ok(fs::write(dir.join("p.wasm"), numbered(1)?)?)).await?;
    plugins.wait_generation("p", 1).await?;
    let other = tempfile::tempdir()?;
    let onlooker = Onlooker::start(Arc::clone(&plugins.host));
    for (number, (means, does)) in (2..).zip(MEANS) {
        let before = plugins.status("p")?.generation;
        let dir = plugins.dir.path().to_owned();
        let aside = other.path().to_owned();
        let doing = move || {
            let began = Instant::now();
            does(&dir, &aside, number).map(|()| began.elapsed())
        };
        let took = tokio::task::spawn_blocking(doing).await??;
        wait_served(&plugins).await?;
        // Long enough for a removal or for the other half of a pair to be noticed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        wait_served(&plugins).await?;
        let limit = LIMITS.iter().find(|(limited, _)| *limited == means).map(|(_, limit)| *limit);
        if limit.is_some_and(|limit| took > limit) {
            println!("{means}: took {took:?}, which is more than one change on this machine");
            continue;
        }
        assert_eq!(plugins.status("p")?.generation, before + 1, "{means}: one activation");
    }
    fs::write(plugins.dir.path().join("touched.wasm"), numbered(99)?)?;
    plugins.wait_generation("touched", 1).await?;
    fs::write(plugins.dir.path().join("touched.wasm"), numbered(99)?)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(plugins.status("touched")?.generation, 1, "the same bytes are no change");
    assert_eq!(onlooker.errors(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_copy_that_is_given_up_leaves_nothing() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |_| Ok(())).await?;
    let path = plugins.dir.path().join("p.wasm");
    let writer = Writer::start(path.clone());
    plugins.wait_status("p", "being copied", |status| status.message.contains("keep changing")).await?;
    fs::remove_file(path)?;
    wait_for("it to be gone", PATIENCE, || async {
        let left = plugins.status("p").ok().filter(|status| status.state != State::Removed);
        left.map_or(Ok(()), |left| Err(anyhow::anyhow!("{left:?}")))
    })
    .await?;
    drop(writer);
    Ok(())
}
