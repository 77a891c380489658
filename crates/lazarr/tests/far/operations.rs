//! What can be asked of a store, and a number that tells results apart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Literal};
use lazarr::{Call, Lazy, LazyAnnData, Result, Session, Step, Value};

/// An operation on an open store.
pub(crate) type Operation = (&'static str, fn(&Arc<Session>) -> Result<u64>);

/// Every kind of read.
pub(crate) const OPERATIONS: [Operation; 13] = [
    ("open", |s| Ok(s.root().children().len() as u64)),
    ("rows of X", |s| some(s, "X", 0, Step::Slice(Some(10), Some(30), None))),
    ("scattered rows of X", |s| some(s, "X", 0, Step::Ints([3, 41, 3, 20][..].into()))),
    ("a gene of X", |s| some(s, "X", 1, Step::Ints([7][..].into()))),
    ("rows of a dense matrix", |s| some(s, "obsm/X_pca", 0, Step::Slice(Some(5), Some(25), None))),
    ("a column of obs", |s| whole(s, "obs/kind")),
    ("obs", |s| whole(s, "obs")),
    ("head of obs", |s| some(s, "obs", 0, Step::Slice(None, Some(5), None))),
    ("rows of a predicate", |s| digest_of(&predicate(s)?.collect(&Call::default(), None)?)),
    ("everything", |s| digest_of(&object(s)?.collect(&Call::default(), None)?)),
    ("mean and variance", |s| {
        let found = Lazy::new(s, &s.element("X")?).mean_var(&Call::default(), 0, 0)?;
        digest_of(&Value::Map(vec![
            ("mean".into(), Value::Dense(found.mean)),
            ("var".into(), Value::Dense(found.var)),
        ]))
    }),
    ("counts of a column", |s| {
        let found = Lazy::new(s, &s.element("obs/kind")?).value_counts(&Call::default())?;
        Ok(digest_of(&found.values)? ^ found.counts.iter().fold(found.missing, |a, n| a * 31 + n))
    }),
    ("blocks of X", |s| {
        let call = Call::default();
        let mut blocks = Lazy::new(s, &s.element("X")?).stream(&call, Some(17), None)?;
        let mut hash = DefaultHasher::new();
        while let Some(block) = blocks.next(&call)? {
            digest(&block.value, &mut hash);
        }
        Ok(hash.finish())
    }),
];

fn object(session: &Arc<Session>) -> Result<LazyAnnData> {
    LazyAnnData::new(session, session.root())
}

fn predicate(session: &Arc<Session>) -> Result<LazyAnnData> {
    let object = object(session)?;
    let column = ColumnRef::new(object.obs_axis().id(), "obs/kind", Some("kind"));
    let kind = Expr::cmp(column, CmpOp::Eq, Literal::Str("T cell".into()));
    object.select(Some(Step::Predicate(Arc::new(kind))), None)
}

fn whole(session: &Arc<Session>, path: &str) -> Result<u64> {
    digest_of(&object(session)?.get(path)?.collect(&Call::default())?)
}

fn some(session: &Arc<Session>, path: &str, axis: usize, step: Step) -> Result<u64> {
    digest_of(&object(session)?.get(path)?.select(axis, step)?.collect(&Call::default())?)
}

#[allow(clippy::unnecessary_wraps, reason = "the end of every operation")]
fn digest_of(value: &Value) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    digest(value, &mut hash);
    Ok(hash.finish())
}

fn digest(value: &Value, hash: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hash);
    match value {
        Value::Dense(d) => (&d.shape, d.data.as_slice()).hash(hash),
        Value::Strings(s) => (s.shape(), s.offsets(), s.bytes()).hash(hash),
        Value::Sparse(m) => {
            (&m.shape, m.data.as_slice(), m.indices.as_slice(), m.indptr.as_slice()).hash(hash);
        }
        Value::Categorical { codes, categories, ordered } => {
            (&codes.shape, codes.data.as_slice(), ordered).hash(hash);
            digest(categories, hash);
        }
        Value::Nullable { values, mask, .. } => {
            mask.data.as_slice().hash(hash);
            digest(values, hash);
        }
        Value::Table(t) => {
            (t.len, &t.index_name).hash(hash);
            t.index.iter().for_each(|v| digest(v, hash));
            for (name, column) in &t.columns {
                name.hash(hash);
                digest(column, hash);
            }
        }
        Value::Awkward { form, length, rows, buffers } => {
            (form, length, rows).hash(hash);
            for (name, buffer) in buffers {
                name.hash(hash);
                digest(buffer, hash);
            }
        }
        Value::Map(children) => {
            for (name, child) in children {
                name.hash(hash);
                digest(child, hash);
            }
        }
        _ => {}
    }
}
