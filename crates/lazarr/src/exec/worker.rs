//! One thread at work: it takes requests, fetches, decodes, places.

use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use lazarr_format::codec::Scratch;
use lazarr_format::metadata::{Limit, Limits};
use lazarr_format::{Code, Error, Fill, Profile, Result};
use lazarr_plan::{ArrayRead, Part, Step, Work};

use super::desk::Desk;
use super::sink::{Items, filled, wanted};
use super::{Exec, Job, PIECE, Shared, TAKE, chunk_bytes, resize};
use crate::ledger::Charge;
use crate::patience::POLL;

/// What a thread works with, and for whom.
pub(super) struct Worker<'e, 'a> {
    pub(super) exec: &'e Exec<'a>,
    is_caller: bool,
    scratch: Scratch,
    pub(super) encoded: Vec<u8>,
    decoded: Vec<u8>,
    encoded_charge: Charge,
    decoded_charge: Charge,
    /// The items of a chunk that are wanted.
    wanted: Vec<Range<usize>>,
}

impl<'e, 'a> Worker<'e, 'a> {
    pub(super) fn new(exec: &'e Exec<'a>, is_caller: bool) -> Self {
        let Desk { scratch, encoded, decoded } = Desk::take();
        Self {
            exec,
            is_caller,
            scratch,
            encoded,
            decoded,
            encoded_charge: exec.budget.open(),
            decoded_charge: exec.budget.open(),
            wanted: Vec::new(),
        }
    }

    pub(super) fn run<'b>(
        &mut self,
        jobs: &'b [Job<'_>],
        shared: &Shared<'_, 'b>,
        profile: Profile,
    ) -> Result<()> {
        self.make_pages(shared)?;
        let mut batch = Vec::new();
        loop {
            self.take(shared, jobs, profile, TAKE, &mut batch)?;
            if batch.is_empty() {
                return Ok(());
            }
            for (job, work) in batch.drain(..) {
                if shared.stop.load(Relaxed) {
                    return Err(Error::new(Code::Interrupted, "stopped"));
                }
                self.check_interrupt()?;
                let job = &jobs[job];
                self.act(job, work).map_err(|e| e.element(&*job.read.array.path))?;
            }
        }
    }

    /// Makes the pages of fresh results: the system's page faults, one by one, would take longer than decoding.
    pub(super) fn make_pages(&self, shared: &Shared<'_, '_>) -> Result<()> {
        loop {
            let piece = shared.made.fetch_add(1, Relaxed);
            let mut first = 0;
            let found = shared.fresh.iter().find_map(|target| {
                let pieces = target.fresh_bytes().div_ceil(PIECE);
                let at = piece.checked_sub(first).filter(|at| *at < pieces);
                first += pieces;
                at.map(|at| (target, at))
            });
            let Some((target, at)) = found else { return Ok(()) };
            if shared.stop.load(Relaxed) {
                return Err(Error::new(Code::Interrupted, "stopped"));
            }
            self.check_interrupt()?;
            target.populate(at * PIECE, PIECE);
        }
    }

    pub(super) fn check_interrupt(&self) -> Result<()> {
        if self.is_caller { self.exec.poll() } else { Ok(()) }
    }

    /// Takes work: one large request, or several small ones. Nothing is read while the source is locked: the index of a
    /// shard is fetched outside, and the shard's work is then there for all.
    pub(super) fn take<'b>(
        &mut self,
        shared: &Shared<'_, 'b>,
        jobs: &'b [Job<'_>],
        profile: Profile,
        most: usize,
        batch: &mut Vec<(usize, Work)>,
    ) -> Result<()> {
        let mut source = shared.lock();
        let mut chunks = 0;
        while chunks < most {
            if source.open.is_empty() {
                match source.jobs.next() {
                    Some((i, job)) => source.open.push((i, job.read.work(profile))),
                    None if source.fetching == 0 || !batch.is_empty() || shared.stop.load(Relaxed) => break,
                    None => {
                        // Others fetch indices of shards whose work is for all.
                        let waited = shared.more.wait_timeout(source, POLL);
                        source = waited.unwrap_or_else(PoisonError::into_inner).0;
                        self.check_interrupt()?;
                    }
                }
                continue;
            }
            let Some((i, stream)) = source.open.last_mut() else { break };
            let i = *i;
            match stream.step()? {
                Step::End => {
                    source.open.pop();
                }
                Step::Shard(shard) if self.exec.knows(&shard.key) => {
                    let index = self.exec.shard_index(jobs[i].read, &shard.key)?;
                    stream.open(shard, index);
                }
                Step::Shard(shard) => {
                    source.fetching += 1;
                    drop(source);
                    let read = jobs[i].read;
                    let index = self.exec.shard_index(read, &shard.key);
                    source = shared.lock();
                    source.fetching -= 1;
                    shared.more.notify_all();
                    source.open.push((i, read.shard_work(shard, index?, profile)));
                    if !batch.is_empty() {
                        break;
                    }
                    self.check_interrupt()?;
                }
                Step::Work(work) => {
                    // A chunk of 64 KiB is work enough for one turn; tiny ones are taken sixteen at a time.
                    let weight = (chunk_bytes(&jobs[i].read.array) / 16384).clamp(1, most as u64) as usize;
                    chunks += weight
                        * match &work {
                            Work::Fetch { parts, .. } => parts.len(),
                            Work::Fill(at) => at.len(),
                        };
                    batch.push((i, work));
                }
            }
        }
        Ok(())
    }

    pub(super) fn act(&mut self, job: &Job<'_>, work: Work) -> Result<()> {
        match work {
            Work::Fill(chunks) => chunks.iter().try_for_each(|at| self.fill(job, at)),
            Work::Fetch { key, range, version, parts } => {
                let (encoded, charge) = (&mut self.encoded, &mut self.encoded_charge);
                let base = self.exec.fetch(job.read, (&key, &range, version), &parts, encoded, charge)?;
                self.decode_parts(job, &key, base, &parts)
            }
        }
    }

    /// Decodes what was fetched; it begins at `base` in the value of the key, or is not there.
    pub(super) fn decode_parts(
        &mut self,
        job: &Job<'_>,
        key: &str,
        base: Option<u64>,
        parts: &[Part],
    ) -> Result<()> {
        let Some(base) = base else {
            return parts.iter().try_for_each(|p| self.fill(job, &p.at));
        };
        parts.iter().try_for_each(|part| {
            self.decode(job, part).map_err(|e| {
                let bytes = part.bytes.clone().unwrap_or(0..self.encoded.len() as u64);
                e.key(key).range(base + bytes.start..base + bytes.end)
            })
        })
    }

    fn decode(&mut self, job: &Job<'_>, part: &Part) -> Result<()> {
        let read = job.read;
        let encoded = match &part.bytes {
            Some(r) => self.encoded.get(r.start as usize..r.end as usize),
            None => Some(&self.encoded[..]),
        };
        let encoded =
            encoded.ok_or_else(|| Error::new(Code::Internal, "a chunk lies outside of its request"))?;
        let chain = &read.array.chain;
        let Some(bytes) = read.array.bytes_at(&part.at) else {
            let items = read.array.len_at(&part.at) as usize;
            let limits = self.exec.limits;
            let most = self.exec.budget.left();
            let (charge, before) = (&mut self.decoded_charge, self.scratch.held_bytes());
            let held = charge.bytes();
            let room = &mut |n| charge.grow(n, "a chunk of strings");
            let bound = most.min(limits.chunk_bytes);
            let chunk = chain
                .decode_vlen_within(encoded, items, bound, &mut self.scratch, room)
                .map_err(|e| decoded_within(limits, most, e))?;
            self.exec.count_chunk(read, chunk.bytes.len() as u64 + 8 * chunk.offsets.len() as u64);
            let placed = self
                .keep(read, &part.at, &Items::Vlen(&chunk))
                .and_then(|()| job.sink.take(read, &part.at, chunk));
            // What decoding works in is kept for the next chunk.
            self.decoded_charge.shrink_to(held + self.scratch.held_bytes().saturating_sub(before));
            return placed;
        };
        if let Some(out) = job.sink.direct(read, &part.at) {
            self.decoded_charge.grow_to(chain.scratch_bytes(bytes), "what decoding needs")?;
            chain.decode_into(encoded, out, &mut self.scratch)?;
            self.exec.count_chunk(read, bytes);
            job.sink.check(read, out)?;
            return self.keep(read, &part.at, &Items::Fixed(out));
        }
        self.decoded_charge.grow_to(bytes.saturating_add(chain.scratch_bytes(bytes)), "a decoded chunk")?;
        resize(&mut self.decoded, bytes)?;
        let out = &mut self.decoded[..bytes as usize];
        // What the next block needs is kept whole.
        let kept = self.exec.carrying.is_some_and(|c| c.wants(read, &part.at, bytes, self.exec.budget));
        if job.sink.partial() && !kept && wanted(read, &part.at, &mut self.wanted) {
            chain.decode_some(encoded, out, &self.wanted, &mut self.scratch)?;
            self.exec.count_chunk(read, bytes);
            return job.sink.place(read, &part.at, Items::Fixed(out));
        }
        chain.decode_into(encoded, out, &mut self.scratch)?;
        self.exec.count_chunk(read, bytes);
        let out = &self.decoded[..bytes as usize];
        self.place(job, &part.at, &Items::Fixed(out))
    }

    fn place(&self, job: &Job<'_>, at: &[u64], items: &Items<'_>) -> Result<()> {
        self.keep(job.read, at, items)?;
        job.sink.place(job.read, at, *items)
    }

    fn keep(&self, read: &ArrayRead, at: &[u64], items: &Items<'_>) -> Result<()> {
        self.exec.carrying.map_or(Ok(()), |c| c.keep(read, at, items, self.exec.budget))
    }

    pub(super) fn fill(&mut self, job: &Job<'_>, at: &[u64]) -> Result<()> {
        job.sink.absent(job.read, at)?;
        self.exec.refuse_lost(job.read, at)?;
        self.exec.verify(&job.read.array)?;
        self.exec.count_filled(job.read);
        let read = job.read;
        let items = read.array.len_at(at);
        match &read.array.fill {
            Fill::Vlen(item) => {
                let bytes = items.saturating_mul(item.len() as u64 + 8).saturating_add(8);
                let _charge = self.exec.budget.charge(bytes, "a chunk of fill values")?;
                job.sink.place(read, at, Items::Vlen(&filled(item, items)))
            }
            Fill::Item(item) => {
                let bytes = items.saturating_mul(item.len() as u64);
                self.decoded_charge.grow_to(bytes, "a chunk of fill values")?;
                resize(&mut self.decoded, bytes)?;
                let out = &mut self.decoded[..bytes as usize];
                out.chunks_exact_mut(item.len().max(1)).for_each(|o| o.copy_from_slice(item));
                job.sink.place(read, at, Items::Fixed(out))
            }
        }
    }
}

impl Drop for Worker<'_, '_> {
    fn drop(&mut self) {
        Desk {
            scratch: std::mem::take(&mut self.scratch),
            encoded: std::mem::take(&mut self.encoded),
            decoded: std::mem::take(&mut self.decoded),
        }
        .leave();
    }
}

/// The error of a chunk of variable length that would not end: of the limit, where it was the limit that ended it.
fn decoded_within(limits: &Limits, budget: u64, e: Error) -> Error {
    let most = limits.chunk_bytes;
    let cut = e.expected_found().0 == Some(format!("at most {most} bytes").as_str());
    if budget < most || !cut {
        return e;
    }
    limits.exceeded(Limit::ChunkBytes, "a chunk is too large to be decoded in memory", None)
}
