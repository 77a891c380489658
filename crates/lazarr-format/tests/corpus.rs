//! Real stores: every element is understood, whatever its age, every array of other implementations' suites
//! is parsed. The stores lie beside the repository; where they are absent the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use lazarr_format::anndata::{Body, Element, build};
use lazarr_format::metadata::{Hierarchy, Limits, Node, is_consolidated_v3, parse_json};
use lazarr_format::{Code, Kind};

/// The corpus: `LAZARR_CORPUS`, or `shared/corpus` beside the repository.
fn corpus(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LAZARR_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let path = root.join(part);
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: there is no corpus at {}; set LAZARR_CORPUS", path.display());
    None
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let mut out: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    out.sort();
    out
}

fn is_node(path: &Path) -> bool {
    ["zarr.json", ".zgroup", ".zarray"].iter().any(|f| path.join(f).is_file())
}

/// The outermost groups and arrays below a directory.
fn roots(path: &Path, out: &mut Vec<PathBuf>) {
    if is_node(path) {
        out.push(path.to_owned());
    } else {
        for d in directories(path) {
            roots(&d, out);
        }
    }
}

/// The store's nodes by a walk over its directories.
fn walk(root: &Path) -> Hierarchy {
    fn visit(h: &mut Hierarchy, root: &Path, at: &Path) {
        let path = at.strip_prefix(root).unwrap().to_str().unwrap();
        let read = |file: &str| fs::read(at.join(file)).ok();
        if let Some(bytes) = read("zarr.json") {
            h.insert_v3(path, &bytes).unwrap();
        } else if is_node(at) {
            let (zgroup, zarray, zattrs) = (read(".zgroup"), read(".zarray"), read(".zattrs"));
            h.insert_v2(path, zgroup.as_deref(), zarray.as_deref(), zattrs.as_deref()).unwrap();
        }
        for d in directories(at) {
            visit(h, root, &d);
        }
    }
    let format = if root.join("zarr.json").is_file() { 3 } else { 2 };
    let mut h = Hierarchy::new(format, &Limits::default());
    visit(&mut h, root, root);
    h
}

/// The store's nodes from its consolidated metadata, where it has any.
fn consolidated(root: &Path) -> Option<Hierarchy> {
    let limits = Limits::default();
    let read = |file: &str| fs::read(root.join(file)).ok().map(|b| parse_json(&b, file, &limits).unwrap());
    if let Some(map) = read("zarr.json") {
        return is_consolidated_v3(&map).then(|| Hierarchy::from_consolidated_v3(&map, &limits).unwrap());
    }
    read(".zmetadata").map(|map| Hierarchy::from_zmetadata(&map, &limits).unwrap())
}

fn broken(element: &Element, out: &mut Vec<String>) {
    match &element.body {
        Body::Broken(e) => out.push(e.to_string()),
        Body::Categorical(c) => broken(&c.categories, out),
        _ => element.children().iter().for_each(|(_, child)| broken(child, out)),
    }
}

fn count(element: &Element) -> usize {
    1 + element.children().iter().map(|(_, child)| count(child)).sum::<usize>()
}

#[test]
fn every_encoding_is_understood() {
    let Some(stores) = corpus("stores") else { return };
    let mut all = Vec::new();
    roots(&stores, &mut all);
    let mut seen = 0;
    for root in all {
        let name = root.strip_prefix(&stores).unwrap().display().to_string();
        for h in [Some(walk(&root)), consolidated(&root)].into_iter().flatten() {
            let element = build(&h).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut problems = Vec::new();
            broken(&element, &mut problems);
            println!(
                "{name}: {} nodes, {} elements, {:?}, v{}{}",
                h.len(),
                count(&element),
                element.shape(),
                h.zarr_format(),
                if h.consolidated() { ", consolidated" } else { "" },
            );
            // Points are Parquet, which is no AnnData.
            problems.retain(|problem| !problem.contains("`ngff:points`"));
            assert!(problems.is_empty(), "{name}: {problems:#?}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} hierarchies");
}

#[test]
fn arrays_of_other_implementations_are_parsed() {
    let Some(suites) = corpus("zarr-conformance") else { return };
    let mut all = Vec::new();
    roots(&suites, &mut all);
    let (mut arrays, mut unsupported) = (0, Vec::new());
    for root in all {
        let name = root.strip_prefix(&suites).unwrap().display().to_string();
        for h in [Some(walk(&root)), consolidated(&root)].into_iter().flatten() {
            for (path, node) in h.iter() {
                match node {
                    Ok(Node::Array(array)) => {
                        arrays += 1;
                        assert_eq!(array.shape.len(), array.chunk_shape.len());
                    }
                    Ok(Node::Group(_)) => {}
                    Err(e) => {
                        assert!(e.kind() == Kind::Unsupported, "{name}/{path}: {e}");
                        assert_ne!(e.code(), Code::MetadataUnsupported, "{name}/{path}: {e}");
                        unsupported.push(format!("{name}/{path}: {e}"));
                    }
                }
            }
        }
    }
    println!("{arrays} arrays parsed; not supported: {unsupported:#?}");
    assert!(arrays >= 100, "only {arrays} arrays");
}
