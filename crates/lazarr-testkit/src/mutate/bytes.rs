//! Damage to chunks and shards as they are stored.

use super::{Known, Mutation, Work, may_be_absent};

/// One to four bits of a chunk.
pub(super) fn flip(work: &mut Work<'_>) -> Option<Mutation> {
    let piece = work.piece()?;
    let count = work.rng.pick(&[1, 1, 2, 4]);
    let mut places = Vec::new();
    for _ in 0..count {
        let at = work.rng.within(piece.range.start as u64..piece.range.end as u64) as usize;
        let bit = work.rng.below(8);
        work.values.get_mut(&piece.key)?[at] ^= 1 << bit;
        places.push((at, bit));
    }
    let note = format!("{} {places:?}", piece.key);
    Some(Mutation::data("chunk: bits flipped", work.covered(), &piece.path, note))
}

/// A run of bytes of a chunk.
pub(super) fn overwrite(work: &mut Work<'_>) -> Option<Mutation> {
    let piece = work.piece()?;
    let start = work.rng.within(piece.range.start as u64..piece.range.end as u64) as usize;
    let end = (start + work.rng.within(1..33) as usize).min(piece.range.end);
    let with = work.rng.pick(&[None, Some(0), Some(0xff)]);
    for at in start..end {
        let byte = with.unwrap_or_else(|| work.rng.number() as u8);
        work.values.get_mut(&piece.key)?[at] = byte;
    }
    let note = format!("{} {start}..{end}", piece.key);
    Some(Mutation::data("chunk: bytes overwritten", work.covered(), &piece.path, note))
}

/// A file of chunks that has a shard's index, and where that stands.
fn with_index(work: &mut Work<'_>) -> Option<(String, String, std::ops::Range<usize>)> {
    let (path, key) = work.file()?;
    let index = sound_index(work, &path, &key)?;
    Some((path, key, index))
}

/// Where the index of a shard stands, unless its checksum is wrong already: who writes it anew would undo that damage.
fn sound_index(work: &Work<'_>, path: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let bytes = &work.values[key];
    let index = work.index_range(path, bytes.len())?;
    let sum = || crc32c::crc32c(&bytes[index.clone()]).to_le_bytes() == bytes[index.end..index.end + 4];
    (!work.shards(path)?.checksum || sum()).then_some(index)
}

/// What is known where a shard's index is changed and its checksum is not.
fn index_covered(work: &Work<'_>, path: &str) -> Known {
    if work.shards(path).is_some_and(|s| s.checksum) { Known::Checksum } else { Known::No }
}

/// Writes the checksum of an index anew.
fn repair(work: &mut Work<'_>, path: &str, key: &str) {
    if work.shards(path).is_some_and(|s| s.checksum)
        && let Some(index) = work.index_range(path, work.values[key].len())
        && let Some(bytes) = work.values.get_mut(key)
    {
        let sum = crc32c::crc32c(&bytes[index.clone()]).to_le_bytes();
        bytes[index.end..index.end + 4].copy_from_slice(&sum);
    }
}

/// One bit of a shard's index.
pub(super) fn flip_index(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key, index) = with_index(work)?;
    let at = work.rng.within(index.start as u64..index.end as u64) as usize;
    work.values.get_mut(&key)?[at] ^= 1 << work.rng.below(8);
    let known = index_covered(work, &path);
    Some(Mutation::data("shard index: bit flipped", known, &path, format!("{key} {at}")))
}

/// What is known where a file is longer or shorter than it was.
fn resized(work: &Work<'_>, path: &str) -> Known {
    match work.shards(path) {
        // The index is now made of other bytes.
        Some(shards) if !shards.index_at_start && !shards.checksum => Known::No,
        _ => Known::Structure,
    }
}

/// A file ends early.
pub(super) fn cut(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let len = work.values[&key].len() as u64;
    if len < 2 {
        return None;
    }
    let keep = work.rng.within(1..len);
    let keep = work.rng.pick(&[keep, len - 1, len - len.min(16).min(len - 1)]);
    work.values.get_mut(&key)?.truncate(keep as usize);
    Some(Mutation::data("file: cut", resized(work, &path), &path, format!("{key} to {keep} of {len}")))
}

/// A file goes on after its end.
pub(super) fn extend(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let count = work.rng.pick(&[1, 4, 16, 61]);
    let zeros = work.rng.once_in(2);
    for _ in 0..count {
        let byte = if zeros { 0 } else { work.rng.number() as u8 };
        work.values.get_mut(&key)?.push(byte);
    }
    Some(Mutation::data("file: extended", resized(work, &path), &path, format!("{key} by {count}")))
}

/// A file without a byte.
pub(super) fn empty(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let bytes = work.values.get_mut(&key)?;
    if bytes.is_empty() {
        return None;
    }
    bytes.clear();
    Some(Mutation::data("file: emptied", Known::Structure, &path, key))
}

/// Two chunks of one array change places: the file of one is that of the other, or their entries in the index.
pub(super) fn swap_chunks(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    if work.shards(&path).is_some() {
        let index = sound_index(work, &path, &key)?;
        let entries = (index.len() / 16) as u64;
        let (a, b) = (work.rng.below(entries) as usize, work.rng.below(entries) as usize);
        let bytes = work.values.get_mut(&key)?;
        if bytes[index.clone()][16 * a..16 * a + 16] == bytes[index.clone()][16 * b..16 * b + 16] {
            return None;
        }
        for k in 0..16 {
            bytes.swap(index.start + 16 * a + k, index.start + 16 * b + k);
        }
        let note = format!("{key} entries {a}, {b}");
        if work.rng.once_in(3) {
            let known = index_covered(work, &path);
            return Some(Mutation::data("shard index: entries swapped", known, &path, note));
        }
        repair(work, &path, &key);
        return Some(Mutation::data("chunks swapped: same array", Known::No, &path, note));
    }
    let keys = work.keys(&path);
    let other = work.rng.pick(&keys);
    swap(work, &key, &other)?;
    Some(Mutation::data("chunks swapped: same array", Known::No, &path, format!("{key}, {other}")))
}

fn swap(work: &mut Work<'_>, a: &str, b: &str) -> Option<()> {
    if work.values[a] == work.values[b] {
        return None;
    }
    let first = std::mem::take(work.values.get_mut(a)?);
    let second = std::mem::replace(work.values.get_mut(b)?, first);
    *work.values.get_mut(a)? = second;
    Some(())
}

/// The files of two arrays change places.
pub(super) fn swap_files(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let (other_path, other) = work.file()?;
    if path == other_path {
        return None;
    }
    swap(work, &key, &other)?;
    let note = format!("{key}, {other}");
    let mut done = Mutation::data("files swapped: two arrays", Known::No, &path, note);
    done.touches.push(other_path);
    Some(done)
}

/// An entry of a shard's index says something else.
pub(super) fn index_entry(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key, index) = with_index(work)?;
    let len = work.values[&key].len() as u64;
    let pieces = work.pieces(&path, &key);
    if pieces.is_empty() {
        return None;
    }
    let piece = work.rng.pick(&pieces);
    let (start, size) = (piece.range.start as u64, piece.range.len() as u64);
    let huge = work.rng.pick(&[u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64, 1 << 40, len + 1]);
    // Only where the length of a chunk is that of its items does one byte more or less show by itself; compressed chunks
    // notice for other reasons.
    let (entry, known) = match work.rng.below(8) {
        0 => ([huge, size], Known::Structure),
        1 => ([start, huge], Known::Structure),
        2 => ([u64::MAX, size], Known::Structure),
        3 => ([start, u64::MAX], Known::Structure),
        4 => ([start, size + 1], Known::Structure),
        5 => ([start, size - 1], Known::Structure),
        6 => ([start + 1, size], Known::No),
        _ => ([start, 0], Known::Structure),
    };
    // A chunk that may begin one byte later is covered as before.
    let known = if known == Known::No { work.covered() } else { known };
    let at = index.start + 16 * piece.entry?;
    let bytes = work.values.get_mut(&key)?;
    bytes[at..at + 8].copy_from_slice(&entry[0].to_le_bytes());
    bytes[at + 8..at + 16].copy_from_slice(&entry[1].to_le_bytes());
    let note = format!("{key} {start}+{size} to {entry:?}");
    if work.shards(&path)?.checksum && work.rng.once_in(4) {
        return Some(Mutation::data("shard index: entry, checksum stale", Known::Checksum, &path, note));
    }
    repair(work, &path, &key);
    Some(Mutation::data("shard index: entry, checksum right", known, &path, note))
}

/// A chunk is gone: its file, or its entry in an index.
pub(super) fn drop_chunk(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let known = may_be_absent(&path);
    let kind = match known {
        Known::Structure => "chunk dropped: values, names",
        _ => "chunk dropped: fill value is legal",
    };
    if let Some(index) = sound_index(work, &path, &key)
        && work.rng.once_in(2)
    {
        let pieces = work.pieces(&path, &key);
        if pieces.is_empty() {
            return None;
        }
        let piece = work.rng.pick(&pieces);
        let at = index.start + 16 * piece.entry?;
        work.values.get_mut(&key)?[at..at + 16].fill(0xff);
        repair(work, &path, &key);
        return Some(Mutation::data(kind, known, &path, format!("{key} entry {:?}", piece.entry)));
    }
    work.values.remove(&key);
    Some(Mutation::data(kind, known, &path, key))
}

/// A chunk stands in the place of another, or where none belongs.
pub(super) fn duplicate(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, key) = work.file()?;
    let keys = work.keys(&path);
    let value = work.values[&key].clone();
    let to = if work.rng.once_in(3) { format!("{key}9") } else { work.rng.pick(&keys) };
    if to == key {
        return None;
    }
    work.values.insert(to.clone(), value);
    Some(Mutation::data("chunk duplicated", Known::No, &path, format!("{key} to {to}")))
}

/// All chunks of an array are gone, and its metadata with them.
pub(super) fn drop_array(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, _) = work.file()?;
    work.values.retain(|k, _| !k.starts_with(&format!("{path}/")));
    // In a consolidated store the array's own metadata is missed; else the array was never there. What must have it says so.
    let part = matches!(
        path.rsplit('/').next(),
        Some("data" | "indices" | "indptr" | "codes" | "categories" | "values" | "mask" | "_index")
    );
    let known = if work.layout().consolidated || part { Known::Structure } else { Known::No };
    Some(Mutation::metadata("array dropped", known, &path, path.clone()))
}
