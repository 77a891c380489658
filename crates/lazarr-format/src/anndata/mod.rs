//! AnnData: the typed tree of a store's elements.

mod element;

pub use element::{
    AnnData, Awkward, Body, Categorical, DataFrame, Element, Nullable, NullableKind, Raw, Sparse,
    SparseFormat,
};
