//! The memory of a process, as Linux counts it.

use anyhow::{Context, Result};
use std::fs;

/// What a process uses, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages in memory.
    pub resident: u64,
    /// The same, with pages shared with other processes counted in part.
    pub proportional: u64,
    /// The largest `resident` since the start of the process, or since [`Memory::reset_peak`].
    pub peak: u64,
}

impl Memory {
    /// Reads it now.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn of(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        Ok(Self {
            resident: bytes(&status, "VmRSS:")?,
            proportional: bytes(&rollup, "Pss:")?,
            peak: bytes(&status, "VmHWM:")?,
        })
    }

    /// Lets the peak begin at the current size.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn reset_peak(process: u32) -> Result<()> {
        // 5 is "reset the peak" in proc_pid_clear_refs(5).
        Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
    }
}

/// The value of a line such as `VmRSS:  1024 kB`.
fn bytes(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
