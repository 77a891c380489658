//! What is encoded is decoded to the same; layouts cut as they say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use proptest::prelude::*;
use serde_json::Map;

use super::{
    ArraySpec, Codecs, Compressor, Encoder, Facts, Layout, Nodes, PRESETS, Role, ShardBuilder, vlen,
};
use crate::codec::Scratch;
use crate::metadata::{Hierarchy, Limits, Node, parse_json};
use crate::shard::ShardIndex;
use crate::{ArrayRef, Code, DataType, Field, KeyEncoding};

const CODECS: [&str; 13] = [
    "none",
    "zstd",
    "zstd:9",
    "gzip",
    "gzip:9",
    "lz4",
    "blosc-lz4hc",
    "blosc-zstd:1",
    "blosc-zlib",
    "blosc-snappy",
    "blosc-blosclz:9",
    "blosc-lz4+bitshuffle",
    "blosc-zstd+noshuffle",
];

fn spec(codec: &str, checksum: bool, dtype: DataType) -> ArraySpec {
    ArraySpec {
        path: "a".into(),
        shape: vec![5],
        dtype,
        inner: vec![3],
        shard: None,
        codecs: Codecs { compressor: codec.parse().unwrap(), checksum },
        keys: KeyEncoding::usual(3),
        attributes: Map::new(),
    }
}

/// The array as its own metadata is read.
fn read_back(spec: &ArraySpec, zarr_format: u8) -> ArrayRef {
    let mut nodes = Nodes::new(zarr_format);
    nodes.group("", Map::new());
    nodes.array(spec);
    let (limits, documents) = (Limits::default(), nodes.documents());
    let (key, bytes) = documents.last().unwrap();
    let root = parse_json(bytes, key, &limits).unwrap();
    let hierarchy = if zarr_format == 2 {
        Hierarchy::from_zmetadata(&root, &limits).unwrap()
    } else {
        Hierarchy::from_consolidated_v3(&root, &limits).unwrap()
    };
    match hierarchy.get("a").unwrap() {
        Ok(Node::Array(array)) => array.clone(),
        other => panic!("{other:?}"),
    }
}

fn dtypes() -> Vec<DataType> {
    let names =
        ["|b1", "|i1", "<i8", "<u2", "<f2", "<f4", "<c16", "<M8[ns]", "<m8[10s]", "|S3", "<U2", "|V5"];
    let mut all: Vec<_> = names.iter().map(|text| DataType::from_numpy_str(text).unwrap().0).collect();
    all.push(DataType::Struct(vec![
        Field { name: "a".into(), dtype: DataType::Float(4), offset: 0 },
        Field { name: "b".into(), dtype: DataType::FixedUtf32(2), offset: 4 },
    ]));
    all
}

#[test]
fn every_codec_and_type_is_read_back() {
    for zarr_format in [2, 3] {
        for codec in CODECS {
            for dtype in dtypes() {
                let size = dtype.item_size().unwrap();
                let keys = KeyEncoding::usual(zarr_format);
                let spec = ArraySpec { keys, ..spec(codec, true, dtype) };
                let array = read_back(&spec, zarr_format);
                assert_eq!((&array.dtype, &array.shape), (&spec.dtype, &spec.shape));
                assert_eq!(array.chunk_key(&[1]), spec.key(&[1]));
                let raw: Vec<u8> = (0..size * 3).map(|i| (i % 2) as u8).collect();
                let mut encoder = Encoder::new(&spec.codecs, size, zarr_format);
                for _ in 0..2 {
                    let bytes = encoder.encode(&raw).unwrap();
                    let mut out = vec![9; raw.len()];
                    array.chain.decode_into(&bytes, &mut out, &mut Scratch::default()).unwrap();
                    assert_eq!(out, raw, "{codec} {}", spec.dtype);
                }
                assert!(zarr_format == 2 || array.chain.validates(), "{codec}");
            }
        }
    }
}

#[test]
fn text_is_read_back() {
    for (zarr_format, dtype) in
        [(2, DataType::String), (3, DataType::String), (2, DataType::Bytes), (3, DataType::Bytes)]
    {
        let spec = spec("zstd", true, dtype);
        let array = read_back(&spec, zarr_format);
        let items: [&[u8]; 2] = ["é".as_bytes(), b""];
        let bytes =
            Encoder::new(&spec.codecs, 1, zarr_format).encode(&vlen(items.into_iter(), 3).unwrap()).unwrap();
        let found = array.chain.decode_vlen(&bytes, 3, 100, &mut Scratch::default()).unwrap();
        assert_eq!((found.offsets, found.bytes), (vec![0, 2, 2, 2], "é".as_bytes().to_vec()));
    }
}

#[test]
fn shards_are_read_back() {
    let spec = ArraySpec { shape: vec![10], shard: Some(vec![9]), ..spec("zstd", true, DataType::Int(4)) };
    let array = read_back(&spec, 3);
    let mut shard = ShardBuilder::new(3);
    shard.add(1, 10);
    shard.add(0, 7);
    let index = ShardIndex::parse(&shard.finish(), &array, Some(17 + 52)).unwrap();
    assert_eq!(index.get(0).unwrap(), Some(10..17));
    assert_eq!(index.get(1).unwrap(), Some(0..10));
    assert_eq!(index.get(2).unwrap(), None);
}

#[test]
fn codecs_are_named_and_found() {
    for text in CODECS {
        let codec: Compressor = text.parse().unwrap();
        assert_eq!(codec, codec.to_string().parse().unwrap());
    }
    for text in ["", "lz5", "zstd:0", "zstd:x", "blosc-", "zstd+shuffle", "lz4:10", "lz4+what", "none:1"] {
        assert_eq!(text.parse::<Compressor>().unwrap_err().code(), Code::Layout, "{text}");
    }
}

#[test]
fn rules_apply_in_order() {
    let layout = r#"{"rules": [
        {"path": "**", "chunk": {"items": 100}, "shard": {"items": 1000}, "codec": "zstd"},
        {"path": "X", "chunk": {"rows": 4}},
        {"path": "X/indptr", "chunk": {"items": 7}, "shard": "none"},
        {"path": "obs/*", "chunk": "whole", "codec": "none", "checksum": false},
        {"path": "**/X_p*", "chunk": {"shape": [5, 2]}}
    ]}"#;
    let layout = Layout::from_json(layout).unwrap();
    let facts = |role, shape, per_row| Facts { role, shape, item: 4, per_row };
    let cut = |path, role, shape: &'static [u64]| layout.cut(path, &facts(role, shape, 25.0)).unwrap();
    let data = cut("X/data", Role::Data, &[100_000]);
    assert_eq!((data.inner, data.shard), (vec![100], Some(vec![1000])));
    assert_eq!(cut("X/indptr", Role::Indptr, &[50]).shard, None);
    let codes = cut("obs/kind/codes", Role::Column, &[50]);
    assert_eq!((codes.inner, codes.shard), (vec![50], None));
    assert_eq!((codes.codecs.compressor, codes.codecs.checksum), (Compressor::None, false));
    let pca = cut("obsm/X_pca", Role::Dense, &[100, 3]);
    assert_eq!((pca.inner, pca.shard), (vec![5, 2], Some(vec![100, 4])));
    // A row is longer than a chunk may be.
    assert_eq!(cut("layers/a", Role::Dense, &[9, 250]).inner, [1, 100]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "{",
        r#"{"rules": [{"path": "X", "chunk": {"items": 0}}]}"#,
        r#"{"zarr_format": 4}"#,
        r#"{"rule": []}"#,
        r#"{"rules": [{"path": "X", "codec": "zip"}]}"#,
        r#"{"rules": [{"path": "X", "chunk": "none"}]}"#,
    ] {
        assert_eq!(Layout::from_json(text).unwrap_err().code(), Code::Layout, "{text}");
    }
    let layout = Layout::from_json(r#"{"rules": [{"path": "**", "chunk": "whole"}]}"#).unwrap();
    let facts = Facts { role: Role::Dense, shape: &[1 << 20, 1 << 10], item: 8, per_row: 1.0 };
    assert_eq!(layout.cut("X", &facts).unwrap_err().code(), Code::Layout);
    assert_eq!(Layout::preset("fast", 3).unwrap_err().code(), Code::Layout);
}

proptest! {
    #[test]
    fn cuttings_are_sound(
        preset in 0..PRESETS.len(), zarr_format in 2u8..4, role in 0..6usize, item in 1..17usize,
        shape in proptest::collection::vec(0u64..1 << 24, 1..4), per_row in 0.0..5000.0f64,
    ) {
        let roles = [Role::Data, Role::Indices, Role::Indptr, Role::Column, Role::Dense, Role::Other];
        let layout = Layout::preset(PRESETS[preset].0, zarr_format).unwrap();
        prop_assert_eq!(&layout, &Layout::from_json(&layout.to_json()).unwrap());
        for path in ["X/data", "X", "obsm/a", "obs/b/codes"] {
            let facts = Facts { role: roles[role], shape: &shape, item, per_row };
            let Ok(cutting) = layout.cut(path, &facts) else { continue };
            prop_assert_eq!(cutting.inner.len(), shape.len());
            prop_assert!(cutting.inner.iter().all(|c| *c > 0));
            if let Some(shard) = &cutting.shard {
                prop_assert!(shard.iter().zip(&cutting.inner).all(|(s, c)| *s > 0 && s % c == 0));
                prop_assert_eq!(zarr_format, 3);
            }
        }
    }
}
