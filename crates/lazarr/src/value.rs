//! Results in memory, before a consumer (numpy, scipy, pandas, Arrow) takes them.

use lazarr_format::anndata::{NullableKind, SparseFormat};
use lazarr_format::{Code, DataType, Error, Result, TimeUnit};

use crate::buffer::Buffer;
use crate::ledger::Budget;

/// An n-dimensional array of fixed-size items, C order, native byte order.
#[derive(Debug)]
pub struct Dense {
    /// What an item is.
    pub dtype: DataType,
    /// Items along each axis; empty for a scalar.
    pub shape: Vec<u64>,
    /// The items.
    pub data: Buffer,
}

/// A compressed matrix as scipy would hold it.
#[derive(Debug)]
pub struct SparseMatrix {
    /// csr or csc.
    pub format: SparseFormat,
    /// Rows and columns.
    pub shape: [u64; 2],
    /// Type of a stored value.
    pub dtype: DataType,
    /// Bytes of an index: 4 (int32) or 8 (int64), for `indices` and `indptr` alike.
    pub index_width: u8,
    /// The stored values.
    pub data: Buffer,
    /// Their minor indices, signed.
    pub indices: Buffer,
    /// Where each row (column) starts, signed.
    pub indptr: Buffer,
}

/// An n-dimensional array of strings (or byte strings), C order: item `i` is `bytes[offsets[i]..offsets[i + 1]]`.
///
/// Made by the engine alone, of what it has checked: offsets ascend and end with the bytes, and each text is UTF-8.
#[derive(Debug)]
pub struct Strings {
    pub(crate) utf8: bool,
    pub(crate) shape: Vec<u64>,
    pub(crate) offsets: Buffer,
    pub(crate) bytes: Buffer,
}

/// A table in memory.
#[derive(Debug)]
pub struct Table {
    /// The name of the index; `None` where it has none.
    pub index_name: Option<String>,
    /// The index; `None` where it was not asked for.
    pub index: Option<Box<Value>>,
    /// The columns, in order.
    pub columns: Vec<(String, Value)>,
    /// Rows.
    pub len: u64,
}

/// Anything that was read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    Null,
    /// An array of fixed-size items.
    Dense(Dense),
    /// An array of strings.
    Strings(Strings),
    /// A compressed matrix.
    Sparse(SparseMatrix),
    /// A categorical column.
    Categorical {
        /// Signed codes, -1 for missing.
        codes: Dense,
        /// 1-d.
        categories: Box<Value>,
        /// Whether the categories have an order.
        ordered: bool,
    },
    /// A nullable column.
    Nullable {
        /// Integers, booleans or strings.
        values: Box<Value>,
        /// One byte an item, 1 where it is missing.
        mask: Dense,
        /// Which pandas type it is.
        kind: NullableKind,
    },
    /// A table.
    Table(Table),
    /// An awkward array.
    Awkward {
        /// Its form, as JSON text.
        form: String,
        /// Number of entries.
        length: u64,
        /// The rows that were asked for, where they were not all; awkward arrays are read whole and cut after.
        rows: Option<Vec<u64>>,
        /// The buffers by name.
        buffers: Vec<(String, Value)>,
    },
    /// A mapping, also for a whole AnnData and for `raw`: children by name.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        let mut sum = 0;
        self.each_buffer(&mut |b| sum += b.len() as u64);
        sum
    }

    fn each_buffer(&self, f: &mut dyn FnMut(&Buffer)) {
        match self {
            Self::Null => {}
            Self::Dense(d) => f(&d.data),
            Self::Strings(s) => {
                f(&s.offsets);
                f(&s.bytes);
            }
            Self::Sparse(s) => [&s.data, &s.indices, &s.indptr].into_iter().for_each(f),
            Self::Categorical { codes, categories, .. } => {
                f(&codes.data);
                categories.each_buffer(f);
            }
            Self::Nullable { values, mask, .. } => {
                f(&mask.data);
                values.each_buffer(f);
            }
            Self::Table(t) => {
                t.index.iter().for_each(|i| i.each_buffer(f));
                t.columns.iter().for_each(|(_, c)| c.each_buffer(f));
            }
            Self::Awkward { buffers, .. } => buffers.iter().for_each(|(_, b)| b.each_buffer(f)),
            Self::Map(children) => children.iter().for_each(|(_, c)| c.each_buffer(f)),
        }
    }

    /// A copy of what may be a column; `None` for what may not.
    pub(crate) fn column_again(&self, budget: &Budget) -> Result<Option<Self>> {
        let copy = |b: &Buffer| Buffer::copy_of(b.as_slice(), budget, "a column");
        let dense = |d: &Dense| -> Result<Dense> {
            Ok(Dense { dtype: d.dtype.clone(), shape: d.shape.clone(), data: copy(&d.data)? })
        };
        let boxed = |v: &Self| Ok(v.column_again(budget)?.map(Box::new));
        Ok(match self {
            Self::Dense(d) => Some(Self::Dense(dense(d)?)),
            Self::Strings(s) => Some(Self::Strings(Strings {
                utf8: s.utf8,
                shape: s.shape.clone(),
                offsets: copy(&s.offsets)?,
                bytes: copy(&s.bytes)?,
            })),
            Self::Categorical { codes, categories, ordered } => match boxed(categories)? {
                Some(categories) => {
                    Some(Self::Categorical { codes: dense(codes)?, categories, ordered: *ordered })
                }
                None => None,
            },
            Self::Nullable { values, mask, kind } => match boxed(values)? {
                Some(values) => Some(Self::Nullable { values, mask: dense(mask)?, kind: kind.clone() }),
                None => None,
            },
            _ => None,
        })
    }

    /// A child of a mapping.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(children) => children.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            Self::Table(t) => t.columns.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }
}

impl SparseMatrix {
    /// Whether a matrix that a caller made is one: row starts from 0 that ascend to the number of stored values, indices within
    /// the other axis.
    ///
    /// Errors: `SparseIndptr`, `SparseIndices`.
    pub fn check(&self) -> Result<()> {
        let width = usize::from(self.index_width.max(1));
        let int = |b: &[u8]| match b.len() {
            4 => b.try_into().map_or(-1, |b| i64::from(i32::from_ne_bytes(b))),
            _ => b.try_into().map_or(-1, i64::from_ne_bytes),
        };
        let stored = self.data.len() / self.dtype.item_size().unwrap_or(1).max(1);
        let (mut before, mut first) = (0i64, true);
        for start in self.indptr.as_slice().chunks_exact(width).map(int) {
            if start < before || (first && start != 0) {
                return Err(Error::new(Code::SparseIndptr, "the row starts do not ascend from 0"));
            }
            (before, first) = (start, false);
        }
        if usize::try_from(before) != Ok(stored) {
            return Err(Error::new(Code::SparseIndptr, "the row starts do not end with the stored values")
                .expected(stored.to_string())
                .found(before.to_string()));
        }
        let minor = i64::try_from(self.shape[1 - self.format.major_axis()]).unwrap_or(i64::MAX);
        let mut indices = self.indices.as_slice().chunks_exact(width).map(int);
        match indices.find(|i| !(0..minor).contains(i)) {
            None => Ok(()),
            Some(i) => Err(Error::new(Code::SparseIndices, "an index lies outside of the matrix")
                .expected(format!("less than {minor}"))
                .found(i.to_string())),
        }
    }
}

impl Dense {
    /// The unit of a datetime.
    pub fn time_unit(&self) -> Option<&TimeUnit> {
        match &self.dtype {
            DataType::DateTime(u) | DataType::TimeDelta(u) => Some(u),
            _ => None,
        }
    }
}

impl Strings {
    /// These items as an array of a shape; `utf8` says that they are text, which is looked at. Errors with `StringData` where
    /// they are not, and with `Operation` where they are not as many as the shape says.
    pub fn of(items: &[Vec<u8>], shape: Vec<u64>, utf8: bool, budget: &Budget) -> Result<Self> {
        if shape.iter().product::<u64>() != items.len() as u64 {
            return Err(Error::new(Code::Operation, "there are not as many strings as the shape says")
                .expected(format!("{shape:?}"))
                .found(items.len().to_string()));
        }
        if utf8 && let Some(i) = items.iter().position(|item| std::str::from_utf8(item).is_err()) {
            return Err(Error::new(Code::StringData, format!("item {i} is not text")));
        }
        let mut offsets = Buffer::zeroed((items.len() as u64 + 1) * 8, budget, "the offsets of strings")?;
        let bytes = items.iter().map(|item| item.len() as u64).sum();
        let mut data = Buffer::zeroed(bytes, budget, "strings")?;
        let mut at = 0;
        for (item, offset) in
            items.iter().zip(offsets.as_mut_slice().as_chunks_mut::<8>().0.iter_mut().skip(1))
        {
            if let Some(to) = data.as_mut_slice().get_mut(at..at + item.len()) {
                to.copy_from_slice(item);
            }
            at += item.len();
            *offset = (at as i64).to_ne_bytes();
        }
        Ok(Self { utf8, shape, offsets, bytes: data })
    }

    /// Texts, or byte strings, that a caller made: `offsets` has one more item than the shape has, ascends from 0, and ends
    /// with `bytes`.
    ///
    /// Errors: `StringData` where that is not so, or a text is not UTF-8.
    pub fn new(utf8: bool, shape: Vec<u64>, offsets: Buffer, bytes: Buffer) -> Result<Self> {
        let bad = |what: &str| Error::new(Code::StringData, format!("the offsets of strings {what}"));
        let items = shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s));
        let places = offsets.as_slice().as_chunks::<8>().0;
        if !offsets.len().is_multiple_of(8)
            || items.and_then(|n| n.checked_add(1)) != Some(places.len() as u64)
        {
            return Err(bad("do not fit the shape"));
        }
        let mut before = 0;
        for (i, place) in places.iter().enumerate() {
            let place = usize::try_from(i64::from_ne_bytes(*place)).map_err(|_| bad("are negative"))?;
            let item = bytes.as_slice().get(before..place).ok_or_else(|| bad("do not ascend"))?;
            if (i == 0 && place != 0) || (utf8 && std::str::from_utf8(item).is_err()) {
                return Err(bad("cut text in two"));
            }
            before = place;
        }
        if before != bytes.len() {
            return Err(bad("do not end with the bytes"));
        }
        Ok(Self { utf8, shape, offsets, bytes })
    }

    /// Whether items are UTF-8 text (else bytes).
    pub fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Items along each axis; empty for a scalar.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// One more than there are items, native i64.
    pub fn offsets(&self) -> &[u8] {
        self.offsets.as_slice()
    }

    /// The items, one after the other.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The offsets and the bytes.
    pub fn into_buffers(self) -> (Buffer, Buffer) {
        (self.offsets, self.bytes)
    }

    /// The item at this place of the flat order.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let offsets = self.offsets.as_slice().as_chunks::<8>().0;
        let start = i64::from_ne_bytes(*offsets.get(i)?);
        let end = i64::from_ne_bytes(*offsets.get(i + 1)?);
        self.bytes.as_slice().get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        (self.offsets.len() / 8).saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
