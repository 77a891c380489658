//! Which chunks of an array a read touches, coarse enough to be drawn: kept beside a plan, never per chunk.

use lazarr_format::{ArrayMeta, Cut};

use crate::placement::Placement;
use crate::read::ArrayRead;

/// Places along an axis, at most: more chunks than these share one.
const PLACES: u64 = 64;
/// Where more chunks of an axis are touched one by one, nothing is drawn: to find them takes as long as to count them.
const MANY: u64 = 1 << 22;

/// One axis of an array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AxisMap {
    /// Inner chunks along the axis.
    pub chunks: u64,
    /// Inner chunks of a shard along the axis; 0 where the array is not sharded.
    pub shard: u64,
    /// Inner chunks at each place.
    pub per: u64,
    /// Touched inner chunks at each place.
    pub touched: Vec<u64>,
}

/// An array and what is touched of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkMap {
    /// The axes; none where there is nothing to draw.
    pub axes: Vec<AxisMap>,
    /// Items that are asked for.
    pub asked: u64,
    /// Items in the touched chunks.
    pub items: u64,
}

impl ChunkMap {
    /// Of a read.
    pub fn of(read: &ArrayRead) -> Self {
        let asked = read.axes.iter().map(|p| p.len()).fold(1, u64::saturating_mul);
        let mut map = Self { axes: Vec::new(), asked, items: read.chunk_items() };
        if read.array.is_empty() || read.chunk_count() > MANY {
            return map;
        }
        for (k, placement) in read.axes.iter().enumerate() {
            map.axes.push(AxisMap::of(&read.array, k, &**placement));
        }
        map
    }
}

impl AxisMap {
    fn of(array: &ArrayMeta, axis: usize, placement: &dyn Placement) -> Self {
        let length = array.shape.get(axis).copied().unwrap_or(0);
        let shard = match (&array.sharding, array.shard_cut(axis), array.cut(axis)) {
            (Some(_), Cut::Every(outer), Cut::Every(inner)) => outer / inner.max(1),
            _ => 0,
        };
        Self::cut(array.cut(axis), length, shard, placement)
    }

    fn cut(cut: Cut<'_>, length: u64, shard: u64, placement: &dyn Placement) -> Self {
        let chunks = cut.count(length);
        // A place holds whole shards where it can: their edges are drawn.
        let mut per = chunks.div_ceil(PLACES).max(1);
        if shard > 1 && per > shard {
            per = per.div_ceil(shard) * shard;
        }
        let mut touched = vec![0; chunks.div_ceil(per) as usize];
        let mut add = |first: u64, end: u64| {
            for place in first / per..=(end - 1) / per {
                if let Some(count) = touched.get_mut(place as usize) {
                    *count += end.min((place + 1) * per) - first.max(place * per);
                }
            }
        };
        if let Some(range) = placement.is_identity_range() {
            if !range.is_empty() {
                add(cut.of(range.start), cut.of(range.end - 1) + 1);
            }
        } else {
            let mut from = Some(0);
            while let Some(item) = from.and_then(|f| placement.next_from(f)) {
                let chunk = cut.of(item);
                add(chunk, chunk + 1);
                from = cut.end(chunk);
            }
        }
        Self { chunks, shard, per, touched }
    }

    /// The share of the chunks at a place that is touched.
    pub fn share(&self, place: usize) -> f64 {
        let held = self.chunks.saturating_sub(place as u64 * self.per).min(self.per).max(1);
        self.touched.get(place).map_or(0.0, |&n| n as f64 / held as f64)
    }
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
