//! Lanes: reads that are walked side by side, for what needs the chunks of several arrays at once and keeps none of them.
//!
//! A lane is a stretch of the selection. One thread walks it from its beginning to its end: of its reads it decodes, again
//! and again, the next chunk of the one that is behind, and hands on what the chunks have in common. Chunks of different
//! lengths meet like this, each is decoded once, and what one thread holds is a chunk of each array. Whatever the number
//! of threads, a lane sees the same items in the same order: sums are the same to the last bit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use lazarr_format::codec::Scratch;
use lazarr_format::{Code, Error, Fill, Result};
use lazarr_plan::{ArrayRead, Coord, IndexState, Part, Work, WorkStream};

use super::desk::Desk;
use super::feed::{Feed, Place, Request};
use super::{Exec, POLL, decoded_bytes, largest_request, resize};
use crate::ledger::Charge;

/// A chunk of each read of a lane.
pub(crate) struct Met<'a> {
    /// What the chunks have in common, along the first axis.
    pub(crate) span: Range<u64>,
    /// The place of each chunk, and its items.
    pub(crate) chunks: &'a [(Coord, &'a [u8])],
}

/// What is made of the chunks of a lane.
pub(crate) trait Reduce: Sync {
    /// What a thread begins a lane with. `wait` is asked, now and then, whether to wait on for other lanes.
    fn begin(&self, lane: usize, wait: &mut dyn FnMut() -> Result<()>) -> Result<Partial>;

    /// Adds chunks to it.
    fn add(&self, partial: &mut Partial, reads: &[ArrayRead], met: &Met<'_>) -> Result<()>;

    /// Whether an absent chunk may be the fill value; an error where it may not.
    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()>;

    /// Takes what a lane came to.
    fn end(&self, lane: usize, partial: Partial) -> Result<()>;
}

/// The sums of a lane.
pub(crate) struct Partial {
    /// The first result that they are for.
    pub(crate) first: usize,
    /// So many numbers for each.
    pub(crate) sums: Vec<f64>,
    pub(crate) _charge: Charge,
}

/// A stage that is walked in lanes.
#[allow(clippy::struct_field_names, reason = "the lanes of a stage of lanes")]
pub(crate) struct Lanes<'p> {
    /// The reads of each lane.
    pub(crate) lanes: &'p [Vec<ArrayRead>],
    /// Bytes that a thread holds beside its chunks.
    pub(crate) sums: u64,
    /// What is made of them.
    pub(crate) reduce: &'p dyn Reduce,
}

/// What one thread holds while it walks such lanes, but for the sums.
pub(crate) fn lane_bytes(exec: &Exec<'_>, lane: &[ArrayRead]) -> u64 {
    let profile = exec.profile();
    let decoded = lane.iter().map(decoded_bytes).fold(0, u64::saturating_add);
    let requests = |shared: bool| {
        let of = lane.iter().filter(move |read| exec.shares(read) == shared);
        of.map(|read| largest_request(read, profile))
    };
    let encoded = requests(false).fold(requests(true).max().unwrap_or(0), u64::saturating_add);
    decoded.saturating_add(encoded).saturating_add(profile.overhead.saturating_mul(2 * lane.len() as u64))
}

impl Exec<'_> {
    /// What lanes take, in threads' worth: from afar requests are made ahead, as many as the store has slots.
    pub(crate) fn lane_threads(&self) -> usize {
        let profile = self.io.profile();
        if profile.is_distant() { self.threads.max(profile.slots) } else { self.threads }
    }

    /// Whether nothing is left of a request of this read once a chunk of it is decoded: so the next one, of whichever read,
    /// goes to the same place.
    fn shares(&self, read: &ArrayRead) -> bool {
        read.array.sharding.is_none() && !self.io.profile().is_distant()
    }

    /// Walks all lanes.
    pub(crate) fn run_lanes(&self, Lanes { lanes, sums, reduce }: Lanes<'_>) -> Result<()> {
        let need = lanes.first().map_or(0, |lane| lane_bytes(self, lane)).saturating_add(sums).max(1);
        let fits = (self.budget.left() / need).clamp(1, 1024) as usize;
        let threads = self.threads.min(fits).min(lanes.len()).max(1);
        let (next, stop, fetching) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(()));
        // Each walker holds a request of each of its reads, and asks for more of them ahead.
        let profile = self.io.profile();
        let most = self.lane_threads().min(fits) / threads;
        let ahead = if profile.is_distant() { most.saturating_sub(1).min(profile.slots) } else { 0 };
        let feed = (ahead > 0).then(|| Feed::new(ahead, threads));
        let fetchers = feed.as_ref().map_or(0, |_| profile.slots);
        let started = AtomicUsize::new(1);
        let work = |is_caller: bool| -> Result<()> {
            let role = if is_caller { 0 } else { started.fetch_add(1, Relaxed) };
            if let Some(feed) = feed.as_ref().filter(|_| role >= threads) {
                let result = feed.serve(self);
                stop.fetch_or(result.is_err(), Relaxed);
                return result;
            }
            let mut walker = Walker {
                exec: self,
                is_caller,
                stop: &stop,
                fetching: &fetching,
                slots: Vec::new(),
                spare: (Vec::new(), self.budget.open()),
                feed: feed.as_ref(),
            };
            let result = loop {
                let lane = next.fetch_add(1, Relaxed);
                let Some(reads) = lanes.get(lane) else { break Ok(()) };
                let walked = reduce.begin(lane, &mut || walker.check()).and_then(|mut partial| {
                    walker.walk(reads, reduce, &mut partial)?;
                    reduce.end(lane, partial)
                });
                if walked.is_err() {
                    break walked;
                }
            };
            stop.fetch_or(result.is_err(), Relaxed);
            // It goes back to the desk with the first of them.
            if let Some(slot) = walker.slots.first_mut().filter(|slot| slot.encoded.capacity() == 0) {
                slot.encoded = std::mem::take(&mut walker.spare.0);
            }
            if let Some(feed) = &feed {
                feed.leave();
            }
            result
        };
        self.spread(threads + fetchers, &stop, &work)
    }
}

/// What a lane will need next.
enum Asked {
    Fill(Vec<Coord>),
    Bytes(Arc<Request>, Option<Place>),
}

/// The bytes of one read that a thread holds.
struct Slot {
    scratch: Scratch,
    encoded: Vec<u8>,
    decoded: Vec<u8>,
    charges: [Charge; 2],
    /// Chunks that were fetched or are the fill value, and not come yet.
    parts: VecDeque<Part>,
    fill: bool,
    /// What was asked for ahead, in order; and whether that is all.
    asked: VecDeque<Asked>,
    ended: bool,
    /// Where the fetched bytes are from.
    key: String,
    base: u64,
    /// The bytes of the chunk that is decoded.
    bytes: Range<u64>,
    /// The chunk that is decoded, and what it spans.
    at: Coord,
    span: Range<u64>,
}

struct Walker<'e, 'a> {
    exec: &'e Exec<'a>,
    is_caller: bool,
    stop: &'e AtomicBool,
    /// Locked while the index of a shard is fetched: neighbouring lanes want the same.
    fetching: &'e Mutex<()>,
    slots: Vec<Slot>,
    /// Where fetched bytes of the reads that share go, while none of them holds it ([`Exec::shares`]).
    spare: (Vec<u8>, Charge),
    feed: Option<&'e Feed>,
}

impl Walker<'_, '_> {
    fn check(&self) -> Result<()> {
        if self.stop.load(Relaxed) {
            return Err(Error::new(Code::Interrupted, "stopped"));
        }
        if self.is_caller { self.exec.poll() } else { Ok(()) }
    }

    fn walk(&mut self, reads: &[ArrayRead], reduce: &dyn Reduce, partial: &mut Partial) -> Result<()> {
        let profile = self.exec.profile();
        while self.slots.len() < reads.len() {
            self.slots.push(Slot::new(self.exec));
        }
        let mut streams: Vec<WorkStream<'_>> = reads.iter().map(|read| read.work(profile)).collect();
        for slot in &mut self.slots {
            slot.parts.clear();
            slot.asked.clear();
            slot.ended = false;
            slot.span = 0..0;
        }
        loop {
            self.check()?;
            // The one that is behind; with several axes a read is alone.
            let behind = (0..reads.len()).min_by_key(|&k| self.slots[k].span.end);
            let Some(k) = behind else { return Ok(()) };
            if !self.next(k, &mut streams[k], reduce).map_err(|e| e.element(&*reads[k].array.path))? {
                return Ok(());
            }
            let spans = self.slots[..reads.len()].iter().map(|s| &s.span);
            let span = spans.fold(0..u64::MAX, |a, b| a.start.max(b.start)..a.end.min(b.end));
            if span.start < span.end {
                let chunks: smallvec::SmallVec<[(Coord, &[u8]); 2]> =
                    self.slots.iter().zip(reads).map(|(s, read)| (s.at.clone(), s.items(read))).collect();
                reduce
                    .add(partial, reads, &Met { span, chunks: &chunks })
                    .map_err(|e| self.locate(e, reads))?;
            }
        }
    }

    /// Decodes the next chunk of a read; false after the last.
    fn next(&mut self, k: usize, stream: &mut WorkStream<'_>, reduce: &dyn Reduce) -> Result<bool> {
        let (exec, fetching, feed) = (self.exec, self.fetching, self.feed);
        let read = stream.read();
        while self.slots[k].parts.is_empty() {
            let slot = &mut self.slots[k];
            // The next one, and those that are asked for ahead.
            while !slot.ended && slot.asked.len() <= feed.map_or(0, |f| f.ahead) {
                let mut index = |key: &str, _: &[u64]| index(exec, fetching, read, key);
                match stream.next(&mut index)? {
                    None => slot.ended = true,
                    Some(Work::Fill(chunks)) => slot.asked.push_back(Asked::Fill(chunks)),
                    Some(Work::Fetch { key, range, version, parts }) => {
                        let request = Arc::new(Request { key, range, version, parts });
                        let place = feed.map(|feed| feed.ask(read, &request));
                        slot.asked.push_back(Asked::Bytes(request, place));
                    }
                }
            }
            match slot.asked.pop_front() {
                None => return Ok(false),
                Some(Asked::Fill(chunks)) => {
                    slot.fill = true;
                    slot.parts.extend(chunks.into_iter().map(|at| Part { at, bytes: None }));
                }
                Some(Asked::Bytes(request, place)) => {
                    let base = if let Some(place) = place {
                        let come = place.take(&|| self.check())?;
                        let slot = &mut self.slots[k];
                        slot.encoded = come.encoded;
                        slot.charges[0] = come.charge;
                        come.base
                    } else {
                        let asked = (&*request.key, &request.range, request.version);
                        if exec.shares(read) {
                            self.take_spare(k);
                        }
                        let slot = &mut self.slots[k];
                        exec.fetch(read, asked, &request.parts, &mut slot.encoded, &mut slot.charges[0])?
                    };
                    let slot = &mut self.slots[k];
                    slot.fill = base.is_none();
                    slot.base = base.unwrap_or(0);
                    let request = Arc::try_unwrap(request).unwrap_or_else(|shared| (*shared).clone());
                    slot.key = request.key;
                    slot.parts.extend(request.parts);
                }
            }
        }
        let slot = &mut self.slots[k];
        let Some(part) = slot.parts.pop_front() else { return Ok(false) };
        if slot.fill {
            reduce.absent(read, &part.at)?;
            exec.refuse_lost(read, &part.at)?;
            exec.verify(&read.array)?;
            exec.count_filled(read);
            slot.fill(read, &part.at)?;
        } else {
            let bytes = part.bytes.clone().unwrap_or(0..slot.encoded.len() as u64);
            slot.bytes = slot.base + bytes.start..slot.base + bytes.end;
            let chunk = slot.decode(read, &part.at, bytes);
            exec.count_chunk(read, chunk.map_err(|e| e.key(&*slot.key).range(slot.bytes.clone()))?);
        }
        slot.span = read.chunk_span(&part.at).first().cloned().unwrap_or(0..1);
        slot.at = part.at;
        if slot.parts.is_empty() && exec.shares(read) {
            self.leave_spare(k);
        }
        Ok(true)
    }

    /// A read that shares takes the place of fetched bytes, where that is larger than its own.
    fn take_spare(&mut self, k: usize) {
        let (slot, spare) = (&mut self.slots[k], &mut self.spare);
        if spare.0.capacity() > slot.encoded.capacity() {
            std::mem::swap(&mut slot.encoded, &mut spare.0);
            std::mem::swap(&mut slot.charges[0], &mut spare.1);
        }
    }

    /// And leaves it to the others. There is but one.
    fn leave_spare(&mut self, k: usize) {
        let slot = &mut self.slots[k];
        if slot.encoded.capacity() > 0 {
            let charge = std::mem::replace(&mut slot.charges[0], self.exec.budget.open());
            self.spare = (std::mem::take(&mut slot.encoded), charge);
        }
    }

    /// An error in what chunks hold says where these are stored.
    fn locate(&self, e: Error, reads: &[ArrayRead]) -> Error {
        let of = reads.iter().position(|r| e.element_name() == Some(&*r.array.path));
        match of.and_then(|k| self.slots.get(k)).filter(|s| !s.fill) {
            Some(slot) => e.key(&*slot.key).range(slot.bytes.clone()),
            None => e,
        }
    }
}

impl Slot {
    fn new(exec: &Exec<'_>) -> Self {
        let Desk { scratch, encoded, decoded } = Desk::take();
        Self {
            scratch,
            encoded,
            decoded,
            charges: [exec.budget.open(), exec.budget.open()],
            parts: VecDeque::new(),
            fill: false,
            asked: VecDeque::new(),
            ended: false,
            key: String::new(),
            base: 0,
            bytes: 0..0,
            at: Coord::new(),
            span: 0..0,
        }
    }

    /// The items of the chunk.
    fn items(&self, read: &ArrayRead) -> &[u8] {
        let bytes = read.array.bytes_at(&self.at).unwrap_or(0) as usize;
        self.decoded.get(..bytes).unwrap_or_default()
    }

    /// Decodes these of the fetched bytes; how many they become.
    fn decode(&mut self, read: &ArrayRead, at: &[u64], encoded: Range<u64>) -> Result<u64> {
        let encoded = self.encoded.get(encoded.start as usize..encoded.end as usize);
        let (Some(encoded), Some(bytes)) = (encoded, read.array.bytes_at(at)) else {
            return Err(Error::new(Code::Internal, "a chunk lies outside of its request"));
        };
        let chain = &read.array.chain;
        self.charges[1].grow_to(bytes.saturating_add(chain.scratch_bytes(bytes)), "a decoded chunk")?;
        resize(&mut self.decoded, bytes)?;
        chain.decode_into(encoded, &mut self.decoded[..bytes as usize], &mut self.scratch)?;
        Ok(bytes)
    }

    /// A chunk of the fill value.
    fn fill(&mut self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        let (Fill::Item(item), Some(bytes)) = (&read.array.fill, read.array.bytes_at(at)) else {
            return Err(Error::new(Code::Internal, "numbers have a fill value of their size"));
        };
        self.charges[1].grow_to(bytes, "a chunk of fill values")?;
        resize(&mut self.decoded, bytes)?;
        let out = &mut self.decoded[..bytes as usize];
        out.chunks_exact_mut(item.len().max(1)).for_each(|o| o.copy_from_slice(item));
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        Desk {
            scratch: std::mem::take(&mut self.scratch),
            encoded: std::mem::take(&mut self.encoded),
            decoded: std::mem::take(&mut self.decoded),
        }
        .leave();
    }
}

/// The index of a shard; threads that want the same wait for one.
fn index(exec: &Exec<'_>, fetching: &Mutex<()>, read: &ArrayRead, key: &str) -> Result<IndexState> {
    if !exec.io.profile().is_distant() {
        let _one = (!exec.knows(key)).then(|| fetching.lock().unwrap_or_else(PoisonError::into_inner));
        return exec.shard_index(read, key);
    }
    // Whoever waits long is asked whether to wait on.
    while !exec.knows(key) {
        match fetching.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL / 40),
            _one => return exec.shard_index(read, key),
        }
        exec.wait()?;
    }
    exec.shard_index(read, key)
}
