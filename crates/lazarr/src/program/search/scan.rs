//! The inner loop of a search: items that are wanted among many, in one pass that also checks the bound.
//!
//! Blocks of 64 items are tested without a branch, so that the loop is vectorised. Blocks without a wanted item are left
//! out, blocks of wanted ones are taken as they are; only where some are wanted, or one lies outside of the matrix, are
//! they looked at one by one.

use std::ops::Range;

use crate::program::wide::{Loop, widest};

/// Items of a block.
const BLOCK: usize = 64;

/// An unsigned integer, as stored (negative ones were read as such: they are above every bound).
pub(super) trait Item: Copy + Ord {
    /// The largest.
    const MAX: u64;
    fn of(value: u64) -> Self;
    fn wide(self) -> u64;
    fn minus(self, other: Self) -> Self;
}

macro_rules! items {
    ($($t:ty),*) => {
        $(impl Item for $t {
            const MAX: u64 = <$t>::MAX as u64;
            fn of(value: u64) -> Self {
                value as $t
            }
            fn wide(self) -> u64 {
                self as u64
            }
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
        })*
    };
}
items!(u8, u16, u32, u64);

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// These and all between; both within the bound.
    Range(u64, u64),
    /// Up to four, some perhaps several times.
    Few([u64; 4]),
    /// Those whose bit is set.
    Bits(Vec<u64>),
    /// Nothing is sorted out: the caller looks at each.
    All,
}

/// Calls `each` with the places of wanted items side by side, ascending, and stops with its error. The first item above
/// `last` ends it: its place.
pub(super) fn find<const N: usize, T: Item, E>(
    items: &[[u8; N]],
    get: impl Fn([u8; N]) -> T + Copy,
    last: T,
    wanted: &Wanted,
    each: &mut impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    match wanted {
        Wanted::Range(a, b) if a == b => {
            let needle = T::of(*a);
            scan(items, get, last, |x| x == needle, each)
        }
        Wanted::Range(a, b) => {
            let (first, more) = (T::of(*a), T::of(b - a));
            scan(items, get, last, |x| x.minus(first) <= more, each)
        }
        Wanted::Few(needles) => {
            let [a, b, c, d] = needles.map(T::of);
            scan(items, get, last, |x| (x == a) || (x == b) || (x == c) || (x == d), each)
        }
        Wanted::Bits(bits) => {
            let set = |x: T| {
                let x = x.wide();
                bits.get((x >> 6) as usize).is_some_and(|word| word >> (x & 63) & 1 != 0)
            };
            scan(items, get, last, set, each)
        }
        Wanted::All => scan(items, get, last, |_| true, each),
    }
}

fn scan<const N: usize, T: Item, E>(
    items: &[[u8; N]],
    get: impl Fn([u8; N]) -> T + Copy,
    last: T,
    hit: impl Fn(T) -> bool + Copy,
    each: &mut impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    let (blocks, rest) = items.as_chunks::<BLOCK>();
    let mut at = 0;
    while let Some(ahead) = widest(Ahead { blocks: &blocks[at..], get, last, hit }) {
        at += ahead;
        let whole = widest(Whole { blocks: &blocks[at..], get, last, hit });
        if whole > 0 {
            each(at * BLOCK..(at + whole) * BLOCK)?;
            at += whole;
        } else {
            if let Some(bad) = slowly(&blocks[at], at * BLOCK, get, last, hit, each)? {
                return Ok(Some(bad));
            }
            at += 1;
        }
    }
    slowly(rest, blocks.len() * BLOCK, get, last, hit, each)
}

/// The search for the next block with an item that is to be looked at.
struct Ahead<'a, const N: usize, G, T, H> {
    blocks: &'a [[[u8; N]; BLOCK]],
    get: G,
    last: T,
    hit: H,
}

impl<const N: usize, G, T, H> Loop for Ahead<'_, N, G, T, H>
where
    G: Fn([u8; N]) -> T,
    T: Item,
    H: Fn(T) -> bool,
{
    type Out = Option<usize>;

    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn run(self) -> Option<usize> {
        let Self { blocks, get, last, hit } = self;
        blocks.iter().position(|block| {
            block.iter().fold(false, |seen, &item| seen | hit(get(item)) | (get(item) > last))
        })
    }
}

/// How many of the first blocks have wanted items alone.
struct Whole<'a, const N: usize, G, T, H> {
    blocks: &'a [[[u8; N]; BLOCK]],
    get: G,
    last: T,
    hit: H,
}

impl<const N: usize, G, T, H> Loop for Whole<'_, N, G, T, H>
where
    G: Fn([u8; N]) -> T,
    T: Item,
    H: Fn(T) -> bool,
{
    type Out = usize;

    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn run(self) -> usize {
        let Self { blocks, get, last, hit } = self;
        let whole = |block: &[[u8; N]; BLOCK]| {
            block.iter().fold(true, |all, &item| all & hit(get(item)) & (get(item) <= last))
        };
        blocks.iter().position(|block| !whole(block)).unwrap_or(blocks.len())
    }
}

fn slowly<const N: usize, T: Item, E>(
    items: &[[u8; N]],
    start: usize,
    get: impl Fn([u8; N]) -> T,
    last: T,
    hit: impl Fn(T) -> bool,
    each: &mut impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    let mut open: Option<usize> = None;
    let mut bad = None;
    for (i, &item) in items.iter().enumerate() {
        let item = get(item);
        if item > last {
            bad = Some(start + i);
        } else if hit(item) {
            open = open.or(Some(i));
            continue;
        }
        if let Some(first) = open.take() {
            each(start + first..start + i)?;
        }
        if bad.is_some() {
            return Ok(bad);
        }
    }
    match open {
        Some(first) => each(start + first..start + items.len()).map(|()| None),
        None => Ok(None),
    }
}
