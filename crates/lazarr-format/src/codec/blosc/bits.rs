//! Bits that are sorted by their place in an item, put together.

use std::ops::Range;

/// Puts together the groups `range` of eight items: `planes[k]` has byte `k` of the items, all lowest bits first, then all
/// second ones, …; the items stand in `out` one after the other from item 0 on.
pub(super) fn unshuffle(planes: &[&[u8]], range: Range<usize>, out: &mut [u8]) {
    let size = planes.len();
    for (k, plane) in planes.iter().enumerate() {
        let groups = plane.len() / 8;
        for group in range.clone() {
            let mut bits = [0; 8];
            for (row, byte) in bits.iter_mut().enumerate() {
                *byte = plane.get(row * groups + group).copied().unwrap_or_default();
            }
            let bytes = transposed(u64::from_le_bytes(bits)).to_le_bytes();
            let Some(out) = out.get_mut(group * 8 * size..(group + 1) * 8 * size) else { return };
            for (item, byte) in out.chunks_exact_mut(size).zip(bytes) {
                item[k] = byte;
            }
        }
    }
}

/// Eight bytes as a square of bits: bit `j` of byte `i` becomes bit `i` of byte `j`.
fn transposed(mut x: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0x0000_0000_F0F0_F0F0)]
    {
        let moved = (x ^ (x >> shift)) & mask;
        x ^= moved ^ (moved << shift);
    }
    x
}
