use serde_json::{Map, Value, json};

use super::*;
use crate::anndata::{DataFrame, NullableKind, SparseFormat};
use crate::metadata::{Limits, parse_json};

const V2: &str = include_str!("../../../tests/data/anndata_v2.json");
const V3: &str = include_str!("../../../tests/data/anndata_v3.json");

fn parse(text: &str) -> Map<String, Value> {
    parse_json(text.as_bytes(), "k", &Limits::default()).unwrap()
}

/// The stores of the fixtures: the same AnnData as anndata 0.13 writes it in both formats.
fn fixtures() -> [Hierarchy; 2] {
    let limits = Limits::default();
    [
        Hierarchy::from_zmetadata(&parse(V2), &limits).unwrap(),
        Hierarchy::from_consolidated_v3(&parse(V3), &limits).unwrap(),
    ]
}

/// The v3 fixture with its nodes changed: by path, to the node's own object.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Element> {
    let mut root = Value::Object(parse(V3));
    change(&mut root["consolidated_metadata"]["metadata"]);
    let Value::Object(root) = root else { panic!("an object") };
    build(&Hierarchy::from_consolidated_v3(&root, &Limits::default()).unwrap())
}

fn at(root: &Element, path: &str) -> Element {
    path.split('/').fold(root.clone(), |e, name| {
        let children = e.children();
        let found = children.into_iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("`{path}`: there is no `{name}`")).1
    })
}

fn why(root: &Element, path: &str) -> (Code, String) {
    match at(root, path).body {
        Body::Broken(e) => (e.code(), e.to_string()),
        other => panic!("`{path}` is not broken: {other:?}"),
    }
}

fn all_broken(e: &Element, out: &mut Vec<String>) {
    match &e.body {
        Body::Broken(e) => out.push(e.to_string()),
        _ => e.children().iter().for_each(|(_, c)| all_broken(c, out)),
    }
}

fn frame(e: &Element) -> Arc<DataFrame> {
    match &e.body {
        Body::DataFrame(frame) => frame.clone(),
        other => panic!("not a table: {other:?}"),
    }
}

#[test]
fn every_encoding() {
    for h in fixtures() {
        let root = build(&h).unwrap();
        let mut problems = Vec::new();
        all_broken(&root, &mut problems);
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(root.shape(), Some(vec![6, 4]));
        assert_eq!(root.encoding_type, "anndata");

        let Body::Sparse(x) = at(&root, "X").body else { panic!("sparse") };
        assert_eq!((x.format, x.shape, x.nnz()), (SparseFormat::Csr, [6, 4], 12));
        let Body::Sparse(csc) = at(&root, "layers/csc").body else { panic!("sparse") };
        assert_eq!((csc.format, csc.indptr.shape[0]), (SparseFormat::Csc, 5));
        assert!(matches!(at(&root, "layers/dense").body, Body::Dense(_)));

        let obs = frame(&at(&root, "obs"));
        assert_eq!((obs.len, obs.index_key.as_str()), (6, "cell"));
        let names: Vec<_> = obs.columns.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["f", "i", "b", "cat", "ni", "nb", "s", "ns"]);
        let kind = |path: &str| match at(&root, path).body {
            Body::Nullable(n) => n.kind.clone(),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(kind("obs/ni"), NullableKind::Integer);
        assert_eq!(kind("obs/nb"), NullableKind::Boolean);
        assert!(matches!(kind("obs/s"), NullableKind::String { .. }));
        let Body::Categorical(cat) = at(&root, "obs/cat").body else { panic!("categorical") };
        assert!(cat.ordered && cat.codes.dtype == crate::DataType::Int(1));
        assert_eq!(cat.categories.shape(), Some(vec![3]));

        assert_eq!(frame(&at(&root, "obsm/df")).len, 6);
        let Body::Awkward(awkward) = at(&root, "obsm/awk").body else { panic!("awkward") };
        assert_eq!((awkward.length, awkward.buffers.len()), (6, 2));
        assert!(awkward.form.contains("ListOffsetArray"));

        let Body::Raw(raw) = at(&root, "raw").body else { panic!("raw") };
        assert!(raw.x.is_some());
        assert_eq!(frame(&raw.var).len, 4);

        for name in ["s", "n", "c", "nan"] {
            assert!(matches!(at(&root, &format!("uns/{name}")).body, Body::Scalar(_)), "{name}");
        }
        assert!(matches!(at(&root, "uns/none").body, Body::Null));
        assert!(matches!(at(&root, "uns/strs").body, Body::Strings(_)));
        assert_eq!(at(&root, "uns/nested").shape(), Some(vec![2, 3]));
        let Body::Dense(records) = at(&root, "uns/rec").body else { panic!("records") };
        assert!(matches!(records.dtype, crate::DataType::Struct(_)));
        assert_eq!(at(&root, "uns/dt").arrays()[0].dtype.to_string(), "datetime64[ns]");
        assert!(at(&root, "uns/d/empty").children().is_empty());
    }
}

#[test]
fn both_formats_are_the_same_tree() {
    fn list(e: &Element, out: &mut Vec<String>) {
        let dtypes: Vec<_> = match &e.body {
            Body::AnnData(_) | Body::Dict(_) | Body::DataFrame(_) | Body::Raw(_) => vec![],
            _ => e.arrays().iter().map(|a| a.dtype.to_string()).collect(),
        };
        out.push(format!("{} {} {:?} {dtypes:?}", e.path, e.encoding_type, e.shape()));
        e.children().iter().for_each(|(_, c)| list(c, out));
    }
    let [mut a, mut b] = fixtures().map(|h| {
        let mut out = Vec::new();
        list(&build(&h).unwrap(), &mut out);
        out
    });
    a.sort();
    b.sort();
    assert_eq!(a, b);
}

#[test]
fn one_element_is_broken_and_the_rest_stays() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str, Code)] = &[
        (|m| m["X"]["attributes"]["encoding-type"] = json!("foo"), "X", Code::EncodingUnknown),
        (|m| m["X"]["attributes"]["encoding-version"] = json!("9"), "X", Code::EncodingUnknown),
        (|m| m["X"]["attributes"]["encoding-type"] = json!({}), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["encoding-type"] = json!("array"), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"] = json!({}), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["shape"] = json!([6]), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["shape"] = json!([6, -4]), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["shape"] = json!([u64::MAX, 4]), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["shape"] = json!([7, 4]), "X", Code::EncodingInvalid),
        (|m| m["X"]["attributes"]["shape"] = json!([6, 5]), "X", Code::Misaligned),
        (|m| m["X/indices"]["shape"] = json!([11]), "X", Code::EncodingInvalid),
        (|m| m["X/indices"]["data_type"] = json!("float32"), "X", Code::EncodingInvalid),
        (|m| m["X/data"]["data_type"] = json!("float77"), "X", Code::DataType),
        (|m| m["X/data"] = m["X"].clone(), "X", Code::EncodingInvalid),
        (|m| m["layers/dense"]["shape"] = json!([6, 3]), "layers/dense", Code::Misaligned),
        (|m| m["obsm/X_pca"]["shape"] = json!([5, 2]), "obsm/X_pca", Code::Misaligned),
        (|m| m["obsm/awk"]["attributes"]["length"] = json!(5), "obsm/awk", Code::Misaligned),
        (|m| m["obsm/awk"]["attributes"]["form"] = json!({}), "obsm/awk", Code::EncodingInvalid),
        (|m| m["varp/c"]["shape"] = json!([4, 5]), "varp/c", Code::Misaligned),
        (|m| m["obs/f"]["shape"] = json!([5]), "obs/f", Code::Misaligned),
        (|m| m["obs/cat"]["attributes"]["ordered"] = json!("yes"), "obs/cat", Code::EncodingInvalid),
        (|m| m["obs/cat/codes"]["data_type"] = json!("bool"), "obs/cat", Code::MetadataField),
        (|m| m["obs/cat/categories"] = m["obs/cat"].clone(), "obs/cat", Code::EncodingInvalid),
        (|m| m["obs/ni/mask"]["shape"] = json!([5]), "obs/ni", Code::Misaligned),
        (|m| m["obs/ni/mask"] = m["obs/ni/values"].clone(), "obs/ni", Code::EncodingInvalid),
        (|m| m["obs/cat"] = m["uns"].clone(), "obs/cat", Code::EncodingInvalid),
        (|m| m["obs"]["attributes"]["column-order"] = json!(["ghost"]), "obs/ghost", Code::EncodingInvalid),
        (|m| m["obs"]["attributes"]["column-order"] = json!(["../X"]), "obs", Code::EncodingInvalid),
        (|m| m["obs"]["attributes"]["column-order"] = json!("f"), "obs", Code::EncodingInvalid),
        // Each absent column is kept with its error: of very many there is one for all.
        (
            |m| m["obs"]["attributes"]["column-order"] = (0..1001).map(|i| format!("x{i}")).collect(),
            "obs",
            Code::EncodingInvalid,
        ),
        (|m| m["obs"]["attributes"]["_index"] = json!("/var"), "obs", Code::EncodingInvalid),
        (|m| m["obs"]["attributes"]["_index"] = json!("nope"), "obs", Code::EncodingInvalid),
        (|m| m["obs"] = m["uns"].clone(), "obs", Code::EncodingInvalid),
        (|m| m["layers"] = m["uns/n"].clone(), "layers", Code::EncodingInvalid),
        (|m| m["raw/X"]["attributes"]["shape"] = json!([6, 3]), "raw/X", Code::Misaligned),
        (|m| m["raw"]["attributes"]["encoding-type"] = json!("foo"), "raw/X", Code::EncodingUnknown),
        (
            |m| m["uns/strs"]["attributes"]["encoding-type"] = json!("string"),
            "uns/strs",
            Code::EncodingInvalid,
        ),
        (
            |m| m["uns/rec"]["attributes"]["encoding-type"] = json!("string-array"),
            "uns/rec",
            Code::EncodingInvalid,
        ),
    ];
    for (i, (change, path, code)) in cases.iter().enumerate() {
        let root = changed(change).unwrap_or_else(|e| panic!("case {i}, {path}: {e}"));
        let (found, text) = why(&root, path);
        assert_eq!(found, *code, "case {i}: {text}");
        let top = path.split('/').next().unwrap();
        assert!(text.starts_with(&format!("`{top}")), "case {i} names no element: {text}");
        let mut problems = Vec::new();
        all_broken(&root, &mut problems);
        assert!(problems.len() <= 3, "case {i}: {problems:#?}");
        assert_eq!(root.shape(), Some(vec![6, 4]), "case {i}: the matrices tell where a table cannot");
    }
}

#[test]
fn what_may_be_absent() {
    let root = changed(|m| {
        let m = m.as_object_mut().unwrap();
        m.retain(|k, _| ["obs", "var"].iter().any(|p| k == p || k.starts_with(&format!("{p}/"))));
        m["obs/cat"]["attributes"].as_object_mut().unwrap().remove("ordered");
        m["obs"]["attributes"]["column-order"] = json!(["f", "cat", "f", "cell"]);
        m.insert("raw".into(), json!({"zarr_format": 3, "node_type": "group", "attributes": {}}));
        m.insert("weird".into(), json!({"zarr_format": 3, "node_type": "group", "attributes": {}}));
    })
    .unwrap();
    let Body::AnnData(a) = &root.body else { panic!("an AnnData") };
    assert!(a.x.is_none());
    assert!(matches!(at(&root, "layers").body, Body::Dict(_)));
    assert_eq!(frame(&a.obs).columns.len(), 3, "a name that stands twice is one column");
    assert!(matches!(at(&root, "weird").body, Body::Dict(_)), "kept as extra");
    let Body::Categorical(cat) = at(&root, "obs/cat").body else { panic!("categorical") };
    assert!(!cat.ordered);
}

#[test]
fn missing_tables() {
    let without = |name: &str| {
        changed(|m| {
            m.as_object_mut().unwrap().retain(|k, _| k != name && !k.starts_with(&format!("{name}/")));
        })
        .unwrap()
    };
    let root = without("obs");
    assert_eq!(why(&root, "obs").0, Code::EncodingInvalid);
    assert_eq!(root.shape(), Some(vec![6, 4]));
    assert!(matches!(at(&root, "X").body, Body::Sparse(_)));
    assert_eq!(why(&without("raw/var"), "raw/var").0, Code::EncodingInvalid);
}

#[test]
fn roots_of_any_kind() {
    let limits = Limits::default();
    let only = |name: &str| {
        let root = parse(V3);
        let all = root["consolidated_metadata"]["metadata"].as_object().unwrap();
        let mut h = Hierarchy::new(3, &limits);
        h.insert_v3("", all[name].to_string().as_bytes()).unwrap();
        for (path, node) in all {
            if let Some(rest) = path.strip_prefix(name).and_then(|p| p.strip_prefix('/')) {
                h.insert_v3(rest, node.to_string().as_bytes()).unwrap();
            }
        }
        build(&h)
    };
    assert!(matches!(only("X").unwrap().body, Body::Sparse(_)));
    assert!(matches!(only("obs").unwrap().body, Body::DataFrame(_)));
    assert!(matches!(only("X/data").unwrap().body, Body::Dense(_)));
    assert!(matches!(only("uns/s").unwrap().body, Body::Scalar(_)));
    assert!(matches!(only("uns").unwrap().body, Body::Dict(_)));
    assert_eq!(only("X").unwrap().path, "");

    assert_eq!(build(&Hierarchy::new(3, &limits)).unwrap_err().code(), Code::StoreNotFound);
    let mut h = Hierarchy::new(3, &limits);
    h.insert_v3("", b"{").unwrap();
    assert_eq!(build(&h).unwrap_err().code(), Code::MetadataJson);
    let mut h = Hierarchy::new(3, &limits);
    let csr = json!({"zarr_format": 3, "node_type": "group",
        "attributes": {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}});
    h.insert_v3("", csr.to_string().as_bytes()).unwrap();
    assert_eq!(build(&h).unwrap_err().code(), Code::EncodingInvalid);
}

/// A table whose columns are its own descendants would be read 2^depth times, were columns not leaves.
#[test]
fn tables_in_tables_do_not_multiply() {
    let mut h = Hierarchy::new(3, &Limits::default());
    let depth = 60;
    let names: Vec<String> = (1..=depth).map(|n| vec!["a"; n].join("/")).collect();
    for path in std::iter::once(String::new()).chain(names.iter().cloned()) {
        let node = json!({"zarr_format": 3, "node_type": "group", "attributes": {
            "encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "i", "column-order": names}});
        h.insert_v3(&path, node.to_string().as_bytes()).unwrap();
        let index = json!({"zarr_format": 3, "node_type": "array", "shape": [0], "data_type": "int8", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "codecs": ["bytes"],
            "chunk_key_encoding": "default"});
        h.insert_v3(format!("{path}/i").trim_start_matches('/'), index.to_string().as_bytes()).unwrap();
    }
    let root = build(&h).unwrap();
    assert_eq!(frame(&root).columns.len(), depth);
    assert_eq!(why(&root, "a").0, Code::EncodingInvalid);
}
