//! What two stores say that is not the same: values, not layouts.
//!
//! Both trees are walked together. Of each pair of arrays, rows come block by block, within the memory limit: of the one by a
//! stream, of the other by the same positions. NaN is equal to NaN, categoricals are what their codes stand for, sparse
//! matrices what is not zero in them, however it is stored.

#![allow(clippy::many_single_char_names, reason = "of everything there are two: a and b, x and y")]

mod items;

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Error, Result};

use crate::axis::Step;
use crate::call::Call;
use crate::lazy::Lazy;
use crate::ledger::{Budget, Ledger};
use crate::memory::default_limit;
use crate::session::Session;
use items::Found;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path of the element.
    pub element: String,
    /// What differs: `only in the first`, `only in the second`, `kind`, `shape`, `type`, `order`, `values`, `unreadable`.
    pub what: &'static str,
    /// What the first says.
    pub first: String,
    /// What the second says.
    pub second: String,
    /// Of values, the first position that differs.
    pub at: Vec<u64>,
    /// Of values, how many differ.
    pub count: u64,
}

/// How stores are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiffOptions {
    /// Categories and codes, formats of sparse matrices and the order of columns count too.
    pub strict: bool,
}

/// All that differs between two stores, in the order of the first.
///
/// Errors: those of reading.
///
/// ```no_run
/// use lazarr::diff::{DiffOptions, diff};
/// use lazarr::{Call, Options, Session};
/// let (a, b) = (Session::open("a.zarr", Options::default())?, Session::open("b.zarr", Options::default())?);
/// for d in diff(&a, &b, DiffOptions::default(), &Call::default())? {
///     println!("{}: {} ({} and {})", d.element, d.what, d.first, d.second);
/// }
/// # Ok::<(), lazarr::Error>(())
/// ```
pub fn diff(
    a: &Arc<Session>,
    b: &Arc<Session>,
    options: DiffOptions,
    call: &Call<'_>,
) -> Result<Vec<Difference>> {
    let limit = call.memory_limit.unwrap_or_else(default_limit);
    let budget = Budget::new(Ledger::process(), limit, call.meter.clone().unwrap_or_default());
    let mut walk = Walk { sessions: [a, b], strict: options.strict, call, budget, found: Vec::new() };
    walk.pair("", a.root(), b.root())?;
    Ok(walk.found)
}

struct Walk<'w> {
    sessions: [&'w Arc<Session>; 2],
    strict: bool,
    call: &'w Call<'w>,
    budget: Budget,
    found: Vec<Difference>,
}

/// What an element is to who compares.
fn kind(element: &Element, strict: bool) -> String {
    match &element.body {
        Body::AnnData(_) => "anndata".into(),
        Body::Raw(_) => "raw".into(),
        Body::Dict(_) => "mapping".into(),
        Body::DataFrame(_) => "table".into(),
        Body::Sparse(s) if strict => format!("{} matrix", s.format.name()),
        Body::Sparse(_) => "matrix".into(),
        Body::Dense(a) if a.shape.len() == 2 && !strict => "matrix".into(),
        Body::Dense(_) => "array".into(),
        Body::Strings(_) => "strings".into(),
        Body::Scalar(_) => "scalar".into(),
        Body::Null => "null".into(),
        Body::Categorical(c) if strict && c.ordered => "ordered categorical".into(),
        Body::Categorical(_) => "categorical".into(),
        Body::Nullable(n) => format!("nullable {:?}", n.kind).to_lowercase(),
        Body::Awkward(_) => "awkward array".into(),
        Body::Joined(j) => j.what(),
        // What a later version of the tree knows.
        _ => "unreadable".into(),
    }
}

fn dtype(lazy: &Lazy) -> Option<String> {
    match &lazy.element().body {
        // Codes are as wide as they must be; text of old writers has a width.
        Body::Categorical(_) | Body::Scalar(_) => None,
        _ => lazy.dtype().map(|d| d.to_string()),
    }
}

impl Walk<'_> {
    fn say(&mut self, element: &str, what: &'static str, first: String, second: String) {
        let element = if element.is_empty() { "/" } else { element }.to_owned();
        self.found.push(Difference { element, what, first, second, at: Vec::new(), count: 0 });
    }

    fn pair(&mut self, path: &str, x: &Element, y: &Element) -> Result<()> {
        let (left, right) = (kind(x, self.strict), kind(y, self.strict));
        if let (Body::Broken(e), _) | (_, Body::Broken(e)) = (&x.body, &y.body) {
            self.say(path, "unreadable", left, format!("{right}: {e}"));
            return Ok(());
        }
        if left != right {
            self.say(path, "kind", left, right);
            return Ok(());
        }
        if matches!(x.body, Body::AnnData(_) | Body::Raw(_) | Body::Dict(_) | Body::DataFrame(_)) {
            return self.children(path, x, y);
        }
        let [a, b] = self.sessions;
        let whole = self.values(&Lazy::new(a, x), &Lazy::new(b, y), path);
        whole.map_err(|e| e.element(path))
    }

    fn children(&mut self, path: &str, x: &Element, y: &Element) -> Result<()> {
        // The index of a table has a name of its own in each.
        let names = |e: &Element| -> Vec<(String, Element)> {
            let index = match &e.body {
                Body::DataFrame(f) if !self.strict => Some(f.index_key.clone()),
                _ => None,
            };
            let of =
                |(n, e): (String, Element)| (if Some(&n) == index.as_ref() { "_index".into() } else { n }, e);
            e.children().into_iter().map(of).collect()
        };
        let (left, right) = (names(x), names(y));
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        // An empty mapping is as good as none.
        let is_empty = |e: &Element| matches!(&e.body, Body::Dict(c) if c.is_empty());
        for (name, child) in &left {
            match right.iter().find(|(n, _)| n == name) {
                Some((_, other)) => self.pair(&join(name), child, other)?,
                None if is_empty(child) => {}
                None => self.say(&join(name), "only in the first", kind(child, true), String::new()),
            }
        }
        for (name, child) in right.iter().filter(|(n, e)| !is_empty(e) && !left.iter().any(|(m, _)| m == n)) {
            self.say(&join(name), "only in the second", String::new(), kind(child, true));
        }
        let list =
            |all: &[(String, Element)]| all.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>().join(", ");
        if self.strict && matches!(x.body, Body::DataFrame(_)) && left.len() == right.len() {
            let (l, r) = (list(&left), list(&right));
            if l != r {
                self.say(path, "order", l, r);
            }
        }
        Ok(())
    }

    fn values(&mut self, x: &Lazy, y: &Lazy, path: &str) -> Result<()> {
        let shape = |l: &Lazy| l.element().shape().unwrap_or_default();
        if shape(x) != shape(y) {
            self.say(path, "shape", format!("{:?}", shape(x)), format!("{:?}", shape(y)));
            return Ok(());
        }
        if let (Some(l), Some(r)) = (dtype(x), dtype(y))
            && l != r
        {
            self.say(path, "type", l, r);
            return Ok(());
        }
        let mut found = Found::new(self.strict, &self.budget);
        let cut = !shape(x).is_empty() && !matches!(x.element().body, Body::Awkward(_));
        if cut {
            self.blocks(x, y, &mut found)?;
        } else {
            found.compare(&x.collect(self.call)?, &y.collect(self.call)?, [0, 0])?;
        }
        if found.count > 0 {
            let element = if path.is_empty() { "/" } else { path }.to_owned();
            let (first, second) = found.words;
            let (at, count) = (found.at, found.count);
            self.found.push(Difference { element, what: "values", first, second, at, count });
        }
        Ok(())
    }

    /// Blocks of the one, and the same of the other.
    fn blocks(&self, x: &Lazy, y: &Lazy, found: &mut Found<'_>) -> Result<()> {
        let axis = match &x.element().body {
            Body::Sparse(s) => s.format.major_axis(),
            _ => 0,
        };
        let bytes = (self.budget.limit() / 16).clamp(1, 32 << 20);
        let shape = x.element().shape().unwrap_or_default();
        // Where one is dense, its rows are the larger.
        let dense = |l: &Lazy| matches!(l.element().body, Body::Dense(_));
        let rows = if dense(x) || dense(y) {
            let others = shape.iter().enumerate().filter(|(k, _)| *k != axis).map(|(_, n)| *n);
            let row = others.fold(8u64, u64::saturating_mul).max(1);
            Some((bytes / row).max(1))
        } else {
            None
        };
        let mut stream = x.stream_along(axis, self.call, rows, Some(bytes))?;
        while let Some(block) = stream.next(self.call)? {
            let slice = Step::Slice(Some(to_i64(block.start)?), Some(to_i64(block.end)?), None);
            let other = y.select(axis, slice)?.collect(self.call)?;
            let mut at = [0, 0];
            at[axis] = block.start;
            found.compare(&block.value, &other, at)?;
        }
        Ok(())
    }
}

fn to_i64(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(|e| Error::new(lazarr_format::Code::Internal, "too many rows").source(e))
}
