//! AnnData: the typed tree of a store's elements.

mod build;
mod element;
mod under;

pub use build::build;
pub use element::{
    AnnData, Awkward, Body, Categorical, DataFrame, Element, Joined, Nullable, NullableKind, Raw, Sparse,
    SparseFormat,
};
