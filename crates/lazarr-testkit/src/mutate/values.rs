//! Damage to values, which are then encoded validly: what a writer with a defect would leave.

use lazarr_format::DataType;

use super::{Known, Mutation, Work};
use crate::array::{Array, Items};

/// Some array whose path ends so, with something in it.
fn some(work: &mut Work<'_>, want: impl Fn(&str, &Array) -> bool) -> Option<(String, Array)> {
    let arrays: Vec<_> =
        work.writer.arrays().iter().filter(|(p, a)| !a.shape.contains(&0) && want(p, a)).collect();
    if arrays.is_empty() {
        return None;
    }
    let (path, array) = arrays[work.rng.below(arrays.len() as u64) as usize];
    Some((path.clone(), array.clone()))
}

fn ends(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

/// The integer at a place, and a way to put another there.
fn get(array: &Array, i: usize) -> i64 {
    let Items::Fixed(bytes) = &array.items else { return 0 };
    let size = array.dtype.item_size().unwrap_or(1);
    let mut wide = [0; 8];
    wide[..size].copy_from_slice(&bytes[i * size..(i + 1) * size]);
    i64::from_le_bytes(wide)
}

/// Puts an integer; `None` where the type cannot hold it.
fn put(array: &mut Array, i: usize, value: i64) -> Option<()> {
    let fits = match array.dtype {
        DataType::Int(8) => true,
        DataType::UInt(8) => value >= 0,
        DataType::Int(n) => (-(1 << (8 * n - 1))..1 << (8 * n - 1)).contains(&value),
        DataType::UInt(n) => (0..1i64 << (8 * n)).contains(&value),
        _ => false,
    };
    let size = array.dtype.item_size()?;
    let Items::Fixed(bytes) = &mut array.items else { return None };
    if !fits {
        return None;
    }
    bytes[i * size..(i + 1) * size].copy_from_slice(&value.to_le_bytes()[..size]);
    Some(())
}

/// Row starts that do not ascend, do not begin with 0, or do not end with the number of values.
pub(super) fn indptr(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, mut array) = some(work, |p, _| ends(p, "indptr"))?;
    array.omit_zeros = false;
    let n = array.shape[0] as usize;
    let nnz = get(&array, n - 1);
    let i = work.rng.below(n as u64) as usize;
    let before = get(&array, i);
    let (value, known) = match work.rng.below(4) {
        0 => (work.rng.pick(&[-1, i64::MIN, -7]), Known::Structure),
        1 => (nnz + work.rng.pick(&[1, 2, 1000, 1 << 33]), Known::Structure),
        // The two that are between their neighbours' bounds show where both neighbours are read.
        2 if i > 0 && get(&array, i - 1) > 0 => (get(&array, i - 1) - 1, Known::Whole),
        _ if i + 1 < n && get(&array, i + 1) < nnz => (get(&array, i + 1) + 1, Known::Whole),
        _ => return None,
    };
    put(&mut array, i, value)?;
    work.writer.array(&path, &array);
    let kind = if known == Known::Whole { "indptr: falls" } else { "indptr: outside of the values" };
    Some(Mutation::data(kind, known, &path, format!("{path}[{i}] {before} to {value}")))
}

/// A column that the matrix does not have.
pub(super) fn indices(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, mut array) = some(work, |p, _| ends(p, "indices"))?;
    let i = work.rng.below(array.shape[0]) as usize;
    // No matrix here has 120 rows or columns.
    let value = work.rng.pick(&[-1, 120, 127, 255, 32_767, 1 << 31, i64::MAX, i64::MIN]);
    put(&mut array, i, value)?;
    work.writer.array(&path, &array);
    Some(Mutation::data("indices: out of range", Known::Structure, &path, format!("{path}[{i}] to {value}")))
}

/// A code without a category.
pub(super) fn codes(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, mut array) = some(work, |p, _| ends(p, "codes"))?;
    let i = work.rng.below(array.shape[0]) as usize;
    let value = work.rng.pick(&[-2, 4, 5, 127, -128]);
    put(&mut array, i, value)?;
    work.writer.array(&path, &array);
    Some(Mutation::data("codes: out of range", Known::Structure, &path, format!("{path}[{i}] to {value}")))
}

/// The parts of a chunk of strings: the place of its length and its bytes.
fn chunk_of_strings(work: &mut Work<'_>) -> Option<(String, Array, Vec<u64>, Vec<u8>)> {
    let (path, array) = some(work, |_, a| matches!(a.items, Items::Strings(_)))?;
    let at = work.rng.pick(&array.grid());
    let bytes = array.chunk_bytes(&at, false, false)?;
    Some((path, array, at, bytes))
}

/// Puts bytes in the place of a chunk's.
fn replace(work: &mut Work<'_>, path: &str, mut array: Array, at: &[u64], bytes: Vec<u8>) {
    array.replaced.retain(|(a, _)| a != at);
    array.replaced.push((at.to_vec(), bytes));
    work.writer.array(path, &array);
}

/// Text that is not UTF-8.
pub(super) fn utf8(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, array, at, mut bytes) = chunk_of_strings(work)?;
    // The places of text: behind the count and the lengths.
    let mut texts = Vec::new();
    let mut place = 4;
    while place + 4 <= bytes.len() {
        let len = u32::from_le_bytes(bytes[place..place + 4].try_into().ok()?) as usize;
        // Lengths may have been damaged before.
        texts.extend(place + 4..(place + 4 + len).min(bytes.len()));
        place += 4 + len;
    }
    if texts.is_empty() {
        return None;
    }
    let i = work.rng.pick(&texts);
    *bytes.get_mut(i)? = work.rng.pick(&[0xff, 0xc0, 0xf8]);
    replace(work, &path, array, &at, bytes);
    Some(Mutation::data("strings: not UTF-8", Known::Structure, &path, format!("{path} {at:?} byte {i}")))
}

/// Lengths of strings that do not add up.
pub(super) fn string_lengths(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, array, at, mut bytes) = chunk_of_strings(work)?;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (place, old) = if work.rng.once_in(2) { (0, word(&bytes, 0)) } else { (4, word(&bytes, 4)) };
    let value = work.rng.pick(&[old + 1, old.wrapping_sub(1), 0, u32::MAX, 1 << 31, 1 << 24]);
    // The length of the last string of a chunk of one may be anything only if the chunk is as long.
    if value == old || bytes.len() < 8 {
        return None;
    }
    bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
    // Another length of the first string moves those behind it: it adds up only by chance, which is not taken away here.
    let known = if place == 0 { Known::Structure } else { Known::No };
    replace(work, &path, array, &at, bytes);
    let note = format!("{path} {at:?} word {place} {old} to {value}");
    Some(Mutation::data("strings: lengths do not add up", known, &path, note))
}

/// A chunk that holds more or less than its shape says.
pub(super) fn chunk_length(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, array) = some(work, |_, _| true)?;
    let at = work.rng.pick(&array.grid());
    let mut bytes = array.chunk_bytes(&at, false, false)?;
    let len = bytes.len();
    let to = work.rng.pick(&[0, len - 1, len + 1, len + 8, 2 * len]);
    bytes.resize(to, 0);
    replace(work, &path, array, &at, bytes);
    let note = format!("{path} {at:?} {len} to {to} bytes");
    Some(Mutation::data("chunk: decodes to another length", Known::Structure, &path, note))
}

/// Parts of an element that do not have the same length.
pub(super) fn lengths(work: &mut Work<'_>) -> Option<Mutation> {
    let parts = ["data", "indices", "indptr", "mask", "values", "codes", "_index"];
    let (path, mut array) =
        some(work, |p, a| a.shape.len() == 1 && (parts.iter().any(|n| ends(p, n)) || p.starts_with("obs/")))?;
    if ends(&path, "categories") {
        return None;
    }
    let n = array.shape[0];
    let to = work.rng.pick(&[n + 1, n - 1, 2 * n, 0]);
    array.shape[0] = to;
    match &mut array.items {
        Items::Fixed(bytes) => bytes.resize(to as usize * array.dtype.item_size()?, 0),
        Items::Strings(items) => items.resize(to as usize, "x".into()),
    }
    array.replaced.clear();
    work.writer.array(&path, &array);
    if ends(&path, "_index") {
        // Names by themselves are whole; that what lies along them has another length is found there.
        let mut done = Mutation::metadata("axis of another length", Known::No, &path, format!("{n} to {to}"));
        done.touches = vec![String::new()];
        return Some(done);
    }
    let note = format!("{path} {n} to {to}");
    Some(Mutation::metadata("parts of different lengths", Known::Structure, &path, note))
}

/// A boolean that is neither.
pub(super) fn boolean(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, mut array) = some(work, |_, a| a.dtype == DataType::Bool)?;
    let i = work.rng.below(array.shape[0]) as usize;
    let Items::Fixed(bytes) = &mut array.items else { return None };
    bytes[i] = work.rng.pick(&[2, 0x80, 0xff]);
    work.writer.array(&path, &array);
    Some(Mutation::data("booleans: neither 0 nor 1", Known::Structure, &path, format!("{path}[{i}]")))
}

/// Another value that could have been meant.
pub(super) fn other_value(work: &mut Work<'_>) -> Option<Mutation> {
    let (path, mut array) = some(work, |p, a| !ends(p, "indptr") && a.dtype != DataType::Bool)?;
    match &mut array.items {
        Items::Fixed(bytes) => {
            let i = work.rng.below(bytes.len() as u64) as usize;
            bytes[i] = work.rng.number() as u8;
        }
        Items::Strings(items) => {
            let i = work.rng.below(items.len() as u64) as usize;
            items[i] = work.rng.pick(&["", "other", "ü", "cell0-ü", "T cell"]).into();
        }
    }
    work.writer.array(&path, &array);
    Some(Mutation::data("another value", Known::No, &path, path.clone()))
}

/// A chunk that is small in the store and large in memory.
pub(super) fn bomb(work: &mut Work<'_>) -> Option<Mutation> {
    let text = work.rng.once_in(2);
    let (path, array) = some(work, |_, a| matches!(a.items, Items::Strings(_)) == text)?;
    let at = work.rng.pick(&array.grid());
    let size = work.rng.pick(&[1usize << 20, 12 << 20, 40 << 20]);
    // Valid strings may be long: nobody can know that they were not meant.
    let (bytes, known) = if text && work.rng.once_in(2) {
        let items = array.chunk.iter().product::<u64>() as usize;
        let mut bytes = (items as u32).to_le_bytes().to_vec();
        bytes.extend((size as u32).to_le_bytes());
        bytes.resize(8 + size, b'a');
        bytes.resize(bytes.len() + 4 * (items - 1), 0);
        (bytes, Known::No)
    } else {
        (vec![0; size], Known::Structure)
    };
    replace(work, &path, array, &at, bytes);
    let kind = if known == Known::No { "bomb: long strings" } else { "bomb: chunk of zeros" };
    Some(Mutation::data(kind, known, &path, format!("{path} {at:?} {size} bytes")))
}
