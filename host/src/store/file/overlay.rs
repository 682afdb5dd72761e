//! A file that can be read and seemingly written, while not a byte of it changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use parking_lot::Mutex;
use redb::StorageBackend;

const PAGE_BYTES: u64 = 4096;

/// redb writes to what it checks, if only to say that it is open; here its writes stay in memory.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// So much of the file still shows where no page covers it.
    visible: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, visible: len, pages: BTreeMap::new() }) })
    }

    /// Reads a range that lies within one page.
    fn read_piece(&self, state: &State, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(page) = state.pages.get(&(offset / PAGE_BYTES)) {
            let start = in_page(offset);
            out.copy_from_slice(&page[start..start + out.len()]);
            return Ok(());
        }
        let shown =
            usize::try_from(state.visible.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_file, beyond) = out.split_at_mut(shown);
        beyond.fill(0);
        self.file.read_exact_at(from_file, offset)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        within(offset, out.len(), state.len)?;
        let mut place = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at_mut(piece_len(place, rest.len()));
            self.read_piece(&state, place, piece)?;
            place += piece.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.len = len;
        state.visible = state.visible.min(len);
        state.pages.split_off(&len.div_ceil(PAGE_BYTES));
        if let Some(page) = state.pages.get_mut(&(len / PAGE_BYTES)) {
            page[in_page(len)..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        within(offset, data.len(), state.len)?;
        let mut place = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(piece_len(place, rest.len()));
            let number = place / PAGE_BYTES;
            if !state.pages.contains_key(&number) {
                let mut page = vec![0; in_page(PAGE_BYTES - 1) + 1];
                self.read_piece(&state, number * PAGE_BYTES, &mut page)?;
                state.pages.insert(number, page);
            }
            if let Some(page) = state.pages.get_mut(&number) {
                let start = in_page(place);
                page[start..start + piece.len()].copy_from_slice(piece);
            }
            place += piece.len() as u64;
            rest = later;
        }
        Ok(())
    }
}

fn in_page(offset: u64) -> usize {
    (offset % PAGE_BYTES) as usize
}

/// How much of `len` bytes from `offset` on lies in the same page.
fn piece_len(offset: u64, len: usize) -> usize {
    len.min((PAGE_BYTES - offset % PAGE_BYTES) as usize)
}

fn within(offset: u64, len: usize, end: u64) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(last) if last <= end => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;
    use std::io::Write as _;

    #[test]
    fn it_behaves_like_a_copy_and_leaves_the_file_alone() {
        let mut random = fastrand::Rng::with_seed(3);
        let original: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(20_000).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&original).unwrap();
        let overlay = Overlay::new(file.reopen().unwrap()).unwrap();
        let copy = InMemoryBackend::new();
        copy.set_len(original.len() as u64).unwrap();
        copy.write(0, &original).unwrap();
        for _ in 0..2_000 {
            let len = copy.len().unwrap();
            match random.u8(..10) {
                0 => {
                    let len = random.u64(10_000..30_000);
                    overlay.set_len(len).unwrap();
                    copy.set_len(len).unwrap();
                }
                1..5 => {
                    let offset = random.u64(..len);
                    let size = random.u64(..=(len - offset).min(9_000)) as usize;
                    let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
                    overlay.write(offset, &data).unwrap();
                    copy.write(offset, &data).unwrap();
                }
                _ => {
                    let mut seen = vec![1; len as usize];
                    let mut expected = vec![2; len as usize];
                    overlay.read(0, &mut seen).unwrap();
                    copy.read(0, &mut expected).unwrap();
                    assert!(seen == expected);
                    assert!(overlay.read(1, &mut seen).is_err(), "there is nothing behind the end");
                }
            }
        }
        assert!(std::fs::read(file.path()).unwrap() == original);
    }
}
