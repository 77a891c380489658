//! The answers of a bound expression for a block of rows.

use lazarr_format::{Code, DataType, Error, Result};

use super::bind::{Node, Test};
use super::{Bound, ColumnBlock, ColumnRef, ColumnSchema, Mask3};

impl Bound {
    /// The answers for a block of rows; `blocks` are in the order of [`Bound::columns`] and have the same number of rows.
    /// Errors where a block does not fit its column, and with `CategoryCode` where a code points at no category.
    pub fn eval(&self, blocks: &[ColumnBlock<'_>]) -> Result<Mask3> {
        if blocks.len() != self.columns.len() {
            return Err(Error::new(Code::Internal, "a block is needed for each column")
                .expected(self.columns.len().to_string())
                .found(blocks.len().to_string()));
        }
        let mut rows: Option<usize> = None;
        for (block, (column, schema)) in blocks.iter().zip(&self.columns) {
            let n = check(block, schema).map_err(|e| e.element(column.path.clone()))?;
            if let Some(expected) = rows.replace(n).filter(|x| *x != n) {
                return Err(Error::new(Code::Misaligned, "the columns of a block have different lengths")
                    .element(column.path.clone())
                    .expected(expected.to_string())
                    .found(n.to_string()));
            }
        }
        self.node(&self.root, blocks, rows.unwrap_or(0))
    }

    fn node(&self, node: &Node, blocks: &[ColumnBlock<'_>], rows: usize) -> Result<Mask3> {
        let two =
            |a: &Node, b: &Node| Ok::<_, Error>((self.node(a, blocks, rows)?, self.node(b, blocks, rows)?));
        Ok(match node {
            Node::And(a, b) => two(a, b).map(|(a, b)| a.and(&b))?,
            Node::Or(a, b) => two(a, b).map(|(a, b)| a.or(&b))?,
            Node::Xor(a, b) => two(a, b).map(|(a, b)| a.xor(&b))?,
            Node::Not(a) => self.node(a, blocks, rows)?.negated(),
            Node::Leaf { column, test, missing } => {
                let name: &ColumnRef = &self.columns[*column].0;
                leaf(&blocks[*column], test, *missing, rows).map_err(|e| e.element(name.path.clone()))?
            }
        })
    }
}

/// The rows of a block, if it is whole and of the type that the column has.
fn check(block: &ColumnBlock<'_>, schema: &ColumnSchema) -> Result<usize> {
    let other = |found: &str| {
        Error::new(Code::Internal, "a block is not of the type of its column")
            .expected(schema.to_string())
            .found(found)
    };
    let items = |dtype: &DataType, bytes: &[u8]| {
        let size = dtype.item_size().filter(|n| *n > 0 && bytes.len().is_multiple_of(*n));
        size.map(|n| bytes.len() / n).ok_or_else(|| {
            Error::new(Code::ChunkLength, "a block of a column is not made of whole items")
                .expected(format!("items of {dtype}"))
                .found(format!("{} bytes", bytes.len()))
        })
    };
    let masked = |rows: usize, mask: &[u8]| {
        if rows == mask.len() {
            return Ok(rows);
        }
        Err(Error::new(Code::Misaligned, "the mask of a nullable column has another length than its values")
            .expected(rows.to_string())
            .found(mask.len().to_string()))
    };
    match (block, schema) {
        (ColumnBlock::Fixed { dtype, bytes }, ColumnSchema::Numeric(d) | ColumnSchema::Time(d))
            if dtype == d =>
        {
            items(dtype, bytes)
        }
        (ColumnBlock::Fixed { dtype: dtype @ DataType::Bool, bytes }, ColumnSchema::Bool) => {
            items(dtype, bytes)
        }
        (ColumnBlock::NullableFixed { dtype, bytes, mask }, ColumnSchema::NullableInteger(d))
            if dtype == d =>
        {
            masked(items(dtype, bytes)?, mask)
        }
        (
            ColumnBlock::NullableFixed { dtype: dtype @ DataType::Bool, bytes, mask },
            ColumnSchema::NullableBoolean,
        ) => masked(items(dtype, bytes)?, mask),
        (ColumnBlock::Strings { offsets, bytes }, ColumnSchema::Strings) => spans(offsets, bytes),
        (ColumnBlock::NullableStrings { offsets, bytes, mask }, ColumnSchema::NullableString { .. }) => {
            masked(spans(offsets, bytes)?, mask)
        }
        (ColumnBlock::Codes { dtype, bytes }, ColumnSchema::Categorical { .. }) if dtype.is_integer() => {
            items(dtype, bytes)
        }
        (ColumnBlock::Fixed { dtype, .. }, _) => Err(other(&dtype.to_string())),
        (ColumnBlock::NullableFixed { dtype, .. }, _) => Err(other(&format!("nullable {dtype}"))),
        (ColumnBlock::Codes { dtype, .. }, _) => Err(other(&format!("codes of {dtype}"))),
        (ColumnBlock::Strings { .. }, _) => Err(other("strings")),
        (ColumnBlock::NullableStrings { .. }, _) => Err(other("nullable strings")),
    }
}

/// The number of strings, if their offsets ascend within the bytes.
fn spans(offsets: &[u64], bytes: &[u8]) -> Result<usize> {
    let ascending = offsets.windows(2).all(|w| w[0] <= w[1]);
    match offsets.last() {
        Some(last) if ascending && *last <= bytes.len() as u64 => Ok(offsets.len() - 1),
        _ => Err(Error::new(Code::StringData, "the offsets of a block of strings do not fit its bytes")
            .expected(format!("offsets that ascend to at most {}", bytes.len()))),
    }
}

fn leaf(block: &ColumnBlock<'_>, test: &Test, missing: Option<bool>, rows: usize) -> Result<Mask3> {
    let mask = match (test, block) {
        (Test::Na, _) => return Ok(Mask3::all_na(rows)),
        (Test::Always(x), _) => Mask3::from_fn(rows, |_| *x),
        (
            Test::Number(test),
            ColumnBlock::Fixed { dtype, bytes } | ColumnBlock::NullableFixed { dtype, bytes, .. },
        ) => test.eval(dtype, bytes)?,
        (Test::IsNat, ColumnBlock::Fixed { bytes, .. }) => {
            let (items, _) = bytes.as_chunks::<8>();
            Mask3::from_fn(rows, |i| i64::from_le_bytes(items[i]) == i64::MIN)
        }
        (
            Test::Str(test),
            ColumnBlock::Strings { offsets, bytes } | ColumnBlock::NullableStrings { offsets, bytes, .. },
        ) => Mask3::try_from_fn(rows, |i| test.eval(&bytes[offsets[i] as usize..offsets[i + 1] as usize]))?,
        (Test::Codes(lookup), ColumnBlock::Codes { dtype, bytes }) => {
            return codes(lookup, dtype, bytes, rows, missing);
        }
        _ => return Err(Error::new(Code::Internal, "a test does not fit the block it is asked of")),
    };
    Ok(match block {
        ColumnBlock::NullableFixed { mask: at, .. } | ColumnBlock::NullableStrings { mask: at, .. } => {
            mask.at_missing(&Mask3::from_fn(rows, |i| at[i] != 0), missing)
        }
        _ => mask,
    })
}

/// Answers by code; a negative code is a missing row.
fn codes(
    lookup: &[bool],
    dtype: &DataType,
    bytes: &[u8],
    rows: usize,
    missing: Option<bool>,
) -> Result<Mask3> {
    macro_rules! items {
        ($t:ty) => {{
            let (items, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
            by_code(lookup, rows, missing, |i| {
                // What does not fit points at no category either.
                i64::try_from(<$t>::from_le_bytes(items[i])).unwrap_or(i64::MAX)
            })
        }};
    }
    match dtype {
        DataType::Int(1) => items!(i8),
        DataType::Int(2) => items!(i16),
        DataType::Int(4) => items!(i32),
        DataType::Int(8) => items!(i64),
        DataType::UInt(1) => items!(u8),
        DataType::UInt(2) => items!(u16),
        DataType::UInt(4) => items!(u32),
        DataType::UInt(8) => items!(u64),
        _ => Err(Error::new(Code::EncodingInvalid, "codes must be integers").found(dtype.to_string())),
    }
}

fn by_code(lookup: &[bool], rows: usize, missing: Option<bool>, at: impl Fn(usize) -> i64) -> Result<Mask3> {
    let mut absent = false;
    let mask = Mask3::try_from_fn(rows, |i| {
        let Ok(code) = usize::try_from(at(i)) else {
            absent = true;
            return Ok(false);
        };
        lookup.get(code).copied().ok_or_else(|| {
            Error::new(Code::CategoryCode, "a code points at no category")
                .expected(format!("-1 or less than {}", lookup.len()))
                .found(code.to_string())
        })
    })?;
    Ok(if absent { mask.at_missing(&Mask3::from_fn(rows, |i| at(i) < 0), missing) } else { mask })
}
