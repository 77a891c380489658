//! The engine: open an AnnData in Zarr lazily, plan, execute.
//!
//! ```no_run
//! use lazarr::{Call, Index, LazyAnnData, Options, Session, Step};
//! let session = Session::open("atlas.zarr", Options::default())?;
//! let adata = LazyAnnData::new(&session, session.root())?;
//! let rows = adata.get("X")?.select(0, Step::Index(Index::slice(None, Some(100), None, 50_000)?))?;
//! println!("{}", rows.plan(&Call::default(), false)?);
//! let value = rows.collect(&Call::default())?;
//! println!("{} bytes", value.bytes());
//! # Ok::<(), lazarr::Error>(())
//! ```

pub mod arrow;
mod axis;
mod buffer;
mod cache;
mod call;
mod card;
pub mod check;
mod concat;
mod counts;
pub mod diff;
mod discover;
mod exec;
mod forms;
mod inventory;
mod lazy;
mod ledger;
mod locate;
mod memory;
mod need;
mod object;
mod overlay;
mod patience;
mod pending;
mod program;
mod rearrange;
mod reduce;
mod resolve;
mod session;
mod state;
mod stream;
mod threads;
mod value;
pub mod write;

pub use axis::{Axis, AxisView, Step};
pub use buffer::Buffer;
pub use call::{Call, decoded_bytes};
pub use card::Card;
pub use concat::{Concatenation, Join, concat, joined_kind, joined_nullable, joined_ordered};
pub use counts::ValueCounts;
pub use inventory::{Inventory, Space, Stray};
pub use lazarr_format as format;
pub use lazarr_format::anndata::{Body, Element};
pub use lazarr_format::metadata::{Limit, Limits};
pub use lazarr_format::{Code, DataType, Error, Kind, Result};
pub use lazarr_plan as plan;
pub use lazarr_plan::{Index, Plan};
pub use lazarr_store as store;
pub use lazarr_store::Meter;
pub use lazy::Lazy;
pub use ledger::{Budget, Charge, Ledger};
pub use memory::{default_limit, reset_peak, resident};
pub use object::{LazyAnnData, MAPPINGS};
pub use patience::Interrupt;
pub use pending::Pending;
pub use program::describe;
pub use reduce::MeanVar;
pub use session::{Missing, Options, Session};
pub use stream::{Cuts, RowBlock, RowBlocks};
pub use value::{Dense, SparseMatrix, Strings, Table, Value};

/// The attributes of an element's node, as JSON text.
pub fn attributes_json(element: &Element) -> String {
    serde_json::to_string(&*element.attributes).unwrap_or_default()
}
