//! The row starts of a window of rows, alone: a stream cuts its blocks by them.

use std::sync::Arc;

use lazarr_format::anndata::Sparse;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Amount, Index};

use super::rows::RowStarts;
use super::sparse::{check_proof, proof, unproven};
use super::{Cx, Leaf, Program, Stage};
use crate::exec::sink::Sink;

enum State {
    Start(Index),
    Read(Box<RowStarts>),
    Proof(Box<RowStarts>, Box<super::fixed::Fixed>),
    Done(Option<Box<RowStarts>>),
}

/// Reads and checks the row starts of some rows.
pub(crate) struct Starts {
    sparse: Arc<Sparse>,
    state: State,
}

impl Starts {
    /// Of the rows of `rows`.
    pub(crate) fn new(sparse: &Arc<Sparse>, rows: &Index) -> Self {
        Self { sparse: sparse.clone(), state: State::Start(rows.clone()) }
    }
}

impl Program for Starts {
    fn next(&mut self, cx: &Cx) -> Result<Option<Stage>> {
        let (state, stage) = match std::mem::replace(&mut self.state, State::Done(None)) {
            State::Start(rows) => {
                let starts = RowStarts::new(&self.sparse, &rows, cx)?;
                let stage = starts.stage();
                (State::Read(Box::new(starts)), Some(stage))
            }
            State::Read(starts) => {
                if let Some(items) = unproven(&starts, cx)? {
                    let (stage, proof) = proof(&self.sparse, &items, cx)?;
                    (State::Proof(starts, proof), Some(stage))
                } else {
                    starts.check()?;
                    (State::Done(Some(starts)), None)
                }
            }
            State::Proof(starts, proof) => {
                check_proof(&self.sparse, proof, cx)?;
                starts.check()?;
                (State::Done(Some(starts)), None)
            }
            done @ State::Done(_) => (done, None),
        };
        self.state = state;
        Ok(stage)
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        match &mut self.state {
            State::Read(starts) => starts.open(cx),
            State::Proof(_, proof) => proof.open(cx),
            State::Start(_) | State::Done(_) => Ok(()),
        }
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        match &self.state {
            State::Read(starts) => starts.sink().into_iter().collect(),
            State::Proof(_, proof) => proof.sinks(),
            State::Start(_) | State::Done(_) => Vec::new(),
        }
    }

    fn output(&self) -> Amount {
        Amount::exact(0)
    }

    fn beside(&self) -> Amount {
        match &self.state {
            State::Read(s) | State::Proof(s, _) | State::Done(Some(s)) => Amount::exact(s.bytes()),
            State::Start(_) | State::Done(None) => Amount::exact(0),
        }
    }

    fn finish(&mut self, _: &Cx) -> Result<Leaf> {
        match std::mem::replace(&mut self.state, State::Done(None)) {
            State::Done(Some(starts)) => Ok(Leaf::Starts(starts)),
            _ => Err(Error::new(Code::Internal, "row starts were finished before they were read")),
        }
    }
}
