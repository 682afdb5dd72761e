//! The files of one plugin, read once and judged by their first bytes.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a component.
const COMPONENT_MAX: u64 = 32 << 20;
/// Bytes of a manifest.
const MANIFEST_MAX: u64 = 1 << 20;
/// What every WebAssembly file begins with.
const MAGIC: [u8; 4] = *b"\0asm";
/// Version and layer of a core module and of a component.
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// Where one plugin lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Source {
    /// Its name.
    pub name: String,
    /// The component.
    pub wasm: PathBuf,
    /// The manifest; need not exist.
    pub yaml: PathBuf,
}

impl Source {
    pub(in crate::plugin) fn new(directory: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            wasm: directory.join(format!("{name}.wasm")),
            yaml: directory.join(format!("{name}.yaml")),
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
    /// `Unreadable`, `TooLarge`, `PermissionsTooOpen`, or `NotAComponent` with the way to make one.
    pub(in crate::plugin) fn read_component(&self) -> Result<Vec<u8>, LoadFault> {
        let Some(bytes) = read(&self.wasm, COMPONENT_MAX)? else {
            return Err(LoadFault::new(Reason::Unreadable, format!("{} is gone", self.wasm.display())));
        };
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
            return not("the file is no WebAssembly binary (it does not begin with \\0asm)".to_owned());
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
    /// When it is there and cannot be read.
    pub(in crate::plugin) fn read_manifest_text(&self) -> Result<Option<String>, LoadFault> {
        let Some(bytes) = read(&self.yaml, MANIFEST_MAX)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            LoadFault::new(Reason::ManifestInvalid, format!("{}: not UTF-8: {error}", self.yaml.display()))
        })
    }
}

/// The whole file; `None` when there is none. Opened once, so that what is checked is what is used.
fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, LoadFault> {
    let unreadable =
        |error: std::io::Error| LoadFault::new(Reason::Unreadable, format!("{}: {error}", path.display()));
    let mut file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // A link may lead to another place in the directory, as Kubernetes' `..data` does, and nowhere else. What
    // counts is the file that was opened, not what the path leads to by now.
    let real = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    let real = real.read_link().or_else(|_| path.canonicalize()).map_err(unreadable)?;
    let home = path.parent().map(Path::canonicalize).transpose().map_err(unreadable)?;
    if !home.is_some_and(|home| real.starts_with(home)) {
        let text = format!("{} is a link that leads out of the plugin directory", path.display());
        return Err(LoadFault::new(Reason::Unreadable, text));
    }
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadFault::new(Reason::Unreadable, format!("{} is no file", path.display())));
    }
    check_permissions(path, &metadata)?;
    let mut bytes = Vec::new();
    file.by_ref().take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        let text = format!("{} has more than {} KiB", path.display(), max / 1024);
        return Err(LoadFault::new(Reason::TooLarge, text));
    }
    Ok(Some(bytes))
}

/// Opens a file for reading without waiting: a pipe has no writer, and a device may have its own mind.
pub(super) fn open(path: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits() | OFlags::NOCTTY.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

fn check_permissions(path: &Path, metadata: &std::fs::Metadata) -> Result<(), LoadFault> {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o002 == 0 {
        return Ok(());
    }
    let text = format!("everybody may write {0}; run chmod o-w {0}", path.display());
    Err(LoadFault::new(Reason::PermissionsTooOpen, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(bytes: &[u8]) -> LoadFault {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(dir.path(), "x");
        std::fs::write(&source.wasm, bytes).unwrap();
        source.read_component().unwrap_err()
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        for (bytes, says) in [
            (&b""[..], "empty"),
            (b"hello", "no WebAssembly binary"),
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
    fn a_file_that_everybody_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(dir.path(), "x");
        std::fs::write(&source.wasm, b"\0asm\x0d\0\x01\0").unwrap();
        std::fs::set_permissions(&source.wasm, std::fs::Permissions::from_mode(0o666)).unwrap();
        let fault = source.read_component().unwrap_err();
        assert_eq!(fault.reason, Reason::PermissionsTooOpen);
        assert!(fault.message.contains("chmod o-w"), "{fault}");
        std::fs::set_permissions(&source.wasm, std::fs::Permissions::from_mode(0o644)).unwrap();
        source.read_component().unwrap();
    }

    #[test]
    fn links_may_not_lead_out_and_directories_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let source = |name: &str| Source::new(dir.path(), name);
        std::fs::create_dir(source("a").wasm).unwrap();
        std::os::unix::fs::symlink(outside.path(), source("b").wasm).unwrap();
        std::os::unix::fs::symlink("nowhere", source("c").wasm).unwrap();
        for (name, says) in [("a", "is no file"), ("b", "leads out"), ("c", "No such file")] {
            let fault = source(name).read_component().unwrap_err();
            assert_eq!(fault.reason, Reason::Unreadable);
            assert!(fault.message.contains(says), "{fault}");
        }
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(dir.path(), "a");
        assert!(std::process::Command::new("mkfifo").arg(&source.wasm).status().unwrap().success());
        let fault = source.read_component().unwrap_err();
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
