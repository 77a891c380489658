//! For tests: stores with known contents.
//!
//! A [`Writer`] lays arrays and groups out as a [`Layout`] says (Zarr v2 or v3, sharded or not, codecs, orders), into a
//! map of keys. [`Sample`] makes a whole AnnData from a seed and keeps what it wrote, so that a test can say what a
//! selection must bring. [`Wrapped`] is a store that counts, waits, fails, and can be changed under its readers. [`Damaged`]
//! is a store to which something was done that should not have been. [`Server`] is a web server that does to requests what
//! networks do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what goes wrong here is a broken test"
)]
#![allow(clippy::missing_panics_doc, reason = "as above")]

mod array;
mod far;
mod merge;
mod mutate;
mod rng;
mod sample;
mod server;
mod simulated;
mod wrapped;
mod writer;
mod zip;

pub use array::{Array, Items};
pub use far::Far;
pub use merge::{cheapest, cheapest_by_brute_force};
pub use mutate::{Damaged, Known, Mutation, Values};
pub use rng::Rng;
pub use sample::{Column, Matrix, Sample, Spec};
pub use server::{Asked, Fault, Server};
pub use simulated::{Catalog, Simulated};
pub use wrapped::Wrapped;
pub use writer::{Codec, Layout, Shards, Writer};
pub use zip::{Zip, ZipItem};
