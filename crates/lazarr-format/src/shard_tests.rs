use serde_json::json;

use super::*;
use crate::metadata::{Limits, array_v3};

/// A shard of four inner chunks.
fn array(endian: &str, location: &str, checksum: bool) -> ArrayMeta {
    let mut index = vec![json!({"name": "bytes", "configuration": {"endian": endian}})];
    if checksum {
        index.push(json!({"name": "crc32c"}));
    }
    let metadata = json!({
        "zarr_format": 3, "node_type": "array", "shape": [8], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8]}},
        "chunk_key_encoding": "default",
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [2], "codecs": [{"name": "bytes"}], "index_codecs": index, "index_location": location,
        }}],
    });
    array_v3("X/data", metadata.as_object().unwrap(), &Limits::default()).unwrap()
}

fn encode(entries: [(u64, u64); 4], endian: &str, checksum: bool) -> Vec<u8> {
    let word = |v: u64| if endian == "big" { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut out: Vec<u8> = entries.iter().flat_map(|(o, n)| [word(*o), word(*n)]).flatten().collect();
    if checksum {
        out.extend(crc32c::crc32c(&out).to_le_bytes());
    }
    out
}

const GOOD: [(u64, u64); 4] = [(0, 10), (MISSING, MISSING), (30, 5), (10, 20)];

#[test]
fn entries_of_every_layout() {
    for endian in ["little", "big"] {
        for checksum in [true, false] {
            let index =
                ShardIndex::parse(&encode(GOOD, endian, checksum), &array(endian, "end", checksum), None)
                    .unwrap();
            assert_eq!(index.len(), 4);
            assert_eq!(index.get(0).unwrap(), Some(0..10));
            assert_eq!(index.get(1).unwrap(), None);
            assert_eq!(index.get(3).unwrap(), Some(10..30));
            assert_eq!(index.get(4).unwrap_err().code(), Code::ShardIndex);
        }
    }
}

#[test]
fn ranges_stay_in_the_data_of_the_shard() {
    let bytes = encode(GOOD, "little", true);
    let end =
        |size| ShardIndex::parse(&bytes, &array("little", "end", true), Some(size)).and_then(|i| i.get(2));
    assert_eq!(end(35 + 68).unwrap(), Some(30..35));
    assert!(end(34 + 68).unwrap_err().to_string().contains("inner chunk 2"));
    assert_eq!(end(10).unwrap_err().code(), Code::ShardIndex);
    let start = |i| ShardIndex::parse(&bytes, &array("little", "start", true), None).and_then(|x| x.get(i));
    assert_eq!(start(1).unwrap(), None);
    assert_eq!(start(0).unwrap_err().code(), Code::ShardIndex, "it lies in the index");
}

#[test]
fn broken_indices() {
    let a = array("little", "end", true);
    let mut bytes = encode(GOOD, "little", true);
    assert_eq!(ShardIndex::parse(&bytes[1..], &a, None).unwrap_err().code(), Code::ShardIndex);
    assert_eq!(ShardIndex::parse(&[], &a, None).unwrap_err().code(), Code::ShardIndex);
    bytes[3] ^= 1;
    let e = ShardIndex::parse(&bytes, &a, None).unwrap_err();
    assert_eq!((e.code(), e.element_name()), (Code::ChunkChecksum, Some("X/data")));
    for entry in [(MISSING, 5), (5, MISSING), (MISSING - 8, 64)] {
        let bytes = encode([entry, (0, 1), (0, 1), (0, 1)], "little", true);
        let index = ShardIndex::parse(&bytes, &a, None).unwrap();
        assert!(index.get(0).unwrap_err().to_string().contains("inner chunk 0"), "{entry:?}");
        assert_eq!(index.get(1).unwrap(), Some(0..1), "the others are still there");
    }
}
