//! Blocks of rows of a concatenation: those of each part, one part after the other.

use std::collections::VecDeque;

use lazarr_format::{Code, Error, Result};

use super::{RowBlocks, row_bytes};
use crate::call::{Call, Run};
use crate::concat::{Came, Concat, Kind, Piece, Stretch, join};
use crate::lazy::Lazy;
use crate::value::Value;

/// The parts that are still to come, and the blocks of the one that is read.
pub(super) struct Parts {
    waiting: VecDeque<(Option<Stretch>, u64)>,
    open: Option<(RowBlocks, Option<Vec<u64>>)>,
    /// Rows that come from no store.
    made: u64,
}

impl Parts {
    /// Of a matrix or an array whose rows ascend; `None` for anything else.
    pub(super) fn of(concat: &Concat, lazy: &Lazy, run: &Run<'_>) -> Result<Option<Self>> {
        if !matches!(concat.kind, Kind::Dense { .. } | Kind::Sparse { .. }) || lazy.dropped().contains(&true)
        {
            return Ok(None);
        }
        let Some(rows) = lazy.axes().first() else { return Ok(None) };
        let rows = rows.resolve(run)?;
        if !rows.is_monotone() {
            return Ok(None);
        }
        let (lengths, _) = concat.split(&rows)?;
        let (parts, _) = concat.stretches(lazy, run)?;
        let waiting = parts.into_iter().zip(lengths.iter().map(lazarr_plan::Index::len));
        Ok(Some(Self { waiting: waiting.filter(|(_, n)| *n > 0).collect(), open: None, made: 0 }))
    }

    /// Goes on with this row; rows before it are not read.
    pub(super) fn skip(&mut self, row: u64, call: &Call<'_>, most: (u64, u64)) -> Result<()> {
        let mut left = row;
        while left > 0 {
            match self.waiting.pop_front() {
                None => break,
                Some((_, n)) if n <= left => left -= n,
                Some((None, n)) => {
                    self.made = n - left;
                    break;
                }
                Some((Some(stretch), _)) => {
                    let mut blocks = stretch.lazy.stream(call, Some(most.0), Some(most.1))?;
                    blocks.go_to(left, call)?;
                    self.open = Some((blocks, stretch.to));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The next block: its rows and what they are.
    pub(super) fn next(
        &mut self,
        concat: &Concat,
        lazy: &Lazy,
        call: &Call<'_>,
        most: (u64, u64),
    ) -> Result<Option<(u64, Value)>> {
        let run = Run::new(lazy.session(), call);
        let mut rest: Vec<u64> = Vec::new();
        for axis in lazy.axes().iter().skip(1) {
            rest.push(axis.resolve(&run)?.len());
        }
        let make = |came, to, len| {
            let mut shape = vec![len];
            shape.extend(&rest);
            let piece = Piece { came, part: 0, len, to, suffix: None };
            Ok(Some((len, join(&concat.kind, vec![piece], None, &shape, &run.cx)?)))
        };
        loop {
            if self.made > 0 {
                let rows = (most.1 / row_bytes(lazy, 0)).clamp(1, most.0).min(self.made);
                self.made -= rows;
                return make(Came::Missing, None, rows);
            }
            if let Some((blocks, to)) = &mut self.open {
                if let Some(block) = blocks.next(call)? {
                    return make(Came::Value(block.value), to.clone(), block.end - block.start);
                }
                self.open = None;
            }
            match self.waiting.pop_front() {
                None => return Ok(None),
                Some((None, n)) => self.made = n,
                Some((Some(stretch), n)) => {
                    let blocks = stretch.lazy.stream(call, Some(most.0), Some(most.1))?;
                    if blocks.len() != n {
                        return Err(Error::new(Code::Internal, "a part has another number of rows"));
                    }
                    self.open = Some((blocks, stretch.to));
                }
            }
        }
    }
}
