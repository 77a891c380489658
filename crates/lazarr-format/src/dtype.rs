//! Data types, as the in-memory results have them: native (little-endian) items, whatever the store's byte order.

use std::fmt;

use crate::{Code, Error, Result};

/// The unit of a datetime or a timedelta: numpy's name for it, and its multiple (`10ms`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeUnit {
    /// numpy's unit: `Y M W D h m s ms us ns ps fs as generic`.
    pub unit: String,
    /// How many of them one tick is.
    pub scale: u32,
}

/// One field of a structured type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// Its type, never a variable-length one.
    pub dtype: DataType,
    /// Where it starts in the item, in bytes; fields are packed.
    pub offset: usize,
}

/// What one item of an array is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// One byte, 0 or 1.
    Bool,
    /// Signed integers of 1, 2, 4, 8 bytes.
    Int(u8),
    /// Unsigned integers of 1, 2, 4, 8 bytes.
    UInt(u8),
    /// IEEE floats of 2, 4, 8 bytes.
    Float(u8),
    /// Two floats; 8 or 16 bytes altogether.
    Complex(u8),
    /// numpy datetime64: an i64 count of units since 1970; `i64::MIN` is NaT.
    DateTime(TimeUnit),
    /// numpy timedelta64: an i64 count of units.
    TimeDelta(TimeUnit),
    /// numpy `S<n>`: NUL-padded bytes.
    FixedBytes(usize),
    /// numpy `U<n>`: n UTF-32 code points, NUL-padded; 4·n bytes.
    FixedUtf32(usize),
    /// numpy `V<n>`, Zarr `r<8n>`: raw bytes.
    Raw(usize),
    /// Packed fields.
    Struct(Vec<Field>),
    /// Variable-length UTF-8.
    String,
    /// Variable-length bytes.
    Bytes,
}

impl DataType {
    /// Bytes of one item; `None` where it varies.
    pub fn item_size(&self) -> Option<usize> {
        Some(match self {
            Self::Bool => 1,
            Self::Int(n) | Self::UInt(n) | Self::Float(n) | Self::Complex(n) => usize::from(*n),
            Self::DateTime(_) | Self::TimeDelta(_) => 8,
            Self::FixedBytes(n) | Self::Raw(n) => *n,
            Self::FixedUtf32(n) => n.checked_mul(4)?,
            Self::Struct(fields) => match fields.last() {
                Some(f) => f.offset + f.dtype.item_size()?,
                None => 0,
            },
            Self::String | Self::Bytes => return None,
        })
    }

    /// Whether items vary in length.
    pub fn is_vlen(&self) -> bool {
        matches!(self, Self::String | Self::Bytes)
    }

    /// Whether the items are integers.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Int(_) | Self::UInt(_))
    }

    /// Whether arithmetic makes sense: bool, integers, floats, complex.
    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Bool | Self::Int(_) | Self::UInt(_) | Self::Float(_) | Self::Complex(_))
    }

    /// The widths in bytes of the parts of an item that are swapped when the byte order is: `[(offset, width)]`.
    pub fn swap_units(&self) -> Vec<(usize, usize)> {
        match self {
            Self::Int(n) | Self::UInt(n) | Self::Float(n) if *n > 1 => vec![(0, usize::from(*n))],
            Self::Complex(n) => vec![(0, usize::from(*n) / 2), (usize::from(*n) / 2, usize::from(*n) / 2)],
            Self::DateTime(_) | Self::TimeDelta(_) => vec![(0, 8)],
            Self::FixedUtf32(n) => (0..*n).map(|i| (4 * i, 4)).collect(),
            Self::Struct(fields) => fields
                .iter()
                .flat_map(|f| f.dtype.swap_units().into_iter().map(move |(o, w)| (f.offset + o, w)))
                .collect(),
            _ => vec![],
        }
    }

    /// numpy's array-interface type string of the native form: `<f4`, `|b1`, `<M8[ns]`. `None` for structured and
    /// variable-length types.
    pub fn numpy_str(&self) -> Option<String> {
        let time = |u: &TimeUnit| match (u.unit.as_str(), u.scale) {
            ("generic", _) => String::new(),
            (unit, 1) => format!("[{unit}]"),
            (unit, n) => format!("[{n}{unit}]"),
        };
        Some(match self {
            Self::Bool => "|b1".into(),
            Self::Int(1) => "|i1".into(),
            Self::UInt(1) => "|u1".into(),
            Self::Int(n) => format!("<i{n}"),
            Self::UInt(n) => format!("<u{n}"),
            Self::Float(n) => format!("<f{n}"),
            Self::Complex(n) => format!("<c{n}"),
            Self::DateTime(u) => format!("<M8{}", time(u)),
            Self::TimeDelta(u) => format!("<m8{}", time(u)),
            Self::FixedBytes(n) => format!("|S{n}"),
            Self::FixedUtf32(n) => format!("<U{n}"),
            Self::Raw(n) => format!("|V{n}"),
            Self::Struct(_) | Self::String | Self::Bytes => return None,
        })
    }

    /// The type named by numpy's type string, with its byte order: `true` where items are stored big-endian.
    pub fn from_numpy_str(text: &str) -> Result<(Self, bool)> {
        let unknown = || Error::new(Code::DataType, format!("the data type `{text}` is not known"));
        let mut chars = text.chars();
        let order = chars.next().ok_or_else(unknown)?;
        let big = match order {
            '>' => true,
            '<' | '|' | '=' => false,
            _ => return Err(unknown()),
        };
        let kind = chars.next().ok_or_else(unknown)?;
        let rest = chars.as_str();
        let (digits, unit) = match rest.find('[') {
            Some(i) => (
                &rest[..i],
                Some(rest[i..].strip_prefix('[').and_then(|u| u.strip_suffix(']')).ok_or_else(unknown)?),
            ),
            None => (rest, None),
        };
        let n: usize = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| unknown())? };
        let time = || -> Result<TimeUnit> {
            if n != 8 {
                return Err(unknown());
            }
            let Some(unit) = unit else { return Ok(TimeUnit { unit: "generic".into(), scale: 1 }) };
            let split = unit.find(|c: char| !c.is_ascii_digit()).ok_or_else(unknown)?;
            let scale = if split == 0 { 1 } else { unit[..split].parse().map_err(|_| unknown())? };
            TimeUnit::new(&unit[split..], scale).ok_or_else(unknown)
        };
        if unit.is_some() && !matches!(kind, 'M' | 'm') {
            return Err(unknown());
        }
        let dtype = match (kind, n) {
            ('b', 1) => Self::Bool,
            ('i', 1 | 2 | 4 | 8) => Self::Int(n as u8),
            ('u', 1 | 2 | 4 | 8) => Self::UInt(n as u8),
            ('f', 2 | 4 | 8) => Self::Float(n as u8),
            ('c', 8 | 16) => Self::Complex(n as u8),
            ('M', _) => Self::DateTime(time()?),
            ('m', _) => Self::TimeDelta(time()?),
            ('S', _) if n <= MAX_ITEM => Self::FixedBytes(n),
            ('U', _) if n <= MAX_ITEM / 4 => Self::FixedUtf32(n),
            ('V', _) if n <= MAX_ITEM => Self::Raw(n),
            _ => return Err(unknown()),
        };
        Ok((dtype, big))
    }
}

/// No item of a fixed-size type is larger: a bound against hostile metadata.
pub const MAX_ITEM: usize = 1 << 24;

impl TimeUnit {
    /// The unit, where numpy knows it and the multiple is above zero.
    pub fn new(unit: &str, scale: u32) -> Option<Self> {
        const UNITS: [&str; 15] =
            ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic"];
        let unit = if unit == "μs" { "us" } else { unit };
        (scale > 0 && i32::try_from(scale).is_ok() && UNITS.contains(&unit))
            .then(|| Self { unit: unit.to_owned(), scale })
    }
}

impl fmt::Display for DataType {
    /// The name a person knows: `float32`, `int64`, `string`, `datetime64[ns]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = |n: &u8| usize::from(*n) * 8;
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int(n) => write!(f, "int{}", bits(n)),
            Self::UInt(n) => write!(f, "uint{}", bits(n)),
            Self::Float(n) => write!(f, "float{}", bits(n)),
            Self::Complex(n) => write!(f, "complex{}", bits(n)),
            Self::DateTime(u) => write!(f, "datetime64[{u}]"),
            Self::TimeDelta(u) => write!(f, "timedelta64[{u}]"),
            Self::FixedBytes(n) => write!(f, "S{n}"),
            Self::FixedUtf32(n) => write!(f, "U{n}"),
            Self::Raw(n) => write!(f, "V{n}"),
            Self::Struct(fields) => {
                f.write_str("struct{")?;
                for (i, x) in fields.iter().enumerate() {
                    write!(f, "{}{}: {}", if i == 0 { "" } else { ", " }, x.name, x.dtype)?;
                }
                f.write_str("}")
            }
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 1 { f.write_str(&self.unit) } else { write!(f, "{}{}", self.scale, self.unit) }
    }
}
