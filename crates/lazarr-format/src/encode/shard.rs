//! The index of a shard, while its inner chunks are written one after the other.

/// Where inner chunks lie, and the index that says so.
#[derive(Debug, Clone)]
pub struct ShardBuilder {
    entries: Vec<u8>,
    at: u64,
}

impl ShardBuilder {
    /// A shard of so many inner chunks, all missing.
    pub fn new(inner: u64) -> Self {
        Self { entries: vec![0xff; usize::try_from(inner).unwrap_or(0) * 16], at: 0 }
    }

    /// A shard that is gone on with, by its [`entries`](Self::entries), behind so many bytes.
    pub fn resume(entries: Vec<u8>, at: u64) -> Self {
        Self { entries, at }
    }

    /// Where the inner chunks so far lie, as the index has it.
    pub fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// Inner chunk `i` (in C order) comes next, in so many bytes.
    pub fn add(&mut self, i: u64, bytes: u64) {
        let place = usize::try_from(i).ok().and_then(|i| self.entries.chunks_exact_mut(16).nth(i));
        if let Some(place) = place {
            let (offset, length) = place.split_at_mut(8);
            offset.copy_from_slice(&self.at.to_le_bytes());
            length.copy_from_slice(&bytes.to_le_bytes());
        }
        self.at += bytes;
    }

    /// The index with its crc32c, which ends the shard.
    pub fn finish(self) -> Vec<u8> {
        let mut index = self.entries;
        let sum = crc32c::crc32c(&index);
        index.extend_from_slice(&sum.to_le_bytes());
        index
    }
}
