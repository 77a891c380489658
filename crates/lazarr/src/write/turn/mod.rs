//! A matrix that is stored as something else than it comes as: csr, csc or dense.
//!
//! Where rows stay rows, each block is written in its new form as it comes. Where rows become columns, or columns rows, all of
//! them must have come first: see [`runs`].

mod deal;
mod dense;
mod runs;
mod view;

use lazarr_format::anndata::SparseFormat;
use lazarr_format::encode::{MatrixFormat, Role};
use lazarr_format::{DataType, Result};

use super::element::encoding;
use super::job::Job;
use super::out::{DenseOut, Known, Parts, SparseOut, changed};
use crate::forms::{sparse_of, stored_in};
use crate::value::{Dense, Value};
use dense::dense_of;
use runs::Runs;
pub(super) use view::View;

/// A matrix under way.
pub(super) struct Turned<'j> {
    job: &'j Job<'j>,
    path: String,
    known: Known,
    to: MatrixFormat,
    /// What comes: sparse in this format, or dense; its type, and its columns (rows, of csc).
    from: Option<SparseFormat>,
    dtype: DataType,
    minor: u64,
    stage: Stage<'j>,
}

enum Stage<'j> {
    /// Each block becomes a block.
    Along(Target<'j>),
    /// Rows become columns, or columns rows.
    Across(Box<Runs<'j>>),
}

/// What is written.
enum Target<'j> {
    Dense(Box<DenseOut<'j>>),
    Sparse(Box<SparseOut<'j>>),
}

/// What a matrix becomes, where it becomes something else: by the layout, of a matrix of numbers that comes in this format
/// (`None`: dense).
pub(super) fn target(
    job: &Job<'_>,
    path: &str,
    from: Option<SparseFormat>,
    dtype: Option<&DataType>,
) -> Option<MatrixFormat> {
    let own = match from {
        Some(SparseFormat::Csr) => MatrixFormat::Csr,
        Some(SparseFormat::Csc) => MatrixFormat::Csc,
        None => MatrixFormat::Dense,
    };
    let to = job.layout.format(path, from.is_some())?;
    (to != own && dtype.is_some_and(DataType::is_numeric)).then_some(to)
}

/// How many items of these rows would be stored in a sparse matrix.
pub(super) fn stored_of(value: &Value) -> u64 {
    match value {
        Value::Dense(d) => stored_in(&d.dtype, d.data.as_slice()),
        _ => 0,
    }
}

impl<'j> Turned<'j> {
    /// Of what begins with this block; `None` where it stays what it is.
    pub(super) fn of(job: &'j Job<'j>, path: &str, first: &Value, known: Known) -> Result<Option<Self>> {
        let (from, dtype, minor) = match first {
            Value::Sparse(s) => (Some(s.format), &s.dtype, s.shape[1 - s.format.major_axis()]),
            Value::Dense(d) if d.shape.len() == 2 => (None, &d.dtype, d.shape[1]),
            _ => return Ok(None),
        };
        let Some(to) = target(job, path, from, Some(dtype)) else { return Ok(None) };
        let rows_come = from != Some(SparseFormat::Csc);
        let stage = if rows_come == (to == MatrixFormat::Csc) {
            // An empty view of the first block: what it is, without its rows.
            let format = from.unwrap_or(SparseFormat::Csr);
            let view =
                View { format, minor, dtype, data: &[], indices: &[], width: 4, starts: &[], start_width: 4 };
            Stage::Across(Box::new(Runs::new(job, &view, known.rows)?))
        } else {
            let stored = match from {
                Some(_) => known.stored,
                // All items, unless they were counted.
                None => known.stored.or_else(|| known.rows.and_then(|n| n.checked_mul(minor))),
            };
            let per_row = match (from, known.rows) {
                (None, Some(rows)) => stored.unwrap_or(0) as f64 / rows.max(1) as f64,
                _ => known.per_row,
            };
            Stage::Along(Target::open(job, path, to, dtype, minor, Known { stored, per_row, ..known })?)
        };
        let dtype = dtype.clone();
        Ok(Some(Self { job, path: path.to_owned(), known, to, from, dtype, minor, stage }))
    }

    /// The next block.
    pub(super) fn push(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Sparse(m) if self.from.is_some() => self.view(&View::of(m)),
            Value::Dense(d) if self.from.is_none() => self.dense(d),
            _ => Err(changed("kind")),
        }
    }

    fn dense(&mut self, d: &Dense) -> Result<()> {
        let &[rows, minor] = d.shape.as_slice() else { return Err(changed("number of axes")) };
        self.check(&d.dtype, minor)?;
        let row = (self.minor as usize).saturating_mul(d.dtype.item_size().unwrap_or(1));
        let most = (self.job.block_bytes() / (row as u64).max(1)).max(1);
        let mut from = 0;
        while from < rows {
            self.job.poll()?;
            let to = from.saturating_add(most).min(rows);
            let bytes = d.data.as_slice().get(from as usize * row..to as usize * row).unwrap_or_default();
            let part = sparse_of(&d.dtype, [to - from, minor], bytes, &self.job.budget)?;
            self.view(&View::of(&part))?;
            from = to;
        }
        Ok(())
    }

    fn check(&self, dtype: &DataType, minor: u64) -> Result<()> {
        if *dtype != self.dtype {
            return Err(changed("type").expected(self.dtype.to_string()).found(dtype.to_string()));
        }
        if minor == self.minor { Ok(()) } else { Err(changed("width")) }
    }

    fn view(&mut self, view: &View<'_>) -> Result<()> {
        self.check(view.dtype, view.minor)?;
        if view.format != self.from.unwrap_or(SparseFormat::Csr) {
            return Err(changed("format"));
        }
        match &mut self.stage {
            Stage::Along(target) => target.push(self.job, view),
            Stage::Across(runs) => runs.add(view),
        }
    }

    /// What it is written to; `None` where all blocks have to come first.
    pub(super) fn parts(&mut self) -> Option<Parts<'_, 'j>> {
        match &mut self.stage {
            Stage::Along(Target::Dense(out)) => Some(out.parts()),
            Stage::Along(Target::Sparse(out)) => Some(Parts::Sparse(out)),
            Stage::Across(_) => None,
        }
    }

    /// There are no more blocks.
    pub(super) fn finish(self) -> Result<()> {
        let runs = match self.stage {
            Stage::Along(target) => return target.finish(),
            Stage::Across(runs) => runs,
        };
        let known = Known {
            role: self.known.role,
            rows: Some(self.minor),
            stored: Some(runs.stored),
            per_row: runs.stored as f64 / self.minor.max(1) as f64,
        };
        let job = self.job;
        let mut target = Target::open(job, &self.path, self.to, &self.dtype, runs.rows, known)?;
        runs.finish(&mut |done, view| {
            target.push(job, view)?;
            job.tell(&self.path, done)?;
            Ok(())
        })?;
        target.finish()
    }
}

impl<'j> Target<'j> {
    fn open(
        job: &'j Job<'j>,
        path: &str,
        to: MatrixFormat,
        dtype: &DataType,
        minor: u64,
        known: Known,
    ) -> Result<Self> {
        let format = match to {
            MatrixFormat::Csr => SparseFormat::Csr,
            MatrixFormat::Csc => SparseFormat::Csc,
            MatrixFormat::Dense => {
                let shape = [known.rows.unwrap_or(u64::MAX), minor];
                let attributes = encoding("array", "0.2.0", &[]);
                let out = DenseOut::open(job, path, dtype, &shape, Role::Dense, attributes, None)?;
                return Ok(Self::Dense(Box::new(out)));
            }
        };
        Ok(Self::Sparse(Box::new(SparseOut::open(job, path, format, minor, dtype, known)?)))
    }

    fn push(&mut self, job: &Job<'_>, view: &View<'_>) -> Result<()> {
        let out = match self {
            Self::Sparse(out) => return out.push(view),
            Self::Dense(out) => out,
        };
        let row = view.minor.saturating_mul(view.item() as u64);
        let most = (job.block_bytes() / row.max(1)).max(1);
        let mut from = 0;
        while let Some((end, part)) = view.part(from, most, u64::MAX) {
            job.poll()?;
            out.push(&dense_of(&part, &job.budget)?)?;
            from = end;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Sparse(out) => out.finish(),
            Self::Dense(out) => out.finish(),
        }
    }
}
