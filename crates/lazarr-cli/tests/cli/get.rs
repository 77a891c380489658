//! What `get` writes, read back.

use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use lazarr_testkit::{Column, Matrix, Sample, Spec};

use crate::command;

/// A store of several blocks, and a directory for what is written.
struct Files {
    dir: tempfile::TempDir,
    sample: Sample,
}

impl Files {
    fn new(spec: &Spec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sample = Sample::new(spec);
        sample.writer.write_to(&dir.path().join("s.zarr")).unwrap();
        Self { dir, sample }
    }

    fn large() -> Self {
        Self::new(&Spec {
            n_obs: 3000,
            n_vars: 200,
            per_row: 40,
            chunks: [512, 512, 64],
            rows: 128,
            ..Spec::default()
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a run printed; `s.zarr` and names of outputs are those in the directory.
    fn run(&self, args: &[&str]) -> std::process::Output {
        command(args).current_dir(self.dir.path()).args(["-q", "--threads", "1"]).output().unwrap()
    }

    fn get(&self, args: &[&str]) {
        let out = self.run(&[&["get", "s.zarr"], args].concat());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Everything in the directory but the store.
    fn names(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n != "s.zarr").collect()
    }
}

/// The header of a .npy as text, and its items.
fn npy(bytes: &[u8]) -> (String, Vec<u8>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let n = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + n) % 64, 0);
    let text = std::str::from_utf8(&bytes[10..10 + n]).unwrap();
    assert!(text.ends_with('\n'));
    (text.trim_end().to_owned(), bytes[10 + n..].to_vec())
}

fn entry(path: &std::path::Path, name: &str) -> (String, Vec<u8>) {
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    npy(&bytes)
}

fn described(dtype: &str, shape: &str) -> String {
    format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}")
}

/// The stored values of an archive by row (column), as the model has them.
fn matrix(path: &std::path::Path) -> (String, Vec<Vec<(u64, f32)>>) {
    let ints = |name: &str| -> Vec<u64> {
        let (header, bytes) = entry(path, name);
        assert!(header.starts_with("{'descr': '<i4'"), "{header}");
        bytes.as_chunks::<4>().0.iter().map(|b| u64::from(u32::from_le_bytes(*b))).collect()
    };
    let (indices, indptr) = (ints("indices"), ints("indptr"));
    let (header, bytes) = entry(path, "data");
    assert_eq!(header, described("<f4", &format!("{},", indices.len())));
    let data: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (header, format) = entry(path, "format");
    assert_eq!(header, described("|S3", ""));
    let rows =
        indptr.windows(2).map(|w| (w[0]..w[1]).map(|i| (indices[i as usize], data[i as usize])).collect());
    (String::from_utf8(format).unwrap(), rows.collect())
}

fn shape(path: &std::path::Path) -> Vec<i64> {
    let (header, bytes) = entry(path, "shape");
    assert_eq!(header, described("<i8", "2,"));
    bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
}

fn all(m: &Matrix) -> [Vec<u64>; 2] {
    m.shape.map(|n| (0..n).collect())
}

#[test]
fn a_sparse_matrix_in_blocks_is_what_scipy_reads() {
    for csc in [false, true] {
        let files = Files::new(&Spec {
            n_obs: 3000,
            n_vars: 200,
            per_row: 40,
            chunks: [512, 512, 64],
            rows: 128,
            csc,
            ..Spec::default()
        });
        let x = &files.sample.x;
        // X takes some 400 kB; a block takes an eighth of the limit.
        files.get(&["X", "-o", "x.npz", "--memory", "500KB"]);
        let [rows, columns] = all(x);
        let (format, found) = matrix(&files.path("x.npz"));
        assert_eq!(format, if csc { "csc" } else { "csr" });
        assert_eq!(found, x.select(&rows, &columns));
        assert_eq!(shape(&files.path("x.npz")), [3000, 200]);
        // A selection, in another order, with repeats.
        files.get(&["X", "-o", "part.npz", "--obs", "::-7", "--var", "5,3,3,-1", "--memory", "1MB"]);
        let rows: Vec<u64> = (0..3000).rev().step_by(7).collect();
        let (_, found) = matrix(&files.path("part.npz"));
        let sorted = |mut rows: Vec<Vec<(u64, f32)>>| {
            for row in &mut rows {
                row.sort_by_key(|(i, _)| *i);
            }
            rows
        };
        assert_eq!(sorted(found), sorted(x.select(&rows, &[5, 3, 3, 199])));
        assert_eq!(shape(&files.path("part.npz")), [rows.len() as i64, 4]);
        files.get(&["X", "-o", "none.npz", "--obs", "0:0"]);
        assert_eq!(shape(&files.path("none.npz")), [0, 200]);
    }
}

#[test]
fn dense_arrays_are_what_numpy_reads() {
    let files = Files::large();
    let (_, _, _, bytes) = files.sample.dense.iter().find(|d| d.0 == "obsm/X_pca").unwrap();
    files.get(&["obsm/X_pca", "-o", "pca.npy", "--memory", "200KB"]);
    let read = fs::read(files.path("pca.npy")).unwrap();
    assert_eq!(npy(&read), (described("<f4", "3000, 6"), bytes.clone()));
    files.get(&["obsm/X_pca", "-o", "pca.npz", "--memory", "200KB"]);
    assert_eq!(entry(&files.path("pca.npz"), "X_pca"), npy(&read));
    files.get(&["layers/counts", "-o", "counts.npy", "--query", "index == 'cell7-ü'", "--var", "3:6"]);
    let read = fs::read(files.path("counts.npy")).unwrap();
    let expected = files.sample.dense_rows("layers/counts", &[7], Some(&[3, 4, 5]));
    assert_eq!(npy(&read), (described("<i2", "1, 3"), expected));
    files.get(&["uns/number", "-o", "n.npy"]);
    assert_eq!(
        npy(&fs::read(files.path("n.npy")).unwrap()),
        (described("<f8", ""), 2.5f64.to_le_bytes().to_vec())
    );
}

/// A column as CSV has it.
fn csv_column(column: &Column) -> Vec<String> {
    match column {
        Column::Fixed(dtype, items) => items
            .iter()
            .map(|b| match dtype.to_string().as_str() {
                "bool" => if b[0] == 0 { "False" } else { "True" }.to_owned(),
                "float64" => format!("{:?}", f64::from_le_bytes(b.as_slice().try_into().unwrap())),
                _ => i16::from_le_bytes(b.as_slice().try_into().unwrap()).to_string(),
            })
            .collect(),
        Column::Strings(items) => items.clone(),
        Column::Categorical(codes, names, _) => codes
            .iter()
            .map(|&c| usize::try_from(c).map_or_else(|_| String::new(), |c| names[c].clone()))
            .collect(),
        Column::Nullable(kind, items) => items
            .iter()
            .map(|i| match (i, *kind) {
                (None, _) => String::new(),
                (Some(b), "boolean") => if b == "true" { "True" } else { "False" }.to_owned(),
                (Some(text), _) => text.clone(),
            })
            .collect(),
    }
}

fn check_csv(files: &Files, bytes: &[u8]) {
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let names: Vec<&str> = files.sample.obs.iter().map(|c| c.0).collect();
    assert_eq!(reader.headers().unwrap().iter().skip(1).collect::<Vec<_>>(), names);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|r| &r[0]).collect::<Vec<_>>(), files.sample.names[0]);
    for (k, (name, column)) in files.sample.obs.iter().enumerate() {
        let expected = csv_column(column);
        assert_eq!(rows.iter().map(|r| r[k + 1].to_owned()).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn tables_are_csv_as_they_are() {
    let files = Files::large();
    files.get(&["obs", "-o", "obs.csv", "--memory", "400KB"]);
    check_csv(&files, &fs::read(files.path("obs.csv")).unwrap());
    check_csv(&files, &files.run(&["obs", "s.zarr", "--all", "--csv", "--memory", "400KB"]).stdout);
    check_csv(&files, &files.run(&["get", "s.zarr", "-o", "-", "--memory", "400KB"]).stdout);
    // As JSON, too.
    let out = files.run(&["obs", "s.zarr", "note", "stage", "--all", "--json", "--memory", "400KB"]);
    let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((document["found"].as_u64(), document["of"].as_u64()), (Some(3000), Some(3000)));
    let rows = document["rows"].as_array().unwrap();
    let notes: Vec<&str> = rows.iter().map(|r| r[1].as_str().unwrap()).collect();
    assert_eq!(notes, csv_column(&files.sample.obs[3].1));
    // A dense matrix has the names of its axes.
    files.get(&["layers/counts", "-o", "counts.csv", "--obs", "10:12", "--var", "@g7,g0"]);
    let text = fs::read_to_string(files.path("counts.csv")).unwrap();
    assert!(text.starts_with(",g7,g0\ncell10-ü,"), "{text}");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn tables_are_arrow_in_several_batches() {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int8Type, Int64Type};

    let files = Files::large();
    files.get(&["obs", "-o", "obs.arrow", "--memory", "400KB"]);
    let file = fs::File::open(files.path("obs.arrow")).unwrap();
    let of_file: Vec<_> =
        arrow_ipc::reader::FileReader::try_new(file, None).unwrap().map(Result::unwrap).collect();
    assert!(of_file.len() > 1, "several blocks");
    let out = files.run(&["get", "s.zarr", "obs", "-o", "-", "--format", "arrow", "--memory", "400KB"]);
    let of_stream: Vec<_> = arrow_ipc::reader::StreamReader::try_new(Cursor::new(out.stdout), None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for batches in [of_file, of_stream] {
        let (mut names, mut kinds, mut ints) = (Vec::new(), Vec::new(), Vec::new());
        for batch in &batches {
            names.extend(batch.column(0).as_string::<i64>().iter().map(|s| s.unwrap().to_owned()));
            let kind = batch.column_by_name("kind").unwrap().as_dictionary::<Int8Type>();
            let kind = kind.downcast_dict::<arrow_array::LargeStringArray>().unwrap();
            kinds.extend(kind.into_iter().map(|s| s.unwrap_or_default().to_owned()));
            let int = batch.column_by_name("some_int").unwrap().as_primitive::<Int64Type>();
            ints.extend(int.iter().map(|i| i.map_or_else(String::new, |i| i.to_string())));
        }
        assert_eq!(names, files.sample.names[0]);
        assert_eq!(kinds, csv_column(&files.sample.obs[4].1));
        assert_eq!(ints, csv_column(&files.sample.obs[6].1));
    }
    files.get(&["obs", "-o", "none.arrow", "--query", "count > 1000"]);
    let file = fs::File::open(files.path("none.arrow")).unwrap();
    let reader = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
    assert_eq!(reader.schema().fields().len(), 10);
}

#[test]
#[cfg(feature = "parquet")]
fn tables_are_parquet() {
    use arrow_array::cast::AsArray;

    let files = Files::large();
    files.get(&["obs", "-o", "obs.parquet", "--memory", "400KB"]);
    let file = fs::File::open(files.path("obs.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024).unwrap();
    let names: Vec<String> = reader
        .flat_map(|b| {
            let batch = b.unwrap();
            batch.column(0).as_string::<i64>().iter().map(|s| s.unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(names, files.sample.names[0]);
}

#[test]
#[cfg(not(feature = "parquet"))]
fn a_build_without_parquet_says_so() {
    let files = Files::new(&Spec::default());
    let out = files.run(&["get", "s.zarr", "obs", "-o", "obs.parquet"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8(out.stderr).unwrap().contains("--features parquet"));
}

#[test]
fn a_file_is_never_half_there_and_never_replaced_unasked() {
    let files = Files::large();
    fs::write(files.path("x.npz"), b"mine").unwrap();
    let out = files.run(&["get", "s.zarr", "X", "-o", "x.npz"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8(out.stderr).unwrap().contains("--force"));
    assert_eq!(fs::read(files.path("x.npz")).unwrap(), b"mine");
    files.get(&["X", "-o", "x.npz", "--force"]);
    assert_eq!(shape(&files.path("x.npz")), [3000, 200]);
    // A fault in the last chunk: what was written so far is taken away, and what was there stays.
    let before = fs::read(files.path("x.npz")).unwrap();
    let last = fs::read_dir(files.path("s.zarr/X/data/c")).unwrap().count() - 1;
    fs::write(files.path(&format!("s.zarr/X/data/c/{last}")), b"short").unwrap();
    let out = files.run(&["get", "s.zarr", "X", "-o", "x.npz", "--force", "--memory", "500KB"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(fs::read(files.path("x.npz")).unwrap(), before);
    assert_eq!(files.names(), ["x.npz"], "nothing is left beside it");
}

#[test]
#[cfg(unix)]
fn a_stop_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spec =
        Spec { n_obs: 40_000, n_vars: 5, per_row: 1, chunks: [8192; 3], rows: 4096, ..Spec::default() };
    let sample = Sample::new(&spec);
    sample.writer.write_to(&dir.path().join("s.zarr")).unwrap();
    let mut child =
        command(&["get", "s.zarr", "obs", "-o", "obs.csv", "-q", "--threads", "1", "--memory", "8MB"])
            .current_dir(dir.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    let there = || fs::read_dir(dir.path()).unwrap().count();
    // Once the file is begun; its handler is set right after.
    for _ in 0..1000 {
        if there() > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::thread::sleep(std::time::Duration::from_millis(10));
    let stopped = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let status = child.wait().unwrap();
    assert!(stopped.unwrap().success());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    match status.code() {
        Some(130) => assert_eq!(names, ["s.zarr"], "something was left"),
        // It was done before it was told.
        code => assert_eq!((code, names.len()), (Some(0), 2)),
    }
}
