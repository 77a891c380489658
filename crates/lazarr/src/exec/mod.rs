//! The executor: one loop over reads. Fetch, decode, place.
//!
//! Threads are made for a call and end with it: nothing survives a fork, nothing is shared between calls but caches and
//! the ledger. The caller's own thread is one of them; it alone asks whether the caller wants to stop.

pub(crate) mod carry;
pub(crate) mod convert;
mod desk;
pub(crate) mod far;
mod feed;
pub(crate) mod lanes;
pub(crate) mod sink;
mod worker;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lazarr_format::metadata::{Limit, Limits};
use lazarr_format::shard::ShardIndex;
use lazarr_format::{ArrayMeta, ByteRange, Code, Error, Profile, Result, Version};
use lazarr_plan::{ArrayRead, IndexState, Part, Role, WorkStream};
use lazarr_store::Io;

use crate::buffer::Target;
use crate::cache::IndexCache;
use crate::call::index_range;
use crate::ledger::{Budget, Charge};
use crate::patience::{Leaving, POLL, Patience};
use carry::Carrying;
use sink::Sink;
use worker::Worker;

/// One read and where it goes.
pub(crate) struct Job<'a> {
    pub(crate) read: &'a ArrayRead,
    pub(crate) sink: &'a dyn Sink,
}

/// What an execution works with.
pub(crate) struct Exec<'a> {
    pub(crate) io: &'a Io,
    pub(crate) indices: &'a IndexCache,
    pub(crate) budget: &'a Budget,
    /// Absent shards of row starts: these are asked for twice in one call, and answered once.
    pub(crate) absent: &'a Mutex<HashSet<String>>,
    /// In a consolidated store: the arrays whose own metadata was seen, by path.
    pub(crate) verified: Option<&'a Mutex<HashSet<String>>>,
    /// `missing="fill"`: absent chunks are the fill value, whatever is known of them.
    pub(crate) lenient: bool,
    /// In a block of a stream: the chunks that are handed on.
    pub(crate) carrying: Option<&'a Carrying>,
    /// Bounds on the bytes of a chunk.
    pub(crate) limits: &'a Limits,
    pub(crate) threads: usize,
    pub(crate) patience: &'a Patience<'a>,
}

/// Small requests are taken together, until they hold this many chunks.
const TAKE: usize = 16;

/// What the threads of one execution share.
struct Shared<'a, 'b> {
    source: Mutex<Source<'a, 'b>>,
    /// There may be work again, or none will come.
    more: Condvar,
    stop: AtomicBool,
    /// Results whose pages are made first, and how far that has come, in pieces.
    fresh: Vec<Target>,
    made: AtomicUsize,
}

/// So many bytes of a fresh result are made at a time: a fraction of a millisecond, so that threads that start late have
/// their share.
const PIECE: usize = 2 << 20;

struct Source<'a, 'b> {
    jobs: std::vec::IntoIter<(usize, &'b Job<'a>)>,
    /// Streams with work, the next last: of a job, and above it of shards whose index has come.
    open: Vec<(usize, WorkStream<'b>)>,
    /// Indices that are being fetched.
    fetching: usize,
}

impl<'a, 'b> Shared<'a, 'b> {
    fn lock(&self) -> MutexGuard<'_, Source<'a, 'b>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exec<'_> {
    /// A chunk was decoded to so many bytes.
    fn count_chunk(&self, read: &ArrayRead, bytes: u64) {
        if !self.io.in_memory(&read.array.path) {
            self.io.meter().add_chunk(bytes);
        }
    }

    /// A chunk that is not there was filled.
    fn count_filled(&self, read: &ArrayRead) {
        if !self.io.in_memory(&read.array.path) {
            self.io.meter().add_filled();
        }
    }

    /// The profile, with requests cut to what the budget allows.
    pub(crate) fn profile(&self) -> Profile {
        let profile = self.io.profile();
        let share = self.budget.limit() / (8 * self.threads.max(1) as u64);
        Profile { max_request: profile.max_request.min(share.max(64 << 10)), ..profile }
    }

    /// Does all reads; returns when every chunk is placed, or with the first error. `ahead`: shards whose indices come too.
    pub(crate) fn run(&self, jobs: &[Job<'_>], ahead: &[(ArrayRead, String)]) -> Result<()> {
        for (carrying, job) in self.carrying.iter().flat_map(|c| jobs.iter().map(move |j| (c, j))) {
            carrying.place(job, self.budget).map_err(|e| e.element(&*job.read.array.path))?;
        }
        let profile = self.profile();
        // What cannot be divided comes first, the largest before all: threads end together.
        let mut order: Vec<_> = jobs.iter().enumerate().collect();
        order.sort_by_key(|(_, job)| Reverse(chunk_bytes(&job.read.array)));
        let source = Source { jobs: order.into_iter(), open: Vec::new(), fetching: 0 };
        let shared = Shared {
            source: Mutex::new(source),
            more: Condvar::new(),
            stop: AtomicBool::new(false),
            fresh: jobs.iter().filter_map(|j| j.sink.fresh()).filter(|t| t.fresh_bytes() > 0).collect(),
            made: AtomicUsize::new(0),
        };
        let threads = self.threads_of(jobs.iter().map(|j| j.read));
        if profile.is_distant() {
            return self.run_far(jobs, ahead, &shared, threads);
        }
        let work = |is_caller: bool| -> Result<()> {
            let mut worker = Worker::new(self, is_caller);
            let result = worker.run(jobs, &shared, profile);
            if result.is_err() {
                shared.stop.store(true, Relaxed);
                shared.more.notify_all();
            }
            result
        };
        self.spread(threads, &shared.stop, &work)
    }

    /// Does the same on some threads, of which the caller's is one; the first error ends it.
    pub(crate) fn spread(
        &self,
        threads: usize,
        stop: &AtomicBool,
        work: &(dyn Fn(bool) -> Result<()> + Sync),
    ) -> Result<()> {
        if threads <= 1 {
            return work(true);
        }
        let caller = std::thread::current();
        self.patience.halt(false);
        // A thread that wakes the caller has not ended yet: so it is counted, not asked.
        let busy = AtomicUsize::new(threads - 1);
        let helper = || {
            let _leaving = Leaving::new(&busy, &caller);
            let result = work(false);
            if result.is_err() {
                self.patience.halt(true);
            }
            result
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(helper)).collect();
            let mut result = work(true);
            // The others may be busy for long yet: the caller can still stop them.
            while self.patience.ends() && result.is_ok() && busy.load(Acquire) > 0 {
                std::thread::park_timeout(POLL);
                result = self.poll();
                stop.fetch_or(result.is_err(), Relaxed);
            }
            // Nobody waits on for what nobody wants any more.
            if result.is_err() {
                self.patience.halt(true);
            }
            for helper in helpers {
                let theirs = helper.join().unwrap_or_else(|_| {
                    Err(Error::new(Code::Internal, "a thread ended unexpectedly").help("Please report this"))
                });
                // The first real error, not the "stopped" that it causes in the others.
                if result.is_ok()
                    || result.as_ref().is_err_and(|e| e.code() == Code::Interrupted && theirs.is_err())
                {
                    result = theirs;
                }
            }
            result
        })
    }

    /// As many threads as there is work for, and as the budget can feed.
    pub(crate) fn threads_of<'r>(&self, reads: impl Iterator<Item = &'r ArrayRead> + Clone) -> usize {
        let chunks = reads.clone().map(ArrayRead::chunk_count).fold(0u64, u64::saturating_add);
        let bytes: u64 = reads
            .clone()
            .map(|r| r.chunk_count().saturating_mul(chunk_bytes(&r.array)))
            .fold(0, u64::saturating_add);
        if chunks < 2 || bytes < 128 << 10 {
            return 1; // a thread costs more than it brings
        }
        let need = thread_bytes(reads, self.profile()).max(1);
        let fits = (self.budget.left() / need).clamp(1, 1024) as usize;
        self.threads.min(fits).min(chunks.try_into().unwrap_or(usize::MAX)).max(1)
    }

    /// Asks whether to stop, where it was not asked lately. On the caller's thread only.
    pub(crate) fn poll(&self) -> Result<()> {
        self.patience.poll()
    }

    /// Whether to go on waiting for a store.
    pub(crate) fn wait(&self) -> Result<()> {
        self.patience.wait()
    }

    /// Whether the index of a shard is known without reading.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.indices.get(key).is_some()
            || self.absent.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Where a chunk is absent: that the writer of the array has not said that all are stored.
    fn refuse_lost(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        let array = &read.array;
        if self.lenient || !array.attributes.contains_key(lazarr_format::encode::MANIFEST) {
            return Ok(());
        }
        Err(Error::new(Code::MissingChunk, "a chunk is missing, and all chunks of this array were written")
            .element(&*array.path)
            .key(array.chunk_key(&array.shard_of(at)))
            .expected(format!("inner chunk {at:?}"))
            .help(format!(
                "Copy the store again, or read with missing=\"fill\". Where another program has changed the array since, take \
                 the attribute `{}` from it",
                lazarr_format::encode::MANIFEST
            )))
    }

    /// Where a chunk is absent and may be: that consolidated metadata does not name an array which is gone, with all its
    /// chunks. Asked once for each array.
    fn verify(&self, array: &ArrayMeta) -> Result<()> {
        let Some(verified) = self.verified else { return Ok(()) };
        // Locked while it is asked, so that one thread does.
        let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.contains(&array.path) {
            return Ok(());
        }
        let file = if array.zarr_format == 2 { ".zarray" } else { "zarr.json" };
        let key = if array.path.is_empty() { file.to_owned() } else { format!("{}/{file}", array.path) };
        if !self.io.exists(&key, &mut |_| self.wait())? {
            return Err(Error::new(
                Code::MissingChunk,
                "the array is gone: consolidated metadata names it, but its chunks and its own metadata are absent",
            )
            .element(&*array.path)
            .key(key)
            .help("Copy the store again, or bring its metadata up to date with `zarr.consolidate_metadata`"));
        }
        verified.insert(array.path.clone());
        Ok(())
    }

    /// Makes one request: where its bytes begin in the value of the key, or `None` where there is none.
    fn fetch(
        &self,
        read: &ArrayRead,
        (key, range, version): (&str, &ByteRange, Option<Version>),
        parts: &[Part],
        encoded: &mut Vec<u8>,
        charge: &mut Charge,
    ) -> Result<Option<u64>> {
        encoded.clear();
        let element = &read.array.path;
        let within = |bytes: u64| encoded_within(self.limits, bytes).map_err(|e| e.element(element).key(key));
        // A chunk that is a value of its own tells its length when it is read.
        let whole = parts.iter().any(|part| part.bytes.is_none());
        parts.iter().filter_map(|p| p.bytes.as_ref()).try_for_each(|r| within(r.end - r.start))?;
        let mut need = 0u64;
        let reserve = &mut |n| {
            if n == 0 {
                return self.wait();
            }
            need = need.saturating_add(n);
            if whole {
                within(need)?;
            }
            charge.grow_to(need, "a request")
        };
        let found = self.io.get(key, range, reserve, encoded).map_err(|e| {
            // Its index was within the shard when it was read.
            if version.is_none() || e.code() != Code::ChunkLength {
                return e;
            }
            self.indices.forget(key);
            changed(key).source(e)
        })?;
        let Some(found) = found else {
            if version.is_some() {
                self.indices.forget(key);
                return Err(changed(key));
            }
            return Ok(None);
        };
        if version.is_some_and(|v| v != found.version) {
            self.indices.forget(key);
            return Err(changed(key));
        }
        Ok(Some(match range {
            ByteRange::Range(r) => r.start,
            _ => 0,
        }))
    }

    /// The index of a shard, from the cache or the store.
    pub(crate) fn shard_index(&self, read: &ArrayRead, key: &str) -> Result<IndexState> {
        if let Some(state) = self.indices.get(key) {
            return Ok(state);
        }
        let remember = read.role == Role::Indptr;
        if self.absent.lock().unwrap_or_else(PoisonError::into_inner).contains(key) {
            return Ok(IndexState::Absent);
        }
        let array = &read.array;
        let mut charge = self.budget.open();
        let mut raw = Vec::new();
        let range = index_range(array);
        let locate = |e: Error| e.element(&*array.path).key(key);
        let found = {
            let reserve = &mut |n| if n == 0 { self.wait() } else { charge.grow(n, "a shard index") };
            self.io.get(key, &range, reserve, &mut raw)
        };
        let found = found.map_err(|e| match e.code() {
            Code::ChunkLength => {
                locate(Error::new(Code::ShardIndex, "the shard is shorter than its index").source(e))
            }
            _ => locate(e),
        })?;
        charge.shrink_to(raw.len() as u64); // a store may have needed more for a while
        let state = match found {
            None => {
                if remember {
                    self.absent.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
                }
                IndexState::Absent
            }
            Some(found) => {
                let index = ShardIndex::parse(&raw, array, found.total).map_err(locate)?;
                IndexState::Present(Arc::new(index), found.version)
            }
        };
        self.indices.put(key, &state, charge, self.budget.limit() / 4);
        Ok(state)
    }
}

/// A chunk of this array, decoded, in bytes: of strings a guess, which decides only who does what and when.
fn chunk_bytes(array: &ArrayMeta) -> u64 {
    array.inner_bytes().unwrap_or_else(|| array.inner_len().saturating_mul(32))
}

/// What one thread holds beside the result while it works on these reads, in bytes: the largest request, the largest
/// decoded chunk, and what the codecs need.
pub(crate) fn thread_bytes<'r>(reads: impl Iterator<Item = &'r ArrayRead>, profile: Profile) -> u64 {
    let (mut encoded, mut decoded) = (0, 0);
    for read in reads {
        encoded = largest_request(read, profile).max(encoded);
        decoded = decoded_bytes(read).max(decoded);
    }
    // Twice: a thread that keeps its largest request may read a shard's index.
    decoded.saturating_add(encoded).saturating_add(profile.overhead.saturating_mul(2))
}

/// The most bytes that one request of a read may bring.
fn largest_request(read: &ArrayRead, profile: Profile) -> u64 {
    let chunk = chunk_bytes(&read.array);
    // Data that cannot be compressed grows by less than this. Merged chunks come with the gaps between them.
    let one = chunk.saturating_add(chunk / 64 + 4096);
    if read.array.sharding.is_none() {
        return one;
    }
    let gaps = profile.max_gap().saturating_mul(read.chunk_count().saturating_sub(1));
    let merged = one.saturating_mul(read.chunk_count()).saturating_add(gaps).min(profile.max_request);
    one.max(merged)
}

/// The largest decoded chunk of a read, and what its codecs need.
fn decoded_bytes(read: &ArrayRead) -> u64 {
    let chunk = chunk_bytes(&read.array);
    chunk.saturating_add(read.array.chain.scratch_bytes(chunk))
}

/// That the stored bytes of a chunk are not beyond the limit.
fn encoded_within(limits: &Limits, bytes: u64) -> Result<()> {
    if bytes <= limits.encoded_bytes() {
        return Ok(());
    }
    // What the limit must be, so that this is within a sixty-fourth of it.
    let needed = bytes - bytes / 65;
    Err(limits.exceeded(Limit::ChunkBytes, "a chunk is too large to be read", Some(needed)))
}

fn resize(buffer: &mut Vec<u8>, bytes: u64) -> Result<()> {
    let len = bytes as usize;
    if buffer.len() < len {
        buffer.try_reserve_exact(len - buffer.len()).map_err(|e| {
            Error::new(Code::OutOfMemory, format!("{bytes} bytes could not be allocated")).source(e)
        })?;
        buffer.resize(len, 0);
    }
    Ok(())
}

fn changed(key: &str) -> Error {
    Error::new(Code::StoreChanged, "the shard was changed while it was read, or since it was first read")
        .key(key)
        .help("Open the store again")
}
