//! The trailer that tells whether native code is whole, and whether it was written by somebody who has the key.
//!
//! The engine accepts damaged code: of 155 files with one bit flipped it loaded 152. It ignores what follows the
//! code, so the trailer stands there.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use std::io::{self, Read};

/// Bytes of a key.
pub(in crate::plugin) const KEY_SIZE: usize = 32;
/// Bytes of the trailer: magic, format, length, nothing, tag.
pub(in crate::plugin) const TRAILER_SIZE: usize = HEAD_SIZE + TAG_SIZE;
const HEAD_SIZE: usize = 32;
const TAG_SIZE: usize = 32;
const MAGIC: [u8; 8] = *b"umbel\0nc";
const FORMAT: u32 = 1;

/// Why something is not taken for native code.
#[derive(Debug, thiserror::Error)]
pub(in crate::plugin) enum SealError {
    /// It has no room for a trailer.
    #[error("it has {0} bytes only")]
    Short(u64),
    /// The trailer is another one, or of another length.
    #[error("its trailer is not that of native code of this length")]
    Trailer,
    /// Code, label or key differ from those that the tag was made of.
    #[error("its tag does not fit")]
    Tag,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What tags are made with.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct SealKey(hmac::Key);

impl SealKey {
    pub(in crate::plugin) fn new(bytes: &[u8; KEY_SIZE]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, bytes))
    }

    /// Bytes that nobody can guess.
    ///
    /// # Errors
    /// When the system has none.
    pub(in crate::plugin) fn draw() -> Result<[u8; KEY_SIZE], Unspecified> {
        let mut bytes = [0; KEY_SIZE];
        rand::fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The trailer of some code. The label says what the code is for, so that two pieces cannot be swapped.
    pub(in crate::plugin) fn trailer(&self, label: &str, code: &[u8]) -> [u8; TRAILER_SIZE] {
        let head = head(code.len() as u64);
        let mut context = self.begin(label, &head);
        context.update(code);
        let mut trailer = [0; TRAILER_SIZE];
        trailer[..HEAD_SIZE].copy_from_slice(&head);
        trailer[HEAD_SIZE..].copy_from_slice(context.sign().as_ref());
        trailer
    }

    /// Reads code with its trailer, `size` bytes in all, and says how long the code is.
    ///
    /// # Errors
    /// When it is not, byte for byte, what the trailer was made of.
    pub(in crate::plugin) fn check(
        &self,
        label: &str,
        mut sealed: impl Read,
        size: u64,
    ) -> Result<u64, SealError> {
        let length = size.checked_sub(TRAILER_SIZE as u64).ok_or(SealError::Short(size))?;
        let head = head(length);
        let mut context = self.begin(label, &head);
        let mut chunk = vec![0; 256 << 10];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            sealed.read_exact(&mut chunk[..part])?;
            context.update(&chunk[..part]);
            left -= part as u64;
        }
        let mut trailer = [0; TRAILER_SIZE];
        sealed.read_exact(&mut trailer)?;
        if trailer[..HEAD_SIZE] != head {
            return Err(SealError::Trailer);
        }
        verify_slices_are_equal(context.sign().as_ref(), &trailer[HEAD_SIZE..])
            .map_err(|_| SealError::Tag)?;
        Ok(length)
    }

    fn begin(&self, label: &str, head: &[u8; HEAD_SIZE]) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(head);
        context.update(&(label.len() as u64).to_le_bytes());
        context.update(label.as_bytes());
        context
    }
}

fn head(length: u64) -> [u8; HEAD_SIZE] {
    let mut head = [0; HEAD_SIZE];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    head[16..24].copy_from_slice(&length.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &SealKey, label: &str, sealed: &[u8]) -> Result<u64, SealError> {
        key.check(label, sealed, sealed.len() as u64)
    }

    #[test]
    fn every_byte_counts() {
        let key = SealKey::new(&[7; KEY_SIZE]);
        let code = b"native code";
        let mut sealed = code.to_vec();
        sealed.extend(key.trailer("a", code));
        assert_eq!(check(&key, "a", &sealed).unwrap(), 11);
        assert!(matches!(check(&key, "b", &sealed), Err(SealError::Tag)));
        assert!(matches!(check(&SealKey::new(&[8; KEY_SIZE]), "a", &sealed), Err(SealError::Tag)));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            check(&key, "a", &flipped).unwrap_err();
            check(&key, "a", &sealed[..at]).unwrap_err();
        }
        sealed.push(0);
        check(&key, "a", &sealed).unwrap_err();
    }

    #[test]
    fn keys_differ() {
        assert_ne!(SealKey::draw().unwrap(), SealKey::draw().unwrap());
    }
}
