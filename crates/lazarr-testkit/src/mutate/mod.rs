//! Damage to good stores: what a broken disk, a bad copy, a wrong writer or a hostile person does.
//!
//! [`Damaged::new`] takes a good [`Sample`] and applies one to three [`Mutation`]s. Each says its kind, what it touches,
//! and whether a reader can know it ([`Known`]): a test that finds values changed without an error can tell whether that
//! is a defect.

mod bytes;
mod json;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::rng::Rng;
use crate::sample::Sample;
use crate::writer::{Layout, Shards, Writer};
use crate::zip::Zip;

/// Keys and values.
pub type Values = BTreeMap<String, Vec<u8>>;

/// Whether a reader can know that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Known {
    /// A checksum covers what was changed.
    Checksum,
    /// Something contradicts something else: a length, a grid, an invariant, the words of the format.
    Structure,
    /// Somebody who reads all of the element knows, but not everybody who reads a part of it.
    Whole,
    /// What is there now could have been written.
    No,
}

/// One thing that was done to a store.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// What was done, in the words of the table that a campaign prints.
    pub kind: &'static str,
    /// Whether a reader can know.
    pub known: Known,
    /// The paths of the nodes that it touches, with all that is below them; the empty path is the whole store.
    pub touches: Vec<String>,
    /// Whether metadata was changed.
    pub metadata: bool,
    /// Where and how, for a person.
    pub note: String,
}

impl Mutation {
    /// Damage to the bytes or the values of one array.
    fn data(kind: &'static str, known: Known, path: &str, note: String) -> Self {
        Self { kind, known, touches: vec![path.to_owned()], metadata: false, note }
    }

    /// Damage to metadata of a node.
    fn metadata(kind: &'static str, known: Known, path: &str, note: String) -> Self {
        Self { kind, known, touches: vec![path.to_owned()], metadata: true, note }
    }

    /// Whether what stands at a path can be changed by it: it is the same node, or one above or below it.
    pub fn touches(&self, path: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            outer.is_empty()
                || inner == outer
                || inner.strip_prefix(outer).is_some_and(|r| r.starts_with('/'))
        };
        self.touches.iter().any(|t| inside(t, path) || inside(path, t))
    }
}

/// A damaged store.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// What is in it.
    pub values: Values,
    /// What was done, in order.
    pub mutations: Vec<Mutation>,
    /// The archive that holds it, where it is in one.
    pub zip: Option<Vec<u8>>,
}

/// A store that is being damaged.
struct Work<'a> {
    rng: &'a mut Rng,
    writer: Writer,
    values: Values,
}

/// Tries one kind of damage; `None` where this store has nothing that it could be done to.
type Try = fn(&mut Work<'_>) -> Option<Mutation>;

/// Kinds of damage to values, which are then encoded validly: done before all others. With how often they are wanted.
const VALUES: &[(u64, Try)] = &[
    (3, values::indptr),
    (3, values::indices),
    (2, values::codes),
    (2, values::utf8),
    (3, values::lengths),
    (2, values::string_lengths),
    (1, values::chunk_length),
    (1, values::boolean),
    (2, values::other_value),
    (1, values::bomb),
];

/// Kinds of damage to stored bytes and to metadata.
const BYTES: &[(u64, Try)] = &[
    (8, bytes::flip),
    (3, bytes::overwrite),
    (4, bytes::flip_index),
    (4, bytes::cut),
    (2, bytes::extend),
    (2, bytes::empty),
    (3, bytes::swap_chunks),
    (3, bytes::swap_files),
    (3, bytes::index_entry),
    (4, bytes::drop_chunk),
    (2, bytes::duplicate),
    (1, bytes::drop_array),
    (3, json::field_deleted),
    (3, json::value_changed),
    (3, json::size),
    (2, json::size_broken),
    (2, json::name_swapped),
    (2, json::name_unknown),
    (2, json::type_broken),
    (2, json::encoding),
    (1, json::matrix_shape),
    (1, json::deep),
    (2, json::text_flipped),
    (1, json::text_cut),
    (1, json::dropped),
];

impl Damaged {
    /// One to three mutations of a good store.
    pub fn new(sample: &Sample, rng: &mut Rng) -> Self {
        let count = rng.pick(&[1, 1, 1, 2, 3]);
        let mut work = Work { rng, writer: sample.writer.clone(), values: Values::new() };
        let total = |list: &[(u64, Try)]| list.iter().map(|k| k.0).sum::<u64>();
        let (first, second) = (total(VALUES), total(BYTES));
        let wanted: Vec<bool> = (0..count).map(|_| work.rng.below(first + second) < first).collect();
        let mut mutations = Vec::new();
        for (list, of_values) in [(VALUES, true), (BYTES, false)] {
            if !of_values {
                work.values = work.writer.values();
            }
            for _ in wanted.iter().filter(|w| **w == of_values) {
                // What one kind cannot be done to, another can.
                for _ in 0..20 {
                    let mut at = work.rng.below(total(list));
                    let kind = list.iter().find(|(weight, _)| {
                        let here = at < *weight;
                        at = at.saturating_sub(*weight);
                        here
                    });
                    if let Some(done) = kind.and_then(|(_, kind)| kind(&mut work)) {
                        mutations.push(done);
                        break;
                    }
                }
            }
        }
        let Work { rng, values, .. } = work;
        let zip = rng.once_in(8).then(|| {
            let deflate = rng.once_in(2);
            let mut zip = Zip::of(&values, "", deflate).bytes();
            if rng.once_in(3) {
                mutations.push(archive(&mut zip, rng));
            }
            zip
        });
        Self { values, mutations, zip }
    }
}

/// Damage to an archive as a whole. Entries that are stored are read in part, without their CRC-32.
fn archive(zip: &mut Vec<u8>, rng: &mut Rng) -> Mutation {
    let at = rng.below(zip.len() as u64) as usize;
    if rng.once_in(3) {
        zip.truncate(at);
        return Mutation::metadata("zip: cut", Known::Structure, "", format!("at {at}"));
    }
    // The directory at the end is small: half of the flips go there.
    let at = if rng.once_in(2) { at } else { zip.len() - 1 - at % 400.min(zip.len()) };
    zip[at] ^= 1 << rng.below(8);
    Mutation::metadata("zip: bit flipped", Known::No, "", format!("byte {at}"))
}

/// A stored inner chunk, or a shard's index.
#[derive(Debug, Clone)]
struct Piece {
    key: String,
    path: String,
    range: Range<usize>,
    /// The number of the inner chunk in its shard, where there is one.
    entry: Option<usize>,
}

/// An array of a store, and what a chunk of it may mean when it is gone.
fn may_be_absent(path: &str) -> Known {
    match path.rsplit('/').next() {
        // Stored values, names and categories are never the fill value (DESIGN rule 10).
        Some("data" | "_index" | "categories") => Known::Structure,
        // Legal as a prefix of zeros, and where no row has two values in the chunk; also else the fill value may be right.
        _ => Known::No,
    }
}

impl Work<'_> {
    fn layout(&self) -> &Layout {
        self.writer.layout()
    }

    fn shards(&self, path: &str) -> Option<Shards> {
        let array = self.writer.arrays().get(path)?;
        self.layout().shards.filter(|_| self.layout().version == 3 && !array.shape.is_empty())
    }

    /// The keys of an array's chunks.
    fn keys(&self, path: &str) -> Vec<String> {
        let start = format!("{path}/");
        let keys = self.values.range(start.clone()..).map(|(k, _)| k).take_while(|k| k.starts_with(&start));
        let own = |k: &&String| !k.ends_with("zarr.json") && !k[start.len()..].starts_with(".z");
        keys.filter(own).cloned().collect()
    }

    /// The arrays that have chunks, each with them.
    fn stored(&self) -> Vec<(String, Vec<String>)> {
        let with = self.writer.arrays().keys().map(|path| (path.clone(), self.keys(path)));
        with.filter(|(_, keys)| !keys.is_empty()).collect()
    }

    /// The path and the key of some file of chunks. Small elements and large ones are as likely.
    fn file(&mut self) -> Option<(String, String)> {
        let stored = self.stored();
        if stored.is_empty() {
            return None;
        }
        let (path, keys) = self.rng.pick(&stored);
        Some((path, self.rng.pick(&keys)))
    }

    /// Where the index of a shard stands in its file, without its checksum.
    fn index_range(&self, path: &str, len: usize) -> Option<Range<usize>> {
        let shards = self.shards(path)?;
        let rank = self.writer.arrays()[path].shape.len() as u32;
        let entries = 16 * shards.per_axis.pow(rank) as usize;
        let sum = if shards.checksum { 4 } else { 0 };
        if shards.index_at_start {
            (entries + sum <= len).then_some(0..entries)
        } else {
            let start = len.checked_sub(entries + sum)?;
            Some(start..start + entries)
        }
    }

    /// The inner chunks in a file, as its index says.
    fn pieces(&self, path: &str, key: &str) -> Vec<Piece> {
        let bytes = &self.values[key];
        let piece = |range, entry| Piece { key: key.to_owned(), path: path.to_owned(), range, entry };
        if self.shards(path).is_none() {
            return vec![piece(0..bytes.len(), None)];
        }
        let Some(index) = self.index_range(path, bytes.len()) else { return Vec::new() };
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let entries = index.clone().step_by(16).enumerate();
        let found = entries.filter_map(|(i, at)| {
            let (start, len) = (word(at), word(at + 8));
            let end = start.checked_add(len)?;
            (end <= bytes.len() as u64).then(|| piece(start as usize..end as usize, Some(i)))
        });
        found.collect()
    }

    /// Some inner chunk with bytes in it.
    fn piece(&mut self) -> Option<Piece> {
        let (path, key) = self.file()?;
        let pieces: Vec<_> = self.pieces(&path, &key).into_iter().filter(|p| !p.range.is_empty()).collect();
        if pieces.is_empty() { None } else { Some(self.rng.pick(&pieces)) }
    }

    /// What is known where the bytes of chunks are changed.
    fn covered(&self) -> Known {
        if self.layout().codec.has_checksum() { Known::Checksum } else { Known::No }
    }
}
