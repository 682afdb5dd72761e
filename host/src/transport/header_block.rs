//! The size of an HTTP/2 header block, without decoding it (RFC 7541).

/// The size of a header block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSize {
    /// Header fields, pseudo-header fields among them.
    pub fields: usize,
    /// Bytes of `:path`: exact if it may exceed the limit, otherwise an upper bound.
    pub path: usize,
}

/// Measures a header block. `None` for a malformed one, which the decoder rejects.
pub fn measure(block: &[u8], path_max: usize) -> Option<BlockSize> {
    let mut size = BlockSize::default();
    let mut reader = Reader(block);
    while let Some(first) = reader.0.first().copied() {
        if first & 0x80 != 0 {
            reader.integer(7)?;
            size.fields += 1;
        } else if first & 0xe0 == 0x20 {
            // A dynamic table size update.
            reader.integer(5)?;
        } else {
            let index = reader.integer(if first & 0x40 != 0 { 6 } else { 4 })?;
            let name = if index == 0 { Some(reader.string()?) } else { None };
            let value = reader.string()?;
            size.fields += 1;
            let is_path = match name {
                Some(name) => name.is_path(),
                // An index beyond the static table may be any name; a value this long counts as `:path`.
                None => matches!(index, 4 | 5) || (index > STATIC_TABLE && value.bytes.len() > path_max / 2),
            };
            if is_path {
                size.path = size.path.max(value.decoded_len(path_max));
            }
        }
    }
    Some(size)
}

/// Entries of the static table.
const STATIC_TABLE: usize = 61;
/// `:path` in the Huffman code.
const PATH_ENCODED: [u8; 4] = [0xb9, 0x58, 0xd3, 0x3f];

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// RFC 7541 §5.1.
    fn integer(&mut self, prefix: u32) -> Option<usize> {
        let mask = (1_usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            value += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// RFC 7541 §5.2.
    fn string(&mut self) -> Option<Text<'a>> {
        let is_encoded = self.0.first()? & 0x80 != 0;
        let length = self.integer(7)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Text { bytes, is_encoded })
    }
}

struct Text<'a> {
    bytes: &'a [u8],
    /// In the Huffman code.
    is_encoded: bool,
}

impl Text<'_> {
    fn is_path(&self) -> bool {
        if self.is_encoded { self.bytes == PATH_ENCODED } else { self.bytes == b":path" }
    }

    fn decoded_len(&self, exact_above: usize) -> usize {
        if !self.is_encoded {
            return self.bytes.len();
        }
        // The shortest code has five bits.
        let most = self.bytes.len() * 8 / 5;
        if most <= exact_above { most } else { count_symbols(self.bytes) }
    }
}

/// The number of codes of each length, from 5 bits to 30 (RFC 7541, appendix B). The code is canonical: codes of one
/// length are consecutive, and longer ones begin after the shorter ones.
const CODES: [u32; 26] =
    [10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4];

fn count_symbols(bytes: &[u8]) -> usize {
    let mut symbols = 0;
    let (mut code, mut bits, mut first) = (0_u32, 0_usize, 0_u32);
    for byte in bytes {
        for shift in (0..8).rev() {
            code = (code << 1) | u32::from(byte >> shift & 1);
            bits += 1;
            if bits < 5 {
                continue;
            }
            let Some(count) = CODES.get(bits - 5) else { return symbols };
            if code.wrapping_sub(first) < *count {
                symbols += 1;
                (code, bits, first) = (0, 0, 0);
            } else {
                first = (first + count) << 1;
            }
        }
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(index: u8, value: &[u8]) -> Vec<u8> {
        [&[index][..], &integer(0, 7, value.len()), value].concat()
    }

    fn integer(flags: u8, prefix: u32, value: usize) -> Vec<u8> {
        let mask = (1 << prefix) - 1;
        if value < mask {
            return vec![flags | value as u8];
        }
        let mut rest = value - mask;
        let mut bytes = vec![flags | mask as u8];
        while rest >= 128 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }

    #[test]
    fn fields_are_counted_however_they_are_written() {
        // RFC 7541, C.4.1: four fields, the last a Huffman-coded literal.
        let request = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4,
            0xff,
        ];
        assert_eq!(measure(&request, 100), Some(BlockSize { fields: 4, path: 0 }));
        let named = [0x00, 1, b'x', 0, 0x10, 1, b'y', 1, b'1', 0x40, 1, b'z', 0, 0x3f, 0xe1, 0x1f];
        assert_eq!(measure(&named, 100), Some(BlockSize { fields: 3, path: 0 }));
        assert_eq!(measure(&[0xbe; 30_000], 100), Some(BlockSize { fields: 30_000, path: 0 }));
    }

    #[test]
    fn the_path_is_measured_however_it_is_named() {
        let path = vec![b'a'; 300];
        let raw_name = [&[0x00, 5][..], b":path", &integer(0, 7, 300), &path].concat();
        let encoded_name = [&[0x00, 0x84][..], &PATH_ENCODED, &integer(0, 7, 300), &path].concat();
        for block in [literal(0x04, &path), literal(0x44, &path), raw_name, encoded_name] {
            assert_eq!(measure(&block, 100), Some(BlockSize { fields: 1, path: 300 }));
        }
        let by_dynamic_name = [integer(0x40, 6, 62), integer(0, 7, 300), path].concat();
        assert_eq!(measure(&by_dynamic_name, 100).map(|size| size.path), Some(300));
    }

    #[test]
    fn huffman_codes_are_counted() {
        // RFC 7541, C.4.1 and C.6.1.
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(count_symbols(&host), "www.example.com".len());
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66,
            0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(count_symbols(&date), "Mon, 21 Oct 2013 20:13:21 GMT".len());
        // Eight times the five bits of "a".
        let many = [0x18, 0xc6, 0x31, 0x8c, 0x63].repeat(100);
        assert_eq!(count_symbols(&many), 800);
        let text = Text { bytes: &many, is_encoded: true };
        assert_eq!((text.decoded_len(10_000), text.decoded_len(100)), (800, 800));
    }

    #[test]
    fn a_malformed_block_has_no_size() {
        for block in [&[0x04][..], &[0x04, 5, b'a'], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[0x00, 1]] {
            assert_eq!(measure(block, 100), None, "{block:?}");
        }
    }
}
