//! What an array's files were when they were written: how many, of how many bytes, and a sum over them all.
//!
//! It stands in the array's own attributes, where other readers pass it by, and goes wherever the array's metadata goes. That
//! it is there says that every chunk was stored: one that is absent was lost.

use lazarr_format::encode::MANIFEST;
use lazarr_format::{ArrayMeta, Code, Error, Result};
use lazarr_store::{ByteRange, Io};

/// Counts files as they are written; the order does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) sum: u64,
}

impl Tally {
    /// A file: its key within the array, its bytes and their crc32c.
    pub(super) fn add(&mut self, key: &str, bytes: u64, crc: u32) {
        let text = format!("{key} {bytes} {crc:08x}");
        // Two halves, so that a sum of many stays apart from others.
        let low = crc32c::crc32c(text.as_bytes());
        let high = crc32c::crc32c_append(low, text.as_bytes());
        self.files += 1;
        self.bytes += bytes;
        self.sum = self.sum.wrapping_add(u64::from(high) << 32 | u64::from(low));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The manifest of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest(Tally);

impl Manifest {
    /// As the array's attributes have it; `None` where lazarr did not write it.
    pub fn of(array: &ArrayMeta) -> Option<Self> {
        let found = array.attributes.get(MANIFEST)?;
        let number = |name: &str| found.get(name).and_then(serde_json::Value::as_u64);
        let sum = u64::from_str_radix(found.get("sum")?.as_str()?, 16).ok()?;
        Some(Self(Tally { files: number("files")?, bytes: number("bytes")?, sum }))
    }
}

/// So many bytes of a file are read at a time.
const PIECE: u64 = 1 << 20;

/// Reads all files of an array and compares them with its manifest. `next` is told how many bytes it is about to take, at most
/// 1 MiB at a time, and may end it. An array
/// without a manifest is well.
///
/// Errors: `MissingChunk` where a file is absent, `ChunkChecksum` where bytes differ.
pub fn check_manifest(io: &Io, array: &ArrayMeta, next: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    let Some(Manifest(expected)) = Manifest::of(array) else { return Ok(()) };
    let found = files(io, array, 0, expected, next)?;
    if found != expected {
        return Err(Error::new(
            Code::ChunkChecksum,
            "the files of the array are not those that were written",
        )
        .element(&*array.path)
        .expected(format!("{} files, {} bytes, sum {:016x}", expected.files, expected.bytes, expected.sum))
        .found(format!("{} files, {} bytes, sum {:016x}", found.files, found.bytes, found.sum))
        .help("The store was damaged, or changed by another program since"));
    }
    Ok(())
}

/// What stays of an array's files where those from a row of the grid on are written anew; nothing is known of an array
/// without a manifest.
pub(super) fn without(io: &Io, array: &ArrayMeta, from: u64) -> Result<Tally> {
    let Some(Manifest(all)) = Manifest::of(array) else { return Ok(Tally::default()) };
    let gone = files(io, array, from, all, &mut |_| Ok(()))?;
    Ok(Tally {
        files: all.files.saturating_sub(gone.files),
        bytes: all.bytes.saturating_sub(gone.bytes),
        sum: all.sum.wrapping_sub(gone.sum),
    })
}

/// The files from a row of the grid on.
fn files(
    io: &Io,
    array: &ArrayMeta,
    first: u64,
    expected: Tally,
    next: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Tally> {
    let mut found = Tally::default();
    let mut piece = Vec::new();
    let mut grid = array.grid_shape();
    if let Some(rows) = grid.first_mut() {
        *rows = rows.saturating_sub(first);
    }
    let count = grid.iter().fold(1u64, |n, &m| n.saturating_mul(m));
    for i in 0..count {
        let mut at = vec![0; grid.len()];
        let mut rest = i;
        for (place, &n) in at.iter_mut().zip(&grid).rev() {
            *place = rest % n.max(1);
            rest /= n.max(1);
        }
        if let Some(row) = at.first_mut() {
            *row += first;
        }
        let key = array.chunk_key(&at);
        let Some(size) = io.size(&key, next)? else {
            return Err(Error::new(Code::MissingChunk, "a file is missing that was written")
                .element(&*array.path)
                .key(key)
                .expected(format!("{} files in the array", expected.files)));
        };
        // Shards are large: piece by piece.
        let (mut crc, mut from) = (0, 0);
        while from < size {
            let end = size.min(from + PIECE);
            piece.clear();
            if io.get(&key, &ByteRange::Range(from..end), next, &mut piece)?.is_none() {
                return Err(Error::new(Code::StoreChanged, "the file went away while it was read")
                    .element(&*array.path)
                    .key(key));
            }
            crc = crc32c::crc32c_append(crc, &piece);
            from = end;
        }
        found.add(array.keys.key(&at).as_str(), size, crc);
    }
    Ok(found)
}
