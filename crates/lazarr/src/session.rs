//! An open store: its elements, its caches, its limits.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::anndata::{Element, build};
use lazarr_format::metadata::{Hierarchy, Limits, Node, is_consolidated_v3, parse_json};
use lazarr_format::{ByteRange, Code, Error, Result};
use lazarr_store::{Io, LocalStore, Meter, Store};

use crate::cache::IndexCache;
use crate::memory::default_limit;

/// What absent chunks mean where the fill value cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// They are an error.
    #[default]
    Refuse,
    /// They are the fill value.
    Fill,
}

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bytes that a call may take; by default half of what the system leaves free.
    pub memory_limit: Option<u64>,
    /// Threads that fetch and decode; by default one a core.
    pub threads: Option<usize>,
    /// What absent chunks mean where the fill value cannot be right.
    pub missing: Missing,
    /// Bounds on metadata.
    pub limits: Limits,
    /// Counts what opening reads, too.
    pub meter: Option<Arc<Meter>>,
    /// Refuse every read that a plan has not named: each call is planned first, without caches. For tests.
    pub audit: bool,
}

/// Shard indices are kept up to this many bytes.
const INDEX_CACHE: u64 = 64 << 20;

/// An open store. Immutable but for its caches; shared by everything that was opened from it.
#[derive(Debug)]
pub struct Session {
    pub(crate) io: Io,
    pub(crate) indices: IndexCache,
    options: Options,
    root: Element,
    zarr_format: u8,
    consolidated: bool,
    url: String,
    /// A hash of the store's name: part of the identity of its axes.
    pub(crate) identity: u64,
}

impl Session {
    /// Opens a path of the local file system.
    pub fn open(path: &str, options: Options) -> Result<Arc<Self>> {
        if let Some((scheme, _)) = path.split_once("://")
            && scheme != "file"
        {
            return Err(Error::new(Code::StoreUrl, format!("`{scheme}://` stores cannot be opened"))
                .expected("a path of the local file system")
                .found(path));
        }
        let store = LocalStore::open(path.strip_prefix("file://").unwrap_or(path))?;
        Self::open_store(Arc::new(store), options)
    }

    /// Opens a store: reads its metadata and nothing else.
    pub fn open_store(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>> {
        let url = store.name();
        let io = Io::new(store);
        let io = match &options.meter {
            Some(meter) => io.with_meter(meter.clone()),
            None => io,
        };
        let hierarchy = discover(&io, &options.limits)?;
        let root = build(&hierarchy)?;
        let mut hash = DefaultHasher::new();
        url.hash(&mut hash);
        Ok(Arc::new(Self {
            // Reads of later calls that nobody measures do not count as part of opening.
            io: if options.meter.is_some() { io.with_meter(Arc::default()) } else { io },
            indices: IndexCache::new(INDEX_CACHE),
            zarr_format: hierarchy.zarr_format(),
            consolidated: hierarchy.consolidated(),
            options,
            root,
            url,
            identity: hash.finish(),
        }))
    }

    /// The element at the root.
    pub fn root(&self) -> &Element {
        &self.root
    }

    /// The store as a person would name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the store was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// 2 or 3.
    pub fn zarr_format(&self) -> u8 {
        self.zarr_format
    }

    /// Whether all metadata came in one read.
    pub fn consolidated(&self) -> bool {
        self.consolidated
    }

    /// What opening the store read, and all that was read since outside of a measured call.
    pub fn meter(&self) -> &Arc<Meter> {
        self.io.meter()
    }

    /// The memory limit of a call, in bytes.
    pub fn memory_limit(&self) -> u64 {
        self.options.memory_limit.unwrap_or_else(default_limit)
    }

    /// The threads of a call.
    pub fn threads(&self) -> usize {
        self.options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
            .max(1)
    }

    /// The element at a path below the root.
    pub fn element(&self, path: &str) -> Result<Element> {
        let path = path.trim_matches('/');
        let mut at = self.root.clone();
        let mut rest = path;
        while !rest.is_empty() {
            // A name may hold a slash where the format nests: the longest name that fits wins.
            let children = at.children();
            let found = children
                .into_iter()
                .filter(|(name, _)| {
                    rest == name || rest.strip_prefix(name.as_str()).is_some_and(|r| r.starts_with('/'))
                })
                .max_by_key(|(name, _)| name.len());
            let Some((name, child)) = found else {
                let names: Vec<String> = at.children().into_iter().map(|(n, _)| n).collect();
                return Err(Error::new(Code::ElementNotFound, format!("there is no element `{path}`"))
                    .expected(format!(
                        "one of {}",
                        lazarr_plan::nearest(rest.split('/').next().unwrap_or(rest), &names)
                    ))
                    .found(rest.to_owned()));
            };
            rest = rest[name.len()..].trim_start_matches('/');
            at = child;
        }
        Ok(at)
    }

    /// Forgets the shard indices that were read.
    pub fn clear_caches(&self) {
        self.indices.clear();
    }
}

/// Reads the metadata of a store: one read where it is consolidated (two in v2), else a bounded walk.
fn discover(io: &Io, limits: &Limits) -> Result<Hierarchy> {
    if let Some(bytes) = metadata(io, "zarr.json", limits)? {
        let map = parse_json(&bytes, "zarr.json", limits)?;
        if is_consolidated_v3(&map) {
            return Hierarchy::from_consolidated_v3(&map, limits);
        }
        let mut hierarchy = Hierarchy::new(3, limits);
        hierarchy.insert_v3("", &bytes)?;
        walk(io, &mut hierarchy, limits)?;
        return Ok(hierarchy);
    }
    if let Some(bytes) = metadata(io, ".zmetadata", limits)? {
        return Hierarchy::from_zmetadata(&parse_json(&bytes, ".zmetadata", limits)?, limits);
    }
    let files = node_v2(io, "", limits)?;
    if files.is_none() {
        return Err(Error::new(Code::StoreNotFound, format!("`{}` is not a Zarr store", io.store().name()))
            .expected("zarr.json, .zmetadata, .zgroup or .zarray")
            .found("none of them")
            .help("Check the path; a store inside another directory is opened by its whole path"));
    }
    let mut hierarchy = Hierarchy::new(2, limits);
    insert_v2(&mut hierarchy, "", files)?;
    walk(io, &mut hierarchy, limits)?;
    Ok(hierarchy)
}

fn metadata(io: &Io, key: &str, limits: &Limits) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let most = limits.metadata_bytes as u64;
    let found = io.get(key, &ByteRange::All, &mut |n| within(n, most, key), &mut out)?;
    Ok(found.map(|_| out))
}

fn within(bytes: u64, most: u64, key: &str) -> Result<()> {
    if bytes <= most {
        return Ok(());
    }
    Err(Error::new(Code::MetadataLimit, "a metadata document is too large")
        .key(key)
        .expected(format!("at most {most} bytes"))
        .found(format!("{bytes} bytes")))
}

type NodeV2 = [Option<Vec<u8>>; 3];

/// The documents of a v2 node; `None` where there are none.
fn node_v2(io: &Io, path: &str, limits: &Limits) -> Result<Option<NodeV2>> {
    let mut files: NodeV2 = Default::default();
    let listed = io.list(path)?;
    for (slot, name) in files.iter_mut().zip([".zgroup", ".zarray", ".zattrs"]) {
        if listed.as_ref().is_none_or(|l| l.files.iter().any(|f| f == name)) {
            *slot = metadata(io, &join(path, name), limits)?;
        }
    }
    Ok((files[0].is_some() || files[1].is_some()).then_some(files))
}

fn insert_v2(hierarchy: &mut Hierarchy, path: &str, files: Option<NodeV2>) -> Result<()> {
    let Some([zgroup, zarray, zattrs]) = files else { return Ok(()) };
    hierarchy.insert_v2(path, zgroup.as_deref(), zarray.as_deref(), zattrs.as_deref())
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// How many nodes are read at once in a walk.
const WALKERS: usize = 16;

enum Seen {
    V3(Option<Vec<u8>>),
    V2(Option<NodeV2>),
}

/// Reads the nodes below the root, level by level, several at a time.
fn walk(io: &Io, hierarchy: &mut Hierarchy, limits: &Limits) -> Result<()> {
    let mut level = vec![String::new()];
    while !level.is_empty() {
        let mut paths = Vec::new();
        for group in level {
            if matches!(hierarchy.get(&group), Some(Ok(Node::Group(_)))) {
                let listing = io.list(&group)?.ok_or_else(|| {
                    Error::new(Code::StoreIo, "the store cannot be listed and has no consolidated metadata")
                })?;
                paths.extend(listing.folders.iter().filter(|f| !f.starts_with('.')).map(|f| join(&group, f)));
            }
        }
        if hierarchy.len() + paths.len() > limits.nodes {
            return Err(Error::new(Code::MetadataLimit, "the store has too many nodes")
                .expected(format!("at most {}", limits.nodes))
                .found(format!("{} or more", hierarchy.len() + paths.len())));
        }
        let read = |path: &String| -> Result<Seen> {
            Ok(if hierarchy.zarr_format() == 3 {
                Seen::V3(metadata(io, &join(path, "zarr.json"), limits)?)
            } else {
                Seen::V2(node_v2(io, path, limits)?)
            })
        };
        let threads = WALKERS.min(paths.len().div_ceil(4)).max(1);
        let share = paths.len().div_ceil(threads).max(1);
        let read = &read;
        let seen: Vec<Result<Seen>> = std::thread::scope(|scope| {
            let parts: Vec<_> = paths
                .chunks(share)
                .map(|part| scope.spawn(move || part.iter().map(read).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|p| p.join().unwrap_or_default()).collect()
        });
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
