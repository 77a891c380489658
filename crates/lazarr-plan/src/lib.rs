//! What to read.
//!
//! Pure: no I/O, no threads, no Python. An [`ArrayRead`] says which items of an array are wanted ([`Placement`], one an
//! axis); its [`WorkStream`] yields the requests, merged by cost, that bring them; a [`Plan`] is what they add up to.

mod placement;
mod plan;
mod read;
mod segments;

pub use placement::{Placement, Run};
pub use plan::{Amount, ArrayPlan, ElementPlan, Mark, Plan, StagePlan, human_bytes, human_count};
pub use read::{ArrayRead, Coord, GridWalk, IndexState, Part, Role, Work, WorkStream, check_rank, touched};
pub use segments::Segments;
