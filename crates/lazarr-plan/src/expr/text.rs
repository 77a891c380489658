//! An expression as a person would type it.

use std::fmt;

use super::{ColumnRef, Expr, Inclusive, Literal};

/// More values of `isin` are not shown.
const SHOWN: usize = 8;

/// A string as Python would show it, in double quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\r' => f.write_str("\\r")?,
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl fmt::Display for ColumnRef {
    /// `obs["cell_type"]`, `obs_names`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = |path: &str| path.rsplit_once('/').map_or(path, |p| p.0).replace('/', ".");
        match &self.column {
            None => write!(f, "{}_names", parent(&self.path)),
            Some(name) => {
                let table = self.path.strip_suffix(name.as_str()).and_then(|p| p.strip_suffix('/'));
                let table = table.map_or_else(|| parent(&self.path), |t| t.replace('/', "."));
                write!(f, "{table}[{}]", Quoted(name))
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Na => f.write_str("pd.NA"),
            Self::Bool(x) => f.write_str(if *x { "True" } else { "False" }),
            Self::Int(x) => write!(f, "{x}"),
            Self::Float(x) | Self::Float64(x) if x.is_nan() => f.write_str("nan"),
            Self::Float(x) | Self::Float64(x) => write!(f, "{x:?}"),
            Self::Str(x) => write!(f, "{}", Quoted(x)),
        }
    }
}

/// `"a"`, or `("a", "b")`.
fn words(f: &mut fmt::Formatter<'_>, words: &[String]) -> fmt::Result {
    if let [one] = words {
        return write!(f, "{}", Quoted(one));
    }
    let shown: Vec<_> = words.iter().map(|w| Quoted(w).to_string()).collect();
    write!(f, "({})", shown.join(", "))
}

/// A part of a compound expression, in parentheses unless it is a call or a column.
fn part(f: &mut fmt::Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr {
        Expr::Cmp { .. } | Expr::And(..) | Expr::Or(..) | Expr::Xor(..) => write!(f, "({expr})"),
        _ => write!(f, "{expr}"),
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => write!(f, "{column}"),
            Self::Cmp { column, op, value } => write!(f, "{column} {} {value}", op.symbol()),
            Self::IsIn { column, values } => {
                let shown: Vec<_> = values.iter().take(SHOWN).map(ToString::to_string).collect();
                let rest = if values.len() > SHOWN {
                    format!(", … {} in all", values.len())
                } else {
                    String::new()
                };
                write!(f, "{column}.isin([{}{rest}])", shown.join(", "))
            }
            Self::IsNa(column) => write!(f, "{column}.isna()"),
            Self::NotNa(column) => write!(f, "{column}.notna()"),
            Self::Between { column, low, high, inclusive } => {
                let inclusive = match inclusive {
                    Inclusive::Both => "",
                    Inclusive::Neither => ", inclusive=\"neither\"",
                    Inclusive::Left => ", inclusive=\"left\"",
                    Inclusive::Right => ", inclusive=\"right\"",
                };
                write!(f, "{column}.between({low}, {high}{inclusive})")
            }
            Self::StartsWith { column, prefix } => {
                write!(f, "{column}.str.startswith(")?;
                words(f, prefix)?;
                f.write_str(")")
            }
            Self::EndsWith { column, suffix } => {
                write!(f, "{column}.str.endswith(")?;
                words(f, suffix)?;
                f.write_str(")")
            }
            Self::Contains { column, pattern, regex, case } => {
                let case = if *case { "" } else { ", case=False" };
                let regex = if *regex { "" } else { ", regex=False" };
                write!(f, "{column}.str.contains({}{case}{regex})", Quoted(pattern))
            }
            Self::And(a, b) | Self::Or(a, b) | Self::Xor(a, b) => {
                part(f, a)?;
                f.write_str(match self {
                    Self::And(..) => " & ",
                    Self::Or(..) => " | ",
                    _ => " ^ ",
                })?;
                part(f, b)
            }
            Self::Not(a) => {
                f.write_str("~")?;
                part(f, a)
            }
        }
    }
}
