//! Checks: a whole store is well, and every fault of a broken one is named, each at its place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::open;
use lazarr::check::{Depth, Report, Severity, check};
use lazarr::format::DataType;
use lazarr::store::MemoryStore;
use lazarr::{Call, Inventory, Lazy, Options, Session, Value};
use lazarr_testkit::{Array, Column, Layout, Sample, Spec};
use serde_json::json;

type Keys = BTreeMap<String, Vec<u8>>;

fn sample() -> Sample {
    Sample::new(&Spec::default())
}

fn session(keys: &Keys) -> Arc<Session> {
    let mut store = MemoryStore::default();
    for (key, value) in keys {
        store.insert(key.clone(), value.clone());
    }
    open(Arc::new(store), true, 2)
}

fn run(keys: &Keys, depth: Depth) -> Report {
    check(&session(keys), &Call::default(), depth, &|_| {}).unwrap()
}

/// Code, element and key of every error.
fn errors(report: &Report) -> Vec<(&str, &str, &str)> {
    let errors = report.findings.iter().filter(|f| f.severity == Severity::Error);
    errors.map(|f| (f.code, &*f.element, f.key.as_deref().unwrap_or_default())).collect()
}

/// Code and element of every notice.
fn notices(report: &Report) -> Vec<(&str, &str)> {
    let notices = report.findings.iter().filter(|f| f.severity == Severity::Notice);
    notices.map(|f| (f.code, &*f.element)).collect()
}

#[test]
fn whole_stores_of_any_layout_are_well() {
    for seed in 0..60 {
        let sample = Sample::new(&Spec::random(seed));
        let keys = sample.writer.values();
        let unsorted = |m: &lazarr_testkit::Matrix| {
            m.major.iter().filter(|row| !row.is_sorted_by_key(|(i, _)| *i)).count()
        };
        for depth in [Depth::Quick, Depth::Deep] {
            let report = run(&keys, depth);
            assert!(report.is_well(), "{seed}: {:?}", report.findings);
            assert!(report.listed && report.more == 0);
            let stray = report.findings.iter().find(|f| f.code == "stray-file" || f.code == "stale-metadata");
            assert!(stray.is_none(), "{seed}: {stray:?}");
            let said = report.findings.iter().filter(|f| f.code == "unsorted-indices");
            let said: BTreeMap<&str, &str> = said.map(|f| (&*f.element, &*f.message)).collect();
            for (path, m) in [("X", &sample.x), ("obsp/near", &sample.near), ("raw/X", &sample.raw)] {
                let n = if depth == Depth::Deep { unsorted(m) } else { 0 };
                assert_eq!(said.contains_key(path), n > 0, "{seed} {path}");
                if n > 0 {
                    assert!(said[path].starts_with(&format!("the indices of {n} ")), "{}", said[path]);
                }
            }
        }
    }
}

#[test]
fn a_deep_check_decodes_every_chunk_and_a_quick_one_hardly_any() {
    let keys = sample().writer.values();
    let report = run(&keys, Depth::Deep);
    let chunks = keys.keys().filter(|k| !k.ends_with("zarr.json")).count() as u64;
    assert!(report.chunks >= chunks, "{} of {chunks}", report.chunks);
    assert!(report.arrays > 30 && report.elements > 30);
    let quick = run(&keys, Depth::Quick);
    assert_eq!((quick.arrays, quick.chunks), (0, 6), "the two ends of three indptrs");
}

#[test]
fn every_fault_is_named() {
    let mut keys = sample().writer.values();
    // These chunks cannot be decoded; the check goes on after each, and names each once.
    let broken = [
        "X/data/c/1",
        "X/data/c/3",
        "obs/_index/c/2",
        "obs/count/c/0",
        "obs/kind/categories/c/0",
        "obs/note/c/2",
        "obsm/X_3d/c/1/1/0",
    ];
    for key in broken {
        *keys.get_mut(key).unwrap() = vec![1, 2, 3];
    }
    let report = run(&keys, Depth::Deep);
    let mut found: Vec<&str> = errors(&report).iter().map(|e| e.2).collect();
    found.sort_unstable();
    assert_eq!(found, broken);
    assert!(!report.is_well());
    assert!(run(&keys, Depth::Quick).is_well(), "a quick check reads none of them");
}

#[test]
fn many_faults_of_an_array_are_counted() {
    let mut sample = Sample::new(&Spec { n_obs: 500, rows: 4, ..Spec::default() });
    let items: Vec<i64> = (0..500).collect();
    sample.writer.array("obs/count", &Array::integers(DataType::Int(2), 4, &items));
    let mut keys = sample.writer.values();
    let broken: Vec<String> = keys.keys().filter(|k| k.starts_with("obs/count/c/")).cloned().collect();
    assert_eq!(broken.len(), 125);
    for key in broken {
        keys.insert(key, vec![0]);
    }
    let report = run(&keys, Depth::Deep);
    let of_it: Vec<_> = errors(&report).into_iter().filter(|e| e.1 == "obs/count").collect();
    assert_eq!(of_it.len(), 22);
    assert!(report.findings.iter().any(|f| f.message.contains("more parts of it cannot be read")));
}

#[test]
fn what_arrays_say_of_each_other_is_compared() {
    let at = |name: &str, array: Array| {
        let mut sample = sample();
        sample.writer.array(name, &array);
        sample.writer.values()
    };
    let s = sample();
    let (_, indices, indptr) = s.x.parts();
    let ints = |items: &[i64]| Array::integers(DataType::Int(4), 32, items);

    let mut outside = indices.clone();
    (outside[3], outside[40]) = (25, -1);
    let report = run(&at("X/indices", ints(&outside)), Depth::Deep);
    assert_eq!(errors(&report), [("LZ0404", "X", "X/indices/c/0")]);
    assert!(report.findings[0].message.contains("25 at position 3 of `indices` (2 such in all)"));

    let mut falls = indptr.clone();
    falls[20] = falls[19] - 1;
    let report = run(&at("X/indptr", ints(&falls)), Depth::Deep);
    assert_eq!(errors(&report), [("LZ0403", "X", "X/indptr/c/0")]);

    let mut short = indptr.clone();
    *short.last_mut().unwrap() -= 1;
    for depth in [Depth::Quick, Depth::Deep] {
        let report = run(&at("X/indptr", ints(&short)), depth);
        assert_eq!(errors(&report), [("LZ0403", "X", "")], "the ends of row starts are cheap");
    }

    let mut twice = indices.clone();
    let row = (0..indptr.len() - 1).find(|&r| indptr[r + 1] - indptr[r] > 1).unwrap();
    twice[indptr[row] as usize + 1] = twice[indptr[row] as usize];
    let report = run(&at("X/indices", ints(&twice)), Depth::Deep);
    assert!(notices(&report).contains(&("duplicate-indices", "X")));
    assert!(report.is_well());

    let mut codes = vec![0i64; 60];
    (codes[17], codes[18]) = (4, -2);
    let report = run(&at("obs/kind/codes", Array::integers(DataType::Int(1), 16, &codes)), Depth::Deep);
    assert_eq!(errors(&report), [("LZ0405", "obs/kind", "obs/kind/codes/c/1")]);
    assert!(report.findings.iter().any(|f| f.message.contains("4 in row 17 (2 such in all)")));
}

#[test]
fn text_that_is_no_text_is_a_fault() {
    let s = sample();
    let mut w = s.writer.clone();
    let items: Vec<String> = (0..60).map(|_| "x".into()).collect();
    w.array("obs/note", &Array::strings(16, &items));
    let mut keys = w.values();
    let chunk = keys.get_mut("obs/note/c/1").unwrap();
    *chunk = [&16u32.to_le_bytes()[..], &[1, 0, 0, 0, 0xff].repeat(16)].concat();
    let report = run(&keys, Depth::Deep);
    let found = errors(&report);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, "obs/note");
}

#[test]
fn lengths_that_differ_are_found_at_once() {
    let mut w = sample().writer;
    w.array("obs/count", &Array::integers(DataType::Int(2), 16, &[1; 59]));
    w.array(
        "layers/counts",
        &Array::new(DataType::Int(1), &[60, 24], &[16, 7], lazarr_testkit::Items::Fixed(vec![0; 1440])),
    );
    let report = run(&w.values(), Depth::Quick);
    let found: Vec<_> = errors(&report).iter().map(|e| (e.0, e.1)).collect::<Vec<_>>();
    assert_eq!(found, [("LZ0407", "obs/count"), ("LZ0407", "layers/counts")]);
}

#[test]
fn chunks_that_are_not_there_are_counted_and_judged() {
    // Numbers may be the fill value.
    let mut keys = sample().writer.values();
    keys.remove("obsm/X_pca/c/1/0").unwrap();
    let report = run(&keys, Depth::Deep);
    assert!(report.is_well(), "{:?}", report.findings);
    let filled: Vec<_> = report.filled.iter().map(|f| (&*f.array, f.chunks, f.of)).collect();
    assert_eq!(filled, [("obsm/X_pca", 1, 4)]);
    // Indices of rows with several values, names and categories may not.
    for (key, element) in [
        ("X/indices/c/1", "X/indices"),
        ("obs/_index/c/1", "obs/_index"),
        ("obs/kind/categories/c/0", "obs/kind/categories"),
    ] {
        let mut keys = sample().writer.values();
        keys.remove(key).unwrap();
        let report = run(&keys, Depth::Deep);
        let found = errors(&report);
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert_eq!((found[0].0, found[0].1), ("LZ0304", element), "{key}");
    }
}

#[test]
fn what_belongs_to_nothing_is_told() {
    let mut keys = sample().writer.values();
    keys.insert("notes.txt".into(), vec![0; 10]);
    keys.insert("X/data/c/99".into(), vec![0; 7]);
    keys.insert("X/data/c/0.bak".into(), vec![0; 5]);
    keys.insert("old/a/b".into(), vec![0; 20]);
    keys.insert("old/c".into(), vec![0; 1]);
    let report = run(&keys, Depth::Quick);
    assert!(report.is_well());
    let strays = report.findings.iter().filter(|f| f.code == "stray-file");
    let mut strays: Vec<(&str, bool)> =
        strays.map(|f| (f.key.as_deref().unwrap(), f.message.contains("2 files, 21 B"))).collect();
    strays.sort_unstable();
    assert_eq!(
        strays,
        [("X/data/c/0.bak", false), ("X/data/c/99", false), ("notes.txt", false), ("old", true)]
    );
}

#[test]
fn an_element_that_anndata_refuses_is_told() {
    let mut w = sample().writer;
    w.array("more", &Array::integers(DataType::Int(2), 16, &[1; 3]));
    let report = run(&w.values(), Depth::Quick);
    assert!(report.is_well());
    assert_eq!(notices(&report).iter().filter(|n| n.0 == "not-anndata").count(), 1);
}

#[test]
fn consolidated_metadata_that_is_out_of_date_is_told() {
    for version in [2, 3] {
        let layout = Layout { version, consolidated: true, ..Layout::default() };
        let spec = Spec { layout, ..Spec::default() };
        let document = |name: &str| format!("{name}/{}", if version == 3 { "zarr.json" } else { ".zarray" });
        let mut keys = Sample::new(&spec).writer.values();
        assert_eq!(run(&keys, Depth::Deep).findings.iter().filter(|f| f.code == "stale-metadata").count(), 0);
        // A document that has changed since.
        let key = document("obs/count");
        let mut changed: serde_json::Value = serde_json::from_slice(&keys[&key]).unwrap();
        changed["shape"] = json!([61]);
        keys.insert(key.clone(), serde_json::to_vec(&changed).unwrap());
        // One that has come since, and one that has gone.
        let new = keys[&document("obs/score")].clone();
        keys.insert(document("obs/later"), new);
        keys.remove(&document("obs/flag")).unwrap();
        if version == 2 {
            keys.remove("obs/flag/.zattrs").unwrap();
        }
        let report = run(&keys, Depth::Deep);
        let stale = report.findings.iter().filter(|f| f.code == "stale-metadata");
        let mut stale: Vec<&str> = stale.map(|f| &*f.element).collect();
        stale.sort_unstable();
        assert_eq!(stale, ["obs/count", "obs/flag", "obs/later"], "v{version}: {:?}", report.findings);
    }
}

#[test]
fn memory_is_bounded() {
    let mut w = sample().writer;
    let items: Vec<i64> = (0..400_000).map(|i| i % 100).collect();
    w.array("uns/long", &Array::integers(DataType::Int(8), 1000, &items));
    let options = Options { memory_limit: Some(600 << 10), threads: Some(1), ..Options::default() };
    let session = Session::open_store(Arc::new(w.store()), options).unwrap();
    let report = check(&session, &Call::default(), Depth::Deep, &|_| {}).unwrap();
    assert!(report.is_well(), "{:?}", report.findings);
    // A chunk that does not fit is said, and the rest is checked.
    w.array("uns/long", &Array::integers(DataType::Int(8), 200_000, &items));
    let options = Options { memory_limit: Some(600 << 10), threads: Some(1), ..Options::default() };
    let session = Session::open_store(Arc::new(w.store()), options).unwrap();
    let report = check(&session, &Call::default(), Depth::Deep, &|_| {}).unwrap();
    let found = errors(&report);
    assert_eq!(found, [("LZ0601", "uns/long", "uns/long/c/0"), ("LZ0601", "uns/long", "uns/long/c/1")]);
}

#[test]
fn a_check_can_be_stopped() {
    let session = session(&sample().writer.values());
    // However short each of its reads is.
    let asked = std::sync::atomic::AtomicU64::new(0);
    let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 20;
    let call = Call { interrupt: Some(&stop), ..Call::default() };
    let seen = std::cell::Cell::new(0);
    let e = check(&session, &call, Depth::Deep, &|_| seen.set(seen.get() + 1)).unwrap_err();
    assert_eq!(e.code(), lazarr::Code::Interrupted);
    assert!((1..40).contains(&seen.get()));
}

#[test]
fn every_byte_of_a_store_is_somewhere() {
    for seed in 0..20 {
        let mut keys = Sample::new(&Spec::random(seed)).writer.values();
        keys.insert("lost/file".into(), vec![0; 11]);
        let inventory = Inventory::take(&session(&keys)).unwrap();
        let all: u64 = keys.values().map(|v| v.len() as u64).sum();
        let whole = inventory.below("");
        assert_eq!(whole.bytes + 11, all, "{seed}");
        assert_eq!(whole.files + 1, keys.len() as u64);
        assert_eq!(inventory.strays().len(), 1);
        let of_x: u64 = keys.iter().filter(|(k, _)| k.starts_with("X/")).map(|(_, v)| v.len() as u64).sum();
        assert_eq!(inventory.below("X").bytes, of_x);
        let chunks = keys
            .keys()
            .filter(|k| k.starts_with("X/data/") && !k.contains("/.") && !k.ends_with("zarr.json"));
        assert_eq!(inventory.own("X/data").chunks, chunks.count() as u64);
    }
}

#[test]
fn values_are_counted_as_pandas_counts_them() {
    for seed in 0..20 {
        let sample = Sample::new(&Spec::random(seed));
        let session = open(Arc::new(sample.writer.store()), true, 2);
        let adata = common::adata(&session);
        for (name, column) in &sample.obs {
            let lazy = adata.get(&format!("obs/{name}")).unwrap();
            let counts = lazy.value_counts(&Call::default()).unwrap();
            assert_eq!(counts.rows, sample.spec.n_obs);
            let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            let mut missing = 0;
            let mut see = |item: Option<Vec<u8>>| match item {
                Some(item) => *model.entry(item).or_default() += 1,
                None => missing += 1,
            };
            match column {
                Column::Fixed(_, items) => items.iter().for_each(|i| see(Some(i.clone()))),
                Column::Strings(items) => items.iter().for_each(|s| see(Some(s.as_bytes().to_vec()))),
                Column::Categorical(codes, names, _) => {
                    for &c in codes {
                        see(usize::try_from(c).ok().map(|c| names[c].as_bytes().to_vec()));
                    }
                }
                Column::Nullable("string", items) => {
                    for s in items {
                        see(s.as_ref().map(|s| s.as_bytes().to_vec()));
                    }
                }
                Column::Nullable("integer", items) => items
                    .iter()
                    .for_each(|s| see(s.as_ref().map(|s| s.parse::<i64>().unwrap().to_le_bytes().to_vec()))),
                Column::Nullable(_, items) => {
                    for s in items {
                        see(s.as_ref().map(|s| vec![u8::from(s == "true")]));
                    }
                }
            }
            let items = items(&counts.values);
            assert_eq!(items.len(), counts.counts.len());
            assert!(counts.counts.is_sorted_by(|a, b| a >= b), "{name}");
            let found: BTreeMap<Vec<u8>, u64> =
                items.into_iter().zip(counts.counts.iter().copied()).filter(|(_, n)| *n > 0).collect();
            assert_eq!((found, counts.missing), (model, missing), "{seed} {name}");
        }
    }
}

fn items(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Strings(s) => (0..s.len()).map(|i| s.get(i).unwrap().to_vec()).collect(),
        Value::Dense(d) => {
            d.data.as_slice().chunks_exact(d.dtype.item_size().unwrap()).map(<[u8]>::to_vec).collect()
        }
        _ => panic!("no items"),
    }
}

#[test]
fn nan_is_missing_and_zero_has_one_sign() {
    let mut w = sample().writer;
    let mut items = [0.0f64; 60];
    (items[0], items[1], items[2]) = (f64::NAN, -0.0, 7.5);
    let bytes = items.iter().flat_map(|x| x.to_le_bytes()).collect();
    w.array("obs/score", &Array::new(DataType::Float(8), &[60], &[16], lazarr_testkit::Items::Fixed(bytes)));
    let session = open(Arc::new(w.store()), true, 2);
    let score = common::adata(&session).get("obs/score").unwrap();
    let counts = score.value_counts(&Call::default()).unwrap();
    assert_eq!((counts.counts, counts.missing, counts.rows), (vec![58, 1], 1, 60));
    let title = Lazy::new(&session, &session.element("uns/title").unwrap());
    assert_eq!(title.value_counts(&Call::default()).unwrap_err().code(), lazarr::Code::Operation);
}

#[test]
fn a_query_is_a_predicate_of_its_view() {
    let sample = sample();
    let session = open(Arc::new(sample.writer.store()), true, 2);
    let adata = common::adata(&session);
    let step = adata.obs_axis().query("kind == 'T cell' and count > 0 or index == 'cell3-ü'").unwrap();
    let view = adata.select(Some(step), None).unwrap();
    view.resolve(&Call::default()).unwrap();
    let (Column::Categorical(codes, ..), Column::Fixed(_, counts)) = (&sample.obs[4].1, &sample.obs[0].1)
    else {
        panic!()
    };
    let count = |i: usize| i16::from_le_bytes(counts[i].clone().try_into().unwrap());
    let expected: Vec<u64> =
        (0..60).filter(|&i| codes[i] == 0 && count(i) > 0 || i == 3).map(|i| i as u64).collect();
    assert_eq!(view.obs_axis().index().unwrap().to_vec(), expected);
    let e = adata.obs_axis().query("cuont > 5").unwrap_err();
    assert_eq!(
        (e.code(), e.expected_found().1),
        (lazarr::Code::ElementNotFound, Some("`cuont`, at character 1 of the query"))
    );
    assert!(e.to_string().contains("`count`") || e.to_string().contains("count"), "{e}");
    let counts = view.get("obs/kind").unwrap().value_counts(&Call::default()).unwrap();
    assert_eq!(counts.rows, expected.len() as u64);
}
