//! Bits with a rank directory: one bit an item, one count for every 512.

use std::ops::Range;

use lazarr_format::Result;

/// Words of a block of the directory.
const BLOCK: usize = 8;

/// A packed mask that answers rank, select and next in the time of a binary search.
pub(super) struct Bits {
    words: Box<[u64]>,
    /// Ones before each block of [`BLOCK`] words.
    directory: Box<[u64]>,
    ones: u64,
}

impl Bits {
    pub(super) fn new(words: Vec<u64>) -> Self {
        let mut ones = 0;
        let directory = words
            .chunks(BLOCK)
            .map(|block| {
                let before = ones;
                ones += block.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
                before
            })
            .collect();
        Self { words: words.into(), directory, ones }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn ones(&self) -> u64 {
        self.ones
    }

    pub(super) fn len(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        (self.words.len() + self.directory.len()) as u64 * 8
    }

    pub(super) fn contains(&self, pos: u64) -> bool {
        pos < self.len() && self.words[(pos / 64) as usize] >> (pos % 64) & 1 == 1
    }

    /// Ones below `pos`.
    pub(super) fn rank(&self, pos: u64) -> u64 {
        if pos >= self.len() {
            return self.ones;
        }
        let word = (pos / 64) as usize;
        let block = word / BLOCK;
        let whole: u64 = self.words[block * BLOCK..word].iter().map(|w| u64::from(w.count_ones())).sum();
        let part = self.words[word] & ((1 << (pos % 64)) - 1);
        self.directory[block] + whole + u64::from(part.count_ones())
    }

    /// The position of the one before which there are `rank` others.
    pub(super) fn select(&self, rank: u64) -> Option<u64> {
        if rank >= self.ones {
            return None;
        }
        let block = self.directory.partition_point(|&before| before <= rank) - 1;
        let mut left = rank - self.directory[block];
        for (i, &w) in self.words.iter().enumerate().skip(block * BLOCK) {
            let n = u64::from(w.count_ones());
            if left < n {
                let mut w = w;
                for _ in 0..left {
                    w &= w - 1;
                }
                return Some(i as u64 * 64 + u64::from(w.trailing_zeros()));
            }
            left -= n;
        }
        None
    }

    /// The first one at or after `pos`.
    pub(super) fn next_one(&self, pos: u64) -> Option<u64> {
        next(&self.words, pos, 0)
    }

    /// Calls `f(position, ones before it, length)` for every run of ones inside `span`.
    pub(super) fn runs(
        &self,
        span: Range<u64>,
        f: &mut dyn FnMut(u64, u64, u64) -> Result<()>,
    ) -> Result<()> {
        let mut rank = self.rank(span.start);
        let mut at = self.next_one(span.start);
        while let Some(start) = at.filter(|&p| p < span.end) {
            let end = next(&self.words, start, u64::MAX).unwrap_or(self.len()).min(span.end);
            f(start, rank, end - start)?;
            rank += end - start;
            at = self.next_one(end);
        }
        Ok(())
    }

    /// Positions of the ones, ascending or descending.
    pub(super) fn iter(&self, descending: bool) -> BitIter<'_> {
        let index = if descending { self.words.len() } else { 0 };
        BitIter { words: &self.words, index, word: 0, base: 0, descending }
    }
}

/// The first position at or after `pos` whose bit differs from `flip`'s.
fn next(words: &[u64], pos: u64, flip: u64) -> Option<u64> {
    let mut i = usize::try_from(pos / 64).ok()?;
    let mut word = (words.get(i)? ^ flip) & (u64::MAX << (pos % 64));
    while word == 0 {
        i += 1;
        word = words.get(i)? ^ flip;
    }
    Some(i as u64 * 64 + u64::from(word.trailing_zeros()))
}

pub(super) struct BitIter<'a> {
    words: &'a [u64],
    /// The next word to load (ascending), or one past it (descending).
    index: usize,
    word: u64,
    base: u64,
    descending: bool,
}

impl Iterator for BitIter<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.word == 0 {
            if self.descending {
                self.index = self.index.checked_sub(1)?;
                self.word = self.words[self.index];
                self.base = self.index as u64 * 64;
            } else {
                self.word = *self.words.get(self.index)?;
                self.base = self.index as u64 * 64;
                self.index += 1;
            }
        }
        let bit = if self.descending { self.word.ilog2() } else { self.word.trailing_zeros() };
        self.word &= !(1 << bit);
        Some(self.base + u64::from(bit))
    }
}

/// Packs booleans, 64 a word.
pub(super) fn pack(mask: &[bool]) -> Vec<u64> {
    /// Gathers the lowest bits of eight bytes into one byte.
    fn eight(b: &[bool]) -> u64 {
        let bytes = [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]].map(u8::from);
        u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
    let mut words = Vec::with_capacity(mask.len().div_ceil(64));
    let mut chunks = mask.chunks_exact(64);
    for chunk in &mut chunks {
        words.push(chunk.chunks_exact(8).enumerate().fold(0, |w, (i, b)| w | eight(b) << (8 * i)));
    }
    if !chunks.remainder().is_empty() {
        words.push(chunks.remainder().iter().enumerate().fold(0, |w, (i, &b)| w | u64::from(b) << i));
    }
    words
}

/// Sets the bits of `range`.
pub(super) fn set_range(words: &mut [u64], range: Range<u64>) {
    for_words(range, |i, m| words[i] |= m);
}

/// Copies the bits of `range` from one set of words into another.
pub(super) fn copy_range(to: &mut [u64], from: &[u64], range: Range<u64>) {
    for_words(range, |i, m| to[i] |= from[i] & m);
}

fn for_words(range: Range<u64>, mut f: impl FnMut(usize, u64)) {
    if range.is_empty() {
        return;
    }
    let (first, last) = ((range.start / 64) as usize, ((range.end - 1) / 64) as usize);
    for i in first..=last {
        let mut m = u64::MAX;
        if i == first {
            m &= u64::MAX << (range.start % 64);
        }
        if i == last {
            m &= u64::MAX >> (63 - (range.end - 1) % 64);
        }
        f(i, m);
    }
}

/// The mirrored bits: the last of `words` becomes the first.
pub(super) fn mirror(words: &[u64]) -> Vec<u64> {
    words.iter().rev().map(|w| w.reverse_bits()).collect()
}

/// Number of ones and of runs of ones.
pub(super) fn count(words: &[u64]) -> (u64, u64) {
    let (mut ones, mut runs, mut carry) = (0, 0, 0);
    for &w in words {
        ones += u64::from(w.count_ones());
        runs += u64::from((w & !(w << 1 | carry)).count_ones());
        carry = w >> 63;
    }
    (ones, runs)
}
