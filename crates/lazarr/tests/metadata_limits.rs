//! Each limit holds where it is set, and the error says which it is; one step more, and the store opens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use lazarr::format::DataType;
use lazarr::store::MemoryStore;
use lazarr::{Body, Call, Code, Element, Error, Lazy, Limit, Limits, Options, Result, Session};
use lazarr_testkit::{Array, Codec, Items, Layout, Shards, Writer};
use serde_json::json;

fn open(store: &MemoryStore, limit: Limit, value: u64) -> Result<Arc<Session>> {
    let limits = Limits::default().with(limit, value);
    let options = Options { limits, audit: true, memory_limit: Some(1 << 28), ..Options::default() };
    Session::open_store(Arc::new(store.clone()), options)
}

/// The first error among an element and what is below it.
fn broken(element: &Element) -> Option<Error> {
    match &element.body {
        Body::Broken(e) => Some(e.again()),
        _ => element.children().iter().find_map(|(_, child)| broken(child)),
    }
}

/// What opening and reading everything says under this limit.
fn attempt(store: &MemoryStore, limit: Limit, value: u64) -> Result<()> {
    let session = open(store, limit, value)?;
    match broken(session.root()) {
        Some(e) => Err(e),
        None => Lazy::new(&session, session.root()).collect(&Call::default()).map(|_| ()),
    }
}

/// That `least` is enough, one less is not, and the error says so. Gives the error.
fn holds(what: &str, store: &MemoryStore, limit: Limit, least: u64) -> Error {
    attempt(store, limit, least).unwrap_or_else(|e| panic!("{what}: {e}"));
    let e =
        attempt(store, limit, least - 1).err().unwrap_or_else(|| panic!("{what}: {limit:?} does not hold"));
    assert_eq!(e.code(), Code::MetadataLimit, "{what}: {e}");
    let (expected, _) = e.expected_found();
    assert!(expected.unwrap().contains(&format!("{}", least - 1)), "{what}: {e}");
    assert!(expected.unwrap().ends_with(&format!("(the limit {})", limit.name())), "{what}: {e}");
    assert!(e.help_text().unwrap().contains(limit.name()), "{what}: {e}");
    e
}

/// A mapping of so many small arrays.
fn mapping(layout: &Layout, arrays: usize) -> MemoryStore {
    let mut w = Writer::new(layout);
    w.encoded("", "dict", "0.1.0", &[]);
    for i in 0..arrays {
        w.array(&format!("a{i}"), &Array::integers(DataType::Int(4), 4, &[1, 2, 3]));
    }
    w.store()
}

fn layouts() -> Vec<Layout> {
    let plain = |layout: Layout| Layout { consolidated: false, ..layout };
    vec![Layout::default(), Layout::v2(), plain(Layout::default()), plain(Layout::v2())]
}

#[test]
fn bytes_of_metadata_are_bounded_altogether() {
    for layout in layouts() {
        let store = mapping(&layout, 12);
        let length = |key: &str| store.value(key).unwrap().len() as u64;
        let is_read = |key: &&str| match (layout.consolidated, layout.version) {
            (true, 3) => *key == "zarr.json",
            (true, _) => *key == ".zmetadata",
            (false, 3) => key.ends_with("zarr.json"),
            (false, _) => key.rsplit('/').next().unwrap().starts_with(".z"),
        };
        let all = store.keys().filter(is_read).map(length).sum();
        let e = holds(&format!("{layout:?}"), &store, Limit::MetadataBytes, all);
        assert!(e.key_name().is_some(), "{e}");
    }
}

#[test]
fn a_document_is_refused_before_it_is_read() {
    let mut store = MemoryStore::default();
    let text = r#"{"zarr_format": 3, "node_type": "group", "attributes": {}}"#;
    store.insert("zarr.json", format!("{text}{}", " ".repeat(1 << 20)).into_bytes());
    let e = open(&store, Limit::MetadataBytes, 1 << 20).unwrap_err();
    let meter = Arc::new(lazarr::Meter::default());
    assert_eq!((e.code(), e.key_name()), (Code::MetadataLimit, Some("zarr.json")), "{e}");
    let limits = Limits::default().with(Limit::MetadataBytes, 1 << 20);
    let options = Options { limits, meter: Some(meter.clone()), ..Options::default() };
    assert!(Session::open_store(Arc::new(store), options).is_err());
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn nesting_is_bounded() {
    for depth in [10, 100, 127] {
        let mut store = mapping(&Layout::default(), 1);
        let mut value = json!(1);
        for _ in 2..depth {
            value = json!([value]);
        }
        let root = json!({"zarr_format": 3, "node_type": "group", "attributes": {"deep": value}});
        store.insert("zarr.json", root.to_string().into_bytes());
        holds("JSON", &store, Limit::JsonDepth, depth);
    }
    // Deeper than any parser may go: an error all the same.
    let mut store = MemoryStore::default();
    store.insert("zarr.json", "[".repeat(1 << 20).into_bytes());
    assert_eq!(open(&store, Limit::JsonDepth, u64::MAX).unwrap_err().code(), Code::MetadataLimit);
}

#[test]
fn groups_are_nested_as_deep_as_json() {
    for depth in [20, 127] {
        let mut w = Writer::new(&Layout::default());
        w.encoded("", "dict", "0.1.0", &[]);
        let mut path = String::from("g");
        for _ in 1..depth {
            w.encoded(&path, "dict", "0.1.0", &[]);
            path.push_str("/g");
        }
        w.encoded(&path, "dict", "0.1.0", &[]);
        holds("groups", &w.store(), Limit::JsonDepth, depth);
    }
}

#[test]
fn groups_and_arrays_are_counted() {
    for layout in layouts() {
        holds(&format!("{layout:?}"), &mapping(&layout, 7), Limit::Nodes, 8);
    }
}

#[test]
fn dimensions_are_counted() {
    for layout in layouts() {
        for rank in [3, 40, 64] {
            let mut w = Writer::new(&layout);
            w.encoded("", "dict", "0.1.0", &[]);
            let ones = vec![1; rank];
            w.array("a", &Array::new(DataType::UInt(1), &ones, &ones, Items::Fixed(vec![7])));
            let e = holds(&format!("{layout:?}"), &w.store(), Limit::Dimensions, rank as u64);
            assert_eq!(e.element_name(), Some("a"), "{e}");
        }
    }
}

fn numbers(layout: &Layout) -> MemoryStore {
    let mut w = Writer::new(layout);
    w.encoded("", "dict", "0.1.0", &[]);
    w.array("a", &Array::integers(DataType::Int(8), 1000, &vec![5; 3000]));
    w.store()
}

#[test]
fn decoded_bytes_of_a_chunk_are_bounded_before_anything_is_read() {
    for layout in layouts() {
        holds(&format!("{layout:?}"), &numbers(&layout), Limit::ChunkBytes, 8000);
    }
}

#[test]
fn the_index_of_a_shard_is_bounded() {
    let shards = Shards { per_axis: 600, index_at_start: false, checksum: false, gap: 0, reversed: false };
    let layout = Layout { shards: Some(shards), ..Layout::default() };
    let mut w = Writer::new(&layout);
    w.encoded("", "dict", "0.1.0", &[]);
    w.array("a", &Array::integers(DataType::Int(1), 1, &[1; 600]));
    holds("an index", &w.store(), Limit::ChunkBytes, 9600);
}

#[test]
fn encoded_bytes_of_a_chunk_are_bounded() {
    for layout in [Layout::default(), Layout { codec: Codec::Zstd, ..Layout::default() }] {
        let mut store = numbers(&layout);
        let longest = Limits::default().with(Limit::ChunkBytes, 8000).encoded_bytes();
        for (bytes, code) in [
            // It is read, and is of the wrong length or no zstd.
            (longest, [Code::ChunkLength, Code::ChunkDecode]),
            (longest + 1, [Code::MetadataLimit; 2]),
        ] {
            store.insert("a/c/1", vec![0; bytes as usize]);
            let session = open(&store, Limit::ChunkBytes, 8000).unwrap();
            let e = Lazy::new(&session, session.root()).collect(&Call::default()).unwrap_err();
            assert!(code.contains(&e.code()), "{bytes}: {e}");
            assert_eq!((e.element_name(), e.key_name()), (Some("a"), Some("a/c/1")), "{e}");
        }
        // What it is to be raised to is enough.
        let e = attempt(&store, Limit::ChunkBytes, 8000).unwrap_err();
        let raised: u64 = e.help_text().unwrap().rsplit('=').next().unwrap().parse().unwrap();
        assert_ne!(attempt(&store, Limit::ChunkBytes, raised).unwrap_err().code(), Code::MetadataLimit);
    }
}

#[test]
fn encoded_bytes_of_a_chunk_in_a_shard_are_bounded() {
    let shards = Shards { per_axis: 2, index_at_start: true, checksum: false, gap: 0, reversed: false };
    let mut store = numbers(&Layout { shards: Some(shards), ..Layout::default() });
    let mut shard = store.value("a/c/0").unwrap().to_vec();
    shard.resize(20_000, 0);
    shard[8..16].copy_from_slice(&15_000u64.to_le_bytes()); // the first inner chunk
    store.insert("a/c/0", shard);
    let e = attempt(&store, Limit::ChunkBytes, 8000).unwrap_err();
    assert_eq!((e.code(), e.key_name()), (Code::MetadataLimit, Some("a/c/0")), "{e}");
    assert_eq!(attempt(&store, Limit::ChunkBytes, 15_000).unwrap_err().code(), Code::ChunkLength);
}

#[test]
fn strings_are_bounded_once_they_are_decoded() {
    for codec in [Codec::None, Codec::Zstd] {
        let mut w = Writer::new(&Layout { codec, ..Layout::default() });
        w.encoded("", "dict", "0.1.0", &[]);
        let words: Vec<String> = (0..10).map(|i| "x".repeat(1000 + i)).collect();
        w.array("a", &Array::strings(10, &words));
        // The number of items, and the length and the bytes of each.
        let decoded = 4 + 10 * 4 + (10_000 + 45);
        let store = w.store();
        attempt(&store, Limit::ChunkBytes, decoded).unwrap();
        let e = attempt(&store, Limit::ChunkBytes, decoded - 1).unwrap_err();
        assert_eq!((e.code(), e.key_name()), (Code::MetadataLimit, Some("a/c/0")), "{e}");
        assert!(e.help_text().unwrap().contains("chunk_bytes"), "{e}");
    }
}

/// Metadata counts against the memory limit before anything is made of it.
#[test]
fn metadata_that_does_not_fit_into_the_memory_limit_is_refused() {
    let mut store = MemoryStore::default();
    let text = format!(
        r#"{{"zarr_format": 3, "node_type": "group", "attributes": {{"a": [{}0]}}}}"#,
        "0,".repeat(1 << 20)
    );
    store.insert("zarr.json", text.into_bytes());
    let store = Arc::new(store);
    let open = |memory| {
        Session::open_store(store.clone(), Options { memory_limit: Some(memory), ..Options::default() })
    };
    let e = open(40 << 20).unwrap_err();
    assert_eq!((e.code(), e.key_name()), (Code::MemoryLimit, Some("zarr.json")), "{e}");
    assert!(e.to_string().contains("the metadata does not fit"), "{e}");
    open(512 << 20).unwrap();
}
