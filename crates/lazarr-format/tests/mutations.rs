//! Hostile metadata: whatever is done to a good document, reading it ends in a tree or in an error.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lazarr_format::anndata::{Element, build};
use lazarr_format::metadata::{Hierarchy, Limits, Node, parse_json};
use lazarr_format::shard::ShardIndex;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const V2: &str = include_str!("data/anndata_v2.json");
const V3: &str = include_str!("data/anndata_v3.json");

fn open(map: &Map<String, Value>, format: u8) -> lazarr_format::Result<Element> {
    let limits = Limits::default();
    let h = if format == 2 {
        Hierarchy::from_zmetadata(map, &limits)?
    } else {
        Hierarchy::from_consolidated_v3(map, &limits)?
    };
    for (_, node) in h.iter() {
        if let Ok(Node::Array(a)) = node {
            // What is derived without a check must not overflow.
            let _ = (
                a.len(),
                a.inner_bytes(),
                a.grid_shape(),
                a.inner_count(),
                a.len_at(&a.grid_shape()),
                a.shard_index_bytes(),
                a.chunk_key(&a.grid_shape()),
            );
        }
    }
    let root = build(&h)?;
    let _ = (root.shape(), root.arrays().len(), format!("{:?}", root.children().len()));
    Ok(root)
}

fn rectilinear(chunk_shapes: &Value) -> Value {
    json!({"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": chunk_shapes}})
}

/// Walks to a random place of the document and puts something else there.
fn mutate(value: &mut Value, steps: &mut impl Iterator<Item = usize>, with: &Value) {
    let step = steps.next().unwrap_or(0);
    let stop = step.is_multiple_of(7);
    match value {
        Value::Array(items) if !stop && !items.is_empty() => {
            let i = step % items.len();
            mutate(&mut items[i], steps, with);
        }
        Value::Object(map) if !stop && !map.is_empty() => {
            let i = step % map.len();
            let key = map.keys().nth(i).unwrap().clone();
            if step.is_multiple_of(11) {
                map.shift_remove(&key);
            } else if step.is_multiple_of(13) {
                let moved = map.shift_remove(&key).unwrap();
                map.insert(with.as_str().unwrap_or("x").to_owned(), moved);
            } else {
                mutate(map.get_mut(&key).unwrap(), steps, with);
            }
        }
        other => *other = with.clone(),
    }
}

fn replacement() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "..",
        "a/b",
        "/",
        "NaN",
        "0x7fc00000",
        "csr_matrix",
        "dataframe",
        "anndata",
        "array",
        "group",
        "<U3",
        "|O",
        "string",
        "r8",
        "_index",
        "0.1.0",
        "0.2.0",
        "sharding_indexed",
        "struct",
        "\u{0}",
        "é",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(-1_i64), Just(0), Just(1), Just(i64::MAX), Just(i64::MIN), any::<i64>()]
            .prop_map(Value::from),
        prop_oneof![Just(u64::MAX), Just(1 << 32), 0..100_u64].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        prop::collection::vec(any::<u64>(), 0..5).prop_map(Value::from),
        Just(json!([0, 0])),
        Just(json!({"name": "regular", "configuration": {"chunk_shape": [u64::MAX]}})),
        Just(rectilinear(&json!([[[1, u64::MAX], 2, [u64::MAX, 1]]]))),
        Just(rectilinear(&json!([[3, 1, 4], 2]))),
        Just(json!([["a", "<i4"], ["b", ">f8"]])),
        Just(json!({"name": "struct", "configuration": {"fields": [["a", "int8"], ["b", "r64"]]}})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_documents(
        format in 2..=3_u8,
        changes in prop::collection::vec((prop::collection::vec(1..10_000_usize, 12), replacement()), 1..6),
    ) {
        let text = if format == 2 { V2 } else { V3 };
        let mut document: Value = serde_json::from_str(text).unwrap();
        // The nodes are what is interesting: most changes go there.
        let nodes = if format == 2 { "/metadata" } else { "/consolidated_metadata/metadata" };
        for (i, (steps, with)) in changes.iter().enumerate() {
            let at = if i % 4 == 3 { Some(&mut document) } else { document.pointer_mut(nodes) };
            if let Some(at) = at {
                mutate(at, &mut steps.iter().copied(), with);
            }
        }
        if let Value::Object(map) = &document {
            let _ = open(map, format);
        }
    }

    #[test]
    fn mutated_text(format in 2..=3_u8, at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut text = if format == 2 { V2 } else { V3 }.as_bytes().to_vec();
        let at = at.index(text.len());
        let end = (at + with.len()).min(text.len());
        text.splice(at..end, with);
        if let Ok(map) = parse_json(&text, "k", &Limits::default()) {
            let _ = open(&map, format);
        }
    }

    #[test]
    fn shard_indices(words in prop::collection::vec(prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX)], 8), size in any::<Option<u64>>()) {
        let metadata = json!({
            "zarr_format": 3, "node_type": "array", "shape": [8], "data_type": "uint8", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8]}}, "chunk_key_encoding": "default",
            "codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [2], "codecs": ["bytes"],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}}],
        });
        let array = lazarr_format::metadata::array_v3("a", metadata.as_object().unwrap(), &Limits::default()).unwrap();
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        if let Ok(index) = ShardIndex::parse(&bytes, &array, size) {
            for i in 0..5 {
                if let Ok(Some(range)) = index.get(i) {
                    prop_assert!(range.start <= range.end && size.is_none_or(|size| range.end <= size - 64));
                }
            }
        }
    }
}
