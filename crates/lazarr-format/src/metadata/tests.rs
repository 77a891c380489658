use serde_json::{Map, Value, json};

use super::*;
use crate::{ArrayMeta, Code, DataType, Error, Fill, KeyEncoding, Result};

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// A v3 array of 100 int32 in chunks of 10, with these fields replaced; a null takes the field away.
fn v3(changes: &Value) -> Result<ArrayMeta> {
    let mut base = map(json!({
        "zarr_format": 3, "node_type": "array", "shape": [100], "data_type": "int32", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {"a": 1}, "storage_transformers": [],
    }));
    for (k, v) in changes.as_object().unwrap() {
        if v.is_null() {
            base.shift_remove(k)
        } else {
            base.insert(k.clone(), v.clone())
        };
    }
    array_v3("X/data", &base, &Limits::default())
}

fn v2(changes: &Value) -> Result<ArrayMeta> {
    let mut base = map(json!({
        "zarr_format": 2, "shape": [100], "dtype": "<i4", "fill_value": 0, "chunks": [10], "order": "C",
        "compressor": null, "filters": null,
    }));
    base.extend(changes.as_object().unwrap().clone());
    array_v2("X/data", &base, Map::new(), &Limits::default())
}

fn code(result: Result<ArrayMeta>) -> Code {
    let e: Error = result.expect_err("should fail");
    assert_eq!(e.element_name(), Some("X/data"), "{e}");
    assert!(e.key_name().is_some_and(|k| k.starts_with("X/data/")), "{e}");
    e.code()
}

#[test]
fn a_v3_array() {
    let a = v3(&json!({})).unwrap();
    assert_eq!((a.shape.as_slice(), a.chunk_shape.as_slice()), ([100].as_slice(), [10].as_slice()));
    assert_eq!(a.dtype, DataType::Int(4));
    assert_eq!(a.fill, Fill::Item(vec![0; 4]));
    assert_eq!(a.chunk_key(&[3]), "X/data/c/3");
    assert_eq!(a.attributes["a"], 1);
    let a =
        v3(&json!({"chunk_key_encoding": "v2", "attributes": null, "storage_transformers": null})).unwrap();
    assert_eq!(a.keys, KeyEncoding::V2 { separator: '.' });
    let a =
        v3(&json!({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}})).unwrap();
    assert_eq!(a.keys, KeyEncoding::Default { separator: '.' });
    let scalar =
        v3(&json!({"shape": [], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": []}}}));
    assert_eq!(scalar.unwrap().chunk_key(&[]), "X/data/c");
}

#[test]
fn wrong_fields_of_a_v3_array() {
    let grid =
        |shape: Value| json!({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}}});
    for (changes, expected) in [
        (json!({"zarr_format": 4}), Code::MetadataUnsupported),
        (json!({"zarr_format": "3"}), Code::MetadataField),
        (json!({"zarr_format": null}), Code::MetadataField),
        (json!({"node_type": "group"}), Code::MetadataField),
        (json!({"shape": [-1]}), Code::MetadataField),
        (json!({"shape": [1.5]}), Code::MetadataField),
        (json!({"shape": 100}), Code::MetadataField),
        (json!({"shape": [1_u64 << 63]}), Code::MetadataField),
        (json!({"shape": vec![1; 33]}), Code::MetadataLimit),
        (grid(json!([10, 10])), Code::MetadataField),
        (grid(json!([0])), Code::MetadataField),
        (grid(json!([-3])), Code::MetadataField),
        (grid(json!([1_u64 << 40])), Code::MetadataLimit),
        (grid(json!([1_u64 << 62])), Code::MetadataField),
        (json!({"chunk_grid": {"name": "hexagonal", "configuration": {}}}), Code::MetadataUnsupported),
        (json!({"chunk_grid": {"name": "rectilinear", "configuration": {}}}), Code::MetadataField),
        (json!({"chunk_grid": {"configuration": {}}}), Code::MetadataField),
        (json!({"chunk_key_encoding": "sha"}), Code::MetadataUnsupported),
        (
            json!({"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "-"}}}),
            Code::MetadataField,
        ),
        (json!({"storage_transformers": [{"name": "x"}]}), Code::MetadataUnsupported),
        (json!({"alien": {"must_understand": true}}), Code::MetadataUnsupported),
        (json!({"alien": 1}), Code::MetadataUnsupported),
        (json!({"codecs": []}), Code::MetadataField),
        (json!({"codecs": null}), Code::MetadataField),
        (json!({"data_type": "float77"}), Code::DataType),
        (json!({"data_type": 7}), Code::MetadataField),
        (json!({"data_type": "r0"}), Code::DataType),
        (
            json!({"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}}}),
            Code::MetadataField,
        ),
        (
            json!({"data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 1_u64 << 40}}}),
            Code::MetadataField,
        ),
        (
            json!({"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "eon"}}}),
            Code::MetadataField,
        ),
        (json!({"data_type": {"name": "struct", "configuration": {"fields": []}}}), Code::DataType),
        (
            json!({"data_type": {"name": "struct", "configuration": {"fields": [["a", "string"]]}}}),
            Code::DataType,
        ),
        (json!({"fill_value": null}), Code::MetadataField),
        (json!({"attributes": 5}), Code::MetadataField),
    ] {
        assert_eq!(code(v3(&changes)), expected, "{changes}");
    }
    v3(&json!({"alien": {"must_understand": false}, "dimension_names": ["x"]})).unwrap();
    let empty =
        v3(&json!({"shape": [0], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0]}}}));
    assert_eq!(empty.unwrap().chunk_shape, [1]);
}

fn sharded(configuration: &Value, more: &[Value]) -> Result<ArrayMeta> {
    let mut base = json!({
        "chunk_shape": [5],
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"],
    });
    for (k, v) in configuration.as_object().unwrap() {
        base[k] = v.clone();
    }
    let mut codecs = vec![json!({"name": "sharding_indexed", "configuration": base})];
    codecs.extend_from_slice(more);
    v3(&json!({"codecs": codecs}))
}

#[test]
fn shards() {
    let a = sharded(&json!({}), &[]).unwrap();
    let s = a.sharding.as_ref().unwrap();
    assert_eq!(
        (s.inner_shape.as_slice(), s.index_at_start, s.index_checksum, s.index_big_endian),
        ([5].as_slice(), false, true, false)
    );
    assert_eq!((a.inner_per_chunk(), a.shard_index_bytes()), (2, 36));
    assert!(a.codec_name.starts_with("sharding("));
    let big = json!([{"name": "bytes", "configuration": {"endian": "big"}}]);
    let a = sharded(&json!({"index_codecs": big, "index_location": "start"}), &[]).unwrap();
    let s = a.sharding.as_ref().unwrap();
    assert_eq!((s.index_at_start, s.index_checksum, s.index_big_endian), (true, false, true));
    for changes in [
        json!({"chunk_shape": [3]}),
        json!({"chunk_shape": [0]}),
        json!({"chunk_shape": [5, 5]}),
        json!({"codecs": []}),
        json!({"index_codecs": null}),
        json!({"index_codecs": ["bytes"]}),
        json!({"index_location": "middle"}),
    ] {
        assert_eq!(code(sharded(&changes, &[])), Code::MetadataField, "{changes}");
    }
}

#[test]
fn a_shard_index_has_bounds() {
    let sharding = |chunk: u64| {
        v3(&json!({
            "shape": [chunk],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk]}},
            "codecs": [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [1],
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            }}],
        }))
    };
    sharding(1 << 20).unwrap();
    assert_eq!(code(sharding(1 << 40)), Code::MetadataLimit);
}

#[test]
fn a_v2_array() {
    let a = v2(&json!({"dimension_separator": "/", "node_type": "array"})).unwrap();
    assert_eq!(a.keys, KeyEncoding::V2 { separator: '/' });
    assert_eq!(v2(&json!({})).unwrap().chunk_key(&[7]), "X/data/7");
    assert_eq!(v2(&json!({"shape": [0], "chunks": [0]})).unwrap().chunk_shape, [1]);
    let strings = v2(&json!({"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": 0})).unwrap();
    assert_eq!((strings.dtype, strings.fill), (DataType::String, Fill::Vlen(vec![])));
    let bytes = v2(&json!({"dtype": "|O", "filters": [{"id": "vlen-bytes"}], "fill_value": "aGk="})).unwrap();
    assert_eq!((bytes.dtype, bytes.fill), (DataType::Bytes, Fill::Vlen(b"hi".to_vec())));
    for (changes, expected) in [
        (json!({"zarr_format": 3}), Code::MetadataUnsupported),
        (json!({"chunks": [0]}), Code::MetadataField),
        (json!({"order": "K"}), Code::MetadataField),
        (json!({"dimension_separator": "-"}), Code::MetadataField),
        (json!({"dtype": "|O"}), Code::DataType),
        (json!({"dtype": "|O", "filters": [{"id": "pickle"}]}), Code::DataType),
        (json!({"dtype": "<q9"}), Code::DataType),
        (json!({"dtype": "|S0"}), Code::DataType),
        (json!({"dtype": [["a", "<i4", [2]]]}), Code::DataType),
        (json!({"dtype": [["a", "<i4"], ["a", "<i4"]]}), Code::DataType),
        (json!({"dtype": [["a", "<i4"], ["b", ">i4"]]}), Code::DataType),
        (json!({"dtype": [["a"]]}), Code::MetadataField),
        (json!({"filters": {}}), Code::MetadataField),
    ] {
        assert_eq!(code(v2(&changes)), expected, "{changes}");
    }
}

#[test]
fn structs_of_both_formats() {
    let dtype = json!([["a", "<i4"], ["b", "<U2"], ["c", [["d", "<f8"], ["e", "|S3"]]]]);
    let old = v2(&json!({"dtype": dtype, "fill_value": null})).unwrap();
    let text = |n: u32| json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": n}});
    let inner = json!({"name": "struct", "configuration": {"fields": [
        {"name": "d", "data_type": "float64"},
        {"name": "e", "data_type": {"name": "null_terminated_bytes", "configuration": {"length_bytes": 3}}},
    ]}});
    let new = v3(&json!({
        "data_type": {"name": "struct", "configuration": {"fields": [
            {"name": "a", "data_type": "int32"}, {"name": "b", "data_type": text(8)}, {"name": "c", "data_type": inner},
        ]}},
        "fill_value": {"a": -1, "b": "xy", "c": {"d": 1.0, "e": "YWI="}},
    }))
    .unwrap();
    assert_eq!(old.dtype, new.dtype);
    assert_eq!(old.dtype.item_size(), Some(4 + 8 + 8 + 3));
    assert_eq!(old.fill, Fill::Item(vec![0; 23]));
    let mut item = vec![0xff; 4];
    item.extend(b"x\0\0\0y\0\0\0");
    item.extend(1f64.to_le_bytes());
    item.extend(b"ab\0");
    assert_eq!(new.fill, Fill::Item(item));
    // Base64 holds the item in the array's own byte order.
    let big = v2(&json!({"dtype": [["a", ">i2"], ["b", "|u1"]], "fill_value": "AQID"})).unwrap();
    assert_eq!(big.fill, Fill::Item(vec![2, 1, 3]));
}

#[test]
fn fill_values() {
    let item =
        |dtype: Value, fill: Value| v3(&json!({"data_type": dtype, "fill_value": fill})).map(|a| a.fill);
    let named = |name: &str, n: u32| json!({"name": name, "configuration": {"length_bytes": n}});
    let time = json!({"name": "numpy.datetime64", "configuration": {"unit": "ns", "scale_factor": 1}});
    let f = |v: f32| v.to_le_bytes().to_vec();
    for (dtype, fill, expected) in [
        (json!("bool"), json!(true), vec![1]),
        (json!("int8"), json!(-128), vec![0x80]),
        (json!("uint8"), json!(255), vec![255]),
        (json!("uint8"), json!(7.0), vec![7]),
        (json!("int64"), json!(i64::MIN), i64::MIN.to_le_bytes().to_vec()),
        (json!("uint64"), json!(u64::MAX), vec![255; 8]),
        (json!("float16"), json!(1.5), vec![0, 0x3e]),
        (json!("float32"), json!("NaN"), f(f32::NAN)),
        (json!("float32"), json!("0x7fc00001"), vec![1, 0, 0xc0, 0x7f]),
        (json!("float32"), json!("-Infinity"), f(f32::NEG_INFINITY)),
        (json!("float64"), json!(3), 3f64.to_le_bytes().to_vec()),
        (json!("complex64"), json!([1.0, "Infinity"]), [f(1.0), f(f32::INFINITY)].concat()),
        (time.clone(), json!("NaT"), i64::MIN.to_le_bytes().to_vec()),
        (time.clone(), json!(5), 5i64.to_le_bytes().to_vec()),
        (named("null_terminated_bytes", 3), json!("YWI="), b"ab\0".to_vec()),
        (named("raw_bytes", 2), json!([1, 2]), vec![1, 2]),
        (json!("r16"), json!([1, 2]), vec![1, 2]),
        (named("fixed_length_utf32", 8), json!("é"), vec![0xe9, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(item(dtype.clone(), fill.clone()).unwrap(), Fill::Item(expected), "{dtype} {fill}");
    }
    let vlen = |dtype: &str, codec: &str, fill: Value| {
        v3(&json!({"data_type": dtype, "codecs": [{"name": codec}], "fill_value": fill})).unwrap().fill
    };
    assert_eq!(vlen("string", "vlen-utf8", json!("né")), Fill::Vlen("né".into()));
    assert_eq!(vlen("bytes", "vlen-bytes", json!([1, 255])), Fill::Vlen(vec![1, 255]));
    assert_eq!(vlen("variable_length_bytes", "vlen-bytes", json!("aGk=")), Fill::Vlen(b"hi".to_vec()));
    for (dtype, fill) in [
        (json!("bool"), json!(1)),
        (json!("uint8"), json!(256)),
        (json!("uint8"), json!(-1)),
        (json!("int8"), json!(128)),
        (json!("int32"), json!(1.5)),
        (json!("int32"), json!("0")),
        (json!("uint64"), json!(1e20)),
        (json!("int64"), json!({"x": 1})),
        (json!("float32"), json!(1e300)),
        (json!("float32"), json!("0x7fc0")),
        (json!("float32"), json!("0x+fc00000")),
        (json!("float16"), json!(1e6)),
        (json!("float32"), json!("nan")),
        (json!("complex64"), json!([1.0])),
        (json!("string"), json!(0)),
        (json!("bytes"), json!([256])),
        (time, json!(1.5)),
        (named("null_terminated_bytes", 1), json!("YWI=")),
        (named("raw_bytes", 3), json!("YWI=")),
        (named("fixed_length_utf32", 4), json!("ab")),
    ] {
        let e = item(dtype.clone(), fill.clone()).expect_err("should fail");
        assert_eq!(e.code(), Code::MetadataField, "{dtype} {fill}: {e}");
    }
}

#[test]
fn text_that_is_no_object() {
    let limits = Limits::default();
    let fails =
        |bytes: &[u8]| parse_json(bytes, "X/zarr.json", &limits).expect_err("should fail").to_string();
    assert!(fails(b"").contains("empty"));
    assert!(fails(b"{\"a\": [1, ").contains("truncated"));
    assert!(fails(b"[1, 2]").contains("found [1, 2]"));
    assert!(fails(b"\x00\xff{").contains("not JSON"));
    assert!(fails("[".repeat(100_000).as_bytes()).contains("LZ0206"));
    assert!(fails(b"{\"a\": \"[[[[[[[[\", \"b\" [1]}").contains("LZ0201"));
    let deep = format!("{}{}", "{\"a\":".repeat(70), "1".to_owned() + &"}".repeat(70));
    assert!(fails(deep.as_bytes()).contains("LZ0206"));
    let small = Limits { metadata_bytes: 10, ..limits };
    assert_eq!(parse_json(b"{\"a\": 12345678}", "k", &small).unwrap_err().code(), Code::MetadataLimit);
}

#[test]
fn bare_words_of_python() {
    let text = br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" NaN", "d": "\\"}"#;
    let map = parse_json(text, "k", &Limits::default()).unwrap();
    assert_eq!(
        Value::Object(map),
        json!({"a": "NaN", "b": ["-Infinity", "Infinity"], "c": "NaN \" NaN", "d": "\\"})
    );
}

fn group() -> Value {
    json!({"zarr_format": 3, "node_type": "group", "attributes": {}})
}

#[test]
fn consolidated_flat_and_nested() {
    let limits = Limits::default();
    let mut inner = group();
    inner["consolidated_metadata"] =
        json!({"kind": "inline", "metadata": {"d": group(), "e/f": {"node_type": "array"}}});
    let mut root = group();
    root["consolidated_metadata"] = json!({"kind": "inline", "must_understand": false, "metadata": {"z": group(), "b/c": inner, "a": group()}});
    let root = map(root);
    assert!(is_consolidated_v3(&root));
    let h = Hierarchy::from_consolidated_v3(&root, &limits).unwrap();
    assert_eq!(h.children(""), ["z", "b", "a"]);
    assert_eq!(h.children("b/c"), ["d", "e"]);
    assert!(matches!(h.get("b"), Some(Ok(Node::Group(_)))), "implied by b/c");
    assert!(h.get("b/c/e/f").unwrap().is_err(), "kept as its error");
    assert!(h.get("nowhere").is_none());
    assert!(h.consolidated() && h.zarr_format() == 3 && h.len() == 8);

    let with = |consolidated: Value| {
        let mut root = group();
        root["consolidated_metadata"] = consolidated;
        map(root)
    };
    assert!(!is_consolidated_v3(&with(Value::Null)));
    assert!(!is_consolidated_v3(&map(group())));
    assert!(!is_consolidated_v3(&with(json!({"kind": "elsewhere"}))));
    assert!(
        Hierarchy::from_consolidated_v3(&with(json!({"kind": "inline", "metadata": [1]})), &limits).is_err()
    );
    for path in ["../x", "/x", "a//b", "a/.", "a/..", "x\0", ""] {
        let root = with(json!({"metadata": {path: group()}}));
        let h = Hierarchy::from_consolidated_v3(&root, &limits);
        if path.is_empty() {
            assert_eq!(h.unwrap().len(), 1, "the root stands already");
        } else {
            let e = h.unwrap_err();
            assert_eq!((e.code(), e.key_name()), (Code::StoreEscape, Some(path)), "{path:?}");
        }
    }
    let few = Limits { nodes: 2, ..limits };
    let root = with(json!({"metadata": {"a/b": group()}}));
    assert_eq!(Hierarchy::from_consolidated_v3(&root, &few).unwrap_err().code(), Code::MetadataLimit);
}

#[test]
fn what_is_too_deep_is_an_error_at_its_ancestor() {
    let mut h = Hierarchy::new(3, &Limits { json_depth: 3, ..Limits::default() });
    h.insert_v3("", group().to_string().as_bytes()).unwrap();
    h.insert_v3("a/b/c", group().to_string().as_bytes()).unwrap();
    assert!(h.get("a/b/c").unwrap().is_ok());
    h.insert_v3("a/b/c/d/e", group().to_string().as_bytes()).unwrap();
    assert_eq!(h.get("a/b/c").unwrap().unwrap_err().code(), Code::MetadataLimit);
    assert!(h.get("a/b/c/d").is_none() && h.get("a/b").unwrap().is_ok());
}

#[test]
fn v2_hierarchies() {
    let zarray = json!({"zarr_format": 2, "shape": [3], "dtype": "<f4", "fill_value": 0.0, "chunks": [3], "order": "C",
        "compressor": null, "filters": null});
    let zmetadata = map(json!({"zarr_consolidated_format": 1, "metadata": {
        ".zgroup": {"zarr_format": 2}, ".zattrs": {"k": 1},
        "X/.zattrs": {"unit": "m"}, "X/.zarray": zarray, "only/.zattrs": {}, "other/file": 1,
    }}));
    let h = Hierarchy::from_zmetadata(&zmetadata, &Limits::default()).unwrap();
    let Some(Ok(Node::Array(x))) = h.get("X") else { panic!("an array") };
    assert_eq!(x.attributes["unit"], "m");
    let Some(Ok(Node::Group(root))) = h.get("") else { panic!("a group") };
    assert_eq!(root.attributes["k"], 1);
    assert!(h.get("only").unwrap().is_err());
    assert_eq!(h.len(), 3);
    assert!(Hierarchy::from_zmetadata(&map(json!({"metadata": {}})), &Limits::default()).is_err());

    let mut h = Hierarchy::new(2, &Limits::default());
    h.insert_v2("", Some(b"{\"zarr_format\": 2}"), None, None).unwrap();
    h.insert_v2("X", None, Some(zarray.to_string().as_bytes()), Some(b"{")).unwrap();
    h.insert_error("Y", Error::new(Code::StoreIo, "gone")).unwrap();
    assert_eq!(h.get("X").unwrap().unwrap_err().key_name(), Some("X/.zattrs"));
    assert_eq!(h.get("Y").unwrap().unwrap_err().element_name(), Some("Y"));
}

#[test]
fn fill_values_have_a_bound_altogether() {
    let array = json!({"zarr_format": 2, "shape": [3], "dtype": "|S4000000", "fill_value": null, "chunks": [3],
        "order": "C", "compressor": null, "filters": null});
    let mut h = Hierarchy::new(2, &Limits::default());
    for i in 0..20 {
        h.insert_v2(&i.to_string(), None, Some(array.to_string().as_bytes()), None).unwrap();
    }
    assert!(h.get("0").unwrap().is_ok());
    assert_eq!(h.get("19").unwrap().unwrap_err().code(), Code::MetadataLimit);
}
