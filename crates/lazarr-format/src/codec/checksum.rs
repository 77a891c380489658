//! Four bytes of checksum before or after the rest: `crc32c`, `crc32`, `adler32`, `fletcher32`.

use std::ops::Range;

use super::deflate;
use crate::{Code, Error, Result};

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Crc32c,
    Crc32,
    Adler32,
    Fletcher32,
}

impl Sum {
    fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
            Self::Adler32 => "adler32",
            Self::Fletcher32 => "fletcher32",
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Self::Crc32c => crc32c::crc32c(bytes),
            Self::Crc32 => deflate::crc32(bytes),
            Self::Adler32 => deflate::adler32(bytes),
            Self::Fletcher32 => fletcher32(bytes),
        }
    }

    /// Compares the checksum (little-endian, at the start or the end) with the rest; returns where the rest is.
    pub(super) fn check(self, encoded: &[u8], at_start: bool) -> Result<Range<usize>> {
        let parts = if at_start {
            encoded.split_first_chunk::<4>()
        } else {
            encoded.split_last_chunk::<4>().map(|(rest, sum)| (sum, rest))
        };
        let Some((stored, rest)) = parts else {
            return Err(Error::new(
                Code::ChunkLength,
                format!("the chunk is too short for its {}", self.name()),
            )
            .expected("at least 4 bytes")
            .found(format!("{} bytes", encoded.len())));
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), self.of(rest));
        if stored != computed {
            return Err(Error::new(
                Code::ChunkChecksum,
                format!("the {} of the chunk does not agree with its bytes", self.name()),
            )
            .expected(format!("{stored:08x}"))
            .found(format!("{computed:08x}"))
            .help("The chunk is damaged: restore it from a copy or from the source of the data"));
        }
        Ok(if at_start { 4..encoded.len() } else { 0..rest.len() })
    }
}

/// HDF5's Fletcher-32: sums modulo 65535 over big-endian words, an odd last byte being the high half of a word.
fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (0u32, 0u32);
    let fold = |x: u32| (x & 0xffff) + (x >> 16);
    let (words, rest) = bytes.as_chunks::<2>();
    // 360 words are as many as the sums take without an overflow.
    for run in words.chunks(360) {
        for word in run {
            a += u32::from(u16::from_be_bytes(*word));
            b += a;
        }
        (a, b) = (fold(a), fold(b));
    }
    if let [last] = rest {
        a += u32::from(*last) << 8;
        b += a;
        (a, b) = (fold(a), fold(b));
    }
    (a, b) = (fold(a), fold(b));
    b << 16 | a
}
