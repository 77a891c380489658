//! The `transpose` codec and v2's order F: from the stored order of axes to C order.

use super::Vlen;
use super::buffer::out_of_memory;
use super::vlen::with_room;
use crate::{Code, Error, Result};

/// How a chunk that is stored with permuted axes is read in C order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transpose {
    /// Items along each axis of the result, and how far apart they are stored, in items. Axes of length one are left
    /// out and axes that stay neighbours are one.
    axes: Vec<(usize, usize)>,
    len: usize,
}

impl Transpose {
    /// Axis `i` of what is stored is axis `order[i]` of the chunk. `None` where nothing moves.
    pub(super) fn new(shape: &[u64], order: &[usize]) -> Result<Option<Self>> {
        let too_large = || Error::new(Code::MetadataLimit, "a chunk has more items than can be counted");
        let mut axes = vec![(0, 0); shape.len()];
        let mut stride = 1usize;
        for &axis in order.iter().rev() {
            let n = usize::try_from(shape[axis]).map_err(|_| too_large())?;
            axes[axis] = (n, stride);
            stride = stride.checked_mul(n).ok_or_else(too_large)?;
        }
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (n, s) in axes.into_iter().filter(|&(n, _)| n != 1) {
            match merged.last_mut() {
                Some(last) if last.1 == n * s => *last = (last.0 * n, s),
                _ => merged.push((n, s)),
            }
        }
        Ok((merged.len() > 1 && stride > 0).then_some(Self { axes: merged, len: stride }))
    }

    /// How many items a chunk has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the items of `stored`, each of `size` bytes, to `out` in C order. Both hold the whole chunk.
    pub(super) fn apply(&self, stored: &[u8], out: &mut [u8], size: usize) -> Result<()> {
        fn arrays<const N: usize>(this: &Transpose, stored: &[u8], out: &mut [u8]) {
            this.gather(stored.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
        }
        if stored.len() != out.len() || Some(out.len()) != self.len.checked_mul(size) {
            return Err(Error::new(Code::Internal, "the output of a transposed chunk has the wrong length"));
        }
        match size {
            0 => {}
            1 => arrays::<1>(self, stored, out),
            2 => arrays::<2>(self, stored, out),
            4 => arrays::<4>(self, stored, out),
            8 => arrays::<8>(self, stored, out),
            16 => arrays::<16>(self, stored, out),
            _ => {
                // The bytes of an item are one more axis.
                let mut axes: Vec<_> = self.axes.iter().map(|&(n, s)| (n, s * size)).collect();
                axes.push((size, 1));
                Self { axes, len: out.len() }.gather(stored, out);
            }
        }
        Ok(())
    }

    /// The same for items of any length.
    pub(super) fn apply_vlen(&self, stored: &Vlen) -> Result<Vlen> {
        if stored.offsets.len() != self.len + 1 {
            return Err(Error::new(
                Code::Internal,
                "a transposed chunk has another number of items than its shape",
            ));
        }
        let mut order = Vec::new();
        order.try_reserve_exact(2 * self.len).map_err(|_| out_of_memory(16 * self.len))?;
        order.resize(self.len, 0);
        order.extend(0..self.len);
        let (to, from) = order.split_at_mut(self.len);
        self.gather(from, to);
        let mut result = with_room(self.len, stored.bytes.len())?;
        for &item in &*to {
            result.bytes.extend_from_slice(
                &stored.bytes[stored.offsets[item] as usize..stored.offsets[item + 1] as usize],
            );
            result.offsets.push(result.bytes.len() as u64);
        }
        Ok(result)
    }

    fn gather<T: Copy>(&self, from: &[T], to: &mut [T]) {
        /// A tile of this many items each way stays in the first cache.
        const TILE: usize = 32;
        let Some((&(row, row_stride), outer)) = self.axes.split_last() else { return };
        if row_stride == 1 {
            let mut rows = to.chunks_exact_mut(row);
            return walk(outer, |_, start| {
                if let Some(to) = rows.next() {
                    to.copy_from_slice(&from[start..start + row]);
                }
            });
        }
        // Lines of the result are columns of what is stored: go by square tiles over the last axis and the one whose
        // items are stored next to each other.
        let mut others = outer.to_vec();
        let Some(near) = others.iter().position(|&(_, stride)| stride == 1) else { return };
        let near_step: usize = row * outer[near + 1..].iter().map(|&(n, _)| n).product::<usize>();
        let (lines, _) = others[near];
        others[near] = (1, 0);
        // Where the others' places are in the result.
        let mut steps = vec![0; outer.len()];
        let mut step = row;
        for (i, &(n, _)) in outer.iter().enumerate().rev() {
            steps[i] = step;
            step *= n;
        }
        walk(&others, |at, start| {
            let base: usize = at.iter().zip(&steps).map(|(a, s)| a * s).sum();
            for line0 in (0..lines).step_by(TILE) {
                for item0 in (0..row).step_by(TILE) {
                    let items = item0..row.min(item0 + TILE);
                    for line in line0..lines.min(line0 + TILE) {
                        let to = &mut to[base + line * near_step..][items.clone()];
                        let from = &from[start + line + item0 * row_stride..];
                        for (to, from) in to.iter_mut().zip(from.iter().step_by(row_stride)) {
                            *to = *from;
                        }
                    }
                }
            }
        });
    }
}

/// Calls `visit` with every place in C order and its distance from the start, by the strides of the axes.
fn walk(axes: &[(usize, usize)], mut visit: impl FnMut(&[usize], usize)) {
    let mut at = vec![0; axes.len()];
    let mut start = 0;
    loop {
        visit(&at, start);
        let mut axis = axes.len();
        loop {
            let Some(next) = axis.checked_sub(1) else { return };
            axis = next;
            at[axis] += 1;
            start += axes[axis].1;
            if at[axis] < axes[axis].0 {
                break;
            }
            start -= axes[axis].1 * axes[axis].0;
            at[axis] = 0;
        }
    }
}
