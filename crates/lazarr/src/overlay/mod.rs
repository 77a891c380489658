//! Values in memory that are laid over a stored object.
//!
//! A value becomes an element of a store in memory ([`encode()`]) that stands beside the object's own store in a joined one.
//! So it is selected, looked through, streamed and planned by the same programs as what is stored; only its bytes are not
//! read, and do not count as such.

mod encode;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::anndata::{AnnData, Body, DataFrame, Element};
use lazarr_format::{Code, Error, Result};
use lazarr_plan::Index;
use lazarr_store::{JoinedStore, MemoryStore, Mount};

use crate::axis::AxisView;
use crate::call::{Call, Run};
use crate::object::LazyAnnData;
use crate::rearrange::{NONE, gather, spread};
use crate::session::Session;
use crate::value::Value;
pub(crate) use encode::encode;

/// Where values can be laid.
const PLACES: [&str; 9] = ["X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"];

impl LazyAnnData {
    /// The object with columns of obs laid over it: each as long as there are cells in this (view of the) object. The store
    /// is not changed. Where the selection is not known yet, what it needs is read. Errors with `Misaligned` where a value has
    /// another length.
    pub fn with_obs(&self, call: &Call<'_>, columns: Vec<(String, Value)>) -> Result<Self> {
        self.with(call, "obs", columns)
    }

    /// The same for columns of var.
    pub fn with_var(&self, call: &Call<'_>, columns: Vec<(String, Value)>) -> Result<Self> {
        self.with(call, "var", columns)
    }

    /// The object with values laid over it at a place: `obs`, `var` (columns), `layers`, `obsm`, `varm`, `obsp`, `varp`,
    /// `uns`; or `X`, whose name is empty. See [`LazyAnnData::with_obs`].
    pub fn with(&self, call: &Call<'_>, place: &str, values: Vec<(String, Value)>) -> Result<Self> {
        if !PLACES.contains(&place) {
            return Err(Error::new(Code::Operation, format!("nothing can be laid over `{place}`"))
                .expected(format!("one of {}", PLACES.join(", "))));
        }
        let run = Run::new(self.session(), call);
        // The new object is another, whose selection cannot be made on this one's columns any more.
        self.resolve(call)?;
        let axes = self.axes_of(place);
        let mut out = self.clone();
        for (name, value) in values {
            let path = if name.is_empty() { place.to_owned() } else { format!("{place}/{name}") };
            check(place, &name, &value)
                .and_then(|()| fits(&value, &axes, &run))
                .map_err(|e| e.element(&*path))?;
            let value = on_whole_axes(value, &axes, &run).map_err(|e| e.element(&*path))?;
            let (store, element) = encode(value, &run, call).map_err(|e| e.element(&*path))?;
            out = out.over(place, &name, store, &element)?;
        }
        Ok(out)
    }

    /// The same object with an element of a store in memory in it.
    fn over(&self, place: &str, name: &str, store: MemoryStore, element: &Element) -> Result<Self> {
        let session = self.session();
        let mut hash = DefaultHasher::new();
        (session.identity, place, name).hash(&mut hash);
        for key in store.keys() {
            (key, store.value(key)).hash(&mut hash);
        }
        let root = session.root();
        let own = self.element();
        let mount = free_name(session);
        let path = |rest: &str| {
            let rest = if rest.is_empty() { place.to_owned() } else { format!("{place}/{rest}") };
            if own.path.is_empty() { rest } else { format!("{}/{rest}", own.path) }
        };
        let element = element.under(&mount).at(&path(name));
        let object = laid(self.object(), place, name, element, &path(""))?;
        let new = Element { body: Body::AnnData(Arc::new(object)), ..own.clone() };
        let root = replaced(root, &own.path, &new);
        let mounts = vec![Mount { name: mount, store: Arc::new(store), in_memory: true }];
        let joined = JoinedStore::new(session.url(), Some(session.io.store().clone()), mounts);
        let session = session.joined(Arc::new(joined), root, hash.finish());
        self.moved(&session, &new)
    }
}

/// A name that nothing in the store has.
pub(crate) fn free_name(session: &Session) -> String {
    let mut k = session.laid();
    loop {
        let name = format!("@{k}");
        if session.root().children().iter().all(|(n, _)| *n != name) {
            return name;
        }
        k += 1;
    }
}

fn check(place: &str, name: &str, value: &Value) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::new(Code::Operation, format!("this cannot be laid over `{place}`"))
            .expected(what.to_owned()))
    };
    if name.is_empty() != (place == "X") {
        return refuse("a name");
    }
    if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") && !name.is_empty() {
        return refuse("a name of letters, without empty parts between slashes");
    }
    let rank = rank(value);
    match place {
        "obs" | "var" if rank != Some(1) || matches!(value, Value::Table(_) | Value::Sparse(_)) => {
            refuse("a column: one value for each row")
        }
        "X" | "layers" | "obsp" | "varp" if rank != Some(2) || matches!(value, Value::Table(_)) => {
            refuse("a matrix")
        }
        "obsm" | "varm" if rank.is_none_or(|r| r == 0) => {
            refuse("an array or a table with a row for each name")
        }
        _ => Ok(()),
    }
}

fn shape(value: &Value) -> Option<Vec<u64>> {
    Some(match value {
        Value::Dense(d) => d.shape.clone(),
        Value::Strings(s) => s.shape.clone(),
        Value::Sparse(m) => m.shape.to_vec(),
        Value::Categorical { codes, .. } => codes.shape.clone(),
        Value::Nullable { mask, .. } => mask.shape.clone(),
        Value::Table(t) => vec![t.len],
        Value::Awkward { length, .. } => vec![*length],
        Value::Null | Value::Map(_) => return None,
    })
}

fn rank(value: &Value) -> Option<usize> {
    shape(value).map(|s| s.len())
}

fn fits(value: &Value, axes: &[Arc<AxisView>], run: &Run<'_>) -> Result<()> {
    let shape = shape(value).unwrap_or_default();
    for (k, axis) in axes.iter().enumerate() {
        let n = axis.resolve(run)?.len();
        if shape.get(k) != Some(&n) {
            let what = if k == 0 { "rows" } else { "columns" };
            return Err(Error::new(
                Code::Misaligned,
                format!("the value has another number of {what} than the object"),
            )
            .expected(format!("{n} {what}"))
            .found(shape.get(k).map_or("none".into(), ToString::to_string)));
        }
    }
    Ok(())
}

/// The value along the stored axes: what is laid over a view lies where the view's rows are. Nobody sees the others.
fn on_whole_axes(value: Value, axes: &[Arc<AxisView>], run: &Run<'_>) -> Result<Value> {
    let mut value = value;
    for (k, axis) in axes.iter().enumerate() {
        let index = axis.resolve(run)?;
        if index.is_all() {
            continue;
        }
        let n = axis.axis().len;
        let _held = run.cx.budget.charge(n.saturating_mul(8), "where the rows of a view are")?;
        value = if k == 0 {
            gather(&value, &inverse(&index, n)?, &run.cx)?
        } else {
            // Each column of the view goes to its place.
            inverse(&index, n)?;
            let zero = vec![0; item_size(&value)];
            spread(value, &index.to_vec(), n, &zero, &run.cx)?
        };
    }
    Ok(value)
}

fn item_size(value: &Value) -> usize {
    match value {
        Value::Dense(d) => d.dtype.item_size().unwrap_or(1),
        _ => 1,
    }
}

/// For each position of the axis its place in the view.
fn inverse(index: &Index, n: u64) -> Result<Vec<u64>> {
    let mut at = vec![NONE; usize::try_from(n).unwrap_or(0)];
    for (k, position) in index.iter().enumerate() {
        let place = at
            .get_mut(position as usize)
            .ok_or_else(|| Error::new(Code::Internal, "a view lies outside of its axis"))?;
        if *place != NONE {
            return Err(Error::new(
                Code::Operation,
                "this view has some rows several times, and each row of the object has one value",
            )
            .help("Lay values over a view without repeats, or load it first: view.to_memory()"));
        }
        *place = k as u64;
    }
    Ok(at)
}

/// The object with an element at a place, in place of one that is there.
fn laid(object: &AnnData, place: &str, name: &str, element: Element, path: &str) -> Result<AnnData> {
    let mut out = AnnData {
        x: object.x.clone(),
        obs: object.obs.clone(),
        var: object.var.clone(),
        layers: object.layers.clone(),
        obsm: object.obsm.clone(),
        varm: object.varm.clone(),
        obsp: object.obsp.clone(),
        varp: object.varp.clone(),
        uns: object.uns.clone(),
        raw: object.raw.clone(),
        n_obs: object.n_obs,
        n_vars: object.n_vars,
        extra: object.extra.clone(),
    };
    let at = match place {
        "X" => {
            out.x = Some(element);
            return Ok(out);
        }
        "obs" => &mut out.obs,
        "var" => &mut out.var,
        "layers" => &mut out.layers,
        "obsm" => &mut out.obsm,
        "varm" => &mut out.varm,
        "obsp" => &mut out.obsp,
        "varp" => &mut out.varp,
        _ => &mut out.uns,
    };
    *at = put(at, name, &element, path)?;
    Ok(out)
}

fn put(parent: &Element, name: &str, element: &Element, path: &str) -> Result<Element> {
    let set = |parts: &[(String, Element)]| {
        let mut parts = parts.to_vec();
        match parts.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = element.clone(),
            None => parts.push((name.to_owned(), element.clone())),
        }
        parts
    };
    let body = match &parent.body {
        Body::DataFrame(d) if d.index_key == name => {
            return Err(Error::new(Code::Operation, "the names of an axis cannot be laid over")
                .element(path)
                .found(name.to_owned()));
        }
        Body::DataFrame(d) => Body::DataFrame(Arc::new(DataFrame {
            index_key: d.index_key.clone(),
            index: d.index.clone(),
            columns: set(&d.columns),
            len: d.len,
        })),
        Body::Dict(parts) => Body::Dict(Arc::new(set(parts))),
        Body::Broken(e) => return Err(e.again().element(path)),
        _ => Body::Dict(Arc::new(set(&[]))),
    };
    Ok(Element { path: path.to_owned(), body, ..parent.clone() })
}

/// The tree with another element at a path.
pub(crate) fn replaced(root: &Element, path: &str, new: &Element) -> Element {
    if root.path == path {
        return new.clone();
    }
    let within =
        |e: &Element| path == e.path || path.strip_prefix(&*e.path).is_some_and(|r| r.starts_with('/'));
    let each = |parts: &[(String, Element)]| -> Vec<(String, Element)> {
        let one = |(n, e): &(String, Element)| {
            (n.clone(), if within(e) { replaced(e, path, new) } else { e.clone() })
        };
        parts.iter().map(one).collect()
    };
    let one = |e: &Element| if within(e) { replaced(e, path, new) } else { e.clone() };
    let body = match &root.body {
        Body::Dict(parts) => Body::Dict(Arc::new(each(parts))),
        Body::AnnData(a) => Body::AnnData(Arc::new(AnnData {
            x: a.x.clone(),
            obs: a.obs.clone(),
            var: a.var.clone(),
            layers: a.layers.clone(),
            obsm: a.obsm.clone(),
            varm: a.varm.clone(),
            obsp: a.obsp.clone(),
            varp: a.varp.clone(),
            uns: one(&a.uns),
            raw: a.raw.clone(),
            n_obs: a.n_obs,
            n_vars: a.n_vars,
            extra: each(&a.extra),
        })),
        other => other.clone(),
    };
    Element { body, ..root.clone() }
}
