//! Elements whose store stands under a name in a joined one.

use std::sync::Arc;

use super::{AnnData, Awkward, Body, Categorical, DataFrame, Element, Nullable, Raw, Sparse};
use crate::{ArrayMeta, ArrayRef};

impl Element {
    /// The same element, of a store that stands under this name in another: its arrays are found there. Its path stays: it
    /// says where in its object it is.
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        let array = |a: &ArrayRef| -> ArrayRef {
            let path = if a.path.is_empty() { name.to_owned() } else { format!("{name}/{}", a.path) };
            Arc::new(ArrayMeta { path, ..(**a).clone() })
        };
        let named = |parts: &[(String, Self)]| -> Vec<(String, Self)> {
            parts.iter().map(|(n, e)| (n.clone(), e.under(name))).collect()
        };
        let raw = |r: &Arc<Raw>| {
            Arc::new(Raw {
                x: r.x.as_ref().map(|x| x.under(name)),
                var: r.var.under(name),
                varm: r.varm.under(name),
            })
        };
        let body = match &self.body {
            Body::AnnData(a) => Body::AnnData(Arc::new(AnnData {
                x: a.x.as_ref().map(|x| x.under(name)),
                obs: a.obs.under(name),
                var: a.var.under(name),
                layers: a.layers.under(name),
                obsm: a.obsm.under(name),
                varm: a.varm.under(name),
                obsp: a.obsp.under(name),
                varp: a.varp.under(name),
                uns: a.uns.under(name),
                raw: a.raw.as_ref().map(raw),
                n_obs: a.n_obs,
                n_vars: a.n_vars,
                extra: named(&a.extra),
            })),
            Body::Raw(r) => Body::Raw(raw(r)),
            Body::Dict(parts) => Body::Dict(Arc::new(named(parts))),
            Body::Dense(a) => Body::Dense(array(a)),
            Body::Strings(a) => Body::Strings(array(a)),
            Body::Scalar(a) => Body::Scalar(array(a)),
            Body::Sparse(s) => Body::Sparse(Arc::new(Sparse {
                format: s.format,
                shape: s.shape,
                data: array(&s.data),
                indices: array(&s.indices),
                indptr: array(&s.indptr),
            })),
            Body::DataFrame(d) => Body::DataFrame(Arc::new(DataFrame {
                index_key: d.index_key.clone(),
                index: d.index.under(name),
                columns: named(&d.columns),
                len: d.len,
            })),
            Body::Categorical(c) => Body::Categorical(Arc::new(Categorical {
                codes: array(&c.codes),
                categories: c.categories.under(name),
                ordered: c.ordered,
            })),
            Body::Nullable(n) => Body::Nullable(Arc::new(Nullable {
                values: array(&n.values),
                mask: array(&n.mask),
                kind: n.kind.clone(),
            })),
            Body::Awkward(a) => Body::Awkward(Arc::new(Awkward {
                form: a.form.clone(),
                length: a.length,
                buffers: a.buffers.iter().map(|(n, b)| (n.clone(), array(b))).collect(),
            })),
            Body::Joined(j) => Body::Joined(j.under(name)),
            other @ (Body::Null | Body::Broken(_)) => other.clone(),
        };
        Self { body, ..self.clone() }
    }

    /// The same element at another place, with all that is below it.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let old = self.path.clone();
        self.moved(&old, path)
    }

    fn moved(&self, from: &str, to: &str) -> Self {
        let place = |path: &str| match path.strip_prefix(from).unwrap_or(path).trim_start_matches('/') {
            "" => to.to_owned(),
            below if to.is_empty() => below.to_owned(),
            below => format!("{to}/{below}"),
        };
        let named = |parts: &[(String, Self)]| -> Vec<(String, Self)> {
            parts.iter().map(|(n, e)| (n.clone(), e.moved(from, to))).collect()
        };
        let body = match &self.body {
            Body::Dict(parts) => Body::Dict(Arc::new(named(parts))),
            Body::DataFrame(d) => Body::DataFrame(Arc::new(DataFrame {
                index_key: d.index_key.clone(),
                index: d.index.moved(from, to),
                columns: named(&d.columns),
                len: d.len,
            })),
            Body::Categorical(c) => Body::Categorical(Arc::new(Categorical {
                codes: c.codes.clone(),
                categories: c.categories.moved(from, to),
                ordered: c.ordered,
            })),
            other => other.clone(),
        };
        Self { path: place(&self.path), body, ..self.clone() }
    }
}
