//! How soon the allocator returns unused memory to the system.

use tikv_jemalloc_ctl::{Access, AsName, Mib, Result};

/// How long freed pages stay with the process, in milliseconds: long enough for the next request to reuse them, short
/// enough that memory returns soon after a burst.
const DECAY: isize = 1000;

/// Starts the allocator's background thread, which returns pages, so that an idle process shrinks too. Without it,
/// pages are returned only while the thread that freed them goes on allocating. Platforms without such a thread
/// (musl) keep this behavior.
pub(super) fn return_memory_early() {
    if let Err(error) = set_decay() {
        tracing::debug!(%error, "the allocator keeps its default decay times");
    }
    if let Err(error) = "background_thread\0".name().write(true) {
        tracing::debug!(%error, "the allocator has no background thread");
    }
}

fn set_decay() -> Result<()> {
    "arenas.dirty_decay_ms\0".name().write(DECAY)?;
    "arenas.muzzy_decay_ms\0".name().write(0_isize)?;
    let count: u32 = "arenas.narenas\0".name().read()?;
    for name in ["arena.0.dirty_decay_ms\0", "arena.0.muzzy_decay_ms\0"] {
        let mut existing: Mib<[usize; 3]> = name.name().mib()?;
        let decay = if name.contains("dirty") { DECAY } else { 0 };
        for arena in 0..count {
            existing[1] = arena as usize;
            // Most arenas are not in use yet. They get the defaults when they are created.
            let _unused = existing.write(decay);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_knows_the_names() {
        set_decay().unwrap();
        let read: isize = "arenas.dirty_decay_ms\0".name().read().unwrap();
        assert_eq!(read, DECAY);
    }
}
