//! Queries as text: `cell_type == 'T cell' and n_genes > 500`.
//!
//! The language is a small part of what `pandas.DataFrame.query` takes:
//!
//! ```text
//! query       any ("or" any | "|" any)…            "and"/"&" bind tighter, "not" tighter still
//! condition   value op value [op value]            ==  !=  <  <=  >  >=; one side is a column
//!             column [not] in [value, …]           also column == [value, …]
//!             column.isna()  .notna()  .isin([…])  .between(low, high, inclusive="left")
//!             column.str.startswith("x")  .str.endswith("x")  .str.contains("x", case=False, regex=False)
//!             column                               a boolean column
//!             not condition   ~column   ~(…)   (query)
//! column      a name, or anything in backticks: `n-genes`
//! value       'text'  "text"  5  -0.5  1e3  True  False  None
//! ```
//!
//! Nothing is evaluated: there are no variables, no arithmetic, and columns are not compared with columns.

use lazarr_format::{Code, Error, Result};

use super::lex::{Token, Word, refuse, words};
use super::{CmpOp, ColumnRef, Expr, Inclusive, Literal};

/// Tells the column of a name.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<ColumnRef>;

impl Expr {
    /// No query has more bytes than this.
    pub const MAX_TEXT: usize = 64 << 10;
    /// No query has more conditions and nested parts than this.
    pub const MAX_PARTS: usize = 500;

    /// A predicate from the text of a query; `column` tells which column a name is. Every error has the code
    /// `Expression` (or that of `column`) and points at its place in the text.
    ///
    /// ```
    /// use lazarr_plan::expr::{AxisId, ColumnRef, Expr};
    /// let column = |name: &str| Ok(ColumnRef::new(AxisId(1), format!("obs/{name}"), Some(name)));
    /// let expr = Expr::parse("cell_type in ['T', 'B'] and not n_genes < 500", &column)?;
    /// assert_eq!(expr.to_string(), r#"obs["cell_type"].isin(["T", "B"]) & ~(obs["n_genes"] < 500)"#);
    /// # Ok::<(), lazarr_format::Error>(())
    /// ```
    pub fn parse(text: &str, column: Resolve<'_>) -> Result<Self> {
        if text.len() > Self::MAX_TEXT {
            return Err(Error::new(Code::Expression, "the query is too long")
                .expected(format!("at most {} bytes", Self::MAX_TEXT))
                .found(text.len().to_string())
                .help("Many values of one column are one condition: column in [...]"));
        }
        let words = words(text)?;
        let mut parser = Parser { text, words: &words, at: 0, column, parts: 0, depth: 0 };
        let expr = parser.any()?;
        match parser.peek() {
            None => Ok(expr),
            Some(_) => Err(parser.refuse("expected `and`, `or` or the end")),
        }
    }
}

/// Parts in parts.
const DEPTH: usize = 64;

struct Parser<'a> {
    text: &'a str,
    words: &'a [Word],
    at: usize,
    column: Resolve<'a>,
    parts: usize,
    depth: usize,
}

/// One side of a comparison.
enum Operand {
    Column(ColumnRef),
    Value(Literal),
    Values(Vec<Literal>),
    /// A call: a condition already.
    Done(Expr),
}

/// What stands between the parentheses of a call.
#[derive(Default)]
struct Arguments {
    values: Vec<Operand>,
    named: Vec<(String, Literal)>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.words.get(self.at).map(|w| &w.token)
    }

    fn place(&self) -> usize {
        self.words.get(self.at).map_or(self.text.len(), |w| w.at.start)
    }

    fn refuse(&self, what: impl Into<String>) -> Error {
        refuse(self.text, self.place(), what)
    }

    fn take(&mut self, symbols: &[&str]) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Symbol(s) | Token::Keyword(s)) if symbols.contains(s) => {
                self.at += 1;
                Some(s)
            }
            _ => None,
        }
    }

    fn need(&mut self, symbol: &str) -> Result<()> {
        match self.take(&[symbol]) {
            Some(_) => Ok(()),
            None => Err(self.refuse(format!("expected `{symbol}`"))),
        }
    }

    /// Counts what makes the expression larger: what walks it is recursive.
    fn count(&mut self) -> Result<()> {
        self.parts += 1;
        if self.parts > Expr::MAX_PARTS {
            return Err(self
                .refuse(format!("it has more than {} parts", Expr::MAX_PARTS))
                .help("Many values of one column are one condition: column in [...]"));
        }
        Ok(())
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.count()?;
        if self.depth >= DEPTH {
            return Err(self.refuse(format!("it is nested more than {DEPTH} deep")));
        }
        self.depth += 1;
        let out = inner(self);
        self.depth -= 1;
        out
    }

    fn any(&mut self) -> Result<Expr> {
        let mut left = self.all()?;
        while self.take(&["or", "|", "||"]).is_some() {
            self.count()?;
            left = left.or(self.all()?);
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.take(&["and", "&", "&&"]).is_some() {
            self.count()?;
            left = left.and(self.not()?);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        if self.take(&["not"]).is_some() {
            return self.nested(|p| Ok(p.not()?.not()));
        }
        if self.take(&["~"]).is_some() {
            let expr = self.nested(Self::inverted)?;
            // In Python `~a == b` is `(~a) == b`, which nobody means.
            if self.comparison().is_some() {
                return Err(self.refuse("`~` binds to the column alone").help("Write ~(column == value)"));
            }
            return Ok(expr.not());
        }
        self.condition()
    }

    /// What `~` may stand before.
    fn inverted(&mut self) -> Result<Expr> {
        if self.take(&["~"]).is_some() {
            return self.nested(|p| Ok(p.inverted()?.not()));
        }
        if self.take(&["("]).is_some() {
            let inner = self.nested(Self::any)?;
            self.need(")")?;
            return Ok(inner);
        }
        let start = self.place();
        match self.operand()? {
            Operand::Column(column) => Ok(Expr::Column(column)),
            Operand::Done(expr) => Ok(expr),
            _ => Err(refuse(self.text, start, "expected a column or a condition after `~`")),
        }
    }

    /// The comparison that comes next, which is not taken.
    fn comparison(&self) -> Option<CmpOp> {
        Some(match self.peek()? {
            Token::Symbol("==") => CmpOp::Eq,
            Token::Symbol("!=") => CmpOp::Ne,
            Token::Symbol("<") => CmpOp::Lt,
            Token::Symbol("<=") => CmpOp::Le,
            Token::Symbol(">") => CmpOp::Gt,
            Token::Symbol(">=") => CmpOp::Ge,
            _ => return None,
        })
    }

    fn condition(&mut self) -> Result<Expr> {
        if self.take(&["("]).is_some() {
            let inner = self.nested(Self::any)?;
            self.need(")")?;
            return Ok(inner);
        }
        let start = self.place();
        let left = self.operand()?;
        let negated = matches!(
            self.words.get(self.at..self.at + 2),
            Some([Word { token: Token::Keyword("not"), .. }, Word { token: Token::Keyword("in"), .. }])
        );
        self.at += usize::from(negated);
        if self.take(&["in"]).is_some() {
            let Operand::Column(column) = left else {
                return Err(refuse(self.text, start, "expected a column before `in`"));
            };
            let place = self.place();
            let Operand::Values(values) = self.operand()? else {
                return Err(refuse(self.text, place, "expected a list after `in`: ['a', 'b']"));
            };
            let expr = Expr::IsIn { column, values };
            return Ok(if negated { expr.not() } else { expr });
        }
        let Some(mut op) = self.comparison() else {
            return match left {
                Operand::Column(column) => Ok(Expr::Column(column)),
                Operand::Done(expr) => Ok(expr),
                _ => Err(self.refuse("expected a comparison: ==, !=, <, <=, >, >= or in")),
            };
        };
        // `500 < n_genes < 1000` is both.
        let (mut left, mut start) = (left, start);
        let mut out: Option<Expr> = None;
        loop {
            self.at += 1;
            let place = self.place();
            let right = self.operand()?;
            let next = self.comparison();
            let again = next.is_some().then(|| right.again()).flatten();
            let one = self.compare(left, op, right, start)?;
            out = Some(match out {
                None => one,
                Some(before) => before.and(one),
            });
            match (next, again, out) {
                (None, _, Some(done)) => return Ok(done),
                (Some(following), Some(middle), so_far) => {
                    self.count()?;
                    (op, left, start, out) = (following, middle, place, so_far);
                }
                _ => return Err(self.refuse("this cannot be compared further")),
            }
        }
    }

    fn compare(&self, left: Operand, op: CmpOp, right: Operand, start: usize) -> Result<Expr> {
        let flipped = match op {
            CmpOp::Lt => CmpOp::Gt,
            CmpOp::Le => CmpOp::Ge,
            CmpOp::Gt => CmpOp::Lt,
            CmpOp::Ge => CmpOp::Le,
            same => same,
        };
        match (left, right) {
            (Operand::Column(column), Operand::Value(value)) => Ok(Expr::Cmp { column, op, value }),
            (Operand::Value(value), Operand::Column(column)) => Ok(Expr::Cmp { column, op: flipped, value }),
            // As pandas' query has it.
            (Operand::Column(column), Operand::Values(values)) if op == CmpOp::Eq => {
                Ok(Expr::IsIn { column, values })
            }
            (Operand::Column(column), Operand::Values(values)) if op == CmpOp::Ne => {
                Ok(Expr::IsIn { column, values }.not())
            }
            (Operand::Column(_), Operand::Column(_)) => {
                Err(refuse(self.text, start, "a column is compared with a value, not with a column")
                    .help("Text stands in quotes: cell_type == 'T cell'"))
            }
            _ => Err(refuse(self.text, start, "expected a comparison of a column with a value")),
        }
    }

    fn operand(&mut self) -> Result<Operand> {
        if let Some(Token::Name(name)) = self.peek() {
            let place = self.place();
            self.at += 1;
            let column = (self.column)(name).map_err(|e| {
                // Where it is in the text; what is wrong with it, the error says.
                let characters = self.text[..place].chars().count() + 1;
                let found = format!("`{name}`, at character {characters} of the query");
                e.found(found)
            })?;
            if self.take(&["."]).is_some() {
                return self.method(column).map(Operand::Done);
            }
            if self.peek() == Some(&Token::Symbol("=")) {
                return Err(self.refuse("`=` is no comparison").help("Write =="));
            }
            return Ok(Operand::Column(column));
        }
        if let Some(open) = self.take(&["[", "("]) {
            let close = if open == "[" { "]" } else { ")" };
            let mut values = Vec::new();
            while self.take(&[close]).is_none() {
                values.push(self.literal()?);
                if self.take(&[","]).is_none() {
                    self.need(close)?;
                    break;
                }
            }
            return Ok(Operand::Values(values));
        }
        self.literal().map(Operand::Value)
    }

    fn literal(&mut self) -> Result<Literal> {
        let negative = self.take(&["-"]).is_some();
        let value = match self.peek() {
            Some(Token::Int(i)) => Literal::Int(if negative { -i } else { *i }),
            Some(Token::Float(x)) => Literal::Float(if negative { -x } else { *x }),
            Some(Token::Str(s)) if !negative => Literal::Str(s.clone()),
            Some(Token::Keyword("True")) if !negative => Literal::Bool(true),
            Some(Token::Keyword("False")) if !negative => Literal::Bool(false),
            Some(Token::Keyword("None")) if !negative => Literal::Null,
            Some(Token::Name(_)) => {
                return Err(self.refuse("expected a value").help("Text stands in quotes: 'T cell'"));
            }
            None => return Err(self.refuse("it ends where a value or a column is expected")),
            Some(_) => return Err(self.refuse("expected a value or a column")),
        };
        self.at += 1;
        Ok(value)
    }

    fn word(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => Err(self.refuse("expected a name after `.`")),
        }
    }

    fn method(&mut self, column: ColumnRef) -> Result<Expr> {
        const KNOWN: &str = "isna, notna, isin, between, str.startswith, str.endswith, str.contains";
        let start = self.place();
        let mut name = self.word()?;
        if name == "str" {
            self.need(".")?;
            name = format!("str.{}", self.word()?);
        }
        self.need("(")?;
        let mut given = self.arguments()?;
        let wrong = |what: &str| refuse(self.text, start, format!("{name} {what}"));
        let text = |given: &mut Arguments| match given.values.pop() {
            Some(Operand::Value(Literal::Str(s))) => Ok(vec![s]),
            Some(Operand::Values(values)) => values
                .into_iter()
                .map(|v| if let Literal::Str(s) = v { Ok(s) } else { Err(wrong("takes strings")) })
                .collect(),
            _ => Err(wrong("takes a string")),
        };
        let one = given.values.len() == 1;
        let plain = given.named.is_empty();
        Ok(match name.as_str() {
            "isna" | "isnull" if given.values.is_empty() && plain => Expr::IsNa(column),
            "notna" | "notnull" if given.values.is_empty() && plain => Expr::NotNa(column),
            "isin" if one && plain => match given.values.pop() {
                Some(Operand::Values(values)) => Expr::IsIn { column, values },
                _ => return Err(wrong("takes a list")),
            },
            "between" => {
                let (Some(Operand::Value(high)), Some(Operand::Value(low)), true) =
                    (given.values.pop(), given.values.pop(), given.values.is_empty())
                else {
                    return Err(wrong("takes two values"));
                };
                let inclusive = match given.named.as_slice() {
                    [] => Inclusive::Both,
                    [(n, Literal::Str(s))] if n == "inclusive" => match s.as_str() {
                        "both" => Inclusive::Both,
                        "neither" => Inclusive::Neither,
                        "left" => Inclusive::Left,
                        "right" => Inclusive::Right,
                        _ => return Err(wrong("takes inclusive: both, neither, left or right")),
                    },
                    _ => return Err(wrong("takes two values and inclusive")),
                };
                Expr::Between { column, low, high, inclusive }
            }
            "str.startswith" if one && plain => Expr::StartsWith { column, prefix: text(&mut given)? },
            "str.endswith" if one && plain => Expr::EndsWith { column, suffix: text(&mut given)? },
            "str.contains" if one => {
                let Some(Operand::Value(Literal::Str(pattern))) = given.values.pop() else {
                    return Err(wrong("takes a string"));
                };
                let (mut case, mut regex) = (true, true);
                for (option, value) in &given.named {
                    match (option.as_str(), value) {
                        ("case", Literal::Bool(b)) => case = *b,
                        ("regex", Literal::Bool(b)) => regex = *b,
                        _ => return Err(wrong("takes case and regex, True or False")),
                    }
                }
                Expr::Contains { column, pattern, regex, case }
            }
            "isna" | "isnull" | "notna" | "notnull" => return Err(wrong("takes no arguments")),
            "isin" | "str.startswith" | "str.endswith" | "str.contains" => {
                return Err(wrong("takes one argument"));
            }
            _ => {
                return Err(wrong("is not among the methods of a column").expected(format!("one of {KNOWN}")));
            }
        })
    }

    /// The arguments of a call, after its parenthesis.
    fn arguments(&mut self) -> Result<Arguments> {
        let mut out = Arguments::default();
        while self.take(&[")"]).is_none() {
            let named = match self.words.get(self.at..self.at + 2) {
                Some([Word { token: Token::Name(name), .. }, Word { token: Token::Symbol("="), .. }]) => {
                    Some(name.clone())
                }
                _ => None,
            };
            if let Some(name) = named {
                self.at += 2;
                out.named.push((name, self.literal()?));
            } else if matches!(self.peek(), Some(Token::Name(_))) {
                return Err(self.refuse("expected a value").help("Text stands in quotes: 'T cell'"));
            } else {
                out.values.push(self.operand()?);
            }
            if self.take(&[","]).is_none() {
                self.need(")")?;
                break;
            }
        }
        Ok(out)
    }
}

impl Operand {
    /// The middle of a chain once more.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Column(c) => Some(Self::Column(c.clone())),
            Self::Value(v) => Some(Self::Value(v.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
