//! Predicates on the columns of one axis, with pandas' answers.
//!
//! An [`Expr`] is what a person typed: `(obs["cell_type"] == "T cell") & (obs["n_genes"] > 500)`. It knows no types. Once
//! the types of its columns are known, [`Expr::bind`] checks it against them and turns it into a [`Bound`], which answers
//! blocks of rows. A categorical is answered by its codes: the categories are looked at once, when it is bound.
//!
//! The answers are those of pandas 3 for the types that anndata reads the columns as; a table of cases made with pandas
//! is replayed in the tests. Where pandas raises a `TypeError`, binding is an error that says what would work.
//!
//! ```
//! use lazarr_plan::expr::{AxisId, CmpOp, ColumnBlock, ColumnRef, ColumnSchema, Expr, Literal};
//! use lazarr_format::DataType;
//! let n_genes = ColumnRef::new(AxisId(1), "obs/n_genes", Some("n_genes"));
//! let expr = Expr::cmp(n_genes.clone(), CmpOp::Gt, Literal::Int(500));
//! assert_eq!(expr.to_string(), r#"obs["n_genes"] > 500"#);
//! let bound = expr.bind(&[(n_genes, ColumnSchema::Numeric(DataType::Int(2)))])?;
//! let rows: Vec<u8> = [499i16, 500, 501].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let mask = bound.eval(&[ColumnBlock::Fixed { dtype: DataType::Int(2), bytes: &rows }])?;
//! assert_eq!(mask.selected().words(), [0b100]);
//! # Ok::<(), lazarr_format::Error>(())
//! ```

mod bind;
mod codes;
mod eval;
mod lex;
mod mask;
mod numbers;
mod parse;
mod schema;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use lazarr_format::{Code, Error, Result};

pub use bind::Bound;
pub use mask::Mask3;
pub use parse::Resolve;
pub use schema::{CategoryValues, ColumnBlock, ColumnSchema};

/// Which axis a predicate was made on. The caller makes the numbers; two axes are the same if and only if theirs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct AxisId(pub u64);

/// A column of the table that annotates an axis, or the names of the axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ColumnRef {
    /// The axis.
    pub axis: AxisId,
    /// The column; `None` is the names (the index of the table).
    pub column: Option<String>,
    /// The path of the element in the store: `obs/cell_type`.
    pub path: String,
}

impl ColumnRef {
    /// A column by its name and path; no name is the names of the axis.
    pub fn new(axis: AxisId, path: impl Into<String>, column: Option<&str>) -> Self {
        Self { axis, column: column.map(str::to_owned), path: path.into() }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CmpOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl CmpOp {
    /// As it is typed.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// Whether it needs an order.
    pub fn is_ordering(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// Python's `None`.
    Null,
    /// `pd.NA`.
    Na,
    /// `True`, `False`.
    Bool(bool),
    /// A Python integer.
    Int(#[serde(with = "wire::number")] i128),
    /// A Python float. Against a narrower column it is rounded to the column's type, as numpy does; `NaN` is NaN.
    Float(#[serde(with = "wire::number")] f64),
    /// A numpy `float64` scalar: a narrower column is widened instead.
    Float64(#[serde(with = "wire::number")] f64),
    /// A string.
    Str(String),
}

impl Literal {
    /// Whether it stands for a missing value: None, NA or NaN.
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null | Self::Na => true,
            Self::Float(x) | Self::Float64(x) => x.is_nan(),
            _ => false,
        }
    }
}

/// Which bounds of `between` belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inclusive {
    /// Both.
    #[default]
    Both,
    /// Neither.
    Neither,
    /// The lower one.
    Left,
    /// The upper one.
    Right,
}

/// A predicate.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A boolean column.
    Column(ColumnRef),
    /// `column == value` and its kin.
    Cmp {
        /// The column.
        column: ColumnRef,
        /// The comparison.
        op: CmpOp,
        /// What it is compared with.
        value: Literal,
    },
    /// `column.isin([...])`
    IsIn {
        /// The column.
        column: ColumnRef,
        /// The values, in any order.
        values: Vec<Literal>,
    },
    /// `column.isna()`
    IsNa(ColumnRef),
    /// `column.notna()`
    NotNa(ColumnRef),
    /// `column.between(low, high, inclusive)`
    Between {
        /// The column.
        column: ColumnRef,
        /// The lower bound.
        low: Literal,
        /// The upper bound.
        high: Literal,
        /// Which bounds belong to it.
        inclusive: Inclusive,
    },
    /// `column.str.startswith(prefix)`: with any of them.
    StartsWith {
        /// The column.
        column: ColumnRef,
        /// The prefixes.
        prefix: Vec<String>,
    },
    /// `column.str.endswith(suffix)`: with any of them.
    EndsWith {
        /// The column.
        column: ColumnRef,
        /// The suffixes.
        suffix: Vec<String>,
    },
    /// `column.str.contains(pattern, case, regex)`
    Contains {
        /// The column.
        column: ColumnRef,
        /// The pattern.
        pattern: String,
        /// Whether it is a regular expression.
        regex: bool,
        /// Whether upper and lower case differ.
        case: bool,
    },
    /// `a & b`
    And(Box<Expr>, Box<Expr>),
    /// `a | b`
    Or(Box<Expr>, Box<Expr>),
    /// `a ^ b`
    Xor(Box<Expr>, Box<Expr>),
    /// `~a`
    Not(Box<Expr>),
}

impl Expr {
    /// Expressions are not nested deeper: what walks them is recursive.
    pub const MAX_DEPTH: usize = 1000;

    /// `column op value`
    pub fn cmp(column: ColumnRef, op: CmpOp, value: Literal) -> Self {
        Self::Cmp { column, op, value }
    }

    /// `self & other`
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    /// `self | other`
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Or(Box::new(self), Box::new(other))
    }

    /// `self ^ other`
    #[must_use]
    pub fn xor(self, other: Self) -> Self {
        Self::Xor(Box::new(self), Box::new(other))
    }

    /// `~self`
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "one name a verb, beside `and`, `or` and `xor`")]
    pub fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The column of a predicate that is not made of others.
    pub(crate) fn column(&self) -> Option<&ColumnRef> {
        match self {
            Self::Column(column)
            | Self::IsNa(column)
            | Self::NotNa(column)
            | Self::Cmp { column, .. }
            | Self::IsIn { column, .. }
            | Self::Between { column, .. }
            | Self::StartsWith { column, .. }
            | Self::EndsWith { column, .. }
            | Self::Contains { column, .. } => Some(column),
            Self::And(..) | Self::Or(..) | Self::Xor(..) | Self::Not(_) => None,
        }
    }

    /// The columns that it needs, each once, in the order in which they are named.
    pub fn columns(&self) -> Vec<ColumnRef> {
        let mut out = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            match expr {
                Self::And(a, b) | Self::Or(a, b) | Self::Xor(a, b) => open.extend([&**b, &**a]),
                Self::Not(a) => open.push(a),
                _ => out.extend(expr.column().filter(|c| seen.insert(*c)).cloned()),
            }
        }
        out
    }

    /// The axis that it selects from. Errors with `ForeignPredicate` where its columns are of several.
    pub fn axis(&self) -> Result<AxisId> {
        let columns = self.columns();
        let Some(first) = columns.first() else {
            return Err(Error::new(Code::Internal, "an expression names no column"));
        };
        match columns.iter().find(|c| c.axis != first.axis) {
            None => Ok(first.axis),
            Some(other) => Err(Error::new(Code::ForeignPredicate, "one predicate cannot select from two axes")
                .expected(format!("columns of the axis of {first}"))
                .found(other.to_string())
                .help("Make both conditions on the same object, and index rows and columns separately: adata[rows, cols]")),
        }
    }
}
