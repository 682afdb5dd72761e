//! Where native code comes from: the cache, a child process, or this one.

use crate::plugin::code::child::{self, ChildFault, Sealed};
use crate::plugin::code::compiler::{Compiler, compile};
use crate::plugin::code::cupboard::Cupboard;
use crate::plugin::code::labour::LABEL;
use crate::plugin::code::mapped::Genuine;
use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of a component that this process compiles itself where it should not have to.
const STAND_IN_MAX: usize = 4 << 20;

/// How often native code was found, made or thrown away since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeCounts {
    /// Found in the cache.
    pub recalled: u64,
    /// Compiled.
    pub compiled: u64,
    /// Attempts to compile that failed.
    pub failed: u64,
    /// Thrown out of the cache because it was damaged or not private.
    pub discarded: u64,
    /// Compiled and not kept, because the cache cannot be written.
    pub unkept: u64,
}

#[derive(Debug, Default)]
struct Counters {
    recalled: AtomicU64,
    compiled: AtomicU64,
    failed: AtomicU64,
    discarded: AtomicU64,
    unkept: AtomicU64,
}

/// Makes native code and finds it again.
#[derive(Debug)]
pub(in crate::plugin) struct Foundry {
    engine: Engine,
    compiler: Compiler,
    cupboard: Option<Cupboard>,
    counters: Counters,
}

impl Foundry {
    /// Without a place to keep it everything is compiled at each start.
    pub(in crate::plugin) fn new(engine: Engine, compiler: Compiler, cupboard: Option<Cupboard>) -> Self {
        Self { engine, compiler, cupboard, counters: Counters::default() }
    }

    pub(in crate::plugin) fn counts(&self) -> CodeCounts {
        let Counters { recalled, compiled, failed, discarded, unkept } = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CodeCounts {
            recalled: read(recalled),
            compiled: read(compiled),
            failed: read(failed),
            discarded: read(discarded),
            unkept: read(unkept),
        }
    }

    /// The code of a component, where it was kept and is beyond doubt.
    pub(in crate::plugin) fn recall(&self, digest: &str) -> Option<Component> {
        let cache = self.cupboard.as_ref()?.open()?;
        let doubt = match cache.find(digest) {
            Ok(None) => return None,
            Ok(Some(code)) => match code.load(&self.engine) {
                Ok(component) => {
                    count(&self.counters.recalled);
                    return Some(component);
                }
                Err(error) => format!("{error:#}"),
            },
            Err(distrust) => distrust.to_string(),
        };
        tracing::warn!(digest, doubt, "native code of a plugin is thrown away; the plugin is compiled again");
        count(&self.counters.discarded);
        cache.discard(digest);
        None
    }

    /// Compiles a component, and keeps the code.
    ///
    /// # Errors
    /// With the reason code of what is wrong with it, or with compiling.
    pub(in crate::plugin) async fn make(
        &self,
        digest: &str,
        component: &[u8],
    ) -> Result<Component, LoadFault> {
        let made = match &self.compiler {
            Compiler::InProcess => self.make_here(digest, component),
            Compiler::Child(orders) => match child::compile(orders, component).await {
                Ok(sealed) => self.accept(digest, component, &sealed),
                Err(ChildFault::Failed(fault)) => Err(fault),
                Err(ChildFault::NotStarted(cause)) => self.stand_in(
                    digest,
                    component,
                    &format!("no process can be started to compile: {cause}"),
                ),
            },
        };
        count(if made.is_ok() { &self.counters.compiled } else { &self.counters.failed });
        made
    }

    /// Takes what a child made. The seal has been checked, so it is what our own compiler has written.
    fn accept(&self, digest: &str, component: &[u8], sealed: &Sealed) -> Result<Component, LoadFault> {
        if let Some(loaded) = self.keep(digest, sealed.code()).and_then(|code| code.load(&self.engine).ok()) {
            return Ok(loaded);
        }
        let in_memory = Genuine::in_memory(&sealed.key, LABEL, &sealed.bytes);
        match in_memory.map(|code| code.load(&self.engine)) {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(error)) => {
                self.stand_in(digest, component, &format!("native code cannot be mapped: {error:#}"))
            }
            Err(error) => self.stand_in(digest, component, &format!("native code has no place: {error}")),
        }
    }

    /// Compiles in this process though that takes memory and time from requests.
    fn stand_in(&self, digest: &str, component: &[u8], cause: &str) -> Result<Component, LoadFault> {
        if component.len() > STAND_IN_MAX {
            let text = format!(
                "{cause}; the component has {} KiB, and the gateway itself compiles no more than {} KiB",
                component.len() / 1024,
                STAND_IN_MAX / 1024
            );
            return Err(LoadFault::new(Reason::CompileFailed, text));
        }
        tracing::warn!(digest, cause, "a plugin is compiled within the gateway, at low priority");
        self.make_here(digest, component)
    }

    fn make_here(&self, digest: &str, component: &[u8]) -> Result<Component, LoadFault> {
        let compiled = compile(&self.engine, component)?;
        if self.cupboard.is_some() {
            match compiled.serialize() {
                Ok(code) => drop(self.keep(digest, &code)),
                Err(error) => tracing::warn!(digest, %error, "native code of a plugin cannot be kept"),
            }
        }
        Ok(compiled)
    }

    fn keep(&self, digest: &str, code: &[u8]) -> Option<Genuine> {
        let kept = self.cupboard.as_ref()?.open()?.keep(digest, code);
        kept.inspect_err(|cause| {
            count(&self.counters.unkept);
            tracing::warn!(digest, %cause, "native code of a plugin cannot be kept; it is compiled at each start");
        })
        .ok()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::code::cache::Cache;
    use crate::plugin::code::compiler::{CompileChild, CompileLimits};
    use crate::plugin::code::maker::Maker;
    use crate::plugin::code::sample::{answering, ask};
    use crate::plugin::code::seal::{KEY_SIZE, SealKey};
    use crate::plugin::component::engine;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};

    fn foundry_of(dir: &Path, engine: &Engine, maker: &Maker) -> Foundry {
        let cupboard = Cupboard::new(dir.join("cache"), dir.join("plugins"), maker.clone());
        Foundry::new(engine.clone(), Compiler::InProcess, Some(cupboard))
    }

    async fn make(foundry: &Foundry, number: i32) -> Component {
        foundry.make(&number.to_string(), &answering(number)).await.unwrap()
    }

    fn file(foundry: &Foundry, dir: &Path, number: i32) -> PathBuf {
        dir.join("cache").join(foundry.cupboard.as_ref().unwrap().open().unwrap().name(&number.to_string()))
    }

    type Damage = Box<dyn Fn(&Path, &Path)>;

    fn damages(length: usize) -> Vec<(String, Damage)> {
        let change = |what: String, change: fn(&mut Vec<u8>, usize), at: usize| -> (String, Damage) {
            let damage = move |path: &Path, _: &Path| {
                let mut bytes = fs::read(path).unwrap();
                change(&mut bytes, at);
                // In place, as a bad disk would.
                fs::write(path, bytes).unwrap();
            };
            (what, Box::new(damage))
        };
        let regions = (0..length - 64).step_by(length / 48).chain(length - 64..length);
        let mut all: Vec<_> =
            regions.map(|at| change(format!("bit at {at}"), |bytes, at| bytes[at] ^= 4, at)).collect();
        for keep in [0, 1, 63, 64, length / 2, length - 64, length - 1] {
            all.push(change(format!("cut to {keep}"), Vec::truncate, keep));
        }
        all.push(change("one byte more".to_owned(), |bytes, _| bytes.push(0), 0));
        let mut add = |what: &str, damage: fn(&Path, &Path)| all.push((what.to_owned(), Box::new(damage)));
        add("two swapped", |path, other| {
            let third = path.with_extension("swap");
            fs::rename(path, &third).unwrap();
            fs::rename(other, path).unwrap();
            fs::rename(third, other).unwrap();
        });
        add("readable by others", |path, _| {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        });
        add("a link", |path, _| {
            let target = path.with_extension("target");
            fs::rename(path, &target).unwrap();
            symlink(target, path).unwrap();
        });
        add("a pipe", |path, _| {
            fs::remove_file(path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg("-m600").arg(path).status().unwrap().success());
        });
        if rustix::process::geteuid().is_root() {
            add("another owner", |path, _| chown(path, Some(65534), None).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn cache_damage_is_harmless() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let foundry = foundry_of(dir.path(), &engine, &Maker::of(&engine));
        assert!(foundry.recall("7").is_none(), "there is nothing yet");
        make(&foundry, 7).await;
        let length = fs::metadata(file(&foundry, dir.path(), 7)).unwrap().len();
        for (what, damage) in damages(usize::try_from(length).unwrap()) {
            make(&foundry, 8).await;
            let before = foundry.counts();
            let path = file(&foundry, dir.path(), 7);
            damage(&path, &file(&foundry, dir.path(), 8));
            assert!(foundry.recall("7").is_none(), "{what}: it was loaded");
            assert!(path.symlink_metadata().is_err(), "{what}: it is still there");
            assert_eq!(foundry.counts().discarded, before.discarded + 1, "{what}");
            assert_eq!(ask(&engine, &make(&foundry, 7).await), 7, "{what}");
            assert_eq!(ask(&engine, &foundry.recall("7").unwrap()), 7, "{what}");
            assert_eq!(foundry.counts().recalled, before.recalled + 1, "{what}");
        }
    }

    #[tokio::test]
    async fn code_that_is_used_counts_as_new() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let foundry = foundry_of(dir.path(), &engine, &Maker::of(&engine));
        make(&foundry, 7).await;
        let path = file(&foundry, dir.path(), 7);
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(foundry.recall("7").is_some());
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > long_ago, "it would be thrown away first");
    }

    #[tokio::test]
    async fn code_of_another_maker_or_key_is_not_loaded() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let maker = Maker::of(&engine);
        make(&foundry_of(dir.path(), &engine, &maker), 7).await;
        for other in [
            Maker { engine: "48.0.1".to_owned(), ..maker.clone() },
            Maker { features: "none".to_owned(), ..maker.clone() },
        ] {
            let foundry = foundry_of(dir.path(), &engine, &other);
            assert!(foundry.recall("7").is_none());
            assert_eq!(foundry.counts().discarded, 0, "it is somebody else's");
        }
        assert!(foundry_of(dir.path(), &engine, &maker).recall("7").is_some(), "and stays");
        let key = dir.path().join("cache/key");
        for damage in [
            |key: &Path| fs::remove_file(key).unwrap(),
            |key: &Path| fs::write(key, "short").unwrap(),
            |key: &Path| fs::set_permissions(key, Permissions::from_mode(0o640)).unwrap(),
        ] {
            damage(&key);
            let foundry = foundry_of(dir.path(), &engine, &maker);
            assert!(foundry.recall("7").is_none());
            assert_eq!(foundry.counts().discarded, 1);
            make(&foundry, 7).await;
            assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
            assert!(foundry_of(dir.path(), &engine, &maker).recall("7").is_some());
        }
    }

    #[tokio::test]
    async fn cache_file_is_never_overwritten() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let foundry = foundry_of(dir.path(), &engine, &Maker::of(&engine));
        make(&foundry, 7).await;
        let path = file(&foundry, dir.path(), 7);
        let mapped = foundry.recall("7").unwrap();
        let mut places = vec![fs::metadata(&path).unwrap().ino()];
        // Held open, so that no number is given again.
        let mut held = vec![fs::File::open(&path).unwrap()];
        for _ in 0..3 {
            make(&foundry, 7).await;
            held.push(fs::File::open(&path).unwrap());
            let place = fs::metadata(&path).unwrap().ino();
            assert!(!places.contains(&place), "the file was written in place");
            places.push(place);
            assert_eq!(ask(&engine, &mapped), 7);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(ask(&engine, &mapped), 7, "what is mapped survives its file");
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "only the key is left: {names:?}");
    }

    #[tokio::test]
    async fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let foundry = foundry_of(dir.path(), &engine, &Maker::of(&engine));
        let path = file(&foundry, dir.path(), 7);
        fs::create_dir(&path).unwrap();
        assert_eq!(ask(&engine, &make(&foundry, 7).await), 7);
        assert!(foundry.recall("7").is_none());
        assert_eq!((foundry.counts().unkept, foundry.counts().discarded), (1, 1));
    }

    #[tokio::test]
    async fn a_directory_that_was_removed_or_replaced_is_opened_again() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let foundry = foundry_of(dir.path(), &engine, &Maker::of(&engine));
        make(&foundry, 7).await;
        let (cache, aside) = (dir.path().join("cache"), dir.path().join("aside"));
        let replace: [fn(&Path, &Path); 3] = [
            |cache, _| fs::remove_dir_all(cache).unwrap(),
            |cache, aside| fs::rename(cache, aside).unwrap(),
            |cache, aside| {
                fs::remove_dir_all(cache).unwrap();
                fs::rename(aside, cache).unwrap();
            },
        ];
        for (number, replace) in replace.into_iter().enumerate() {
            replace(&cache, &aside);
            assert_eq!(foundry.recall("7").is_some(), number == 2, "{number}");
            make(&foundry, 7).await;
            assert_eq!(ask(&engine, &foundry.recall("7").unwrap()), 7, "{number}");
        }
        fs::remove_dir_all(&cache).unwrap();
        fs::write(&cache, "in its place").unwrap();
        assert_eq!(ask(&engine, &make(&foundry, 7).await), 7);
        assert!(foundry.recall("7").is_none());
        fs::remove_file(&cache).unwrap();
        make(&foundry, 7).await;
        assert!(foundry.recall("7").is_some(), "what was wrong is mended");
    }

    #[test]
    fn code_is_kept_in_safe_places_only() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine::build().unwrap());
        let maker = Maker::of(&engine);
        let open = |path: &Path, plugins: &Path| Cache::open(path, plugins, maker.clone());
        let plugins = dir.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        let inside = open(&plugins.join("cache"), &plugins).unwrap_err().to_string();
        assert!(inside.contains("in the plugin directory"), "{inside}");
        let loose = dir.path().join("loose");
        fs::create_dir(&loose).unwrap();
        fs::set_permissions(&loose, Permissions::from_mode(0o777)).unwrap();
        open(&loose, &plugins).unwrap();
        assert_eq!(fs::metadata(&loose).unwrap().mode() & 0o777, 0o700);
        symlink(&loose, dir.path().join("link")).unwrap();
        open(&dir.path().join("link"), &plugins).unwrap_err();
        if rustix::process::geteuid().is_root() {
            chown(&loose, Some(65534), None).unwrap();
            let foreign = open(&loose, &plugins).unwrap_err().to_string();
            assert!(foreign.contains("belongs to user 65534"), "{foreign}");
        }
    }

    #[tokio::test]
    async fn without_processes_small_components_are_compiled_here() {
        let engine = engine::build().unwrap();
        let orders = CompileChild {
            program: "/nowhere/umbel".into(),
            arguments: Vec::new(),
            limits: CompileLimits::default(),
        };
        let foundry = Foundry::new(engine.clone(), Compiler::Child(orders), None);
        assert_eq!(ask(&engine, &make(&foundry, 7).await), 7);
        let large = vec![0; STAND_IN_MAX + 1];
        let fault = foundry.make("0", &large).await.err().unwrap();
        assert_eq!(fault.reason, Reason::CompileFailed);
        assert!(fault.message.contains("no process can be started"), "{fault}");
        assert_eq!((foundry.counts().compiled, foundry.counts().failed), (1, 1));
    }

    #[tokio::test]
    async fn without_a_cache_code_lives_in_memory() {
        let engine = engine::build().unwrap();
        let foundry = Foundry::new(engine.clone(), Compiler::InProcess, None);
        let code = engine::build_compiler().unwrap().precompile_component(&answering(7)).unwrap();
        let bytes = SealKey::new(&[1; KEY_SIZE]);
        let mut sealed = code.clone();
        sealed.extend(bytes.trailer(LABEL, &code));
        let sealed = Sealed { length: code.len(), bytes: sealed, key: bytes };
        let component = foundry.accept("7", b"not asked for", &sealed).unwrap();
        assert_eq!(ask(&engine, &component), 7);
    }
}
