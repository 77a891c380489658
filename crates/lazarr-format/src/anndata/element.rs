//! The typed tree: every encoding of the AnnData format as an element, with the arrays it is made of.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{ArrayRef, Error};

/// The direction of a compressed matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseFormat {
    /// Compressed rows.
    Csr,
    /// Compressed columns.
    Csc,
}

impl SparseFormat {
    /// `csr` or `csc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csr => "csr",
            Self::Csc => "csc",
        }
    }

    /// The axis that `indptr` runs along.
    pub fn major_axis(self) -> usize {
        match self {
            Self::Csr => 0,
            Self::Csc => 1,
        }
    }
}

/// A csr or csc matrix. `indptr` has major + 1 items; `data` and `indices` have the same length.
#[derive(Debug)]
pub struct Sparse {
    /// csr or csc.
    pub format: SparseFormat,
    /// Rows and columns.
    pub shape: [u64; 2],
    /// The stored values.
    pub data: ArrayRef,
    /// The minor index of each stored value.
    pub indices: ArrayRef,
    /// Where each row (column) starts.
    pub indptr: ArrayRef,
}

impl Sparse {
    /// Stored values (explicit zeros included).
    pub fn nnz(&self) -> u64 {
        self.data.shape[0]
    }

    /// Length of the axis that `indptr` runs along.
    pub fn major_len(&self) -> u64 {
        self.shape[self.format.major_axis()]
    }

    /// Length of the other axis.
    pub fn minor_len(&self) -> u64 {
        self.shape[1 - self.format.major_axis()]
    }
}

/// A table: an index and columns, all of the same length.
#[derive(Debug)]
pub struct DataFrame {
    /// The name of the child that is the index (the `_index` attribute).
    pub index_key: String,
    /// The index: its name in memory is `None` where `index_key` is `_index`.
    pub index: Element,
    /// The columns, in column order. Names are unique.
    pub columns: Vec<(String, Element)>,
    /// Rows: the length of the index.
    pub len: u64,
}

/// Codes into categories; -1 is missing (unsigned codes have none missing).
#[derive(Debug)]
pub struct Categorical {
    /// 1-d, any integer width.
    pub codes: ArrayRef,
    /// 1-d: strings, numbers, booleans, nullable strings.
    pub categories: Element,
    /// Whether the categories have an order.
    pub ordered: bool,
}

/// What the values of a nullable element are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NullableKind {
    /// pandas' `Int64` and its kin.
    Integer,
    /// pandas' `boolean`.
    Boolean,
    /// pandas' `string`; `nan` is true where a missing value is `NaN`, false where it is `NA`.
    String {
        /// Whether a missing value is NaN.
        nan: bool,
    },
}

/// Values and a mask, in lockstep; the mask is true where a value is missing.
#[derive(Debug)]
pub struct Nullable {
    /// Integers, booleans or strings.
    pub values: ArrayRef,
    /// Booleans, of the same shape.
    pub mask: ArrayRef,
    /// Which pandas type it is.
    pub kind: NullableKind,
}

/// An awkward array: the form (JSON), the length, the buffers.
#[derive(Debug)]
pub struct Awkward {
    /// `awkward`'s form, as JSON text.
    pub form: String,
    /// Number of entries.
    pub length: u64,
    /// The buffers by name (`node0-offsets`).
    pub buffers: Vec<(String, ArrayRef)>,
}

/// `raw`: a matrix with its own var axis.
#[derive(Debug)]
pub struct Raw {
    /// The matrix; its rows are the parent's.
    pub x: Option<Element>,
    /// The annotations of its columns.
    pub var: Element,
    /// Arrays along its columns.
    pub varm: Element,
}

/// A whole AnnData.
#[derive(Debug)]
pub struct AnnData {
    /// The matrix, where there is one.
    pub x: Option<Element>,
    /// Annotations of the cells.
    pub obs: Element,
    /// Annotations of the genes.
    pub var: Element,
    /// `layers`, as a [`Body::Dict`].
    pub layers: Element,
    /// `obsm`.
    pub obsm: Element,
    /// `varm`.
    pub varm: Element,
    /// `obsp`.
    pub obsp: Element,
    /// `varp`.
    pub varp: Element,
    /// `uns`.
    pub uns: Element,
    /// `raw`, where there is one.
    pub raw: Option<Arc<Raw>>,
    /// Cells.
    pub n_obs: u64,
    /// Genes.
    pub n_vars: u64,
    /// What else stands in the group, which no AnnData knows: listed and readable, not part of the object.
    pub extra: Vec<(String, Element)>,
}

/// What an element is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body {
    /// A whole AnnData.
    AnnData(Arc<AnnData>),
    /// `raw`.
    Raw(Arc<Raw>),
    /// A mapping; the order is the store's.
    Dict(Arc<Vec<(String, Element)>>),
    /// An n-dimensional array of fixed-size items (also plain Zarr arrays without an encoding).
    Dense(ArrayRef),
    /// An n-dimensional array of strings, or of variable-length bytes.
    Strings(ArrayRef),
    /// A 0-dimensional array: a number or a string.
    Scalar(ArrayRef),
    /// `None`.
    Null,
    /// A csr or csc matrix.
    Sparse(Arc<Sparse>),
    /// A table.
    DataFrame(Arc<DataFrame>),
    /// A categorical column.
    Categorical(Arc<Categorical>),
    /// A nullable column.
    Nullable(Arc<Nullable>),
    /// An awkward array.
    Awkward(Arc<Awkward>),
    /// Put together from other elements by the engine.
    Joined(Arc<dyn Joined>),
    /// Something that cannot be read, and why. It is listed; reading it is this error.
    Broken(Arc<Error>),
}

/// What is put together from elements, maybe of several stores: no store has it as it is.
pub trait Joined: Debug + Send + Sync + Any {
    /// The shape of the whole.
    fn shape(&self) -> Vec<u64>;
    /// What it is, in a few words, without its shape: `csr_matrix float32 of 3`.
    fn what(&self) -> String;
    /// The elements that it is made of.
    fn elements(&self) -> Vec<&Element>;
    /// The same, with the elements under this name of a joined store; see [`Element::under`].
    fn under(&self, name: &str) -> Arc<dyn Joined>;
    /// Itself, for the engine.
    fn as_any(&self) -> &dyn Any;
}

/// An element: where it stands and what it is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Element {
    /// Its path in the store, without a leading slash; empty for the root.
    pub path: String,
    /// `encoding-type`, empty where there is none.
    pub encoding_type: String,
    /// `encoding-version`, empty where there is none.
    pub encoding_version: String,
    /// What it is.
    pub body: Body,
    /// The attributes of its node.
    pub attributes: Arc<Map<String, Value>>,
}

impl Element {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The shape; `None` for mappings, nulls and broken elements.
    pub fn shape(&self) -> Option<Vec<u64>> {
        Some(match &self.body {
            Body::AnnData(a) => vec![a.n_obs, a.n_vars],
            Body::Dense(a) | Body::Strings(a) | Body::Scalar(a) => a.shape.clone(),
            Body::Sparse(s) => s.shape.to_vec(),
            Body::DataFrame(d) => vec![d.len, d.columns.len() as u64],
            Body::Categorical(c) => c.codes.shape.clone(),
            Body::Nullable(n) => n.values.shape.clone(),
            Body::Awkward(a) => vec![a.length],
            Body::Raw(r) => return r.x.as_ref().and_then(Element::shape),
            Body::Joined(j) => j.shape(),
            Body::Dict(_) | Body::Null | Body::Broken(_) => return None,
        })
    }

    /// The arrays that the element is made of, its children's included.
    pub fn arrays(&self) -> Vec<ArrayRef> {
        let mut out = Vec::new();
        self.visit_arrays(&mut |a| out.push(a.clone()));
        out
    }

    fn visit_arrays(&self, f: &mut dyn FnMut(&ArrayRef)) {
        match &self.body {
            Body::Dense(a) | Body::Strings(a) | Body::Scalar(a) => f(a),
            Body::Sparse(s) => [&s.data, &s.indices, &s.indptr].into_iter().for_each(f),
            Body::Nullable(n) => [&n.values, &n.mask].into_iter().for_each(f),
            Body::Awkward(a) => a.buffers.iter().for_each(|(_, b)| f(b)),
            Body::Joined(j) => j.elements().into_iter().for_each(|e| e.visit_arrays(f)),
            Body::Categorical(c) => {
                f(&c.codes);
                c.categories.visit_arrays(f);
            }
            _ => self.children().iter().for_each(|(_, c)| c.visit_arrays(f)),
        }
    }

    /// The named children of a group-like element (AnnData, raw, mapping, table), in order; a table's index is under its key.
    pub fn children(&self) -> Vec<(String, Element)> {
        match &self.body {
            Body::AnnData(a) => {
                let mut out = Vec::new();
                out.extend(a.x.iter().map(|x| ("X".to_owned(), x.clone())));
                for (name, e) in [
                    ("obs", &a.obs),
                    ("var", &a.var),
                    ("layers", &a.layers),
                    ("obsm", &a.obsm),
                    ("varm", &a.varm),
                    ("obsp", &a.obsp),
                    ("varp", &a.varp),
                    ("uns", &a.uns),
                ] {
                    out.push((name.to_owned(), e.clone()));
                }
                if let Some(raw) = &a.raw {
                    let path =
                        if self.path.is_empty() { "raw".to_owned() } else { format!("{}/raw", self.path) };
                    out.push((
                        "raw".to_owned(),
                        Element {
                            path,
                            encoding_type: "raw".into(),
                            encoding_version: "0.1.0".into(),
                            body: Body::Raw(raw.clone()),
                            attributes: Arc::default(),
                        },
                    ));
                }
                out.extend_from_slice(&a.extra);
                out
            }
            Body::Raw(r) => {
                let mut out = Vec::new();
                out.extend(r.x.iter().map(|x| ("X".to_owned(), x.clone())));
                out.push(("var".to_owned(), r.var.clone()));
                out.push(("varm".to_owned(), r.varm.clone()));
                out
            }
            Body::Dict(children) => children.to_vec(),
            Body::DataFrame(d) => {
                let mut out = vec![(d.index_key.clone(), d.index.clone())];
                out.extend(d.columns.iter().filter(|(n, _)| *n != d.index_key).cloned());
                out
            }
            _ => Vec::new(),
        }
    }
}
