//! Which bytes of a chunk are wanted, where not all of them are.

use std::ops::Range;

/// Stretches of a chunk, ascending and disjoint, in items of `size` bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    items: &'a [Range<usize>],
    size: usize,
    /// Bytes of the chunk: nothing is wanted beyond.
    len: usize,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(items: &'a [Range<usize>], size: usize, len: usize) -> Self {
        Self { items, size, len }
    }

    pub(super) fn is_all(&self) -> bool {
        self.count() == 1 && self.run(0) == (0..self.len)
    }

    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// Stretch `i`, in bytes, within the chunk.
    pub(super) fn run(&self, i: usize) -> Range<usize> {
        let byte = |item: usize| item.saturating_mul(self.size).min(self.len);
        self.items.get(i).map_or(self.len..self.len, |r| byte(r.start)..byte(r.end).max(byte(r.start)))
    }

    pub(super) fn runs(self) -> impl Iterator<Item = Range<usize>> + 'a {
        (0..self.count()).map(move |i| self.run(i))
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> usize {
        self.count().checked_sub(1).map_or(0, |last| self.run(last).end)
    }
}
