//! The index of a shard: where each inner chunk lies.
//!
//! The index has one entry for each inner chunk of the shard, in C order: offset and length, two u64 of 2^64 - 1 where
//! the inner chunk is missing. It is kept as it was read, 16 bytes an entry, and an entry is checked when it is asked
//! for.

use std::ops::Range;

use crate::{ArrayMeta, Code, Error, Result};

const ENTRY: usize = 16;
const CHECKSUM: usize = 4;
const MISSING: u64 = u64::MAX;

/// The index of one shard.
#[derive(Debug, Clone)]
pub struct ShardIndex {
    entries: Box<[u8]>,
    big_endian: bool,
    /// Where inner chunks may lie.
    data: Range<u64>,
    element: Box<str>,
}

impl ShardIndex {
    /// The index in `bytes`, which are [`ArrayMeta::shard_index_bytes`] long. Where the size of the shard is known, the
    /// inner chunks are checked to lie in it, and outside of its index.
    ///
    /// Fails with `ShardIndex` where the length is wrong, with `ChunkChecksum` where the checksum is.
    pub fn parse(bytes: &[u8], array: &ArrayMeta, shard_bytes: Option<u64>) -> Result<Self> {
        let error = |code, message: &str| Error::new(code, message).element(&array.path);
        let Some(sharding) = &array.sharding else {
            return Err(error(Code::Internal, "the array is not sharded"));
        };
        let expected = array.shard_index_bytes();
        if bytes.len() as u64 != expected {
            return Err(error(Code::ShardIndex, "the index of the shard has the wrong length")
                .expected(format!("{expected} bytes"))
                .found(format!("{} bytes", bytes.len())));
        }
        let mut entries = bytes;
        if sharding.index_checksum {
            let (body, sum) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM));
            let (stored, computed) = (sum.try_into().map_or(0, u32::from_le_bytes), crc32c::crc32c(body));
            if stored != computed {
                return Err(error(Code::ChunkChecksum, "the checksum of the shard's index does not agree")
                    .expected(format!("{stored:#010x}"))
                    .found(format!("{computed:#010x}")));
            }
            entries = body;
        }
        if let Some(size) = shard_bytes.filter(|size| *size < expected) {
            return Err(error(Code::ShardIndex, "the shard is shorter than its index")
                .expected(format!("at least {expected} bytes"))
                .found(format!("{size} bytes")));
        }
        let data = match (sharding.index_at_start, shard_bytes) {
            (true, size) => expected..size.unwrap_or(MISSING),
            (false, size) => 0..size.map_or(MISSING, |size| size - expected),
        };
        Ok(Self {
            entries: entries.into(),
            big_endian: sharding.index_big_endian,
            data,
            element: array.path.as_str().into(),
        })
    }

    /// Where inner chunk `i` (in C order) lies in the shard; `None` where it is missing.
    pub fn get(&self, i: u64) -> Result<Option<Range<u64>>> {
        let error = |message: &str| {
            Error::new(
                Code::ShardIndex,
                format!("the index of the shard is broken at inner chunk {i}: {message}"),
            )
            .element(&*self.element)
        };
        let entry = usize::try_from(i).ok().and_then(|i| self.entries.chunks_exact(ENTRY).nth(i));
        let Some((offset, length)) =
            entry.and_then(|e| Some((self.word(e.get(..8)?)?, self.word(e.get(8..)?)?)))
        else {
            return Err(error("there is no such inner chunk").expected(format!("less than {}", self.len())));
        };
        if offset == MISSING && length == MISSING {
            return Ok(None);
        }
        if offset == MISSING || length == MISSING {
            return Err(error("half of the entry says that it is missing"));
        }
        let end = offset.checked_add(length).ok_or_else(|| {
            error("offset and length overflow").found(format!("{length} bytes at {offset}"))
        })?;
        if offset < self.data.start || end > self.data.end {
            return Err(error("it lies outside of the shard's data")
                .expected(format!("within {}..{}", self.data.start, self.data.end))
                .found(format!("{offset}..{end}")));
        }
        Ok(Some(offset..end))
    }

    fn word(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.try_into().ok()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// Inner chunks in the shard, the missing ones included.
    pub fn len(&self) -> u64 {
        (self.entries.len() / ENTRY) as u64
    }

    /// Whether the index has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.entries.len() + size_of::<Self>() + self.element.len()
    }
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
