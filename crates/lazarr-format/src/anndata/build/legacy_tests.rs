//! Each old form from the smallest documents that have it.

use serde_json::{Map, Value, json};

use crate::anndata::{Body, DataFrame, Element, SparseFormat, build};
use crate::metadata::{Hierarchy, Limits};
use crate::{Code, DataType, Part};

/// A v2 store from the documents of its nodes: `[path, .zarray or null, .zattrs]`.
fn store(nodes: &[(&str, Value, Value)]) -> Element {
    let mut h = Hierarchy::new(2, &Limits::default());
    for (path, zarray, zattrs) in nodes {
        let text = |v: &Value| v.to_string().into_bytes();
        let zgroup = br#"{"zarr_format": 2}"#;
        let group = zarray.is_null();
        let array = (!group).then(|| text(zarray));
        let attributes = (!zattrs.is_null()).then(|| text(zattrs));
        h.insert_v2(path, group.then_some(zgroup.as_slice()), array.as_deref(), attributes.as_deref())
            .unwrap();
    }
    build(&h).unwrap()
}

fn array(dtype: &Value, shape: &[u64]) -> Value {
    json!({"zarr_format": 2, "shape": shape, "chunks": shape.iter().map(|&n| n.max(1)).collect::<Vec<_>>(),
        "dtype": dtype, "compressor": null, "filters": null, "fill_value": null, "order": "C"})
}

fn numbers(shape: &[u64]) -> Value {
    array(&json!("<f4"), shape)
}

/// Strings as zarr-python 2 wrote them.
fn strings(len: u64) -> Value {
    let mut out = array(&json!("|O"), &[len]);
    out["filters"] = json!([{"id": "vlen-utf8"}]);
    out["fill_value"] = json!(0);
    out
}

fn frame_0_1(columns: &[&str]) -> Value {
    json!({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "_index", "column-order": columns})
}

type Nodes = Vec<(&'static str, Value, Value)>;

/// Three cells and two genes, as 0.7 wrote them.
fn of_0_7() -> Nodes {
    vec![
        ("", Value::Null, Value::Null),
        ("obs", Value::Null, frame_0_1(&["cat", "n"])),
        ("obs/_index", strings(3), Value::Null),
        ("obs/cat", array(&json!("|i1"), &[3]), json!({"categories": "__categories/cat"})),
        ("obs/n", numbers(&[3]), Value::Null),
        ("obs/__categories", Value::Null, Value::Null),
        ("obs/__categories/cat", strings(2), json!({"ordered": true})),
        ("var", Value::Null, frame_0_1(&[])),
        ("var/_index", strings(2), Value::Null),
        ("X", numbers(&[3, 2]), Value::Null),
        ("uns", Value::Null, Value::Null),
    ]
}

/// The same as it was before 0.7.
fn of_0_6() -> Nodes {
    let obs = json!([["index", "|S4"], ["cat", "|i1"], ["both", "|i1"], ["n", "<f8"], ["text", "<U3"]]);
    let var = json!([["index", "<U4"], ["both", "<i4"]]);
    vec![
        ("", Value::Null, Value::Null),
        ("obs", array(&obs, &[3]), Value::Null),
        ("var", array(&var, &[2]), Value::Null),
        ("X", Value::Null, json!({"h5sparse_format": "csr", "h5sparse_shape": [3, 2]})),
        ("X/data", numbers(&[4]), Value::Null),
        ("X/indices", array(&json!("<i4"), &[4]), Value::Null),
        ("X/indptr", array(&json!("<i4"), &[4]), Value::Null),
        ("obsm", array(&json!([["a", "<f4"], ["b", "<i8"]]), &[3]), Value::Null),
        ("uns", Value::Null, Value::Null),
        ("uns/cat_categories", array(&json!("|S2"), &[2]), Value::Null),
        ("uns/both_categories", array(&json!("<U2"), &[]), Value::Null),
        ("uns/other_categories", strings(2), Value::Null),
    ]
}

fn with(mut nodes: Nodes, more: Nodes) -> Element {
    nodes.retain(|(path, ..)| more.iter().all(|(other, ..)| other != path));
    nodes.extend(more);
    store(&nodes)
}

fn at(root: &Element, path: &str) -> Option<Element> {
    path.split('/').try_fold(root.clone(), |e, name| {
        e.children().into_iter().find(|(n, _)| n == name).map(|(_, child)| child)
    })
}

fn frame(root: &Element, path: &str) -> std::sync::Arc<DataFrame> {
    match at(root, path).unwrap().body {
        Body::DataFrame(frame) => frame,
        other => panic!("{path}: {other:?}"),
    }
}

fn why(root: &Element, path: &str) -> (Code, String) {
    match at(root, path).unwrap().body {
        Body::Broken(e) => (e.code(), e.to_string()),
        other => panic!("{path} is not broken: {other:?}"),
    }
}

fn names(root: &Element, path: &str) -> Vec<String> {
    at(root, path).unwrap().children().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn tables_of_0_7() {
    let root = store(&of_0_7());
    assert!(matches!(root.body, Body::AnnData(_)));
    assert_eq!(root.shape(), Some(vec![3, 2]));
    let obs = frame(&root, "obs");
    assert_eq!(obs.columns.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["cat", "n"]);
    let Body::Categorical(cat) = at(&root, "obs/cat").unwrap().body else { panic!("categorical") };
    assert!(cat.ordered);
    assert_eq!((cat.categories.path.as_str(), cat.codes.path.as_str()), ("obs/__categories/cat", "obs/cat"));
    assert!(matches!(at(&root, "obs/n").unwrap().body, Body::Dense(_)));
    assert!(matches!(obs.index.body, Body::Strings(_)));

    let unordered = with(of_0_7(), vec![("obs/__categories/cat", strings(2), Value::Null)]);
    let Body::Categorical(cat) = at(&unordered, "obs/cat").unwrap().body else { panic!("categorical") };
    assert!(!cat.ordered);
}

#[test]
fn categories_that_are_wrong() {
    let codes = || array(&json!("|i1"), &[3]);
    let cases: Vec<(Nodes, Code)> = vec![
        (vec![("obs/cat", codes(), json!({"categories": "__categories/no"}))], Code::EncodingInvalid),
        (vec![("obs/cat", codes(), json!({"categories": "../var/_index"}))], Code::EncodingInvalid),
        (vec![("obs/cat", codes(), json!({"categories": 3}))], Code::EncodingInvalid),
        (vec![("obs/cat", codes(), json!({"categories": "__categories"}))], Code::EncodingInvalid),
        (vec![("obs/cat", numbers(&[3]), json!({"categories": "__categories/cat"}))], Code::EncodingInvalid),
        (
            vec![("obs/cat", array(&json!("|i1"), &[4]), json!({"categories": "__categories/cat"}))],
            Code::Misaligned,
        ),
        (vec![("obs/__categories/cat", numbers(&[2, 2]), Value::Null)], Code::EncodingInvalid),
        (vec![("obs/__categories/cat", strings(2), json!({"ordered": "yes"}))], Code::EncodingInvalid),
    ];
    for (i, (more, code)) in cases.into_iter().enumerate() {
        let root = with(of_0_7(), more);
        let (found, text) = why(&root, "obs/cat");
        assert_eq!(found, code, "case {i}: {text}");
        assert!(text.starts_with("`obs"), "case {i}: {text}");
        assert!(matches!(at(&root, "obs/n").unwrap().body, Body::Dense(_)), "case {i}");
    }
}

#[test]
fn elements_without_an_encoding() {
    let root = with(
        of_0_7(),
        vec![
            ("layers", Value::Null, Value::Null),
            ("layers/a", numbers(&[3, 2]), Value::Null),
            ("uns/d", Value::Null, Value::Null),
            ("uns/d/bytes", array(&json!("|S3"), &[2]), Value::Null),
            ("uns/d/one", array(&json!("|S3"), &[]), Value::Null),
            ("uns/rec", array(&json!([["a", "<i4"], ["b", "|S3"]]), &[2]), Value::Null),
        ],
    );
    assert!(matches!(at(&root, "layers/a").unwrap().body, Body::Dense(_)));
    assert!(matches!(at(&root, "uns/d/bytes").unwrap().body, Body::Strings(_)), "bytes are text");
    assert!(matches!(at(&root, "uns/d/one").unwrap().body, Body::Scalar(_)));
    assert!(matches!(at(&root, "uns/rec").unwrap().body, Body::Dense(_)));
    // A plain group is no AnnData, and a plain array of bytes is one of bytes.
    let group = store(&[("", Value::Null, Value::Null), ("obs", Value::Null, Value::Null)]);
    assert!(matches!(group.body, Body::Dict(_)));
    assert!(matches!(store(&[("", array(&json!("|S3"), &[2]), Value::Null)]).body, Body::Dense(_)));
}

#[test]
fn raw_without_an_encoding() {
    let raw = || -> Nodes {
        vec![
            ("raw", Value::Null, json!({"shape": [7, 7]})),
            ("raw/X", numbers(&[3, 4]), Value::Null),
            ("raw/var", Value::Null, frame_0_1(&[])),
            ("raw/var/_index", strings(4), Value::Null),
        ]
    };
    let root = with(of_0_7(), raw());
    let Body::AnnData(a) = &root.body else { panic!("an AnnData") };
    assert_eq!(a.raw.as_ref().unwrap().x.as_ref().unwrap().shape(), Some(vec![3, 4]));
    assert_eq!(frame(&root, "raw/var").len, 4);
    let empty = with(of_0_7(), vec![("raw", Value::Null, Value::Null)]);
    assert!(at(&empty, "raw").is_none());
    let misfit =
        with(of_0_7(), raw().into_iter().chain([("raw/X", numbers(&[2, 4]), Value::Null)]).collect());
    assert_eq!(why(&misfit, "raw/X").0, Code::Misaligned);
}

#[test]
fn raw_beside_x() {
    let raw = || -> Nodes {
        vec![
            ("raw.X", numbers(&[3, 4]), Value::Null),
            ("raw.var", array(&json!([["index", "<U4"], ["k", "<f4"]]), &[4]), Value::Null),
            ("raw.varm", array(&json!([["m", "<f4"]]), &[4]), Value::Null),
        ]
    };
    let root = with(of_0_6(), raw());
    let Body::AnnData(a) = &root.body else { panic!("an AnnData") };
    assert!(a.extra.is_empty(), "its parts are no extra elements");
    let x = at(&root, "raw/X").unwrap();
    let Body::Dense(array) = &x.body else { panic!("dense") };
    assert_eq!((x.path.as_str(), array.path.as_str()), ("raw/X", "raw.X"), "the arrays keep their keys");
    assert_eq!(frame(&root, "raw/var").columns[0].1.path, "raw/var/k");
    assert_eq!(at(&root, "raw/varm/m").unwrap().path, "raw/varm/m");

    let mut both = raw();
    both.push(("raw", Value::Null, Value::Null));
    both.push(("raw/X", numbers(&[3, 4]), Value::Null));
    let root = with(of_0_6(), both);
    for part in ["raw/X", "raw/var", "raw/varm"] {
        let (code, text) = why(&root, part);
        assert_eq!(code, Code::EncodingInvalid);
        assert!(text.contains("two forms of raw"), "{text}");
    }
    assert_eq!(root.shape(), Some(vec![3, 2]), "the rest is as it is");
}

#[test]
fn sparse_before_0_7() {
    let root = store(&of_0_6());
    let Body::Sparse(x) = at(&root, "X").unwrap().body else { panic!("sparse") };
    assert_eq!((x.format, x.shape), (SparseFormat::Csr, [3, 2]));
    let bad = with(of_0_6(), vec![("X", Value::Null, json!({"h5sparse_format": "coo", "shape": [3, 2]}))]);
    assert_eq!(why(&bad, "X").0, Code::EncodingInvalid);
    let csc = json!({"h5sparse_format": "csc", "shape": [3, 3]});
    let root = with(of_0_6(), vec![("X", Value::Null, csc)]);
    assert_eq!(
        why(&root, "X").0,
        Code::Misaligned,
        "a csc matrix of another shape is read, and does not fit"
    );
}

#[test]
fn structured_tables() {
    let root = store(&of_0_6());
    assert_eq!(root.shape(), Some(vec![3, 2]));
    let obs = frame(&root, "obs");
    assert_eq!(obs.index_key, "index");
    let Body::Strings(index) = &obs.index.body else { panic!("strings") };
    assert_eq!(index.dtype, DataType::FixedBytes(4));
    assert_eq!(index.part, Some(Part { stored: 26, offset: 0 }));
    let Body::Dense(n) = at(&root, "obs/n").unwrap().body else { panic!("dense") };
    assert_eq!((n.dtype.clone(), n.part.clone()), (DataType::Float(8), Some(Part { stored: 26, offset: 6 })));
    assert_eq!(n.inner_bytes(), Some(3 * 26));
    assert!(matches!(at(&root, "obs/text").unwrap().body, Body::Dense(_)));
    assert_eq!(names(&root, "obsm"), ["a", "b"]);
    assert_eq!(at(&root, "obsm/b").unwrap().shape(), Some(vec![3]));

    let flat = with(of_0_6(), vec![("obs", array(&json!([["index", "|S4"]]), &[3, 1]), Value::Null)]);
    assert_eq!(why(&flat, "obs").0, Code::EncodingInvalid);
    let plain = with(of_0_6(), vec![("obs", numbers(&[3]), Value::Null)]);
    assert_eq!(why(&plain, "obs").0, Code::EncodingInvalid);
}

#[test]
fn categories_in_uns() {
    let root = store(&of_0_6());
    assert_eq!(names(&root, "uns"), ["other_categories"], "those that are used are gone");
    let Body::Categorical(cat) = at(&root, "obs/cat").unwrap().body else { panic!("categorical") };
    assert_eq!(cat.codes.part, Some(Part { stored: 26, offset: 4 }));
    assert!(!cat.ordered);
    // Both tables have the column: the codes of one category are of one byte, as only those of obs are.
    let Body::Categorical(both) = at(&root, "obs/both").unwrap().body else { panic!("categorical") };
    assert_eq!(both.categories.shape(), Some(vec![1]), "a single category may be a scalar");
    assert!(matches!(at(&root, "var/both").unwrap().body, Body::Dense(_)));

    // Columns of text or floats are no codes, and modern tables have none in uns.
    let root = with(of_0_6(), vec![("uns/text_categories", strings(2), Value::Null)]);
    assert!(matches!(at(&root, "obs/text").unwrap().body, Body::Dense(_)));
    assert!(names(&root, "uns").contains(&"text_categories".to_owned()));
    let root = with(of_0_7(), vec![("uns/n_categories", strings(2), Value::Null)]);
    assert_eq!(names(&root, "uns"), ["n_categories"]);
}

#[test]
fn neighbors_move_to_obsp() {
    let neighbors = |shape: &[u64]| -> Nodes {
        vec![
            ("uns/neighbors", Value::Null, Value::Null),
            ("uns/neighbors/params", Value::Null, Value::Null),
            ("uns/neighbors/distances", numbers(shape), Value::Null),
            ("uns/neighbors/connectivities", Value::Null, json!({"h5sparse_format": "csr", "shape": [3, 3]})),
            ("uns/neighbors/connectivities/data", numbers(&[4]), Value::Null),
            ("uns/neighbors/connectivities/indices", array(&json!("<i4"), &[4]), Value::Null),
            ("uns/neighbors/connectivities/indptr", array(&json!("<i4"), &[4]), Value::Null),
        ]
    };
    let root = with(of_0_7(), neighbors(&[3, 3]));
    assert_eq!(names(&root, "uns/neighbors"), ["params"]);
    let moved = at(&root, "obsp/distances").unwrap();
    assert_eq!(moved.path, "obsp/distances");
    assert_eq!(moved.arrays()[0].path, "uns/neighbors/distances");
    assert!(matches!(at(&root, "obsp/connectivities").unwrap().body, Body::Sparse(_)));

    // One that is there already gives way, as in anndata; one of another rank stays; one that does not fit is said so.
    let mut more = neighbors(&[3, 3]);
    more.push(("obsp", Value::Null, Value::Null));
    more.push(("obsp/distances", array(&json!("<f8"), &[3, 3]), Value::Null));
    assert_eq!(at(&with(of_0_7(), more), "obsp/distances").unwrap().arrays()[0].dtype, DataType::Float(4));
    let root = with(of_0_7(), neighbors(&[3]));
    assert_eq!(names(&root, "uns/neighbors").len(), 2);
    assert_eq!(names(&root, "obsp"), ["connectivities"]);
    assert_eq!(why(&with(of_0_7(), neighbors(&[2, 2])), "obsp/distances").0, Code::Misaligned);
}

#[test]
fn a_root_that_lost_its_attributes() {
    let mut h = Hierarchy::new(3, &Limits::default());
    let node = |attributes: Value| json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
    let index = json!({"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "string", "fill_value": "",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}, "codecs": ["vlen-utf8"],
        "chunk_key_encoding": "default", "attributes": {"encoding-type": "string-array", "encoding-version": "0.2.0"}});
    let frame = json!({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": []});
    let nodes = [("", node(Value::Object(Map::new()))), ("obs", node(frame.clone())), ("var", node(frame))];
    for (path, doc) in nodes.iter().chain(&[("obs/_index", index.clone()), ("var/_index", index)]) {
        h.insert_v3(path, doc.to_string().as_bytes()).unwrap();
    }
    let root = build(&h).unwrap();
    assert!(matches!(root.body, Body::AnnData(_)));
    assert_eq!(root.shape(), Some(vec![2, 2]));
}
