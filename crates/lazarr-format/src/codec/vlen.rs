//! `vlen-utf8` and `vlen-bytes`: a count of items, then the length and the bytes of each; all numbers u32, little-endian.

use super::buffer::out_of_memory;
use super::{Room, Vlen, wrong_length};
use crate::{Code, Error, Result};

/// Takes apart a decompressed chunk of exactly `items` items; `reserve` is asked for what the result takes.
pub(super) fn parse(chunk: &[u8], items: usize, utf8: bool, reserve: Room<'_>) -> Result<Vlen> {
    let Some((count, mut rest)) = split_number(chunk) else {
        return Err(wrong_length("at least 4", chunk.len()));
    };
    if count != items {
        return Err(Error::new(
            Code::ChunkLength,
            "the chunk holds another number of items than its shape says",
        )
        .expected(format!("{items} items"))
        .found(format!("{count} items")));
    }
    // Every item has at least its length: this bounds what is allocated by what is there.
    let Some(total) = items.checked_mul(4).and_then(|n| rest.len().checked_sub(n)) else {
        return Err(wrong_length(format_args!("at least {}", 4 + 4 * items as u128), chunk.len()));
    };
    let total = total + WIDE;
    reserve(8 * (items as u64 + 1) + total as u64)?;
    let mut vlen = with_room(items, total)?;
    for item in 0..items {
        let Some((bytes, after)) = split_number(rest).and_then(|(n, r)| r.split_at_checked(n)) else {
            return Err(Error::new(
                Code::StringData,
                format!("item {item} reaches past the end of the chunk"),
            ));
        };
        match item_and_more(rest) {
            // A short item is copied with what follows it: a copy of known length is no call.
            Some(more) if bytes.len() < WIDE => {
                let end = vlen.bytes.len() + bytes.len();
                vlen.bytes.extend_from_slice(more);
                vlen.bytes.truncate(end);
            }
            _ => vlen.bytes.extend_from_slice(bytes),
        }
        vlen.offsets.push(vlen.bytes.len() as u64);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(wrong_length(chunk.len() - rest.len(), chunk.len()));
    }
    if utf8 {
        check_utf8(&vlen)?;
    }
    Ok(vlen)
}

/// An empty result with room for `items` of `bytes` bytes altogether.
pub(super) fn with_room(items: usize, bytes: usize) -> Result<Vlen> {
    let mut vlen = Vlen::default();
    vlen.offsets
        .try_reserve_exact(items.saturating_add(1))
        .map_err(|_| out_of_memory(items.saturating_mul(8)))?;
    vlen.bytes.try_reserve_exact(bytes).map_err(|_| out_of_memory(bytes))?;
    vlen.offsets.push(0);
    Ok(vlen)
}

/// Every item by itself must be UTF-8.
pub(super) fn check_utf8(vlen: &Vlen) -> Result<()> {
    if vlen.bytes.is_ascii() {
        return Ok(());
    }
    // All at once is several times faster for short items; it suffices if each item starts where a character does.
    if let Ok(text) = std::str::from_utf8(&vlen.bytes)
        && vlen.offsets.iter().all(|&o| text.is_char_boundary(o as usize))
    {
        return Ok(());
    }
    for (i, pair) in vlen.offsets.windows(2).enumerate() {
        if let Err(e) = std::str::from_utf8(&vlen.bytes[pair[0] as usize..pair[1] as usize]) {
            return Err(
                Error::new(Code::StringData, format!("item {i} of the chunk is not valid UTF-8")).source(e)
            );
        }
    }
    Ok(())
}

/// Items shorter than this are copied by so many bytes.
const WIDE: usize = 32;

/// The first bytes of an item behind its length, and what follows it.
fn item_and_more(bytes: &[u8]) -> Option<&[u8; WIDE]> {
    bytes.get(4..)?.first_chunk()
}

fn split_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}
