//! What to read.

pub mod expr;
mod index;
mod placement;

pub use index::Index;
pub use placement::{Placement, Run};
