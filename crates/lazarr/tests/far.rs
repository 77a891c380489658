//! Reading from a server on loopback: how many requests it takes, in how many round trips, and what faults come to.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;
#[path = "far/economy.rs"]
mod economy;
#[path = "far/faults.rs"]
mod faults;
#[path = "far/operations.rs"]
mod operations;

use std::sync::Arc;

use lazarr::store::StoreOptions;
use lazarr::{Options, Result, Session};
use lazarr_testkit::{Layout, Sample, Server, Spec};

fn sample(layout: Layout) -> Sample {
    Sample::new(&Spec { layout, ..Spec::default() })
}

/// Opens what a server serves, with little patience.
fn open(server: &Server, words: &[(&str, &str)], options: Options) -> Result<Arc<Session>> {
    let fast = [("read_timeout", "150ms"), ("retry_timeout", "1s"), ("max_retries", "3")];
    let storage = StoreOptions::new(fast.iter().chain(words).copied());
    let options = Options { memory_limit: Some(1 << 30), threads: Some(2), storage, ..options };
    Session::open(&server.url(""), options)
}
