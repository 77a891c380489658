//! What to read.

mod index;
mod placement;

pub use index::Index;
pub use placement::{Placement, Run};
