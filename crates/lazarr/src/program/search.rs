//! The search for columns in `indices`: which stored values are wanted, in which rows they are, and to which columns of
//! the result they go.

mod columns;
mod scan;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{ArrayRead, Index, Role};

use super::places::{Places, room};
use super::rows::{RowStarts, Rows};
use super::sparse::single_entries;
use crate::exec::sink::{Items, Sink, may_be_absent, missing};
use crate::ledger::{Budget, Charge};
use columns::Columns;
use scan::{Item, Wanted};

/// What was found in one chunk of `indices`.
pub(super) struct Found {
    /// The first stored value of the chunk.
    pub(super) start: u64,
    /// How many the chunk's rows have, in order of the rows.
    pub(super) rows: Vec<(u64, u32)>,
    /// Their places in the chunk.
    pub(super) places: Places,
    /// Their columns in the result.
    pub(super) columns: Vec<u32>,
    /// The first's place in the result.
    pub(super) first: u64,
}

impl Found {
    fn at(start: u64) -> Self {
        Self { start, rows: Vec::new(), places: Places::Runs(Vec::new(), 0), columns: Vec::new(), first: 0 }
    }

    /// Keeps places side by side, charged before there is room for them. Their columns come with them.
    fn keep(
        &mut self,
        first: u32,
        columns: impl ExactSizeIterator<Item = u32>,
        charge: &mut Charge,
    ) -> Result<()> {
        let grow = &mut |bytes: usize| charge.grow(bytes as u64, FOUND);
        room(&mut self.columns, columns.len(), grow)?;
        self.places.add(first, columns.len() as u32, grow)?;
        self.columns.extend(columns);
        Ok(())
    }

    /// Counts so many for a row, as above. Rows ascend.
    fn keep_row(&mut self, row: u64, count: u32, charge: &mut Charge) -> Result<()> {
        if let Some(last) = self.rows.last_mut().filter(|last| last.0 == row) {
            last.1 += count;
            return Ok(());
        }
        room(&mut self.rows, 1, &mut |bytes| charge.grow(bytes as u64, FOUND))?;
        self.rows.push((row, count));
        Ok(())
    }

    /// Gives back the room that is not needed; the places are final.
    fn trim(&mut self, charge: &mut Charge) {
        self.places.pack();
        self.columns.shrink_to_fit();
        self.rows.shrink_to_fit();
        let bytes = self.rows.capacity() * size_of::<(u64, u32)>()
            + self.places.bytes()
            + self.columns.capacity() * 4;
        charge.shrink_to(bytes as u64);
    }
}

/// What found places are charged as.
const FOUND: &str = "the places of the stored values that were found";

/// Searches chunks of `indices`, and keeps what it finds.
pub(super) struct Search {
    sparse: Arc<Sparse>,
    /// `None`: all rows are wanted, and where they begin is not known yet, see [`Search::settle`].
    starts: Option<RowStarts>,
    columns: Columns,
    wanted: Wanted,
    _held: Charge,
    budget: Budget,
    lenient: bool,
    found: Mutex<(Vec<Found>, Charge)>,
    /// Chunks that were absent before the rows were known.
    absent: Mutex<(Vec<u64>, Charge)>,
}

/// Why a search of a chunk ends early.
enum Stop {
    /// There is no room for what it finds.
    Full(Error),
    /// This place holds an index outside of the matrix.
    Bad(u64),
}

impl Search {
    /// For columns of `columns` in the rows of `starts`, or in all rows, wherever they begin.
    pub(super) fn new(
        sparse: &Arc<Sparse>,
        starts: Option<RowStarts>,
        columns: &Index,
        budget: &Budget,
        lenient: bool,
    ) -> Result<Self> {
        let minor = sparse.minor_len();
        let held = budget.charge(Columns::bytes(columns, minor), "the places of selected columns")?;
        let form = Columns::new(columns, minor)?;
        Ok(Self {
            sparse: sparse.clone(),
            starts,
            wanted: form.wanted(columns, minor),
            columns: form,
            _held: held,
            budget: budget.clone(),
            lenient,
            found: Mutex::new((Vec::new(), budget.open())),
            absent: Mutex::new((Vec::new(), budget.open())),
        })
    }

    /// Says where the rows begin, after all chunks were searched: what was found is counted for them.
    pub(super) fn settle(&mut self, starts: &RowStarts) -> Result<()> {
        let (absent, _) = &*self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        let read = ArrayRead::new(&self.sparse.indices, Vec::new(), Role::Indices);
        for &at in absent {
            if !single_entries(starts, &read.chunk_span(&[at])[0]) {
                return Err(missing(&read, &[at]));
            }
        }
        let (found, charge) = &mut *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for found in found {
            let (start, none) = (found.start, Places::Each(Vec::new()));
            let places = std::mem::replace(&mut found.places, none);
            let end = places.last().map_or(start, |last| start + u64::from(last) + 1);
            let mut done = 0;
            starts.stretches(start..end, |rows, _, to| {
                let until = places.before(to.saturating_sub(start));
                let mut near = None;
                places.stretches(done, &mut |first, number, len| {
                    let inside = u64::from(len).min(until.saturating_sub(number) as u64);
                    let place = start + u64::from(first);
                    rows.counts(place..place + inside, &mut near, |row, count| {
                        found.keep_row(row, count, charge)
                    })?;
                    Ok::<_, Error>(number + len as usize <= until)
                })?;
                done = until;
                Ok::<_, Error>(())
            })?;
            found.places = places;
        }
        Ok(())
    }

    /// What was found, by chunks that ascend, and what it is charged with.
    pub(super) fn into_found(self) -> (Vec<Found>, Charge) {
        let (mut found, held) = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable_by_key(|f| f.start);
        (found, held)
    }

    /// Searches the selected stretches of a chunk. Items become unsigned integers of their own width: negative ones are
    /// huge, and lie outside of every matrix.
    fn scan<const N: usize, T: Item>(
        &self,
        items: &[u8],
        start: u64,
        span: Range<u64>,
        signed: bool,
        get: impl Fn([u8; N]) -> T + Copy,
    ) -> Result<()> {
        let items = items.as_chunks::<N>().0;
        let minor = self.sparse.minor_len();
        let most = if signed { T::MAX / 2 } else { T::MAX };
        // A column that this type cannot hold is nowhere.
        let none = Wanted::Bits(Vec::new());
        let wanted = match &self.wanted {
            Wanted::Range(a, _) if *a > most => &none,
            Wanted::Range(a, b) if *b > most => &Wanted::Range(*a, most),
            Wanted::Few(few) if few.iter().any(|&c| c > most) => &Wanted::All,
            wanted => wanted,
        };
        let last = T::of(most.min(minor.saturating_sub(1)));
        let mut kept: Option<(Found, Charge)> = None;
        let mut look = |rows: Option<Rows<'_>>, from: u64, to: u64| {
            let stretch = items.get((from - start) as usize..(to - start) as usize).unwrap_or_default();
            if minor == 0 && !stretch.is_empty() {
                return Err(Stop::Bad(from));
            }
            let mut row = None;
            let bad = scan::find(stretch, get, last, wanted, &mut |side_by_side| {
                let (found, charge) = kept.get_or_insert_with(|| (Found::at(start), self.budget.open()));
                let place = from + side_by_side.start as u64;
                let items = stretch.get(side_by_side).unwrap_or_default();
                let columns = items.iter().map(|item| get(*item).wide());
                self.keep(found, charge, place, columns, rows, &mut row).map_err(Stop::Full)
            })?;
            bad.map_or(Ok(()), |i| Err(Stop::Bad(from + i as u64)))
        };
        let result = match &self.starts {
            Some(starts) => starts.stretches(span, |rows, from, to| look(Some(rows), from, to)),
            None => look(None, span.start, span.end),
        };
        match result {
            Ok(()) => {}
            Err(Stop::Full(e)) => return Err(e),
            Err(Stop::Bad(place)) => {
                let item = items.get((place - start) as usize).map_or(0, |b| get(*b).wide());
                return Err(self.outside::<T>(item, place, signed));
            }
        }
        if let Some((mut found, mut charge)) = kept {
            found.trim(&mut charge);
            let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            all.1.absorb(charge);
            all.0.push(found);
        }
        Ok(())
    }

    /// Keeps the stored values of these columns, the first of which stands at `place`. `near`: the row looked for last.
    fn keep(
        &self,
        found: &mut Found,
        charge: &mut Charge,
        place: u64,
        stored: impl ExactSizeIterator<Item = u64>,
        rows: Option<Rows<'_>>,
        near: &mut Option<usize>,
    ) -> Result<()> {
        let first = (place - found.start) as u32;
        if let Columns::Range(range) = &self.columns {
            let end = place + stored.len() as u64;
            found.keep(first, stored.map(|column| (column - range.start) as u32), charge)?;
            return rows.map_or(Ok(()), |rows| {
                rows.counts(place..end, near, |row, count| found.keep_row(row, count, charge))
            });
        }
        for (i, column) in stored.enumerate() {
            let before = found.places.len();
            let mut full = None;
            self.columns.each(column, |to| {
                if full.is_none() {
                    full = found.keep(first + i as u32, std::iter::once(to), charge).err();
                }
            });
            full.map_or(Ok(()), Err)?;
            let count = (found.places.len() - before) as u32;
            if let Some(rows) = rows.filter(|_| count > 0) {
                let place = place + i as u64;
                rows.counts(place..place + 1, near, |row, _| found.keep_row(row, count, charge))?;
            }
        }
        Ok(())
    }

    fn outside<T: Item>(&self, item: u64, place: u64, signed: bool) -> Error {
        let shown = if signed && item > T::MAX / 2 {
            (i128::from(item) - i128::from(T::MAX) - 1).to_string()
        } else {
            item.to_string()
        };
        Error::new(Code::SparseIndices, "an index lies outside of the matrix")
            .element(&*self.sparse.indices.path)
            .expected(format!("0 to {}", self.sparse.minor_len().saturating_sub(1)))
            .found(format!("{shown} at item {place}"))
    }
}

impl Sink for Search {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        let Items::Fixed(items) = items else {
            return Err(Error::new(Code::Internal, "strings came where indices were expected"));
        };
        let start = read.array.cut(0).start(at[0]);
        let span = read.chunk_span(at)[0].clone();
        let signed = matches!(read.array.dtype, DataType::Int(_));
        match &read.array.dtype {
            DataType::Int(1) | DataType::UInt(1) => self.scan(items, start, span, signed, u8::from_ne_bytes),
            DataType::Int(2) | DataType::UInt(2) => self.scan(items, start, span, signed, u16::from_ne_bytes),
            DataType::Int(4) | DataType::UInt(4) => self.scan(items, start, span, signed, u32::from_ne_bytes),
            DataType::Int(_) | DataType::UInt(_) => self.scan(items, start, span, signed, u64::from_ne_bytes),
            other => Err(Error::new(Code::EncodingInvalid, "indices must be integers")
                .element(&*read.array.path)
                .found(other.to_string())),
        }
    }

    fn partial(&self) -> bool {
        // Of rows side by side whole chunks are wanted, but for the ends.
        self.starts.as_ref().is_some_and(RowStarts::is_scattered)
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        if self.lenient {
            return Ok(());
        }
        let span = read.chunk_span(at)[0].clone();
        let single = if let Some(starts) = &self.starts {
            single_entries(starts, &span)
        } else {
            let (absent, charge) = &mut *self.absent.lock().unwrap_or_else(PoisonError::into_inner);
            // Lists grow to twice their length.
            charge.grow(16, "chunks of indices that are absent")?;
            absent.push(at[0]);
            true
        };
        if may_be_absent(read.role) && single { Ok(()) } else { Err(missing(read, at)) }
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
