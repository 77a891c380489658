//! Which columns are wanted, and to which columns of the result they go.

use std::collections::HashMap;
use std::ops::Range;

use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Index, Placement};

use super::scan::Wanted;

/// From a stored column to the columns of the result.
pub(super) enum Columns {
    /// A contiguous range, in order.
    Range(Range<u64>),
    /// Any column at most once: the result's column + 1, 0 for none. For moderate numbers of columns.
    Table(Vec<u32>),
    /// Ascending columns of a very wide axis.
    Rank(Index),
    /// Anything else: columns that are wanted several times, or in another order along a very wide axis.
    Many(HashMap<u64, Vec<u32>>),
}

/// So many columns may be looked up in a table.
const TABLE: u64 = 1 << 22;
/// So many may have a bit each.
const BITS: u64 = 1 << 25;

impl Columns {
    /// The columns of `columns` along an axis of `minor`.
    pub(super) fn new(columns: &Index, minor: u64) -> Result<Self> {
        if columns.len() > u64::from(u32::MAX) {
            return Err(Error::new(
                Code::Operation,
                "more than 2^32 columns cannot be selected out of order",
            ));
        }
        if let Some(range) = columns.is_identity_range() {
            return Ok(Self::Range(range));
        }
        if !columns.has_duplicates() && minor <= TABLE {
            let mut table = vec![0u32; minor as usize];
            for (to, from) in columns.iter().enumerate() {
                table[from as usize] = to as u32 + 1;
            }
            return Ok(Self::Table(table));
        }
        if columns.is_monotone() {
            return Ok(Self::Rank(columns.clone()));
        }
        let mut many: HashMap<u64, Vec<u32>> = HashMap::new();
        for (to, from) in columns.iter().enumerate() {
            many.entry(from).or_default().push(to as u32);
        }
        Ok(Self::Many(many))
    }

    /// Bytes that looking up takes.
    pub(super) fn bytes(columns: &Index, minor: u64) -> u64 {
        let bits = if minor <= BITS { minor.div_ceil(64) * 8 } else { 0 };
        if columns.is_identity_range().is_some() {
            0
        } else if !columns.has_duplicates() && minor <= TABLE {
            4 * minor + bits
        } else if columns.is_monotone() {
            bits // and the selection itself
        } else {
            columns.len().saturating_mul(64) + bits
        }
    }

    /// What is looked for among the items: the same, in the form that is tested fastest.
    pub(super) fn wanted(&self, columns: &Index, minor: u64) -> Wanted {
        let distinct = match columns.is_identity_range() {
            Some(r) if r.is_empty() => return Wanted::Bits(Vec::new()),
            Some(r) => return Wanted::Range(r.start, r.end - 1),
            None => match self {
                Self::Many(m) => m.len() as u64,
                _ => columns.len(),
            },
        };
        if distinct <= 4 {
            let mut few = columns.to_vec();
            few.sort_unstable();
            few.dedup();
            // No column, where none is wanted; else the last again.
            if let Some(&last) = few.last() {
                return match *few {
                    [only] => Wanted::Range(only, only),
                    _ => Wanted::Few(std::array::from_fn(|i| few.get(i).copied().unwrap_or(last))),
                };
            }
        }
        if minor > BITS {
            return Wanted::All;
        }
        let mut bits = vec![0u64; minor.div_ceil(64) as usize];
        for column in columns {
            bits[(column >> 6) as usize] |= 1 << (column & 63);
        }
        Wanted::Bits(bits)
    }

    /// Calls `f` with every column of the result that this stored column goes to.
    #[inline]
    pub(super) fn each(&self, column: u64, mut f: impl FnMut(u32)) {
        match self {
            Self::Range(r) => {
                if r.contains(&column) {
                    f((column - r.start) as u32);
                }
            }
            Self::Table(t) => {
                let to = t[column as usize];
                if to > 0 {
                    f(to - 1);
                }
            }
            Self::Rank(index) => {
                if let Some(to) = index.rank(column) {
                    f(to as u32);
                }
            }
            Self::Many(m) => {
                if let Some(to) = m.get(&column) {
                    for &t in to {
                        f(t);
                    }
                }
            }
        }
    }
}
