//! How an axis is cut into chunks: every so many items, or at the edges of a rectilinear grid.
//!
//! A matrix of one-row chunks has an edge for each row, and a few words of metadata may name any number of equal edges:
//! both are held as runs of equal chunks, found by halving.

/// The chunks of one axis of a rectilinear grid: at least two, of at least two lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edges {
    /// The item at which each run of equal chunks ends.
    ends: Vec<u64>,
    /// The chunks up to the end of each run; `None` where each run is one chunk.
    counts: Option<Vec<u64>>,
    longest: u64,
}

/// Why edges make no grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEdges {
    /// An edge or its count is 0.
    Zero,
    /// They end here, before the axis does.
    Short(u64),
    /// They are beyond 2^64.
    Overflow,
}

/// How one axis is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Axis {
    /// Into chunks of this length.
    Every(u64),
    /// Into chunks of several lengths.
    Edges(Edges),
}

/// How one axis is cut; cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<'a> {
    /// Into chunks of this length.
    Every(u64),
    /// Into chunks of several lengths.
    Edges(&'a Edges),
}

/// A rectilinear grid: how each axis is cut. What is longer than the axis is kept as it is, what lies behind it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// The axes; one of them at least has edges.
    pub axes: Vec<Axis>,
}

impl Axis {
    /// The axis of `length` items whose chunks are these: lengths and how often each is repeated, in order. Nothing is
    /// allocated for repeated chunks.
    ///
    /// Errors: where a length or a count is 0, or the chunks end before the axis.
    pub fn new(runs: impl IntoIterator<Item = (u64, u64)>, length: u64) -> Result<Self, BadEdges> {
        let mut kept: Vec<(u64, u64)> = Vec::new();
        let mut end = 0u64;
        for (edge, count) in runs {
            if edge == 0 || count == 0 {
                return Err(BadEdges::Zero);
            }
            let count = count.min(length.saturating_sub(end).div_ceil(edge));
            if count == 0 {
                continue; // behind the axis
            }
            end = edge.checked_mul(count).and_then(|n| n.checked_add(end)).ok_or(BadEdges::Overflow)?;
            match kept.last_mut() {
                Some((last, n)) if *last == edge => *n += count,
                _ => kept.push((edge, count)),
            }
        }
        if end < length {
            return Err(BadEdges::Short(end));
        }
        Ok(match kept[..] {
            [] => Self::Every(1),
            [(edge, _)] => Self::Every(edge),
            _ => Self::Edges(Edges::of_runs(&kept)),
        })
    }

    /// The same, to ask.
    pub fn cut(&self) -> Cut<'_> {
        match self {
            Self::Every(length) => Cut::Every(*length),
            Self::Edges(edges) => Cut::Edges(edges),
        }
    }

    /// The length of the longest chunk.
    pub fn longest(&self) -> u64 {
        match self {
            Self::Every(length) => *length,
            Self::Edges(edges) => edges.longest,
        }
    }
}

impl Edges {
    fn of_runs(runs: &[(u64, u64)]) -> Self {
        let chunks = runs.iter().fold(0u64, |n, (_, count)| n.saturating_add(*count));
        let longest = runs.iter().map(|(edge, _)| *edge).max().unwrap_or(1);
        let mut end = 0;
        // Chunk by chunk where few repeat: half the memory, and one step less to find one.
        if chunks <= 2 * runs.len() as u64 {
            let each = runs.iter().flat_map(|&(edge, count)| (0..count).map(move |_| edge));
            let ends = each.map(|edge| {
                end += edge;
                end
            });
            return Self { ends: ends.collect(), counts: None, longest };
        }
        let mut count = 0;
        let (ends, counts) = runs
            .iter()
            .map(|(edge, n)| {
                end += edge * n;
                count += n;
                (end, count)
            })
            .unzip();
        Self { ends, counts: Some(counts), longest }
    }

    /// Number of chunks.
    fn count(&self) -> u64 {
        match &self.counts {
            Some(counts) => counts.last().copied().unwrap_or(0),
            None => self.ends.len() as u64,
        }
    }

    /// Where a run starts: its first item, its first chunk, and the length of its chunks.
    fn run(&self, run: usize) -> (u64, u64, u64) {
        let before = |list: &[u64]| run.checked_sub(1).and_then(|k| list.get(k).copied()).unwrap_or(0);
        let (start, end) = (before(&self.ends), self.ends.get(run).copied().unwrap_or(u64::MAX));
        match &self.counts {
            None => (start, run as u64, end - start),
            Some(counts) => {
                let first = before(counts);
                let count = counts.get(run).map_or(1, |c| c - first).max(1);
                (start, first, (end - start) / count)
            }
        }
    }

    fn of(&self, item: u64) -> u64 {
        let run = self.ends.partition_point(|&end| end <= item);
        if run == self.ends.len() {
            return self.count();
        }
        let (start, first, edge) = self.run(run);
        first + (item - start) / edge.max(1)
    }

    fn start(&self, chunk: u64) -> u64 {
        let run = match &self.counts {
            None => usize::try_from(chunk).unwrap_or(usize::MAX),
            Some(counts) => counts.partition_point(|&count| count <= chunk),
        };
        if run >= self.ends.len() {
            return self.ends.last().copied().unwrap_or(0);
        }
        let (start, first, edge) = self.run(run);
        start + (chunk - first) * edge
    }
}

impl Cut<'_> {
    /// Which chunk holds an item; behind the last edge, one more than the last chunk.
    pub fn of(self, item: u64) -> u64 {
        match self {
            Self::Every(length) => item / length,
            Self::Edges(edges) => edges.of(item),
        }
    }

    /// The first item of a chunk. Never beyond 2^64: what would be is [`u64::MAX`].
    pub fn start(self, chunk: u64) -> u64 {
        match self {
            Self::Every(length) => chunk.saturating_mul(length),
            Self::Edges(edges) => edges.start(chunk),
        }
    }

    /// The first item behind a chunk; `None` where there can be none.
    pub fn end(self, chunk: u64) -> Option<u64> {
        match self {
            Self::Every(length) => (chunk + 1).checked_mul(length),
            Self::Edges(edges) => {
                (chunk < edges.count()).then(|| edges.start(chunk + 1)).filter(|end| *end < u64::MAX)
            }
        }
    }

    /// The length of a chunk as it is stored, which may reach beyond the axis.
    pub fn len(self, chunk: u64) -> u64 {
        match self {
            Self::Every(length) => length,
            Self::Edges(edges) => edges.start(chunk + 1) - edges.start(chunk),
        }
    }

    /// Number of chunks of an axis of this length.
    pub fn count(self, length: u64) -> u64 {
        match self {
            Self::Every(each) => length.div_ceil(each),
            Self::Edges(edges) => edges.count(),
        }
    }

    /// Whether an axis of this length is one chunk, which holds nothing else.
    pub fn is_whole(self, length: u64) -> bool {
        self == Cut::Every(length)
    }
}

impl From<u64> for Cut<'_> {
    fn from(length: u64) -> Self {
        Self::Every(length)
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
