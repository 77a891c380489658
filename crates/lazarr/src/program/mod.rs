//! How each kind of element is read: programs that name their reads stage by stage.
//!
//! A [`Program`] is a pure state machine. [`Program::next`] names the reads of the next stage, from the values that
//! earlier stages brought; [`Program::open`] allocates what they fill. The executor runs the stages of all programs
//! together; `plan` asks the same programs and stops before the last stage.

pub(crate) mod fields;
mod filter;
mod fixed;
mod gather;
mod matches;
mod moments;
mod places;
mod recipe;
mod room;
mod rows;
mod scan;
mod search;
mod sparse;
mod starts;
mod take;
mod vlen;
mod wide;

use std::sync::Arc;

use lazarr_format::{ArrayRef, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Placement, StagePlan};

use crate::exec::lanes::Lanes;
use crate::exec::sink::Sink;
use crate::ledger::Budget;

pub(crate) use moments::{Matrix, Moments, Sums, is_number};
pub use recipe::describe;
pub(crate) use recipe::{Recipe, Want, broken, texts};
pub(crate) use rows::RowStarts;
pub(crate) use scan::{Column, Scan, Visit};
pub(crate) use sparse::{SparseRows, index_width};
pub(crate) use starts::Starts;
pub(crate) use take::take_major;

/// The reads that go out together.
pub(crate) struct Stage {
    /// What it is for: `indptr`, `values`.
    pub(crate) name: &'static str,
    /// The reads; the sinks of the program have the same order.
    pub(crate) reads: Vec<ArrayRead>,
    /// Whether nothing comes after it: the bulk. `plan` never runs it.
    pub(crate) last: bool,
    /// Arrays of later stages. From afar the indices of their shards come with this one, where they are few: a round trip
    /// less.
    pub(crate) ahead: Vec<ArrayRef>,
}

impl Stage {
    /// A stage that knows nothing of later ones.
    pub(crate) fn new(name: &'static str, reads: Vec<ArrayRead>, last: bool) -> Self {
        Self { name, reads, last, ahead: Vec::new() }
    }
}

/// What programs work with.
#[derive(Clone)]
pub(crate) struct Cx {
    /// The memory there is.
    pub(crate) budget: Budget,
    /// Whether absent chunks are the fill value wherever they are.
    pub(crate) lenient: bool,
    /// Threads that read.
    pub(crate) threads: usize,
    /// Whether waiting for the store takes longer than decoding.
    pub(crate) distant: bool,
}

/// One leaf of an element that is read: an array, or the three arrays of a sparse matrix.
pub(crate) trait Program: Send {
    /// The reads of the next stage, once the former has been run; `None` at the end, and at once where nothing is read.
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        let _ = cx;
        Ok(None)
    }

    /// Allocates what the reads of the stage fill.
    fn open(&mut self, cx: &Cx) -> Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Where the reads of the stage go, in their order. Only between `open` and the next `next`.
    fn sinks(&self) -> Vec<&dyn Sink> {
        Vec::new()
    }

    /// The reads of the stage cut into lanes, where these are walked instead. Only after the `next` that named the stage.
    fn lanes(&self) -> Option<Lanes<'_>> {
        None
    }

    /// The stages after the one that `next` named, from averages.
    fn later(&self) -> Vec<StagePlan> {
        Vec::new()
    }

    /// Bytes of the result.
    fn output(&self) -> Amount;

    /// Bytes held beside the result at the peak, but for what the threads hold.
    fn beside(&self) -> Amount {
        Amount::exact(0)
    }

    /// The small read that would make the numbers exact.
    fn resolve_hint(&self) -> Option<String> {
        None
    }

    /// The result.
    fn finish(&mut self, cx: &Cx) -> Result<Leaf>;
}

/// The result of a program.
pub(crate) enum Leaf {
    Dense(crate::value::Dense),
    Strings(crate::value::Strings),
    Sparse(crate::value::SparseMatrix),
    /// The row starts of a window of a stream.
    Starts(Box<rows::RowStarts>),
    /// Nothing: it was looked through.
    Scanned,
    /// Sums instead of items.
    Sums(Sums),
}

/// An index as a placement.
pub(crate) fn placed(index: &Index) -> Arc<dyn Placement> {
    Arc::new(index.clone())
}
