//! The ledger, failures of the store, interrupts, threads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{adata, alone, index, open, rows_of};
use lazarr::format::DataType;
use lazarr::plan::{Amount, Mark};
use lazarr::{Budget, Buffer, Call, Code, Lazy, Ledger, Meter, Value};
use lazarr_testkit::{Array, Codec, Items, Layout, Sample, Spec, Wrapped, Writer};

fn used() -> u64 {
    Ledger::process().used()
}

/// One dense array of a megabyte in chunks of 16 KiB.
fn megabyte(layout: &Layout) -> Writer {
    let mut w = Writer::new(layout);
    w.encoded("", "dict", "0.1.0", &[]);
    let bytes = (0..1u32 << 18).flat_map(|x| (x % 97).to_le_bytes()).collect();
    w.array("a", &Array::new(DataType::UInt(4), &[512, 512], &[8, 512], Items::Fixed(bytes)));
    w
}

#[test]
fn what_exactly_does_not_fit_is_refused_before_anything_is_read() {
    let _alone = alone();
    let store = Wrapped::new(megabyte(&Layout::default()).store());
    let session = open(store.clone(), false, 2);
    let lazy = Lazy::new(&session, &session.element("a").unwrap());
    let reads = store.count();
    let call = Call { memory_limit: Some(1_000_000), ..Call::default() };
    let e = lazy.collect(&call).unwrap_err();
    assert_eq!(e.code(), Code::MemoryLimit);
    assert!(e.to_string().contains("1.0 MB"), "{e}");
    assert_eq!((store.count(), used()), (reads, 0), "nothing was read, nothing is charged");
    // With room for the result alone it fails later, never above the limit.
    let meter = Arc::new(Meter::default());
    let call = Call { memory_limit: Some((1 << 20) + 100), meter: Some(meter.clone()), ..Call::default() };
    assert_eq!(lazy.collect(&call).unwrap_err().code(), Code::MemoryLimit);
    assert!(meter.ledger_peak() <= (1 << 20) + 100);
    assert_eq!(used(), 0);
}

#[test]
fn the_limit_holds_for_every_element_and_the_ledger_returns_to_zero() {
    let _alone = alone();
    let sample = Sample::new(&Spec { n_obs: 150, n_vars: 100, layout: Layout::sharded(), ..Spec::default() });
    let session = open(Arc::new(sample.writer.store()), false, 2);
    let object = adata(&session);
    for path in ["X", "raw/X", "obs", "layers/counts", "obsm/X_3d", "obsp/near", "var"] {
        for columns in [false, true] {
            let mut lazy = object.get(path).unwrap();
            if columns && path == "X" {
                lazy = lazy.select(1, index(&[5, 3, 3], 100)).unwrap();
            }
            let mut fitted = false;
            for limit in [100, 400, 1600, 6400, 25_600, 102_400, 409_600, 1 << 22] {
                session.clear_caches();
                let meter = Arc::new(Meter::default());
                let call = Call { memory_limit: Some(limit), meter: Some(meter.clone()), ..Call::default() };
                match lazy.collect(&call) {
                    Ok(value) => {
                        fitted = true;
                        assert!(used() >= value.bytes(), "{path}: the result is charged while it lives");
                    }
                    Err(e) => assert!(!fitted && e.code() == Code::MemoryLimit, "{path} {limit}: {e}"),
                }
                assert!(meter.ledger_peak() <= limit, "{path}: {} above {limit}", meter.ledger_peak());
                session.clear_caches();
                assert_eq!(used(), 0, "{path} {limit}");
            }
            assert!(fitted, "{path}");
        }
    }
}

/// The limit that an error says to be enough.
fn enough(e: &lazarr::Error) -> Option<u64> {
    let text = e.to_string();
    let mut words = text.split_once("memory_limit to ")?.1.split(' ');
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        _ => return None,
    };
    Some((number * unit) as u64)
}

#[test]
fn a_refusal_says_what_is_enough_and_that_is() {
    let _alone = alone();
    for layout in [Layout::default(), Layout::sharded()] {
        let sample = Sample::new(&Spec { n_obs: 900, n_vars: 300, layout, ..Spec::default() });
        let session = open(Arc::new(sample.writer.store()), false, 2);
        let object = adata(&session);
        for path in ["X", "layers/counts", "obsm/X_3d"] {
            let lazy =
                object.get(path).unwrap().select(0, index(&(5..700).collect::<Vec<_>>(), 900)).unwrap();
            let plan = lazy.plan(&Call::default(), true).unwrap();
            assert_eq!(plan.peak_bytes.mark, Mark::Exact, "{path}\n{plan}");
            session.clear_caches();
            let call = Call { memory_limit: Some(plan.output_bytes.value - 1), ..Call::default() };
            let meter = Arc::new(Meter::default());
            let e = lazy.collect(&Call { meter: Some(meter.clone()), ..call }).unwrap_err();
            assert_eq!(e.code(), Code::MemoryLimit, "{path}: {e}");
            assert!(meter.decoded() < plan.output_bytes.value / 2, "{path}: values were read");
            session.clear_caches();
            let limit = enough(&e);
            let got = lazy.collect(&Call { memory_limit: limit, ..Call::default() });
            assert!(limit.is_some() && got.is_ok(), "{path}: {limit:?} is not enough: {e}\n{:?}", got.err());
        }
        session.clear_caches();
    }
}

#[test]
fn kept_shard_indices_do_not_starve_a_call() {
    let _alone = alone();
    let mut layout = Layout::sharded();
    layout.shards.as_mut().unwrap().per_axis = 8;
    let mut w = Writer::new(&layout);
    w.encoded("", "dict", "0.1.0", &[]);
    let items = vec![1i64; 20_000];
    w.array("a", &Array::integers(DataType::Int(1), 1, &items)); // 2,500 indices of 132 bytes
    let session = open(Arc::new(w.store()), false, 1);
    let lazy = Lazy::new(&session, &session.element("a").unwrap());
    let call = Call { memory_limit: Some(120_000), ..Call::default() };
    for _ in 0..2 {
        lazy.collect(&call).unwrap();
        assert!(used() <= 30_000, "a quarter of the limit at most");
        let plan = lazy.plan(&call, true).unwrap();
        let meter = Arc::new(Meter::default());
        lazy.collect(&Call { meter: Some(meter.clone()), ..call.clone() }).unwrap();
        assert_eq!((plan.requests.mark, plan.requests.value), (Mark::Exact, meter.requests()));
    }
    session.clear_caches();
    assert_eq!(used(), 0);
}

#[test]
fn a_budget_charges_before_memory_is_there() {
    let _alone = alone();
    let ledger = Arc::new(Ledger::default());
    let meter = Arc::new(Meter::default());
    let budget = Budget::new(ledger.clone(), 1000, meter.clone());
    // What no machine has: refused by the ledger, not by the allocator.
    assert_eq!(Buffer::zeroed(1 << 60, &budget, "a result").unwrap_err().code(), Code::MemoryLimit);
    let mut buffer = Buffer::zeroed(600, &budget, "a result").unwrap();
    assert_eq!((ledger.used(), buffer.address() % 16), (600, 0));
    assert_eq!(Buffer::zeroed(401, &budget, "another").unwrap_err().code(), Code::MemoryLimit);
    let mut charge = budget.charge(100, "a").unwrap();
    charge.absorb(budget.charge(50, "b").unwrap());
    assert_eq!((charge.bytes(), ledger.used()), (150, 750));
    drop(charge);
    buffer.release();
    assert_eq!((ledger.used(), meter.ledger_peak()), (0, 750));
}

#[test]
fn calls_share_one_ledger() {
    let _alone = alone();
    let store = Wrapped::new(megabyte(&Layout::default()).store());
    store.slow(Duration::from_millis(1));
    let session = open(store, false, 1);
    let lazy = Lazy::new(&session, &session.element("a").unwrap());
    let peak = AtomicU64::new(0);
    let limit = 3 << 20;
    let results: Vec<bool> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let meter = Arc::new(Meter::default());
                    let call =
                        Call { memory_limit: Some(limit), meter: Some(meter.clone()), ..Call::default() };
                    let value = lazy.collect(&call);
                    peak.fetch_max(meter.ledger_peak(), SeqCst);
                    assert!(value.as_ref().err().is_none_or(|e| e.code() == Code::MemoryLimit));
                    value.is_ok()
                })
            })
            .collect();
        calls.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(results.contains(&true) && results.contains(&false), "{results:?}");
    assert!(peak.load(SeqCst) <= limit);
    assert_eq!(used(), 0);
}

#[test]
fn whichever_read_fails_the_error_is_typed_and_nothing_stays_charged() {
    let _alone = alone();
    for (layout, csc) in [(Layout::sharded(), false), (Layout::v2(), true)] {
        let sample = Sample::new(&Spec { n_obs: 40, n_vars: 20, layout, csc, ..Spec::default() });
        let store = Wrapped::new(sample.writer.store());
        let session = open(store.clone(), false, 2);
        let object = adata(&session).select(Some(index(&[3, 30, 3, 8], 40)), None).unwrap();
        let object = object.select(None, Some(index(&[1, 0, 7], 20))).unwrap();
        let mut failed = 0;
        for n in 0.. {
            session.clear_caches();
            store.fail(Some(n));
            match object.collect(&Call::default(), None) {
                Ok(_) => break,
                Err(e) => {
                    assert_eq!(e.code(), Code::StoreIo, "{n}: {e}");
                    assert!(e.key_name().is_some() && e.element_name().is_some(), "{e}");
                    failed += 1;
                }
            }
            session.clear_caches();
            assert_eq!(used(), 0, "read {n}");
        }
        assert!(failed > 30);
        store.fail(None);
        // Metadata too.
        for n in 0..2 {
            store.fail(Some(n));
            let opened = lazarr::Session::open_store(store.clone(), lazarr::Options::default());
            assert!(opened.is_err() || n == 1 && session.zarr_format() == 3);
        }
    }
}

#[test]
fn an_interrupt_ends_a_slow_read_soon() {
    let _alone = alone();
    for layout in [Layout::default(), Layout::sharded()] {
        let store = Wrapped::new(megabyte(&layout).store());
        for threads in [1, 2, 8] {
            let session = open(store.clone(), false, threads);
            store.slow(Duration::from_millis(20));
            let lazy = Lazy::new(&session, &session.element("a").unwrap());
            let start = Instant::now();
            let stop = || start.elapsed() > Duration::from_millis(50);
            let e = lazy.collect(&Call { interrupt: Some(&stop), ..Call::default() }).unwrap_err();
            let took = start.elapsed();
            assert_eq!(e.code(), Code::Interrupted);
            assert!(took < Duration::from_millis(260), "{threads} threads: {took:?}");
            session.clear_caches();
            assert_eq!(used(), 0);
            store.slow(Duration::ZERO);
        }
    }
}

#[test]
fn an_interrupt_ends_many_quick_reads_and_plans() {
    let _alone = alone();
    let store = Wrapped::new(megabyte(&Layout::sharded()).store());
    store.slow(Duration::from_millis(10));
    let session = open(store, false, 1);
    let lazy = Lazy::new(&session, &session.element("a").unwrap());
    let start = Instant::now();
    let stop = || start.elapsed() > Duration::from_millis(50);
    let call = Call { interrupt: Some(&stop), ..Call::default() };
    assert_eq!(lazy.plan(&call, true).unwrap_err().code(), Code::Interrupted);
    assert!(start.elapsed() < Duration::from_millis(200));
}

#[test]
fn results_do_not_depend_on_threads() {
    let _alone = alone();
    let spec = Spec { n_obs: 3000, n_vars: 400, per_row: 60, chunks: [512, 700, 256], ..Spec::default() };
    let layout = Layout { codec: Codec::Zstd, ..Layout::sharded() };
    let sample = Sample::new(&Spec { layout, ..spec });
    let store: Arc<_> = Arc::new(sample.writer.store());
    let rows: Vec<i64> = (0..1500).map(|i| (i * 7919) % 3000).collect();
    let columns = [399, 3, 3, 250, 17];
    let all: Vec<i64> = (0..400).collect();
    for columns in [&columns[..], &all[..]] {
        let mut first: Option<Vec<Vec<(u64, f32)>>> = None;
        for threads in [1, 2, 3, 8] {
            let session = open(store.clone(), false, threads);
            let x = adata(&session).get("X").unwrap();
            let x = x.select(0, index(&rows, 3000)).unwrap().select(1, index(columns, 400)).unwrap();
            let plan = x.plan(&Call::default(), true).unwrap();
            let meter = Arc::new(Meter::default());
            let value = x.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
            let Value::Sparse(m) = value else { panic!() };
            assert_eq!(plan.requests, Amount::exact(meter.requests()), "{threads} threads");
            assert_eq!(plan.fetch_bytes, Amount::exact(meter.bytes()), "{threads} threads");
            assert_eq!(plan.chunks, Amount::exact(meter.chunks()), "each chunk once, {threads} threads");
            assert_eq!(plan.decode_bytes, Amount::exact(meter.decoded()), "{threads} threads");
            let found = rows_of(&m);
            assert_eq!(&found, first.get_or_insert_with(|| found.clone()), "{threads} threads");
        }
        let model: Vec<u64> = rows.iter().map(|&r| r as u64).collect();
        let wanted: Vec<u64> = columns.iter().map(|&c| c as u64).collect();
        assert_eq!(first.unwrap(), sample.x.select(&model, &wanted));
    }
}

#[test]
fn rows_of_csc_come_in_as_many_passes_as_the_limit_asks_for() {
    let _alone = alone();
    let layout = Layout { codec: Codec::Zstd, ..Layout::sharded() };
    let sample = Sample::new(&Spec {
        n_obs: 6000,
        n_vars: 60,
        per_row: 4500,
        csc: true,
        chunks: [64, 512, 64],
        layout,
        ..Spec::default()
    });
    let all: Vec<u64> = (0..60).collect();
    for (limit, many) in [(64u64 << 20, false), (600_000, true), (450_000, true)] {
        let session = open(Arc::new(sample.writer.store()), true, 2);
        let lazy = adata(&session).get("X").unwrap();
        let call = Call { memory_limit: Some(limit), ..Call::default() };
        let plan = lazy.plan(&call, false).unwrap().to_string();
        assert_eq!(plan.contains("passes over this csc matrix"), many, "{plan}");
        let meter = Arc::new(Meter::default());
        let call = Call { meter: Some(meter.clone()), ..call };
        let mut stream = lazy.stream(&call, Some(177), None).unwrap();
        let mut at = 0;
        while let Some(block) = stream.next(&call).unwrap() {
            assert_eq!(block.start, at);
            at = block.end;
            let Value::Sparse(m) = &block.value else { panic!() };
            let rows: Vec<u64> = (block.start..block.end).collect();
            let mut expected = sample.x.select(&rows, &all);
            // In order, whatever the order in the store.
            for column in &mut expected {
                column.sort_by_key(|(row, _)| *row);
            }
            assert_eq!(rows_of(m), expected);
        }
        assert_eq!(at, 6000);
        assert!(meter.ledger_peak() <= limit);
        let decoded = meter.chunks();
        lazy.collect(&Call { memory_limit: None, ..call.clone() }).unwrap();
        let once = meter.chunks() - decoded;
        assert!(if many { decoded > once } else { decoded == once }, "{decoded} {once}");
        drop(stream);
    }
    assert_eq!(used(), 0);
}

#[test]
fn strings_are_charged_before_they_are_decoded() {
    let _alone = alone();
    for codec in [Codec::Zstd, Codec::Gzip] {
        let mut w = Writer::new(&Layout { codec, ..Layout::default() });
        w.encoded("", "dict", "0.1.0", &[]);
        w.array("a", &Array::strings(4, &["x".repeat(4 << 20), String::new()]));
        let session = open(Arc::new(w.store()), false, 1);
        let lazy = Lazy::new(&session, &session.element("a").unwrap());
        let meter = Arc::new(Meter::default());
        lazy.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
        // At once there are what the codec wrote, the strings of the chunk, and those that are wanted of them.
        assert!(meter.ledger_peak() >= 12 << 20, "{codec:?}: {}", meter.ledger_peak());
        assert_eq!(used(), 0);
        let call = Call { memory_limit: Some(10 << 20), ..Call::default() };
        assert_eq!(lazy.collect(&call).unwrap_err().code(), Code::MemoryLimit);
    }
}

#[test]
fn a_shape_of_strings_that_cannot_fit_is_refused_before_anything_is_read() {
    let _alone = alone();
    for layout in [Layout::default(), Layout::sharded(), Layout::v2()] {
        let mut w = Writer::new(&layout);
        w.encoded("", "dict", "0.1.0", &[]);
        w.array("a", &Array::strings(4, &["a".to_owned(), "b".to_owned()]));
        let file = if layout.version == 2 { "a/.zarray" } else { "a/zarr.json" };
        let mut node: serde_json::Value = serde_json::from_slice(&w.values()[file]).unwrap();
        node["shape"] = serde_json::json!([1u64 << 40]);
        w.replace_node(file, node);
        let session = open(Arc::new(w.store()), false, 1);
        let lazy = Lazy::new(&session, &session.element("a").unwrap());
        // Of 2^38 chunks a plan gives bounds.
        let plan = lazy.plan(&Call::default(), true).unwrap();
        assert_eq!(plan.chunks, Amount::exact(1 << 38));
        assert!(plan.fetch_bytes.mark != Mark::Exact);
        let meter = Arc::new(Meter::default());
        let e = lazy.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap_err();
        assert_eq!((e.code(), meter.requests()), (Code::MemoryLimit, 0), "{e}");
    }
}

#[test]
fn found_places_are_charged_while_they_are_searched() {
    let _alone = alone();
    let spec = Spec { n_obs: 100, n_vars: 2, per_row: 2, chunks: [1000; 3], ..Spec::default() };
    let sample = Sample::new(&spec);
    assert!(sample.x.nnz() > 40);
    let session = open(Arc::new(sample.writer.store()), false, 1);
    // Each stored value goes to a hundred thousand columns of the result.
    let x = adata(&session).get("X").unwrap().select(1, index(&vec![1; 100_000], 2)).unwrap();
    let meter = Arc::new(Meter::default());
    let call = Call { meter: Some(meter.clone()), memory_limit: Some(32 << 20), ..Call::default() };
    let e = x.collect(&call).unwrap_err();
    assert_eq!(e.code(), Code::MemoryLimit, "{e}");
    assert!(
        meter.ledger_peak() > 16 << 20,
        "the search went on until nothing was left: {}",
        meter.ledger_peak()
    );
    assert_eq!(used(), 0);
}
