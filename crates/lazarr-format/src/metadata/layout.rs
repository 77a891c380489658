//! Shapes and chunk shapes: what is checked of every array, whatever its format.

use serde_json::Value;

use std::sync::Arc;

use super::Limit;
use super::doc::{Doc, describe};
use crate::grid::{Axis, BadEdges, Grid};
use crate::{Code, DataType, Error, Result};

/// More items or bytes than this are no array: offsets in memory are signed 64-bit.
const MAX_TOTAL: u64 = i64::MAX as u64;

impl Doc<'_> {
    /// A list of sizes, each at least `least`.
    pub(super) fn sizes(&self, field: &str, value: Option<&Value>, least: u64) -> Result<Vec<u64>> {
        let expected = || format!("a list of integers of at least {least}");
        let items = value.and_then(Value::as_array).ok_or_else(|| self.field(field, expected(), value))?;
        if items.len() > self.limits.dimensions {
            let e = self.limits.exceeded(
                Limit::Dimensions,
                "the array has too many dimensions",
                Some(items.len() as u64),
            );
            return Err(self.place(e));
        }
        items
            .iter()
            .map(|v| v.as_u64().filter(|n| *n >= least).ok_or_else(|| self.field(field, expected(), value)))
            .collect()
    }

    /// The shape of chunks: same rank as `shape`, no zeros but along axes of no items, where some writers leave them.
    pub(super) fn chunk_sizes(&self, field: &str, value: Option<&Value>, shape: &[u64]) -> Result<Vec<u64>> {
        let mut sizes = self.sizes(field, value, 0)?;
        self.same_rank(field, &sizes, shape)?;
        for (chunk, size) in sizes.iter_mut().zip(shape) {
            match (*chunk, size) {
                (0, 0) => *chunk = 1,
                (0, _) => return Err(self.field(field, "no chunk of size 0", value)),
                _ => {}
            }
        }
        Ok(sizes)
    }

    /// A rectilinear grid: for each axis the length of all its chunks, or a list of lengths and of `[length, count]`.
    /// `None` where all chunks have one shape.
    pub(super) fn rectilinear(
        &self,
        value: Option<&Value>,
        shape: &[u64],
    ) -> Result<(Vec<u64>, Option<Arc<Grid>>)> {
        const FIELD: &str = "chunk_shapes";
        let wrong =
            |found| self.field(FIELD, "for each axis a length of at least 1, or a list of such", found);
        let lists = value.and_then(Value::as_array).ok_or_else(|| wrong(value))?;
        if lists.len() != shape.len() {
            return Err(self
                .error(Code::MetadataField, format!("the field `{FIELD}` does not have the array's rank"))
                .expected(format!("edges of {} axes", shape.len()))
                .found(format!("of {}", lists.len())));
        }
        let mut axes = Vec::with_capacity(lists.len());
        for (number, (list, &length)) in lists.iter().zip(shape).enumerate() {
            let edges = match list {
                Value::Array(edges) if !edges.is_empty() => edges,
                other => {
                    axes.push(Axis::Every(
                        other.as_u64().filter(|n| *n > 0).ok_or_else(|| wrong(Some(other)))?,
                    ));
                    continue;
                }
            };
            let run = |edge: &Value| match edge.as_array().map(Vec::as_slice) {
                None => Some((edge.as_u64()?, 1)),
                Some([length, count]) => Some((length.as_u64()?, count.as_u64()?)),
                Some(_) => None,
            };
            if let Some(bad) = edges.iter().find(|edge| run(edge).is_none()) {
                return Err(self.field(FIELD, "lengths, or pairs of a length and a count", Some(bad)));
            }
            let axis = Axis::new(edges.iter().filter_map(run), length).map_err(|e| {
                let e_of = |expected: String, found: String| {
                    let what = format!("the edges of axis {number} make no grid");
                    self.error(Code::MetadataField, what).expected(expected).found(found)
                };
                match e {
                    BadEdges::Zero => e_of("lengths and counts of at least 1".into(), "0".into()),
                    BadEdges::Short(end) => {
                        e_of(format!("the axis, {length} items"), format!("edges of {end} items"))
                    }
                    BadEdges::Overflow => e_of("less than 2^64 items".into(), "more".into()),
                }
            })?;
            axes.push(axis);
        }
        let longest = axes.iter().map(Axis::longest).collect();
        let regular = axes.iter().all(|axis| matches!(axis, Axis::Every(_)));
        Ok((longest, (!regular).then(|| Arc::new(Grid { axes }))))
    }

    pub(super) fn same_rank(&self, field: &str, sizes: &[u64], shape: &[u64]) -> Result<()> {
        if sizes.len() == shape.len() {
            return Ok(());
        }
        Err(self
            .error(Code::MetadataField, format!("the field `{field}` does not have the array's rank"))
            .expected(format!("{} sizes", shape.len()))
            .found(format!("{sizes:?}")))
    }

    /// That nothing overflows and nothing is beyond the limits: the array, its chunks, its inner chunks, its shard index.
    pub(super) fn check_sizes(
        &self,
        shape: &[u64],
        chunk: &[u64],
        inner: &[u64],
        dtype: &DataType,
    ) -> Result<()> {
        // What varies in length has an offset of eight bytes an item in memory.
        let item = dtype.item_size().map_or(8, |n| n as u64);
        self.total("shape", shape, item)?;
        self.total("chunk shape", chunk, item)?;
        let inner_bytes = self.total("inner chunk shape", inner, item)?;
        let limit = self.limits.chunk_bytes;
        let over = |what: &str, bytes: u64| {
            let what = format!("{what} is too large to be decoded in memory");
            Err(self.place(self.limits.exceeded(Limit::ChunkBytes, what, Some(bytes))))
        };
        if inner_bytes > limit {
            return over("a chunk", inner_bytes);
        }
        let entries: u64 = chunk.iter().zip(inner).map(|(c, i)| c / i).product();
        match entries.checked_mul(16) {
            Some(bytes) if bytes <= limit => Ok(()),
            _ => over("the index of a shard", entries.saturating_mul(16)),
        }
    }

    fn total(&self, what: &str, sizes: &[u64], item: u64) -> Result<u64> {
        // Zeros are left out, so that the product of any of the sizes is within bounds too.
        sizes
            .iter()
            .try_fold(item.max(1), |n, s| n.checked_mul((*s).max(1)))
            .filter(|n| *n <= MAX_TOTAL)
            .ok_or_else(|| {
                self.error(Code::MetadataField, format!("the {what} overflows"))
                    .expected("less than 2^63 bytes altogether")
                    .found(format!("{sizes:?} items of {item} bytes"))
            })
    }

    /// The error of a fill value.
    pub(super) fn fill_error(&self, dtype: &DataType, expected: &str, value: &Value) -> Error {
        self.error(Code::MetadataField, format!("the fill value does not fit the data type `{dtype}`"))
            .expected(expected)
            .found(describe(value))
    }
}
