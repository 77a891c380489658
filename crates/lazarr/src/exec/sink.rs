//! Where decoded chunks go.
#![allow(unsafe_code, reason = "threads write disjoint stretches of one result")]

use std::ops::Range;

use lazarr_format::codec::Vlen;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{ArrayRead, Role, Run};

use super::convert::{BadItem, Convert};
use crate::buffer::Target;

/// The items of a decoded chunk, in C order.
#[derive(Clone, Copy)]
pub(crate) enum Items<'a> {
    /// Fixed-size items, native byte order.
    Fixed(&'a [u8]),
    /// Variable-length items.
    Vlen(&'a Vlen),
}

/// Takes the decoded chunks of one read. Called by many threads, once for each chunk.
pub(crate) trait Sink: Sync {
    /// Takes what is wanted of a chunk.
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()>;

    /// As `place`, of items that the sink may keep.
    fn take(&self, read: &ArrayRead, at: &[u64], items: Vlen) -> Result<()> {
        self.place(read, at, Items::Vlen(&items))
    }

    /// Whether an absent chunk may be the fill value; an error where it may not.
    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()>;

    /// Where the whole chunk can be decoded to, without scratch: then `place` is not called.
    fn direct(&self, read: &ArrayRead, at: &[u64]) -> Option<&mut [u8]> {
        let _ = (read, at);
        None
    }

    /// Checks what was decoded to the place that [`Sink::direct`] gave.
    fn check(&self, read: &ArrayRead, items: &[u8]) -> Result<()> {
        let _ = (read, items);
        Ok(())
    }

    /// Whether `place` looks at nothing but what the placements want, so that the rest need not be decoded.
    fn partial(&self) -> bool {
        false
    }

    /// A result that is filled all over: its pages are made by all threads together before anything is read.
    fn fresh(&self) -> Option<Target> {
        None
    }
}

/// The items of a chunk that are wanted, as ranges of their positions in it, ascending; `false` where they are not told as
/// ranges (then `out` means nothing).
pub(crate) fn wanted(read: &ArrayRead, at: &[u64], out: &mut Vec<Range<usize>>) -> bool {
    out.clear();
    let Some(axis) = read.axes.first() else { return false };
    if !Gather::contiguous_below(read, 0) {
        return false;
    }
    let below = read.array.inner_shape()[1..].iter().product::<u64>() as usize;
    let start = read.array.cut(0).start(at[0]);
    let mut ascends = true;
    let told = axis.runs(read.chunk_span(at)[0].clone(), &mut |run: Run| {
        let from = (run.src - start) as usize * below;
        let to = from + run.len as usize * below;
        match out.last_mut() {
            Some(last) if from < last.start => ascends = false,
            Some(last) if from <= last.end => last.end = last.end.max(to),
            _ => out.push(from..to),
        }
        Ok(())
    });
    told.is_ok() && ascends
}

/// What an absent chunk means to a sink.
pub(crate) type AbsentRule = Box<dyn Fn(&ArrayRead, Range<u64>) -> bool + Send + Sync>;

/// The rule for a role (DESIGN rule 10): whether absent chunks may be the fill value.
pub(crate) fn may_be_absent(role: Role) -> bool {
    matches!(role, Role::Values | Role::Codes | Role::Indptr | Role::Indices)
}

/// The error for a chunk that is nowhere and must be somewhere.
pub(crate) fn missing(read: &ArrayRead, at: &[u64]) -> Error {
    let what = match read.role {
        Role::Data => "stored values of a sparse matrix",
        Role::Names => "names or strings",
        Role::Indices => "indices of rows with several stored values",
        Role::Indptr => "row starts after the first stored value",
        Role::Values | Role::Codes => "values",
    };
    Error::new(Code::MissingChunk, format!("a chunk with {what} is missing, and the fill value cannot stand for it"))
        .element(&*read.array.path)
        .key(read.array.chunk_key(&read.array.shard_of(at)))
        .expected(format!("inner chunk {at:?}"))
        .help("The store is incomplete: copy it again from its source, or read with missing=\"fill\" to take the fill value")
}

/// The error for an item that is not legal.
pub(crate) fn illegal(convert: &Convert, code: Code, read: &ArrayRead, bad: BadItem) -> Error {
    let (low, high) = convert.bounds();
    let what = match code {
        Code::SparseIndices => "an index lies outside of the matrix",
        Code::CategoryCode => "a code points at no category",
        Code::SparseIndptr => "a row start lies outside of the stored values",
        Code::ChunkDecode => "a boolean is neither 0 nor 1",
        _ => "a value is out of range",
    };
    Error::new(code, what)
        .element(&*read.array.path)
        .expected(format!("{low} to {high}"))
        .found(bad.value.to_string())
}

/// Which chunk is placed, and the items that it holds along each axis.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    at: &'a [u64],
    spans: &'a [Range<u64>],
}

/// Gathers fixed-size items into a result.
pub(crate) struct Gather {
    pub(crate) target: Target,
    /// Destinations along each axis.
    pub(crate) out_shape: Vec<u64>,
    pub(crate) convert: Convert,
    /// Decides where absent chunks depend on more than the role.
    pub(crate) absent: Option<AbsentRule>,
    /// `missing="fill"`: absent chunks are the fill value, whatever the role.
    pub(crate) lenient: bool,
    /// What an illegal integer is called.
    pub(crate) code: Code,
}

impl Gather {
    fn copy(&self, read: &ArrayRead, items: &[u8], from: u64, to: u64, len: u64) -> Result<()> {
        let (a, b) = (self.convert.stored_size(), self.convert.result_size());
        let src = items.get(from as usize * a..(from + len) as usize * a);
        // SAFETY: destinations of a placement are disjoint and each chunk is placed by one thread; the buffer belongs to
        // the program that runs this sink.
        let dst = unsafe { self.target.stretch(to as usize * b, len as usize * b) };
        let (Some(src), Some(dst)) = (src, dst) else {
            return Err(Error::new(Code::Internal, "a run lies outside of its chunk or result")
                .element(&*read.array.path));
        };
        self.convert.run(src, dst).map_err(|bad| illegal(&self.convert, self.code, read, bad))
    }

    /// Copies the wanted items below one axis.
    fn descend(
        &self,
        read: &ArrayRead,
        chunk: Chunk<'_>,
        items: &[u8],
        axis: usize,
        from: u64,
        to: u64,
    ) -> Result<()> {
        if axis == read.axes.len() {
            return self.copy(read, items, from, to, 1);
        }
        let span = &chunk.spans[axis];
        let width = read.array.cut(axis).len(chunk.at[axis]);
        let last = axis + 1 == read.axes.len();
        read.axes[axis].runs(span.clone(), &mut |run: Run| {
            let from = from * width + (run.src - span.start);
            let to = to * self.out_shape[axis] + run.dst;
            if last {
                return self.copy(read, items, from, to, run.len);
            }
            if Self::contiguous_below(read, axis) {
                let below: u64 = self.out_shape[axis + 1..].iter().product();
                return self.copy(read, items, from * below, to * below, run.len * below);
            }
            (0..run.len).try_for_each(|i| self.descend(read, chunk, items, axis + 1, from + i, to + i))
        })
    }

    /// Whether chunk and result hold the same whole rows below this axis.
    fn contiguous_below(read: &ArrayRead, axis: usize) -> bool {
        (axis + 1..read.axes.len()).all(|k| {
            read.array.cut(k).is_whole(read.array.shape[k])
                && read.axes[k].is_identity_range() == Some(0..read.array.shape[k])
        })
    }
}

impl Sink for Gather {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        let Items::Fixed(items) = items else {
            return Err(Error::new(Code::Internal, "strings came where items of fixed size were expected"));
        };
        self.descend(read, Chunk { at, spans: &read.chunk_span(at) }, items, 0, 0, 0)
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        // Categories and names are each there once: of numbers, one alone may be the fill value.
        let one = read.chunk_span(at).iter().map(|s| s.end - s.start).product::<u64>() <= 1;
        let allowed = self.lenient
            || (read.role == Role::Names && one)
            || (may_be_absent(read.role)
                && self
                    .absent
                    .as_ref()
                    .is_none_or(|rule| rule(read, read.chunk_span(at).first().cloned().unwrap_or(0..1))));
        if allowed { Ok(()) } else { Err(missing(read, at)) }
    }

    fn check(&self, read: &ArrayRead, items: &[u8]) -> Result<()> {
        self.convert.check(items).map_err(|bad| illegal(&self.convert, self.code, read, bad))
    }

    fn partial(&self) -> bool {
        true
    }

    fn fresh(&self) -> Option<Target> {
        Some(self.target)
    }

    fn direct(&self, read: &ArrayRead, at: &[u64]) -> Option<&mut [u8]> {
        if !self.convert.is_same() {
            return None;
        }
        let size = self.convert.stored_size();
        if read.axes.is_empty() || !Self::contiguous_below(read, 0) {
            return None;
        }
        let wanted = read.axes[0].is_identity_range()?;
        let cut = read.array.cut(0);
        let (rows, start) = (cut.len(at[0]), cut.start(at[0]));
        if start < wanted.start || start + rows > wanted.end {
            return None;
        }
        let below: u64 = self.out_shape[1..].iter().product();
        // SAFETY: as in `copy`: this chunk alone fills these rows.
        unsafe {
            self.target
                .stretch(((start - wanted.start) * below) as usize * size, (rows * below) as usize * size)
        }
    }
}

/// One chunk full of the fill value.
pub(crate) fn filled(item: &[u8], items: u64) -> Vlen {
    let offsets = (0..=items).map(|i| i * item.len() as u64).collect();
    Vlen { offsets, bytes: item.repeat(items as usize) }
}
