//! An open store: its elements, its caches, its limits.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::{Body, Element, build};
use lazarr_format::metadata::{Hierarchy, Limit, Limits};
use lazarr_format::{Code, Error, Result};
use lazarr_store::{Io, Meter, Store, StoreOptions};

use crate::cache::IndexCache;
use crate::discover::{Documents, Walk, discover};
use crate::locate::locate;
use crate::memory::{cores, default_limit};
use crate::patience::{Interrupt, Patience};
use crate::pending::Pending;

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
    /// Bounds on metadata and on chunks.
    pub limits: Limits,
    /// Counts what opening reads, too.
    pub meter: Option<Arc<Meter>>,
    /// Follow symbolic links of a local store that lead out of it.
    pub follow_links: bool,
    /// Paths of elements that a store which cannot be listed is asked for, beside those that AnnData names:
    /// `obsm/X_pca`.
    pub names: Vec<String>,
    /// What a store over a network is opened with: credentials, endpoints, timeouts.
    pub storage: StoreOptions,
    /// The format of the store, 2 or 3, where it is known: a store of format 2 then opens with a request less.
    pub zarr_format: Option<u8>,
    /// Behave as a store that cannot list its keys (a plain web server): for tests, and to see what such a store shows.
    pub no_listing: bool,
    /// Refuse every read that a plan has not named: each call is planned first, without caches. For tests.
    pub audit: bool,
}

/// Shard indices are kept up to this many bytes.
pub(crate) const INDEX_CACHE: u64 = 64 << 20;

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
    notices: Vec<String>,
    unlisted: Vec<String>,
    /// What was found since, by names that were asked for; with the groups in it whose names are not known.
    probed: Mutex<Option<(Hierarchy, Element, Vec<String>)>>,
    /// Arrays whose own metadata was seen, beside the consolidated.
    pub(crate) verified: Mutex<HashSet<String>>,
    /// A hash of the store's name: part of the identity of its axes.
    pub(crate) identity: u64,
    /// Stores that were joined to this one, one after the other.
    laid: usize,
}

impl Session {
    /// Opens a path of the local file system (a directory, a zip archive, or an element in one of them:
    /// `store.zarr/obsm/X_pca`, `store.zip/obsm/X_pca`), or a URL of such: `s3://`, `gs://`, `az://`, `http(s)://`, `file://`.
    pub fn open(path: &str, options: Options) -> Result<Arc<Self>> {
        Self::open_with(path, options, None)
    }

    /// The same; `interrupt` is asked on this thread, at least every 100 ms, whether to stop.
    pub fn open_with(path: &str, options: Options, interrupt: Option<Interrupt<'_>>) -> Result<Arc<Self>> {
        let patience = Patience::new(interrupt);
        let store = locate(path, &options, &patience)?;
        Self::open_in(store, options, &patience)
    }

    /// The same as a future; see [`Pending`].
    pub fn open_async(path: &str, options: Options) -> Pending<Arc<Self>> {
        let path = path.to_owned();
        Pending::new(move |stop| Self::open_with(&path, options, Some(stop)))
    }

    /// Opens a store: reads its metadata and nothing else.
    pub fn open_store(store: Arc<dyn Store>, options: Options) -> Result<Arc<Self>> {
        Self::open_in(store, options, &Patience::new(None))
    }

    /// The same; `interrupt` is asked on this thread, at least every 100 ms, whether to stop.
    pub fn open_store_with(
        store: Arc<dyn Store>,
        options: Options,
        interrupt: Option<Interrupt<'_>>,
    ) -> Result<Arc<Self>> {
        Self::open_in(store, options, &Patience::new(interrupt))
    }

    fn open_in(store: Arc<dyn Store>, options: Options, patience: &Patience<'_>) -> Result<Arc<Self>> {
        let url = store.name();
        let io = Io::new(store);
        let io = if options.no_listing { io.without_listing() } else { io };
        let io = match &options.meter {
            Some(meter) => io.with_meter(meter.clone()),
            None => io,
        };
        let (hierarchy, unlisted) = discover(&io, &options, patience)?;
        let root = build(&hierarchy)?;
        let notices = notices(&url, &hierarchy, &root, &unlisted);
        let mut hash = DefaultHasher::new();
        url.hash(&mut hash);
        Ok(Arc::new(Self {
            // Reads of later calls that nobody measures do not count as part of opening.
            io: if options.meter.is_some() { io.with_meter(Arc::default()) } else { io },
            indices: IndexCache::new(INDEX_CACHE),
            zarr_format: hierarchy.zarr_format(),
            consolidated: hierarchy.consolidated(),
            options,
            notices,
            probed: Mutex::new((!unlisted.is_empty()).then(|| (hierarchy, root.clone(), Vec::new()))),
            unlisted,
            verified: Mutex::default(),
            root,
            url,
            identity: hash.finish(),
            laid: 0,
        }))
    }

    /// Another session over this one's store and others, with a tree of its own; opened as this one is.
    pub(crate) fn joined(&self, store: Arc<dyn Store>, root: Element, identity: u64) -> Arc<Self> {
        Arc::new(Self {
            io: Io::new(store),
            indices: IndexCache::new(INDEX_CACHE),
            options: Options { meter: None, ..self.options.clone() },
            root,
            zarr_format: self.zarr_format,
            consolidated: self.consolidated,
            url: self.url.clone(),
            notices: Vec::new(),
            unlisted: Vec::new(),
            probed: Mutex::default(),
            verified: Mutex::default(),
            identity,
            laid: self.laid + 1,
        })
    }

    /// A session over the stores of several, with a tree of its own; opened as the first of them, audited where any is, and
    /// bounded as the widest.
    pub(crate) fn of_parts(
        parts: &[&Self],
        store: Arc<dyn Store>,
        root: Element,
        identity: u64,
    ) -> Arc<Self> {
        let first = parts.first().map(|p| p.options.clone()).unwrap_or_default();
        let mut limits = first.limits;
        for part in parts {
            for limit in Limit::ALL {
                limits = limits.with(limit, limits.get(limit).max(part.options.limits.get(limit)));
            }
        }
        let audit = parts.iter().any(|p| p.options.audit);
        Arc::new(Self {
            url: store.name(),
            io: Io::new(store),
            indices: IndexCache::new(INDEX_CACHE),
            options: Options { meter: None, limits, audit, ..first },
            root,
            zarr_format: parts.iter().map(|p| p.zarr_format).max().unwrap_or(3),
            consolidated: parts.iter().any(|p| p.consolidated),
            notices: Vec::new(),
            unlisted: Vec::new(),
            probed: Mutex::default(),
            verified: Mutex::default(),
            identity,
            // Their mounts have numbers.
            laid: parts.len(),
        })
    }

    /// How many stores were joined to this one.
    pub(crate) fn laid(&self) -> usize {
        self.laid
    }

    /// The element at the root.
    pub fn root(&self) -> &Element {
        &self.root
    }

    /// The store as a person would name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What tells the store, with what is laid over it or joined to it, from others.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// Whether an array (by its path) is in memory: it was laid over the store.
    pub fn in_memory(&self, path: &str) -> bool {
        self.io.in_memory(path)
    }

    /// Where its bytes are.
    pub fn store(&self) -> &Arc<dyn Store> {
        self.io.store()
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

    /// What a person should know about the store, once: each a sentence with what mends it.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The mappings (by path, empty for the root) whose keys are not all known, because the store cannot be listed and has
    /// no consolidated metadata. What is in them opens by its path, see [`Session::element`] and [`Options::names`].
    pub fn unlisted(&self) -> &[String] {
        &self.unlisted
    }

    /// Whether the keys of this mapping are not all known: it is among [`Session::unlisted`], or was found since by its
    /// path.
    pub fn is_unlisted(&self, path: &str) -> bool {
        self.unlisted.iter().any(|p| p == path)
            || self
                .probed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .is_some_and(|(_, _, later)| later.iter().any(|p| p == path))
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
        self.options.threads.unwrap_or_else(cores).max(1)
    }

    /// The element at a path below the root. Where names are not known ([`Session::unlisted`]) the store is asked for it.
    pub fn element(&self, path: &str) -> Result<Element> {
        let path = path.trim_matches('/');
        let absent = match find(&self.root, path) {
            Ok(element) => return Ok(element),
            Err(e) => e,
        };
        let inside = |group: &&String| {
            group.is_empty() || path.strip_prefix(group.as_str()).is_some_and(|r| r.starts_with('/'))
        };
        if !self.unlisted.iter().any(|group| inside(&group)) {
            return Err(absent);
        }
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((hierarchy, root, later)) = &mut *probed else { return Err(absent) };
        if let Ok(element) = find(root, path) {
            return Ok(element);
        }
        // The nearest group that is known, be it found at first or since.
        let groups = self.unlisted.iter().chain(later.iter()).filter(inside);
        let group = groups.max_by_key(|g| g.len()).cloned().unwrap_or_default();
        let before = hierarchy.len();
        let names = [path.to_owned()];
        let patience = Patience::new(None);
        let documents = Documents::new(&self.io, &self.options, &patience);
        let mut walk = Walk { documents: &documents, names: &names, unlisted: Vec::new() };
        walk.run(hierarchy, &group)?;
        let new = walk.unlisted.into_iter().filter(|p| !later.contains(p)).collect::<Vec<_>>();
        later.extend(new);
        if hierarchy.len() > before {
            *root = build(hierarchy)?;
        }
        find(root, path).map_err(|e| {
            e.help("The store cannot be listed, so that only whole paths can be found: check the spelling")
        })
    }

    /// The element at a path below the root, if it is known without asking the store.
    pub(crate) fn known(&self, path: &str) -> Option<Element> {
        find(&self.root, path).ok().or_else(|| {
            let probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
            probed.as_ref().and_then(|(_, root, _)| find(root, path).ok())
        })
    }

    /// Forgets the shard indices that were read.
    pub fn clear_caches(&self) {
        self.indices.clear();
    }
}

/// The element at a path below another.
fn find(root: &Element, path: &str) -> Result<Element> {
    let mut at = root.clone();
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

/// What to say about a store that opens slowly or in part.
fn notices(url: &str, hierarchy: &Hierarchy, root: &Element, unlisted: &[String]) -> Vec<String> {
    let mend = format!("`zarr.consolidate_metadata({url:?})`");
    if !unlisted.is_empty() {
        let shown: Vec<_> =
            unlisted.iter().map(|p| if p.is_empty() { "the root" } else { p.as_str() }).collect();
        return vec![format!(
            "The store cannot be listed and its metadata is not consolidated: names that no AnnData must have are not \
             known, those in {}. Open them by their paths, or mend it where the store can be written: {mend}",
            shown.join(", ")
        )];
    }
    // An element of a store that is consolidated further up is not worth a word.
    if hierarchy.consolidated() || !matches!(root.body, Body::AnnData(_)) {
        return Vec::new();
    }
    vec![format!(
        "The metadata is not consolidated: opening read the documents of {} groups and arrays one by one. To read them \
         as one: {mend}",
        hierarchy.len()
    )]
}
