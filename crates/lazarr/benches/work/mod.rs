//! What the inner loops are run on: a store in memory, so that no file system is measured.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot open its own store has nothing to say")]

use std::sync::Arc;

use lazarr::format::DataType;
use lazarr::{Call, Index, LazyAnnData, Options, Session, Step};
use lazarr_testkit::{Codec, Layout, Sample, Shards, Spec};

/// What is run, by name.
pub(crate) const NAMES: [&str; 7] = ["rows", "random", "gene", "genes", "mean_var", "all", "obs"];

/// A store of 4,000 cells × 3,000 genes, about 800,000 stored values, in chunks of 16 Ki.
pub(crate) fn open(codec: Codec) -> LazyAnnData {
    let shards = Shards { per_axis: 64, index_at_start: false, checksum: true, gap: 0, reversed: false };
    let spec = Spec {
        layout: Layout { codec, shards: Some(shards), ..Layout::default() },
        n_obs: 4_000,
        n_vars: 3_000,
        per_row: 400,
        chunks: [1 << 14, 1 << 14, 1 << 12],
        index_types: [DataType::UInt(2), DataType::Int(8)],
        rows: 1 << 12,
        ..Spec::default()
    };
    let store = Arc::new(Sample::new(&spec).writer.store());
    // One thread: instructions are counted, and a thread more adds noise and nothing to see.
    let options = Options { memory_limit: Some(1 << 30), threads: Some(1), ..Options::default() };
    let session = Session::open_store(store, options).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

/// Runs one of [`NAMES`]; a number that depends on the result.
pub(crate) fn run(adata: &LazyAnnData, name: &str) -> u64 {
    let call = Call::default();
    let x = adata.get("X").unwrap();
    let pick = |axis, index| x.select(axis, Step::Index(index)).unwrap();
    let lazy = match name {
        "rows" => pick(0, Index::slice(Some(1_000), Some(2_000), None, 4_000).unwrap()),
        // A hundred rows far from each other.
        "random" => pick(0, Index::ints(&(0..100).map(|i| i * 37 + 5).collect::<Vec<_>>(), 4_000).unwrap()),
        "gene" => pick(1, Index::ints(&[1_234], 3_000).unwrap()),
        "genes" => pick(1, Index::ints(&(0..200).map(|i| i * 13 + 1).collect::<Vec<_>>(), 3_000).unwrap()),
        "mean_var" => {
            let moments = x.mean_var(&call, 0, 0).unwrap();
            return moments.mean.data.len() as u64;
        }
        "obs" => adata.get("obs").unwrap(),
        _ => x,
    };
    lazy.collect(&call).unwrap().bytes()
}
