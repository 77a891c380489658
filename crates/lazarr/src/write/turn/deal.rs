//! The stored values of some rows, dealt out by column: each thread has columns of its own.

use lazarr_format::{Code, Error, Result};

use super::view::View;
use crate::buffer::Buffer;
use crate::ledger::Budget;
use crate::threads::apart;

/// Stored values by column: where columns start, the row of each (counted from the first), the values.
pub(super) struct Dealt {
    pub(super) starts: Buffer,
    pub(super) rows: Buffer,
    pub(super) data: Buffer,
}

/// More threads would look through more indices than they deal out.
const MOST_THREADS: usize = 8;
/// Fewer stored values are not worth a thread.
const SMALL: u64 = 1 << 16;

fn outside() -> Error {
    Error::new(Code::SparseIndices, "an index lies outside of the matrix")
}

/// An index in memory.
trait Int: Copy + Sync {
    fn get(self) -> usize;
}

impl Int for [u8; 4] {
    fn get(self) -> usize {
        u32::from_ne_bytes(self) as usize
    }
}

impl Int for [u8; 8] {
    fn get(self) -> usize {
        usize::try_from(u64::from_ne_bytes(self)).unwrap_or(usize::MAX)
    }
}

/// Deals out; rows and stored values are counted in 32 bits.
pub(super) fn deal(view: &View<'_>, threads: usize, budget: &Budget) -> Result<Dealt> {
    match view.width {
        4 => deal_by(view, view.indices.as_chunks::<4>().0, threads, budget),
        _ => deal_by(view, view.indices.as_chunks::<8>().0, threads, budget),
    }
}

fn deal_by<I: Int>(view: &View<'_>, indices: &[I], threads: usize, budget: &Budget) -> Result<Dealt> {
    match view.item() {
        1 => deal_items::<I, 1>(view, indices, threads, budget),
        2 => deal_items::<I, 2>(view, indices, threads, budget),
        4 => deal_items::<I, 4>(view, indices, threads, budget),
        8 => deal_items::<I, 8>(view, indices, threads, budget),
        16 => deal_items::<I, 16>(view, indices, threads, budget),
        _ => Err(Error::new(Code::NotWritten, "values of this type are not stored in another order")
            .found(view.dtype.to_string())
            .help("Leave the matrix in the format that it has")),
    }
}

fn deal_items<I: Int, const N: usize>(
    view: &View<'_>,
    indices: &[I],
    threads: usize,
    budget: &Budget,
) -> Result<Dealt> {
    let stored = indices.len();
    let mut starts = Buffer::zeroed(4 * (view.minor + 1), budget, "where columns start")?;
    let mut rows = Buffer::zeroed(4 * stored as u64, budget, "rows of stored values, by column")?;
    let mut data = Buffer::zeroed((N * stored) as u64, budget, "stored values, by column")?;
    // Where each column goes on: while it is dealt out to, its start becomes its end, which is where the next one starts.
    let (_, next) = starts.as_mut_slice().as_chunks_mut::<4>().0.split_at_mut(1);
    for i in indices {
        let count = next.get_mut(i.get()).ok_or_else(outside)?;
        *count = (u32::from_ne_bytes(*count) + 1).to_ne_bytes();
    }
    let mut at = 0u32;
    for count in &mut *next {
        let end = at + u32::from_ne_bytes(*count);
        *count = at.to_ne_bytes();
        at = end;
    }
    let threads = if (stored as u64) < SMALL { 1 } else { threads.clamp(1, MOST_THREADS) };
    let mut shares = Vec::with_capacity(threads);
    let (mut columns, mut first) = (0, 0);
    let mut rest =
        (next, rows.as_mut_slice().as_chunks_mut::<4>().0, data.as_mut_slice().as_chunks_mut::<N>().0);
    for t in 1..=threads {
        // The columns up to this share of the stored values.
        let goal = (stored as u64 * t as u64 / threads as u64) as u32;
        let count = if t == threads {
            rest.0.len()
        } else {
            rest.0.partition_point(|start| u32::from_ne_bytes(*start) < goal)
        };
        let (next, next_rest) = rest.0.split_at_mut(count);
        let end = next_rest.first().map_or(stored, |start| u32::from_ne_bytes(*start) as usize);
        let (rows, rows_rest) = rest.1.split_at_mut(end - first);
        let (data, data_rest) = rest.2.split_at_mut(end - first);
        rest = (next_rest, rows_rest, data_rest);
        shares.push(Share { columns, first, next, rows, data });
        columns += count;
        first = end;
    }
    let values = view.data.as_chunks::<N>().0;
    apart(shares, &|share: Share<'_, N>| share.take(view, indices, values))?;
    Ok(Dealt { starts, rows, data })
}

/// Columns that one thread deals out to.
struct Share<'s, const N: usize> {
    /// The first of them, and of their stored values.
    columns: usize,
    first: usize,
    /// Where each goes on.
    next: &'s mut [[u8; 4]],
    rows: &'s mut [[u8; 4]],
    data: &'s mut [[u8; N]],
}

impl<const N: usize> Share<'_, N> {
    fn take<I: Int>(self, view: &View<'_>, indices: &[I], values: &[[u8; N]]) -> Result<()> {
        let mut from = 0;
        for row in 0..view.major() {
            let end = view.start(row + 1) as usize;
            let (Some(indices), Some(values)) = (indices.get(from..end), values.get(from..end)) else {
                return Err(Error::new(Code::SparseIndptr, "the row starts do not fit the stored values"));
            };
            let row = (row as u32).to_ne_bytes();
            for (i, value) in indices.iter().zip(values) {
                let Some(next) = self.next.get_mut(i.get().wrapping_sub(self.columns)) else { continue };
                let place = u32::from_ne_bytes(*next);
                *next = (place + 1).to_ne_bytes();
                let at = place as usize - self.first;
                if let (Some(to), Some(to_row)) = (self.data.get_mut(at), self.rows.get_mut(at)) {
                    (*to, *to_row) = (*value, row);
                }
            }
            from = end;
        }
        Ok(())
    }
}
