//! Who else may write what is loaded, and how to take that right away.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::status::Reason;
use rustix::fs::{StatVfsMountFlags, fstat, fstatvfs};
use std::fs::File;
use std::path::Path;

/// Whether components are taken that others than root and the gateway's own user may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// They are refused: whoever writes a component decides what the gateway does.
    #[default]
    OwnersOnly,
    /// They are taken, because an operator says so.
    Everybody,
}

/// Rights of an open file or directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    mode: u32,
    owner: u32,
    /// Nobody can write through this mount, as with Kubernetes' ConfigMaps, whose directory has mode 0777.
    read_only: bool,
}

impl Rights {
    fn of(file: &File) -> std::io::Result<Self> {
        let found = fstat(file)?;
        let read_only = fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::RDONLY);
        Ok(Self { mode: found.st_mode, owner: found.st_uid, read_only })
    }

    /// What is wrong with them and how to mend it, where something is. `us` is the gateway's own user.
    fn complaint(&self, what: &str, path: &Path, us: u32) -> Option<String> {
        let (mode, owner, place) = (self.mode & 0o7777, self.owner, path.display());
        let told = |trouble: &str, mend: &str| {
            let argument = quoted(path);
            format!(
                "{what} {place} has mode {mode:04o} and belongs to uid {owner}: {trouble}; run {mend} {argument}"
            )
        };
        if owner != 0 && owner != us {
            let trouble = format!("that is neither root nor the gateway's own user (uid {us})");
            return Some(told(&trouble, &format!("chown {us}")));
        }
        let who = match (mode & 0o020 != 0, mode & 0o002 != 0) {
            (false, false) => return None,
            (true, false) => "its group",
            (_, true) => "everybody",
        };
        (!self.read_only).then(|| told(&format!("{who} may write it"), "chmod go-w"))
    }
}

/// Refuses what somebody else may write.
///
/// # Errors
/// `PermissionsTooOpen`, with the command that mends it; `Unreadable` when the rights cannot be found out.
pub(super) fn check(what: &str, path: &Path, file: &File, trust: Trust) -> Result<(), LoadFault> {
    if trust == Trust::Everybody {
        return Ok(());
    }
    let unreadable =
        |error: std::io::Error| LoadFault::new(Reason::Unreadable, format!("{}: {error}", path.display()));
    let rights = Rights::of(file).map_err(unreadable)?;
    match rights.complaint(what, path, rustix::process::geteuid().as_raw()) {
        None => Ok(()),
        Some(text) => Err(LoadFault::new(Reason::PermissionsTooOpen, text)),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_own_user_may_be_able_to_write() {
        let us = 1000;
        let told = |mode, owner, read_only| {
            Rights { mode, owner, read_only }.complaint("the file", Path::new("/p/a b.wasm"), us)
        };
        for (mode, owner, read_only) in
            [(0o100_644, 0, false), (0o100_600, us, false), (0o40_755, 0, false), (0o40_777, 0, true)]
        {
            assert_eq!(told(mode, owner, read_only), None, "{mode:o} {owner}");
        }
        for (mode, owner, read_only, says) in [
            (0o100_664, us, false, "has mode 0664 and belongs to uid 1000: its group may write it"),
            (0o100_646, 0, false, "everybody may write it; run chmod go-w '/p/a b.wasm'"),
            (0o41_777, 0, false, "mode 1777 and belongs to uid 0: everybody"),
            (0o100_644, 7, false, "neither root nor the gateway's own user (uid 1000); run chown 1000 '"),
            (0o100_644, 7, true, "neither root"),
        ] {
            let text = told(mode, owner, read_only).unwrap_or_default();
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/var/lib/umbel/p.wasm")), "/var/lib/umbel/p.wasm");
        assert_eq!(quoted(Path::new("/a'b;c")), r"'/a'\''b;c'");
    }
}
