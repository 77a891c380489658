//! Where the inner chunks of a Zarr v3 array lie: what the generated stores use, and no more.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::codec::Codec;

/// One array.
pub(crate) struct Array {
    folder: PathBuf,
    pub(crate) shape: Vec<u64>,
    chunk: Vec<u64>,
    inner: Vec<u64>,
    /// Where the chunks of a rectilinear grid of one axis start.
    starts: Option<Vec<u64>>,
    /// Bytes of an item; `None` for strings.
    pub(crate) item: Option<usize>,
    codec: Codec,
    /// Bytes of a checksum behind each inner chunk.
    tail: usize,
    /// Whether the index of a shard is at its start, and is followed by a checksum.
    sharding: Option<(bool, bool)>,
    separator: String,
}

/// An encoded inner chunk.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) file: Arc<File>,
    /// Which file, for grouping.
    pub(crate) number: usize,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) tail: usize,
    pub(crate) codec: Codec,
}

/// The files that are open, numbered.
#[derive(Default)]
pub(crate) struct Files {
    open: HashMap<PathBuf, Option<(usize, Arc<File>)>>,
}

impl Files {
    fn get(&mut self, path: PathBuf) -> Result<Option<(usize, Arc<File>)>, String> {
        let number = self.open.len();
        if let Some(known) = self.open.get(&path) {
            return Ok(known.clone());
        }
        let found = match File::open(&path) {
            Ok(file) => Some((number, Arc::new(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        self.open.insert(path, found.clone());
        Ok(found)
    }
}

fn numbers(value: &Value) -> Result<Vec<u64>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no list"))?;
    list.iter().map(|v| v.as_u64().ok_or_else(|| format!("{v} is no size"))).collect()
}

/// The starts of the chunks of a grid of one axis: a list of lengths, or of lengths with their counts.
fn chunk_starts(shapes: &Value) -> Result<Vec<u64>, String> {
    let (mut starts, mut at) = (Vec::new(), 0);
    match shapes.as_array().map(Vec::as_slice) {
        Some([axis]) => {
            for edge in axis.as_array().ok_or("chunks of one length on a rectilinear grid")? {
                let (len, count) = match edge.as_u64() {
                    Some(len) => (len, 1),
                    None => match numbers(edge)?[..] {
                        [len, count] => (len, count),
                        _ => return Err(format!("{edge} is no length of chunks")),
                    },
                };
                for _ in 0..count {
                    starts.push(at);
                    at += len;
                }
            }
            Ok(starts)
        }
        _ => Err("a rectilinear grid of another rank".to_owned()),
    }
}

fn item_size(name: &str) -> Result<Option<usize>, String> {
    if name == "bool" {
        return Ok(Some(1));
    }
    if name == "string" {
        return Ok(None);
    }
    let bits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    bits.parse::<usize>().map(|n| Some(n / 8)).map_err(|_| format!("the data type {name} is not known here"))
}

/// The compressor of a chain, and the bytes of its checksum.
fn chain(codecs: &Value) -> Result<(Codec, usize), String> {
    let (mut codec, mut tail) = (Codec::Stored, 0);
    for entry in codecs.as_array().into_iter().flatten() {
        match entry["name"].as_str().unwrap_or_default() {
            "bytes" | "vlen-utf8" => {}
            "zstd" => codec = Codec::Zstd,
            "blosc" => codec = Codec::Blosc,
            "gzip" => codec = Codec::Gzip,
            "crc32c" => tail += 4,
            other => return Err(format!("the codec {other} is not known here")),
        }
    }
    Ok((codec, tail))
}

impl Array {
    /// Reads the metadata of the array.
    pub(crate) fn open(store: &Path, path: &str) -> Result<Self, String> {
        let folder = store.join(path);
        let text = std::fs::read(folder.join("zarr.json")).map_err(|error| format!("{path}: {error}"))?;
        let meta: Value = serde_json::from_slice(&text).map_err(|error| format!("{path}: {error}"))?;
        let grid = &meta["chunk_grid"];
        let (chunk, starts) = match grid["name"].as_str() {
            Some("regular") => (numbers(&grid["configuration"]["chunk_shape"])?, None),
            Some("rectilinear") => (vec![1], Some(chunk_starts(&grid["configuration"]["chunk_shapes"])?)),
            _ => return Err(format!("{path}: the grid {} is not known here", grid["name"])),
        };
        let first = &meta["codecs"][0];
        let (inner, codecs, sharding) = if first["name"] == "sharding_indexed" {
            let set = &first["configuration"];
            let checksum =
                set["index_codecs"].as_array().is_some_and(|c| c.iter().any(|c| c["name"] == "crc32c"));
            (
                numbers(&set["chunk_shape"])?,
                &set["codecs"],
                Some((set["index_location"] == "start", checksum)),
            )
        } else {
            (chunk.clone(), &meta["codecs"], None)
        };
        let (codec, tail) = chain(codecs).map_err(|error| format!("{path}: {error}"))?;
        let separator = meta["chunk_key_encoding"]["configuration"]["separator"].as_str().unwrap_or("/");
        Ok(Self {
            folder,
            shape: numbers(&meta["shape"])?,
            chunk,
            inner,
            starts,
            item: item_size(meta["data_type"].as_str().unwrap_or_default())?,
            codec,
            tail,
            sharding,
            separator: separator.to_owned(),
        })
    }

    /// The inner chunk along the first axis that this item is in.
    fn step_of(&self, item: u64) -> u64 {
        match &self.starts {
            Some(starts) => starts.partition_point(|start| *start <= item) as u64 - 1,
            None => item / self.inner.first().copied().unwrap_or(1),
        }
    }

    /// The inner chunks along the first axis.
    pub(crate) fn steps(&self) -> u64 {
        match self.shape.first() {
            None => 1,
            Some(0) => 0,
            Some(n) => self.step_of(n - 1) + 1,
        }
    }

    /// The inner chunks along the first axis that stretches of items touch, ascending, each once.
    pub(crate) fn touched(&self, stretches: impl Iterator<Item = (u64, u64)>) -> Vec<u64> {
        let mut found: Vec<u64> = Vec::new();
        for (start, stop) in stretches.filter(|(start, stop)| start < stop) {
            let next = found.last().map_or(0, |last| last + 1);
            found.extend(self.step_of(start).max(next)..=self.step_of(stop - 1));
        }
        found
    }

    /// Where the inner chunks lie whose place along the first axis is in `touched` (ascending); missing ones are left out.
    pub(crate) fn places(
        &self,
        touched: impl Iterator<Item = u64>,
        files: &mut Files,
    ) -> Result<Vec<Place>, String> {
        let per: Vec<u64> = self.chunk.iter().zip(&self.inner).map(|(c, i)| c / i).collect();
        let steps: Vec<u64> = self.shape.iter().zip(&self.inner).map(|(s, i)| s.div_ceil(*i)).collect();
        let others: u64 = steps.iter().skip(1).product();
        let mut indices: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut found = Vec::new();
        for first in touched {
            for rest in 0..others {
                let mut at = vec![first; usize::from(!self.shape.is_empty())];
                let mut left = rest;
                for n in steps.iter().skip(1).rev() {
                    at.insert(1, left % n);
                    left /= n;
                }
                let key: Vec<String> = at.iter().zip(&per).map(|(a, p)| (a / p).to_string()).collect();
                let name = if key.is_empty() {
                    "c".to_owned()
                } else {
                    format!("c{0}{1}", self.separator, key.join(&self.separator))
                };
                let Some((number, file)) = files.get(self.folder.join(name))? else { continue };
                let (offset, len) = match self.sharding {
                    None => (0, file.metadata().map_err(|e| e.to_string())?.len()),
                    Some(sharding) => {
                        if let std::collections::hash_map::Entry::Vacant(slot) = indices.entry(number) {
                            slot.insert(read_index(&file, per.iter().product(), sharding)?);
                        }
                        let within = at.iter().zip(&per).fold(0, |n, (a, p)| n * p + a % p) as usize;
                        let entry = &indices[&number][within * 16..within * 16 + 16];
                        let word =
                            |i: usize| entry[i..i + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
                        (word(0), word(8))
                    }
                };
                if offset != u64::MAX {
                    let (tail, codec) = (self.tail, self.codec);
                    found.push(Place { file, number, offset, len: len as usize, tail, codec });
                }
            }
        }
        Ok(found)
    }
}

fn read_index(file: &File, entries: u64, (at_start, checksum): (bool, bool)) -> Result<Vec<u8>, String> {
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    let len = 16 * entries + if checksum { 4 } else { 0 };
    let mut bytes = vec![0; len as usize];
    let offset =
        if at_start { 0 } else { size.checked_sub(len).ok_or("a shard is shorter than its index")? };
    file.read_exact_at(&mut bytes, offset).map_err(|e| e.to_string())?;
    Ok(bytes)
}
