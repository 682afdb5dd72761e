//! Native code whose origin is certain, and the one place where it becomes executable.

use crate::plugin::code::seal::{SealError, SealKey};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A file of native code that somebody with the key has written. There is no other way to make one than to check
/// that, so holding one is the proof.
#[derive(Debug)]
pub(in crate::plugin) struct Genuine(File);

impl Genuine {
    /// Checks a file that is open for reading, to its end.
    ///
    /// # Errors
    /// When it is not what was written under that key and label.
    pub(in crate::plugin) fn check(key: &SealKey, label: &str, file: File) -> Result<Self, SealError> {
        let size = file.metadata()?.len();
        key.check(label, &file, size)?;
        Ok(Self(file))
    }

    /// Copies code that carries its trailer into memory of the kernel, for want of a disk that may be mapped.
    ///
    /// # Errors
    /// As [`Self::check`], or when there is no such memory.
    pub(in crate::plugin) fn in_memory(key: &SealKey, label: &str, sealed: &[u8]) -> Result<Self, SealError> {
        key.check(label, sealed, sealed.len() as u64)?;
        Ok(Self(seal_in_memory(sealed)?))
    }

    /// Makes the code executable. The mapping outlives the file's name and this descriptor.
    ///
    /// # Errors
    /// When the engine refuses it (other version, other settings), or nothing may be executed here.
    pub(in crate::plugin) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        self.map(engine).or_else(|refused| {
            // Nothing on a disk that is mounted `noexec` can be mapped to run.
            self.copy().ok().and_then(|copy| copy.map(engine).ok()).ok_or(refused)
        })
    }

    fn copy(&self) -> io::Result<Self> {
        let (mut all, mut file) = (Vec::new(), &self.0);
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut all)?;
        seal_in_memory(&all).map(Self)
    }

    #[allow(
        unsafe_code,
        reason = "there is no safe way to run code that was compiled earlier, and compiling at each start costs seconds"
    )]
    fn map(&self, engine: &Engine) -> wasmtime::Result<Component> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // SAFETY: `deserialize_file` asks that the file holds what `Engine::precompile_component` or
        // `Component::serialize` has written, and that it does not change while it is mapped.
        //
        // - What it holds: a `Genuine` exists only where the HMAC over every byte was right, on this very
        //   descriptor; the path leads to the file that is open, whatever happened to its name. The key is drawn
        //   by this program, readable by its user only, and used for nothing but what the engine has just
        //   written. An artifact of another engine, other settings or another processor has another name
        //   (`Maker`), and the name is part of what the tag covers; the engine checks version and settings again.
        // - That it does not change: files of the cache are written under another name, synchronised and renamed,
        //   never opened for writing again, and only ever unlinked, which keeps what is mapped. They belong to
        //   this user and nobody else may write them, which was checked on this descriptor. Memory is sealed
        //   against writing. Whoever can break this has the rights of this process already.
        unsafe { Component::deserialize_file(engine, path) }
    }
}

fn seal_in_memory(bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("umbel-plugin-code", flags)?);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::code::seal::KEY_SIZE;

    #[test]
    fn code_in_memory_can_neither_be_forged_nor_changed() {
        let key = SealKey::new(&[7; KEY_SIZE]);
        let mut sealed = b"code".to_vec();
        sealed.extend_from_slice(&key.trailer("here", b"code"));
        let Genuine(mut file) = Genuine::in_memory(&key, "here", &sealed).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        assert!(file.write_all(b"evil").is_err(), "it was changed");
        assert!(file.set_len(0).is_err() && file.set_len(9_999).is_err(), "it was cut or grew");
        let unsealed = fcntl_add_seals(&file, SealFlags::WRITE);
        assert!(unsealed.is_err(), "nobody may touch its seals");
        let mut held = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut held).unwrap();
        assert_eq!(held, sealed);
        assert!(Genuine::in_memory(&key, "elsewhere", &sealed).is_err());
        sealed[0] ^= 1;
        assert!(Genuine::in_memory(&key, "here", &sealed).is_err());
    }
}
