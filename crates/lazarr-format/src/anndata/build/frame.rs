//! Tables.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::legacy::series;
use super::{Place, broken, check_name};
use crate::anndata::{Body, DataFrame, Element};
use crate::{Code, Error, Result};

/// `dataframe` 0.2.0: columns named by `column-order`, the index by `_index`.
pub(super) fn dataframe(place: &Place<'_>) -> Result<Body> {
    read(place, |place, name| place.builder.leaf(&place.join(name)))
}

/// `dataframe` 0.1.0: the categories of a column stand in a group beside the columns.
pub(super) fn dataframe_0_1(place: &Place<'_>) -> Result<Body> {
    read(place, series)
}

/// So many columns may be absent: each is kept with its error, and a list of names is cheap to write.
const ABSENT: usize = 1000;

/// How a column is read, by its name.
type Column = fn(&Place<'_>, &str) -> Element;

fn read(place: &Place<'_>, leaf: Column) -> Result<Body> {
    let index_key = match place.attributes.get("_index") {
        Some(Value::String(key)) => key.clone(),
        _ => return Err(place.attribute_error("_index", "the name of the index")),
    };
    check_name(place, "_index", &index_key)?;
    let Some(Value::Array(order)) = place.attributes.get("column-order") else {
        return Err(place.attribute_error("column-order", "a list of the columns' names"));
    };
    if !place.has(&index_key) {
        return Err(place.invalid(format!("the index `{index_key}` is missing")));
    }
    let index = leaf(place, &index_key);
    if let Body::Broken(e) = &index.body {
        return Err(super::again(e));
    }
    let len = match index.shape().as_deref() {
        Some([len]) => *len,
        shape => {
            return Err(place
                .invalid("the index is wrong")
                .expected("one dimension")
                .found(format!("shape {:?}", shape.unwrap_or_default())));
        }
    };
    let mut columns = Vec::new();
    let mut seen = HashSet::new();
    let mut absent = 0;
    for name in order {
        let Value::String(name) = name else {
            return Err(place.attribute_error("column-order", "a list of the columns' names, all strings"));
        };
        check_name(place, "column-order", name)?;
        // A name that stands there twice is one column.
        if seen.insert(name.as_str()) {
            absent += usize::from(!place.has(name));
            if absent > ABSENT {
                return Err(place
                    .invalid("`column-order` names columns that are not there")
                    .expected(format!("at most {ABSENT} of them, to read the others"))
                    .found(format!("more, `{name}` among them")));
            }
            let column = if *name == index_key { index.clone() } else { column(place, name, len, leaf) };
            columns.push((name.clone(), column));
        }
    }
    Ok(Body::DataFrame(Arc::new(DataFrame { index_key, index, columns, len })))
}

fn column(place: &Place<'_>, name: &str, len: u64, leaf: Column) -> Element {
    let path = place.join(name);
    if !place.has(name) {
        let e = place.invalid(format!("the column `{name}` is missing")).help("`column-order` names it");
        return broken(&path, Arc::new(e));
    }
    let mut column = leaf(place, name);
    if !matches!(column.body, Body::Broken(_)) {
        let shape = column.shape().unwrap_or_default();
        let problem = match shape.as_slice() {
            [n] if *n == len => return column,
            [n] => Error::new(Code::Misaligned, "the column is not as long as its table's index")
                .expected(format!("{len} rows"))
                .found(n.to_string()),
            _ => Error::new(Code::EncodingInvalid, "a column has one dimension")
                .found(format!("shape {shape:?}")),
        };
        column.body = Body::Broken(Arc::new(problem.element(&path)));
    }
    column
}
