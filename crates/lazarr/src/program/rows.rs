//! Where the stored values of selected rows stand: windows of `indptr`, checked.

use std::ops::{BitOr, Range};
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{ArrayRead, Index, Placement, Role, Run, Segments};

use super::{Cx, Stage};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{Gather, Items, Sink, missing};
use crate::ledger::Charge;

/// The row starts of selected rows (columns, of a csc matrix).
///
/// "Row" is the major axis here. The windows of `indptr` that hold the starts and ends of the rows are read into one
/// compact buffer; `runs` says which rows are where in it.
pub(crate) struct RowStarts {
    sparse: Arc<Sparse>,
    /// The selected rows, by source.
    runs: Arc<Vec<Run>>,
    /// Where the starts of each run stand in the buffer; none where all runs stand apart, see [`RowStarts::place`].
    places: Vec<u64>,
    /// What is read of `indptr`.
    windows: Arc<Segments>,
    sink: Option<(Buffer, PtrSink)>,
    charge: Charge,
}

/// Gathers row starts, checks the whole chunks that they come in, and remembers which chunks were absent.
struct PtrSink {
    gather: Gather,
    seen: Mutex<Seen>,
}

/// What the chunks of `indptr` that came (or did not) say of what stands before them.
#[derive(Default)]
struct Seen {
    /// The start of the last absent chunk.
    absent: Option<u64>,
    /// The start of the first chunk that ends with something else than 0.
    stored: Option<u64>,
}

impl Sink for PtrSink {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        if let Items::Fixed(bytes) = &items {
            let span = &read.chunk_span(at)[0];
            let start = read.array.cut(0).start(at[0]);
            let size = self.gather.convert.stored_size();
            let last = span.end.saturating_sub(start + 1) as usize * size;
            // A start that is wrong may be the end of a selected row and still lie after its beginning: what stands
            // beside it tells, and is here already.
            if let Some((at, before, after)) =
                fall(&self.gather.convert, bytes.get(..last + size).unwrap_or(bytes))
            {
                let item = start + at as u64;
                return Err(Error::new(Code::SparseIndptr, "row starts must ascend")
                    .element(&*read.array.path)
                    .expected(format!("item {} not below item {item}", item + 1))
                    .found(format!("{after} after {before}")));
            }
            if bytes.get(last..last + size).is_some_and(|item| item.iter().any(|&b| b != 0)) {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.stored = Some(seen.stored.map_or(start, |s| s.min(start)));
            }
        }
        self.gather.place(read, at, items)
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        let start = read.array.cut(0).start(at[0]);
        // The last start is the number of stored values: only where there are none can it be absent.
        if read.chunk_span(at)[0].end == read.array.shape[0] && self.gather.convert.bounds().1 > 0 {
            return Err(missing(read, at));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.absent = Some(seen.absent.map_or(start, |l| l.max(start)));
        Ok(())
    }
}

/// The first item that is above the next one: where it stands, and both.
fn fall(convert: &Convert, items: &[u8]) -> Option<(usize, i128, i128)> {
    let Convert::Integers { from, .. } = convert else { return None };
    match from {
        DataType::Int(1) => fall_of(items, i8::from_ne_bytes, |a, b| a | b | b.wrapping_sub(a)),
        DataType::Int(2) => fall_of(items, i16::from_ne_bytes, |a, b| a | b | b.wrapping_sub(a)),
        DataType::Int(4) => fall_of(items, i32::from_ne_bytes, |a, b| a | b | b.wrapping_sub(a)),
        DataType::Int(_) => fall_of(items, i64::from_ne_bytes, |a, b| a | b | b.wrapping_sub(a)),
        DataType::UInt(1) => fall_of(items, u8::from_ne_bytes, |a, b| (a | b | b.wrapping_sub(a)) as i8),
        DataType::UInt(2) => fall_of(items, u16::from_ne_bytes, |a, b| (a | b | b.wrapping_sub(a)) as i16),
        DataType::UInt(4) => fall_of(items, u32::from_ne_bytes, |a, b| (a | b | b.wrapping_sub(a)) as i32),
        _ => fall_of(items, u64::from_ne_bytes, |a, b| (a | b | b.wrapping_sub(a)) as i64),
    }
}

/// `sign(a, b)` is below zero where `b` is below `a`, or where one of them is too large for that to tell: two numbers
/// without the top bit differ by what has it only where they fall. No comparison, which 64 bits have no vectors for.
fn fall_of<const N: usize, T: PartialOrd + Into<i128>, S: Copy + Default + PartialOrd + BitOr<Output = S>>(
    items: &[u8],
    get: impl Fn([u8; N]) -> T,
    sign: impl Fn(T, T) -> S,
) -> Option<(usize, i128, i128)> {
    let items = items.as_chunks::<N>().0;
    let (before, after) = (items.get(..items.len().saturating_sub(1))?, items.get(1..)?);
    let signs = before.iter().zip(after).fold(S::default(), |all, (a, b)| all | sign(get(*a), get(*b)));
    if signs >= S::default() {
        return None;
    }
    let at = items.windows(2).position(|w| get(w[0]) > get(w[1]))?;
    Some((at, get(items[at]).into(), get(items[at + 1]).into()))
}

/// The start of each row and the end of the last, of each run; neighbours share the item between them. `places`: where
/// those of each run begin.
fn windows(runs: &[Run], places: &mut Vec<u64>) -> Vec<Run> {
    let mut windows: Vec<Run> = Vec::with_capacity(runs.len());
    let mut end = 0; // of the buffer
    for run in runs {
        match windows.last_mut() {
            Some(w) if run.src < w.src + w.len => {
                let more = (run.src + run.len + 1).saturating_sub(w.src + w.len);
                places.push(w.dst + (run.src - w.src));
                w.len += more;
                end += more;
            }
            _ => {
                places.push(end);
                windows.push(Run { src: run.src, dst: end, len: run.len + 1 });
                end += run.len + 1;
            }
        }
    }
    windows
}

impl RowStarts {
    /// The rows of `index`.
    pub(crate) fn new(sparse: &Arc<Sparse>, index: &Index, cx: &Cx) -> Result<Self> {
        // Counted first: lists that grow are copied, and millions of runs are much memory to touch twice.
        let count = index.run_count() as usize;
        let mut charge =
            cx.budget.charge((count * size_of::<Run>()) as u64, "the places of selected rows")?;
        let mut runs: Vec<Run> = Vec::with_capacity(count);
        let (mut apart, mut free, mut next) = (true, 0, 0);
        index.runs(0..sparse.major_len(), &mut |run| {
            apart &= run.src >= free && run.dst == next;
            (free, next) = (run.src + run.len + 1, run.dst + run.len);
            runs.push(run);
            Ok(())
        })?;
        let runs = Arc::new(runs);
        let mut places = Vec::new();
        let windows = if apart {
            Segments::borders(&runs)
        } else {
            charge.grow((count * (size_of::<Run>() + 8)) as u64, "the places of selected rows")?;
            places.reserve_exact(count);
            Segments::new(windows(&runs, &mut places))
        };
        let windows = Arc::new(windows);
        Ok(Self { sparse: sparse.clone(), runs, places, windows, sink: None, charge })
    }

    /// Where the starts of a run stand in the buffer.
    fn place(&self, k: usize) -> u64 {
        // Of runs that stand apart each has one start more than rows.
        self.places.get(k).copied().unwrap_or_else(|| self.runs[k].dst + k as u64)
    }

    /// The runs from one on, and the place of each.
    fn placed(&self, first: usize) -> impl Iterator<Item = (&Run, u64)> {
        self.runs.iter().enumerate().skip(first).map(|(k, run)| (run, self.place(k)))
    }

    /// The matrix.
    pub(crate) fn sparse(&self) -> &Arc<Sparse> {
        &self.sparse
    }

    /// What is read of `indptr`.
    pub(crate) fn read(&self) -> ArrayRead {
        ArrayRead::new(&self.sparse.indptr, vec![self.windows.clone()], Role::Indptr)
    }

    /// The stage that reads them; what they lead to comes after.
    pub(crate) fn stage(&self) -> Stage {
        let ahead = match self.runs.as_slice() {
            [] => Vec::new(),
            _ => vec![self.sparse.indices.clone(), self.sparse.data.clone()],
        };
        Stage { ahead, ..Stage::new("indptr", vec![self.read()], false) }
    }

    /// The starts of the rows whose destinations are `first..last`, as destinations from 0: a block of a window that was
    /// read. Rows must ascend.
    pub(crate) fn part(&self, first: u64, last: u64, cx: &Cx) -> Result<Self> {
        let (mut runs, mut places, mut from) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = 0;
        let skip = self.runs.partition_point(|r| r.dst + r.len <= first);
        for (run, place) in self.placed(skip) {
            let (a, b) = (run.dst.max(first), (run.dst + run.len).min(last));
            if a >= b {
                break;
            }
            runs.push(Run { src: run.src + (a - run.dst), dst: a - first, len: b - a });
            places.push(end);
            from.push(place + (a - run.dst));
            end += b - a + 1;
        }
        let mut charge = cx.budget.open();
        charge.grow(
            (runs.len() * (size_of::<Run>() + 16)) as u64 + 8 * end,
            "the places of the rows of a block",
        )?;
        let windows = Arc::new(Segments::new(vec![Run { src: 0, dst: 0, len: end }]));
        let runs = Arc::new(runs);
        let mut part = Self { sparse: self.sparse.clone(), runs, places, windows, sink: None, charge };
        part.open(cx)?;
        let starts = self.starts();
        if let Some((buffer, _)) = &mut part.sink {
            let out = buffer.as_mut_slice().as_chunks_mut::<8>().0;
            for ((run, &place), &from) in part.runs.iter().zip(&part.places).zip(&from) {
                let len = run.len as usize + 1;
                out[place as usize..place as usize + len]
                    .copy_from_slice(&starts[from as usize..from as usize + len]);
            }
        }
        Ok(part)
    }

    /// Whether rows are not all side by side.
    pub(crate) fn is_scattered(&self) -> bool {
        self.runs.len() > 1
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.charge.bytes() + 8 * self.windows.len()
    }

    pub(crate) fn open(&mut self, cx: &Cx) -> Result<()> {
        let len = self.windows.len();
        let mut buffer = Buffer::zeroed(8 * len, &cx.budget, "row starts")?;
        let nnz = i64::try_from(self.sparse.nnz()).unwrap_or(i64::MAX);
        let gather = Gather {
            target: buffer.target(),
            out_shape: vec![len],
            convert: Convert::integers(&self.sparse.indptr.dtype, 8, 0, nnz, &self.sparse.indptr.path)?,
            absent: None,
            lenient: cx.lenient,
            code: Code::SparseIndptr,
        };
        self.sink = Some((buffer, PtrSink { gather, seen: Mutex::default() }));
        Ok(())
    }

    pub(crate) fn sink(&self) -> Option<&dyn Sink> {
        self.sink.as_ref().map(|(_, s)| s as &dyn Sink)
    }

    /// The items that must be 0 where a chunk was absent: absent row starts are legal only as a prefix. These are the
    /// last items of all chunks before it that were not read with the rows (those that were are known already, and are
    /// not read again); any of them may be absent too.
    pub(crate) fn unproven(&self, cx: &Cx) -> Result<Option<Index>> {
        let Some((_, sink)) = &self.sink else { return Ok(None) };
        let seen = sink.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(absent) = seen.absent else { return Ok(None) };
        if seen.stored.is_some_and(|start| start < absent) {
            return Err(gap(&self.sparse));
        }
        let cut = self.sparse.indptr.cut(0);
        let before = cut.of(absent);
        let _held = cx.budget.charge(before * 8, "the row starts before an absent chunk")?;
        let touched = |chunk: u64| {
            self.windows.next_from(cut.start(chunk)).is_some_and(|item| item < cut.start(chunk + 1))
        };
        let items: Vec<u64> = (0..before).filter(|c| !touched(*c)).map(|c| cut.start(c + 1) - 1).collect();
        Ok((!items.is_empty()).then(|| Index::positions(items)))
    }

    fn starts(&self) -> &[[u8; 8]] {
        self.sink.as_ref().map_or(&[], |(b, _)| b.as_slice().as_chunks::<8>().0)
    }

    /// Checks that the row starts ascend, begin with 0 and end with the number of stored values.
    pub(crate) fn check(&self) -> Result<()> {
        let path = &*self.sparse.indptr.path;
        let starts = self.starts();
        let at = |i: u64| starts.get(i as usize).map_or(0, |b| u64::from_ne_bytes(*b));
        let mut before: Option<(u64, u64)> = None;
        for (run, place) in self.placed(0) {
            let window = &starts[place as usize..=(place + run.len) as usize];
            // Rows that are not neighbours ascend too: what is read of the values takes it for granted.
            if let Some((end, value)) = before.filter(|b| b.0 <= run.src && b.1 > at(place)) {
                return Err(Error::new(Code::SparseIndptr, "row starts must ascend")
                    .element(path)
                    .expected(format!("item {} not below item {end}", run.src))
                    .found(format!("{} after {value}", at(place))));
            }
            before = Some((run.src + run.len, at(place + run.len)));
            if let Some(i) =
                window.windows(2).position(|w| u64::from_ne_bytes(w[0]) > u64::from_ne_bytes(w[1]))
            {
                return Err(Error::new(Code::SparseIndptr, "row starts must ascend")
                    .element(path)
                    .expected(format!(
                        "item {} not below item {}",
                        run.src + i as u64 + 1,
                        run.src + i as u64
                    ))
                    .found(format!("{} after {}", at(place + i as u64 + 1), at(place + i as u64))));
            }
            if run.src == 0 && at(place) != 0 {
                return Err(Error::new(Code::SparseIndptr, "the first row must start at 0")
                    .element(path)
                    .expected("0")
                    .found(at(place).to_string()));
            }
            if run.src + run.len == self.sparse.major_len() && at(place + run.len) != self.sparse.nnz() {
                return Err(Error::new(
                    Code::SparseIndptr,
                    "the last row must end with the last stored value",
                )
                .element(path)
                .expected(self.sparse.nnz().to_string())
                .found(at(place + run.len).to_string()));
            }
        }
        Ok(())
    }

    /// Calls `f(destination, start, end)` for each selected row, by source.
    pub(crate) fn each(&self, mut f: impl FnMut(u64, u64, u64)) {
        let starts = self.starts();
        for (run, place) in self.placed(0) {
            let window = &starts[place as usize..=(place + run.len) as usize];
            for (i, w) in window.windows(2).enumerate() {
                f(run.dst + i as u64, u64::from_ne_bytes(w[0]), u64::from_ne_bytes(w[1]));
            }
        }
    }

    /// Calls `f(destination, start, end)` for the selected rows from destination `first` to `last`, until it is false.
    pub(crate) fn each_from(&self, first: u64, last: u64, mut f: impl FnMut(u64, u64, u64) -> bool) {
        let starts = self.starts();
        let skip = self.runs.partition_point(|r| r.dst + r.len <= first);
        for (run, place) in self.placed(skip) {
            let from = first.saturating_sub(run.dst);
            for i in from..run.len {
                let at = (place + i) as usize;
                let (start, end) = (u64::from_ne_bytes(starts[at]), u64::from_ne_bytes(starts[at + 1]));
                if run.dst + i >= last || !f(run.dst + i, start, end) {
                    return;
                }
            }
        }
    }

    /// The first run of rows that ends after a stored value. Ends ascend with the rows, where these ascend.
    fn first_after(&self, pos: u64) -> usize {
        let starts = self.starts();
        let (mut first, mut last) = (0, self.runs.len());
        while first < last {
            let mid = first.midpoint(last);
            if u64::from_ne_bytes(starts[(self.place(mid) + self.runs[mid].len) as usize]) <= pos {
                first = mid + 1;
            } else {
                last = mid;
            }
        }
        first
    }

    /// Calls `f(destination, start, end)` for each selected row that has stored values in `span`; rows ascend.
    pub(crate) fn each_in(&self, span: std::ops::Range<u64>, mut f: impl FnMut(u64, u64, u64)) {
        let starts = self.starts();
        let first = self.first_after(span.start);
        for (run, place) in self.placed(first) {
            let window = &starts[place as usize..=(place + run.len) as usize];
            let skip = window[1..].partition_point(|b| u64::from_ne_bytes(*b) <= span.start);
            for (i, w) in window.windows(2).enumerate().skip(skip) {
                let (start, end) = (u64::from_ne_bytes(w[0]), u64::from_ne_bytes(w[1]));
                if start >= span.end {
                    return;
                }
                if end > start {
                    f(run.dst + i as u64, start, end);
                }
            }
        }
    }

    /// Calls `f(rows, start, end)` for each run of selected rows that has stored values in `span`, and for these alone;
    /// rows ascend.
    pub(crate) fn stretches<E>(
        &self,
        span: std::ops::Range<u64>,
        mut f: impl FnMut(Rows<'_>, u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let starts = self.starts();
        let get = |i: u64| u64::from_ne_bytes(starts[i as usize]);
        let first = self.first_after(span.start);
        for (run, place) in self.placed(first) {
            let start = get(place).max(span.start);
            let end = get(place + run.len).min(span.end);
            if start >= span.end {
                break;
            }
            if start < end {
                let starts = &starts[place as usize..=(place + run.len) as usize];
                f(Rows { first: run.dst, starts }, start, end)?;
            }
        }
        Ok(())
    }

    /// The stretches of the stored values: `out` gives the first place of each row in the result.
    pub(crate) fn segments(&mut self, out: impl Fn(u64) -> u64, cx: &Cx) -> Result<Arc<Segments>> {
        let starts = self.starts();
        let bytes = (self.runs.len() * size_of::<Run>()) as u64;
        let charge = cx.budget.charge(bytes, "the places of stored values")?;
        let mut runs: Vec<Run> = Vec::with_capacity(self.runs.len());
        for (run, place) in self.placed(0) {
            let start = u64::from_ne_bytes(starts[place as usize]);
            let end = u64::from_ne_bytes(starts[(place + run.len) as usize]);
            runs.push(Run { src: start, dst: out(run.dst), len: end - start });
        }
        self.charge.absorb(charge);
        Ok(Arc::new(Segments::new(runs)))
    }
}

/// Neighbouring rows, by their starts.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The destination of the first; the others follow.
    pub(crate) first: u64,
    /// The start of each, and the end of the last.
    starts: &'a [[u8; 8]],
}

impl Rows<'_> {
    /// How many rows this stretch begins in, ends in and has between, of which some may have no stored values.
    pub(crate) fn count(self, from: u64, to: u64) -> u64 {
        if from >= to { 0 } else { (self.row_of(to - 1, None) - self.row_of(from, None) + 1) as u64 }
    }

    /// Calls `f(row, start, end)` for each row that has stored values in this stretch, and for these; rows are counted
    /// from the first.
    pub(crate) fn each(self, from: u64, to: u64, mut f: impl FnMut(u64, u64, u64)) {
        let mut row = self.row_of(from, None);
        let mut start = from;
        while start < to
            && let Some(end) = self.starts.get(row + 1)
        {
            let end = u64::from_ne_bytes(*end).min(to);
            if end > start {
                f(row as u64, start, end);
            }
            start = start.max(end);
            row += 1;
        }
    }

    /// Calls `f(row, count)` for each row, a destination, that has stored values in this stretch. Stretches ascend: `near`
    /// is the row that the one before has ended in.
    pub(crate) fn counts<E>(
        self,
        stretch: Range<u64>,
        near: &mut Option<usize>,
        mut f: impl FnMut(u64, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = stretch.start;
        while start < stretch.end {
            let row = self.row_of(start, *near);
            let Some(end) = self.starts.get(row + 1) else { break };
            let end = u64::from_ne_bytes(*end).min(stretch.end);
            f(self.first + row as u64, (end - start) as u32)?;
            start = end;
            *near = Some(row);
        }
        Ok(())
    }

    /// The row that holds a stored value, counted from the first; looked for from `near` on, which is not behind it.
    pub(crate) fn row_of(self, place: u64, near: Option<usize>) -> usize {
        let ends = self.starts.get(1..).unwrap_or_default();
        let ended = |row: usize| ends.get(row).is_some_and(|e| u64::from_ne_bytes(*e) <= place);
        let Some(mut from) = near else {
            return ends.partition_point(|e| u64::from_ne_bytes(*e) <= place);
        };
        // Most often it is a few rows ahead.
        let mut step = 1;
        while ended(from + step - 1) {
            from += step;
            step *= 2;
        }
        let to = (from + step).min(ends.len());
        let window = ends.get(from..to).unwrap_or_default();
        from + window.partition_point(|e| u64::from_ne_bytes(*e) <= place)
    }
}

/// The error for a chunk of `indptr` that is missing where the fill value cannot be right.
pub(super) fn gap(sparse: &Sparse) -> Error {
    Error::new(Code::MissingChunk, "a chunk of row starts is missing after the first stored value")
        .element(&*sparse.indptr.path)
        .help("The store is incomplete: copy it again from its source")
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
