//! Damaged stores: whatever is done to a good one, reading it ends in the exact data or in a typed error wherever the
//! bytes allow that to be known; and never in a panic, an abort, a hang, or memory beyond the limit.
//!
//! Each store is made from its number and the seed (`LAZARR_SEED`): a small good store, damaged once to three times (see
//! `lazarr_testkit::Damaged`). It is opened, all of it is read, and what was touched is read in every manner there is.
//! What comes is compared with what the good store brought. Stores are read in child processes, so that an abort or a
//! hang ends one of them and the parent can tell which store it was.
//!
//! `LAZARR_MUTATIONS=50000` reads so many; `LAZARR_MUTATION=1234` reads this one alone, here, says what was done to it,
//! and keeps it below the build directory, as each store that fails is kept.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]
#![allow(unreachable_pub, reason = "the modules of a test are its own")]

mod judge;
mod read;
mod run;
mod table;

/// Counts what Rust allocates, touched or not; what C libraries allocate shows in the resident size alone.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

#[test]
fn damaged_stores() {
    run::main();
}
