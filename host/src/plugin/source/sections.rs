//! Whether a WebAssembly file is there to its end, told from the lengths that its sections state.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Result, Seek};
use std::path::Path;

/// Bytes before the first section.
const HEAD: u64 = 8;
/// Most bytes that a length of 32 bits takes in LEB128.
const LENGTH_MAX: u32 = 5;
/// Sections that are looked at. No compiler writes so many, but a file of zeros has millions of empty ones.
const SECTIONS_MAX: usize = 10_000;

/// Whether the file ends before its last section does. What is no WebAssembly at all is not cut off, nor is what is
/// too large to be taken or has more sections than a component can have.
///
/// # Errors
/// When it cannot be read.
pub(super) fn is_cut_off(path: &Path) -> Result<bool> {
    let file = super::files::open(path)?;
    let size = file.metadata()?.len();
    if size > super::files::COMPONENT_MAX {
        return Ok(false);
    }
    walk(&mut BufReader::new(file), size)
}

fn walk(file: &mut BufReader<File>, size: u64) -> Result<bool> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    if !b"\0asm".starts_with(&magic) {
        return Ok(false);
    }
    let mut position = HEAD;
    if size <= HEAD {
        return Ok(true);
    }
    file.seek_relative(4)?;
    for _ in 0..SECTIONS_MAX {
        if position >= size {
            break;
        }
        match section_end(file) {
            Ok(end) if end > size => return Ok(true),
            Ok(end) => position = end,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error),
        }
        let here = file.stream_position()?;
        // Within the buffer where it can be; a seek would empty it.
        file.seek_relative(i64::try_from(position.saturating_sub(here)).unwrap_or(i64::MAX))?;
    }
    Ok(false)
}

/// Reads the head of a section and says where it ends.
fn section_end(file: &mut BufReader<File>) -> Result<u64> {
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    let mut length = 0_u64;
    for index in 0..LENGTH_MAX {
        file.read_exact(&mut byte)?;
        let [read] = byte;
        length |= u64::from(read & 0x7f) << (7 * index);
        if read & 0x80 == 0 {
            return Ok(file.stream_position()?.saturating_add(length));
        }
    }
    Err(ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_within_a_section_is_noticed() {
        // A component with two custom sections, the second of which has a length of two bytes.
        let mut whole = b"\0asm\x0d\0\x01\0\0\x03\x01a!\0\x83\x01\x01b".to_vec();
        whole.extend([b'x'; 129]);
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in 0..=whole.len() {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            let between = length == 13 || length == whole.len();
            assert_eq!(is_cut_off(file.path()).unwrap(), !between, "{length}");
        }
        // What ends in the middle of its last section, after more of them than are looked at.
        let sections = |count: usize| [&b"\0asm\x0d\0\x01\0"[..], &vec![0; 2 * count], &[0, 9]].concat();
        for (count, cut_off) in [(SECTIONS_MAX - 1, true), (SECTIONS_MAX, false)] {
            std::fs::write(file.path(), sections(count)).unwrap();
            assert_eq!(is_cut_off(file.path()).unwrap(), cut_off, "{count}");
        }
        let large = File::options().write(true).open(file.path()).unwrap();
        std::fs::write(file.path(), b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\x0f").unwrap();
        assert!(is_cut_off(file.path()).unwrap());
        large.set_len(crate::plugin::source::files::COMPONENT_MAX).unwrap();
        assert!(is_cut_off(file.path()).unwrap(), "just small enough");
        large.set_len(crate::plugin::source::files::COMPONENT_MAX + 1).unwrap();
        assert!(!is_cut_off(file.path()).unwrap(), "too large to matter");
        for other in [&b"text"[..], b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff\xff"] {
            std::fs::write(file.path(), other).unwrap();
            assert!(!is_cut_off(file.path()).unwrap(), "{other:?}");
        }
    }
}
