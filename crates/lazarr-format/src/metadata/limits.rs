//! Bounds on what metadata may ask for: hostile metadata ends in an error, not in a full memory.

use crate::{Code, Error};

/// Which limit: for options by name, and for the error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::metadata_bytes`].
    MetadataBytes,
    /// [`Limits::json_depth`].
    JsonDepth,
    /// [`Limits::nodes`].
    Nodes,
    /// [`Limits::dimensions`].
    Dimensions,
    /// [`Limits::chunk_bytes`].
    ChunkBytes,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 5] =
        [Self::MetadataBytes, Self::JsonDepth, Self::Nodes, Self::Dimensions, Self::ChunkBytes];

    /// Its name, as options spell it: `metadata_bytes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MetadataBytes => "metadata_bytes",
            Self::JsonDepth => "json_depth",
            Self::Nodes => "nodes",
            Self::Dimensions => "dimensions",
            Self::ChunkBytes => "chunk_bytes",
        }
    }

    /// The limit of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// The most that it can be set to; the least is 1.
    pub fn most(self) -> u64 {
        match self {
            // The JSON parser goes 127 deep.
            Self::JsonDepth => 127,
            // As many as numpy has.
            Self::Dimensions => 64,
            Self::Nodes => u32::MAX as u64,
            // Offsets in memory are signed.
            Self::MetadataBytes | Self::ChunkBytes => isize::MAX as u64,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::MetadataBytes | Self::ChunkBytes => " bytes",
            Self::JsonDepth => " levels",
            Self::Nodes | Self::Dimensions => "",
        }
    }
}

/// Bounds on what metadata may ask for. What goes beyond is [`Code::MetadataLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of metadata: of all documents that are read when a store is opened, and of all its fill values.
    pub metadata_bytes: usize,
    /// Nesting of JSON, and of groups; at most 127.
    pub json_depth: usize,
    /// Groups and arrays in one store.
    pub nodes: usize,
    /// Dimensions of an array; at most 64.
    pub dimensions: usize,
    /// Bytes of one inner chunk, decoded (variable-length items count eight bytes each before they are read) and encoded
    /// (with a sixty-fourth more); bytes of a shard's index; bytes of a deflated entry of a zip archive.
    pub chunk_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            metadata_bytes: 64 << 20,
            json_depth: 64,
            nodes: 100_000,
            dimensions: 32,
            chunk_bytes: 4 << 30,
        }
    }
}

impl Limits {
    /// The value of a limit.
    pub fn get(&self, limit: Limit) -> u64 {
        match limit {
            Limit::MetadataBytes => self.metadata_bytes as u64,
            Limit::JsonDepth => self.json_depth as u64,
            Limit::Nodes => self.nodes as u64,
            Limit::Dimensions => self.dimensions as u64,
            Limit::ChunkBytes => self.chunk_bytes,
        }
    }

    /// The same with another value, which is brought into 1 to [`Limit::most`].
    #[must_use]
    pub fn with(mut self, limit: Limit, value: u64) -> Self {
        let value = value.clamp(1, limit.most());
        let small = usize::try_from(value).unwrap_or(usize::MAX);
        match limit {
            Limit::MetadataBytes => self.metadata_bytes = small,
            Limit::JsonDepth => self.json_depth = small,
            Limit::Nodes => self.nodes = small,
            Limit::Dimensions => self.dimensions = small,
            Limit::ChunkBytes => self.chunk_bytes = value,
        }
        self
    }

    /// The most encoded bytes of an inner chunk: data that cannot be compressed grows by less than this.
    pub fn encoded_bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.chunk_bytes / 64 + 4096)
    }

    /// The error of something that goes beyond a limit: which one, its value, what was found, how to raise it. `found` is
    /// how much would be needed, where that is known.
    pub fn exceeded(&self, limit: Limit, what: impl Into<String>, found: Option<u64>) -> Error {
        let (name, unit, most) = (limit.name(), limit.unit(), self.get(limit));
        let error = Error::new(Code::MetadataLimit, what)
            .expected(format!("at most {most}{unit} (the limit {name})"));
        let error = match found {
            Some(found) => error.found(format!("{found}{unit}")),
            None => error,
        };
        match found {
            Some(found) if found > limit.most() => error,
            Some(found) => error.help(format!("If you trust the store, raise the limit: {name}={found}")),
            None if most >= limit.most() => error,
            None => error.help(format!("If you trust the store, raise the limit {name}")),
        }
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
