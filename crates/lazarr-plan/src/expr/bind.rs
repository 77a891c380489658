//! From an expression to its tests: the types of its columns are checked, and categories are looked at once.

use lazarr_format::{Code, DataType, Error, Result};

use super::numbers::NumTest;
use super::strings::StrTest;
use super::{CategoryValues, CmpOp, ColumnRef, ColumnSchema, Expr, Inclusive, Literal};

/// An expression whose columns have types: it answers blocks of rows ([`Bound::eval`]).
#[derive(Debug, Clone)]
pub struct Bound {
    pub(super) columns: Vec<(ColumnRef, ColumnSchema)>,
    pub(super) root: Node,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A test of the column of this number.
    Leaf {
        column: usize,
        test: Test,
        missing: Option<bool>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Xor(Box<Node>, Box<Node>),
    Not(Box<Node>),
}

/// What is asked of the rows that are not missing.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// The answer is missing for every row.
    Na,
    Number(NumTest),
    Str(StrTest),
    /// Whether each category matches.
    Codes(Vec<bool>),
    /// `NaT`.
    IsNat,
    /// The same for every row.
    Always(bool),
}

/// A test, and the answer for rows that are missing.
type Leaf = (Test, Option<bool>);

impl Bound {
    /// The columns, in the order in which [`Bound::eval`] takes their blocks: the order in which they were bound.
    pub fn columns(&self) -> &[(ColumnRef, ColumnSchema)] {
        &self.columns
    }
}

impl Expr {
    /// Checks the expression against the types of its columns. Blocks are given to [`Bound::eval`] in the order of
    /// `columns`. Errors with `Expression` where pandas would raise, with `ForeignPredicate` where the columns are of
    /// several axes.
    pub fn bind(&self, columns: &[(ColumnRef, ColumnSchema)]) -> Result<Bound> {
        self.axis()?;
        Ok(Bound { columns: columns.to_vec(), root: self.node(columns, 0)? })
    }

    fn node(&self, columns: &[(ColumnRef, ColumnSchema)], depth: usize) -> Result<Node> {
        if depth >= Self::MAX_DEPTH {
            return Err(Error::new(
                Code::Expression,
                format!("an expression is nested more than {depth} deep"),
            )
            .help("Many values of one column are one condition: column.isin([...])"));
        }
        let two = |a: &Self, b: &Self| -> Result<_> {
            Ok((Box::new(a.node(columns, depth + 1)?), Box::new(b.node(columns, depth + 1)?)))
        };
        match self {
            Self::And(a, b) => two(a, b).map(|(a, b)| Node::And(a, b)),
            Self::Or(a, b) => two(a, b).map(|(a, b)| Node::Or(a, b)),
            Self::Xor(a, b) => two(a, b).map(|(a, b)| Node::Xor(a, b)),
            Self::Not(a) => Ok(Node::Not(Box::new(a.node(columns, depth + 1)?))),
            _ => {
                let Some(name) = self.column() else {
                    return Err(Error::new(Code::Internal, "a predicate names no column"));
                };
                let Some(column) = columns.iter().position(|(c, _)| c == name) else {
                    return Err(Error::new(Code::Internal, format!("the type of {name} was not given")));
                };
                let on = On { name, schema: &columns[column].1, asked: self };
                let leaf = |(test, missing): Leaf| Node::Leaf { column, test, missing };
                match self {
                    Self::Between { low, high, inclusive, .. } => {
                        let (left, right) = match inclusive {
                            Inclusive::Both => (CmpOp::Ge, CmpOp::Le),
                            Inclusive::Neither => (CmpOp::Gt, CmpOp::Lt),
                            Inclusive::Left => (CmpOp::Ge, CmpOp::Lt),
                            Inclusive::Right => (CmpOp::Gt, CmpOp::Le),
                        };
                        let (a, b) = (leaf(on.compare(left, low)?), leaf(on.compare(right, high)?));
                        Ok(Node::And(Box::new(a), Box::new(b)))
                    }
                    Self::NotNa(_) => Ok(Node::Not(Box::new(leaf(on.is_na()?)))),
                    _ => on.leaf().map(leaf),
                }
            }
        }
    }
}

/// One predicate on one column.
struct On<'a> {
    name: &'a ColumnRef,
    schema: &'a ColumnSchema,
    asked: &'a Expr,
}

impl On<'_> {
    fn refuse(&self, help: impl Into<String>) -> Error {
        Error::new(
            Code::Expression,
            format!("`{}` does not work on a column of type {}", self.asked, self.schema),
        )
        .element(self.name.path.clone())
        .help(help)
    }

    fn leaf(&self) -> Result<Leaf> {
        let on_text = |help: &str| self.refuse(help);
        match self.asked {
            Expr::Column(_) => match self.schema {
                ColumnSchema::Bool => Ok((Test::Number(truth()), Some(false))),
                ColumnSchema::NullableBoolean => Ok((Test::Number(truth()), None)),
                _ => Err(on_text("Only a boolean column is a condition by itself: compare it with a value")),
            },
            Expr::Cmp { op, value, .. } => self.compare(*op, value),
            Expr::IsIn { values, .. } => self.is_in(values),
            Expr::IsNa(_) => self.is_na(),
            Expr::StartsWith { prefix, .. } => self.text(&StrTest::StartsWith(prefix.clone())),
            Expr::EndsWith { suffix, .. } => self.text(&StrTest::EndsWith(suffix.clone())),
            Expr::Contains { pattern, regex, case, .. } => {
                // Columns of plain strings are `object` in pandas, names and the others are `str`.
                let folds = *self.schema != ColumnSchema::Strings || self.name.column.is_none();
                let test = StrTest::contains(pattern, *regex, *case, folds);
                self.text(&test.map_err(|e| e.element(self.name.path.clone()))?)
            }
            _ => Err(Error::new(Code::Internal, "a compound expression is not a test")),
        }
    }

    /// The answer where nothing can be equal: false for `==`, true for `!=`; there is no order.
    fn unequal(&self, op: CmpOp, missing: Option<bool>) -> Result<Leaf> {
        if op.is_ordering() {
            let kind = match self.schema {
                ColumnSchema::Numeric(_)
                | ColumnSchema::Bool
                | ColumnSchema::NullableInteger(_)
                | ColumnSchema::NullableBoolean => "a number",
                _ => "a string",
            };
            return Err(self.refuse(format!("Compare it with {kind}, or with == and !=")));
        }
        Ok((Test::Always(op == CmpOp::Ne), missing))
    }

    fn compare(&self, op: CmpOp, value: &Literal) -> Result<Leaf> {
        let ne = op == CmpOp::Ne;
        let numbers = |dtype: &DataType| NumTest::compare(dtype, op, value).map(Test::Number);
        match self.schema {
            ColumnSchema::Numeric(dtype) => match (numbers(dtype), value) {
                (Some(test), _) => Ok((test, Some(ne))),
                (None, Literal::Null | Literal::Na) => Ok((Test::Always(ne), Some(ne))),
                (None, _) => self.unequal(op, Some(ne)),
            },
            ColumnSchema::Bool => match (numbers(&DataType::Bool), value) {
                (Some(test), _) => Ok((test, Some(ne))),
                (None, Literal::Null | Literal::Na) => Ok((Test::Always(ne), Some(ne))),
                (None, _) => self.unequal(op, Some(ne)),
            },
            ColumnSchema::NullableInteger(_) | ColumnSchema::NullableBoolean => {
                let dtype =
                    if let ColumnSchema::NullableInteger(d) = self.schema { d } else { &DataType::Bool };
                match (numbers(dtype), value) {
                    (Some(test), _) => Ok((test, None)),
                    (None, Literal::Na) => Ok((Test::Na, None)),
                    (None, _) => self.unequal(op, None),
                }
            }
            ColumnSchema::Strings | ColumnSchema::NullableString { .. } => {
                let na = *self.schema == ColumnSchema::NullableString { nan: false };
                let missing = if na { None } else { Some(ne) };
                match value {
                    Literal::Str(text) => Ok((Test::Str(StrTest::Compare(op, text.clone())), missing)),
                    other if other.is_null() => Ok((if na { Test::Na } else { Test::Always(ne) }, missing)),
                    _ => self.unequal(op, missing),
                }
            }
            ColumnSchema::Categorical { categories, ordered } => {
                self.compare_codes(categories, *ordered, op, value)
            }
            ColumnSchema::Time(_) => Err(self.refuse("Only isna() and notna() work on times")),
            ColumnSchema::Other(_) => Err(self.refuse("Load the column and make a mask from it")),
        }
    }

    fn compare_codes(
        &self,
        categories: &CategoryValues,
        ordered: bool,
        op: CmpOp,
        value: &Literal,
    ) -> Result<Leaf> {
        let equal = self.equal_categories(categories, std::slice::from_ref(value), false)?;
        let lookup = match op {
            CmpOp::Eq => equal,
            CmpOp::Ne => equal.into_iter().map(|x| !x).collect(),
            _ if !ordered => {
                return Err(self.refuse("Its categories have no order: use == and !=, or isin([...])"));
            }
            _ => {
                let Some(at) = equal.iter().position(|x| *x) else {
                    return Err(self
                        .refuse(format!("{value} is not one of its categories: compare with one of them")));
                };
                (0..equal.len())
                    .map(|i| match op {
                        CmpOp::Lt => i < at,
                        CmpOp::Le => i <= at,
                        CmpOp::Gt => i > at,
                        _ => i >= at,
                    })
                    .collect()
            }
        };
        Ok((Test::Codes(lookup), Some(op == CmpOp::Ne)))
    }

    /// Which categories equal one of the values. One value is looked up by its type (True is not 1); in a list it is as
    /// pandas' conversion of the list to an index has it.
    fn equal_categories(
        &self,
        categories: &CategoryValues,
        values: &[Literal],
        list: bool,
    ) -> Result<Vec<bool>> {
        let bools = values.iter().all(|v| matches!(v, Literal::Bool(_)));
        let numbers = |dtype: &DataType, bytes: Vec<u8>| -> Result<Vec<bool>> {
            if bools {
                return Ok(vec![false; categories.len()]);
            }
            let mask = NumTest::one_of(dtype, values).eval(dtype, &bytes)?;
            Ok((0..mask.len()).map(|i| mask.get(i) == Some(true)).collect())
        };
        match categories {
            CategoryValues::Strings { values: texts, .. } => {
                let StrTest::OneOf(set) = strings(values) else { return Ok(vec![false; texts.len()]) };
                Ok(texts.iter().map(|t| set.contains(t.as_bytes())).collect())
            }
            CategoryValues::Int(v) => {
                numbers(&DataType::Int(8), v.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            CategoryValues::UInt(v) => {
                numbers(&DataType::UInt(8), v.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            CategoryValues::Float(v) => {
                numbers(&DataType::Float(8), v.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            CategoryValues::Bool(v) => {
                if !list && !bools {
                    return Ok(vec![false; v.len()]);
                }
                let bytes: Vec<u8> = v.iter().map(|x| u8::from(*x)).collect();
                let mask = NumTest::one_of(&DataType::Bool, values).eval(&DataType::Bool, &bytes)?;
                Ok((0..mask.len()).map(|i| mask.get(i) == Some(true)).collect())
            }
            CategoryValues::Other { .. } => {
                Err(self.refuse("Only isna() and notna() work on such categories"))
            }
        }
    }

    fn is_in(&self, values: &[Literal]) -> Result<Leaf> {
        let has = |f: fn(&Literal) -> bool| values.iter().any(f);
        match self.schema {
            ColumnSchema::Numeric(dtype) => Ok((Test::Number(NumTest::one_of(dtype, values)), Some(false))),
            ColumnSchema::Bool => Ok((Test::Number(NumTest::one_of(&DataType::Bool, values)), Some(false))),
            ColumnSchema::NullableInteger(_) | ColumnSchema::NullableBoolean => {
                let dtype =
                    if let ColumnSchema::NullableInteger(d) = self.schema { d } else { &DataType::Bool };
                Ok((Test::Number(NumTest::one_of(dtype, values)), Some(has(|v| matches!(v, Literal::Na)))))
            }
            ColumnSchema::Strings => Ok((Test::Str(strings(values)), Some(false))),
            ColumnSchema::NullableString { .. } => {
                Ok((Test::Str(strings(values)), Some(has(Literal::is_null))))
            }
            ColumnSchema::Categorical { categories, .. } => {
                let lookup = self.equal_categories(categories, values, true)?;
                Ok((Test::Codes(lookup), Some(has(Literal::is_null))))
            }
            ColumnSchema::Time(_) => Err(self.refuse("Only isna() and notna() work on times")),
            ColumnSchema::Other(_) => Err(self.refuse("Load the column and make a mask from it")),
        }
    }

    fn is_na(&self) -> Result<Leaf> {
        let test = match self.schema {
            ColumnSchema::Numeric(DataType::Float(_)) => Test::Number(NumTest::IsNan),
            ColumnSchema::Time(_) => Test::IsNat,
            ColumnSchema::Categorical { categories, .. } => Test::Codes(vec![false; categories.len()]),
            ColumnSchema::Other(_) => return Err(self.refuse("Load the column and make a mask from it")),
            _ => Test::Always(false),
        };
        Ok((test, Some(true)))
    }

    fn text(&self, test: &StrTest) -> Result<Leaf> {
        match self.schema {
            ColumnSchema::Strings | ColumnSchema::NullableString { nan: true } => {
                Ok((Test::Str(test.clone()), Some(false)))
            }
            ColumnSchema::NullableString { nan: false } => Ok((Test::Str(test.clone()), None)),
            ColumnSchema::Categorical { categories: CategoryValues::Strings { values, na }, .. } => {
                let lookup = values.iter().map(|v| test.eval(v.as_bytes())).collect::<Result<_>>()?;
                Ok((Test::Codes(lookup), if *na { None } else { Some(false) }))
            }
            _ => Err(self
                .refuse("`.str` works on columns of strings; compare numbers with ==, <, isin or between")),
        }
    }
}

/// True booleans.
fn truth() -> NumTest {
    NumTest::Unsigned { lo: 1, hi: 1, negate: false }
}

/// One of the strings among the values.
fn strings(values: &[Literal]) -> StrTest {
    let text = |v: &Literal| if let Literal::Str(s) = v { Some(s.clone().into_bytes()) } else { None };
    StrTest::OneOf(values.iter().filter_map(text).collect())
}
