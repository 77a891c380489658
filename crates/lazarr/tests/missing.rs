//! Absent chunks: the fill value where arithmetic allows it, else an error (rule 10).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use common::{index, open, rows_of, texts};
use lazarr::format::DataType;
use lazarr::{Call, Code, Lazy, Missing, Options, Result, Session, Value};
use lazarr_testkit::{Array, Items, Layout, Writer};
use serde_json::json;

/// A csr matrix of ten columns at the root, from its parts; chunks of 4 items.
fn csr(layout: &Layout, indptr: &Array, indices: &Array, nnz: usize) -> Writer {
    let mut w = Writer::new(layout);
    let rows = indptr.shape[0] - 1;
    w.encoded("", "csr_matrix", "0.1.0", &[("shape", json!([rows, 10]))]);
    w.array("indptr", indptr);
    w.array("indices", indices);
    let data: Vec<u8> = (1..=nnz).flat_map(|x| (x as f32).to_le_bytes()).collect();
    w.array("data", &Array::new(DataType::Float(4), &[nnz as u64], &[4], Items::Fixed(data)));
    w
}

fn integers(items: &[i64]) -> Array {
    Array::integers(DataType::Int(4), 4, items)
}

fn session(w: &Writer, missing: Missing) -> Arc<Session> {
    let options = Options { missing, audit: true, memory_limit: Some(1 << 28), ..Options::default() };
    Session::open_store(Arc::new(w.store()), options).unwrap()
}

fn rows(w: &Writer, missing: Missing, rows: &[i64]) -> Result<Vec<Vec<(u64, f32)>>> {
    let session = session(w, missing);
    let lazy = Lazy::new(&session, session.root());
    let n = lazy.shape()[0].unwrap();
    let lazy = lazy.select(0, index(rows, n)).unwrap();
    match lazy.collect(&Call::default())? {
        Value::Sparse(m) => Ok(rows_of(&m)),
        _ => panic!("not a matrix"),
    }
}

fn layouts() -> Vec<Layout> {
    vec![Layout::default(), Layout::sharded(), Layout::v2()]
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

#[test]
fn row_starts_may_be_absent_as_a_prefix() {
    for layout in layouts() {
        // 16 rows; the first stored value is in row 12.
        let starts = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3, 4];
        let full = csr(&layout, &integers(&starts), &integers(&[1, 2, 3, 4]), 4);
        for absent in
            [vec![&[0u64][..]], vec![&[1]], vec![&[0], &[1]], vec![&[1], &[2]], vec![&[0], &[1], &[2]]]
        {
            let w = csr(&layout, &integers(&starts).without(&absent), &integers(&[1, 2, 3, 4]), 4);
            for selected in [(0..16).collect::<Vec<_>>(), vec![9], vec![0, 15], vec![5, 12], vec![12, 13]] {
                let expected = rows(&full, Missing::Refuse, &selected).unwrap();
                let found = rows(&w, Missing::Refuse, &selected);
                let found = found.unwrap_or_else(|e| panic!("{absent:?} {selected:?} {layout:?}: {e}"));
                assert_eq!(found, expected, "{absent:?} {selected:?}");
            }
        }
    }
}

#[test]
fn row_starts_may_not_be_absent_after_the_first_stored_value() {
    for layout in layouts() {
        let starts = [0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4];
        for absent in [vec![&[1u64][..]], vec![&[2]], vec![&[1], &[2]], vec![&[2], &[3]]] {
            let w = csr(&layout, &integers(&starts).without(&absent), &integers(&[1, 2, 3, 4]), 4);
            // Also where only rows of the absent chunk are selected, or of the second of two.
            for selected in [(0..16).collect::<Vec<_>>(), vec![5], vec![9], vec![0, 9], vec![9, 10]] {
                let touched = selected
                    .iter()
                    .any(|&r| absent.iter().any(|a| [r, r + 1].iter().any(|i| *i as u64 / 4 == a[0])));
                if !touched {
                    continue;
                }
                let found = rows(&w, Missing::Refuse, &selected);
                let e = found.expect_err(&format!("{absent:?} {selected:?} {layout:?}"));
                assert!(matches!(e.code(), Code::MissingChunk | Code::SparseIndptr), "{e}");
                assert_eq!(e.element_name(), Some("indptr"), "{e}");
            }
        }
        // The end must be the number of stored values, also where it is absent.
        let w = csr(&layout, &integers(&starts).without(&[&[4]]), &integers(&[1, 2, 3, 4]), 4);
        assert!(matches!(code(rows(&w, Missing::Refuse, &[15])), Code::MissingChunk | Code::SparseIndptr));
    }
}

#[test]
fn indices_may_be_absent_where_each_row_has_at_most_one_entry_in_the_chunk() {
    for layout in layouts() {
        let single = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let w = csr(&layout, &integers(&single), &integers(&[0, 0, 0, 0, 5, 6, 7, 8]).without(&[&[0]]), 8);
        let all = rows(&w, Missing::Refuse, &(0..8).collect::<Vec<_>>()).unwrap();
        assert_eq!(
            all[..5],
            [vec![(0, 1.0)], vec![(0, 2.0)], vec![(0, 3.0)], vec![(0, 4.0)], vec![(5, 5.0)]]
        );
        let double = [0, 1, 3, 4, 4, 5, 6, 7, 8];
        let w = csr(&layout, &integers(&double), &integers(&[0, 0, 0, 0, 5, 6, 7, 8]).without(&[&[0]]), 8);
        let e = rows(&w, Missing::Refuse, &[0, 1]).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("indices")), "{e}");
        assert_eq!(rows(&w, Missing::Refuse, &[0, 2]).unwrap(), [vec![(0, 1.0)], vec![(0, 4.0)]]);
        assert_eq!(rows(&w, Missing::Fill, &[1]).unwrap(), [vec![(0, 2.0), (0, 3.0)]]);
        // With a selection of columns the same.
        for (w, legal) in
            [(w, false), (csr(&layout, &integers(&single), &integers(&[0; 8]).without(&[&[0]]), 8), true)]
        {
            let session = session(&w, Missing::Refuse);
            let lazy = Lazy::new(&session, session.root()).select(1, index(&[0, 3], 10)).unwrap();
            assert_eq!(lazy.collect(&Call::default()).is_ok(), legal);
        }
    }
}

#[test]
fn stored_values_may_not_be_absent() {
    for layout in layouts() {
        let mut w = csr(&layout, &integers(&[0, 2, 4, 6, 8]), &integers(&[0, 1, 2, 3, 4, 5, 6, 7]), 8);
        let data = vec![0; 32];
        let data = Array::new(DataType::Float(4), &[8], &[4], Items::Fixed(data)).without(&[&[1]]);
        w.array("data", &data);
        assert!(rows(&w, Missing::Refuse, &[0, 1]).is_ok());
        let e = rows(&w, Missing::Refuse, &[1, 2]).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("data")), "{e}");
        assert!(e.key_name().is_some_and(|k| k.starts_with("data/")), "{e}");
        assert_eq!(rows(&w, Missing::Fill, &[2]).unwrap(), [vec![(4, 0.0), (5, 0.0)]]);
        let session = session(&w, Missing::Refuse);
        let lazy = Lazy::new(&session, session.root()).select(1, index(&[4], 10)).unwrap();
        assert_eq!(code(lazy.collect(&Call::default())), Code::MissingChunk);
    }
}

#[test]
fn a_matrix_without_entries_needs_no_chunk() {
    for layout in layouts() {
        let absent: [&[u64]; 2] = [&[0], &[1]];
        let w = csr(&layout, &integers(&[0; 8]).without(&absent), &integers(&[]), 0);
        assert_eq!(rows(&w, Missing::Refuse, &[0, 3, 6, 3]).unwrap(), vec![Vec::new(); 4]);
    }
}

#[test]
fn values_and_codes_may_be_absent_and_names_may_not() {
    for layout in layouts() {
        let mut w = Writer::new(&layout);
        w.encoded("", "dict", "0.1.0", &[]);
        let mut dense = integers(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).without(&[&[1]]);
        dense.fill = json!(-7);
        w.array("dense", &dense);
        let words: Vec<String> = (0..9).map(|i| format!("w{i}")).collect();
        w.encoded(
            "table",
            "dataframe",
            "0.2.0",
            &[("_index", json!("names")), ("column-order", json!(["note"]))],
        );
        w.array("table/names", &Array::strings(4, &words).without(&[&[2]]));
        w.array("table/note", &Array::strings(4, &words).without(&[&[0]]));
        w.encoded("kind", "categorical", "0.2.0", &[("ordered", json!(true))]);
        w.array("kind/categories", &Array::strings(4, &words));
        let mut codes = Array::integers(DataType::Int(1), 4, &[3, 3, 3, 3, 3, 3, 3, 3, -1]).without(&[&[1]]);
        codes.fill = json!(-1);
        w.array("kind/codes", &codes);
        let session = session(&w, Missing::Refuse);
        let get = |path: &str| Lazy::new(&session, &session.element(path).unwrap());
        let Value::Dense(d) = get("dense").collect(&Call::default()).unwrap() else { panic!() };
        let ints: Vec<i32> =
            d.data.as_slice().chunks_exact(4).map(|c| i32::from_ne_bytes(c.try_into().unwrap())).collect();
        assert_eq!(ints, [1, 2, 3, 4, -7, -7, -7, -7, 9]);
        let Value::Categorical { codes, .. } = get("kind").collect(&Call::default()).unwrap() else {
            panic!()
        };
        assert_eq!(codes.data.as_slice(), [3, 3, 3, 3, 255, 255, 255, 255, 255]);
        let names = get("table").names().unwrap();
        let e = names.collect(&Call::default()).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("table/names")), "{e}");
        // A writer leaves out chunks of a text column that are all ''.
        let note = get("table").column("note").unwrap();
        let Value::Strings(s) = note.collect(&Call::default()).unwrap() else { panic!() };
        assert_eq!((texts(&s)[3].as_str(), texts(&s)[4].as_str()), ("", "w4"));
        let first = names.select(0, index(&[7, 0], 9)).unwrap();
        let Value::Strings(s) = first.collect(&Call::default()).unwrap() else { panic!() };
        assert_eq!(texts(&s), ["w7", "w0"]);
        let lenient = self::session(&w, Missing::Fill);
        let names = Lazy::new(&lenient, &lenient.element("table").unwrap()).names().unwrap();
        let Value::Strings(s) = names.collect(&Call::default()).unwrap() else { panic!() };
        assert_eq!((texts(&s)[7].as_str(), texts(&s)[8].as_str()), ("w7", ""));
    }
}

#[test]
fn one_category_alone_may_be_the_fill_value() {
    for layout in layouts() {
        let mut w = Writer::new(&layout);
        w.encoded("", "categorical", "0.2.0", &[("ordered", json!(false))]);
        // Chunks of four: the fifth category has one to itself, and is 0; the first four cannot all be 0.
        w.array("categories", &integers(&[5, 6, 7, 8, 0]).without(&[&[1]]));
        w.array("codes", &Array::integers(DataType::Int(1), 4, &[0, 4, 2]));
        let kind = Lazy::new(&session(&w, Missing::Refuse), session(&w, Missing::Refuse).root());
        assert!(kind.collect(&Call::default()).is_ok());
        w.array("categories", &integers(&[5, 6, 7, 8, 0]).without(&[&[0]]));
        let session = session(&w, Missing::Refuse);
        assert_eq!(code(Lazy::new(&session, session.root()).collect(&Call::default())), Code::MissingChunk);
    }
}

#[test]
fn a_long_fill_value_is_charged_before_it_is_repeated() {
    let mut w = Writer::new(&Layout::default());
    w.encoded("", "dict", "0.1.0", &[]);
    let words = vec![String::new(); 1000];
    let mut names = Array::strings(1000, &words).without(&[&[0]]);
    names.fill = json!("x".repeat(1 << 20));
    w.array("names", &names);
    let session = session(&w, Missing::Fill);
    let names = Lazy::new(&session, &session.element("names").unwrap());
    assert_eq!(code(names.collect(&Call::default())), Code::MemoryLimit);
}

#[test]
fn a_shard_that_comes_later_is_seen() {
    let layout = Layout::sharded();
    let mut w = Writer::new(&layout);
    w.encoded("", "dict", "0.1.0", &[]);
    w.array("dense", &integers(&[1; 16]));
    let store = lazarr_testkit::Wrapped::new(w.store());
    let shard = w.store().value("dense/c/1").unwrap().to_vec();
    store.change(|s| {
        s.remove("dense/c/1");
    });
    let session = open(store.clone(), false, 1);
    let lazy = Lazy::new(&session, &session.element("dense").unwrap());
    let sum = || match lazy.collect(&Call::default()).unwrap() {
        Value::Dense(d) => d.data.as_slice().iter().map(|&b| u64::from(b)).sum::<u64>(),
        _ => panic!(),
    };
    assert_eq!(sum(), 8);
    store.change(|s| s.insert("dense/c/1", shard));
    assert_eq!(sum(), 16);
}

#[test]
fn an_index_that_is_named_by_its_own_path_may_not_be_absent_either() {
    for layout in layouts() {
        let mut w = Writer::new(&layout);
        w.encoded("", "dict", "0.1.0", &[]);
        let words: Vec<String> = (0..9).map(|i| format!("w{i}")).collect();
        let attributes = [("_index", json!("names")), ("column-order", json!(["note"]))];
        w.encoded("table", "dataframe", "0.2.0", &attributes);
        w.array("table/names", &Array::strings(4, &words).without(&[&[1]]));
        w.array("table/note", &Array::strings(4, &words).without(&[&[1]]));
        let session = session(&w, Missing::Refuse);
        let get = |path: &str| Lazy::new(&session, &session.element(path).unwrap());
        let e = get("table/names").collect(&Call::default()).unwrap_err();
        assert_eq!((e.code(), e.element_name()), (Code::MissingChunk, Some("table/names")), "{e}");
        assert!(get("table/note").collect(&Call::default()).is_ok());
    }
}
