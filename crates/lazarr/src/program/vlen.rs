//! Arrays of variable-length items: names, categories, string columns.

use std::sync::{Mutex, PoisonError};

use lazarr_format::{ArrayRef, DataType, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role};

use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::sink::{GatherVlen, Sink};
use crate::value::Strings;

/// Reads one array of strings in one stage. Its size is known only afterwards.
pub(crate) struct VlenRead {
    read: ArrayRead,
    shape: Vec<u64>,
    asked: bool,
    sink: Option<GatherVlen>,
    /// Allocated before anything is read: what they take is known, and a shape that cannot fit ends at once.
    offsets: Option<Buffer>,
}

/// A guess at the bytes of a string, for plans.
const TYPICAL: u64 = 16;

impl VlenRead {
    /// The strings of `array` at `axes`.
    pub(crate) fn new(array: &ArrayRef, axes: &[Index], role: Role) -> Self {
        let shape = axes.iter().map(Index::len).collect();
        let read = ArrayRead::new(array, axes.iter().map(placed).collect(), role);
        Self { read, shape, asked: false, sink: None, offsets: None }
    }

    fn room_for_offsets(&self, cx: &Cx) -> Result<Buffer> {
        let bytes = self.items().saturating_add(1).saturating_mul(8);
        Buffer::zeroed(bytes, &cx.budget, "the offsets of strings")
    }

    fn items(&self) -> u64 {
        self.shape.iter().fold(1, |n, &s| n.saturating_mul(s))
    }
}

impl Program for VlenRead {
    fn next(&mut self, _: &Cx) -> Result<Option<Stage>> {
        if self.asked {
            return Ok(None);
        }
        self.asked = true;
        lazarr_plan::check_rank(&self.read.array, &self.read.axes)?;
        Ok(Some(Stage { name: "strings", reads: vec![self.read.clone()], last: true }))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        self.offsets = Some(self.room_for_offsets(cx)?);
        self.sink = Some(GatherVlen {
            budget: cx.budget.clone(),
            out_shape: self.shape.clone(),
            lenient: cx.lenient,
            taken: Mutex::new((Vec::new(), cx.budget.open())),
        });
        Ok(())
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        self.sink.iter().map(|s| s as &dyn Sink).collect()
    }

    fn output(&self) -> Amount {
        Amount::estimate(self.items().saturating_mul(8 + TYPICAL))
    }

    fn beside(&self) -> Amount {
        Amount::estimate(self.items().saturating_mul(16 + TYPICAL))
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        let mut offsets = match self.offsets.take() {
            Some(offsets) => offsets,
            None => self.room_for_offsets(cx)?,
        };
        let taken = self.sink.take().map(|s| s.taken.into_inner().unwrap_or_else(PoisonError::into_inner));
        let taken = taken.unwrap_or_else(|| (Vec::new(), cx.budget.open()));
        let starts = offsets.as_mut_slice().as_chunks_mut::<8>().0;
        let mut total = 0u64;
        for part in &taken.0 {
            for &(to, len) in &part.items {
                starts[to as usize + 1] = u64::from(len).to_ne_bytes();
                total += u64::from(len);
            }
        }
        let mut sum = 0u64;
        for start in starts.iter_mut() {
            sum += u64::from_ne_bytes(*start);
            *start = sum.to_ne_bytes();
        }
        let mut bytes = Buffer::zeroed(total, &cx.budget, "strings")?;
        let out = bytes.as_mut_slice();
        for part in &taken.0 {
            let mut from = 0;
            for &(to, len) in &part.items {
                let (start, len) = (u64::from_ne_bytes(starts[to as usize]) as usize, len as usize);
                out[start..start + len].copy_from_slice(&part.bytes[from..from + len]);
                from += len;
            }
        }
        let utf8 = self.read.array.dtype == DataType::String;
        Ok(Leaf::Strings(Strings { utf8, shape: self.shape.clone(), offsets, bytes }))
    }
}
