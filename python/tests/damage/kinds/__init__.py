"""Kinds of damage by what is damaged; importing this registers all of them."""

from damage.kinds import archives, chunks, files, frames, metadata, others, shards, sparse

__all__ = ["archives", "chunks", "files", "frames", "metadata", "others", "shards", "sparse"]
