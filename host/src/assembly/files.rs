//! The disk, as the settings' checks want it.

use crate::config::Files;
use std::path::Path;
use std::{fs, io};

pub(super) struct RealFiles;

impl Files for RealFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn is_other_than_directory(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir())
    }
}
