//! A column that is looked through and not kept: each chunk is shown on the thread that has decoded it.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::codec::Vlen;
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role, Run};

use super::fixed::Fixed;
use super::{Cx, Leaf, Program, Stage, placed};
use crate::exec::convert::Convert;
use crate::exec::sink::{Items, Sink, illegal, may_be_absent, missing};
use crate::ledger::Budget;

/// Is shown what is selected of a column.
pub(crate) trait Visit: Send + Sync {
    /// Items of the selection from its place `first` on, in order. Called by many threads, once for each chunk.
    fn visit(&self, first: u64, items: Items<'_>) -> Result<()>;
}

/// A column of which one array says everything, an item a row.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) element: Element,
    array: ArrayRef,
    convert: Convert,
    /// What an illegal integer is called.
    code: Code,
    /// The type of what is shown.
    pub(crate) dtype: DataType,
    role: Role,
}

impl Column {
    /// `None` for a column that must be put together first: nullable ones, fields of structs, text of fixed width.
    /// `names`: whether it is the index of its table.
    pub(crate) fn of(element: &Element, names: bool) -> Result<Option<Self>> {
        let role = if names { Role::Names } else { Role::Values };
        let (array, convert, dtype, code, role) = match &element.body {
            Body::Dense(a) if !matches!(a.dtype, DataType::FixedUtf32(_) | DataType::FixedBytes(_)) => {
                (a, Convert::values(&a.dtype), a.dtype.clone(), Code::ChunkDecode, role)
            }
            Body::Strings(a) if a.dtype == DataType::String => {
                (a, Convert::Copy { size: 1 }, a.dtype.clone(), Code::StringData, role)
            }
            Body::Categorical(c) => {
                let count = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
                let (convert, dtype) = Fixed::code_items(&c.codes, count)?;
                (&c.codes, convert, dtype, Code::CategoryCode, Role::Codes)
            }
            _ => return Ok(None),
        };
        let plain = array.part.is_none() && array.shape.len() == 1;
        Ok(plain.then(|| Self { element: element.clone(), array: array.clone(), convert, code, dtype, role }))
    }
}

/// Shows the rows of a column to a visitor.
pub(crate) struct Scan {
    column: Column,
    read: ArrayRead,
    visit: Arc<dyn Visit>,
    asked: bool,
    sink: Option<ScanSink>,
}

impl Scan {
    /// `rows` must ascend.
    pub(crate) fn new(column: &Column, rows: &Index, visit: Arc<dyn Visit>) -> Result<Self> {
        rows.check_axis(column.array.shape[0]).map_err(|e| e.element(&*column.array.path))?;
        let read = ArrayRead::new(&column.array, vec![placed(rows)], column.role);
        Ok(Self { column: column.clone(), read, visit, asked: false, sink: None })
    }
}

impl Program for Scan {
    fn next(&mut self, _: &Cx) -> Result<Option<Stage>> {
        if std::mem::replace(&mut self.asked, true) {
            return Ok(None);
        }
        Ok(Some(Stage::new("values", vec![self.read.clone()], true)))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        self.sink = Some(ScanSink {
            convert: self.column.convert.clone(),
            code: self.column.code,
            lenient: cx.lenient,
            budget: cx.budget.clone(),
            visit: self.visit.clone(),
        });
        Ok(())
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        self.sink.iter().map(|s| s as &dyn Sink).collect()
    }

    fn output(&self) -> Amount {
        Amount::exact(0)
    }

    fn finish(&mut self, _: &Cx) -> Result<Leaf> {
        Ok(Leaf::Scanned)
    }
}

struct ScanSink {
    convert: Convert,
    code: Code,
    lenient: bool,
    budget: Budget,
    visit: Arc<dyn Visit>,
}

impl ScanSink {
    fn fixed(&self, read: &ArrayRead, start: u64, runs: &[Run], items: &[u8]) -> Result<()> {
        let (a, b) = (self.convert.stored_size() as u64, self.convert.result_size() as u64);
        let (Some(first), count) = (runs.first(), runs.iter().map(|r| r.len).sum::<u64>()) else {
            return Ok(());
        };
        let of = |run: &Run| {
            let from = (run.src - start) * a;
            items.get(from as usize..(from + run.len * a) as usize).ok_or_else(outside)
        };
        if let [run] = runs
            && self.convert.is_same()
        {
            let items = of(run)?;
            self.convert.check(items).map_err(|bad| illegal(&self.convert, self.code, read, bad))?;
            return self.visit.visit(run.dst, Items::Fixed(items));
        }
        let _charge = self.budget.charge(count * b, "a part of a column")?;
        let mut wanted = vec![0; (count * b) as usize];
        for run in runs {
            let to = ((run.dst - first.dst) * b) as usize;
            let out = wanted.get_mut(to..to + (run.len * b) as usize).ok_or_else(outside)?;
            self.convert.run(of(run)?, out).map_err(|bad| illegal(&self.convert, self.code, read, bad))?;
        }
        self.visit.visit(first.dst, Items::Fixed(&wanted))
    }

    fn strings(&self, start: u64, runs: &[Run], chunk: &Vlen) -> Result<()> {
        let Some(first) = runs.first() else { return Ok(()) };
        let of = |run: &Run| {
            let from = (run.src - start) as usize;
            chunk.offsets.get(from..=from + run.len as usize).ok_or_else(outside)
        };
        if let [run] = runs
            && run.src == start
            && run.len + 1 == chunk.offsets.len() as u64
        {
            return self.visit.visit(run.dst, Items::Vlen(chunk));
        }
        let (mut count, mut bytes) = (0, 0);
        for run in runs {
            let offsets = of(run)?;
            count += run.len;
            bytes += offsets[run.len as usize] - offsets[0];
        }
        let _charge = self.budget.charge(8 * (count + 1) + bytes, "a part of a column")?;
        let mut wanted = Vlen {
            offsets: Vec::with_capacity(count as usize + 1),
            bytes: Vec::with_capacity(bytes as usize),
        };
        wanted.offsets.push(0);
        for run in runs {
            let offsets = of(run)?;
            let (from, to) = (offsets[0], offsets[run.len as usize]);
            let base = wanted.bytes.len() as u64;
            wanted.bytes.extend_from_slice(chunk.bytes.get(from as usize..to as usize).ok_or_else(outside)?);
            wanted.offsets.extend(offsets[1..].iter().map(|o| o - from + base));
        }
        self.visit.visit(first.dst, Items::Vlen(&wanted))
    }
}

impl Sink for ScanSink {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        let span = read.chunk_span(at)[0].clone();
        let start = read.array.cut(0).start(at[0]);
        let mut runs = Vec::new();
        read.axes[0].runs(span, &mut |run| {
            runs.push(run);
            Ok(())
        })?;
        match items {
            Items::Fixed(items) => self.fixed(read, start, &runs, items),
            Items::Vlen(chunk) => self.strings(start, &runs, chunk),
        }
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        // As where the items are kept: of numbers that name something, one alone may be the fill value.
        let one = read.array.dtype != DataType::String
            && read.role == Role::Names
            && read.chunk_span(at).iter().map(|s| s.end - s.start).product::<u64>() <= 1;
        if self.lenient || one || may_be_absent(read.role) { Ok(()) } else { Err(missing(read, at)) }
    }
}

fn outside() -> Error {
    Error::new(Code::Internal, "a run lies outside of its chunk")
}
