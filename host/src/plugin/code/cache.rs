//! Native code on disk: found again after a restart, and never trusted when anything about it is odd.
//!
//! One file for each component and maker, written whole under another name and renamed, never opened for writing
//! again: it may be mapped by then. Whatever fails here costs a compilation and nothing else.

use crate::plugin::code::maker::Maker;
use crate::plugin::code::mapped::Genuine;
use crate::plugin::code::seal::{KEY_SIZE, SealError, SealKey};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fchmod, fstat, fsync, futimens, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the key lies in the directory.
const KEY_FILE: &str = "key";
/// What files of native code end with.
pub(super) const SUFFIX: &str = ".code";
/// What files that are being written begin with.
pub(super) const PARTIAL: char = '.';

/// Why native code cannot be kept at all.
#[derive(Debug, thiserror::Error)]
pub(in crate::plugin) enum CacheError {
    /// What lies in the plugin directory comes from others.
    #[error("{0} lies in the plugin directory; name another one with --plugin-dir")]
    InPluginDirectory(PathBuf),
    /// Another user could plant code there.
    #[error("{path} belongs to user {owner}, not to the one that runs this; remove it or change its owner")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It cannot be made, opened or written.
    #[error("{path}: {cause}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Why a file is not taken for native code of ours.
#[derive(Debug, thiserror::Error)]
pub(in crate::plugin) enum Distrust {
    /// A directory, a device, a pipe.
    #[error("it is no regular file")]
    Kind,
    /// Somebody else has put it there.
    #[error("it belongs to user {0}")]
    Owner(u32),
    /// Somebody else may read or write it.
    #[error("its mode is {0:o} instead of 600")]
    Mode(u32),
    /// It is not what was written.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<io::Error> for Distrust {
    fn from(error: io::Error) -> Self {
        Self::Seal(SealError::Io(error))
    }
}

/// The directory with native code.
#[derive(Debug)]
pub(in crate::plugin) struct Cache {
    /// Every path leads from here, so that nobody can put another directory in between.
    pub(super) directory: OwnedFd,
    pub(super) maker: Maker,
    key: SealKey,
}

impl Cache {
    /// Opens the directory, made when it does not exist.
    ///
    /// # Errors
    /// When it is not safe to keep code there, or not possible.
    pub(in crate::plugin) fn open(path: &Path, plugin_dir: &Path, maker: Maker) -> Result<Self, CacheError> {
        let failed = |cause: io::Error| CacheError::Io { path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let real = path.canonicalize().map_err(failed)?;
        if plugin_dir.canonicalize().is_ok_and(|plugins| real.starts_with(plugins)) {
            return Err(CacheError::InPluginDirectory(path.to_owned()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let directory = File::from(directory);
        let metadata = directory.metadata().map_err(failed)?;
        if metadata.uid() != own_user() {
            return Err(CacheError::Foreign { path: path.to_owned(), owner: metadata.uid() });
        }
        if metadata.mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others had rights to the native code of plugins; taken away");
            fchmod(&directory, Mode::RWXU).map_err(|error| failed(error.into()))?;
        }
        let directory = OwnedFd::from(directory);
        let key = open_key(&directory).map_err(failed)?;
        Ok(Self { directory, maker, key })
    }

    /// Whether the directory is still the one at that path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let place = |found: rustix::fs::Stat| (found.st_dev, found.st_ino);
        let there = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(place);
        there.is_ok() && there == fstat(&self.directory).map(place)
    }

    /// The file of a component.
    pub(super) fn name(&self, digest: &str) -> String {
        format!("{}-{}{SUFFIX}", self.maker.mark(), self.maker.digest(digest))
    }

    /// The code of a component, where it is here and beyond doubt.
    ///
    /// # Errors
    /// When it is here and not beyond doubt.
    pub(in crate::plugin) fn find(&self, digest: &str) -> Result<Option<Genuine>, Distrust> {
        let name = self.name(digest);
        let Some(file) = open_private(&self.directory, &name)? else { return Ok(None) };
        // What was used last is thrown away last. Not being able to note it does no harm.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&file, &Timestamps { last_access: now, last_modification: now }).ok();
        Ok(Some(Genuine::check(&self.key, &name, file)?))
    }

    /// Keeps the code of a component, and opens what was written.
    ///
    /// # Errors
    /// When it cannot be written, or not be read again.
    pub(in crate::plugin) fn keep(&self, digest: &str, code: &[u8]) -> Result<Genuine, Distrust> {
        let name = self.name(digest);
        write_private(&self.directory, &name, &[code, &self.key.trailer(&name, code)])?;
        self.make_room(&name);
        self.find(digest)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }

    /// Throws away what is not trusted. What maps it keeps it.
    pub(in crate::plugin) fn discard(&self, digest: &str) {
        self.remove(&self.name(digest));
    }

    pub(super) fn remove(&self, name: &str) {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(name, %error, "native code of a plugin cannot be thrown away"),
        }
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens a file that is ours alone; `None` when there is none.
fn open_private(directory: &OwnedFd, name: &str) -> Result<Option<File>, Distrust> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    check_private(&file.metadata()?)?;
    Ok(Some(file))
}

fn check_private(metadata: &Metadata) -> Result<(), Distrust> {
    let mode = metadata.mode() & 0o7777;
    match () {
        () if !metadata.is_file() => Err(Distrust::Kind),
        () if metadata.uid() != own_user() => Err(Distrust::Owner(metadata.uid())),
        () if mode != 0o600 => Err(Distrust::Mode(mode)),
        () => Ok(()),
    }
}

/// Writes a file whole or not at all, over no file that is there: a new one takes its name.
fn write_private(directory: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let partial = format!("{PARTIAL}{name}.{:016x}", fastrand::u64(..));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, &partial, flags, Mode::RUSR | Mode::WUSR)?);
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    let renamed =
        written.and_then(|()| renameat(directory, &partial, directory, name).map_err(io::Error::from));
    if let Err(error) = renamed {
        unlinkat(directory, &partial, AtFlags::empty()).ok();
        return Err(error);
    }
    fsync(directory).map_err(io::Error::from)
}

/// The key of the directory. One that is missing or odd is drawn anew, and no code from before is trusted then.
fn open_key(directory: &OwnedFd) -> io::Result<SealKey> {
    match open_private(directory, KEY_FILE).and_then(|file| file.map(read_key).transpose()) {
        Ok(Some(key)) => return Ok(SealKey::new(&key)),
        Ok(None) => {}
        Err(cause) => {
            tracing::warn!(%cause, "the key of native code is replaced; plugins are compiled again")
        }
    }
    let key = SealKey::draw().map_err(|_| io::Error::other("the system gives no random bytes"))?;
    write_private(directory, KEY_FILE, &[&key])?;
    Ok(SealKey::new(&key))
}

fn read_key(mut file: File) -> Result<[u8; KEY_SIZE], Distrust> {
    if file.metadata()?.len() != KEY_SIZE as u64 {
        return Err(SealError::Short(file.metadata()?.len()).into());
    }
    let mut key = [0; KEY_SIZE];
    file.read_exact(&mut key)?;
    Ok(key)
}
