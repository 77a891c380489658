//! Arrays, scalars, sparse matrices, categoricals, nullable arrays, awkward arrays.

use std::sync::Arc;

use serde_json::Value;

use super::Place;
use crate::anndata::{Awkward, Body, Categorical, Element, Nullable, NullableKind, Sparse, SparseFormat};
use crate::{ArrayRef, Code, DataType, Error, Result};

fn is_text(dtype: &DataType) -> bool {
    matches!(dtype, DataType::String | DataType::FixedUtf32(_) | DataType::FixedBytes(_))
}

impl Place<'_> {
    fn wrong_type(&self, what: &str, expected: &str, dtype: &DataType) -> Error {
        self.invalid(format!("{what} has the wrong data type")).expected(expected).found(dtype.to_string())
    }

    fn scalar(&self, array: &ArrayRef) -> Result<Body> {
        if array.shape.is_empty() {
            return Ok(Body::Scalar(array.clone()));
        }
        Err(self
            .invalid("a scalar has no dimensions")
            .expected("shape []")
            .found(format!("shape {:?}", array.shape)))
    }
}

/// `array`.
pub(super) fn array(_: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    Ok(match &array.dtype {
        _ if array.shape.is_empty() => Body::Scalar(array.clone()),
        DataType::String | DataType::Bytes => Body::Strings(array.clone()),
        _ => Body::Dense(array.clone()),
    })
}

pub(super) fn string_array(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    match &array.dtype {
        dtype if !is_text(dtype) => Err(place.wrong_type("the string-array", "strings", dtype)),
        _ if array.shape.is_empty() => Ok(Body::Scalar(array.clone())),
        _ => Ok(Body::Strings(array.clone())),
    }
}

pub(super) fn rec_array(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    match &array.dtype {
        DataType::Struct(_) => Ok(Body::Dense(array.clone())),
        dtype => Err(place.wrong_type("the rec-array", "a struct", dtype)),
    }
}

pub(super) fn string(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    if is_text(&array.dtype) {
        place.scalar(array)
    } else {
        Err(place.wrong_type("the string", "a string", &array.dtype))
    }
}

pub(super) fn bytes(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    match &array.dtype {
        DataType::Bytes | DataType::FixedBytes(_) | DataType::Raw(_) => place.scalar(array),
        dtype => Err(place.wrong_type("the bytes", "bytes", dtype)),
    }
}

pub(super) fn numeric_scalar(place: &Place<'_>, array: &ArrayRef) -> Result<Body> {
    match &array.dtype {
        DataType::DateTime(_) | DataType::TimeDelta(_) => place.scalar(array),
        dtype if dtype.is_numeric() => place.scalar(array),
        dtype => Err(place.wrong_type("the numeric-scalar", "a number", dtype)),
    }
}

/// `None`: whatever the array says.
pub(super) fn null(_: &Place<'_>, _: &ArrayRef) -> Result<Body> {
    Ok(Body::Null)
}

pub(super) fn csr(place: &Place<'_>) -> Result<Body> {
    sparse(place, SparseFormat::Csr)
}

pub(super) fn csc(place: &Place<'_>) -> Result<Body> {
    sparse(place, SparseFormat::Csc)
}

/// A sparse matrix; before 0.7 the attribute of its shape had another name.
pub(super) fn sparse(place: &Place<'_>, format: SparseFormat) -> Result<Body> {
    let shape = place.attributes.get("shape").or_else(|| place.attributes.get("h5sparse_shape"));
    let shape = shape.and_then(Value::as_array).and_then(|list| match list.as_slice() {
        [rows, cols] => Some([rows.as_u64()?, cols.as_u64()?]),
        _ => None,
    });
    // Each below 2^63, and so their product below 2^64 cells: what a dense result of it could count.
    let shape = shape
        .filter(|s| s.iter().all(|n| i64::try_from(*n).is_ok()) && s[0].checked_mul(s[1]).is_some())
        .ok_or_else(|| place.attribute_error("shape", "the numbers of rows and columns"))?;
    let (data, indices, indptr) =
        (place.array_1d("data")?, place.array_1d("indices")?, place.array_1d("indptr")?);
    if !data.dtype.is_numeric() {
        return Err(place.wrong_type("`data`", "numbers", &data.dtype));
    }
    for (name, array) in [("indices", &indices), ("indptr", &indptr)] {
        if !array.dtype.is_integer() {
            return Err(place.wrong_type(&format!("`{name}`"), "integers", &array.dtype));
        }
    }
    if indices.shape != data.shape {
        return Err(place
            .invalid("`indices` and `data` have different lengths")
            .expected(format!("{} indices", data.shape[0]))
            .found(indices.shape[0].to_string()));
    }
    let sparse = Sparse { format, shape, data, indices, indptr };
    let expected = sparse.major_len() + 1; // below 2^63
    if sparse.indptr.shape[0] != expected {
        return Err(place
            .invalid(format!("`indptr` does not fit the shape of a {} matrix", format.name()))
            .expected(format!("{expected} items for the shape {shape:?}"))
            .found(sparse.indptr.shape[0].to_string()));
    }
    Ok(Body::Sparse(Arc::new(sparse)))
}

pub(super) fn categorical(place: &Place<'_>) -> Result<Body> {
    let codes = place.array_1d("codes")?;
    if !place.has("categories") {
        return Err(place.invalid("`categories` is missing"));
    }
    let categories = place.builder.leaf(&place.join("categories"));
    codes_and_categories(place, codes, categories, ordered(place)?)
}

/// A categorical of these parts, which may stand anywhere.
pub(super) fn codes_and_categories(
    place: &Place<'_>,
    codes: ArrayRef,
    categories: Element,
    ordered: bool,
) -> Result<Body> {
    if !codes.dtype.is_integer() {
        return Err(place.wrong_type("`codes`", "integers", &codes.dtype));
    }
    if codes.shape.len() != 1 {
        return Err(place
            .invalid("`codes` is wrong")
            .expected("one dimension")
            .found(format!("{}", codes.shape.len())));
    }
    match &categories.body {
        Body::Broken(e) => return Err(super::again(e)),
        Body::Categorical(_) => return Err(place.invalid("the categories are categorical themselves")),
        _ => {}
    }
    if categories.shape().is_none_or(|shape| shape.len() != 1) {
        return Err(place
            .invalid("`categories` is wrong")
            .expected("one dimension")
            .found(format!("shape {:?}", categories.shape().unwrap_or_default())));
    }
    Ok(Body::Categorical(Arc::new(Categorical { codes, categories, ordered })))
}

/// Whether categories have an order, as this node says.
pub(super) fn ordered(place: &Place<'_>) -> Result<bool> {
    Ok(match place.attributes.get("ordered") {
        // Older writers leave it out; some write 0 and 1.
        None | Some(Value::Null) => false,
        Some(Value::Bool(ordered)) => *ordered,
        Some(Value::Number(n)) if matches!(n.as_u64(), Some(0 | 1)) => n.as_u64() == Some(1),
        Some(_) => return Err(place.attribute_error("ordered", "true or false")),
    })
}

pub(super) fn nullable_integer(place: &Place<'_>) -> Result<Body> {
    nullable(place, NullableKind::Integer, "integers", DataType::is_integer)
}

pub(super) fn nullable_boolean(place: &Place<'_>) -> Result<Body> {
    nullable(place, NullableKind::Boolean, "booleans", |dtype| *dtype == DataType::Bool)
}

pub(super) fn nullable_string(place: &Place<'_>) -> Result<Body> {
    // Anything that is not known stands for NA.
    let nan = place.attributes.get("na-value").and_then(Value::as_str) == Some("NaN");
    nullable(place, NullableKind::String { nan }, "strings", is_text)
}

fn nullable(
    place: &Place<'_>,
    kind: NullableKind,
    expected: &str,
    fits: fn(&DataType) -> bool,
) -> Result<Body> {
    let (values, mask) = (place.array("values")?, place.array("mask")?);
    if !fits(&values.dtype) {
        return Err(place.wrong_type("`values`", expected, &values.dtype));
    }
    if mask.dtype != DataType::Bool {
        return Err(place.wrong_type("`mask`", "booleans", &mask.dtype));
    }
    if values.shape != mask.shape {
        return Err(Error::new(Code::Misaligned, "`values` and `mask` have different shapes")
            .expected(format!("{:?}, as the values", values.shape))
            .found(format!("{:?}", mask.shape)));
    }
    Ok(Body::Nullable(Arc::new(Nullable { values, mask, kind })))
}

pub(super) fn awkward(place: &Place<'_>) -> Result<Body> {
    let Some(Value::String(form)) = place.attributes.get("form") else {
        return Err(place.attribute_error("form", "awkward's form, as JSON text"));
    };
    let length = place
        .attributes
        .get("length")
        .and_then(Value::as_u64)
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or_else(|| place.attribute_error("length", "the number of entries"))?;
    let names = place.builder.hierarchy.children(place.path);
    let buffers = names
        .into_iter()
        .map(|name| {
            let buffer = place.array_1d(name)?;
            if !buffer.dtype.is_numeric()
                && !matches!(buffer.dtype, DataType::DateTime(_) | DataType::TimeDelta(_))
            {
                return Err(place.wrong_type(&format!("the buffer `{name}`"), "numbers", &buffer.dtype));
            }
            Ok((name.to_owned(), buffer))
        })
        .collect::<Result<_>>()?;
    Ok(Body::Awkward(Arc::new(Awkward { form: form.clone(), length, buffers })))
}
