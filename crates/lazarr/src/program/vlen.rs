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
    /// Room for the offsets, charged before anything is read: a shape that cannot fit ends at once.
    offsets: Option<Charge>,
}

/// What these are charged as.
const OFFSETS: &str = "the offsets of strings";

/// A guess at the bytes of a string, for plans.
const TYPICAL: u64 = 16;

impl VlenRead {
    /// The strings of `array` at `axes`.
    pub(crate) fn new(array: &ArrayRef, axes: &[Index], role: Role) -> Self {
        let shape = axes.iter().map(Index::len).collect();
        let read = ArrayRead::new(array, axes.iter().map(placed).collect(), role);
        Self { read, shape, asked: false, sink: None, offsets: None }
    }

    fn offset_bytes(&self) -> u64 {
        self.items().saturating_add(1).saturating_mul(8)
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
        self.offsets = Some(cx.budget.charge(self.offset_bytes(), OFFSETS)?);
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
        self.offsets = None;
        let taken = self.sink.take().map(|s| s.taken.into_inner().unwrap_or_else(PoisonError::into_inner));
        let taken = taken.unwrap_or_else(|| (Vec::new(), cx.budget.open()));
        let utf8 = self.read.array.dtype == DataType::String;
        let (parts, held) = taken;
        // A chunk that is the result.
        let mut parts = match <[Part; 1]>::try_from(parts) {
            Ok([Part::Whole { chunk, .. }]) if chunk.offsets.len() as u64 == self.items() + 1 => {
                let offsets = Buffer::of(chunk.offsets, held);
                let bytes = Buffer::of(chunk.bytes, cx.budget.open());
                return Ok(Leaf::Strings(Strings { utf8, shape: self.shape.clone(), offsets, bytes }));
            }
            Ok([part]) => vec![part],
            Err(parts) => parts,
        };
        let mut offsets = Buffer::zeroed(self.offset_bytes(), &cx.budget, OFFSETS)?;
        let starts = offsets.as_mut_slice().as_chunks_mut::<8>().0;
        for part in &parts {
            match part {
                Part::Whole { to, chunk } => {
                    let places = starts.get_mut(*to as usize + 1..).unwrap_or_default().iter_mut();
                    for (place, pair) in places.zip(chunk.offsets.windows(2)) {
                        *place = pair[1].wrapping_sub(pair[0]).to_ne_bytes();
                    }
                }
                Part::Some(taken) => {
                    let mut lens = taken.lens.iter();
                    for &(to, count, _) in &taken.runs {
                        let places = starts.get_mut(to as usize + 1..).unwrap_or_default().iter_mut();
                        for (place, &len) in places.zip(lens.by_ref().take(count as usize)) {
                            *place = u64::from(len).to_ne_bytes();
                        }
                    }
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
        let mut put = |to: u64, run: &[u8]| {
            let start = starts.get(to as usize).map_or(0, |s| u64::from_ne_bytes(*s)) as usize;
            out.get_mut(start..start + run.len()).ok_or_else(outside)?.copy_from_slice(run);
            Ok::<(), Error>(())
        };
        // Each is gone as soon as it is placed.
        for part in parts.drain(..) {
            match part {
                Part::Whole { to, chunk } => put(to, &chunk.bytes)?,
                Part::Some(taken) => {
                    let mut rest = &taken.bytes[..];
                    for &(to, _, size) in &taken.runs {
                        // What follows one another in the chunk does so in the result.
                        let (run, after) = rest.split_at_checked(size as usize).ok_or_else(outside)?;
                        put(to, run)?;
                        rest = after;
                    }
                }
            }
        }
        drop(held);
        Ok(Leaf::Strings(Strings { utf8, shape: self.shape.clone(), offsets, bytes }))
    }
}

fn outside() -> Error {
    Error::new(Code::StringData, "a string lies outside of its chunk")
}

/// What was taken from one chunk.
enum Part {
    /// All of it, in order; the first's destination.
    Whole {
        to: u64,
        chunk: Vlen,
    },
    Some(Taken),
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
    taken: Mutex<(Vec<Part>, Charge)>,
}

impl GatherVlen {
    fn push(&self, part: Part, charge: Charge) {
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.push(part);
        all.1.absorb(charge);
    }

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
        self.push(Part::Some(taken), charge);
        Ok(())
    }

    fn take(&self, read: &ArrayRead, at: &[u64], chunk: Vlen) -> Result<()> {
        let spans = read.chunk_span(at);
        let items = chunk.offsets.len() as u64 - u64::from(!chunk.offsets.is_empty());
        let mut runs = smallvec::SmallVec::<[(u64, u64, u64); 1]>::new();
        // No more than the first run is looked at, where there are more.
        let several = self.each(read, (at, &spans[..]), 0, 0, 0, &mut |from, to, len| {
            if !runs.is_empty() {
                return Err(outside());
            }
            runs.push((from, to, len));
            Ok(())
        });
        match runs[..] {
            [(0, to, len)] if several.is_ok() && len == items && items > 0 => {
                let bytes = chunk.bytes.capacity() as u64 + 8 * chunk.offsets.capacity() as u64;
                let charge = self.budget.charge(bytes, "strings")?;
                self.push(Part::Whole { to, chunk }, charge);
                Ok(())
            }
            _ => self.place(read, at, Items::Vlen(&chunk)),
        }
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
