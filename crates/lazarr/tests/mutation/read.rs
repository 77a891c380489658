//! Reading all that a store has, in every manner, into one number for each read.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Literal};
use lazarr::{
    AxisView, Body, Call, Code, DataType, Dense, Element, Error, Lazy, LazyAnnData, Session, SparseMatrix,
    Step, Strings, Value,
};

/// What came of one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A value, by the hash of all of it.
    Value(u64),
    /// A typed error.
    Error(Code, String),
    /// A value that is outside of its type or shape, or an error that says that lazarr is broken.
    Broken(String),
}

/// What came, by path and manner of reading.
pub type Reads = BTreeMap<(String, &'static str), Outcome>;

/// Columns of `obs` that the predicates read.
pub const PREDICATES: [&str; 4] = ["obs/kind", "obs/count", "obs/flag", "obs/some_int"];

/// Blocks of a stream that are read at most: a damaged shape may have billions.
const BLOCKS: usize = 24;

/// Every element of a store, the whole of it first.
pub fn elements(root: &Element) -> Vec<Element> {
    let mut out = vec![root.clone()];
    for (_, child) in root.children() {
        out.extend(elements(&child));
    }
    out
}

/// Reads everything whole, and what `closely` names in every manner.
pub fn read(session: &Arc<Session>, closely: &dyn Fn(&str) -> bool) -> Reads {
    let mut reads = Reads::new();
    let object = LazyAnnData::new(session, session.root()).ok();
    for element in elements(session.root()) {
        let path = element.path.clone();
        let lazy = Lazy::new(session, &element);
        let close = closely(&path);
        // The whole object is read below, with what is broken left out.
        if !matches!(element.body, Body::AnnData(_)) {
            put(&mut reads, &path, "whole", Some(whole(&lazy)));
        }
        if !close || matches!(element.body, Body::AnnData(_) | Body::Dict(_) | Body::Raw(_)) {
            continue;
        }
        put(&mut reads, &path, "plan", plan(&lazy));
        if lazy.axes().is_empty() {
            continue;
        }
        put(&mut reads, &path, "rows", Some(rows(&lazy)));
        if lazy.axes().len() > 1 {
            put(&mut reads, &path, "rows and columns", both(&lazy));
        }
        put(&mut reads, &path, "stream", Some(stream(&lazy)));
        if let Some(object) = &object {
            put(&mut reads, &path, "predicate", predicate(object, &path));
        }
    }
    if let Some(object) = object {
        whole_object(&object, &mut reads);
    }
    reads
}

fn put(reads: &mut Reads, path: &str, manner: &'static str, outcome: Option<Outcome>) {
    if let Some(outcome) = outcome {
        reads.insert((path.to_owned(), manner), outcome);
    }
}

/// The outcome of an error.
pub fn failed(e: &Error) -> Outcome {
    match e.code() {
        Code::Internal | Code::UnplannedRead => Outcome::Broken(e.to_string()),
        code => Outcome::Error(code, e.to_string()),
    }
}

/// The outcome of a value that is checked against the shape that was promised.
fn came(result: Result<Value, Error>, shape: Option<&[Option<u64>]>) -> Outcome {
    match result {
        Err(e) => failed(&e),
        Ok(value) => checked(&value, shape),
    }
}

/// The outcome of a value.
fn checked(value: &Value, shape: Option<&[Option<u64>]>) -> Outcome {
    check(value, shape).map_or_else(Outcome::Broken, |()| {
        let mut hash = DefaultHasher::new();
        digest(value, &mut hash);
        Outcome::Value(hash.finish())
    })
}

fn whole(lazy: &Lazy) -> Outcome {
    came(lazy.collect(&Call::default()), Some(&lazy.shape()))
}

/// That planning ends, in numbers or in an error; they are not compared.
fn plan(lazy: &Lazy) -> Option<Outcome> {
    for resolve in [false, true] {
        if let Err(e) = lazy.plan(&Call::default(), resolve)
            && let broken @ Outcome::Broken(_) = failed(&e)
        {
            return Some(broken);
        }
    }
    None
}

fn rows(lazy: &Lazy) -> Outcome {
    let view = match lazy.select(0, Step::Slice(Some(1), None, Some(3))) {
        Ok(view) => view,
        Err(e) => return failed(&e),
    };
    came(view.collect(&Call::default()), Some(&view.shape()))
}

fn both(lazy: &Lazy) -> Option<Outcome> {
    let shape = lazy.shape();
    let mut view = lazy.clone();
    for (axis, n) in shape.iter().enumerate().take(2) {
        let n = (*n)? as i64;
        if n == 0 {
            return None;
        }
        let picks = if axis == 0 { vec![n - 1, 0, n / 2, n - 1] } else { vec![n / 2, n - 1, 0, 0] };
        view = match view.select(axis, Step::Ints(picks.into())) {
            Ok(view) => view,
            Err(e) => return Some(failed(&e)),
        };
    }
    Some(came(view.collect(&Call::default()), Some(&view.shape())))
}

fn stream(lazy: &Lazy) -> Outcome {
    let call = Call::default();
    let mut stream = match lazy.stream(&call, Some(5), None) {
        Ok(stream) => stream,
        Err(e) => return failed(&e),
    };
    let mut hash = DefaultHasher::new();
    let mut at = 0;
    for _ in 0..BLOCKS {
        match stream.next(&call) {
            Err(e) => return failed(&e),
            Ok(None) if at == stream.len() => break,
            Ok(None) => {
                return Outcome::Broken(format!("the stream ended at {at} of {}", stream.len()));
            }
            Ok(Some(block)) => {
                if block.start != at || block.end <= at || block.end > stream.len() {
                    return Outcome::Broken(format!("block {}..{} after {at}", block.start, block.end));
                }
                let mut shape = lazy.shape();
                shape[0] = Some(block.end - block.start);
                if let Err(why) = check(&block.value, Some(&shape)) {
                    return Outcome::Broken(why);
                }
                at = block.end;
                digest(&block.value, &mut hash);
            }
        }
    }
    Outcome::Value(hash.finish())
}

/// The rows that a predicate on obs finds; which predicate is the path's.
fn predicate(object: &LazyAnnData, path: &str) -> Option<Outcome> {
    let place = path.split('/').next()?;
    if !matches!(place, "X" | "obs" | "layers" | "obsm" | "obsp" | "raw") || path.starts_with("raw/var") {
        return None;
    }
    let column =
        |view: &Arc<AxisView>, name: &str| ColumnRef::new(view.id(), format!("obs/{name}"), Some(name));
    let view = object.obs_axis();
    let expr = match path.len() % 3 {
        0 => Expr::cmp(column(view, "kind"), CmpOp::Eq, Literal::Str("T cell".into())),
        1 => Expr::cmp(column(view, "count"), CmpOp::Gt, Literal::Int(-20))
            .and(Expr::Column(column(view, "flag")).not()),
        _ => Expr::NotNa(column(view, "some_int")),
    };
    let made = object.select(Some(Step::Predicate(Arc::new(expr))), None).and_then(|o| o.get(path));
    Some(match made {
        Ok(lazy) => came(lazy.collect(&Call::default()), None),
        Err(e) => failed(&e),
    })
}

/// The whole object at once, with what cannot be read left out: its parts, as if they had been read by themselves.
fn whole_object(object: &LazyAnnData, reads: &mut Reads) {
    match object.collect(&Call { skip_broken: true, ..Call::default() }, None) {
        Err(e) => put(reads, "", "object", Some(failed(&e))),
        Ok(value) => {
            let Value::Map(parts) = &value else { return };
            for (name, part) in parts {
                put(reads, name, "object", Some(checked(part, None)));
            }
        }
    }
}

/// All of a value: types, shapes, items.
fn digest(value: &Value, hash: &mut DefaultHasher) {
    let dense = |d: &Dense, hash: &mut DefaultHasher| {
        (&d.dtype, &d.shape, d.data.as_slice()).hash(hash);
    };
    match value {
        Value::Null => 0u8.hash(hash),
        Value::Dense(d) => dense(d, hash),
        Value::Strings(s) => (s.shape(), s.offsets(), s.bytes()).hash(hash),
        Value::Sparse(m) => {
            (m.format.name(), m.shape, &m.dtype, m.index_width).hash(hash);
            (m.data.as_slice(), m.indices.as_slice(), m.indptr.as_slice()).hash(hash);
        }
        Value::Categorical { codes, categories, ordered } => {
            ordered.hash(hash);
            dense(codes, hash);
            digest(categories, hash);
        }
        Value::Nullable { values, mask, .. } => {
            dense(mask, hash);
            digest(values, hash);
        }
        Value::Table(t) => {
            (t.len, &t.index_name).hash(hash);
            t.index.iter().for_each(|i| digest(i, hash));
            for (name, column) in &t.columns {
                name.hash(hash);
                digest(column, hash);
            }
        }
        Value::Awkward { buffers, .. } => buffers.iter().for_each(|(_, b)| digest(b, hash)),
        Value::Map(children) => {
            for (name, child) in children {
                name.hash(hash);
                digest(child, hash);
            }
        }
        _ => 1u8.hash(hash),
    }
}

/// That a value does not leave the bounds of its type and of the shape that was promised.
fn check(value: &Value, shape: Option<&[Option<u64>]>) -> Result<(), String> {
    match value {
        Value::Dense(d) => check_dense(d, shape),
        Value::Strings(s) => check_strings(s, shape),
        Value::Sparse(m) => check_sparse(m, shape),
        Value::Categorical { codes, categories, .. } => check_categorical(codes, categories, shape),
        Value::Nullable { values, mask, .. } => {
            check(values, shape)?;
            check_dense(mask, shape)?;
            same("the lengths of values and mask", items_of(values), Some(mask.shape.iter().product()))?;
            if mask.data.as_slice().iter().any(|b| *b > 1) {
                return Err("a mask holds something else than 0 and 1".into());
            }
            Ok(())
        }
        Value::Table(t) => {
            if let Some(shape) = shape {
                promised(&[t.len, t.columns.len() as u64], shape)?;
            }
            for part in t.index.iter().map(|i| &**i).chain(t.columns.iter().map(|(_, c)| c)) {
                check(part, None)?;
                // What was left out is `Null`.
                if !matches!(part, Value::Null) {
                    same("the length of a column", rows_of(part), Some(t.len))?;
                }
            }
            Ok(())
        }
        Value::Awkward { buffers, .. } => buffers.iter().try_for_each(|(_, b)| check(b, None)),
        Value::Map(children) => children.iter().try_for_each(|(_, c)| check(c, None)),
        _ => Ok(()),
    }
}

fn same(what: &str, found: Option<u64>, expected: Option<u64>) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

fn promised(found: &[u64], shape: &[Option<u64>]) -> Result<(), String> {
    let fits = found.len() == shape.len() && found.iter().zip(shape).all(|(f, s)| s.is_none_or(|s| s == *f));
    if fits { Ok(()) } else { Err(format!("the shape {shape:?} was promised, {found:?} came")) }
}

/// Items of a column.
fn items_of(value: &Value) -> Option<u64> {
    match value {
        Value::Dense(d) => Some(d.shape.iter().product()),
        Value::Strings(s) => Some(s.shape().iter().product()),
        _ => None,
    }
}

/// Rows of a column.
fn rows_of(value: &Value) -> Option<u64> {
    match value {
        Value::Dense(d) => d.shape.first().copied(),
        Value::Strings(s) => s.shape().first().copied(),
        Value::Sparse(m) => Some(m.shape[0]),
        Value::Categorical { codes, .. } => codes.shape.first().copied(),
        Value::Nullable { mask, .. } => mask.shape.first().copied(),
        _ => None,
    }
}

fn check_dense(d: &Dense, shape: Option<&[Option<u64>]>) -> Result<(), String> {
    if let Some(shape) = shape {
        promised(&d.shape, shape)?;
    }
    let size = d.dtype.item_size().ok_or("items without a size")? as u64;
    same("bytes", Some(d.data.len() as u64), Some(size * d.shape.iter().product::<u64>()))?;
    if d.dtype == DataType::Bool && d.data.as_slice().iter().any(|b| *b > 1) {
        return Err("a boolean that is neither 0 nor 1".into());
    }
    Ok(())
}

fn check_strings(s: &Strings, shape: Option<&[Option<u64>]>) -> Result<(), String> {
    if let Some(shape) = shape {
        promised(s.shape(), shape)?;
    }
    same("strings", Some(s.len() as u64), Some(s.shape().iter().product()))?;
    for i in 0..s.len() {
        let item = s.get(i).ok_or("a string outside of its bytes")?;
        if s.is_utf8() && std::str::from_utf8(item).is_err() {
            return Err(format!("string {i} is not UTF-8"));
        }
    }
    Ok(())
}

fn check_sparse(m: &SparseMatrix, shape: Option<&[Option<u64>]>) -> Result<(), String> {
    if let Some(shape) = shape {
        promised(&m.shape, shape)?;
    }
    let width = usize::from(m.index_width);
    if !matches!(width, 4 | 8) {
        return Err(format!("indices of {width} bytes"));
    }
    let ints = |bytes: &[u8]| -> Vec<i64> {
        let wide = |c: &[u8]| {
            if width == 4 {
                i64::from(i32::from_ne_bytes(c.try_into().unwrap()))
            } else {
                i64::from_ne_bytes(c.try_into().unwrap())
            }
        };
        bytes.chunks_exact(width).map(wide).collect()
    };
    let (indices, indptr) = (ints(m.indices.as_slice()), ints(m.indptr.as_slice()));
    let major = m.format.major_axis();
    same("row starts", Some(indptr.len() as u64), m.shape[major].checked_add(1))?;
    let size = m.dtype.item_size().ok_or("values without a size")?;
    same("values", Some((m.data.len() / size) as u64), Some(indices.len() as u64))?;
    let ends = (indptr.first().copied(), indptr.last().copied());
    if ends != (Some(0), Some(indices.len() as i64)) || indptr.windows(2).any(|w| w[0] > w[1]) {
        return Err(format!("the row starts {ends:?} do not ascend from 0 to {}", indices.len()));
    }
    match indices.iter().find(|i| u64::try_from(**i).map_or(true, |i| i >= m.shape[1 - major])) {
        Some(i) => Err(format!("the index {i} lies outside of {:?}", m.shape)),
        None => Ok(()),
    }
}

fn check_categorical(codes: &Dense, categories: &Value, shape: Option<&[Option<u64>]>) -> Result<(), String> {
    check_dense(codes, shape)?;
    check(categories, None)?;
    let count = rows_of(categories).ok_or("categories without a length")? as i64;
    let size = codes.dtype.item_size().ok_or("codes without a size")?;
    for item in codes.data.as_slice().chunks_exact(size) {
        let mut wide = if item[size - 1] & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
        wide[..size].copy_from_slice(item);
        let code = i64::from_le_bytes(wide);
        if !(-1..count).contains(&code) {
            return Err(format!("code {code} of {count} categories"));
        }
    }
    Ok(())
}
