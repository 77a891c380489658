//! Reading from a server on loopback: how many requests it takes, in how many round trips, and what faults come to.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

#[path = "far/cache.rs"]
mod cache;
mod common;
#[path = "far/economy.rs"]
mod economy;
#[path = "far/faults.rs"]
mod faults;
#[path = "far/operations.rs"]
mod operations;
#[path = "far/pending.rs"]
mod pending;
#[path = "far/whole.rs"]
mod whole;

use std::sync::Arc;

use lazarr::store::StoreOptions;
use lazarr::{Options, Result, Session};
use lazarr_testkit::{Layout, Sample, Server, Spec};

fn sample(layout: Layout) -> Sample {
    Sample::new(&Spec { layout, ..Spec::default() })
}

/// With patience: for servers that answer late, on a machine that is busy.
const PATIENT: [(&str, &str); 2] = [("read_timeout", "30s"), ("retry_timeout", "60s")];

/// Opens what a server serves, with little patience.
fn open(server: &Server, words: &[(&str, &str)], options: Options) -> Result<Arc<Session>> {
    let fast = [("read_timeout", "300ms"), ("retry_timeout", "3s"), ("max_retries", "3")];
    let storage = StoreOptions::new(fast.iter().chain(words).copied());
    let options = Options { memory_limit: Some(1 << 30), threads: Some(2), storage, ..options };
    Session::open(&server.url(""), options)
}
