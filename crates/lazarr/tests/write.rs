//! What is written is read back the same; what ends a writer harms no store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;
#[path = "write/faults.rs"]
mod faults;
#[path = "write/resume.rs"]
mod resume;
#[path = "write/same.rs"]
mod same;
#[path = "write/turn.rs"]
mod turn;

use std::sync::Arc;

use common::{adata, index, open};
use lazarr::format::encode::{Layout, PRESETS};
use lazarr::store::draft::{Draft, MemoryDraft};
use lazarr::write::{Source, WriteOptions, check_manifest, write_to};
use lazarr::{Call, Code, LazyAnnData, Options, Session, Value};
use lazarr_testkit::{Sample, Spec};

use same::same;

/// What a source becomes, as an open store.
fn written(source: Source<'_>, layout: Layout, call: &Call<'_>) -> lazarr::Result<Arc<Session>> {
    let mut draft = MemoryDraft::default();
    let options = WriteOptions { layout, ..WriteOptions::default() };
    write_to(source, &draft, &options, call)?;
    draft.publish()?;
    let options = Options { memory_limit: Some(1 << 30), audit: true, ..Options::default() };
    Session::open_store(Arc::new(draft.store().unwrap()), options)
}

fn read(object: &LazyAnnData) -> Value {
    object.collect(&Call::default(), None).unwrap()
}

fn object(sample: &Sample) -> LazyAnnData {
    adata(&open(Arc::new(sample.writer.store()), false, 2))
}

/// A layout whose chunks and shards are so small that everything has several.
fn tiny(zarr_format: u8) -> Layout {
    let rules = r#"[{"path": "**", "chunk": {"items": 5}, "shard": {"items": 15}, "codec": "zstd"},
        {"path": "obsm", "chunk": {"shape": [4, 2]}, "shard": {"shape": [8, 4]}},
        {"path": "**", "role": "column", "chunk": {"items": 3}}]"#;
    Layout::from_json(&format!("{{\"zarr_format\": {zarr_format}, \"rules\": {rules}}}")).unwrap()
}

#[test]
fn random_stores_come_back_the_same() {
    let _alone = common::alone();
    let seeds = std::env::var("LAZARR_WRITES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        let sample = Sample::new(&Spec::random(seed));
        let before = object(&sample);
        let expected = read(&before);
        let zarr_format = if seed % 3 == 0 { 2 } else { 3 };
        let mut layouts: Vec<_> =
            PRESETS.iter().map(|(name, _)| Layout::preset(name, zarr_format).unwrap()).collect();
        layouts.extend([tiny(2), tiny(3)]);
        // In the formats that they have; other ones are `turn`'s.
        layouts.iter_mut().flat_map(|l| &mut l.rules).for_each(|rule| rule.format = None);
        for layout in layouts {
            let call = Call { threads: Some(1 + seed as usize % 3), ..Call::default() };
            let session = written(Source::of_object(&before).unwrap(), layout, &call).unwrap();
            same(&read(&adata(&session)), &expected, &format!("seed {seed}"));
            for array in session.root().arrays() {
                let io = lazarr::store::Io::new(session_store(&session));
                check_manifest(&io, &array, &mut |_| Ok(())).unwrap();
            }
        }
    }
}

fn session_store(session: &Arc<Session>) -> Arc<dyn lazarr::store::Store> {
    session.store().clone()
}

#[test]
fn selections_are_written_as_they_are_read() {
    let _alone = common::alone();
    for csc in [false, true] {
        let sample = Sample::new(&Spec { csc, ..Spec::default() });
        let all = object(&sample);
        let picks: [(Vec<i64>, Vec<i64>); 4] = [
            ((3..40).collect(), (0..25).collect()),
            ((0..60).step_by(7).collect(), vec![2, 3, 11]),
            (vec![50, 3, 3, 17], vec![24, 0]),
            (vec![], (0..25).collect()),
        ];
        for (rows, columns) in picks {
            let view = all.select(Some(index(&rows, 60)), Some(index(&columns, 25))).unwrap();
            for layout in [tiny(3), Layout::preset("random", 3).unwrap()] {
                let session = written(Source::of_object(&view).unwrap(), layout, &Call::default()).unwrap();
                same(&read(&adata(&session)), &read(&view), &format!("{rows:?} {columns:?}"));
            }
        }
    }
}

#[test]
fn a_chunk_that_was_written_and_is_gone_is_noticed() {
    let sample = Sample::new(&Spec::default());
    let mut draft = MemoryDraft::default();
    let options = WriteOptions { layout: tiny(3), ..WriteOptions::default() };
    write_to(Source::of_object(&object(&sample)).unwrap(), &draft, &options, &Call::default()).unwrap();
    draft.publish().unwrap();
    let mut store = draft.store().unwrap();
    // Numbers, for which an absent chunk is a fill value where nobody knows better.
    assert!(store.remove("obs/count/c/0").is_some());
    let session = open(Arc::new(store), false, 1);
    let e = adata(&session).get("obs/count").unwrap().collect(&Call::default()).unwrap_err();
    assert_eq!(e.code(), Code::MissingChunk);
}

#[test]
fn writing_stays_within_the_limit() {
    let _alone = common::alone();
    let spec = Spec {
        n_obs: 20_000,
        n_vars: 2000,
        per_row: 60,
        chunks: [4096, 4096, 4096],
        rows: 4096,
        ..Spec::default()
    };
    let sample = Sample::new(&spec);
    let x = object(&sample).get("X").unwrap();
    let limit = 1 << 20;
    let meter = Arc::new(lazarr::Meter::default());
    let call =
        Call { memory_limit: Some(limit), threads: Some(2), meter: Some(meter.clone()), ..Call::default() };
    assert!(lazarr::decoded_bytes(x.element()).value > 3 * limit);
    let rules =
        r#"{"rules": [{"path": "**", "chunk": {"items": 4096}, "shard": {"items": 65536}, "codec": "lz4"}]}"#;
    let session = written(Source::Lazy(x.clone()), Layout::from_json(rules).unwrap(), &call).unwrap();
    assert!(meter.ledger_peak() <= limit, "{}", meter.ledger_peak());
    let again = lazarr::Lazy::new(&session, session.root());
    same(&again.collect(&Call::default()).unwrap(), &x.collect(&Call::default()).unwrap(), "X");
}
