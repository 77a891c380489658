//! The index of a shard.
