//! What lies in a store, file by file: how much each group and array takes, and what belongs to none of them.

use std::collections::BTreeMap;

use lazarr_format::metadata::{Hierarchy, Node};
use lazarr_format::{ArrayRef, Code, Error, Result};

use crate::discover::discover;
use crate::patience::Patience;
use crate::session::{Options, Session};

/// What something takes in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes as they are stored, metadata included.
    pub bytes: u64,
    /// Values (files) of the store, metadata included.
    pub files: u64,
    /// Those that are chunks, or shards where an array is sharded.
    pub chunks: u64,
    /// Bytes of metadata documents.
    pub metadata_bytes: u64,
}

impl std::ops::AddAssign for Space {
    fn add_assign(&mut self, other: Self) {
        for (a, b) in [
            (&mut self.bytes, other.bytes),
            (&mut self.files, other.files),
            (&mut self.chunks, other.chunks),
            (&mut self.metadata_bytes, other.metadata_bytes),
        ] {
            *a = a.saturating_add(b);
        }
    }
}

/// Something in a store that belongs to no group and no array of its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The key of a file, or of a folder with all that is in it.
    pub key: String,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Whether it is a group or an array, which consolidated metadata does not name.
    pub node: bool,
}

/// What lies in a store; see [`Inventory::take`].
#[derive(Debug, Default)]
pub struct Inventory {
    /// Each group and array by its path, with what is its own.
    own: BTreeMap<String, Space>,
    /// Groups and arrays whose own documents are not in the store, though consolidated metadata names them.
    gone: Vec<String>,
    strays: Vec<Stray>,
    more: u64,
}

/// So many strays are named; the others are counted.
const STRAYS: usize = 1000;

const DOCUMENTS: [&str; 5] = ["zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"];

impl Inventory {
    /// Lists the whole store and asks for the size of each value; reads metadata, no chunk. Nothing is kept for a file.
    /// Errors with `Operation` where the store cannot be listed.
    pub fn take(session: &Session) -> Result<Self> {
        let io = &session.io;
        let options = Options { names: Vec::new(), ..session.options().clone() };
        let (hierarchy, _) = discover(io, &options, &Patience::new(None))?;
        let mut out = Self::default();
        // A folder, and the node that what lies in it belongs to (its path is the start of the folder's).
        let mut open = vec![(String::new(), Owner::of(&hierarchy, ""))];
        while let Some((folder, owner)) = open.pop() {
            let Some(listing) = io.list(&folder, &mut |_| Ok(()))? else {
                return Err(Error::new(Code::Operation, "the store cannot be listed")
                    .help("Copy it to a local directory to see what it takes there"));
            };
            let described = |file: &str| DOCUMENTS.contains(&file);
            if let Some(path) = owner.node.as_deref().filter(|p| *p == folder) {
                out.own.entry(path.to_owned()).or_default();
                if !listing.files.iter().any(|f| described(f)) && !owner.implicit {
                    out.gone.push(path.to_owned());
                }
            } else if owner.node.is_none() && listing.files.iter().any(|f| described(f)) {
                out.mark_node(&folder);
            }
            for file in listing.files {
                let key = join(&folder, &file);
                let bytes = io.size(&key, &mut |_| Ok(()))?.unwrap_or(0);
                out.add(&owner, &folder, &file, key, bytes);
            }
            for name in listing.folders {
                let path = join(&folder, &name);
                let next = match Owner::of(&hierarchy, &path) {
                    own @ Owner { node: Some(_), .. } => own,
                    // What lies below an array is its own; below a group, nobody's.
                    _ if owner.array.is_some() || owner.broken || owner.node.is_none() => owner.clone(),
                    nobody => {
                        out.stray(path.clone(), 0, 0);
                        nobody
                    }
                };
                open.push((path, next));
            }
        }
        out.missing_nodes(&hierarchy);
        Ok(out)
    }

    /// Bytes of the files at and below a path, documents included; None where there are more files than `most`, or where
    /// the store cannot be listed. Asks for names and sizes, and for nothing else.
    pub fn stored(session: &Session, path: &str, most: u64) -> Result<Option<u64>> {
        let (mut bytes, mut files) = (0u64, 0u64);
        let mut open = vec![path.to_owned()];
        while let Some(folder) = open.pop() {
            let Some(listing) = session.io.list(&folder, &mut |_| Ok(()))? else { return Ok(None) };
            files += listing.files.len() as u64 + listing.folders.len() as u64;
            if files > most {
                return Ok(None);
            }
            for file in listing.files {
                let size = session.io.size(&join(&folder, &file), &mut |_| Ok(()))?;
                bytes = bytes.saturating_add(size.unwrap_or(0));
            }
            open.extend(listing.folders.iter().map(|name| join(&folder, name)));
        }
        Ok(Some(bytes))
    }

    fn add(&mut self, owner: &Owner, folder: &str, file: &str, key: String, bytes: u64) {
        let Some(path) = &owner.node else {
            return self.add_to_stray(&key, bytes);
        };
        let document = owner.broken || folder == path && DOCUMENTS.contains(&file);
        let place = owner.array.as_ref().and_then(|array| {
            let relative = key.get(if path.is_empty() { 0 } else { path.len() + 1 }..)?;
            let at = array.keys.place(relative, array.shape.len())?;
            array.grid_shape().iter().zip(&at).all(|(n, i)| i < n).then_some(())
        });
        if !document && place.is_none() {
            return self.stray(key, 1, bytes);
        }
        let space = Space {
            bytes,
            files: 1,
            chunks: u64::from(!document),
            metadata_bytes: if document { bytes } else { 0 },
        };
        *self.own.entry(path.clone()).or_default() += space;
    }

    fn stray(&mut self, key: String, files: u64, bytes: u64) {
        if self.strays.len() < STRAYS {
            self.strays.push(Stray { key, files, bytes, node: false });
        } else {
            self.more += 1;
        }
    }

    /// Adds to the stray folder that this key lies in.
    fn add_to_stray(&mut self, key: &str, bytes: u64) {
        let within = |s: &&mut Stray| key.strip_prefix(&*s.key).is_some_and(|r| r.starts_with('/'));
        // The last that was found is the one that is walked.
        if let Some(stray) = self.strays.iter_mut().rev().find(within) {
            stray.files += 1;
            stray.bytes = stray.bytes.saturating_add(bytes);
        }
    }

    fn mark_node(&mut self, folder: &str) {
        for stray in self.strays.iter_mut().rev() {
            if folder == stray.key || folder.strip_prefix(&*stray.key).is_some_and(|r| r.starts_with('/')) {
                stray.node = true;
                return;
            }
        }
    }

    /// Nodes of the metadata that have no folder at all.
    fn missing_nodes(&mut self, hierarchy: &Hierarchy) {
        for (path, node) in hierarchy.iter() {
            if node.is_ok() && !self.own.contains_key(path) && !path.is_empty() {
                self.gone.push(path.to_owned());
            }
        }
        self.gone.sort_unstable();
        self.gone.dedup();
    }

    /// What is stored at and below a path; the empty path is everything that belongs to a group or an array.
    pub fn below(&self, path: &str) -> Space {
        let mut sum = Space::default();
        if path.is_empty() {
            self.own.values().for_each(|s| sum += *s);
            return sum;
        }
        sum += self.own(path);
        // `0` follows `/`.
        let inside = format!("{path}/")..format!("{path}0");
        self.own.range(inside).for_each(|(_, s)| sum += *s);
        sum
    }

    /// What a group or an array takes itself, without those below it.
    pub fn own(&self, path: &str) -> Space {
        self.own.get(path).copied().unwrap_or_default()
    }

    /// Groups and arrays that consolidated metadata names and that have no documents in the store.
    pub fn gone(&self) -> &[String] {
        &self.gone
    }

    /// What belongs to nothing: at most a thousand, see [`Inventory::more_strays`].
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// How many strays there are beside those that are named.
    pub fn more_strays(&self) -> u64 {
        self.more
    }
}

/// What the files of a folder belong to.
#[derive(Debug, Clone, Default)]
struct Owner {
    node: Option<String>,
    array: Option<ArrayRef>,
    /// Nothing describes the group, and nothing has to.
    implicit: bool,
    /// Its metadata is not understood: what lies below it may be its own.
    broken: bool,
}

impl Owner {
    fn of(hierarchy: &Hierarchy, path: &str) -> Self {
        let node = Some(path.to_owned());
        match hierarchy.get(path) {
            None => Self::default(),
            Some(Ok(Node::Array(array))) => Self { node, array: Some(array.clone()), ..Self::default() },
            Some(Ok(Node::Group(_))) => {
                Self { node, implicit: hierarchy.is_implicit(path), ..Self::default() }
            }
            Some(Err(_)) => Self { node, implicit: true, broken: true, ..Self::default() },
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
