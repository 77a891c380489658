//! Reading from afar: where waiting takes longer than decoding, requests go out from threads of their own.
//!
//! Each slot of the store is a thread that takes work, waits for its bytes and hands them on; the threads that decode take
//! what has come. What was fetched and is not decoded yet is bounded in number (two for each slot) and in bytes (a quarter
//! of the limit), and charged to the ledger before it is fetched.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lazarr_format::{ArrayRef, ByteRange, Code, Error, Result};
use lazarr_plan::{ArrayRead, Index, Part, Placement, Role, Work};

use super::worker::Worker;
use super::{Exec, Job, POLL, Shared};
use crate::ledger::{Budget, Charge};
use crate::program::placed;

/// Work whose bytes have come.
struct Fetched {
    job: usize,
    work: Come,
    /// What it was admitted with.
    admitted: u64,
}

enum Come {
    Fill(Vec<lazarr_plan::Coord>),
    Bytes { key: String, base: Option<u64>, parts: Vec<Part>, encoded: Vec<u8>, charge: Charge },
}

/// What lies between those who fetch and those who decode.
struct Gate {
    state: Mutex<State>,
    /// Something has come, or nothing more will.
    come: Condvar,
    /// Something was decoded.
    room: Condvar,
    most_bytes: u64,
    most: usize,
}

struct State {
    queue: VecDeque<Fetched>,
    /// Requests that are under way, come or being decoded, and their bytes.
    count: usize,
    bytes: u64,
    fetchers: usize,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.come.notify_all();
        self.room.notify_all();
    }

    /// Waits until so many bytes may be fetched; one request always may.
    fn admit(&self, exec: &Exec<'_>, bytes: u64) -> Result<()> {
        let mut state = self.lock();
        while state.count > 0
            && (state.count >= self.most || state.bytes.saturating_add(bytes) > self.most_bytes)
        {
            let waited = self.room.wait_timeout(state, POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            exec.wait()?;
        }
        state.count += 1;
        state.bytes += bytes;
        Ok(())
    }

    fn leave(&self, bytes: u64) {
        let mut state = self.lock();
        state.count -= 1;
        state.bytes -= bytes;
        drop(state);
        self.room.notify_all();
    }

    /// Whether others hold what they will give back.
    fn others(&self) -> bool {
        self.lock().count > 0
    }

    fn push(&self, fetched: Fetched) {
        self.lock().queue.push_back(fetched);
        self.come.notify_one();
    }
}

/// The bytes that may lie between fetching and decoding.
pub(crate) fn most_between(budget: &Budget) -> u64 {
    budget.limit() / 4
}

/// The requests whose bytes may lie between fetching and decoding.
pub(crate) fn most_requests(slots: usize) -> usize {
    slots.saturating_mul(2).max(1)
}

/// So many indices of shards are fetched together, for a plan.
const WARM: usize = 4096;

/// Arrays of so many shards have their indices fetched before it is known which of them are needed.
const AHEAD: u64 = 4;

impl Exec<'_> {
    /// Fetches the indices of shards that are not known, many at once where the store is far; which ones.
    pub(crate) fn warm(&self, reads: &[ArrayRead]) -> Result<HashSet<String>> {
        let profile = self.profile();
        if !profile.is_distant() {
            return Ok(HashSet::new());
        }
        let sharded = reads.iter().filter(|read| read.array.sharding.is_some());
        let keys = sharded.flat_map(|read| read.shards().map(move |at| (read, read.array.chunk_key(&at))));
        let unknown: Vec<_> = keys.take(WARM).filter(|(_, key)| !self.knows(key)).collect();
        if unknown.len() < 2 {
            return Ok(HashSet::new());
        }
        let fetch = |(read, key): &(&ArrayRead, String)| self.shard_index(read, key).map(|_| ());
        let done: Result<()> = self.patience.each(&unknown, profile.slots, &fetch)?.into_iter().collect();
        done.map(|()| unknown.into_iter().map(|(_, key)| key).collect())
    }

    /// The shards of later stages whose indices come with this one: of arrays that have few, and only from afar.
    pub(crate) fn ahead<'r>(
        &self,
        arrays: impl IntoIterator<Item = &'r ArrayRef>,
    ) -> Vec<(ArrayRead, String)> {
        self.few_shards(arrays, &|key| self.knows(key))
    }

    /// Of these, the paths of those that the next call will ask for again: that one is absent is not remembered for long.
    pub(crate) fn ahead_again<'r>(&self, arrays: impl IntoIterator<Item = &'r ArrayRef>) -> Vec<String> {
        let again = self.few_shards(arrays, &|key| self.indices.get(key).is_some());
        again.into_iter().map(|(read, _)| read.array.path.clone()).collect()
    }

    /// The shards of arrays that have few, but for those that are known.
    fn few_shards<'r>(
        &self,
        arrays: impl IntoIterator<Item = &'r ArrayRef>,
        known: &dyn Fn(&str) -> bool,
    ) -> Vec<(ArrayRead, String)> {
        let mut out: Vec<(ArrayRead, String)> = Vec::new();
        if !self.io.profile().is_distant() {
            return out;
        }
        for array in arrays.into_iter().filter(|a| a.sharding.is_some() && a.inner_count() > 0) {
            let all =
                |n: &u64| -> Result<Arc<dyn Placement>> { Ok(placed(&Index::slice(None, None, None, *n)?)) };
            let Ok(axes) = array.shape.iter().map(all).collect() else { continue };
            // As of row starts: that a shard is absent is remembered for the call.
            let read = ArrayRead::new(array, axes, Role::Indptr);
            let shards = read.shard_count();
            let bytes = shards.saturating_mul(array.shard_index_bytes());
            if shards > AHEAD || bytes > self.budget.limit() / 64 {
                continue;
            }
            let keys: Vec<String> = read.shards().map(|at| array.chunk_key(&at)).collect();
            for key in keys {
                if !known(&key) && !out.iter().any(|(_, k)| *k == key) {
                    out.push((read.clone(), key));
                }
            }
        }
        out
    }

    /// Does all reads: `threads` decode, and more fetch.
    pub(super) fn run_far<'b>(
        &self,
        jobs: &'b [Job<'_>],
        ahead: &[(ArrayRead, String)],
        shared: &Shared<'_, 'b>,
        threads: usize,
    ) -> Result<()> {
        let profile = self.profile();
        let work = |read: &ArrayRead| read.chunk_count().saturating_add(read.shard_count());
        let all = jobs.iter().map(|job| work(job.read)).fold(ahead.len() as u64, u64::saturating_add);
        let fetchers = profile.slots.min(usize::try_from(all).unwrap_or(usize::MAX)).max(1);
        let decoding =
            super::thread_bytes(jobs.iter().map(|j| j.read), profile).saturating_mul(threads as u64);
        let gate = Gate {
            state: Mutex::new(State { queue: VecDeque::new(), count: 0, bytes: 0, fetchers }),
            come: Condvar::new(),
            room: Condvar::new(),
            most_bytes: most_between(self.budget).min(self.budget.left().saturating_sub(decoding) / 2),
            most: most_requests(profile.slots),
        };
        // The caller's thread and the first others decode, and come first to the pages of the result.
        let started = AtomicUsize::new(1);
        let next_ahead = AtomicUsize::new(0);
        let work = |is_caller: bool| -> Result<()> {
            let role = if is_caller { 0 } else { started.fetch_add(1, Relaxed) };
            let mut worker = Worker::new(self, is_caller);
            let result = if role < threads {
                worker.decode_all(jobs, shared, &gate)
            } else {
                let result = loop {
                    let Some((read, key)) = ahead.get(next_ahead.fetch_add(1, Relaxed)) else {
                        break worker.fetch_all(jobs, shared, &gate);
                    };
                    if let Err(e) = self.shard_index(read, key) {
                        break Err(e);
                    }
                };
                gate.lock().fetchers -= 1;
                gate.wake();
                result
            };
            if result.is_err() {
                shared.stop.store(true, Relaxed);
                self.patience.halt(true);
                shared.more.notify_all();
                gate.wake();
            }
            result
        };
        self.spread(threads + fetchers, &shared.stop, &work)
    }
}

impl Worker<'_, '_> {
    fn fetch_all<'b>(&mut self, jobs: &'b [Job<'_>], shared: &Shared<'_, 'b>, gate: &Gate) -> Result<()> {
        let profile = self.exec.profile();
        let mut batch = Vec::new();
        loop {
            self.take(shared, jobs, profile, 1, &mut batch)?;
            if batch.is_empty() {
                return Ok(());
            }
            for (job, work) in batch.drain(..) {
                if shared.stop.load(Relaxed) {
                    return Err(Error::new(Code::Interrupted, "stopped"));
                }
                let read = jobs[job].read;
                let fetched = self.come(read, work, gate).map_err(|e| e.element(&*read.array.path))?;
                let (work, admitted) = fetched;
                gate.push(Fetched { job, work, admitted });
            }
        }
    }

    /// Waits for the bytes of some work.
    fn come(&self, read: &ArrayRead, work: Work, gate: &Gate) -> Result<(Come, u64)> {
        let (key, range, version, parts) = match work {
            Work::Fill(chunks) => {
                gate.admit(self.exec, 0)?;
                self.exec.verify(&read.array)?;
                return Ok((Come::Fill(chunks), 0));
            }
            Work::Fetch { key, range, version, parts } => (key, range, version, parts),
        };
        let bytes = match &range {
            ByteRange::Range(r) => r.end - r.start,
            ByteRange::Suffix(n) => *n,
            // Data that cannot be compressed grows by less than a sixty-fourth.
            ByteRange::All => read.array.inner_bytes().map_or(1 << 20, |n| n + n / 64 + 4096),
        };
        loop {
            gate.admit(self.exec, bytes)?;
            let (mut encoded, mut charge) = (Vec::new(), self.exec.budget.open());
            let request = (&*key, &range, version);
            match self.exec.fetch(read, request, &parts, &mut encoded, &mut charge) {
                Ok(base) => {
                    if base.is_none() {
                        self.exec.verify(&read.array)?;
                    }
                    return Ok((Come::Bytes { key, base, parts, encoded, charge }, bytes));
                }
                // What others hold is given back when it is decoded.
                Err(e) if e.code() == Code::MemoryLimit => {
                    gate.leave(bytes);
                    if !gate.others() {
                        return Err(e);
                    }
                    let waited = gate.room.wait_timeout(gate.lock(), POLL);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    self.exec.wait()?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn decode_all<'b>(&mut self, jobs: &'b [Job<'_>], shared: &Shared<'_, 'b>, gate: &Gate) -> Result<()> {
        self.make_pages(shared)?;
        loop {
            let mut state = gate.lock();
            let fetched = loop {
                if shared.stop.load(Relaxed) {
                    return Err(Error::new(Code::Interrupted, "stopped"));
                }
                if let Some(fetched) = state.queue.pop_front() {
                    break fetched;
                }
                if state.fetchers == 0 {
                    return Ok(());
                }
                let waited = gate.come.wait_timeout(state, POLL);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                self.check_interrupt()?;
            };
            drop(state);
            self.check_interrupt()?;
            let job = &jobs[fetched.job];
            let done = match fetched.work {
                Come::Fill(chunks) => chunks.iter().try_for_each(|at| self.fill(job, at)),
                Come::Bytes { key, base, parts, encoded, charge } => {
                    self.encoded = encoded;
                    let done = self.decode_parts(job, &key, base, &parts);
                    self.encoded = Vec::new();
                    drop(charge);
                    done
                }
            };
            gate.leave(fetched.admitted);
            done.map_err(|e| e.element(&*job.read.array.path))?;
        }
    }
}
