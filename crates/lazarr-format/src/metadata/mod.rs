//! Zarr v2 and v3 metadata in one form.
//!
//! Text becomes a JSON object ([`parse_json`]), an object becomes an [`ArrayMeta`] ([`array_v3`], [`array_v2`]), and
//! the objects of a store become a [`Hierarchy`]. Everything that a later step relies on is checked here: ranks agree,
//! products do not overflow, chunks are not zero and not beyond the [`Limits`], the fill value fits the data type.
//! What is wrong with one node is kept as that node's error, so that the others still open.

mod doc;
mod dtype;
mod fill;
mod hierarchy;
mod json;
mod layout;
mod limits;
mod v2;
mod v3;

#[cfg(test)]
mod grid_tests;
#[cfg(test)]
mod tests;

pub(crate) use doc::describe;
pub(crate) use hierarchy::is_plain_path;
pub use hierarchy::{GroupMeta, Hierarchy, Node, is_consolidated_v3};
pub use json::{metadata_memory, parse_json};
pub use limits::{Limit, Limits};
pub use v2::{array_v2, group_v2};
pub use v3::{array_v3, node_v3};

#[cfg(doc)]
use crate::ArrayMeta;
