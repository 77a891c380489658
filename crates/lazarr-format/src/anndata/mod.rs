//! AnnData: the typed tree of a store's elements.

mod build;
mod element;

pub use build::build;
pub use element::{
    AnnData, Awkward, Body, Categorical, DataFrame, Element, Nullable, NullableKind, Raw, Sparse,
    SparseFormat,
};
