//! Opening: metadata alone, in as few reads as the format allows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use common::{adata, open};
use lazarr::format::ByteRange;
use lazarr::store::MemoryStore;
use lazarr::{Call, Code, Lazy, Options, Session, Value};
use lazarr_testkit::{Layout, Sample, Spec, Wrapped};

fn sample(version: u8, consolidated: bool) -> Sample {
    let layout = if version == 2 { Layout::v2() } else { Layout::sharded() };
    Sample::new(&Spec { layout: Layout { consolidated, ..layout }, ..Spec::default() })
}

#[test]
fn consolidated_metadata_is_one_read_in_v3_and_two_in_v2() {
    for (version, keys) in [(3, vec!["zarr.json"]), (2, vec!["zarr.json", ".zmetadata"])] {
        let store = Wrapped::new(sample(version, true).writer.store());
        let session = open(store.clone(), false, 1);
        let reads: Vec<_> = keys.iter().map(|k| ((*k).to_owned(), ByteRange::All)).collect();
        assert_eq!((store.reads(), store.listed()), (reads, 0));
        assert!(session.consolidated() && session.zarr_format() == version);
        assert_eq!(session.meter().requests(), keys.len() as u64);
        // Looking at it reads nothing more.
        let object = adata(&session);
        let view = object.select(Some(common::index(&[1, 2], 60)), None).unwrap();
        let _ = (
            object.shape(),
            view.get("X").unwrap().dtype(),
            object.keys("obsm").unwrap(),
            view.get("obs").unwrap().shape(),
        );
        view.plan(&Call::default(), None, false).unwrap();
        assert_eq!(store.count(), keys.len() as u64);
    }
}

#[test]
fn a_walk_finds_what_consolidated_metadata_says() {
    for version in [2, 3] {
        let (walked, whole) = (sample(version, false), sample(version, true));
        let store = Wrapped::new(walked.writer.store());
        let session = open(store.clone(), false, 1);
        let other = open(Arc::new(whole.writer.store()), false, 1);
        assert!(!session.consolidated());
        let paths = |s: &Session| {
            let mut paths: Vec<String> =
                s.root().arrays().iter().map(|a| format!("{} {:?}", a.path, a.shape)).collect();
            paths.sort();
            paths
        };
        assert_eq!(paths(&session), paths(&other));
        assert!(paths(&session).len() > 30);
        // Chunks are not looked at, and each document is read once.
        let reads = store.reads();
        let mut keys: Vec<_> = reads.iter().map(|r| &r.0).collect();
        assert!(keys.iter().all(|k| k.ends_with("zarr.json") || k.contains(".z")), "{keys:?}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), reads.len());
    }
}

#[test]
fn an_element_of_a_store_opens_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    for version in [2, 3] {
        let sample = sample(version, true);
        let path = directory.path().join(format!("v{version}.zarr"));
        sample.writer.write_to(&path).unwrap();
        let whole =
            Session::open(path.to_str().unwrap(), Options { audit: true, ..Options::default() }).unwrap();
        assert_eq!(adata(&whole).shape(), [Some(60), Some(25)]);
        for (element, shape) in [
            ("obsm/X_pca", vec![Some(60), Some(6)]),
            ("X", vec![Some(60), Some(25)]),
            ("X/data", vec![Some(sample.x.nnz() as u64)]),
        ] {
            let session = Session::open(
                path.join(element).to_str().unwrap(),
                Options { audit: true, ..Options::default() },
            )
            .unwrap();
            let lazy = Lazy::new(&session, session.root());
            assert_eq!(lazy.shape(), shape, "{element}");
            match lazy.collect(&Call::default()).unwrap() {
                Value::Dense(d) if element == "obsm/X_pca" => {
                    let all: Vec<u64> = (0..60).collect();
                    assert_eq!(d.data.as_slice(), sample.dense_rows(element, &all, None));
                }
                Value::Sparse(m) => assert_eq!(common::rows_of(&m), sample.x.major),
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_no_store_says_so() {
    let code = |path: &str| Session::open(path, Options::default()).unwrap_err().code();
    assert_eq!(code("/nowhere/at/all"), Code::StoreNotFound);
    assert_eq!(code("ftp://bucket/key"), Code::StoreUrl);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(code(directory.path().to_str().unwrap()), Code::StoreNotFound);
    let file = directory.path().join("a.zarr");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(code(file.to_str().unwrap()), Code::StoreNotFound);
    for (key, text, expected) in [
        ("zarr.json", "{", Code::MetadataJson),
        ("zarr.json", "[1]", Code::MetadataJson),
        ("zarr.json", "{}", Code::MetadataField),
        ("zarr.json", r#"{"zarr_format": 4, "node_type": "group"}"#, Code::MetadataUnsupported),
        (".zmetadata", "nonsense", Code::MetadataJson),
        (".zmetadata", "{}", Code::MetadataField),
        (".zgroup", "\u{0}", Code::MetadataJson),
        (".zarray", "{}", Code::MetadataField),
    ] {
        let mut store = MemoryStore::default();
        store.insert(key, text.as_bytes());
        let e = Session::open_store(Arc::new(store), Options::default()).unwrap_err();
        assert!(e.code() == expected || e.code() == Code::MetadataJson, "{key} {text}: {e}");
        assert!(e.key_name().is_some(), "{e}");
    }
    let mut deep = MemoryStore::default();
    deep.insert("zarr.json", "[".repeat(100_000).into_bytes());
    assert!(Session::open_store(Arc::new(deep), Options::default()).is_err());
}

#[test]
fn what_is_broken_is_listed_and_the_rest_is_read() {
    let sample = sample(3, false);
    let mut store = sample.writer.store();
    store.insert("obsm/X_pca/zarr.json", b"{".to_vec());
    store.insert("obs/note/zarr.json", b"{}".to_vec());
    let session = open(Arc::new(store), true, 1);
    let object = adata(&session);
    assert!(object.keys("obsm").unwrap().contains(&"X_pca".to_owned()));
    assert!(object.get("obsm/X_pca").unwrap().collect(&Call::default()).is_err());
    assert!(object.get("X").unwrap().collect(&Call::default()).is_ok());
    assert!(object.get("obs/kind").unwrap().collect(&Call::default()).is_ok());
}
