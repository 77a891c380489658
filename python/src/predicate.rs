//! Conditions on columns.

use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Inclusive, Literal};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyType};

use crate::error::OrRaise;

/// A condition on the columns of one axis.
#[pyclass(frozen, module = "lazarr._lazarr")]
#[derive(Clone)]
pub(crate) struct Predicate(pub(crate) Expr);

#[pymethods]
impl Predicate {
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        Expr::from_json(text).map(Self).or_raise()
    }

    fn to_json(&self) -> PyResult<String> {
        self.0.to_json().or_raise()
    }

    fn __and__(&self, other: &Self) -> Self {
        Self(self.0.clone().and(other.0.clone()))
    }

    fn __or__(&self, other: &Self) -> Self {
        Self(self.0.clone().or(other.0.clone()))
    }

    fn __xor__(&self, other: &Self) -> Self {
        Self(self.0.clone().xor(other.0.clone()))
    }

    fn __invert__(&self) -> Self {
        Self(self.0.clone().not())
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(format!(
            "a predicate has no truth value, it is not evaluated until something is collected: {}. Combine predicates \
             with & | ~ (not `and`, `or`, `not`), each side in parentheses",
            self.0
        )))
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }

    fn __getstate__(&self) -> PyResult<String> {
        self.to_json()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let kind: Bound<'py, PyType> = py.get_type::<Self>();
        Ok((kind.getattr("from_json")?, (self.to_json()?,)))
    }
}

/// A Python value as a literal.
pub(crate) fn literal(value: &Bound<'_, PyAny>, na: bool, float64: bool) -> PyResult<Literal> {
    if na {
        return Ok(Literal::Na);
    }
    if value.is_none() {
        return Ok(Literal::Null);
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(Literal::Bool(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<i128>() {
            Ok(i) => Ok(Literal::Int(i)),
            Err(_) => Err(PyValueError::new_err(
                "an integer of more than 128 bits cannot be compared with a column",
            )),
        };
    }
    if value.is_instance_of::<PyFloat>() {
        let x = value.extract()?;
        return Ok(if float64 { Literal::Float64(x) } else { Literal::Float(x) });
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Literal::Str(value.extract()?));
    }
    Err(PyTypeError::new_err(format!(
        "a column cannot be compared with a {}; compare it with a string, a number, a bool or None",
        value.get_type().name()?
    )))
}

/// A predicate on one column.
pub(crate) struct On(pub(crate) ColumnRef);

impl On {
    pub(crate) fn compare(self, op: &str, value: Literal) -> PyResult<Predicate> {
        let op = match op {
            "==" => CmpOp::Eq,
            "!=" => CmpOp::Ne,
            "<" => CmpOp::Lt,
            "<=" => CmpOp::Le,
            ">" => CmpOp::Gt,
            ">=" => CmpOp::Ge,
            _ => return Err(PyValueError::new_err(format!("there is no comparison {op}"))),
        };
        Ok(Predicate(Expr::cmp(self.0, op, value)))
    }

    pub(crate) fn between(self, low: Literal, high: Literal, inclusive: &str) -> PyResult<Predicate> {
        let inclusive = match inclusive {
            "both" => Inclusive::Both,
            "neither" => Inclusive::Neither,
            "left" => Inclusive::Left,
            "right" => Inclusive::Right,
            _ => return Err(PyValueError::new_err("inclusive must be 'both', 'neither', 'left' or 'right'")),
        };
        Ok(Predicate(Expr::Between { column: self.0, low, high, inclusive }))
    }
}
