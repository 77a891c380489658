//! Mean and variance against plain loops over generated stores; the same to the last bit for any number of threads.
#![allow(clippy::float_cmp, reason = "infinities are equal or not")]

use std::sync::Arc;

use lazarr_format::DataType;
use lazarr_plan::Index;
use lazarr_testkit::{Rng, Sample, Spec};

use super::{MeanVar, exact};
use crate::axis::Step;
use crate::call::Call;
use crate::object::LazyAnnData;
use crate::session::{Options, Session};
use crate::{Code, Lazy};

fn open(sample: &Sample, audit: bool) -> LazyAnnData {
    let options = Options { memory_limit: Some(1 << 30), audit, ..Options::default() };
    let session = Session::open_store(Arc::new(sample.writer.store()), options).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).collect()
}

fn both(found: &MeanVar) -> (Vec<f64>, Vec<f64>) {
    (floats(found.mean.data.as_slice()), floats(found.var.data.as_slice()))
}

/// Mean and sum of squares of each row or column of a dense matrix.
fn plain(matrix: &[Vec<f64>], columns: usize, axis: usize) -> (Vec<f64>, Vec<f64>) {
    let results = if axis == 0 { columns } else { matrix.len() };
    let of = |k: usize| -> Vec<f64> {
        if axis == 0 { matrix.iter().map(|row| row[k]).collect() } else { matrix[k].clone() }
    };
    let moments = |values: Vec<f64>| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>())
    };
    (0..results).map(of).map(moments).unzip()
}

fn close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        let near = (a - b).abs() <= 1e-10 * b.abs().max(1e-12) || (a.is_nan() && b.is_nan()) || a == b;
        assert!(near, "{what}: {a} is not {b}");
    }
}

fn pick(rng: &mut Rng, n: u64) -> Index {
    match rng.below(5) {
        0 | 1 => Index::all(n),
        2 => Index::slice(Some(rng.below(n + 1) as i64), None, None, n).unwrap(),
        3 if n > 0 => {
            let items: Vec<i64> = (0..rng.below(12)).map(|_| rng.below(n) as i64).collect();
            Index::ints(&items, n).unwrap()
        }
        _ => Index::slice(None, None, Some(-2), n).unwrap(),
    }
}

fn whole(sample: &Sample, path: &str) -> Vec<Vec<f64>> {
    let spec = &sample.spec;
    let (n, m) = (spec.n_obs as usize, spec.n_vars as usize);
    if path == "X" {
        let mut out = vec![vec![0.0; m]; n];
        for (major, row) in sample.x.major.iter().enumerate() {
            for &(minor, value) in row {
                let (i, j) = if sample.x.csc { (minor as usize, major) } else { (major, minor as usize) };
                out[i][j] += f64::from(value);
            }
        }
        return out;
    }
    let (_, _, _, bytes) = sample.dense.iter().find(|d| d.0 == path).unwrap();
    let items: Vec<f64> =
        bytes.as_chunks::<2>().0.iter().map(|b| f64::from(i16::from_le_bytes(*b))).collect();
    (0..n).map(|i| items[i * m..(i + 1) * m].to_vec()).collect()
}

#[test]
fn mean_and_variance_are_those_of_plain_loops_for_any_number_of_threads() {
    for seed in 0..60 {
        let spec = if seed % 3 == 0 { Spec::random(seed) } else { Spec::small(seed) };
        let sample = Sample::new(&spec);
        let mut rng = Rng::new(seed ^ 0x3ea7);
        for path in ["X", "layers/counts"] {
            let matrix = whole(&sample, path);
            let (rows, columns) = (pick(&mut rng, spec.n_obs), pick(&mut rng, spec.n_vars));
            let chosen: Vec<Vec<f64>> = rows
                .iter()
                .map(|r| columns.iter().map(|c| matrix[r as usize][c as usize]).collect())
                .collect();
            let lazy = |audit| -> Lazy {
                let x = open(&sample, audit).get(path).unwrap();
                let x = x.select(0, Step::Index(rows.clone())).unwrap();
                x.select(1, Step::Index(columns.clone())).unwrap()
            };
            for axis in [0, 1] {
                let what = format!("seed {seed}, {path} [{rows}, {columns}], axis {axis}");
                let of = |threads, audit, ddof| {
                    let call = Call { threads: Some(threads), ..Call::default() };
                    let found = lazy(audit).mean_var(&call, axis, ddof);
                    both(&found.unwrap_or_else(|e| panic!("{what}: {e}")))
                };
                let (mean, var) = of(2, true, 0);
                let (means, squares) = plain(&chosen, columns.len() as usize, axis);
                let n = [rows.len(), columns.len()][axis] as f64;
                close(&mean, &means, &what);
                close(&var, &squares.iter().map(|s| s / n).collect::<Vec<_>>(), &what);
                let bits = |x: &[f64]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                for threads in [1, 3, 7] {
                    let again = of(threads, false, 0);
                    assert_eq!((bits(&again.0), bits(&again.1)), (bits(&mean), bits(&var)), "{what}");
                }
                let unbiased: Vec<f64> = squares.iter().map(|s| s / (n - 1.0).max(0.0)).collect();
                close(&of(2, false, 1).1, &unbiased, &what);
            }
        }
    }
}

#[test]
fn the_plan_of_a_reduction_is_what_it_does() {
    for seed in 0..40 {
        let sample = Sample::new(&Spec::small(seed));
        let call = Call::default();
        let x = open(&sample, false).get("X").unwrap();
        let plan = x.plan_mean_var(&call, 0, true).unwrap();
        let meter: Arc<lazarr_store::Meter> = Arc::default();
        let x = open(&sample, false).get("X").unwrap();
        // Indices are cached by the plan: here they are read for the first time.
        x.plan_mean_var(&call, 0, true).unwrap();
        x.mean_var(&Call { meter: Some(meter.clone()), ..call }, 0, 0).unwrap();
        let arrays = || plan.elements.iter().flat_map(|e| &e.stages).flat_map(|s| &s.arrays);
        let decoded: u64 = arrays().map(|a| a.decode_bytes.value).sum();
        assert_eq!(meter.decoded(), decoded, "seed {seed}: {plan}");
    }
}

#[test]
fn what_is_no_matrix_of_numbers_is_refused() {
    let sample = Sample::new(&Spec::small(3));
    let adata = open(&sample, true);
    for path in ["obs", "obs/count", "obs/note", "obsm/X_3d", "uns/title"] {
        let found = adata.get(path).unwrap().mean_var(&Call::default(), 0, 0);
        assert_eq!(found.unwrap_err().code(), Code::Operation, "{path}");
    }
    let row = adata.get("layers/counts").unwrap().at(0, 0).unwrap();
    assert_eq!(row.mean_var(&Call::default(), 0, 0).unwrap_err().code(), Code::Operation);
    assert!(adata.get("X").unwrap().mean_var(&Call::default(), 2, 0).is_err());
    assert_eq!(adata.get("X").unwrap().dtype(), Some(DataType::Float(4)));
}

#[test]
fn sums_of_counts_are_exact() {
    // Mean 2^20, variance 1: in float64 the difference of the squares would have few digits.
    let (a, b) = (f64::from((1u32 << 20) - 1), f64::from((1u32 << 20) + 1));
    assert_eq!(exact(a + b, a * a + b * b, 2.0), Some(2.0));
    assert_eq!(exact(0.5, 0.25, 2.0), None);
    assert_eq!(exact(1e300, 1e301, 2.0), None);
    assert_eq!(exact(f64::NAN, f64::NAN, 2.0), None);
}
