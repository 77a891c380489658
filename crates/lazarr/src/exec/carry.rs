//! Chunks that a stream needs again: those in which one block ends and the next begins, and whatever does not belong to
//! the rows (categories). They are kept decoded from block to block, so that a stream decodes each chunk once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazarr_format::codec::Vlen;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{ArrayRead, Coord, Role};

use super::Job;
use super::sink::Items;
use crate::ledger::{Budget, Charge};

/// A decoded chunk.
struct Kept {
    items: Decoded,
    _charge: Charge,
}

enum Decoded {
    Fixed(Vec<u8>),
    Vlen(Vlen),
}

type Chunks = HashMap<Coord, Arc<Kept>>;

/// The chunks that the blocks of one stream hand on, by the path of their array.
#[derive(Default)]
pub(crate) struct Carry {
    /// From the block before.
    held: Mutex<HashMap<String, Chunks>>,
    /// For the next block; becomes `held` when a read has gone well.
    kept: Mutex<HashMap<String, Chunks>>,
}

/// What one block does with them.
#[derive(Clone)]
pub(crate) struct Carrying {
    pub(crate) carry: Arc<Carry>,
    /// Rows of the element that is streamed.
    pub(crate) rows: u64,
    /// The stored row with which the next block begins; `None` after the last.
    pub(crate) next: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Carrying {
    /// Tells a read which of its chunks are held.
    pub(crate) fn offer(&self, read: &mut ArrayRead) {
        if let Some(chunks) = lock(&self.carry.held).get(&read.array.path) {
            let mut held: Vec<Coord> =
                chunks.keys().filter(|at| read.touches_chunk(at.as_slice())).cloned().collect();
            held.sort_unstable();
            read.held = held;
        }
    }

    /// Places the chunks that are held.
    pub(crate) fn place(&self, job: &Job<'_>, budget: &Budget) -> Result<()> {
        for at in &job.read.held {
            let kept = lock(&self.carry.held).get(&job.read.array.path).and_then(|c| c.get(at)).cloned();
            let kept = kept.ok_or_else(|| Error::new(Code::Internal, "a chunk that was held is gone"))?;
            let items = match &kept.items {
                Decoded::Fixed(bytes) => Items::Fixed(bytes),
                Decoded::Vlen(strings) => Items::Vlen(strings),
            };
            job.sink.place(job.read, at, items)?;
            if self.wants(job.read, at, 0, budget) {
                self.insert(job.read, at, kept);
            }
        }
        Ok(())
    }

    /// Whether the next block needs this chunk, and a copy of so many bytes is affordable.
    pub(crate) fn wants(&self, read: &ArrayRead, at: &[u64], bytes: u64, budget: &Budget) -> bool {
        let Some(next) = self.next.filter(|_| bytes <= budget.left() / 4) else { return false };
        let (Some(&number), Some(axis)) = (at.first(), read.axes.first()) else { return true };
        let (length, cut) = (read.array.shape[0], read.array.cut(0));
        let end = cut.end(number).unwrap_or(u64::MAX);
        match read.role {
            // The next block goes on where this one ends, within a chunk.
            Role::Data | Role::Indices => {
                axis.span().is_some_and(|s| s.end < end.min(length) && s.end > cut.start(number))
            }
            Role::Indptr if length == self.rows + 1 => end > next,
            _ if length == self.rows => end > next,
            // Not by rows: the next block wants the same.
            _ => true,
        }
    }

    /// Keeps a copy of a chunk, where the next block wants it.
    pub(crate) fn keep(
        &self,
        read: &ArrayRead,
        at: &[u64],
        items: &Items<'_>,
        budget: &Budget,
    ) -> Result<()> {
        let bytes = match items {
            Items::Fixed(bytes) => bytes.len() as u64,
            Items::Vlen(strings) => strings.bytes.len() as u64 + 8 * strings.offsets.len() as u64,
        };
        if !self.wants(read, at, bytes, budget) {
            return Ok(());
        }
        let charge = budget.charge(bytes, "a chunk for the next block")?;
        let items = match items {
            Items::Fixed(bytes) => Decoded::Fixed(bytes.to_vec()),
            Items::Vlen(strings) => Decoded::Vlen((*strings).clone()),
        };
        self.insert(read, at, Arc::new(Kept { items, _charge: charge }));
        Ok(())
    }

    fn insert(&self, read: &ArrayRead, at: &[u64], kept: Arc<Kept>) {
        let mut all = lock(&self.carry.kept);
        all.entry(read.array.path.clone()).or_default().insert(Coord::from_slice(at), kept);
    }

    /// Forgets what was kept: these reads were made to name others, and will be made again.
    pub(crate) fn forget(&self) {
        lock(&self.carry.kept).clear();
    }

    /// These arrays were read: what is held of them is what was kept.
    pub(crate) fn commit<'r>(&self, paths: impl Iterator<Item = &'r str>) {
        let mut kept = std::mem::take(&mut *lock(&self.carry.kept));
        let mut held = lock(&self.carry.held);
        for path in paths {
            held.remove(path);
        }
        held.extend(kept.drain());
    }
}
