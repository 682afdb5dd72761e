//! The files of one plugin, read once and judged by their first bytes.

use super::rights::{self, Trust};
use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a component.
pub(super) const COMPONENT_MAX: u64 = 32 << 20;
/// Bytes of a manifest.
const MANIFEST_MAX: u64 = 1 << 20;
/// What every WebAssembly file begins with.
const MAGIC: [u8; 4] = *b"\0asm";
/// Version and layer of a core module and of a component.
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// Why files are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Unfit {
    /// They change while they are read, which says nothing about them: a later look takes them.
    Changing,
    /// They cannot serve.
    Refused(LoadFault),
}

impl From<LoadFault> for Unfit {
    fn from(fault: LoadFault) -> Self {
        Self::Refused(fault)
    }
}

/// Where one plugin lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Source {
    /// Its name.
    pub name: String,
    /// The component.
    pub wasm: PathBuf,
    /// The manifest; need not exist.
    pub yaml: PathBuf,
    /// Whose files are taken.
    pub trust: Trust,
}

impl Source {
    pub(in crate::plugin) fn new(directory: &Path, name: &str, trust: Trust) -> Self {
        Self {
            name: name.to_owned(),
            wasm: directory.join(format!("{name}.wasm")),
            yaml: directory.join(format!("{name}.yaml")),
            trust,
        }
    }

    /// Whether the name may name a plugin: a DNS label.
    pub(in crate::plugin) fn check_name(name: &str) -> Result<(), LoadFault> {
        let fits = (1..=63).contains(&name.len())
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            return Ok(());
        }
        let text =
            format!("{name:?} cannot name a plugin; use lower-case letters, digits and '-', at most 63");
        Err(LoadFault::new(Reason::InvalidName, text))
    }

    /// The bytes of the component, when they look like one.
    ///
    /// # Errors
    /// `Changing`, also when it is gone by now; else `Unreadable`, `TooLarge`, `PermissionsTooOpen`, or
    /// `NotAComponent` with the way to make one.
    pub(in crate::plugin) fn read_component(&self) -> Result<Vec<u8>, Unfit> {
        let bytes = read(&self.wasm, COMPONENT_MAX, self.trust)?.ok_or(Unfit::Changing)?;
        Self::judge(&bytes)?;
        Ok(bytes)
    }

    /// Whether bytes look like a component.
    ///
    /// # Errors
    /// `TooLarge`, or `NotAComponent` with the way to make one.
    pub(in crate::plugin) fn judge(bytes: &[u8]) -> Result<(), LoadFault> {
        let not = |text: String| Err(LoadFault::new(Reason::NotAComponent, text));
        if bytes.len() as u64 > COMPONENT_MAX {
            let text = format!("the component has more than {} KiB", COMPONENT_MAX / 1024);
            return Err(LoadFault::new(Reason::TooLarge, text));
        }
        if bytes.is_empty() {
            return not("the file is empty".to_owned());
        }
        if bytes.get(..4) != Some(&MAGIC[..]) {
            return not(format!("the file is no WebAssembly binary; {}", guess(bytes)));
        }
        match bytes.get(4..8) {
            Some(layer) if layer == COMPONENT => Ok(()),
            Some(layer) if layer == CORE => not(
                "the file is a core module; make a component of it: umbel plugin build (Rust), or wasm-tools \
                 component new"
                    .to_owned(),
            ),
            Some(_) => not("the file is a WebAssembly binary of an unknown version".to_owned()),
            None => not("the file ends within its first eight bytes".to_owned()),
        }
    }

    /// The text of the manifest, where there is one.
    ///
    /// # Errors
    /// `Changing`, or when it is there and cannot be read.
    pub(in crate::plugin) fn read_manifest_text(&self) -> Result<Option<String>, Unfit> {
        let Some(bytes) = read(&self.yaml, MANIFEST_MAX, self.trust)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let text = format!("{}: not UTF-8: {error}", self.yaml.display());
            LoadFault::new(Reason::ManifestInvalid, text).into()
        })
    }
}

/// How often a file is read that changes meanwhile, before it is left to a later look.
const TRIES: usize = 3;

/// The whole file; `None` when there is none. What is checked is what is used: each try opens it once.
fn read(path: &Path, max: u64, trust: Trust) -> Result<Option<Vec<u8>>, Unfit> {
    for _ in 0..TRIES {
        match read_once(path, max, trust) {
            Err(Unfit::Changing) => {}
            read => return read,
        }
    }
    Err(Unfit::Changing)
}

fn read_once(path: &Path, max: u64, trust: Trust) -> Result<Option<Vec<u8>>, Unfit> {
    let unreadable =
        |error: std::io::Error| LoadFault::new(Reason::Unreadable, format!("{}: {error}", path.display()));
    let mut file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(unreadable(error).into()),
    };
    let before = file.metadata().map_err(unreadable)?;
    check_place(path, &file, trust)?;
    if before.len() > max {
        let text = format!("{} has {} bytes; at most {max} are taken", path.display(), before.len());
        return Err(LoadFault::new(Reason::TooLarge, text).into());
    }
    let mut bytes = Vec::new();
    file.by_ref().take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    let is_same = (before.len(), before.mtime(), before.mtime_nsec())
        == (after.len(), after.mtime(), after.mtime_nsec());
    if !is_same || bytes.len() as u64 != after.len() {
        return Err(Unfit::Changing);
    }
    Ok(Some(bytes))
}

/// Whether an open file lies where it may and nobody else may write it or swap it for another. A link may lead to
/// another place in the directory, as Kubernetes' `..data` does, and nowhere else; what counts is the file that was
/// opened, not what the path leads to by now.
fn check_place(path: &Path, file: &File, trust: Trust) -> Result<(), LoadFault> {
    let unreadable =
        |error: std::io::Error| LoadFault::new(Reason::Unreadable, format!("{}: {error}", path.display()));
    let real = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    let real = real.read_link().or_else(|_| path.canonicalize()).map_err(unreadable)?;
    let home = path.parent().map(Path::canonicalize).transpose().map_err(unreadable)?.unwrap_or_default();
    if !real.starts_with(&home) {
        let text = format!(
            "{} is a link that leads out of the plugin directory, to {}",
            path.display(),
            real.display()
        );
        return Err(LoadFault::new(Reason::Unreadable, text));
    }
    rights::check("the file", &real, file, trust)?;
    for place in [path.parent(), real.parent().filter(|place| *place != home)].into_iter().flatten() {
        // Files that were removed meanwhile need no judgement.
        let Ok(directory) = File::open(place) else { continue };
        rights::check("the directory", place, &directory, trust)?;
    }
    Ok(())
}

/// Opens a regular file for reading, and nothing else: opening a device may do something, and a pipe waits.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    // This finds out what it is without opening it.
    let found = File::from(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
    if !found.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    // The very same, whatever the name leads to by now.
    File::open(Path::new("/proc/self/fd").join(found.as_raw_fd().to_string()))
}

/// What a file that is no WebAssembly binary seems to be, and how to make one of it.
fn guess(bytes: &[u8]) -> &'static str {
    const GUESSES: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "it is compressed: unpack it with gunzip"),
        (b"\x28\xb5\x2f\xfd", "it is compressed: unpack it with unzstd"),
        (b"AGFzbQ", "it is base64: decode it with base64 -d"),
        (b"(component", "it is the text format: make a binary of it with wasm-tools parse"),
        (b"(module", "it is the text format of a core module: umbel plugin build makes a component"),
        (b"\x7fELF", "it is native code, which is never taken: put the component there"),
        (b"version https://git-lfs", "it is a pointer of git-lfs: fetch the file with git lfs pull"),
    ];
    let found = GUESSES.iter().find(|(start, _)| bytes.starts_with(start));
    found.map_or("it does not begin with \\0asm", |(_, guess)| guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(dir: &Path, name: &str) -> Source {
        Source::new(dir, name, Trust::OwnersOnly)
    }

    fn refusal(source: &Source) -> LoadFault {
        match source.read_component() {
            Err(Unfit::Refused(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn judge(bytes: &[u8]) -> LoadFault {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), "x");
        std::fs::write(&source.wasm, bytes).unwrap();
        refusal(&source)
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        for (bytes, says) in [
            (&b""[..], "empty"),
            (b"hello", "no WebAssembly binary; it does not begin with \\0asm"),
            (b"\x1f\x8b\x08", "gunzip"),
            (b"(component)", "wasm-tools parse"),
            (b"\x7fELF\x02", "native code"),
            (b"\0as", "no WebAssembly binary"),
            (b"\0asm\x01", "first eight bytes"),
            (b"\0asm\x01\0\0\0", "umbel plugin build"),
            (b"\0asm\x09\0\0\0", "unknown version"),
        ] {
            let fault = judge(bytes);
            assert_eq!(fault.reason, Reason::NotAComponent);
            assert!(fault.message.contains(says), "{fault}");
        }
    }

    #[test]
    fn files_and_directories_that_others_may_write_are_refused() {
        use std::os::unix::fs::{PermissionsExt, chown, symlink};
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("plugins");
        let versions = dir.join("versions");
        std::fs::create_dir_all(&versions).unwrap();
        std::fs::write(versions.join("1.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
        let source = source(&dir, "x");
        symlink("versions/1.wasm", &source.wasm).unwrap();
        let set = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&dir, 0o755);
        set(&versions, 0o755);
        let file = versions.join("1.wasm");
        for (path, open, shut) in
            [(&file, 0o664, 0o644), (&file, 0o646, 0o644), (&dir, 0o1777, 0o755), (&versions, 0o775, 0o755)]
        {
            set(path, open);
            let fault = refusal(&source);
            assert_eq!(fault.reason, Reason::PermissionsTooOpen);
            let told = [format!("mode {open:04o}"), format!("chmod go-w {}", path.display())];
            assert!(told.iter().all(|told| fault.message.contains(told)), "{fault}");
            Source::new(&dir, "x", Trust::Everybody).read_component().unwrap();
            set(path, shut);
            source.read_component().unwrap();
        }
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(12_345), None).unwrap();
            assert!(refusal(&source).message.contains("chown 0 "), "{}", refusal(&source));
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_left_to_a_later_look() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), "x");
        std::fs::write(&source.wasm, b"\0asm\x0d\0\x01\0").unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stopped, path) = (std::sync::Arc::clone(&stop), source.wasm.clone());
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            let mut file = File::options().append(true).open(path).unwrap();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(&[0; 4096]).unwrap();
                if file.metadata().unwrap().len() > COMPONENT_MAX / 2 {
                    file.set_len(8).unwrap();
                }
            }
        });
        let began = std::time::Instant::now();
        let is_changing = || source.read_component() == Err(Unfit::Changing);
        while !is_changing() {
            assert!(began.elapsed().as_secs() < 60, "it was never seen to change");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        assert!(!is_changing(), "it has come to rest");
        std::fs::remove_file(&source.wasm).unwrap();
        assert!(is_changing(), "what is gone by now is no error either");
    }

    #[test]
    fn a_file_that_is_written_over_in_place_is_left_to_a_later_look() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), "x");
        // Long enough for its time to change while it is read.
        let size = usize::try_from(COMPONENT_MAX).unwrap();
        let mut bytes = vec![0; size];
        bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
        std::fs::write(&source.wasm, &bytes).unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stopped, path) = (std::sync::Arc::clone(&stop), source.wasm.clone());
        let writer = std::thread::spawn(move || {
            let file = File::options().write(true).open(path).unwrap();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all_at(b"x", 9).unwrap();
            }
        });
        let began = std::time::Instant::now();
        while source.read_component() != Err(Unfit::Changing) {
            assert!(began.elapsed().as_secs() < 60, "it was never seen to change");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
    }

    #[test]
    fn links_may_not_lead_out_and_directories_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let source = |name: &str| source(dir.path(), name);
        std::fs::create_dir(source("a").wasm).unwrap();
        std::os::unix::fs::symlink(outside.path(), source("b").wasm).unwrap();
        std::os::unix::fs::symlink("nowhere", source("c").wasm).unwrap();
        for (name, says) in [("a", "is no file"), ("b", "leads out"), ("c", "No such file")] {
            let fault = refusal(&source(name));
            assert_eq!(fault.reason, Reason::Unreadable);
            assert!(fault.message.contains(says), "{fault}");
        }
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path(), "a");
        assert!(std::process::Command::new("mkfifo").arg(&source.wasm).status().unwrap().success());
        let fault = refusal(&source);
        assert!(fault.message.contains("is no file"), "{fault}");
    }

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "consul", "a-1"] {
            Source::check_name(good).unwrap();
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a.b", "ä"] {
            assert_eq!(Source::check_name(bad).unwrap_err().reason, Reason::InvalidName, "{bad}");
        }
    }
}
