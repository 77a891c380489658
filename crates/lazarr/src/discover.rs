//! Finding out what a store holds: its metadata, all of it, and nothing else.

mod probe;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lazarr_format::metadata::{
    Hierarchy, Limit, Limits, Node, is_consolidated_v3, metadata_memory, parse_json,
};
use lazarr_format::{ByteRange, Code, Error, Result};
use lazarr_plan::human_bytes;
use lazarr_store::{Io, Listing};

use crate::memory::default_limit;
use crate::patience::Patience;
use crate::session::Options;

/// Reads the metadata of a store: one read where it is consolidated (two in v2, unless the format is given), else a bounded
/// walk; with the groups whose names could not be known.
pub(crate) fn discover(
    io: &Io,
    options: &Options,
    patience: &Patience<'_>,
) -> Result<(Hierarchy, Vec<String>)> {
    let limits = &options.limits;
    let documents = Documents::new(io, options, patience);
    let mut walk = Walk { documents: &documents, names: &options.names, unlisted: Vec::new() };
    let absent = |names: &str| {
        Error::new(Code::StoreNotFound, format!("`{}` is not a Zarr store", io.store().name()))
            .expected(names.to_owned())
            .found("none of them")
            .help("Check the path; a store inside another directory is opened by its whole path")
    };
    // Where listing is not allowed, S3 forbids what is not there.
    let mut forbidden = None;
    let mut get = |key: &str| match documents.get(key) {
        Err(e) if e.code() == Code::Forbidden => {
            forbidden.get_or_insert(e);
            Ok(None)
        }
        got => got,
    };
    if options.zarr_format != Some(2) {
        if let Some(bytes) = get("zarr.json")? {
            let map = parse_json(&bytes, "zarr.json", limits)?;
            if is_consolidated_v3(&map) {
                return Ok((Hierarchy::from_consolidated_v3(&map, limits)?, Vec::new()));
            }
            let mut hierarchy = Hierarchy::new(3, limits);
            hierarchy.insert_v3("", &bytes)?;
            walk.run(&mut hierarchy, "")?;
            return Ok((hierarchy, walk.unlisted));
        }
        if options.zarr_format == Some(3) {
            return Err(forbidden.unwrap_or_else(|| absent("zarr.json")));
        }
    }
    if let Some(bytes) = get(".zmetadata")? {
        let map = parse_json(&bytes, ".zmetadata", limits)?;
        return Ok((Hierarchy::from_zmetadata(&map, limits)?, Vec::new()));
    }
    if let Some(forbidden) = forbidden {
        return Err(forbidden);
    }
    let Some(files) = documents.node_v2("")? else {
        return Err(absent("zarr.json, .zmetadata, .zgroup or .zarray"));
    };
    let mut hierarchy = Hierarchy::new(2, limits);
    insert_v2(&mut hierarchy, "", Some(files))?;
    walk.run(&mut hierarchy, "")?;
    Ok((hierarchy, walk.unlisted))
}

/// Reads documents of metadata, up to the limit of them all together.
pub(crate) struct Documents<'a> {
    io: &'a Io,
    limits: &'a Limits,
    bytes: AtomicU64,
    /// What the documents may take in memory, where it was said, and take.
    memory: Option<u64>,
    taken: AtomicU64,
    /// Asked while a document is waited for.
    patience: &'a Patience<'a>,
}

/// Metadata may take so much beside the memory limit: what it takes is known only from above.
const FREE: u64 = 32 << 20;

type NodeV2 = [Option<Vec<u8>>; 3];

impl<'a> Documents<'a> {
    /// With nothing read so far.
    pub(crate) fn new(io: &'a Io, options: &'a Options, patience: &'a Patience<'a>) -> Self {
        let (limits, memory) = (&options.limits, options.memory_limit);
        Self { io, limits, bytes: AtomicU64::new(0), memory, taken: AtomicU64::new(0), patience }
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let (mut out, mut held) = (Vec::new(), 0);
        let reserve = &mut |n: u64| {
            if n == 0 {
                return self.patience.wait();
            }
            held += n;
            let bytes = self.bytes.fetch_add(n, Relaxed).saturating_add(n);
            if bytes <= self.limits.get(Limit::MetadataBytes) {
                return Ok(());
            }
            let what = if bytes == n {
                "the metadata is too large"
            } else {
                "the metadata of the store is too large"
            };
            Err(self.limits.exceeded(Limit::MetadataBytes, what, Some(bytes)).key(key))
        };
        let found = self.io.get(key, &ByteRange::All, reserve, &mut out);
        // What was refused is not there, nor is what a store needs beside a document to read it.
        let kept = if found.is_ok() { out.len() as u64 } else { 0 };
        self.bytes.fetch_add(kept, Relaxed);
        self.bytes.fetch_sub(held, Relaxed);
        if found?.is_none() {
            return Ok(None);
        }
        let needs = metadata_memory(&out, self.limits);
        let taken = self.taken.fetch_add(needs, Relaxed).saturating_add(needs);
        if taken <= FREE {
            return Ok(Some(out));
        }
        // The system is asked for what it leaves only where that decides something.
        let memory = self.memory.unwrap_or_else(default_limit);
        if taken > memory.saturating_add(FREE) {
            return Err(Error::new(Code::MemoryLimit, "the metadata does not fit into the memory limit")
                .key(key)
                .expected(format!("at most {} in all", human_bytes(memory)))
                .found(format!("about {} for {} of text", human_bytes(taken), human_bytes(out.len() as u64)))
                .help(format!("Raise memory_limit to {} or more", human_bytes(taken))));
        }
        Ok(Some(out))
    }

    /// How many threads ask for so many things at once.
    fn threads(&self, items: usize) -> usize {
        let profile = self.io.profile();
        if profile.is_distant() { profile.slots.min(items) } else { WALKERS.min(items.div_ceil(4)) }.max(1)
    }

    fn list(&self, path: &str) -> Result<Option<Listing>> {
        self.io.list(path, &mut |_| self.patience.wait())
    }

    /// The documents of a v2 node; `None` where there are none.
    fn node_v2(&self, path: &str) -> Result<Option<NodeV2>> {
        let mut files: NodeV2 = Default::default();
        let listed = self.list(path)?;
        for (slot, name) in files.iter_mut().zip([".zgroup", ".zarray", ".zattrs"]) {
            if listed.as_ref().is_none_or(|l| l.files.iter().any(|f| f == name)) {
                *slot = self.get(&join(path, name))?;
            }
        }
        Ok((files[0].is_some() || files[1].is_some()).then_some(files))
    }
}

fn insert_v2(hierarchy: &mut Hierarchy, path: &str, files: Option<NodeV2>) -> Result<()> {
    let Some([zgroup, zarray, zattrs]) = files else { return Ok(()) };
    hierarchy.insert_v2(path, zgroup.as_deref(), zarray.as_deref(), zattrs.as_deref())
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// How many nodes are read at once in a walk where nothing is far.
const WALKERS: usize = 16;

enum Seen {
    V3(Option<Vec<u8>>),
    V2(Option<NodeV2>),
}

/// A walk over the nodes of a store.
pub(crate) struct Walk<'a> {
    pub(crate) documents: &'a Documents<'a>,
    /// Paths to ask for where names cannot be listed.
    pub(crate) names: &'a [String],
    /// The groups whose names were asked for, and may not be all.
    pub(crate) unlisted: Vec<String>,
}

impl Walk<'_> {
    /// Reads the nodes below a group, level by level, several at a time.
    pub(crate) fn run(&mut self, hierarchy: &mut Hierarchy, group: &str) -> Result<()> {
        let (documents, limits) = (self.documents, self.documents.limits);
        let mut level = vec![group.to_owned()];
        while !level.is_empty() {
            level.retain(|group| matches!(hierarchy.get(group), Some(Ok(Node::Group(_)))));
            let list = |group: &String| documents.list(group);
            let listed = documents.patience.each(&level, documents.threads(level.len()), &list)?;
            let mut paths = Vec::new();
            for (group, listing) in level.into_iter().zip(listed) {
                paths.extend(self.names(hierarchy, &group, listing?).iter().map(|name| join(&group, name)));
            }
            if hierarchy.len() + paths.len() > limits.nodes {
                let nodes = (hierarchy.len() + paths.len()) as u64;
                let what = "the store has too many groups and arrays";
                return Err(limits.exceeded(Limit::Nodes, what, Some(nodes)));
            }
            let format = hierarchy.zarr_format();
            let read = |path: &String| -> Result<Seen> {
                Ok(if format == 3 {
                    Seen::V3(documents.get(&join(path, "zarr.json"))?)
                } else {
                    Seen::V2(documents.node_v2(path)?)
                })
            };
            let seen = documents.patience.each(&paths, documents.threads(paths.len()), &read)?;
            let mut next = Vec::new();
            for (path, seen) in paths.into_iter().zip(seen) {
                match seen {
                    Ok(Seen::V3(Some(bytes))) => hierarchy.insert_v3(&path, &bytes)?,
                    Ok(Seen::V2(Some(files))) => insert_v2(hierarchy, &path, Some(files))?,
                    Ok(_) => continue, // a folder that is no node
                    Err(e) => hierarchy.insert_error(&path, e)?,
                }
                next.push(path);
            }
            level = next;
        }
        Ok(())
    }

    /// The names to look for in a group: all there are, where the store can say.
    fn names(&mut self, hierarchy: &Hierarchy, group: &str, listing: Option<Listing>) -> Vec<String> {
        if let Some(listing) = listing {
            return listing.folders.into_iter().filter(|f| !f.starts_with('.')).collect();
        }
        let (mut names, all) = probe::names(hierarchy, group);
        if !all {
            self.unlisted.push(group.to_owned());
        }
        for path in self.names {
            let path = path.trim_matches('/');
            let below = if group.is_empty() {
                Some(path)
            } else {
                path.strip_prefix(group).and_then(|p| p.strip_prefix('/'))
            };
            names
                .extend(below.and_then(|b| b.split('/').next()).filter(|n| !n.is_empty()).map(str::to_owned));
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| {
            let path = join(group, name);
            is_plain(name) && hierarchy.get(&path).is_none() && seen.insert(path)
        });
        names
    }
}

/// Whether a name from an attribute stays below its group. What it should not be, its reader says.
fn is_plain(name: &str) -> bool {
    name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0')
}
