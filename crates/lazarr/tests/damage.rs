//! Broken stores: a typed error that names the place, never a panic and never a wrong value.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use common::{index, open, rows_of};
use lazarr::format::DataType;
use lazarr::{Call, Code, Error, Lazy, Result, Session, Value};
use lazarr_testkit::{Array, Codec, Items, Layout, Rng, Sample, Spec, Wrapped, Writer};
use serde_json::json;

fn csr(layout: &Layout, indptr: &Array, indices: &Array) -> Writer {
    let mut w = Writer::new(layout);
    w.encoded("", "csr_matrix", "0.1.0", &[("shape", json!([indptr.shape[0] - 1, 10]))]);
    w.array("indptr", indptr);
    w.array("indices", indices);
    let n = indices.shape[0];
    let data: Vec<u8> = (1..=n).flat_map(|x| (x as f32).to_le_bytes()).collect();
    w.array("data", &Array::new(DataType::Float(4), &[n], &[3], Items::Fixed(data)));
    w
}

fn collect(w: &Writer, rows: Option<&[i64]>, columns: Option<&[i64]>) -> Result<Vec<Vec<(u64, f32)>>> {
    let session = open(Arc::new(w.store()), true, 2);
    let mut lazy = Lazy::new(&session, session.root());
    for (axis, items) in [rows, columns].iter().enumerate() {
        if let Some(items) = items {
            let n = lazy.shape()[axis].unwrap();
            lazy = lazy.select(axis, index(items, n)).unwrap();
        }
    }
    match lazy.collect(&Call::default())? {
        Value::Sparse(m) => Ok(rows_of(&m)),
        _ => panic!("not a matrix"),
    }
}

const INDICES: [i64; 6] = [1, 2, 3, 4, 5, 6];

#[test]
fn row_starts_must_ascend_from_0_to_the_end() {
    for dtype in [DataType::Int(4), DataType::Int(8), DataType::UInt(8)] {
        let bad: [(&str, [i64; 7]); 6] = [
            ("falls", [0, 2, 1, 3, 4, 5, 6]),
            ("does not begin with 0", [1, 2, 3, 4, 5, 5, 6]),
            ("ends early", [0, 1, 2, 3, 4, 4, 5]),
            ("ends late", [0, 1, 2, 3, 4, 5, 7]),
            ("is negative", [0, 1, -1, 3, 4, 5, 6]),
            ("is huge", [0, 1, i64::MAX, 3, 4, 5, 6]),
        ];
        for (what, starts) in bad {
            let indices = Array::integers(DataType::Int(4), 3, &INDICES);
            let w = csr(&Layout::default(), &Array::integers(dtype.clone(), 3, &starts), &indices);
            for columns in [None, Some(&[1, 2, 2][..])] {
                let e = collect(&w, None, columns).expect_err(what);
                assert_eq!((e.code(), e.element_name()), (Code::SparseIndptr, Some("indptr")), "{what}: {e}");
                assert!(e.expected_found().0.is_some() && e.expected_found().1.is_some(), "{what}: {e}");
            }
        }
    }
}

#[test]
fn rows_that_are_not_neighbours_must_ascend_too() {
    let indices = Array::integers(DataType::Int(4), 3, &INDICES);
    let starts = Array::integers(DataType::Int(8), 100, &[0, 3, 5, 1, 2, 6]);
    let w = csr(&Layout::default(), &starts, &indices);
    for columns in [None, Some(&[1, 2][..])] {
        let e = collect(&w, Some(&[0, 3]), columns).unwrap_err();
        assert_eq!(e.code(), Code::SparseIndptr, "{e}");
    }
}

/// A start that is too large ends the row before it too late, and rows beside it are not asked for.
#[test]
fn a_row_that_ends_at_a_wrong_start_is_an_error() {
    for dtype in [DataType::Int(4), DataType::Int(8), DataType::UInt(2), DataType::UInt(8)] {
        let indices = Array::integers(DataType::Int(4), 3, &INDICES);
        let starts = Array::integers(dtype, 100, &[0, 1, 4, 3, 4, 5, 6]);
        let w = csr(&Layout::default(), &starts, &indices);
        for columns in [None, Some(&[1, 2][..])] {
            let e = collect(&w, Some(&[1]), columns).unwrap_err();
            assert_eq!((e.code(), e.element_name()), (Code::SparseIndptr, Some("indptr")), "{e}");
            assert_eq!(e.expected_found().1, Some("3 after 4"), "{e}");
        }
    }
}

/// Absent row starts are zeros: the last one, which is the number of stored values, cannot be.
#[test]
fn row_starts_that_are_absent_to_the_end_are_an_error_for_every_row() {
    let indices = Array::integers(DataType::Int(4), 3, &INDICES);
    let starts = Array::integers(DataType::Int(8), 100, &[0, 1, 2, 3, 4, 5, 6]);
    let mut store = csr(&Layout::default(), &starts, &indices).store();
    assert!(store.remove("indptr/c/0").is_some());
    let session = open(Arc::new(store), true, 1);
    for rows in [&[1][..], &[0, 1, 2], &[5]] {
        let lazy = Lazy::new(&session, session.root()).select(0, index(rows, 6)).unwrap();
        let e = lazy.collect(&Call::default()).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("indptr")), "{e}");
        assert_eq!(e.key_name(), Some("indptr/c/0"));
    }
}

#[test]
fn indices_must_lie_in_the_matrix() {
    for (dtype, bad) in [
        (DataType::Int(1), -1),
        (DataType::Int(2), -300),
        (DataType::Int(4), 10),
        (DataType::Int(8), i64::MIN),
        (DataType::Int(8), 1 << 40),
        (DataType::UInt(1), 255),
        (DataType::UInt(2), 10),
        (DataType::UInt(8), -1),
    ] {
        let mut items = INDICES;
        items[4] = bad;
        let starts = Array::integers(DataType::Int(8), 3, &[0, 1, 2, 3, 4, 5, 6]);
        let w = csr(&Layout::default(), &starts, &Array::integers(dtype.clone(), 4, &items));
        for columns in [None, Some(&[1, 9][..]), Some(&[9, 9, 0][..])] {
            let e = collect(&w, None, columns).expect_err(&format!("{dtype} {bad}"));
            assert_eq!(
                (e.code(), e.element_name()),
                (Code::SparseIndices, Some("indices")),
                "{dtype} {bad}: {e}"
            );
            // Other rows are read as ever.
            assert!(collect(&w, Some(&[0, 1, 2, 3, 5]), columns).is_ok());
        }
    }
}

#[test]
fn codes_must_point_at_a_category() {
    for (dtype, bad) in [
        (DataType::Int(1), 3),
        (DataType::Int(1), -2),
        (DataType::UInt(1), 200),
        (DataType::Int(8), i64::MAX),
    ] {
        let mut w = Writer::new(&Layout::default());
        w.encoded("", "categorical", "0.2.0", &[("ordered", json!(false))]);
        w.array("codes", &Array::integers(dtype, 2, &[0, 1, 2, bad]));
        w.array("categories", &Array::strings(10, &["a".into(), "b".into(), "c".into()]));
        let session = open(Arc::new(w.store()), true, 1);
        let lazy = Lazy::new(&session, session.root());
        let e = lazy.collect(&Call::default()).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::CategoryCode, Some("codes")), "{e}");
        assert!(lazy.select(0, index(&[0, 1, 2], 4)).unwrap().collect(&Call::default()).is_ok());
    }
}

#[test]
fn where_nothing_is_legal_everything_is_refused() {
    let mut w = Writer::new(&Layout::default());
    w.encoded("", "categorical", "0.2.0", &[("ordered", json!(false))]);
    w.array("codes", &Array::integers(DataType::UInt(1), 2, &[0, 1, 2]));
    w.array("categories", &Array::strings(10, &[]));
    let session = open(Arc::new(w.store()), true, 1);
    let e = Lazy::new(&session, session.root()).collect(&Call::default()).unwrap_err();
    assert_eq!(e.code(), Code::CategoryCode, "{e}");
    let starts = Array::integers(DataType::Int(8), 3, &[0, 1, 2, 3, 4, 5, 6]);
    let mut w = csr(&Layout::default(), &starts, &Array::integers(DataType::Int(4), 3, &INDICES));
    let root = json!({"zarr_format": 3, "node_type": "group", "attributes":
        {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [6, 0]}});
    w.replace_node("zarr.json", root);
    assert_eq!(collect(&w, None, None).unwrap_err().code(), Code::SparseIndices);
}

/// One dense array of 64 integers, 8 a chunk.
fn dense(layout: &Layout) -> Writer {
    let mut w = Writer::new(layout);
    w.encoded("", "dict", "0.1.0", &[]);
    let items: Vec<i64> = (0..64).collect();
    w.array("a", &Array::integers(DataType::Int(4), 8, &items));
    w
}

fn all(session: &Arc<Session>) -> Result<Vec<u8>> {
    let lazy = Lazy::new(session, &session.element("a").unwrap());
    match lazy.collect(&Call::default())? {
        Value::Dense(d) => Ok(d.data.as_slice().to_vec()),
        _ => panic!(),
    }
}

fn right() -> Vec<u8> {
    (0..64i32).flat_map(i32::to_le_bytes).collect()
}

fn is_of_the_store(e: &Error) -> bool {
    use Code::{
        ChunkChecksum, ChunkDecode, ChunkLength, MissingChunk, ShardIndex, StoreChanged, StoreIo, StringData,
    };
    matches!(
        e.code(),
        ChunkChecksum
            | ChunkDecode
            | ChunkLength
            | MissingChunk
            | ShardIndex
            | StoreChanged
            | StoreIo
            | StringData
    ) || matches!(e.code(), Code::SparseIndptr | Code::SparseIndices | Code::CategoryCode | Code::MemoryLimit)
}

#[test]
fn a_chunk_of_the_wrong_length_is_an_error() {
    for codec in [Codec::None, Codec::Zstd, Codec::Gzip] {
        let w = dense(&Layout { codec, ..Layout::default() });
        let longer = dense_of(codec, 9);
        for (what, value) in [
            ("shorter", w.store().value("a/c/2").unwrap()[..10].to_vec()),
            ("longer", longer),
            ("empty", Vec::new()),
        ] {
            let mut store = w.store();
            store.insert("a/c/2", value);
            let e = all(&open(Arc::new(store), true, 1)).expect_err(what);
            assert!(matches!(e.code(), Code::ChunkLength | Code::ChunkDecode), "{codec:?} {what}: {e}");
            assert_eq!((e.element_name(), e.key_name()), (Some("a"), Some("a/c/2")), "{e}");
            assert!(e.byte_range().is_some(), "{e}");
        }
    }
}

/// A chunk of so many integers.
fn dense_of(codec: Codec, n: u64) -> Vec<u8> {
    let mut w = Writer::new(&Layout { codec, ..Layout::default() });
    w.array("a", &Array::integers(DataType::Int(4), n, &vec![1; n as usize]));
    w.store().value("a/c/0").unwrap().to_vec()
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_shard_is_an_error_or_the_right_values() {
    for (index_at_start, checksum) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut layout = Layout { codec: Codec::Crc, ..Layout::sharded() };
        let shards = layout.shards.as_mut().unwrap();
        (shards.index_at_start, shards.checksum, shards.per_axis) = (index_at_start, checksum, 4);
        let w = dense(&layout);
        let shard = w.store().value("a/c/1").unwrap().to_vec();
        let hold = |bytes: Vec<u8>, what: &str| {
            let mut store = w.store();
            store.insert("a/c/1", bytes);
            match all(&open(Arc::new(store), true, 1)) {
                Ok(found) => assert_eq!(found, right(), "{what}"),
                Err(e) => {
                    assert!(is_of_the_store(&e), "{what}: {e}");
                    assert_eq!((e.element_name(), e.key_name()), (Some("a"), Some("a/c/1")), "{what}: {e}");
                }
            }
        };
        for cut in 0..shard.len() {
            hold(shard[..cut].to_vec(), &format!("cut at {cut}"));
        }
        for at in 0..shard.len() {
            for flip in [0x01, 0xff] {
                let mut bytes = shard.clone();
                bytes[at] ^= flip;
                hold(bytes, &format!("{index_at_start} {checksum}: byte {at} flipped by {flip}"));
            }
        }
    }
}

#[test]
fn entries_of_a_shard_index_must_lie_in_the_shard() {
    let mut layout = Layout::sharded();
    layout.shards.as_mut().unwrap().checksum = false;
    let w = dense(&layout);
    let shard = w.store().value("a/c/0").unwrap().to_vec();
    let at = shard.len() - 32; // two entries
    for (what, entry) in [
        ("beyond the end", [shard.len() as u64, 32]),
        ("over the index", [40, 32]),
        ("offset overflows", [u64::MAX - 3, 32]),
        ("half missing", [u64::MAX, 32]),
        ("huge", [0, u64::MAX - 1]),
    ] {
        let mut bytes = shard.clone();
        bytes[at..at + 8].copy_from_slice(&entry[0].to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&entry[1].to_le_bytes());
        let mut store = w.store();
        store.insert("a/c/0", bytes);
        let e = all(&open(Arc::new(store), true, 1)).expect_err(what);
        assert_eq!(
            (e.code(), e.element_name(), e.key_name()),
            (Code::ShardIndex, Some("a"), Some("a/c/0")),
            "{what}: {e}"
        );
    }
    // Two chunks in one place are odd, and each is what it says.
    let mut bytes = shard.clone();
    let first = bytes[at..at + 16].to_vec();
    bytes[at + 16..].copy_from_slice(&first);
    let mut store = w.store();
    store.insert("a/c/0", bytes);
    let found = all(&open(Arc::new(store), true, 1)).unwrap();
    assert_eq!((&found[..32], &found[32..64]), (&right()[..32], &right()[..32]));
}

#[test]
fn a_shard_that_was_replaced_is_never_read_by_its_old_index() {
    let mut layout = Layout { codec: Codec::Zstd, ..Layout::sharded() };
    for index_at_start in [false, true] {
        layout.shards.as_mut().unwrap().index_at_start = index_at_start;
        let w = dense(&layout);
        let mut other = Writer::new(&layout);
        let mut rng = Rng::new(9);
        let items: Vec<i64> = (0..64).map(|_| rng.below(1 << 30) as i64).collect();
        other.array("a", &Array::integers(DataType::Int(4), 8, &items));
        let expected: Vec<u8> = items.iter().flat_map(|&x| (x as i32).to_le_bytes()).collect();
        let store = Wrapped::new(w.store());
        let session = open(store.clone(), false, 1);
        assert_eq!(all(&session).unwrap(), right());
        // A shard of another size; one that is much shorter; none.
        for key in ["a/c/0", "a/c/1", "a/c/2", "a/c/3"] {
            let new = other.store().value(key).unwrap().to_vec();
            store.change(|s| s.insert(key, new));
        }
        let mut tries = 0;
        let found = loop {
            match all(&session) {
                Ok(found) => break found,
                Err(e) => assert_eq!(e.code(), Code::StoreChanged, "{e}"),
            }
            tries += 1;
            assert!(tries <= 4, "the old index is still there");
        };
        assert_eq!(found, expected);
        assert!(tries > 0);
        store.change(|s| s.insert("a/c/2", vec![0; 40]));
        let e = all(&session).unwrap_err();
        assert_eq!(e.code(), Code::StoreChanged, "{e}");
        let whole = other.store().value("a/c/2").unwrap().to_vec();
        store.change(|s| s.insert("a/c/2", whole));
        assert_eq!(all(&session).unwrap(), expected);
        store.change(|s| {
            s.remove("a/c/1");
        });
        let e = all(&session).unwrap_err();
        assert_eq!(e.code(), Code::StoreChanged, "{e}");
        assert_eq!(all(&session).unwrap()[64..128], [0; 64], "now it is known to be absent");
    }
}

#[test]
fn a_chunk_that_was_replaced_is_read_as_it_is() {
    let w = dense(&Layout::default());
    let store = Wrapped::new(w.store());
    let session = open(store.clone(), false, 1);
    assert_eq!(all(&session).unwrap(), right());
    let zeros = vec![0; 32];
    store.change(|s| s.insert("a/c/1", zeros));
    assert_eq!(all(&session).unwrap()[32..64], [0; 32]);
}

#[test]
fn random_damage_is_an_error_or_values_and_never_a_panic() {
    for seed in 0..300 {
        let spec = Spec { n_obs: 33, n_vars: 24, ..Spec::random(seed) };
        let sample = Sample::new(&spec);
        let mut store = sample.writer.store();
        let mut rng = Rng::new(seed ^ 0x4d);
        let keys: Vec<String> = store
            .keys()
            .filter(|k| !k.ends_with("zarr.json") && !k.contains("/.z") && !k.starts_with(".z"))
            .map(str::to_owned)
            .collect();
        for _ in 0..rng.within(1..6) {
            let key = rng.pick(&keys);
            let Some(mut bytes) = store.value(&key).map(<[u8]>::to_vec) else { continue };
            match rng.below(4) {
                0 => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
                1 => bytes.extend([0; 9]),
                2 => {
                    store.remove(&key);
                    continue;
                }
                _ => {
                    for _ in 0..3 {
                        let at = rng.below(bytes.len() as u64) as usize;
                        if let Some(b) = bytes.get_mut(at) {
                            *b = rng.number() as u8;
                        }
                    }
                }
            }
            store.insert(key, bytes);
            if store.keys().count() == 0 {
                break;
            }
        }
        let Ok(session) = std::panic::catch_unwind(|| open(Arc::new(store.clone()), seed % 2 == 0, 2)) else {
            panic!("seed {seed}")
        };
        let adata = common::adata(&session);
        for path in ["X", "raw/X", "obs", "layers/counts", "obsm/X_3d", "obsp/near", "var"] {
            if let Err(e) = adata.get(path).unwrap().collect(&Call::default()) {
                assert!(is_of_the_store(&e), "seed {seed} {path}: {e}");
            }
            let some = adata
                .get(path)
                .unwrap()
                .select(0, index(&[3, 1, 1], if path == "var" { 24 } else { 33 }))
                .unwrap();
            if let Err(e) = some.collect(&Call::default()) {
                assert!(is_of_the_store(&e), "seed {seed} {path}: {e}");
            }
        }
    }
}

#[test]
fn booleans_must_be_0_or_1() {
    for layout in [Layout::default(), Layout::sharded(), Layout::v2()] {
        let mut w = Writer::new(&layout);
        w.encoded("", "dict", "0.1.0", &[]);
        let bools = |bytes: &[u8]| {
            Array::new(DataType::Bool, &[bytes.len() as u64], &[4], Items::Fixed(bytes.to_vec()))
        };
        w.array("good", &bools(&[0, 1, 1, 0, 1, 0]));
        w.array("bad", &bools(&[0, 1, 1, 0, 1, 2]));
        w.encoded("column", "nullable-boolean", "0.1.0", &[]);
        w.array("column/values", &bools(&[0, 1, 1, 0, 1, 0]));
        w.array("column/mask", &bools(&[0, 1, 255, 0, 1, 0]));
        w.encoded("matrix", "csr_matrix", "0.1.0", &[("shape", json!([2, 10]))]);
        w.array("matrix/indptr", &Array::integers(DataType::Int(4), 3, &[0, 3, 6]));
        w.array("matrix/indices", &Array::integers(DataType::Int(4), 3, &INDICES));
        w.array("matrix/data", &bools(&[1, 1, 1, 1, 1, 7]));
        let session = open(Arc::new(w.store()), true, 2);
        let get = |path: &str| Lazy::new(&session, &session.element(path).unwrap());
        let Value::Dense(d) = get("good").collect(&Call::default()).unwrap() else { panic!() };
        assert_eq!((&d.dtype, d.data.as_slice()), (&DataType::Bool, &[0, 1, 1, 0, 1, 0][..]));
        let some = get("bad").select(0, index(&[0, 4], 6)).unwrap();
        assert!(some.collect(&Call::default()).is_ok(), "what is not selected does not matter");
        let columns = get("matrix").select(1, index(&[6, 5], 10)).unwrap();
        for (lazy, at) in [
            (get("bad"), "bad"),
            (get("column"), "column/mask"),
            (get("matrix"), "matrix/data"),
            (columns, "matrix/data"),
        ] {
            let e = lazy.collect(&Call::default()).unwrap_err();
            assert_eq!((e.code(), e.element_name()), (Code::ChunkDecode, Some(at)), "{e}");
            assert_eq!(e.expected_found().0, Some("0 to 1"), "{e}");
        }
    }
}
