//! What the columns are, and the blocks of rows in which they come.

use std::fmt;

use lazarr_format::DataType;

use crate::index::thousands;

/// The categories of a categorical column, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum CategoryValues {
    /// Strings.
    Strings {
        /// In the order of the codes.
        values: Vec<String>,
        /// Whether they are stored as nullable strings whose missing value is NA: then `.str` answers NA for missing
        /// rows, else false.
        na: bool,
    },
    /// Signed integers.
    Int(Vec<i64>),
    /// Unsigned integers.
    UInt(Vec<u64>),
    /// Floats.
    Float(Vec<f64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Something else, by its name: only `isna` and `notna` work.
    Other {
        /// The type.
        name: String,
        /// How many there are.
        len: usize,
    },
}

impl CategoryValues {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Strings { values, .. } => values.len(),
            Self::Int(v) => v.len(),
            Self::UInt(v) => v.len(),
            Self::Float(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Other { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&self) -> &str {
        match self {
            Self::Strings { .. } => "strings",
            Self::Int(_) | Self::UInt(_) => "integers",
            Self::Float(_) => "floats",
            Self::Bool(_) => "booleans",
            Self::Other { name, .. } => name,
        }
    }
}

/// The type of a column, as anndata would read it into pandas.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnSchema {
    /// Integers and floats of a fixed size. Blocks: [`ColumnBlock::Fixed`].
    Numeric(DataType),
    /// numpy's `bool`. Blocks: [`ColumnBlock::Fixed`].
    Bool,
    /// Strings of which none is missing. Blocks: [`ColumnBlock::Strings`].
    Strings,
    /// Codes into categories. Blocks: [`ColumnBlock::Codes`].
    Categorical {
        /// The categories.
        categories: CategoryValues,
        /// Whether they have an order.
        ordered: bool,
    },
    /// pandas' `Int64` and its kin; the type of the values. Blocks: [`ColumnBlock::NullableFixed`].
    NullableInteger(DataType),
    /// pandas' `boolean`. Blocks: [`ColumnBlock::NullableFixed`] of booleans.
    NullableBoolean,
    /// pandas' string types. Blocks: [`ColumnBlock::NullableStrings`].
    NullableString {
        /// Whether a missing value is NaN (`str`), and not NA (`string`).
        nan: bool,
    },
    /// datetime64 and timedelta64: only `isna` and `notna` work. Blocks: [`ColumnBlock::Fixed`].
    Time(DataType),
    /// Anything else, by its name: no predicate works on it.
    Other(String),
}

impl fmt::Display for ColumnSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(d) | Self::Time(d) => write!(f, "{d}"),
            Self::Bool => f.write_str("bool"),
            Self::Strings => f.write_str("strings"),
            Self::Categorical { categories, ordered } => {
                let n = thousands(categories.len() as u64);
                let order = if *ordered { "ordered" } else { "unordered" };
                write!(f, "{order} categorical ({n} categories, {})", categories.name())
            }
            Self::NullableInteger(d) => write!(f, "nullable {d}"),
            Self::NullableBoolean => f.write_str("nullable boolean"),
            Self::NullableString { nan } => {
                write!(f, "nullable strings ({})", if *nan { "NaN" } else { "NA" })
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The rows of one column in a block; items are little-endian.
#[derive(Debug, Clone)]
pub enum ColumnBlock<'a> {
    /// Items of a fixed size.
    Fixed {
        /// Their type.
        dtype: DataType,
        /// Them.
        bytes: &'a [u8],
    },
    /// Strings: row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
    Strings {
        /// One more than there are rows.
        offsets: &'a [u64],
        /// UTF-8.
        bytes: &'a [u8],
    },
    /// Items of a fixed size, and a byte a row that is not 0 where the row is missing.
    NullableFixed {
        /// Their type.
        dtype: DataType,
        /// Them.
        bytes: &'a [u8],
        /// One byte a row.
        mask: &'a [u8],
    },
    /// Strings, and a byte a row that is not 0 where the row is missing.
    NullableStrings {
        /// One more than there are rows.
        offsets: &'a [u64],
        /// UTF-8.
        bytes: &'a [u8],
        /// One byte a row.
        mask: &'a [u8],
    },
    /// Codes of a categorical: negative is missing.
    Codes {
        /// Their type, any integer.
        dtype: DataType,
        /// Them.
        bytes: &'a [u8],
    },
}
