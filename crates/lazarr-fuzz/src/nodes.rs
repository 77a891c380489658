//! Metadata: of one node, and of a whole store.

use lazarr_format::anndata::{Body, Element, build};
use lazarr_format::metadata::{Hierarchy, Limits, Node, is_consolidated_v3, parse_json};
use lazarr_format::{ArrayMeta, Fill};

use crate::feed::Feed;

/// Small, so that going beyond them is within reach.
const LIMITS: Limits =
    Limits { metadata_bytes: 1 << 20, json_depth: 32, nodes: 300, dimensions: 8, chunk_bytes: 1 << 24 };

/// What every array that was understood must be.
fn check_array(array: &ArrayMeta) {
    let rank = array.shape.len();
    assert!(rank <= LIMITS.dimensions);
    assert_eq!((array.chunk_shape.len(), array.inner_shape().len()), (rank, rank));
    assert!(array.chunk_shape.iter().chain(array.inner_shape()).all(|&n| n > 0));
    assert!(array.chunk_shape.iter().zip(array.inner_shape()).all(|(c, i)| c % i == 0));
    assert!(array.len().is_some());
    assert!(array.inner_bytes().unwrap_or(8 * array.inner_len()) <= LIMITS.chunk_bytes);
    assert!(array.shard_index_bytes() <= LIMITS.chunk_bytes + 4);
    match (&array.fill, array.stored_size()) {
        (Fill::Item(item), Some(size)) => assert_eq!(item.len(), size),
        (Fill::Vlen(_), None) => {}
        (fill, size) => panic!("{fill:?} for items of {size:?} bytes"),
    }
    assert_eq!(array.grid_shape().len(), rank);
    assert!(array.grid.is_none() || array.sharding.is_none());
    for (axis, (&length, &longest)) in array.shape.iter().zip(array.inner_shape()).enumerate() {
        let cut = array.cut(axis);
        for item in [0, length / 2, length.saturating_sub(1)].into_iter().filter(|item| *item < length) {
            let chunk = cut.of(item);
            assert!(chunk < cut.count(length) && cut.len(chunk) <= longest);
            assert!(cut.start(chunk) <= item && cut.end(chunk).is_none_or(|end| item < end));
        }
    }
    let key = array.chunk_key(&vec![0; rank]);
    assert!(!key.contains("..") || array.path.contains(".."), "{key}");
}

/// What every hierarchy must be, and the tree that is made of it.
fn check(hierarchy: &Hierarchy) {
    assert!(hierarchy.len() <= LIMITS.nodes);
    for (path, node) in hierarchy.iter() {
        assert!(path.split('/').count() <= LIMITS.json_depth);
        assert!(path.is_empty() || path.split('/').all(|p| !matches!(p, "" | "." | "..")), "{path}");
        match node {
            Ok(Node::Array(array)) => check_array(array),
            Ok(Node::Group(_)) => {}
            Err(e) => assert!(!e.to_string().is_empty()),
        }
        for child in hierarchy.children(path) {
            let child = if path.is_empty() { child.to_owned() } else { format!("{path}/{child}") };
            assert!(hierarchy.get(&child).is_some(), "{child}");
        }
    }
    if let Ok(root) = build(hierarchy) {
        check_element(&root);
    }
}

fn check_element(element: &Element) {
    assert!(!lazarr::describe(element).is_empty());
    if let Body::Broken(e) = &element.body {
        assert!(e.to_string().ends_with(&format!("[{}]", e.code().id())));
    }
    element.arrays().iter().for_each(|array| check_array(array));
    for (_, child) in element.children() {
        check_element(&child);
    }
}

/// One document: by the first byte a `zarr.json`, or a `.zarray` with the attributes that stand after a zero byte.
pub fn metadata(data: &[u8]) {
    let mut feed = Feed(data);
    let v3 = feed.byte().is_multiple_of(2);
    let mut hierarchy = Hierarchy::new(if v3 { 3 } else { 2 }, &LIMITS);
    if v3 {
        let _ = hierarchy.insert_v3("", feed.0);
    } else {
        let mut parts = feed.0.splitn(2, |&b| b == 0);
        let (zarray, zattrs) = (parts.next(), parts.next());
        let _ = hierarchy.insert_v2("", None, zarray, zattrs);
    }
    check(&hierarchy);
}

/// Consolidated metadata: by the first byte a `zarr.json` or a `.zmetadata`.
pub fn consolidated(data: &[u8]) {
    let mut feed = Feed(data);
    let v3 = feed.byte().is_multiple_of(2);
    let key = if v3 { "zarr.json" } else { ".zmetadata" };
    let Ok(map) = parse_json(feed.0, key, &LIMITS) else { return };
    let hierarchy = match v3 {
        true if !is_consolidated_v3(&map) => return,
        true => Hierarchy::from_consolidated_v3(&map, &LIMITS),
        false => Hierarchy::from_zmetadata(&map, &LIMITS),
    };
    if let Ok(hierarchy) = hierarchy {
        assert!(hierarchy.consolidated());
        check(&hierarchy);
    }
}
