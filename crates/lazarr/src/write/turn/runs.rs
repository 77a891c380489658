//! Rows to columns, out of core: each block that comes is dealt out by column and laid down as a run, in memory while there
//! is room and else on a disk; then columns are put together, band by band, of what each run has of them.
//!
//! So the input is decoded once, and what lies on the disk is written and read once. Rows ascend in each column, since runs
//! come in order, and values at one place stay in the order in which they were stored: as scipy has it.

use lazarr_format::anndata::SparseFormat;
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_store::draft::Scratch;

use super::deal::{Dealt, deal};
use super::view::View;
use crate::buffer::Buffer;
use crate::ledger::{Budget, Charge};
use crate::program::index_width;
use crate::threads::apart;
use crate::write::job::Job;

/// Between two bands somebody may end it.
const MOST_BAND: u64 = 1 << 30;

/// Runs under way.
pub(super) struct Runs<'j> {
    job: &'j Job<'j>,
    format: SparseFormat,
    dtype: DataType,
    /// Columns (rows, where columns come).
    minor: u64,
    /// The stored values of each.
    counts: Vec<u64>,
    _charge: Charge,
    /// Rows that will come, where that is known; that have come, and their stored values.
    expected: Option<u64>,
    pub(super) rows: u64,
    pub(super) stored: u64,
    laid: Vec<Run>,
    held: u64,
    scratch: Option<Scratch>,
}

struct Run {
    /// The first row.
    base: u64,
    stored: u64,
    place: Place,
}

enum Place {
    Memory(Dealt),
    /// Starts, rows and values, one after the other from here on.
    Disk(u64),
}

impl Dealt {
    fn bytes(&self) -> u64 {
        [&self.starts, &self.rows, &self.data].iter().map(|b| b.len() as u64).sum()
    }
}

impl<'j> Runs<'j> {
    pub(super) fn new(job: &'j Job<'j>, first: &View<'_>, expected: Option<u64>) -> Result<Self> {
        let charge = job.budget.charge(8 * first.minor, "the stored values of each column")?;
        Ok(Self {
            job,
            format: first.format,
            dtype: first.dtype.clone(),
            minor: first.minor,
            counts: vec![0; first.minor as usize],
            _charge: charge,
            expected,
            rows: 0,
            stored: 0,
            laid: Vec::new(),
            held: 0,
            scratch: None,
        })
    }

    /// The next rows.
    pub(super) fn add(&mut self, view: &View<'_>) -> Result<()> {
        let size = view.item() as u64 + 4;
        let most = (self.job.turn_bytes() / size).clamp(1, u64::from(u32::MAX));
        let mut from = 0;
        while let Some((end, part)) = view.part(from, u64::from(u32::MAX), most) {
            self.job.poll()?;
            if part.stored() > u64::from(u32::MAX) {
                return Err(Error::new(Code::NotWritten, "a row has more stored values than 2^32"));
            }
            self.run(&part)?;
            self.rows += end - from;
            from = end;
        }
        Ok(())
    }

    fn run(&mut self, part: &View<'_>) -> Result<()> {
        let dealt = deal(part, self.job.threads, &self.job.budget)?;
        let starts = dealt.starts.as_slice().as_chunks::<4>().0;
        for (count, pair) in self.counts.iter_mut().zip(starts.windows(2)) {
            *count += u64::from(u32::from_ne_bytes(pair[1]) - u32::from_ne_bytes(pair[0]));
        }
        self.stored += part.stored();
        self.held += dealt.bytes();
        let run = Run { base: self.rows, stored: part.stored(), place: Place::Memory(dealt) };
        self.laid.push(run);
        if self.scratch.is_none() && self.held > self.job.budget.limit() / 8 * 3 {
            let scratch = self.job.draft.scratch()?;
            self.look_for_room(&scratch, self.rows + part.major())?;
            self.scratch = Some(scratch);
        }
        let Some(scratch) = &mut self.scratch else { return Ok(()) };
        for run in &mut self.laid {
            let Place::Memory(dealt) = &run.place else { continue };
            let at = scratch.write(dealt.starts.as_slice())?;
            scratch.write(dealt.rows.as_slice())?;
            scratch.write(dealt.data.as_slice())?;
            run.place = Place::Disk(at);
        }
        self.held = 0;
        Ok(())
    }

    /// Rows that are still to come need about as much as those that have.
    fn look_for_room(&self, scratch: &Scratch, rows: u64) -> Result<()> {
        let ratio = self.expected.map_or(1.0, |n| n as f64 / rows.max(1) as f64).max(1.0);
        let needed = (self.held as f64 * ratio) as u64;
        match scratch.room() {
            Some(room) if room < needed => {
                Err(Error::new(Code::NoSpace, "there is too little room to store a matrix in another order")
                    .expected(format!("about {needed} bytes until it is written"))
                    .found(format!("{room} bytes"))
                    .help("Make room, write to another disk, or raise memory_limit"))
            }
            _ => Ok(()),
        }
    }

    /// All columns, in bands that fit; the last rows have come.
    pub(super) fn finish(self, each: &mut dyn FnMut(u64, &View<'_>) -> Result<()>) -> Result<()> {
        let job = self.job;
        let format = if self.format == SparseFormat::Csr { SparseFormat::Csc } else { SparseFormat::Csr };
        let width = index_width(self.minor, self.rows, self.stored);
        let item = self.dtype.item_size().unwrap_or(1).max(1);
        let size = item as u64 + u64::from(width);
        // Few bands: each reads of each run. What is in memory is not read.
        let most =
            if self.scratch.is_some() { (job.budget.limit() / 4).min(MOST_BAND) } else { job.turn_bytes() };
        let mut from = 0;
        while from < self.counts.len() {
            job.poll()?;
            let (mut to, mut stored) = (from, 0);
            while let Some(count) = self.counts.get(to) {
                if to > from && (stored + count) * size + 24 * (to - from) as u64 > most {
                    break;
                }
                stored += count;
                to += 1;
            }
            let columns = (to - from) as u64;
            let _charge = job.budget.charge(16 * columns + 8, "where the columns of a band start")?;
            let mut next = Vec::with_capacity(to - from);
            let mut starts = vec![[0u8; 8]];
            let mut at = 0u64;
            for count in self.counts.get(from..to).unwrap_or_default() {
                next.push(at);
                at += count;
                starts.push(at.to_ne_bytes());
            }
            let mut indices = Buffer::zeroed(stored * u64::from(width), &job.budget, "the rows of a band")?;
            let mut data = Buffer::zeroed(stored * item as u64, &job.budget, "the values of a band")?;
            let place = (indices.as_mut_slice(), data.as_mut_slice());
            self.band(from, &mut next, stored, place, (usize::from(width), item))?;
            let view = View {
                format,
                minor: self.rows,
                dtype: &self.dtype,
                data: data.as_slice(),
                indices: indices.as_slice(),
                width,
                starts: starts.as_flattened(),
                start_width: 8,
            };
            each(to as u64, &view)?;
            from = to;
        }
        Ok(())
    }

    /// The columns from `from` on, which go on at `next`: each thread puts some of them together.
    fn band(
        &self,
        from: usize,
        next: &mut [u64],
        stored: u64,
        (indices, data): (&mut [u8], &mut [u8]),
        (width, item): (usize, usize),
    ) -> Result<()> {
        let threads = if stored < 1 << 16 { 1 } else { self.job.threads as u64 };
        let mut shares = Vec::new();
        let mut rest = (next, indices, data);
        let (mut column, mut first) = (from, 0);
        for t in 1..=threads {
            let goal = (u128::from(stored) * u128::from(t) / u128::from(threads)) as u64;
            let count = if t == threads { rest.0.len() } else { rest.0.partition_point(|at| *at < goal) };
            let (next, next_rest) = rest.0.split_at_mut(count);
            let end = next_rest.first().copied().unwrap_or(stored);
            let own = (end - first) as usize;
            let (indices, indices_rest) = rest.1.split_at_mut(own * width);
            let (data, data_rest) = rest.2.split_at_mut(own * item);
            rest = (next_rest, indices_rest, data_rest);
            shares.push(Share { columns: column, first, next, indices, data, width, item });
            column += count;
            first = end;
        }
        let budget = &self.job.budget;
        let piece = (budget.limit() / 64 / threads).clamp(4 << 10, 1 << 20);
        apart(shares, &|mut share: Share<'_>| {
            self.laid.iter().try_for_each(|run| share.take(run, self, piece, budget))
        })
        .map(drop)
    }
}

/// Columns of a band that one thread puts together.
struct Share<'s> {
    /// The first of them, and of their stored values in the band.
    columns: usize,
    first: u64,
    /// Where each goes on.
    next: &'s mut [u64],
    indices: &'s mut [u8],
    data: &'s mut [u8],
    width: usize,
    item: usize,
}

fn wrong() -> Error {
    Error::new(Code::Internal, "a run has other columns than were counted")
}

impl Share<'_> {
    /// What a run has of these columns.
    fn take(&mut self, run: &Run, runs: &Runs<'_>, piece: u64, budget: &Budget) -> Result<()> {
        let columns = self.columns as u64..(self.columns + self.next.len()) as u64;
        match (&run.place, &runs.scratch) {
            (Place::Memory(dealt), _) => {
                let starts = dealt.starts.as_slice().as_chunks::<4>().0;
                let starts = starts.get(self.columns..=columns.end as usize).ok_or_else(wrong)?;
                let (Some(a), Some(b)) = (starts.first(), starts.last()) else { return Ok(()) };
                let (a, b) = (u32::from_ne_bytes(*a) as usize, u32::from_ne_bytes(*b) as usize);
                let rows = dealt.rows.as_slice().get(4 * a..4 * b).ok_or_else(wrong)?;
                let data = dealt.data.as_slice().get(self.item * a..self.item * b).ok_or_else(wrong)?;
                self.put(&mut 0, starts, a as u64, rows, data, run.base)
            }
            (Place::Disk(at), Some(scratch)) => {
                let mut starts =
                    Buffer::zeroed(4 * (self.next.len() as u64 + 1), budget, "where columns start")?;
                scratch.read(at + 4 * columns.start, starts.as_mut_slice())?;
                let starts = starts.as_slice().as_chunks::<4>().0;
                let (Some(a), Some(b)) = (starts.first(), starts.last()) else { return Ok(()) };
                let (mut a, b) = (u64::from(u32::from_ne_bytes(*a)), u64::from(u32::from_ne_bytes(*b)));
                let rows_at = at + 4 * (runs.minor + 1);
                let data_at = rows_at + 4 * run.stored;
                let item = self.item as u64;
                let most = (piece / (4 + item)).max(1).min(b - a);
                let mut rows = Buffer::zeroed(4 * most, budget, "rows of a run")?;
                let mut data = Buffer::zeroed(item * most, budget, "values of a run")?;
                let mut column = 0;
                while a < b {
                    let n = most.min(b - a);
                    let rows = rows.as_mut_slice().get_mut(..4 * n as usize).ok_or_else(wrong)?;
                    let data = data.as_mut_slice().get_mut(..(item * n) as usize).ok_or_else(wrong)?;
                    scratch.read(rows_at + 4 * a, rows)?;
                    scratch.read(data_at + item * a, data)?;
                    self.put(&mut column, starts, a, rows, data, run.base)?;
                    a += n;
                }
                Ok(())
            }
            (Place::Disk(_), None) => Err(wrong()),
        }
    }

    /// Stored values from `at` on, in the order of columns; `column` is the one that the first may be in.
    fn put(
        &mut self,
        column: &mut usize,
        starts: &[[u8; 4]],
        at: u64,
        rows: &[u8],
        data: &[u8],
        base: u64,
    ) -> Result<()> {
        let rows = rows.as_chunks::<4>().0;
        let (item, width) = (self.item, self.width);
        let mut done = 0;
        while done < rows.len() {
            let end = starts.get(*column + 1).ok_or_else(wrong)?;
            let end = u64::from(u32::from_ne_bytes(*end)).saturating_sub(at) as usize;
            if end <= done {
                *column += 1;
                continue;
            }
            let end = end.min(rows.len());
            let next = self.next.get_mut(*column).ok_or_else(wrong)?;
            let to = (*next - self.first) as usize;
            let n = end - done;
            *next += n as u64;
            let place = self.data.get_mut(to * item..(to + n) * item).ok_or_else(wrong)?;
            place.copy_from_slice(data.get(done * item..end * item).ok_or_else(wrong)?);
            let place = self.indices.get_mut(to * width..(to + n) * width).ok_or_else(wrong)?;
            let own = rows.get(done..end).ok_or_else(wrong)?;
            let own = own.iter().map(|row| base + u64::from(u32::from_ne_bytes(*row)));
            if width == 4 {
                let place = place.as_chunks_mut::<4>().0.iter_mut();
                place.zip(own).for_each(|(to, row)| *to = (row as u32).to_ne_bytes());
            } else {
                let place = place.as_chunks_mut::<8>().0.iter_mut();
                place.zip(own).for_each(|(to, row)| *to = row.to_ne_bytes());
            }
            done = end;
        }
        Ok(())
    }
}
