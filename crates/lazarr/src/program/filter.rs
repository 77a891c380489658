//! A compressed matrix, some columns of it ("columns" along its minor axis): `indices` is searched, then the stored
//! values that were found are read.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Placement, Role, Run, StagePlan};

use super::rows::RowStarts;
use super::sparse::{check_proof, guess, index_width, proof, single_entries, unproven};
use super::{Cx, Leaf, Program, Stage};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{Gather, Items, Sink, may_be_absent, missing};
use crate::ledger::{Budget, Charge};
use crate::value::SparseMatrix;

/// From a stored column to the columns of the result.
enum Columns {
    /// A contiguous range, in order.
    Range(Range<u64>),
    /// Any column at most once: the result's column + 1, 0 for none. For moderate numbers of columns.
    Table(Vec<u32>),
    /// Ascending columns of a very wide axis.
    Rank(Index),
    /// Anything else: columns that are wanted several times, or in another order along a very wide axis.
    Many(HashMap<u64, Vec<u32>>),
}

/// So many columns may be looked up in a table.
const TABLE: u64 = 1 << 22;

impl Columns {
    fn new(columns: &Index, minor: u64) -> Result<Self> {
        if columns.len() > u64::from(u32::MAX) {
            return Err(Error::new(
                Code::Operation,
                "more than 2^32 columns cannot be selected out of order",
            ));
        }
        if let Some(range) = columns.is_identity_range() {
            return Ok(Self::Range(range));
        }
        if !columns.has_duplicates() && minor <= TABLE {
            let mut table = vec![0u32; minor as usize];
            for (to, from) in columns.iter().enumerate() {
                table[from as usize] = to as u32 + 1;
            }
            return Ok(Self::Table(table));
        }
        if columns.is_monotone() {
            return Ok(Self::Rank(columns.clone()));
        }
        let mut many: HashMap<u64, Vec<u32>> = HashMap::new();
        for (to, from) in columns.iter().enumerate() {
            many.entry(from).or_default().push(to as u32);
        }
        Ok(Self::Many(many))
    }

    /// Bytes that looking up takes.
    fn bytes(columns: &Index, minor: u64) -> u64 {
        if columns.is_identity_range().is_some() {
            0
        } else if !columns.has_duplicates() && minor <= TABLE {
            4 * minor
        } else if columns.is_monotone() {
            0 // the selection itself
        } else {
            columns.len().saturating_mul(64)
        }
    }

    /// Calls `f` with every column of the result that this stored column goes to.
    #[inline]
    fn each(&self, column: u64, mut f: impl FnMut(u32)) {
        match self {
            Self::Range(r) => {
                if r.contains(&column) {
                    f((column - r.start) as u32);
                }
            }
            Self::Table(t) => {
                let to = t[column as usize];
                if to > 0 {
                    f(to - 1);
                }
            }
            Self::Rank(index) => {
                if let Some(to) = index.rank(column) {
                    f(to as u32);
                }
            }
            Self::Many(m) => {
                if let Some(to) = m.get(&column) {
                    for &t in to {
                        f(t);
                    }
                }
            }
        }
    }
}

/// What was found in one chunk of `indices`.
struct Found {
    /// The first stored value of the chunk.
    start: u64,
    /// How many the chunk's rows have, in order of the rows.
    rows: Vec<(u64, u32)>,
    /// Their places in the chunk, ascending.
    places: Vec<u32>,
    /// Their columns in the result.
    columns: Vec<u32>,
    /// The first's place in the result.
    first: u64,
}

impl Found {
    /// Keeps a place, charged before there is room for it. Its column comes with it.
    fn keep(&mut self, place: u32, column: u32, charge: &mut Charge) -> Result<()> {
        if self.places.len() == self.places.capacity() {
            let more = self.places.len().max(64);
            charge.grow(8 * more as u64, FOUND)?;
            self.places.reserve_exact(more);
            self.columns.reserve_exact(more);
        }
        self.places.push(place);
        self.columns.push(column);
        Ok(())
    }

    /// Keeps how many a row has, as above.
    fn keep_row(&mut self, row: u64, count: u32, charge: &mut Charge) -> Result<()> {
        if self.rows.len() == self.rows.capacity() {
            let more = self.rows.len().max(16);
            charge.grow((more * size_of::<(u64, u32)>()) as u64, FOUND)?;
            self.rows.reserve_exact(more);
        }
        self.rows.push((row, count));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.rows.capacity() * size_of::<(u64, u32)>()
            + (self.places.capacity() + self.columns.capacity()) * 4) as u64
    }
}

/// What found places are charged as.
const FOUND: &str = "the places of the stored values that were found";

struct Search {
    sparse: Arc<Sparse>,
    starts: RowStarts,
    columns: Columns,
    _held: Charge,
    budget: Budget,
    lenient: bool,
    found: Mutex<(Vec<Found>, Charge)>,
}

impl Search {
    fn scan<const N: usize>(
        &self,
        items: &[u8],
        start: u64,
        span: Range<u64>,
        get: impl Fn([u8; N]) -> u64 + Copy,
    ) -> Result<(Found, Charge)> {
        let items = items.as_chunks::<N>().0;
        let minor = self.sparse.minor_len();
        let mut found = Found { start, rows: Vec::new(), places: Vec::new(), columns: Vec::new(), first: 0 };
        let mut charge = self.budget.open();
        let mut bad = None;
        let mut full = None;
        self.starts.each_in(span.clone(), |row, from, to| {
            if full.is_some() {
                return;
            }
            let (from, to) = (from.max(span.start), to.min(span.end));
            let before = found.places.len();
            for place in (from - start) as u32..(to - start) as u32 {
                let column = get(items[place as usize]);
                if column >= minor {
                    bad.get_or_insert((place, column));
                    return;
                }
                self.columns.each(column, |c| {
                    if full.is_none() {
                        full = found.keep(place, c, &mut charge).err();
                    }
                });
                if full.is_some() {
                    return;
                }
            }
            if found.places.len() > before {
                full = found.keep_row(row, (found.places.len() - before) as u32, &mut charge).err();
            }
        });
        if let Some(e) = full {
            return Err(e);
        }
        match bad {
            None => Ok((found, charge)),
            Some((place, column)) => {
                let shown = match &self.sparse.indices.dtype {
                    lazarr_format::DataType::Int(_) => (column as i64).to_string(),
                    _ => column.to_string(),
                };
                Err(Error::new(Code::SparseIndices, "an index lies outside of the matrix")
                    .element(&*self.sparse.indices.path)
                    .expected(format!("0 to {}", minor.saturating_sub(1)))
                    .found(format!("{shown} at item {}", start + u64::from(place))))
            }
        }
    }
}

impl Sink for Search {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        use lazarr_format::DataType::{Int, UInt};
        let Items::Fixed(items) = items else {
            return Err(Error::new(Code::Internal, "strings came where indices were expected"));
        };
        let start = read.array.cut(0).start(at[0]);
        let span = read.chunk_span(at)[0].clone();
        // Negative numbers become huge ones, which lie outside of every matrix.
        let (mut found, mut charge) = match &read.array.dtype {
            Int(1) => self.scan::<1>(items, start, span, |b| i8::from_ne_bytes(b) as u64),
            Int(2) => self.scan::<2>(items, start, span, |b| i16::from_ne_bytes(b) as u64),
            Int(4) => self.scan::<4>(items, start, span, |b| i32::from_ne_bytes(b) as u64),
            UInt(1) => self.scan::<1>(items, start, span, |b| u64::from(b[0])),
            UInt(2) => self.scan::<2>(items, start, span, |b| u64::from(u16::from_ne_bytes(b))),
            UInt(4) => self.scan::<4>(items, start, span, |b| u64::from(u32::from_ne_bytes(b))),
            Int(_) | UInt(_) => self.scan::<8>(items, start, span, u64::from_ne_bytes),
            other => Err(Error::new(Code::EncodingInvalid, "indices must be integers")
                .element(&*read.array.path)
                .found(other.to_string())),
        }?;
        found.places.shrink_to_fit();
        found.columns.shrink_to_fit();
        found.rows.shrink_to_fit();
        charge.shrink_to(found.bytes());
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.1.absorb(charge);
        all.0.push(found);
        Ok(())
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        let single = single_entries(&self.starts, &read.chunk_span(at)[0]);
        if self.lenient || (may_be_absent(read.role) && single) { Ok(()) } else { Err(missing(read, at)) }
    }
}

/// The stored values that were found, as a placement: they ascend, and so do their places in the result.
struct Matches {
    found: Vec<Found>,
    len: u64,
}

impl Matches {
    /// The first chunk with a match at or after `pos`, and which match.
    fn seek(&self, pos: u64) -> Option<(usize, usize)> {
        let mut chunk = self.found.partition_point(|f| f.start <= pos).saturating_sub(1);
        while let Some(found) = self.found.get(chunk) {
            let place = pos.saturating_sub(found.start);
            let i = found.places.partition_point(|&p| u64::from(p) < place);
            if i < found.places.len() {
                return Some((chunk, i));
            }
            chunk += 1;
        }
        None
    }
}

impl Placement for Matches {
    fn len(&self) -> u64 {
        self.len
    }

    fn next_from(&self, pos: u64) -> Option<u64> {
        self.seek(pos).map(|(c, i)| self.found[c].start + u64::from(self.found[c].places[i]))
    }

    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()> {
        let Some((chunk, skip)) = self.seek(span.start) else { return Ok(()) };
        let mut open: Option<Run> = None;
        for (k, found) in self.found.iter().enumerate().skip(chunk) {
            let skip = if k == chunk { skip } else { 0 };
            for (i, &place) in found.places.iter().enumerate().skip(skip) {
                let src = found.start + u64::from(place);
                if src >= span.end {
                    return open.map_or(Ok(()), f);
                }
                match &mut open {
                    Some(run) if run.src + run.len == src => run.len += 1,
                    _ => {
                        let next = Run { src, dst: found.first + i as u64, len: 1 };
                        if let Some(run) = open.replace(next) {
                            f(run)?;
                        }
                    }
                }
            }
        }
        open.map_or(Ok(()), f)
    }

    fn span(&self) -> Option<Range<u64>> {
        let first = self.next_from(0)?;
        let last = self.found.iter().rev().find_map(|f| f.places.last().map(|&p| f.start + u64::from(p)))?;
        Some(first..last + 1)
    }

    fn is_identity_range(&self) -> Option<Range<u64>> {
        (self.len == 0).then_some(0..0)
    }
}

enum State {
    Start,
    Starts(RowStarts),
    Proof(RowStarts, Box<super::fixed::Fixed>),
    Search(Box<Search>),
    Values(Box<Values>),
    Done,
}

struct Values {
    matches: Arc<Matches>,
    indptr: Buffer,
    indices: Buffer,
    index_width: u8,
    data: Option<(Buffer, Gather)>,
    held: Charge,
}

/// Reads selected rows and columns. Rows are sorted and made unique for reading, and expanded at the end.
pub(crate) struct SparseFilter {
    sparse: Arc<Sparse>,
    rows: Index,
    sorted: Index,
    columns: Index,
    state: State,
}

impl SparseFilter {
    /// The rows of `rows` and the columns of `columns`, in their order, repeats included.
    pub(crate) fn new(sparse: &Arc<Sparse>, rows: &Index, columns: &Index) -> Self {
        let sorted = if rows.is_monotone() { rows.clone() } else { rows.unique_sorted() };
        Self {
            sparse: sparse.clone(),
            rows: rows.clone(),
            sorted,
            columns: columns.clone(),
            state: State::Start,
        }
    }

    fn search(&self, mut starts: RowStarts, cx: &Cx) -> Result<(State, Stage)> {
        starts.check()?;
        // Destinations do not matter here: only what is touched.
        let segments = starts.segments(|_| 0, cx)?;
        let read = ArrayRead::new(&self.sparse.indices, vec![segments], Role::Indices);
        let minor = self.sparse.minor_len();
        let held =
            cx.budget.charge(Columns::bytes(&self.columns, minor), "the places of selected columns")?;
        let search = Search {
            sparse: self.sparse.clone(),
            starts,
            columns: Columns::new(&self.columns, minor)?,
            _held: held,
            budget: cx.budget.clone(),
            lenient: cx.lenient,
            found: Mutex::new((Vec::new(), cx.budget.open())),
        };
        let stage = Stage { name: "indices", reads: vec![read], last: false };
        Ok((State::Search(Box::new(search)), stage))
    }

    fn values(&self, search: Search, cx: &Cx) -> Result<(State, Stage)> {
        let (mut found, held) = search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable_by_key(|f| f.start);
        let rows = self.sorted.len();
        let mut indptr =
            Buffer::zeroed((rows + 1).saturating_mul(8), &cx.budget, "the row starts of the result")?;
        let mut total = 0u64;
        {
            let lengths = indptr.as_mut_slice().as_chunks_mut::<8>().0;
            for f in &mut found {
                f.first = total;
                total += f.places.len() as u64;
                for &(row, n) in &f.rows {
                    let length = &mut lengths[row as usize + 1];
                    *length = (u64::from_ne_bytes(*length) + u64::from(n)).to_ne_bytes();
                }
                f.rows = Vec::new();
            }
            let mut sum = 0u64;
            for item in lengths {
                sum += u64::from_ne_bytes(*item);
                *item = sum.to_ne_bytes();
            }
        }
        let width = index_width(self.rows.len(), self.columns.len(), total);
        let mut indices = Buffer::zeroed(total * u64::from(width), &cx.budget, "the indices")?;
        {
            let out = indices.as_mut_slice();
            let columns = found.iter().flat_map(|f| f.columns.iter());
            if width == 4 {
                out.as_chunks_mut::<4>()
                    .0
                    .iter_mut()
                    .zip(columns)
                    .for_each(|(o, c)| *o = (*c as i32).to_ne_bytes());
            } else {
                out.as_chunks_mut::<8>()
                    .0
                    .iter_mut()
                    .zip(columns)
                    .for_each(|(o, c)| *o = i64::from(*c).to_ne_bytes());
            }
        }
        for f in &mut found {
            f.columns = Vec::new();
        }
        found.retain(|f| !f.places.is_empty());
        let matches = Arc::new(Matches { found, len: total });
        let read = ArrayRead::new(&self.sparse.data, vec![matches.clone()], Role::Data);
        let values = Values { matches, indptr, indices, index_width: width, data: None, held };
        Ok((State::Values(Box::new(values)), Stage { name: "values", reads: vec![read], last: true }))
    }
}

impl Program for SparseFilter {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        let (state, stage) = match std::mem::replace(&mut self.state, State::Done) {
            State::Start => {
                let starts = RowStarts::new(&self.sparse, &self.sorted, cx)?;
                let stage = Stage { name: "indptr", reads: vec![starts.read()], last: false };
                (State::Starts(starts), stage)
            }
            State::Starts(starts) => match unproven(&starts, cx)? {
                Some(items) => {
                    let (stage, proof) = proof(&self.sparse, &items, cx)?;
                    (State::Proof(starts, proof), stage)
                }
                None => self.search(starts, cx)?,
            },
            State::Proof(starts, proof) => {
                check_proof(&self.sparse, proof, cx)?;
                self.search(starts, cx)?
            }
            State::Search(search) => self.values(*search, cx)?,
            state @ (State::Values(_) | State::Done) => {
                self.state = state;
                return Ok(None);
            }
        };
        self.state = state;
        Ok(Some(stage))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        match &mut self.state {
            State::Starts(starts) => starts.open(cx),
            State::Proof(_, proof) => proof.open(cx),
            State::Values(v) => {
                let size = self.sparse.data.dtype.item_size().unwrap_or(1);
                let bytes = v.matches.len.saturating_mul(size as u64);
                let mut data = Buffer::zeroed(bytes, &cx.budget, "the stored values")?;
                let gather = Gather {
                    target: data.target(),
                    out_shape: vec![v.matches.len],
                    convert: Convert::values(&self.sparse.data.dtype),
                    absent: None,
                    lenient: cx.lenient,
                    code: Code::ChunkDecode,
                };
                v.data = Some((data, gather));
                Ok(())
            }
            State::Start | State::Search(_) | State::Done => Ok(()),
        }
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        match &self.state {
            State::Starts(starts) => starts.sink().into_iter().collect(),
            State::Proof(_, proof) => proof.sinks(),
            State::Search(search) => vec![&**search],
            State::Values(v) => v.data.iter().map(|(_, g)| g as &dyn Sink).collect(),
            State::Start | State::Done => Vec::new(),
        }
    }

    fn later(&self) -> Vec<StagePlan> {
        let stage = |name: &str, arrays: Vec<_>| StagePlan {
            name: name.into(),
            round_trips: Amount::upper(2),
            arrays,
        };
        let indices = || stage("indices", vec![guess(&self.sparse, &self.sparse.indices, &self.sorted)]);
        // Which chunks hold a match is unknown: at most those that hold the rows.
        let values = || stage("values", vec![guess(&self.sparse, &self.sparse.data, &self.sorted)]);
        match &self.state {
            State::Start | State::Starts(_) | State::Proof(..) => vec![indices(), values()],
            State::Search(_) => vec![values()],
            State::Values(_) | State::Done => Vec::new(),
        }
    }

    fn output(&self) -> Amount {
        let size = self.sparse.data.dtype.item_size().unwrap_or(1) as u64;
        let of = |nnz: u64| {
            let width = u64::from(index_width(self.rows.len(), self.columns.len(), nnz));
            nnz.saturating_mul(size + width).saturating_add((self.rows.len() + 1).saturating_mul(width))
        };
        match &self.state {
            State::Values(v) if self.rows.is_monotone() => Amount::exact(of(v.matches.len)),
            _ => {
                let share = self.rows.len() as f64 / self.sparse.major_len().max(1) as f64
                    * (self.columns.len() as f64 / self.sparse.minor_len().max(1) as f64);
                Amount::estimate(of((self.sparse.nnz() as f64 * share).ceil() as u64))
            }
        }
    }

    fn beside(&self) -> Amount {
        let output = self.output();
        Amount::estimate(output.value + self.sorted.len().saturating_mul(32))
    }

    fn resolve_hint(&self) -> Option<String> {
        let known = matches!(self.state, State::Values(_) | State::Done);
        (!known).then(|| "reads indptr and searches the indices, and makes every number exact".into())
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        let unread = || Error::new(Code::Internal, "a matrix was finished before it was read");
        if let State::Values(v) = &self.state
            && v.data.is_none()
        {
            self.open(cx)?;
        }
        let State::Values(v) = std::mem::replace(&mut self.state, State::Done) else { return Err(unread()) };
        let Values { indptr, indices, index_width, data: Some((data, _)), held, .. } = *v else {
            return Err(unread());
        };
        drop(held);
        let mut shape = [0; 2];
        let major = self.sparse.format.major_axis();
        shape[major] = self.sorted.len();
        shape[1 - major] = self.columns.len();
        let mut matrix = SparseMatrix {
            format: self.sparse.format,
            shape,
            dtype: self.sparse.data.dtype.clone(),
            index_width,
            data,
            indices,
            indptr: super::sparse::narrow(indptr, index_width, cx)?,
        };
        if !self.rows.is_monotone() {
            matrix = super::take::take_major(&matrix, &self.rows.expansion(), cx)?;
        }
        Ok(Leaf::Sparse(matrix))
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
