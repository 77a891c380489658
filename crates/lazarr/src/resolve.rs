//! Selections that must be read for: labels and predicates.
//!
//! A column of a hundred million rows is looked through where it is decoded, chunk by chunk, and becomes a bit a row
//! ([`Scan`]); only what must be put together first (nullable columns, rows in another order) is read in blocks.

mod blocks;
mod filter;
mod names;

pub(crate) use blocks::{floats, integers, texts as spelled};

use std::sync::Arc;

use lazarr_format::anndata::Element;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::Index;

use crate::axis::{Axis, Step};
use crate::call::Run;
use crate::program::{Column, Recipe, Scan, Visit, Want};

/// What `step` selects of `base`.
pub(crate) fn apply(axis: &Axis, base: &Index, step: &Step, run: &Run<'_>) -> Result<Index> {
    let step = &step.clone().fixed(base.len())?;
    match step {
        Step::Index(inner) => base.compose(inner),
        Step::Slice(..) | Step::Ints(_) | Step::Mask(_) => {
            Err(Error::new(Code::Internal, "a step was not fixed"))
        }
        Step::Labels(labels) => base.compose(&names::find(axis, base, labels, run)?),
        Step::LabelSlice(start, stop) => {
            base.compose(&names::slice(axis, base, start.as_deref(), stop.as_deref(), run)?)
        }
        Step::LabelledMask(labels, mask) => base.compose(&names::align(axis, base, labels, mask, run)?),
        Step::Predicate(expr) => base.compose(&filter::filter(axis, base, expr, run)?),
    }
}

/// The columns as they can be looked through at `base`; `None` where one cannot.
fn scannable(axis: &Axis, base: &Index, columns: &[Element]) -> Result<Option<Vec<Column>>> {
    if !base.is_monotone() {
        return Ok(None);
    }
    let names = axis.column(None).ok();
    let is_names = |column: &Element| names.as_ref().is_some_and(|n| n.path == column.path);
    columns.iter().map(|column| Column::of(column, is_names(column))).collect()
}

/// Shows rows of columns to a visitor each.
fn scan(columns: &[(Column, Arc<dyn Visit>)], rows: &Index, run: &Run<'_>) -> Result<()> {
    let make = || {
        let mut want = Want { ahead: run.coming.clone(), ..Want::default() };
        for (column, visit) in columns {
            want.add_scan(&column.element, rows, Scan::new(column, rows, visit.clone())?);
        }
        Ok((want, Recipe::Null))
    };
    run.leaves(&make).map(|_| ())
}
