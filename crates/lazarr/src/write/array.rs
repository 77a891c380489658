//! One array while rows of it come: chunks are cut, encoded by all threads, and put into their shards in order.

use std::borrow::Cow;
use std::collections::HashMap;

use lazarr_format::encode::{ArraySpec, Encoder, MANIFEST, ShardBuilder, vlen};
use lazarr_format::{Code, Error, Result};
use lazarr_store::draft::ValueWriter;

use super::encode;
use super::job::Job;
use super::manifest::Tally;
use super::old::Old;
use crate::ledger::Charge;

mod saved;

/// An array under way. Rows (items of the first axis) are pushed; the last axes are whole.
pub(super) struct ArrayOut<'j> {
    job: &'j Job<'j>,
    /// The first axis is known at the end.
    spec: ArraySpec,
    /// Bytes of an item; `None` where it varies.
    item: Option<usize>,
    /// Items of a row.
    row: u64,
    /// Rows that do not fill a strip of chunks yet.
    pending: Pending,
    charge: Charge,
    /// Of what shards that are open hold.
    index_charge: Charge,
    /// Strips of chunks that are written.
    strips: u64,
    encoders: Vec<Encoder>,
    shards: HashMap<Vec<u64>, Shard>,
    tally: Tally,
    /// Of the files of an old array that stay.
    before: Tally,
    /// Rows that come and are there already.
    skip: u64,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Of items that vary in length: where each ends.
    ends: Vec<usize>,
}

/// A shard under way.
struct Shard {
    key: String,
    writer: Box<dyn ValueWriter>,
    index: ShardBuilder,
    bytes: u64,
    crc: u32,
}

impl<'j> ArrayOut<'j> {
    /// An array of one axis or more; the first length of its shape is not looked at.
    pub(super) fn new(job: &'j Job<'j>, mut spec: ArraySpec) -> Result<Self> {
        let Some((first, rest)) = spec.shape.split_first_mut() else {
            return Err(Error::new(Code::Internal, "a scalar has no rows"));
        };
        *first = 0;
        let row = rest.iter().fold(1u64, |n, &m| n.saturating_mul(m));
        let item = spec.dtype.item_size();
        if item.is_none() {
            // Rows of text stay whole.
            for sizes in std::iter::once(&mut spec.inner).chain(&mut spec.shard) {
                for (size, &n) in sizes.iter_mut().zip(&spec.shape).skip(1) {
                    *size = n.max(1);
                }
            }
        }
        let encoders = (0..job.threads)
            .map(|_| Encoder::new(&spec.codecs, item.unwrap_or(1), job.zarr_format()))
            .collect();
        Ok(Self {
            job,
            item,
            row,
            pending: Pending::default(),
            charge: job.budget.open(),
            index_charge: job.budget.open(),
            strips: 0,
            encoders,
            shards: HashMap::new(),
            tally: Tally::default(),
            before: Tally::default(),
            skip: 0,
            spec,
        })
    }

    /// A scalar: one item, or one text.
    pub(super) fn scalar(job: &Job<'_>, spec: ArraySpec, bytes: &[u8]) -> Result<()> {
        let raw = if spec.dtype.is_vlen() {
            Cow::Owned(vlen(std::iter::once(bytes), 1)?)
        } else {
            Cow::Borrowed(bytes)
        };
        let item = spec.dtype.item_size().unwrap_or(1);
        let encoded = Encoder::new(&spec.codecs, item, job.zarr_format()).encode(&raw)?;
        job.draft.put(&spec.key(&[]), &encoded)?;
        let mut tally = Tally::default();
        tally.add(&spec.keys.key(&[]), encoded.len() as u64, crc32c::crc32c(&encoded));
        job.array(spec, tally);
        Ok(())
    }

    /// The next row that comes is this one, of an array that the store has: files of rows before stay. False where the array
    /// cannot go on and rows before are needed; without any, it is written anew.
    pub(super) fn go_on(&mut self, at: u64) -> Result<bool> {
        let Some(old) = self.job.old.get(&self.spec.path) else { return Ok(at == 0) };
        let start = old.start();
        if old.continues(&self.spec) && at <= start {
            let strip = self.strip_rows();
            self.pending = Pending::default();
            self.spec.shape[0] = start;
            (self.strips, self.skip, self.before) = (start / strip, start - at, old.stays);
            self.spec.keys = old.keys;
            self.job.goes_on(&self.spec.path);
            return Ok(true);
        }
        for (name, value) in old.attributes.iter().filter(|(name, _)| *name != MANIFEST) {
            self.spec.attributes.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if at == 0 {
            self.job.clear(&self.spec.path)?;
        }
        Ok(at == 0)
    }

    /// Where files of the old array end that stay; 0 where none does.
    pub(super) fn begins(&self) -> u64 {
        self.job.old.get(&self.spec.path).filter(|old| old.continues(&self.spec)).map_or(0, Old::start)
    }

    /// Rows that are there so far.
    pub(super) fn rows(&self) -> u64 {
        self.spec.shape.first().copied().unwrap_or(0)
    }

    fn strip_rows(&self) -> u64 {
        self.spec.inner.first().copied().unwrap_or(1).max(1)
    }

    /// Whole rows of fixed items, in C order.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let item = self.item.ok_or_else(|| Error::new(Code::Internal, "items vary in length"))?;
        let row = usize::try_from(self.row).unwrap_or(usize::MAX).saturating_mul(item);
        if row == 0 || bytes.is_empty() {
            return Ok(());
        }
        let there = self.skip.min((bytes.len() / row) as u64);
        self.skip -= there;
        let bytes = bytes.get(there as usize * row..).unwrap_or_default();
        self.spec.shape[0] += (bytes.len() / row) as u64;
        let strip = usize::try_from(self.strip_rows()).unwrap_or(usize::MAX).saturating_mul(row);
        let mut rest = bytes;
        if !self.pending.bytes.is_empty() {
            let (some, after) = rest.split_at(rest.len().min(strip - self.pending.bytes.len()));
            self.pending.bytes.extend_from_slice(some);
            rest = after;
            if self.pending.bytes.len() < strip {
                return Ok(());
            }
            let full = std::mem::take(&mut self.pending.bytes);
            self.fixed(&full, row, item)?;
            self.pending.bytes = full;
            self.pending.bytes.clear();
        }
        let (whole, part) = rest.split_at(rest.len() / strip * strip);
        self.fixed(whole, row, item)?;
        if !part.is_empty() {
            self.charge.grow_to(strip as u64, "rows of a chunk that is not full yet")?;
            self.pending.bytes.try_reserve_exact(strip).map_err(no_memory)?;
            self.pending.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// So many rows whose items have no bytes: of a matrix without columns.
    pub(super) fn push_empty_rows(&mut self, rows: u64) {
        if self.row == 0 {
            self.count_rows(rows);
        }
    }

    /// Items of varying length, whole rows of them.
    pub(super) fn push_items<'b>(&mut self, items: impl Iterator<Item = &'b [u8]>) -> Result<()> {
        let strip = self.strip_rows().saturating_mul(self.row.max(1));
        let there = usize::try_from(self.skip.saturating_mul(self.row)).unwrap_or(usize::MAX);
        for item in items.skip(there) {
            self.pending.bytes.extend_from_slice(item);
            self.pending.ends.push(self.pending.bytes.len());
            if self.pending.ends.len() as u64 == strip {
                self.charge.grow_to(2 * self.pending.bytes.len() as u64, "text of a chunk")?;
                self.text(strip)?;
            }
        }
        let held = self.pending.bytes.len() + 8 * self.pending.ends.len();
        self.charge.grow_to(held as u64, "text of a chunk that is not full yet")
    }

    /// Rows that have items of varying length came.
    pub(super) fn count_rows(&mut self, rows: u64) {
        let there = self.skip.min(rows);
        self.skip -= there;
        self.spec.shape[0] += rows - there;
    }

    /// What is pending is one chunk of text.
    fn text(&mut self, strip: u64) -> Result<()> {
        self.job.poll()?;
        let Pending { bytes, ends } = std::mem::take(&mut self.pending);
        let starts = std::iter::once(&0).chain(&ends);
        let items = starts.zip(&ends).map(|(&a, &b)| bytes.get(a..b).unwrap_or_default());
        let raw = vlen(items, strip)?;
        let at = [&[self.strips][..], &vec![0; self.spec.shape.len() - 1]].concat();
        let Some(encoder) = self.encoders.first_mut() else {
            return Err(Error::new(Code::Internal, "there is no encoder"));
        };
        let encoded = encoder.encode(&raw)?;
        if self.spec.shard.is_some() {
            self.append(&at, &encoded)?;
        } else {
            let stored = store(self.job, &self.spec, &at, &encoded)?;
            self.tally.merge(stored);
        }
        self.strips += 1;
        Ok(())
    }

    /// Whole strips of chunks, or the last of them padded.
    fn fixed(&mut self, bytes: &[u8], row: usize, item: usize) -> Result<()> {
        let strip_rows = self.strip_rows();
        let strip = usize::try_from(strip_rows).unwrap_or(usize::MAX).saturating_mul(row);
        let cut = Strip::new(&self.spec, item);
        let chunk_bytes = (cut.chunk_items * item) as u64;
        let (all, per) = (bytes.len() / strip * cut.chunks, cut.chunks);
        let batch =
            usize::try_from(self.job.batch_bytes() / chunk_bytes.max(1)).unwrap_or(1).max(self.job.threads);
        let mut from = 0;
        while from < all {
            self.job.poll()?;
            let count = batch.min(all - from);
            // Raw copies where chunks are not contiguous, and what they become.
            let room = chunk_bytes.saturating_mul(count as u64);
            let _charge = self.job.budget.charge(2 * room, "chunks while they are encoded")?;
            let (job, spec, first) = (self.job, &self.spec, self.strips);
            let place = |i: usize| {
                let at = cut.place((from + i) % per);
                [&[first + ((from + i) / per) as u64][..], &at].concat()
            };
            let act = |encoder: &mut Encoder, i: usize| {
                let n = from + i;
                let source = bytes.get(n / per * strip..(n / per + 1) * strip).unwrap_or_default();
                let encoded = encoder.encode(&cut.chunk(source, n % per, item))?;
                if spec.shard.is_some() {
                    return Ok((encoded, Tally::default()));
                }
                let tally = store(job, spec, &place(i), &encoded)?;
                Ok((Vec::new(), tally))
            };
            let done = encode::each(&mut self.encoders, count, room, &act)?;
            let places: Vec<_> = (0..count).map(place).collect();
            for ((encoded, tally), at) in done.into_iter().zip(places) {
                self.tally.merge(tally);
                if self.spec.shard.is_some() {
                    self.append(&at, &encoded)?;
                }
            }
            from += count;
        }
        self.strips += (bytes.len() / strip) as u64;
        Ok(())
    }

    /// Puts an inner chunk into its shard.
    fn append(&mut self, at: &[u64], encoded: &[u8]) -> Result<()> {
        let Some(outer) = &self.spec.shard else { return Ok(()) };
        let per: Vec<u64> = outer.iter().zip(&self.spec.inner).map(|(s, c)| s / c).collect();
        let shard: Vec<u64> = at.iter().zip(&per).map(|(a, p)| a / p).collect();
        // Strips go on: what is behind is full.
        if self.shards.keys().any(|s| s[0] < shard[0]) {
            self.close()?;
        }
        let inner = at.iter().zip(&per).fold(0, |n, (a, p)| n * p + a % p);
        if !self.shards.contains_key(&shard) {
            let key = self.spec.key(&shard);
            let entries = per.iter().fold(1u64, |n, &p| n.saturating_mul(p));
            let held = self.job.draft.holds()[0];
            self.index_charge
                .grow(16 * entries + held, "a shard under way: its index, and what is not sent")?;
            let writer = self.job.draft.create(&key)?;
            let new = Shard { key, writer, index: ShardBuilder::new(entries), bytes: 0, crc: 0 };
            self.shards.insert(shard.clone(), new);
        }
        let Some(open) = self.shards.get_mut(&shard) else {
            return Err(Error::new(Code::Internal, "a shard is gone"));
        };
        open.index.add(inner, encoded.len() as u64);
        open.write(encoded)
    }

    /// Ends all shards that are open.
    fn close(&mut self) -> Result<()> {
        let charge = std::mem::replace(&mut self.index_charge, self.job.budget.open());
        for (at, mut shard) in self.shards.drain() {
            let entries = std::mem::replace(&mut shard.index, ShardBuilder::new(0)).finish();
            shard.write(&entries)?;
            shard.writer.finish().map_err(|e| e.key(shard.key))?;
            self.tally.add(&self.spec.keys.key(&at), shard.bytes, shard.crc);
        }
        drop(charge);
        Ok(())
    }

    /// There are no more rows.
    pub(super) fn finish(mut self) -> Result<u64> {
        if let Some(item) = self.item
            && !self.pending.bytes.is_empty()
        {
            let row = usize::try_from(self.row).unwrap_or(usize::MAX).saturating_mul(item);
            let strip = usize::try_from(self.strip_rows()).unwrap_or(usize::MAX).saturating_mul(row);
            let mut last = std::mem::take(&mut self.pending.bytes);
            last.resize(strip, 0);
            self.fixed(&last, row, item)?;
        }
        if !self.pending.ends.is_empty() {
            self.text(self.strip_rows().saturating_mul(self.row.max(1)))?;
        }
        self.close()?;
        let rows = self.spec.shape.first().copied().unwrap_or(0);
        self.job.grown(self.spec, self.before, self.tally);
        Ok(rows)
    }
}

impl Shard {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        self.writer.write(bytes)
    }
}

/// A chunk that is a file of its own.
fn store(job: &Job<'_>, spec: &ArraySpec, at: &[u64], encoded: &[u8]) -> Result<Tally> {
    job.draft.put(&spec.key(at), encoded)?;
    let mut tally = Tally::default();
    tally.add(&spec.keys.key(at), encoded.len() as u64, crc32c::crc32c(encoded));
    Ok(tally)
}

fn no_memory(e: std::collections::TryReserveError) -> Error {
    Error::new(Code::OutOfMemory, "there is no memory for a chunk").source(e)
}

/// How a strip of rows is cut into chunks along the other axes.
struct Strip {
    /// The lengths of the other axes, of their chunks, and the number of these.
    shape: Vec<u64>,
    inner: Vec<u64>,
    grid: Vec<u64>,
    /// Chunks of the strip.
    chunks: usize,
    rows: u64,
    chunk_items: usize,
}

impl Strip {
    fn new(spec: &ArraySpec, _: usize) -> Self {
        let (shape, inner) = (spec.shape[1..].to_vec(), spec.inner[1..].to_vec());
        let grid: Vec<u64> = shape.iter().zip(&inner).map(|(&n, &c)| n.div_ceil(c)).collect();
        let chunks = grid.iter().product::<u64>() as usize;
        let rows = spec.inner[0];
        let chunk_items = (rows * inner.iter().product::<u64>()) as usize;
        Self { shape, inner, grid, chunks, rows, chunk_items }
    }

    /// The place of chunk `i` along the other axes.
    fn place(&self, i: usize) -> Vec<u64> {
        let mut rest = i as u64;
        let mut at = vec![0; self.grid.len()];
        for (place, &n) in at.iter_mut().zip(&self.grid).rev() {
            *place = rest % n;
            rest /= n;
        }
        at
    }

    /// The items of chunk `i`, padded with zeros where it reaches beyond the array.
    fn chunk<'b>(&self, strip: &'b [u8], i: usize, item: usize) -> Cow<'b, [u8]> {
        if self.shape == self.inner {
            return Cow::Borrowed(strip);
        }
        let at = self.place(i);
        let mut out = vec![0; self.chunk_items * item];
        // Runs along the last axis.
        let last = self.shape.len() - 1;
        let start = at[last] * self.inner[last];
        let run = (self.inner[last].min(self.shape[last] - start)) as usize * item;
        let middle: u64 = self.inner[..last].iter().product();
        for r in 0..self.rows * middle {
            let (mut from, mut scale, mut rest, mut inside) = (start, self.shape[last], r, true);
            for k in (0..last).rev() {
                let here = at[k] * self.inner[k] + rest % self.inner[k];
                inside &= here < self.shape[k];
                from += here * scale;
                scale *= self.shape[k];
                rest /= self.inner[k];
            }
            from += rest * scale;
            let (a, b) = (from as usize * item, (r * self.inner[last]) as usize * item);
            if inside && let (Some(to), Some(items)) = (out.get_mut(b..b + run), strip.get(a..a + run)) {
                to.copy_from_slice(items);
            }
        }
        Cow::Owned(out)
    }
}
