//! Rectilinear grids in metadata.

use serde_json::{Value, json};

use super::{Limits, array_v3};
use crate::{ArrayMeta, Code, Result};

fn bytes() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

fn array(shape: &Value, chunk_shapes: &Value, codecs: &Value) -> Result<ArrayMeta> {
    let grid =
        json!({"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": chunk_shapes}});
    with_grid(shape, &grid, codecs)
}

fn with_grid(shape: &Value, grid: &Value, codecs: &Value) -> Result<ArrayMeta> {
    let meta = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "int32", "fill_value": 0,
        "chunk_grid": grid, "chunk_key_encoding": {"name": "default"}, "codecs": codecs,
    });
    array_v3("a", meta.as_object().unwrap(), &Limits::default())
}

/// Where the chunks of an axis start and how long they are.
fn chunks(array: &ArrayMeta, axis: usize) -> Vec<(u64, u64)> {
    let cut = array.cut(axis);
    (0..cut.count(array.shape[axis])).map(|k| (cut.start(k), cut.len(k))).collect()
}

#[test]
fn the_forms_of_edges() {
    // All of them cut six items.
    let shapes = json!([4, [1, 2, 3], [[4, 2]], [[1, 3], 3], [4, 4, 4]]);
    let a = array(&json!([6, 6, 6, 6, 6]), &shapes, &json!([bytes()])).unwrap();
    assert_eq!(chunks(&a, 0), [(0, 4), (4, 4)]);
    assert_eq!(chunks(&a, 1), [(0, 1), (1, 2), (3, 3)]);
    assert_eq!(chunks(&a, 2), [(0, 4), (4, 4)]);
    assert_eq!(chunks(&a, 3), [(0, 1), (1, 1), (2, 1), (3, 3)]);
    assert_eq!(chunks(&a, 4), [(0, 4), (4, 4)]);
    assert_eq!(a.chunk_shape, [4, 3, 4, 3, 4]);
    assert_eq!((a.grid_shape(), a.inner_count()), (vec![2, 3, 2, 4, 2], 96));
    assert_eq!(
        (a.len_at(&[1, 2, 0, 3, 1]), a.bytes_at(&[0, 0, 0, 0, 0])),
        (4 * 3 * 4 * 3 * 4, Some(4 * 4 * 4 * 4))
    );
    assert_eq!((a.inner_len(), a.shard_of(&[1, 2, 0, 3, 1])), (4 * 3 * 4 * 3 * 4, vec![1, 2, 0, 3, 1]));
}

#[test]
fn equal_chunks_are_a_regular_grid() {
    let a = array(&json!([6, 7]), &json!([[2, 2, 2], 3]), &json!([bytes()])).unwrap();
    assert!(a.grid.is_none());
    assert_eq!((a.chunk_shape.clone(), a.grid_shape()), (vec![2, 3], vec![3, 3]));
    let scalar = array(&json!([]), &json!([]), &json!([bytes()])).unwrap();
    assert!(scalar.grid.is_none());
    assert!(array(&json!([0]), &json!([[3, 2]]), &json!([bytes()])).unwrap().grid.is_none());
    // Then it may have shards.
    let sharding = json!({"name": "sharding_indexed", "configuration": {
        "chunk_shape": [2], "codecs": [bytes()], "index_codecs": [bytes()],
    }});
    assert!(array(&json!([12]), &json!([[[4, 3]]]), &json!([sharding])).unwrap().sharding.is_some());
    let uneven = array(&json!([12]), &json!([[4, 8]]), &json!([sharding]));
    assert_eq!(uneven.unwrap_err().code(), Code::MetadataUnsupported);
}

#[test]
fn wrong_grids() {
    let huge = u64::MAX;
    for (shape, shapes, expected) in [
        (json!([6]), json!([]), Code::MetadataField),
        (json!([6]), json!([[6], [6]]), Code::MetadataField),
        (json!([6]), json!([[]]), Code::MetadataField),
        (json!([6]), json!([0]), Code::MetadataField),
        (json!([6]), json!([-6]), Code::MetadataField),
        (json!([6]), json!(["6"]), Code::MetadataField),
        (json!([6]), json!({"0": 6}), Code::MetadataField),
        (json!([6]), json!([[1, 4]]), Code::MetadataField),
        (json!([6]), json!([[0, 6]]), Code::MetadataField),
        (json!([6]), json!([[6, 0]]), Code::MetadataField),
        (json!([6]), json!([[7, -1]]), Code::MetadataField),
        (json!([6]), json!([[7, 1.5]]), Code::MetadataField),
        (json!([6]), json!([[7, null]]), Code::MetadataField),
        (json!([6]), json!([[[3, 0], 6]]), Code::MetadataField),
        (json!([6]), json!([[[3, -2], 6]]), Code::MetadataField),
        (json!([6]), json!([[[3]]]), Code::MetadataField),
        (json!([6]), json!([[[3, 1, 1], 3]]), Code::MetadataField),
        (json!([6]), json!([[[[3], 2]]]), Code::MetadataField),
        (json!([6]), json!([[1, huge]]), Code::MetadataField),
        (json!([6]), json!([[1, 1_u64 << 62]]), Code::MetadataField),
        (json!([6]), json!([[1, 1_u64 << 40]]), Code::MetadataLimit),
        (json!([6, 6]), json!([[1, 1_u64 << 20], [2, 1_u64 << 20]]), Code::MetadataLimit),
    ] {
        let e = array(&shape, &shapes, &json!([bytes()])).expect_err(&format!("{shapes}"));
        assert_eq!((e.code(), e.element_name()), (expected, Some("a")), "{shapes}: {e}");
    }
    for (configuration, expected) in [
        (json!({"chunk_shapes": [[1, 5]]}), Code::MetadataField),
        (json!({"kind": "inline"}), Code::MetadataField),
        (json!({"kind": 3, "chunk_shapes": [[1, 5]]}), Code::MetadataField),
        (json!({"kind": "referenced", "chunk_shapes": [[1, 5]]}), Code::MetadataUnsupported),
    ] {
        let grid = json!({"name": "rectilinear", "configuration": configuration});
        let e = with_grid(&json!([6]), &grid, &json!([bytes()])).unwrap_err();
        assert_eq!(e.code(), expected, "{e}");
    }
}

#[test]
fn enormous_counts_cost_nothing() {
    let shapes = json!([[[1, 1_u64 << 39], [2, u64::MAX], [u64::MAX, u64::MAX]]]);
    let a = array(&json!([1_u64 << 40]), &shapes, &json!([bytes()])).unwrap();
    assert_eq!(a.chunk_shape, [2]);
    assert_eq!(a.inner_count(), (1 << 39) + (1 << 38));
    assert_eq!(a.cut(0).of((1 << 40) - 1), a.inner_count() - 1);
}

#[test]
fn codecs_that_know_one_shape_alone() {
    let transpose = json!({"name": "transpose", "configuration": {"order": [1, 0]}});
    let codecs = json!([transpose, bytes()]);
    let e = array(&json!([6, 6]), &json!([[1, 5], 3]), &codecs).unwrap_err();
    assert_eq!(e.code(), Code::MetadataUnsupported, "{e}");
    assert!(e.to_string().contains("transpose"), "{e}");
    // Of one row, nothing moves.
    assert!(array(&json!([6, 6]), &json!([[1, 5], 3]), &json!([bytes()])).is_ok());
    assert!(array(&json!([6, 6]), &json!([1, [1, 5]]), &codecs).is_ok());
}
