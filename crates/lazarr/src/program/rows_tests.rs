//! Row starts: the rows that have stored values in a span, windows and blocks.

use std::sync::Arc;

use lazarr_format::DataType;
use lazarr_format::anndata::{Body, Sparse};
use lazarr_plan::{Index, Placement};
use lazarr_testkit::{Array, Layout, Rng, Writer};
use serde_json::json;

use super::RowStarts;
use crate::exec::sink::Items;
use crate::ledger::{Budget, Ledger};
use crate::program::Cx;
use crate::session::{Options, Session};

fn cx() -> Cx {
    Cx {
        budget: Budget::new(Arc::new(Ledger::default()), 1 << 30, Arc::default()),
        lenient: false,
        threads: 2,
        distant: false,
    }
}

/// A matrix with these row starts, in one chunk.
fn matrix(starts: &[i64]) -> Arc<Sparse> {
    let mut w = Writer::new(&Layout::default());
    w.encoded("", "csr_matrix", "0.1.0", &[("shape", json!([starts.len() - 1, 5]))]);
    let n = starts[starts.len() - 1] as usize;
    w.array("indptr", &Array::integers(DataType::Int(8), starts.len() as u64, starts));
    w.array("indices", &Array::integers(DataType::Int(4), 4, &vec![0; n]));
    w.array("data", &Array::integers(DataType::Int(4), 4, &vec![1; n]));
    let session = Session::open_store(Arc::new(w.store()), Options::default()).unwrap();
    match &session.root().body {
        Body::Sparse(s) => s.clone(),
        _ => panic!("not a matrix"),
    }
}

fn read(sparse: &Arc<Sparse>, starts: &[i64], rows: &Index) -> RowStarts {
    let mut out = RowStarts::new(sparse, rows, &cx()).unwrap();
    out.open(&cx()).unwrap();
    let bytes: Vec<u8> = starts.iter().flat_map(|x| x.to_le_bytes()).collect();
    if !rows.is_empty() {
        out.sink().unwrap().place(&out.read(), &[0], Items::Fixed(&bytes)).unwrap();
    }
    out.check().unwrap();
    out
}

#[test]
fn rows_in_a_span_are_those_with_values_there() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let n = rng.within(1..30);
        let mut starts = vec![0i64];
        (0..n).for_each(|i| starts.push(starts[i as usize] + rng.below(5) as i64));
        let total = starts[n as usize] as u64;
        let sparse = matrix(&starts);
        let items: Vec<i64> = (0..rng.below(15)).map(|_| rng.below(n) as i64).collect();
        let rows = if rng.once_in(2) { Index::ints(&items, n).unwrap() } else { Index::all(n) };
        let read = read(&sparse, &starts, &rows);
        let of = |row: u64| (starts[row as usize] as u64, starts[row as usize + 1] as u64);
        let mut all: Vec<(u64, u64, u64)> =
            rows.iter().zip(0..).map(|(r, to)| (to, of(r).0, of(r).1)).collect();
        let mut each = Vec::new();
        read.each(|to, a, b| each.push((to, a, b)));
        each.sort_unstable();
        all.sort_unstable();
        assert_eq!(each, all, "seed {seed}");
        for _ in 0..10 {
            let (a, b) = (rng.below(total + 2), rng.below(total + 2));
            let span = a.min(b)..a.max(b);
            let mut found = Vec::new();
            read.each_in(span.clone(), |to, from, end| found.push((to, from, end)));
            found.sort_unstable();
            let inside = |r: &(u64, u64, u64)| r.1 < r.2 && r.1 < span.end && r.2 > span.start;
            let expected: Vec<_> = all.iter().copied().filter(inside).collect();
            assert_eq!(found, expected, "seed {seed} {span:?}");
        }
        let mut read = read;
        let mut at = Vec::new();
        let mut sum = 0;
        for row in &rows {
            at.push(sum);
            sum += of(row).1 - of(row).0;
        }
        let segments = read.segments(|to| at[to as usize], &cx()).unwrap();
        assert_eq!(segments.len(), sum, "seed {seed}");
    }
}

#[test]
fn blocks_of_a_window_are_parts_of_it() {
    let starts = [0, 2, 2, 5, 6, 9, 9, 12];
    let sparse = matrix(&starts);
    for rows in [Index::all(7), Index::slice(Some(1), None, Some(2), 7).unwrap()] {
        let window = read(&sparse, &starts, &rows);
        let n = rows.len();
        for first in 0..n {
            for last in first + 1..=n {
                let part = window.part(first, last, &cx()).unwrap();
                let (mut found, mut expected) = (Vec::new(), Vec::new());
                part.each(|to, a, b| found.push((to + first, a, b)));
                window.each(|to, a, b| expected.push((to, a, b)));
                expected.retain(|r| (first..last).contains(&r.0));
                assert_eq!(found, expected, "{rows} {first}..{last}");
                let mut from = Vec::new();
                window.each_from(first, last, |to, a, b| {
                    from.push((to, a, b));
                    true
                });
                assert_eq!(from, expected);
            }
        }
    }
}
