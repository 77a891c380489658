//! The answers of a bound expression for a block of rows.

use lazarr_format::{Code, DataType, Error, Result};

use super::bind::{Node, Test};
use super::codes::codes;
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

    /// How many tests there are.
    pub fn tests(&self) -> usize {
        self.root.leaves().len()
    }

    /// The answers of the tests of one column for a block of its rows, each with the number of the test: columns may come
    /// one by one, in blocks of any size, until [`Bound::combine`] joins what was answered. Errors as [`Bound::eval`].
    pub fn eval_column(&self, column: usize, block: &ColumnBlock<'_>) -> Result<Vec<(usize, Mask3)>> {
        let Some((name, schema)) = self.columns.get(column) else {
            return Err(Error::new(Code::Internal, "an expression has no such column"));
        };
        let at = |e: Error| e.element(name.path.clone());
        let rows = check(block, schema).map_err(at)?;
        let own = self.root.leaves().into_iter().enumerate().filter(|(_, leaf)| leaf.0 == column);
        own.map(|(number, (_, test, missing))| Ok((number, leaf(block, test, missing, rows).map_err(at)?)))
            .collect()
    }

    /// The answers of the whole expression from those of all its tests, which have the same number of rows.
    pub fn combine(&self, tests: Vec<Mask3>) -> Result<Mask3> {
        let mut tests = tests.into_iter();
        let all = self.root.combine(&mut tests);
        all.filter(|_| tests.next().is_none())
            .ok_or_else(|| Error::new(Code::Internal, "an expression has another number of tests"))
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

impl Node {
    /// The tests from left to right: the column, what is asked, and the answer where a row is missing.
    fn leaves(&self) -> Vec<(usize, &Test, Option<bool>)> {
        let (mut out, mut open) = (Vec::new(), vec![self]);
        while let Some(node) = open.pop() {
            match node {
                Self::And(a, b) | Self::Or(a, b) | Self::Xor(a, b) => open.extend([&**b, &**a]),
                Self::Not(a) => open.push(a),
                Self::Leaf { column, test, missing } => out.push((*column, test, *missing)),
            }
        }
        out
    }

    /// Joins the answers of the tests, from left to right.
    fn combine(&self, tests: &mut impl Iterator<Item = Mask3>) -> Option<Mask3> {
        Some(match self {
            Self::And(a, b) => a.combine(tests)?.and(&b.combine(tests)?),
            Self::Or(a, b) => a.combine(tests)?.or(&b.combine(tests)?),
            Self::Xor(a, b) => a.combine(tests)?.xor(&b.combine(tests)?),
            Self::Not(a) => a.combine(tests)?.negated(),
            Self::Leaf { .. } => tests.next()?,
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
            return codes(lookup, dtype, bytes, missing);
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
