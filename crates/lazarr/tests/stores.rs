//! Stores that are no plain directory: archives, stores that cannot be listed, stores that are out of date, links.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{adata, alone, open};
use lazarr::format::DataType;
use lazarr::store::{Meter, ZipLimits, ZipStore};
use lazarr::{Body, Call, Code, Element, Lazy, LazyAnnData, Ledger, Options, Plan, Session, Value};
use lazarr_testkit::{Array, Layout, Sample, Shards, Spec, Wrapped, Writer, Zip};

/// Every path below an element.
fn paths(element: &Element) -> Vec<String> {
    let mut out = vec![element.path.clone()];
    for (_, child) in element.children() {
        out.extend(paths(&child));
    }
    out.sort();
    out
}

/// What is stored at these paths, as text that can be compared.
fn contents(session: &Arc<Session>) -> String {
    let object = adata(session);
    ["X", "obs", "var/_index", "layers/counts", "obsm/X_pca", "obsp/near", "raw/X", "uns/title"]
        .map(|path| match object.get(path).unwrap().collect(&Call::default()).unwrap() {
            Value::Sparse(m) => {
                format!("{:?} {:?} {:?}", m.shape, m.data.as_slice(), m.indices.as_slice())
            }
            Value::Dense(d) => format!("{:?} {:?}", d.shape, d.data.as_slice()),
            Value::Strings(s) => format!("{:?}", common::texts(&s)),
            Value::Table(t) => {
                format!("{} rows, {:?}", t.len, t.columns.iter().map(|c| &c.0).collect::<Vec<_>>())
            }
            other => panic!("{path}: {other:?}"),
        })
        .join("\n")
}

fn layouts() -> Vec<Layout> {
    let shards = Shards { per_axis: 2, index_at_start: false, checksum: true, gap: 3, reversed: true };
    let v3 = Layout::default();
    vec![
        v3.clone(),
        Layout { shards: Some(shards), ..v3.clone() },
        Layout { consolidated: false, ..v3 },
        Layout::v2(),
        Layout { consolidated: false, ..Layout::v2() },
    ]
}

#[test]
fn an_archive_is_the_store_it_was_made_from() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    for layout in layouts() {
        let sample = Sample::new(&Spec { layout, ..Spec::default() });
        let plain = contents(&open(Arc::new(sample.writer.store()), false, 2));
        for (deflate, folder) in [(false, ""), (true, ""), (false, "sample.zarr/"), (true, "sample.zarr/")] {
            let path = dir.path().join("x.zip");
            std::fs::write(&path, Zip::of(&sample.writer.values(), folder, deflate).bytes()).unwrap();
            let open = |path: &Path, audit: bool| {
                let options = Options { audit, memory_limit: Some(1 << 30), ..Options::default() };
                Session::open(path.to_str().unwrap(), options)
            };
            for audit in [false, true] {
                assert_eq!(contents(&open(&path, audit).unwrap()), plain);
            }
            // An element inside; pickles open it by its name again.
            for inside in ["obsm/X_pca", "sample.zarr/obsm/X_pca"] {
                if folder.is_empty() && inside.starts_with("sample") {
                    continue;
                }
                let session = open(&path.join(inside), true).unwrap();
                assert!(matches!(session.root().body, Body::Dense(_)));
                let again = open(Path::new(session.url()), true).unwrap();
                let value = Lazy::new(&again, again.root()).collect(&Call::default()).unwrap();
                let Value::Dense(d) = value else { panic!() };
                let rows: Vec<u64> = (0..60).collect();
                assert_eq!(d.data.as_slice(), sample.dense_rows("obsm/X_pca", &rows, None));
            }
            assert_eq!(open(&path.join("obsm/none"), false).unwrap_err().code(), Code::StoreNotFound);
            // By its first bytes, whatever it is called.
            let renamed = dir.path().join("x.bin");
            std::fs::rename(&path, &renamed).unwrap();
            assert_eq!(contents(&open(&renamed, false).unwrap()), plain);
        }
    }
    let other = dir.path().join("x.h5ad");
    std::fs::write(&other, b"\x89HDF").unwrap();
    let e = Session::open(other.to_str().unwrap(), Options::default()).unwrap_err();
    assert_eq!(e.code(), Code::StoreNotFound);
    std::fs::write(dir.path().join("bad.zip"), b"no zip").unwrap();
    let bad = dir.path().join("bad.zip/X");
    let e = Session::open(bad.to_str().unwrap(), Options::default()).unwrap_err();
    assert_eq!(e.code(), Code::Archive);
}

#[test]
fn plans_of_an_archive_name_what_is_read() {
    let _alone = alone();
    let sample = Sample::new(&Spec { layout: Layout::sharded(), ..Spec::default() });
    let mut store = lazarr::store::MemoryStore::default();
    store.insert("a.zip", Zip::of(&sample.writer.values(), "", true).bytes());
    let zip = ZipStore::over(Arc::new(store), "a.zip", "a.zip", "", &ZipLimits::default()).unwrap();
    let session = open(Arc::new(zip), false, 1);
    let lazy = adata(&session).get("X").unwrap();
    let plan = lazy.plan(&Call::default(), true).unwrap();
    let meter = Arc::new(Meter::default());
    let used = Ledger::process().used();
    lazy.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
    assert_eq!(plan.requests.value, meter.requests());
    assert_eq!(plan.fetch_bytes.value, meter.bytes());
    assert!(meter.ledger_peak() - used <= plan.peak_bytes.value - Plan::PROCESS_BYTES);
    // Of what was inflated for an index, the index alone stays charged.
    assert!(Ledger::process().used() < 4096, "{}", Ledger::process().used());
}

#[test]
fn a_store_that_cannot_be_listed_is_asked_for_the_names_of_anndata() {
    let _alone = alone();
    for layout in layouts() {
        let consolidated = layout.consolidated;
        let sample = Sample::new(&Spec { layout, ..Spec::default() });
        let store = Wrapped::new(sample.writer.store());
        let listed = open(store.clone(), false, 1);
        let expected = contents(&listed);
        store.unlist();
        let session = open(store.clone(), true, 1);
        if consolidated {
            assert!(session.notices().is_empty() && session.unlisted().is_empty());
            assert_eq!(contents(&session), expected);
            continue;
        }
        assert_eq!(listed.notices().len(), 1);
        assert!(listed.notices()[0].contains("zarr.consolidate_metadata(\"memory\")"));
        assert!(listed.unlisted().is_empty());
        assert_eq!(session.notices().len(), 1);
        assert!(session.notices()[0].contains("zarr.consolidate_metadata"), "{:?}", session.notices());
        assert_eq!(session.unlisted(), ["layers", "obsm", "varm", "obsp", "varp", "uns", "raw/varm"]);
        // Tables, X and raw are whole; what is in mappings opens by its path.
        let whole = |s: &Session, name: &str| paths(&s.element(name).unwrap());
        for name in ["X", "obs", "var", "raw"] {
            assert_eq!(whole(&session, name), whole(&listed, name));
        }
        assert!(whole(&session, "obsm") == ["obsm"]);
        assert_eq!(contents(&session), expected);
        assert!(matches!(session.element("uns/number").unwrap().body, Body::Scalar(_)));
        for absent in ["obsm/nothing", "uns/a/b/c", "nothing", "obs/nothing", "obsm/X_pca/c"] {
            let e = session.element(absent).unwrap_err();
            assert_eq!(e.code(), Code::ElementNotFound, "{absent}");
            assert_eq!(
                e.help_text().is_some(),
                absent.contains("obsm") || absent.contains("uns"),
                "{absent}"
            );
        }
        // What was asked for once is known.
        let before = store.count();
        session.element("obsm/X_pca").unwrap();
        assert_eq!(store.count(), before);
        // Names that are given are part of the object, aligned as everything else.
        let names =
            ["obsm/X_pca", "obsm/X_3d", "layers/counts", "obsp/near", "uns/title", "uns/number", "obsm/none"];
        let names = names.map(str::to_owned).to_vec();
        let named = Session::open_store(store.clone(), Options { names, ..Options::default() }).unwrap();
        assert_eq!(paths(named.root()), paths(listed.root()));
        let value = LazyAnnData::new(&named, named.root()).unwrap().keys("obsm").unwrap();
        assert_eq!(value, ["X_pca", "X_3d"]);
    }
}

#[test]
fn an_array_that_consolidated_metadata_names_and_that_is_gone_is_no_zeros() {
    let _alone = alone();
    for layout in layouts() {
        let consolidated = layout.consolidated;
        let sample = Sample::new(&Spec { layout, ..Spec::default() });
        for whole in [true, false] {
            let mut store = sample.writer.store();
            let gone: Vec<String> = store
                .keys()
                .filter(|k| k.starts_with("layers/counts/"))
                .filter(|k| whole || !(k.ends_with("zarr.json") || k.contains("/.z")))
                .map(str::to_owned)
                .collect();
            for key in &gone {
                store.remove(key);
            }
            for audit in [false, true] {
                let session = open(Arc::new(store.clone()), audit, 2);
                if whole && !consolidated {
                    assert_eq!(session.element("layers/counts").unwrap_err().code(), Code::ElementNotFound);
                    continue;
                }
                let lazy = adata(&session).get("layers/counts").unwrap();
                let meter = Arc::new(Meter::default());
                let call = Call { meter: Some(meter.clone()), ..Call::default() };
                match lazy.collect(&call) {
                    Err(e) if whole => {
                        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("layers/counts")));
                        assert!(e.message().contains("consolidated"));
                    }
                    Ok(Value::Dense(d)) if !whole => {
                        assert!(d.data.as_slice().iter().all(|b| *b == 0));
                        let planned = lazy.plan(&Call::default(), true).unwrap().requests.value;
                        assert_eq!(meter.requests(), planned, "a look is no request");
                        assert_eq!(meter.checks(), u64::from(consolidated));
                    }
                    other => panic!("{:?}", other.map(|_| ())),
                }
            }
            let lenient = Options { missing: lazarr::Missing::Fill, ..Options::default() };
            if !whole || consolidated {
                let session = Session::open_store(Arc::new(store), lenient).unwrap();
                adata(&session).get("layers/counts").unwrap().collect(&Call::default()).unwrap();
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_break_what_they_stand_for() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("s.zarr"), dir.path().join("outside"));
    let layout = Layout { consolidated: false, ..Layout::default() };
    Sample::new(&Spec { layout, ..Spec::default() }).writer.write_to(&root).unwrap();
    std::fs::rename(root.join("obsm"), &outside).unwrap();
    symlink(&outside, root.join("obsm")).unwrap();
    symlink("..", root.join("uns/loop")).unwrap();
    let open = |follow_links: bool| {
        let options = Options { follow_links, ..Options::default() };
        Session::open(root.to_str().unwrap(), options).unwrap()
    };
    let session = open(false);
    for path in ["obsm", "uns/loop"] {
        let Body::Broken(e) = session.element(path).unwrap().body else { panic!("{path}") };
        assert_eq!(e.code(), Code::StoreEscape, "{path}");
    }
    adata(&session).get("X").unwrap().collect(&Call::default()).unwrap();
    let session = open(true);
    adata(&session).get("obsm/X_pca").unwrap().collect(&Call::default()).unwrap();
    assert!(matches!(session.element("uns/loop").unwrap().body, Body::Broken(_)));
}

/// Real archives: one that has its documents twice, one that is deflated. `LAZARR_CORPUS` says where they are.
#[test]
fn archives_of_two_ages_open() {
    let Some(corpus) = std::env::var_os("LAZARR_CORPUS") else {
        println!("SKIPPED: there is no corpus; set LAZARR_CORPUS");
        return;
    };
    for (name, shape) in [("v0.11.4", [10, 20]), ("v0.7.0", [30, 20])] {
        let path = Path::new(&corpus).join(format!("stores/anndata-archives/{name}.zarr.zip"));
        let options = Options { audit: true, ..Options::default() };
        let session = Session::open(path.to_str().unwrap(), options).unwrap();
        match &session.root().body {
            Body::AnnData(_) => {
                assert_eq!(session.root().shape().unwrap(), shape);
                let object = adata(&session);
                object.collect(&Call::default(), None).unwrap();
            }
            // Without an encoding, as it was written before 0.7.
            _ => assert_eq!(session.element("X").unwrap().shape().unwrap(), shape),
        }
    }
}

#[test]
fn what_is_below_an_element_that_was_asked_for_is_found_too() {
    let _alone = alone();
    for layout in [Layout::default(), Layout::v2()] {
        let mut w = Writer::new(&Layout { consolidated: false, ..layout });
        w.encoded("", "dict", "0.1.0", &[]);
        w.encoded("tree", "dict", "0.1.0", &[]);
        w.encoded("tree/branch", "dict", "0.1.0", &[]);
        w.array("tree/branch/leaf", &Array::integers(DataType::Int(4), 4, &[1, 2, 3]));
        let store = Wrapped::new(w.store());
        store.unlist();
        let session = open(store, true, 1);
        for path in ["tree", "tree/branch", "tree/branch/leaf"] {
            assert_eq!(session.element(path).unwrap().path, path);
            assert_eq!(session.is_unlisted(path), !path.ends_with("leaf"), "{path}");
        }
        assert_eq!(session.element("tree/twig").unwrap_err().code(), Code::ElementNotFound);
    }
}
