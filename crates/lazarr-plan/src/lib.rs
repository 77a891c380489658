//! What to read.
//!
//! Pure: no I/O, no threads, no Python. An [`Index`] says which positions of an axis are wanted and where each goes; an
//! [`ArrayRead`] says it for the axes of an array; its [`WorkStream`] yields the requests, merged by cost, that bring
//! them; a [`Plan`] is what they add up to.

mod explain;
pub mod expr;
mod index;
mod nearest;
mod picture;
mod placement;
mod plan;
mod read;
mod segments;
mod svg;

pub use index::Index;
pub use nearest::{Nearest, nearest};
pub use picture::{AxisMap, ChunkMap};
pub use placement::{Placement, Run};
pub use plan::{Amount, ArrayPlan, Distance, ElementPlan, Mark, Plan, StagePlan, human_bytes, human_count};
pub use read::{
    ArrayRead, Coord, GridWalk, IndexState, Part, Role, Shard, Step, Work, WorkStream, check_rank, touched,
};
pub use segments::Segments;
