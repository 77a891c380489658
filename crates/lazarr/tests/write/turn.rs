//! Matrices that are stored as something else: csr, csc, dense.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lazarr::format::DataType;
use lazarr::format::anndata::SparseFormat;
use lazarr::format::encode::{Layout, MatrixFormat};
use lazarr::store::draft::{Fault, Op, leftovers, repair};
use lazarr::write::{Source, WriteOptions, write};
use lazarr::{Budget, Buffer, Call, Code, Dense, Ledger, Meter, SparseMatrix, Value};
use lazarr_testkit::{Sample, Spec};

use super::common::{alone, index};
use super::same::same;
use super::{object, tiny, written};

fn budget() -> Budget {
    Budget::new(Ledger::process(), u64::MAX, Arc::default())
}

/// Row, column and value of all that is stored, in stored order.
fn triples(m: &SparseMatrix) -> Vec<(usize, usize, f32)> {
    let int = |b: &Buffer, k: usize| {
        let width = usize::from(m.index_width);
        let bytes = &b.as_slice()[k * width..(k + 1) * width];
        match width {
            4 => i32::from_ne_bytes(bytes.try_into().unwrap()) as usize,
            _ => i64::from_ne_bytes(bytes.try_into().unwrap()) as usize,
        }
    };
    let mut out = Vec::new();
    for major in 0..m.shape[m.format.major_axis()] as usize {
        for k in int(&m.indptr, major)..int(&m.indptr, major + 1) {
            let value = f32::from_ne_bytes(m.data.as_slice()[4 * k..4 * k + 4].try_into().unwrap());
            let minor = int(&m.indices, k);
            out.push(if m.format == SparseFormat::Csr {
                (major, minor, value)
            } else {
                (minor, major, value)
            });
        }
    }
    out
}

/// The same in another format, in the plainest way.
fn turned(value: Value, to: MatrixFormat) -> Value {
    let Value::Sparse(m) = value else { panic!("{value:?}") };
    let format = match to {
        MatrixFormat::Csr => SparseFormat::Csr,
        MatrixFormat::Csc => SparseFormat::Csc,
        MatrixFormat::Dense => {
            let mut items = vec![0f32; (m.shape[0] * m.shape[1]) as usize];
            for (row, column, value) in triples(&m) {
                items[row * m.shape[1] as usize + column] += value;
            }
            let bytes: Vec<u8> = items.iter().flat_map(|v| v.to_ne_bytes()).collect();
            let data = Buffer::copy_of(&bytes, &budget(), "").unwrap();
            return Value::Dense(Dense { dtype: DataType::Float(4), shape: m.shape.to_vec(), data });
        }
    };
    if m.format == format {
        return Value::Sparse(m);
    }
    let mut all = triples(&m);
    let major = |t: &(usize, usize, f32)| if format == SparseFormat::Csr { t.0 } else { t.1 };
    all.sort_by_key(major);
    let mut starts = vec![0i32; m.shape[format.major_axis()] as usize + 1];
    for t in &all {
        starts[major(t) + 1] += 1;
    }
    (1..starts.len()).for_each(|k| starts[k] += starts[k - 1]);
    let minor = |t: &(usize, usize, f32)| if format == SparseFormat::Csr { t.1 } else { t.0 } as i32;
    let copy = |bytes: Vec<u8>| Buffer::copy_of(&bytes, &budget(), "").unwrap();
    Value::Sparse(SparseMatrix {
        format,
        index_width: 4,
        data: copy(all.iter().flat_map(|t| t.2.to_ne_bytes()).collect()),
        indices: copy(all.iter().flat_map(|t| minor(t).to_ne_bytes()).collect()),
        indptr: copy(starts.iter().flat_map(|v| v.to_ne_bytes()).collect()),
        ..m
    })
}

const ALL: [(&str, MatrixFormat); 3] =
    [("csr", MatrixFormat::Csr), ("csc", MatrixFormat::Csc), ("dense", MatrixFormat::Dense)];

fn with_format(mut layout: Layout, format: &str) -> Layout {
    layout.add(&format!(r#"{{"path": "**", "format": "{format}"}}"#)).unwrap();
    layout
}

fn collect(source: Source<'_>, layout: Layout, call: &Call<'_>) -> Value {
    let session = written(source, layout, call).unwrap();
    lazarr::Lazy::new(&session, session.root()).collect(&Call::default()).unwrap()
}

#[test]
fn any_matrix_in_any_format() {
    let _alone = alone();
    for seed in 0..40 {
        let sample = Sample::new(&Spec::random(seed));
        let x = object(&sample).get("X").unwrap();
        let [rows, columns] = [x.axes()[0].axis().len, x.axes()[1].axis().len];
        let some = |n: u64, order: bool| -> Vec<i64> {
            let mut at: Vec<i64> = (0..n as i64).filter(|k| k % 3 != 1).collect();
            if order {
                at.reverse();
                at.extend((n > 0).then_some(0));
            }
            at
        };
        let view = |a: bool, b: bool| {
            let x = x.select(0, index(&some(rows, a), rows)).unwrap();
            x.select(1, index(&some(columns, b), columns)).unwrap()
        };
        for x in [x.clone(), view(false, false), view(true, false), view(false, true)] {
            for (name, format) in ALL {
                let call = Call { threads: Some(1 + seed as usize % 3), ..Call::default() };
                let at = format!("seed {seed} as {name}");
                let expected = turned(x.collect(&Call::default()).unwrap(), format);
                let layout = with_format(tiny(2 + (seed % 2) as u8), name);
                same(&collect(Source::Lazy(x.clone()), layout.clone(), &call), &expected, &at);
                let value = x.collect(&Call::default()).unwrap();
                same(&collect(Source::Value(value), layout, &call), &expected, &at);
                // And back, from what is dense.
                if format == MatrixFormat::Dense {
                    let layout = with_format(tiny(3), "csc");
                    let dense = written(Source::Value(expected), tiny(3), &call).unwrap();
                    let lazy = lazarr::Lazy::new(&dense, dense.root());
                    let back = turned(collect(Source::Lazy(lazy), layout, &call), MatrixFormat::Dense);
                    same(&back, &turned(x.collect(&call).unwrap(), MatrixFormat::Dense), &at);
                }
            }
        }
    }
}

fn large(csc: bool) -> Sample {
    Sample::new(&Spec {
        n_obs: if csc { 5000 } else { 20_000 },
        n_vars: 1000,
        per_row: if csc { 1300 } else { 65 },
        csc,
        chunks: [4096, 4096, 4096],
        rows: 4096,
        ..Spec::default()
    })
}

fn in_chunks(format: &str) -> Layout {
    let rules = r#"{"path": "**", "chunk": {"items": 2048}, "shard": {"items": 65536}, "codec": "lz4"}"#;
    with_format(Layout::from_json(&format!(r#"{{"rules": [{rules}]}}"#)).unwrap(), format)
}

#[test]
fn turning_stays_within_the_limit_and_decodes_once() {
    let _alone = alone();
    for (csc, to, format) in [(false, "csc", MatrixFormat::Csc), (true, "csr", MatrixFormat::Csr)] {
        let x = object(&large(csc)).get("X").unwrap();
        let limit = lazarr::decoded_bytes(x.element()).value / 10;
        let meter = Arc::new(Meter::default());
        let call = Call {
            memory_limit: Some(limit),
            threads: Some(2),
            meter: Some(meter.clone()),
            ..Call::default()
        };
        let result = collect(Source::Lazy(x.clone()), in_chunks(to), &call);
        assert!(meter.ledger_peak() <= limit, "{} of {limit}", meter.ledger_peak());
        let chunks: u64 = x.element().arrays().iter().map(|a| a.shape[0].div_ceil(a.inner_shape()[0])).sum();
        assert!(meter.chunks() <= chunks + 20, "{} of {chunks} chunks", meter.chunks());
        same(&result, &turned(x.collect(&Call::default()).unwrap(), format), to);
    }
}

fn run(source: &Path, to: &Path, fault: Fault) -> lazarr::Result<()> {
    let session = lazarr::Session::open(source.to_str().unwrap(), lazarr::Options::default())?;
    let x = lazarr::LazyAnnData::new(&session, session.root())?.get("X")?;
    let options = WriteOptions { layout: in_chunks("csc"), fault, ..WriteOptions::default() };
    let call = Call { memory_limit: Some(1 << 20), threads: Some(2), ..Call::default() };
    write(Source::Lazy(x), to.to_str().unwrap(), &options, &call).map(drop)
}

fn object_at(path: &Path) -> lazarr::Lazy {
    let session = lazarr::Session::open(path.to_str().unwrap(), lazarr::Options::default()).unwrap();
    lazarr::Lazy::new(&session, session.root())
}

/// Counts operations; the Nth is what `then` makes of it.
fn nth(
    n: u64,
    then: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> (Fault, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (count, scratch) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let (counted, seen) = (count.clone(), scratch.clone());
    let fault = Fault::new(move |op, path| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if op == Op::Write && name.starts_with(".lazarr-scratch") {
            seen.fetch_add(1, SeqCst);
        }
        if counted.fetch_add(1, SeqCst) + 1 == n { then() } else { Ok(()) }
    });
    (fault.without_sync(), count, scratch)
}

/// Not a test of its own: the process that is ended below.
#[test]
fn turning_victim() {
    let Ok(words) = std::env::var("LAZARR_TURNING_VICTIM") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [source, to, n] = words[..] else { panic!("{words:?}") };
    let fault = nth(n.parse().unwrap(), || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        Ok(())
    });
    run(source.as_ref(), to.as_ref(), fault.0).unwrap();
}

#[test]
fn what_ends_a_turning_writer_leaves_nothing() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let (source, folder) = (directory.path().join("source.zarr"), directory.path().join("out"));
    Sample::new(&Spec {
        n_obs: 3000,
        n_vars: 300,
        per_row: 100,
        chunks: [4096, 4096, 4096],
        rows: 4096,
        ..Spec::default()
    })
    .writer
    .write_to(&source)
    .unwrap();
    let (fault, count, scratch) = nth(0, || Ok(()));
    run(&source, &folder.join("whole.zarr"), fault).unwrap();
    let all = count.load(SeqCst);
    assert!(scratch.load(SeqCst) > 5, "it went over the disk");
    std::fs::remove_dir_all(folder.join("whole.zarr")).unwrap();
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    for n in (1..=all).filter(|n| every || n % 9 == 4 || *n < 9 || all - n < 4) {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            let to = folder.join(format!("{n}.zarr"));
            let done = run(&source, &to, nth(n, move || Err(kind.into())).0);
            let expected = if kind == io::ErrorKind::Other { Code::WriteIo } else { Code::NoSpace };
            if let Err(e) = &done {
                assert_eq!(e.code(), expected, "operation {n} of {all}: {e}");
            }
            // Only what fails once it is in its place leaves a store: a whole one.
            if to.exists() {
                assert!(all - n < 4, "operation {n} of {all}");
                object_at(&to).collect(&Call::default()).unwrap();
                std::fs::remove_dir_all(&to).unwrap();
            }
            repair(&to, true).unwrap();
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "operation {n} of {all}");
        }
    }
    for n in (1..=all).filter(|n| every || n % 31 == 4 || (4..7).contains(n)) {
        let to = folder.join("killed.zarr");
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "turn::turning_victim", "--quiet"])
            .env("LAZARR_TURNING_VICTIM", format!("{}|{}|{n}", source.display(), to.display()))
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success());
        repair(&to, true).unwrap();
        assert_eq!(leftovers(&folder).unwrap(), []);
        let _ = std::fs::remove_dir_all(&to);
    }
}

#[test]
fn a_format_is_refused_where_it_fits_nothing() {
    let mut layout = tiny(3);
    let e = layout.add(r#"{"path": "X", "format": "coo"}"#).unwrap_err();
    assert_eq!(e.code(), Code::Layout);
    let e = tiny(3).add(r#"{"path": "X", "role": "indptr", "format": "csc"}"#).unwrap_err();
    assert_eq!(e.code(), Code::Layout);
}

#[test]
fn presets_for_genes_turn_cells_by_genes_alone() {
    let _alone = alone();
    let sample = Sample::new(&Spec::default());
    let before = object(&sample);
    for preset in ["genes", "viewer"] {
        let layout = Layout::preset(preset, 3).unwrap();
        let session = written(Source::of_object(&before).unwrap(), layout, &Call::default()).unwrap();
        let after = super::adata(&session);
        let read = |object: &lazarr::LazyAnnData, path: &str| {
            object.get(path).unwrap().collect(&Call::default()).unwrap()
        };
        same(&read(&after, "X"), &turned(read(&before, "X"), MatrixFormat::Csc), preset);
        // What is dense stays so, and graphs are read by rows.
        for path in ["layers/counts", "obsp/near", "obsm/X_pca"] {
            if before.get(path).is_ok() {
                same(&read(&after, path), &read(&before, path), path);
            }
        }
    }
}
