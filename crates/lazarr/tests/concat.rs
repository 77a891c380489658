//! Concatenations of random stores, and values laid over them: selections against a model in memory, every read audited.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::{adata, open};
use lazarr::{
    Budget, Buffer, Call, Code, Concatenation, DataType, Dense, Index, Join, LazyAnnData, Ledger,
    SparseMatrix, Step, Value, concat,
};
use lazarr_testkit::{Rng, Sample, Spec};

fn int(bytes: &[u8], width: u8, at: usize) -> usize {
    let w = usize::from(width);
    let item = &bytes[at * w..(at + 1) * w];
    if width == 4 {
        i32::from_ne_bytes(item.try_into().unwrap()) as usize
    } else {
        i64::from_ne_bytes(item.try_into().unwrap()) as usize
    }
}

fn grid(m: &SparseMatrix) -> Vec<Vec<f32>> {
    let [rows, columns] = m.shape.map(|n| n as usize);
    let mut out = vec![vec![0.0; columns]; rows];
    let csr = m.format == lazarr::format::anndata::SparseFormat::Csr;
    for major in 0..if csr { rows } else { columns } {
        let start = |k| int(m.indptr.as_slice(), m.index_width, k);
        for k in start(major)..start(major + 1) {
            let minor = int(m.indices.as_slice(), m.index_width, k);
            let value = f32::from_ne_bytes(m.data.as_slice()[4 * k..4 * k + 4].try_into().unwrap());
            let (row, column) = if csr { (major, minor) } else { (minor, major) };
            out[row][column] += value;
        }
    }
    out
}

/// The value of each cell of a sample by its row and the name of its gene.
fn cells(sample: &Sample) -> HashMap<(u64, String), f32> {
    let mut out = HashMap::new();
    for (major, row) in sample.x.major.iter().enumerate() {
        for &(minor, value) in row {
            let (r, c) = if sample.x.csc { (minor, major as u64) } else { (major as u64, minor) };
            out.insert((r, sample.names[1][c as usize].clone()), value);
        }
    }
    out
}

fn random_rows(rng: &mut Rng, n: u64) -> (Step, Vec<u64>) {
    let all: Vec<u64> = (0..n).collect();
    match rng.below(4) {
        0 => {
            let (a, b) = (rng.below(n + 1), rng.below(n + 1));
            let (a, b) = (a.min(b), a.max(b));
            (Step::Slice(Some(a as i64), Some(b as i64), None), all[a as usize..b as usize].to_vec())
        }
        1 if n > 0 => {
            let picked: Vec<u64> = (0..rng.below(2 * n)).map(|_| rng.below(n)).collect();
            (Step::Index(Index::positions(picked.clone()).with_axis(n).unwrap()), picked)
        }
        2 => {
            let mask: Vec<bool> = (0..n).map(|_| rng.once_in(3)).collect();
            let picked = all.into_iter().filter(|&i| mask[i as usize]).collect();
            (Step::Mask(mask.into()), picked)
        }
        _ => (Step::Slice(None, None, Some(-1)), all.into_iter().rev().collect()),
    }
}

#[test]
fn random_selections_of_random_concatenations() {
    let first = std::env::var("LAZARR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1u64);
    let sets = std::env::var("LAZARR_CONCATS").ok().and_then(|s| s.parse().ok()).unwrap_or(40u64);
    for seed in first..first + sets {
        let mut rng = Rng::new(seed ^ 0xc0ca);
        let samples: Vec<Sample> = (0..rng.within(1..4))
            .map(|k| Sample::new(&Spec { n_obs: rng.pick(&[0, 3, 17, 40]), ..Spec::small(seed * 31 + k) }))
            .collect();
        let outer = rng.once_in(2);
        let how = Concatenation {
            join: if outer { Join::Outer } else { Join::Inner },
            label: Some("batch".into()),
            ..Concatenation::default()
        };
        let parts: Vec<LazyAnnData> =
            samples.iter().map(|s| adata(&open(Arc::new(s.writer.store()), true, 2))).collect();
        let call = Call::default();
        let whole = match concat(&parts, &how, &call) {
            Ok(whole) => whole,
            // Genes that stand twice cannot be joined.
            Err(e) if e.code() == Code::Operation => continue,
            Err(e) => panic!("seed {seed}: {e}"),
        };
        let genes: Vec<String> = {
            let table = whole.get("var").unwrap().names().unwrap().collect(&call).unwrap();
            let Value::Strings(s) = table else { panic!("names") };
            (0..s.len()).map(|i| String::from_utf8(s.get(i).unwrap().to_vec()).unwrap()).collect()
        };
        let rows: Vec<(usize, u64)> =
            samples.iter().enumerate().flat_map(|(k, s)| (0..s.spec.n_obs).map(move |r| (k, r))).collect();
        let cells: Vec<_> = samples.iter().map(cells).collect();
        for _ in 0..6 {
            let (obs, picked) = random_rows(&mut rng, rows.len() as u64);
            let (var, columns) = random_rows(&mut rng, genes.len() as u64);
            let what = format!("seed {seed}: {obs:?} {var:?}");
            let view = whole.select(Some(obs), Some(var)).unwrap();
            let x = view.get("X").unwrap();
            x.plan(&call, true).unwrap();
            let Value::Sparse(m) = x.collect(&call).unwrap_or_else(|e| panic!("{what}: {e}")) else {
                panic!("{what}: no matrix")
            };
            let expected: Vec<Vec<f32>> = picked
                .iter()
                .map(|&i| {
                    let (part, row) = rows[i as usize];
                    let cell = |&c: &u64| cells[part].get(&(row, genes[c as usize].clone()));
                    columns.iter().map(|c| cell(c).copied().unwrap_or(0.0)).collect()
                })
                .collect();
            assert_eq!(grid(&m), expected, "{what}");
            let mut blocks = x.stream(&call, Some(3), None).unwrap();
            let mut streamed = Vec::new();
            while let Some(block) = blocks.next(&call).unwrap() {
                let Value::Sparse(m) = &block.value else { panic!("{what}: no matrix") };
                streamed.extend(grid(m));
            }
            assert_eq!(streamed, expected, "{what}: in blocks");
            let batch = view.get("obs/batch").unwrap().collect(&call).unwrap();
            let Value::Categorical { codes, .. } = batch else { panic!("{what}: no label") };
            let codes: Vec<usize> = codes.data.as_slice().iter().map(|c| usize::from(*c)).collect();
            let parts: Vec<usize> = picked.iter().map(|&i| rows[i as usize].0).collect();
            assert_eq!(codes, parts, "{what}");
            let again = LazyAnnData::from_state(view.session(), &view.state()).unwrap();
            assert_eq!(again.shape(), view.shape(), "{what}");
        }
    }
}

#[test]
fn values_are_laid_over_what_is_stored() {
    let sample = Sample::new(&Spec { n_obs: 20, n_vars: 5, ..Spec::default() });
    let session = open(Arc::new(sample.writer.store()), true, 2);
    let call = Call::default();
    let budget = Budget::new(Ledger::process(), 1 << 20, Arc::default());
    let numbers = |n: i64| {
        let bytes: Vec<u8> = (0..n).flat_map(i64::to_ne_bytes).collect();
        let data = Buffer::copy_of(&bytes, &budget, "a test").unwrap();
        Value::Dense(Dense { dtype: DataType::Int(8), shape: vec![n as u64], data })
    };
    let whole = adata(&session);
    let view = whole.select(Some(Step::Slice(Some(5), Some(15), None)), None).unwrap();
    let laid = view.with_obs(&call, vec![("mine".into(), numbers(10))]).unwrap();
    let read = laid
        .select(Some(Step::Slice(None, None, Some(-3))), None)
        .unwrap()
        .get("obs/mine")
        .unwrap()
        .collect(&call)
        .unwrap();
    let Value::Dense(d) = read else { panic!("no array") };
    let items: Vec<i64> =
        d.data.as_slice().as_chunks::<8>().0.iter().map(|b| i64::from_ne_bytes(*b)).collect();
    assert_eq!(items, [9, 6, 3, 0]);
    assert!(whole.get("obs/mine").is_err(), "what was there is not changed");
    let plan = laid.get("obs/mine").unwrap().plan(&call, true).unwrap();
    assert_eq!((plan.requests.value, plan.chunks.value), (0, 0));
    let wrong = whole.with_obs(&call, vec![("mine".into(), numbers(10))]).unwrap_err();
    assert_eq!(wrong.code(), Code::Misaligned);
}
