//! What comes of parts of several types: numpy's and pandas' rules.

use lazarr_format::anndata::{Body, Element, NullableKind};
use lazarr_format::{Code, DataType, Error, Result};

use super::body::{Kind, concat_of};

/// The type that holds items of both, as numpy's `result_type`; `None` where there is none but objects.
pub(crate) fn promote(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Bool, Complex, Float, Int, UInt};
    if a == b {
        return Some(a.clone());
    }
    // Floats that hold integers of so many bytes.
    let float = |bytes: u8| match bytes {
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Some(match (a, b) {
        (Bool, x) | (x, Bool) if x.is_numeric() => x.clone(),
        (Int(x), Int(y)) => Int(*x.max(y)),
        (UInt(x), UInt(y)) => UInt(*x.max(y)),
        (Int(i), UInt(u)) | (UInt(u), Int(i)) => match (*i).max(2 * u) {
            bytes @ 1..=8 => Int(bytes),
            _ => Float(8),
        },
        (Float(x), Float(y)) => Float(*x.max(y)),
        (Float(f), Int(i) | UInt(i)) | (Int(i) | UInt(i), Float(f)) => Float((*f).max(float(*i))),
        (Complex(x), Complex(y)) => Complex(*x.max(y)),
        (Complex(c), Float(f)) | (Float(f), Complex(c)) => Complex((*c).max(2 * (*f).max(4))),
        (Complex(c), Int(i) | UInt(i)) | (Int(i) | UInt(i), Complex(c)) => {
            Complex((*c).max(2 * float(*i).max(4)))
        }
        _ => return None,
    })
}

/// What a column's element holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holds {
    Items(DataType),
    Text,
    Nullable(DataType, NullableKind),
    Categories { ordered: bool, text: bool },
}

pub(crate) fn holds(element: &Element) -> Result<Holds> {
    Ok(match &element.body {
        Body::Broken(e) => return Err(e.again().element(&*element.path)),
        Body::Dense(a) => match &a.dtype {
            DataType::FixedUtf32(_) | DataType::FixedBytes(_) => Holds::Text,
            dtype => Holds::Items(dtype.clone()),
        },
        Body::Strings(_) => Holds::Text,
        Body::Nullable(n) => Holds::Nullable(n.values.dtype.clone(), n.kind.clone()),
        Body::Categorical(c) => {
            let text = matches!(
                holds(&c.categories)?,
                Holds::Text | Holds::Nullable(_, NullableKind::String { .. })
            );
            Holds::Categories { ordered: c.ordered, text }
        }
        Body::Joined(_) => match concat_of(element).map(|c| &c.kind) {
            Some(Kind::Dense { dtype, .. }) => Holds::Items(dtype.clone()),
            Some(Kind::Strings) => Holds::Text,
            Some(Kind::Nullable { dtype, kind }) => Holds::Nullable(dtype.clone(), kind.clone()),
            Some(Kind::Categorical { ordered, .. }) => Holds::Categories { ordered: *ordered, text: true },
            _ => return Err(refused(element)),
        },
        _ => return Err(refused(element)),
    })
}

fn refused(element: &Element) -> Error {
    Error::new(Code::Operation, "this cannot be concatenated as a column")
        .element(&*element.path)
        .found(crate::program::describe(element))
}

/// What columns are together, as pandas and anndata have it; `missing`: some parts have none. `same` tells whether all
/// categories are the same, in order.
pub(crate) fn column_kind(
    parts: &[&Element],
    missing: bool,
    same: &dyn Fn() -> Result<bool>,
) -> Result<Kind> {
    let all = parts.iter().map(|e| holds(e)).collect::<Result<Vec<_>>>()?;
    let differ = || {
        let mut kinds: Vec<String> = parts.iter().map(|e| crate::program::describe(e)).collect();
        kinds.dedup();
        Error::new(Code::Operation, "columns of these types cannot be concatenated without objects of Python")
            .found(kinds.join("; "))
            .help("Cast them first: part.with_obs(column=values)")
    };
    let categories = all.iter().filter(|h| matches!(h, Holds::Categories { .. })).count();
    if categories == all.len() && categories > 0 {
        let ordered = all.iter().any(|h| matches!(h, Holds::Categories { ordered: true, .. }));
        if !ordered {
            return Ok(Kind::Categorical { ordered: false, given: None });
        }
        if same()? {
            return Ok(Kind::Categorical { ordered: true, given: None });
        }
    }
    let texts = all.iter().all(|h| {
        matches!(
            h,
            Holds::Text
                | Holds::Categories { text: true, .. }
                | Holds::Nullable(_, NullableKind::String { .. })
        )
    });
    if texts {
        let na = all.iter().any(|h| matches!(h, Holds::Nullable(_, NullableKind::String { nan: false })));
        let masked = all.iter().any(|h| !matches!(h, Holds::Text));
        return Ok(if missing || masked {
            Kind::Nullable { dtype: DataType::String, kind: NullableKind::String { nan: !na } }
        } else {
            Kind::Strings
        });
    }
    let (mut dtype, mut nullable): (Option<DataType>, Option<NullableKind>) = (None, None);
    for held in &all {
        let own = match held {
            Holds::Items(dtype) => dtype,
            Holds::Nullable(dtype, kind) => {
                if nullable.as_ref().is_some_and(|known| known != kind) {
                    return Err(differ());
                }
                nullable = Some(kind.clone());
                dtype
            }
            _ => return Err(differ()),
        };
        let next = match &dtype {
            None => own.clone(),
            // pandas keeps booleans and numbers apart.
            Some(known) if (*known == DataType::Bool) != (*own == DataType::Bool) => return Err(differ()),
            Some(known) => promote(known, own).ok_or_else(differ)?,
        };
        dtype = Some(next);
    }
    let dtype = dtype.unwrap_or(DataType::Float(8));
    match nullable {
        Some(kind) => {
            let fits = match kind {
                NullableKind::Integer => dtype.is_integer(),
                NullableKind::Boolean => dtype == DataType::Bool,
                NullableKind::String { .. } => false,
            };
            if fits { Ok(Kind::Nullable { dtype, kind }) } else { Err(differ()) }
        }
        None if missing && dtype == DataType::Bool => {
            Ok(Kind::Nullable { dtype, kind: NullableKind::Boolean })
        }
        None if missing && dtype.is_integer() => Ok(dense(DataType::Float(8))),
        None => Ok(dense(dtype)),
    }
}

/// An array whose missing items are NaN, NaT, or zero.
pub(crate) fn dense(dtype: DataType) -> Kind {
    let fill = missing_item(&dtype);
    Kind::Dense { dtype, fill }
}

/// What stands for a missing item.
pub(crate) fn missing_item(dtype: &DataType) -> Vec<u8> {
    match dtype {
        DataType::Float(2) => 0x7e00u16.to_ne_bytes().to_vec(),
        DataType::Float(4) => f32::NAN.to_ne_bytes().to_vec(),
        DataType::Float(8) => f64::NAN.to_ne_bytes().to_vec(),
        DataType::Complex(n) => {
            let nan = missing_item(&DataType::Float(n / 2));
            let mut item = nan.clone();
            item.extend(vec![0; nan.len()]);
            item
        }
        DataType::DateTime(_) | DataType::TimeDelta(_) => i64::MIN.to_ne_bytes().to_vec(),
        other => vec![0; other.item_size().unwrap_or(0)],
    }
}
