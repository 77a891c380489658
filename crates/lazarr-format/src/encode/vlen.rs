//! Items of varying length, one after the other.

use crate::{Code, Error, Result};

/// A chunk of `items` in the form of `vlen-utf8` and `vlen-bytes`, with empty ones behind up to `len`.
///
/// Errors: `Layout` where an item, or their number, is 4 GiB or more.
pub fn vlen<'a>(items: impl Iterator<Item = &'a [u8]>, len: u64) -> Result<Vec<u8>> {
    let word = |n: u64| {
        u32::try_from(n).map(u32::to_le_bytes).map_err(|_| {
            Error::new(Code::Layout, "a text, or the number of texts in a chunk, is beyond 2^32")
                .help("Use smaller chunks")
        })
    };
    let mut out = word(len)?.to_vec();
    let mut count = 0;
    for item in items {
        out.extend_from_slice(&word(item.len() as u64)?);
        out.extend_from_slice(item);
        count += 1;
    }
    let padding = usize::try_from(len.saturating_sub(count)).unwrap_or(0);
    out.resize(out.len() + 4 * padding, 0);
    Ok(out)
}
