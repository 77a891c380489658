//! Single values out of what was read, for people and for programs.

use lazarr::{DataType, Dense, SparseMatrix, Strings, Value, format::TimeUnit};
use serde_json::{Number, Value as Json, json};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Not known: NA, NaT, code -1.
    Missing,
    /// A place of a sparse matrix that stores nothing: zero.
    Unstored,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Single(f32),
    Double(f64),
    Text(String),
}

impl Cell {
    /// For people: floats have six digits, an unstored zero is a dot.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Missing => "<NA>".into(),
            Self::Unstored => ".".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::UInt(u) => u.to_string(),
            Self::Single(x) => rounded(f64::from(*x)),
            Self::Double(x) => rounded(*x),
            Self::Text(s) => s.clone(),
        }
    }

    /// For CSV: exact, nothing for what is missing, as pandas writes and reads it.
    pub(crate) fn exact(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Unstored => "0".into(),
            Self::Bool(b) => if *b { "True" } else { "False" }.into(),
            Self::Single(x) if x.is_nan() => String::new(),
            Self::Double(x) if x.is_nan() => String::new(),
            Self::Single(x) => format!("{x:?}"),
            Self::Double(x) => format!("{x:?}"),
            other => other.text(),
        }
    }

    /// For programs: exact; what is missing is null, a float that is not finite is a string.
    pub(crate) fn json(&self) -> Json {
        let float = |x: f64, text: String| match text.parse().ok().and_then(Number::from_f64) {
            Some(n) => Json::Number(n),
            None => json!(if x.is_nan() {
                "NaN"
            } else if x > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }),
        };
        match self {
            Self::Missing => Json::Null,
            Self::Unstored => json!(0),
            Self::Bool(b) => json!(b),
            Self::Int(i) => json!(i),
            Self::UInt(u) => json!(u),
            // The shortest decimal of a float32, not the digits that it has as a float64.
            Self::Single(x) => float(f64::from(*x), x.to_string()),
            Self::Double(x) => float(*x, x.to_string()),
            Self::Text(s) => json!(s),
        }
    }

    /// Whether people expect it on the right.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Unstored | Self::Int(_) | Self::UInt(_) | Self::Single(_) | Self::Double(_))
    }

    /// Two values stored at one place of a sparse matrix mean their sum.
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.wrapping_add(b)),
            (Self::UInt(a), Self::UInt(b)) => Self::UInt(a.wrapping_add(b)),
            (Self::Single(a), Self::Single(b)) => Self::Single(a + b),
            (Self::Double(a), Self::Double(b)) => Self::Double(a + b),
            (Self::Bool(a), Self::Bool(b)) => Self::Bool(a | b),
            (_, b) => b,
        }
    }
}

fn rounded(x: f64) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    let six: f64 = format!("{x:.5e}").parse().unwrap_or(x);
    format!("{six:?}")
}

/// The values of something flat, in C order; empty for mappings and tables.
pub(crate) fn cells(value: &Value) -> Vec<Cell> {
    match value {
        Value::Dense(d) => dense(d),
        Value::Strings(s) => strings(s),
        Value::Sparse(s) => sparse(s),
        Value::Categorical { codes, categories, .. } => {
            let names = cells(categories);
            dense(codes)
                .into_iter()
                .map(|code| match code {
                    Cell::Int(i) => usize::try_from(i).ok().and_then(|i| names.get(i).cloned()),
                    Cell::UInt(i) => usize::try_from(i).ok().and_then(|i| names.get(i).cloned()),
                    _ => None,
                })
                .map(|cell| cell.unwrap_or(Cell::Missing))
                .collect()
        }
        Value::Nullable { values, mask, .. } => {
            let missing = mask.data.as_slice();
            let hide = |(i, cell)| if missing.get(i).is_some_and(|&m| m != 0) { Cell::Missing } else { cell };
            cells(values).into_iter().enumerate().map(hide).collect()
        }
        _ => Vec::new(),
    }
}

fn dense(d: &Dense) -> Vec<Cell> {
    let size = d.dtype.item_size().unwrap_or(0);
    let items = d.shape.iter().product::<u64>();
    if size == 0 {
        return (0..items).map(|_| Cell::Text(String::new())).collect();
    }
    d.data.as_slice().chunks_exact(size).map(|item| fixed(&d.dtype, item)).collect()
}

fn strings(s: &Strings) -> Vec<Cell> {
    (0..s.len()).map(|i| Cell::Text(text(s.get(i).unwrap_or_default(), s.is_utf8()))).collect()
}

/// Text; bytes that are no text are shown as Python shows them.
fn text(bytes: &[u8], utf8: bool) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if utf8 => text.to_owned(),
        _ => format!("b'{}'", bytes.escape_ascii()),
    }
}

fn sparse(s: &SparseMatrix) -> Vec<Cell> {
    let [rows, columns] = s.shape.map(|n| n as usize);
    let mut out = vec![Cell::Unstored; rows.saturating_mul(columns)];
    let width = usize::from(s.index_width.max(1));
    let dtype = DataType::Int(s.index_width);
    let at = |buffer: &[u8], i: usize| match buffer.get(i * width..(i + 1) * width).map(|b| fixed(&dtype, b))
    {
        Some(Cell::Int(i)) => usize::try_from(i).unwrap_or(0),
        _ => 0,
    };
    let size = s.dtype.item_size().unwrap_or(1).max(1);
    let major = s.shape[s.format.major_axis()] as usize;
    for k in 0..major {
        for i in at(s.indptr.as_slice(), k)..at(s.indptr.as_slice(), k + 1) {
            let minor = at(s.indices.as_slice(), i);
            let place = if s.format.major_axis() == 0 { k * columns + minor } else { minor * columns + k };
            if let (Some(item), Some(cell)) =
                (s.data.as_slice().get(i * size..(i + 1) * size), out.get_mut(place))
            {
                *cell = cell.clone().plus(fixed(&s.dtype, item));
            }
        }
    }
    out
}

/// The bytes as an array; zeros where there are too few, which a decoded buffer never has.
fn bytes<const N: usize>(item: &[u8]) -> [u8; N] {
    item.first_chunk::<N>().copied().unwrap_or([0; N])
}

/// One item of fixed size, native byte order.
fn fixed(dtype: &DataType, item: &[u8]) -> Cell {
    match dtype {
        DataType::Bool => Cell::Bool(item.first().is_some_and(|&b| b != 0)),
        DataType::Int(1) => Cell::Int(i64::from(i8::from_ne_bytes(bytes(item)))),
        DataType::Int(2) => Cell::Int(i64::from(i16::from_ne_bytes(bytes(item)))),
        DataType::Int(4) => Cell::Int(i64::from(i32::from_ne_bytes(bytes(item)))),
        DataType::Int(_) => Cell::Int(i64::from_ne_bytes(bytes(item))),
        DataType::UInt(1) => Cell::UInt(u64::from(u8::from_ne_bytes(bytes(item)))),
        DataType::UInt(2) => Cell::UInt(u64::from(u16::from_ne_bytes(bytes(item)))),
        DataType::UInt(4) => Cell::UInt(u64::from(u32::from_ne_bytes(bytes(item)))),
        DataType::UInt(_) => Cell::UInt(u64::from_ne_bytes(bytes(item))),
        DataType::Float(2) => Cell::Single(half(u16::from_ne_bytes(bytes(item)))),
        DataType::Float(4) => Cell::Single(f32::from_ne_bytes(bytes(item))),
        DataType::Float(_) => Cell::Double(f64::from_ne_bytes(bytes(item))),
        DataType::Complex(n) => {
            let part = DataType::Float(n / 2);
            let (re, im) = item.split_at(item.len() / 2);
            let im = fixed(&part, im).text();
            let sign = if im.starts_with('-') { "" } else { "+" };
            Cell::Text(format!("{}{sign}{im}j", fixed(&part, re).text()))
        }
        DataType::DateTime(unit) => moment(i64::from_ne_bytes(bytes(item)), unit),
        DataType::TimeDelta(unit) => match i64::from_ne_bytes(bytes(item)) {
            i64::MIN => Cell::Missing,
            ticks => Cell::Text(format!("{} {}", i128::from(ticks) * i128::from(unit.scale), unit.unit)),
        },
        DataType::FixedBytes(_) => {
            let end = item.iter().rposition(|&b| b != 0).map_or(0, |p| p + 1);
            Cell::Text(text(&item[..end], true))
        }
        DataType::FixedUtf32(_) => {
            let chars = item.as_chunks::<4>().0.iter().map(|c| char::from_u32(u32::from_ne_bytes(*c)));
            let all: String = chars.map(|c| c.unwrap_or('\u{fffd}')).collect();
            Cell::Text(all.trim_end_matches('\0').to_owned())
        }
        DataType::Struct(fields) => {
            let field = |f: &lazarr::format::Field| {
                let end = f.offset + f.dtype.item_size().unwrap_or(0);
                item.get(f.offset..end).map_or_else(String::new, |part| fixed(&f.dtype, part).text())
            };
            Cell::Text(format!("({})", fields.iter().map(field).collect::<Vec<_>>().join(", ")))
        }
        _ => Cell::Text(text(item, false)),
    }
}

/// IEEE half precision; every value is one of f32.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    let exponent = i32::from(bits >> 10 & 0x1f);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    }
}

/// A datetime64 as ISO 8601; `i64::MIN` is NaT.
fn moment(ticks: i64, unit: &TimeUnit) -> Cell {
    if ticks == i64::MIN {
        return Cell::Missing;
    }
    let n = i128::from(ticks) * i128::from(unit.scale);
    let per_second: i128 = match unit.unit.as_str() {
        "Y" => return Cell::Text((1970 + n).to_string()),
        "M" => return Cell::Text(format!("{}-{:02}", 1970 + n.div_euclid(12), n.rem_euclid(12) + 1)),
        "W" => return Cell::Text(date(n * 7)),
        "D" => return Cell::Text(date(n)),
        "h" | "m" | "s" => 1,
        "ms" => 1_000,
        "us" => 1_000_000,
        "ns" => 1_000_000_000,
        "ps" => 1_000_000_000_000,
        "fs" => 1_000_000_000_000_000,
        "as" => 1_000_000_000_000_000_000,
        _ => return Cell::Text(n.to_string()),
    };
    let seconds_each = match unit.unit.as_str() {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = (n * seconds_each).div_euclid(per_second);
    let fraction = (n * seconds_each).rem_euclid(per_second);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut text = format!("{}T{:02}:{:02}:{:02}", date(days), rest / 3600, rest / 60 % 60, rest % 60);
    if fraction > 0 {
        let digits = per_second.ilog10() as usize;
        text.push('.');
        text.push_str(format!("{fraction:0digits$}").trim_end_matches('0'));
    }
    Cell::Text(text)
}

/// The day so many days after 1970-01-01, in the Gregorian calendar: eras of 400 years, years that begin in March.
fn date(days: i128) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * in_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i128::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", in_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
