//! Where items go: the interface between a selection of one axis and the code that reads chunks.
//!
//! A reader walks the chunks of an axis and asks, for the items of each, which are wanted and where they go. It never
//! asks item by item: the answer comes as runs, so that a slice of ten million rows is one copy a chunk.

use std::ops::Range;

use lazarr_format::Result;

/// A run of consecutive sources that go to consecutive destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first source.
    pub src: u64,
    /// Where it goes; the others follow.
    pub dst: u64,
    /// Items in the run; at least 1.
    pub len: u64,
}

/// Which items of one axis are wanted, and where each goes.
pub trait Placement: Send + Sync {
    /// Number of destinations.
    fn len(&self) -> u64;

    /// Whether nothing is wanted.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The smallest wanted source that is not below `pos`.
    fn next_from(&self, pos: u64) -> Option<u64>;

    /// The same for a walk: `near` is its own, 0 at first, and says where the last answer was found.
    fn next_near(&self, pos: u64, near: &mut usize) -> Option<u64> {
        let _ = near;
        self.next_from(pos)
    }

    /// Calls `f` with every run whose sources lie in `span`, in ascending order of source. A source that is wanted
    /// several times comes several times. `f` may stop the walk with an error, which is handed on.
    fn runs(&self, span: Range<u64>, f: &mut dyn FnMut(Run) -> Result<()>) -> Result<()>;

    /// From the first wanted source to one past the last; `None` where nothing is wanted.
    fn span(&self) -> Option<Range<u64>>;

    /// The wanted sources, where they are one contiguous range in ascending order, each wanted once.
    fn is_identity_range(&self) -> Option<Range<u64>>;
}
