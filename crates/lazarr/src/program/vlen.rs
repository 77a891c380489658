//! Arrays of variable-length items: names, categories, string columns.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use lazarr_format::codec::Vlen;
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role, Run};

use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::sink::{Items, Sink, may_be_absent, missing};
use crate::ledger::{Budget, Charge};
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
        Ok(Some(Stage::new("strings", vec![self.read.clone()], true)))
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
        for part in &taken.0 {
            let mut lens = part.lens.iter();
            for &(to, count, _) in &part.runs {
                let places = starts.get_mut(to as usize + 1..).unwrap_or_default().iter_mut();
                for (place, &len) in places.zip(lens.by_ref().take(count as usize)) {
                    *place = u64::from(len).to_ne_bytes();
                }
            }
        }
        let mut sum = 0u64;
        for start in starts.iter_mut() {
            sum += u64::from_ne_bytes(*start);
            *start = sum.to_ne_bytes();
        }
        let mut bytes = Buffer::zeroed(sum, &cx.budget, "strings")?;
        let out = bytes.as_mut_slice();
        for part in &taken.0 {
            let mut rest = &part.bytes[..];
            for &(to, _, size) in &part.runs {
                // What follows one another in the chunk does so in the result.
                let (run, after) = rest.split_at_checked(size as usize).ok_or_else(outside)?;
                let start = starts.get(to as usize).map_or(0, |s| u64::from_ne_bytes(*s)) as usize;
                out.get_mut(start..start + run.len()).ok_or_else(outside)?.copy_from_slice(run);
                rest = after;
            }
        }
        let utf8 = self.read.array.dtype == DataType::String;
        Ok(Leaf::Strings(Strings { utf8, shape: self.shape.clone(), offsets, bytes }))
    }
}

fn outside() -> Error {
    Error::new(Code::StringData, "a string lies outside of its chunk")
}

/// The strings taken from one chunk, in order of source.
struct Taken {
    /// The first destination of a run, the number of its items, and of their bytes.
    runs: Vec<(u64, u64, u64)>,
    /// The length of each item.
    lens: Vec<u32>,
    /// Their bytes, one after the other.
    bytes: Vec<u8>,
}

/// Gathers variable-length items: their size is unknown before, so each chunk's are kept until all are there.
struct GatherVlen {
    budget: Budget,
    out_shape: Vec<u64>,
    lenient: bool,
    taken: Mutex<(Vec<Taken>, Charge)>,
}

impl GatherVlen {
    /// Calls `f(place in the chunk, destination, items)` for what is wanted of a chunk (which, and the items that it holds
    /// along each axis), run by run.
    fn each(
        &self,
        read: &ArrayRead,
        chunk: (&[u64], &[Range<u64>]),
        axis: usize,
        from: u64,
        to: u64,
        f: &mut dyn FnMut(u64, u64, u64) -> Result<()>,
    ) -> Result<()> {
        if axis == read.axes.len() {
            return f(from, to, 1);
        }
        let span = &chunk.1[axis];
        let width = read.array.cut(axis).len(chunk.0[axis]);
        read.axes[axis].runs(span.clone(), &mut |run: Run| {
            let from = from * width + (run.src - span.start);
            let to = to * self.out_shape[axis] + run.dst;
            if axis + 1 == read.axes.len() {
                return f(from, to, run.len);
            }
            (0..run.len).try_for_each(|i| self.each(read, chunk, axis + 1, from + i, to + i, f))
        })
    }
}

impl Sink for GatherVlen {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        let Items::Vlen(chunk) = items else {
            return Err(Error::new(Code::Internal, "items of fixed size came where strings were expected"));
        };
        let spans = read.chunk_span(at);
        let here = (at, &spans[..]);
        let offsets = |from: u64, len: u64| chunk.offsets.get(from as usize..=(from + len) as usize);
        let (mut runs, mut items, mut bytes) = (0u64, 0, 0);
        let located = |e: Error| e.element(&*read.array.path);
        self.each(read, here, 0, 0, 0, &mut |from, _, len| {
            let offsets = offsets(from, len).ok_or_else(outside)?;
            runs += 1;
            items += len;
            bytes += offsets[len as usize].saturating_sub(offsets[0]);
            Ok(())
        })
        .map_err(located)?;
        let cost = runs * size_of::<(u64, u64, u64)>() as u64 + 4 * items + bytes;
        let charge = self.budget.charge(cost, "strings")?;
        let mut taken = Taken {
            runs: Vec::with_capacity(runs as usize),
            lens: Vec::with_capacity(items as usize),
            bytes: Vec::with_capacity(bytes as usize),
        };
        self.each(read, here, 0, 0, 0, &mut |from, to, len| take(chunk, &mut taken, from, to, len))
            .map_err(located)?;
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.push(taken);
        all.1.absorb(charge);
        Ok(())
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        // A writer leaves out chunks of a text column that are all ''; of names and categories it never does.
        if self.lenient || may_be_absent(read.role) { Ok(()) } else { Err(missing(read, at)) }
    }
}

/// Takes a run of items.
fn take(chunk: &Vlen, taken: &mut Taken, from: u64, to: u64, len: u64) -> Result<()> {
    let offsets = chunk.offsets.get(from as usize..=(from + len) as usize).ok_or_else(outside)?;
    let (start, end) = (offsets[0], offsets[len as usize]);
    taken.bytes.extend_from_slice(chunk.bytes.get(start as usize..end as usize).ok_or_else(outside)?);
    let mut short = true;
    taken.lens.extend(offsets.windows(2).map(|w| {
        let len = w[1].wrapping_sub(w[0]);
        short &= u32::try_from(len).is_ok();
        len as u32
    }));
    taken.runs.push((to, len, end - start));
    if short { Ok(()) } else { Err(outside()) }
}
