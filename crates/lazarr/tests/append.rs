//! What is appended is what a concatenation would be; what is put into a store leaves the rest of it alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;
#[path = "append/edits.rs"]
mod edits;
#[path = "append/faults.rs"]
mod faults;
#[path = "write/same.rs"]
mod same;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lazarr::diff::{DiffOptions, diff};
use lazarr::format::encode::Layout;
use lazarr::store::Io;
use lazarr::write::{Source, WriteOptions, append, check_manifest, write, write_into};
use lazarr::{Call, Code, Concatenation, LazyAnnData, Options, Session, concat};
use lazarr_testkit::{Sample, Spec};
use same::same;

fn object(path: &Path) -> LazyAnnData {
    let session =
        Session::open(path.to_str().unwrap(), Options { audit: true, ..Options::default() }).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

/// All files below a folder: open, with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, (File, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                out.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    (File::open(&path).unwrap(), fs::read(&path).unwrap()),
                );
            }
        }
    }
    out
}

/// Old files have their bytes; the names of those that are the new store's too.
fn kept(before: &BTreeMap<PathBuf, (File, Vec<u8>)>, after: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for (path, (file, bytes)) in before {
        let mut now = vec![0; bytes.len()];
        file.read_exact_at(&mut now, 0).unwrap();
        assert!(
            &now == bytes && file.metadata().unwrap().len() == bytes.len() as u64,
            "{} was written to",
            path.display()
        );
        if fs::metadata(after.join(path)).is_ok_and(|m| m.ino() == file.metadata().unwrap().ino()) {
            out.push(path.clone());
        }
    }
    out
}

fn options() -> WriteOptions<'static> {
    WriteOptions { no_sync: true, ..WriteOptions::default() }
}

fn tiny(zarr_format: u8) -> Layout {
    let rules = r#"[{"path": "**", "chunk": {"items": 5}, "shard": {"items": 15}, "codec": "zstd"},
        {"path": "obsm", "chunk": {"shape": [4, 2]}, "shard": {"shape": [8, 4]}},
        {"path": "**", "role": "column", "chunk": {"items": 3}}]"#;
    Layout::from_json(&format!("{{\"zarr_format\": {zarr_format}, \"rules\": {rules}}}")).unwrap()
}

/// All elements along the cells.
fn along(object: &LazyAnnData) -> Vec<String> {
    let mut out = vec!["obs".to_owned()];
    out.extend(object.get("X").map(|_| "X".to_owned()));
    for place in ["layers", "obsm"] {
        out.extend(object.keys(place).unwrap().into_iter().map(|n| format!("{place}/{n}")));
    }
    out.extend(object.get("raw/X").map(|_| "raw/X".to_owned()));
    out
}

fn sample(spec: &Spec, to: &Path) {
    Sample::new(spec).writer.write_to(to).unwrap();
}

#[test]
fn appending_is_concatenating() {
    let _alone = common::alone();
    let seeds = std::env::var("LAZARR_WRITES").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    for seed in 0..seeds {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let spec = Spec { n_vars: 11, ..Spec::random(seed) };
        sample(&spec, &at("old.zarr"));
        sample(
            &Spec { n_vars: 11, seed: seed + 100, n_obs: 13, ..Spec::random(seed + 100) },
            &at("new.zarr"),
        );
        let new = object(&at("new.zarr"));
        let mut stores = vec![at("old.zarr")];
        for format in [2, 3] {
            let to = at(&format!("v{format}.zarr"));
            let written = WriteOptions { layout: tiny(format), ..options() };
            write(
                Source::of_object(&object(&stores[0])).unwrap(),
                to.to_str().unwrap(),
                &written,
                &Call::default(),
            )
            .unwrap();
            stores.push(to);
        }
        for path in stores.iter().rev() {
            let told = format!("seed {seed}, {}", path.display());
            let reference = at("reference.zarr");
            let _ = fs::remove_dir_all(&reference);
            let status =
                std::process::Command::new("cp").arg("-r").arg(path).arg(&reference).status().unwrap();
            assert!(status.success());
            let old = object(&reference);
            let drop: Vec<String> =
                old.keys("obsp").unwrap().into_iter().map(|n| format!("obsp/{n}")).collect();
            let before = files(path);
            let done = append(
                path.to_str().unwrap(),
                std::slice::from_ref(&new),
                &drop,
                &options(),
                &Call::default(),
            );
            let expected =
                concat(&[old.clone(), new.clone()], &Concatenation::default(), &Call::default()).unwrap();
            if let Err(e) = &done {
                panic!("{told}: {e}");
            }
            let now = object(path);
            let stayed = kept(&before, path);
            if old.shape()[0] > Some(30) && path != &stores[0] {
                assert!(stayed.iter().any(|p| p.starts_with("obs")), "{told}: {stayed:?}");
                if !spec.csc && spec.per_row > 4 {
                    assert!(stayed.iter().any(|p| p.starts_with("X/data")), "{told}: {stayed:?}");
                }
            }
            assert!(stayed.iter().any(|p| p.starts_with("var")), "{told}");
            for element in along(&now) {
                let (a, b) = (now.get(&element).unwrap(), expected.get(&element).unwrap());
                if element == "obs" {
                    for name in a.column_names() {
                        let (a, b) = (a.column(&name).unwrap(), b.column(&name).unwrap());
                        let at = format!("{told} obs/{name}");
                        same(
                            &a.collect(&Call::default()).unwrap(),
                            &b.collect(&Call::default()).unwrap(),
                            &at,
                        );
                    }
                    let (a, b) = (a.names().unwrap(), b.names().unwrap());
                    same(&a.collect(&Call::default()).unwrap(), &b.collect(&Call::default()).unwrap(), &told);
                    continue;
                }
                let (a, b) = (a.collect(&Call::default()).unwrap(), b.collect(&Call::default()).unwrap());
                same(&a, &b, &format!("{told} {element}"));
            }
            let io = Io::new(now.session().store().clone());
            for array in now.session().root().arrays() {
                check_manifest(&io, &array, &mut |_| Ok(())).unwrap_or_else(|e| panic!("{told}: {e}"));
            }
            let report =
                lazarr::check::check(now.session(), &Call::default(), lazarr::check::Depth::Deep, &|_| {})
                    .unwrap();
            assert!(report.is_well(), "{told}: {:?}", report.findings);
        }
    }
}

#[test]
fn what_cannot_be_appended_is_an_error_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    sample(&Spec::default(), &at("old.zarr"));
    sample(&Spec { seed: 2, n_vars: 24, ..Spec::default() }, &at("other.zarr"));
    sample(&Spec { seed: 2, ..Spec::default() }, &at("new.zarr"));
    let before = files(&at("old.zarr"));
    let put = |name: &str, drop: &[String]| {
        append(at("old.zarr").to_str().unwrap(), &[object(&at(name))], drop, &options(), &Call::default())
    };
    assert_eq!(put("other.zarr", &["obsp".into()]).unwrap_err().code(), Code::Operation);
    let has_pairs = !object(&at("old.zarr")).keys("obsp").unwrap().is_empty();
    if has_pairs {
        assert_eq!(put("new.zarr", &[]).unwrap_err().code(), Code::Operation);
    }
    assert_eq!(put("new.zarr", &["layers/none".into()]).unwrap_err().code(), Code::ElementNotFound);
    assert_eq!(kept(&before, &at("old.zarr")).len(), before.len());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn what_is_put_into_a_store_leaves_the_rest_alone() {
    for format in [2, 3] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        sample(&Spec::default(), &at("whole.zarr"));
        let path = at("a.zarr");
        let text = path.to_str().unwrap();
        let source = Source::of_object(&object(&at("whole.zarr"))).unwrap();
        write(source, text, &WriteOptions { layout: tiny(format), ..options() }, &Call::default()).unwrap();
        fs::write(path.join("obs/notes.txt"), "of another tool").unwrap();
        let before = files(&path);
        let whole = object(&at("whole.zarr"));
        let column = || whole.get("obs/count").unwrap();
        let put = vec![
            ("obs/again".to_owned(), Source::Lazy(column())),
            ("obs/more".to_owned(), Source::Lazy(column())),
            ("uns/deep/down".to_owned(), Source::Lazy(column())),
        ];
        write_into(text, put, &["obs/count".into()], &options(), &Call::default()).unwrap();
        let now = object(&path);
        let names = now.get("obs").unwrap().column_names();
        assert!(names.ends_with(&["again".to_owned(), "more".to_owned()]), "{names:?}");
        assert!(!names.contains(&"count".to_owned()));
        let value = |l: lazarr::Lazy| l.collect(&Call::default()).unwrap();
        same(&value(now.get("obs/again").unwrap()), &value(column()), "again");
        same(&value(now.get("uns/deep/down").unwrap()), &value(column()), "down");
        let stayed = kept(&before, &path);
        for (name, _) in before.iter().filter(|(n, _)| !n.starts_with("obs/count")) {
            let metadata = [".zattrs", ".zmetadata", "zarr.json", ".zgroup"];
            let changed = metadata.iter().any(|m| name.ends_with(m));
            assert!(changed || stayed.contains(name), "{}", name.display());
        }
        let found = diff(whole.session(), now.session(), DiffOptions::default(), &Call::default()).unwrap();
        let said: Vec<_> = found.iter().map(|d| (d.element.as_str(), d.what)).collect();
        let one = |e: &'static str| (e, "only in the second");
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(
            said.contains(&("obs/count", "only in the first")) && said.contains(&one("obs/more")),
            "{said:?}"
        );
        // What does not fit is no store.
        let short = column().select(0, lazarr::Step::Slice(Some(0), Some(3), None)).unwrap();
        let bad = write_into(
            text,
            vec![("obs/short".into(), Source::Lazy(short))],
            &[],
            &options(),
            &Call::default(),
        );
        assert!(bad.is_err());
        let twice = write_into(
            text,
            vec![("obs/more".into(), Source::Lazy(column()))],
            &[],
            &options(),
            &Call::default(),
        );
        assert_eq!(twice.unwrap_err().code(), Code::StoreExists);
        let gone = write_into(text, Vec::new(), &["obs".into()], &options(), &Call::default());
        assert_eq!(gone.unwrap_err().code(), Code::NotWritten);
        assert_eq!(object(&path).get("obs").unwrap().column_names(), names);
    }
}

#[test]
fn stores_are_equal_by_their_values() {
    let _alone = common::alone();
    for seed in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        sample(&Spec::random(seed), &at("a.zarr"));
        let a = object(&at("a.zarr"));
        let to = at("b.zarr");
        let laid = WriteOptions { layout: tiny(2 + (seed % 2) as u8), ..options() };
        write(Source::of_object(&a).unwrap(), to.to_str().unwrap(), &laid, &Call::default()).unwrap();
        let b = object(&to);
        let small = Call { memory_limit: Some(1 << 20), ..Call::default() };
        let found = diff(a.session(), b.session(), DiffOptions { strict: true }, &small).unwrap();
        assert_eq!(found, [], "seed {seed}");
    }
}

#[test]
fn an_append_stays_within_the_limit() {
    let _alone = common::alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.zarr");
    let big = Spec {
        n_obs: 20_000,
        n_vars: 2000,
        per_row: 60,
        chunks: [4096, 4096, 4096],
        rows: 4096,
        ..Spec::default()
    };
    sample(&big, &path);
    let old = object(&path);
    let drop: Vec<String> = old.keys("obsp").unwrap().into_iter().map(|n| format!("obsp/{n}")).collect();
    let more = directory.path().join("b.zarr");
    sample(&Spec { seed: 5, n_obs: 500, ..big }, &more);
    let meter = Arc::new(lazarr::Meter::default());
    let call = Call {
        memory_limit: Some(48 << 20),
        threads: Some(2),
        meter: Some(meter.clone()),
        ..Call::default()
    };
    append(path.to_str().unwrap(), &[object(&more)], &drop, &options(), &call).unwrap();
    assert!(meter.ledger_peak() <= 48 << 20, "{}", meter.ledger_peak());
    assert_eq!(object(&path).shape()[0], Some(20_500));
}
