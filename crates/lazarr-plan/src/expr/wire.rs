//! Expressions as JSON, for pickling and the command line.
//!
//! The tree is written in postfix order as one flat list, so that neither a long chain of `|` nor a hostile text can
//! exhaust a parser's stack.

use lazarr_format::{Code, Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{CmpOp, ColumnRef, Expr, Inclusive, Literal};

/// More nodes than this are not read.
const MAX_NODES: usize = 100_000;

/// Numbers as text: JSON has no NaN, no infinities, and no integers beyond 64 bits that every reader keeps.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<T: ToString, S: Serializer>(x: &T, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&x.to_string())
    }

    pub(in super::super) fn deserialize<'de, T: std::str::FromStr, D: Deserializer<'de>>(
        d: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| de::Error::custom(format!("`{text}` is not a number")))
    }
}

/// One node; `and`, `or`, `xor` and `not` take the nodes before them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Node {
    Column { column: ColumnRef },
    Cmp { column: ColumnRef, op: CmpOp, value: Literal },
    IsIn { column: ColumnRef, values: Vec<Literal> },
    IsNa { column: ColumnRef },
    NotNa { column: ColumnRef },
    Between { column: ColumnRef, low: Literal, high: Literal, inclusive: Inclusive },
    StartsWith { column: ColumnRef, prefix: Vec<String> },
    EndsWith { column: ColumnRef, suffix: Vec<String> },
    Contains { column: ColumnRef, pattern: String, regex: bool, case: bool },
    And,
    Or,
    Xor,
    Not,
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // Prefix order with the right side first, turned round, is postfix order.
        let mut nodes = Vec::new();
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            let node = match expr.clone_leaf() {
                Some(node) => node,
                None => match expr {
                    Self::And(a, b) | Self::Or(a, b) | Self::Xor(a, b) => {
                        open.extend([&**a, &**b]);
                        match expr {
                            Self::And(..) => Node::And,
                            Self::Or(..) => Node::Or,
                            _ => Node::Xor,
                        }
                    }
                    Self::Not(a) => {
                        open.push(a);
                        Node::Not
                    }
                    _ => continue,
                },
            };
            nodes.push(node);
        }
        nodes.reverse();
        nodes.serialize(s)
    }
}

impl Expr {
    fn clone_leaf(&self) -> Option<Node> {
        Some(match self.clone_if_leaf()? {
            Self::Column(column) => Node::Column { column },
            Self::Cmp { column, op, value } => Node::Cmp { column, op, value },
            Self::IsIn { column, values } => Node::IsIn { column, values },
            Self::IsNa(column) => Node::IsNa { column },
            Self::NotNa(column) => Node::NotNa { column },
            Self::Between { column, low, high, inclusive } => Node::Between { column, low, high, inclusive },
            Self::StartsWith { column, prefix } => Node::StartsWith { column, prefix },
            Self::EndsWith { column, suffix } => Node::EndsWith { column, suffix },
            Self::Contains { column, pattern, regex, case } => {
                Node::Contains { column, pattern, regex, case }
            }
            Self::And(..) | Self::Or(..) | Self::Xor(..) | Self::Not(_) => return None,
        })
    }

    fn clone_if_leaf(&self) -> Option<Self> {
        self.column().map(|_| self.clone())
    }

    /// The expression as JSON, for [`Expr::from_json`].
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::new(Code::Internal, "an expression cannot be written as JSON").source(e))
    }

    /// The expression that [`Expr::to_json`] wrote. Errors with `Expression` where the text is not one.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::new(Code::Expression, "the text is not an expression in JSON").source(e))
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let nodes = Vec::<Node>::deserialize(d)?;
        if nodes.len() > MAX_NODES {
            return Err(de::Error::custom(format!("more than {MAX_NODES} nodes")));
        }
        let mut stack: Vec<(Self, usize)> = Vec::new();
        for node in nodes {
            let mut pop = || stack.pop().ok_or_else(|| de::Error::custom("an operator without its operands"));
            let (expr, depth) = match node {
                Node::And | Node::Or | Node::Xor => {
                    let (b, a) = (pop()?, pop()?);
                    let depth = a.1.max(b.1) + 1;
                    let (a, b) = (Box::new(a.0), Box::new(b.0));
                    let expr = match node {
                        Node::And => Self::And(a, b),
                        Node::Or => Self::Or(a, b),
                        _ => Self::Xor(a, b),
                    };
                    (expr, depth)
                }
                Node::Not => {
                    let a = pop()?;
                    (Self::Not(Box::new(a.0)), a.1 + 1)
                }
                Node::Column { column } => (Self::Column(column), 1),
                Node::Cmp { column, op, value } => (Self::Cmp { column, op, value }, 1),
                Node::IsIn { column, values } => (Self::IsIn { column, values }, 1),
                Node::IsNa { column } => (Self::IsNa(column), 1),
                Node::NotNa { column } => (Self::NotNa(column), 1),
                Node::Between { column, low, high, inclusive } => {
                    (Self::Between { column, low, high, inclusive }, 1)
                }
                Node::StartsWith { column, prefix } => (Self::StartsWith { column, prefix }, 1),
                Node::EndsWith { column, suffix } => (Self::EndsWith { column, suffix }, 1),
                Node::Contains { column, pattern, regex, case } => {
                    (Self::Contains { column, pattern, regex, case }, 1)
                }
            };
            if depth > Self::MAX_DEPTH {
                return Err(de::Error::custom(format!("nested more than {} deep", Self::MAX_DEPTH)));
            }
            stack.push((expr, depth));
        }
        match (stack.pop(), stack.is_empty()) {
            (Some((expr, _)), true) => Ok(expr),
            _ => Err(de::Error::custom("not one expression")),
        }
    }
}
