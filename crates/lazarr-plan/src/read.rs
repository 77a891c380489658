//! One array and what is wanted of it: which shards and inner chunks that touches, and with which requests they come.
//!
//! Everything here is walked, nothing is stored per chunk: [`GridWalk`] steps from touched cell to touched cell, and
//! [`WorkStream`] turns them into requests batch by batch. `plan` counts what the stream yields, `execute` does it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use lazarr_format::shard::ShardIndex;
use lazarr_format::{ArrayMeta, ArrayRef, ByteRange, Code, Cut, Error, Profile, Result, Version};
use smallvec::SmallVec;

use crate::Placement;

/// A place in a grid.
pub type Coord = SmallVec<[u64; 4]>;

/// What an array is to its element; decides what an absent chunk means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Items of a dense array, numeric column, mask: an absent chunk is the fill value.
    Values,
    /// Codes of a categorical: an absent chunk is the fill value.
    Codes,
    /// Names and categories, and other strings: an absent chunk is an error.
    Names,
    /// Stored values of a sparse matrix: an absent chunk is an error.
    Data,
    /// Minor indices of a sparse matrix: absent only where no row has two entries in the chunk.
    Indices,
    /// Row starts of a sparse matrix: absent only while nothing is stored yet.
    Indptr,
}

/// One array, and which of its items are wanted along each axis.
#[derive(Clone)]
pub struct ArrayRead {
    /// The array.
    pub array: ArrayRef,
    /// One placement an axis; [`ArrayRead::narrow`] changes one.
    pub axes: Vec<Arc<dyn Placement>>,
    /// What the array is to its element.
    pub role: Role,
    /// Inner chunks that the reader holds already, decoded, ascending: they are not fetched again.
    pub held: Vec<Coord>,
    /// Whether chunks come in the order of the array, however they lie in their shards.
    pub ordered: bool,
    /// How many inner chunks it touches, once that was counted: of a million rows it takes milliseconds, and much depends
    /// on it.
    counted: Arc<OnceLock<u64>>,
}

/// Steps through the touched cells of a grid, in C order.
pub struct GridWalk<'a> {
    axes: &'a [Arc<dyn Placement>],
    cell: SmallVec<[Cut<'a>; 4]>,
    bounds: SmallVec<[Range<u64>; 4]>,
    at: Coord,
    /// Where the last item of each axis was found.
    near: SmallVec<[usize; 4]>,
    state: Walk,
}

#[derive(PartialEq)]
enum Walk {
    Fresh,
    Going,
    Done,
}

impl<'a> GridWalk<'a> {
    /// The touched cells of the whole grid, or of the items in `bounds` alone.
    pub fn new(
        axes: &'a [Arc<dyn Placement>],
        cell: &[u64],
        bounds: Option<SmallVec<[Range<u64>; 4]>>,
    ) -> Self {
        Self::over(axes, cell.iter().map(|&c| Cut::Every(c)).collect(), bounds)
    }

    /// The same of axes that may be cut into cells of several lengths.
    pub fn over(
        axes: &'a [Arc<dyn Placement>],
        cell: SmallVec<[Cut<'a>; 4]>,
        bounds: Option<SmallVec<[Range<u64>; 4]>>,
    ) -> Self {
        let bounds = bounds.unwrap_or_else(|| axes.iter().map(|_| 0..u64::MAX).collect());
        let near = SmallVec::from_elem(0, axes.len());
        Self { axes, cell, bounds, at: SmallVec::new(), near, state: Walk::Fresh }
    }

    fn step(&mut self, axis: usize, from: u64) -> Option<u64> {
        let bounds = &self.bounds[axis];
        let item = self.axes[axis].next_near(from.max(bounds.start), &mut self.near[axis])?;
        (item < bounds.end).then(|| self.cell[axis].of(item))
    }

    fn advance(&mut self) -> Option<()> {
        if self.state == Walk::Fresh {
            for axis in 0..self.axes.len() {
                let first = self.step(axis, 0)?;
                self.at.push(first);
            }
            return Some(());
        }
        for axis in (0..self.axes.len()).rev() {
            let next = self.cell[axis].end(self.at[axis]).and_then(|from| self.step(axis, from));
            if let Some(next) = next {
                self.at[axis] = next;
                return Some(());
            }
            self.at[axis] = self.step(axis, 0)?;
        }
        None
    }
}

impl Iterator for GridWalk<'_> {
    type Item = Coord;

    fn next(&mut self) -> Option<Coord> {
        if self.state == Walk::Done {
            return None;
        }
        let more = self.advance().is_some();
        self.state = if more { Walk::Going } else { Walk::Done };
        more.then(|| self.at.clone())
    }
}

/// How many cells of an axis that is cut so a placement touches.
pub fn touched<'c>(placement: &dyn Placement, cell: impl Into<Cut<'c>>) -> u64 {
    let cell = cell.into();
    if let Some(range) = placement.is_identity_range() {
        return if range.is_empty() { 0 } else { cell.of(range.end - 1) - cell.of(range.start) + 1 };
    }
    let (mut count, mut near) = (0, 0);
    let mut from = Some(0u64);
    while let Some(item) = from.and_then(|f| placement.next_near(f, &mut near)) {
        count += 1;
        from = cell.end(cell.of(item));
    }
    count
}

/// How many items the cells hold that a placement touches.
fn touched_items(placement: &dyn Placement, cell: Cut<'_>) -> u64 {
    if let Cut::Every(length) = cell {
        return touched(placement, cell).saturating_mul(length);
    }
    if let Some(range) = placement.is_identity_range().filter(|range| !range.is_empty()) {
        return cell.start(cell.of(range.end - 1) + 1) - cell.start(cell.of(range.start));
    }
    let (mut items, mut near) = (0, 0);
    let mut from = Some(0u64);
    while let Some(item) = from.and_then(|f| placement.next_near(f, &mut near)) {
        items += cell.len(cell.of(item));
        from = cell.end(cell.of(item));
    }
    items
}

/// One inner chunk in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its place in the grid of inner chunks of the whole array.
    pub at: Coord,
    /// Its bytes, relative to the start of the request; `None`: all of them.
    pub bytes: Option<Range<u64>>,
}

/// Something to do for an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Read these bytes; these chunks are in them.
    Fetch {
        /// The key of the chunk or shard.
        key: String,
        /// Which bytes.
        range: ByteRange,
        /// The state of the shard that its index was read from.
        version: Option<Version>,
        /// The chunks, by offset.
        parts: Vec<Part>,
    },
    /// These chunks are nowhere: they are the fill value.
    Fill(Vec<Coord>),
}

/// What is known of a shard's index.
#[derive(Clone)]
pub enum IndexState {
    /// There is no such shard.
    Absent,
    /// Its index, and the state of the shard it was read from.
    Present(Arc<ShardIndex>, Version),
}

/// So many chunks of a shard are looked at together when requests are merged: bounds the memory of a stream.
const BATCH: usize = 4096;

impl ArrayRead {
    /// Items of an array, nothing held.
    pub fn new(array: &ArrayRef, axes: Vec<Arc<dyn Placement>>, role: Role) -> Self {
        Self { array: array.clone(), axes, role, held: Vec::new(), ordered: false, counted: Arc::default() }
    }

    /// The same items of an array beside it. Where both are cut alike, their chunks are counted once.
    #[must_use]
    pub fn beside(&self, array: &ArrayRef, role: Role) -> Self {
        let alike = (0..self.axes.len()).all(|k| self.array.cut(k) == array.cut(k));
        let counted = if alike { self.counted.clone() } else { Arc::default() };
        Self { array: array.clone(), role, counted, ..self.clone() }
    }

    /// Wants something else along an axis.
    pub fn narrow(&mut self, axis: usize, placement: Arc<dyn Placement>) {
        self.axes[axis] = placement;
        self.counted = Arc::default();
    }

    /// The touched shards (chunks, where the array is not sharded).
    pub fn shards(&self) -> GridWalk<'_> {
        GridWalk::over(&self.axes, cuts(&self.array, ArrayMeta::shard_cut), None)
    }

    /// Number of touched shards (chunks).
    pub fn shard_count(&self) -> u64 {
        self.count(ArrayMeta::shard_cut)
    }

    /// Number of touched inner chunks.
    pub fn chunk_count(&self) -> u64 {
        *self.counted.get_or_init(|| self.count(ArrayMeta::cut))
    }

    /// Number of items in the touched inner chunks, as they are stored.
    pub fn chunk_items(&self) -> u64 {
        if self.array.grid.is_none() {
            return self.chunk_count().saturating_mul(self.array.inner_len());
        }
        let each = self.axes.iter().enumerate().map(|(k, p)| touched_items(&**p, self.array.cut(k)));
        each.fold(1, u64::saturating_mul)
    }

    fn count(&self, cut: impl Fn(&ArrayMeta, usize) -> Cut<'_>) -> u64 {
        let each = self.axes.iter().enumerate().map(|(k, p)| touched(&**p, cut(&self.array, k)));
        each.fold(1, u64::saturating_mul)
    }

    fn holds(&self, at: &Coord) -> bool {
        !self.held.is_empty() && self.held.binary_search(at).is_ok()
    }

    /// Whether something of this inner chunk is wanted.
    pub fn touches_chunk(&self, at: &[u64]) -> bool {
        let span = self.chunk_span(at);
        self.axes.iter().zip(span).all(|(axis, s)| axis.next_from(s.start).is_some_and(|item| item < s.end))
    }

    /// The items along each axis that an inner chunk holds, clipped to the array.
    pub fn chunk_span(&self, at: &[u64]) -> SmallVec<[Range<u64>; 4]> {
        span(&self.array, at, ArrayMeta::cut)
    }

    /// The touched inner chunks of a shard.
    fn inner(&self, shard: &[u64]) -> GridWalk<'_> {
        let bounds = span(&self.array, shard, ArrayMeta::shard_cut);
        GridWalk::over(&self.axes, cuts(&self.array, ArrayMeta::cut), Some(bounds))
    }

    /// The number of an inner chunk within its shard.
    fn number_in_shard(&self, shard: &[u64], at: &[u64]) -> u64 {
        let array = &*self.array;
        let mut number = 0;
        for ((&outer, &inner), (&s, &a)) in
            array.chunk_shape.iter().zip(array.inner_shape()).zip(shard.iter().zip(at))
        {
            let per = outer / inner;
            number = number * per + (a - s * per);
        }
        number
    }

    /// What there is to do, as a stream.
    pub fn work(&self, profile: Profile) -> WorkStream<'_> {
        WorkStream { read: self, profile, shards: Some(self.shards()), open: None, ready: Vec::new() }
    }

    /// What there is to do in one shard.
    pub fn shard_work(&self, shard: Shard, index: IndexState, profile: Profile) -> WorkStream<'_> {
        let mut stream = WorkStream { read: self, profile, shards: None, open: None, ready: Vec::new() };
        stream.open(shard, index);
        stream
    }
}

/// How the axes of an array are cut.
fn cuts<'a>(array: &'a ArrayMeta, cut: impl Fn(&'a ArrayMeta, usize) -> Cut<'a>) -> SmallVec<[Cut<'a>; 4]> {
    (0..array.shape.len()).map(|axis| cut(array, axis)).collect()
}

fn span<'a>(
    array: &'a ArrayMeta,
    at: &[u64],
    cut: impl Fn(&'a ArrayMeta, usize) -> Cut<'a>,
) -> SmallVec<[Range<u64>; 4]> {
    let axes = at.iter().zip(&array.shape).enumerate();
    axes.map(|(axis, (&at, &length))| {
        let cut = cut(array, axis);
        cut.start(at).min(length)..cut.end(at).unwrap_or(u64::MAX).min(length)
    })
    .collect()
}

/// The requests of one array, merged where that is cheaper, in batches.
pub struct WorkStream<'a> {
    read: &'a ArrayRead,
    profile: Profile,
    shards: Option<GridWalk<'a>>,
    open: Option<OpenShard<'a>>,
    /// Work that is ready, last first.
    ready: Vec<Work>,
}

/// A touched shard whose index is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its place in the grid of shards.
    pub at: Coord,
    /// Its key.
    pub key: String,
}

/// What a stream says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something to do.
    Work(Work),
    /// The index of this shard must be known.
    Shard(Shard),
    /// Nothing is left.
    End,
}

struct OpenShard<'a> {
    at: Coord,
    key: String,
    index: IndexState,
    inner: GridWalk<'a>,
}

impl<'a> WorkStream<'a> {
    /// What is read.
    pub fn read(&self) -> &'a ArrayRead {
        self.read
    }

    /// The next thing to do. `index` gives the index of a shard; it is asked once for each touched shard.
    pub fn next(
        &mut self,
        index: &mut dyn FnMut(&str, &[u64]) -> Result<IndexState>,
    ) -> Result<Option<Work>> {
        loop {
            match self.step()? {
                Step::Work(work) => return Ok(Some(work)),
                Step::Shard(shard) => {
                    let state = index(&shard.key, &shard.at)?;
                    self.open(shard, state);
                }
                Step::End => return Ok(None),
            }
        }
    }

    /// The next thing to do, or the shard whose index must be known first. The caller may open it here, or leave its work
    /// to a stream of its own ([`ArrayRead::shard_work`]).
    pub fn step(&mut self) -> Result<Step> {
        loop {
            if let Some(work) = self.ready.pop() {
                return Ok(Step::Work(work));
            }
            if self.open.is_some() {
                self.batch()?;
                continue;
            }
            let Some(at) = self.shards.as_mut().and_then(Iterator::next) else { return Ok(Step::End) };
            let key = self.read.array.chunk_key(&at);
            if self.read.array.sharding.is_some() {
                return Ok(Step::Shard(Shard { at, key }));
            }
            if self.read.holds(&at) {
                continue;
            }
            let parts = vec![Part { at, bytes: None }];
            return Ok(Step::Work(Work::Fetch { key, range: ByteRange::All, version: None, parts }));
        }
    }

    /// Goes on with the chunks of a shard.
    pub fn open(&mut self, shard: Shard, index: IndexState) {
        let inner = self.read.inner(&shard.at);
        self.open = Some(OpenShard { at: shard.at, key: shard.key, index, inner });
    }

    /// Takes the next chunks of the open shard and merges them into requests.
    fn batch(&mut self) -> Result<()> {
        let Some(shard) = &mut self.open else { return Ok(()) };
        let ordered = self.read.ordered;
        let mut parts: Vec<(Option<Range<u64>>, Coord)> = Vec::new();
        let mut fill = Vec::new();
        let mut last = true;
        for at in shard.inner.by_ref() {
            if self.read.holds(&at) {
                continue;
            }
            let range = match &shard.index {
                IndexState::Absent => None,
                IndexState::Present(index, _) => index
                    .get(self.read.number_in_shard(&shard.at, &at))
                    .map_err(|e| e.element(&*self.read.array.path).key(&*shard.key))?,
            };
            match range {
                None if !ordered => fill.push(at),
                range => parts.push((range, at)),
            }
            if parts.len() + fill.len() == BATCH {
                last = false;
                break;
            }
        }
        if !ordered {
            parts.sort_unstable_by_key(|(range, _)| range.as_ref().map(|r| (r.start, r.end)));
        }
        let version = match &shard.index {
            IndexState::Present(_, version) => Some(*version),
            IndexState::Absent => None,
        };
        for (range, at) in parts {
            let Some(range) = range else {
                match self.ready.last_mut() {
                    Some(Work::Fill(more)) => more.push(at),
                    _ => self.ready.push(Work::Fill(vec![at])),
                }
                continue;
            };
            if let Some(Work::Fetch { range: ByteRange::Range(open), parts, .. }) = self.ready.last_mut()
                && range.start >= open.start
                && range.start.saturating_sub(open.end) <= self.profile.max_gap()
                && range.end.max(open.end) - open.start <= self.profile.max_request
            {
                parts.push(Part { at, bytes: Some(range.start - open.start..range.end - open.start) });
                open.end = open.end.max(range.end);
                continue;
            }
            let part = Part { at, bytes: Some(0..range.end - range.start) };
            let range = ByteRange::Range(range);
            self.ready.push(Work::Fetch { key: shard.key.clone(), range, version, parts: vec![part] });
        }
        if !fill.is_empty() {
            self.ready.push(Work::Fill(fill));
        }
        self.ready.reverse();
        if last {
            self.open = None;
        }
        Ok(())
    }
}

/// Checks that an array can be read with these axes.
pub fn check_rank(array: &ArrayRef, axes: &[Arc<dyn Placement>]) -> Result<()> {
    if array.shape.len() == axes.len() {
        return Ok(());
    }
    Err(Error::new(Code::Internal, "a read has another number of axes than its array").element(&*array.path))
}
