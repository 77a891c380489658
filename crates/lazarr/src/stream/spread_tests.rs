//! Rows of random csc matrices, added by columns and taken in blocks, against a plain model.

use std::sync::Arc;

use lazarr_format::DataType;
use lazarr_format::anndata::SparseFormat;
use lazarr_testkit::Rng;

use super::Spread;
use crate::buffer::Buffer;
use crate::ledger::{Budget, Ledger};
use crate::program::Cx;
use crate::value::SparseMatrix;

fn cx(limit: u64) -> Cx {
    Cx {
        budget: Budget::new(Arc::new(Ledger::default()), limit, Arc::default()),
        lenient: false,
        threads: 3,
        distant: false,
    }
}

/// The stored values of each column: row and value.
type Columns = Vec<Vec<(u64, f32)>>;

fn ints(items: &[u64], width: u8, budget: &Budget) -> Buffer {
    let bytes: Vec<u8> = if width == 4 {
        items.iter().flat_map(|&i| (i as i32).to_ne_bytes()).collect()
    } else {
        items.iter().flat_map(|&i| (i as i64).to_ne_bytes()).collect()
    };
    Buffer::copy_of(&bytes, budget, "a test").unwrap()
}

fn matrix(columns: &[Vec<(u64, f32)>], rows: u64, width: u8, cx: &Cx) -> SparseMatrix {
    let all = columns.concat();
    let data: Vec<u8> = all.iter().flat_map(|(_, v)| v.to_ne_bytes()).collect();
    let indices: Vec<u64> = all.iter().map(|(row, _)| *row).collect();
    let mut indptr = vec![0];
    for column in columns {
        indptr.push(indptr[indptr.len() - 1] + column.len() as u64);
    }
    SparseMatrix {
        format: SparseFormat::Csc,
        shape: [rows, columns.len() as u64],
        dtype: DataType::Float(4),
        index_width: width,
        data: Buffer::copy_of(&data, &cx.budget, "a test").unwrap(),
        indices: ints(&indices, width, &cx.budget),
        indptr: ints(&indptr, width, &cx.budget),
    }
}

fn read(items: &Buffer, width: u8) -> Vec<u64> {
    match width {
        4 => items.as_slice().as_chunks().0.iter().map(|i| i32::from_ne_bytes(*i) as u64).collect(),
        _ => items.as_slice().as_chunks().0.iter().map(|i| i64::from_ne_bytes(*i) as u64).collect(),
    }
}

fn columns_of(m: &SparseMatrix) -> Columns {
    let indices = read(&m.indices, m.index_width);
    let values = m.data.as_slice().as_chunks().0.iter().map(|v| f32::from_ne_bytes(*v));
    let all: Vec<_> = indices.into_iter().zip(values).collect();
    let starts = read(&m.indptr, m.index_width);
    assert_eq!(starts[starts.len() - 1], all.len() as u64);
    starts.windows(2).map(|w| all[w[0] as usize..w[1] as usize].to_vec()).collect()
}

/// Columns whose rows ascend, or not; with a row twice, now and then.
fn random(rng: &mut Rng, rows: u64, most: u64) -> Columns {
    let ascending = rng.below(3) > 0;
    let kind = rng.below(3);
    (0..rng.below(12))
        .map(|_| {
            let mut column: Vec<_> = (0..rng.below(most))
                .map(|_| {
                    let value = match kind {
                        0 => rng.below(256) as f32,
                        1 => rng.below(65536) as f32,
                        _ => rng.below(100) as f32 / 4.0,
                    };
                    (rng.below(rows), value)
                })
                .collect();
            if ascending {
                column.sort_by_key(|(row, _)| *row);
            }
            column
        })
        .collect()
}

#[test]
fn blocks_are_what_was_added() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let cx = cx(1 << 30);
        let mut rows = [1, 7, 300, 65_536, 65_537, 200_000][rng.below(6) as usize];
        // Some with work for each thread.
        let most = if rng.below(20) == 0 { 40_000 } else { 200 };
        let mut spread = Spread::new(rows, &DataType::Float(4), &cx).unwrap();
        let mut model: Columns = Vec::new();
        for _ in 0..=rng.below(4) {
            let added = random(&mut rng, rows, most);
            let width = if rng.below(2) == 0 { 4 } else { 8 };
            spread.add(&matrix(&added, rows, width, &cx), &cx).unwrap();
            let ordered = |mut column: Vec<(u64, f32)>| {
                column.sort_by_key(|(row, _)| *row);
                column
            };
            model.extend(added.into_iter().map(ordered));
            if rng.below(3) == 0 {
                rows = rng.below(rows) + 1;
                spread.cut(rows, &cx).unwrap();
                for column in &mut model {
                    column.retain(|(row, _)| *row < rows);
                }
            }
        }
        spread.close(&cx).unwrap();
        assert_eq!(spread.rows(), rows);
        let (mut first, mut blocks) = (0, 0);
        while first < rows {
            let most = [1, 10, 1000, u64::MAX][rng.below(4) as usize].max(rows / 20);
            let bytes = [100, 10_000, u64::MAX][rng.below(3) as usize].max(2 * rows);
            let (end, block) = spread.block(first, most, bytes, &cx).unwrap();
            assert!(end > first && end - first <= most, "seed {seed}");
            assert_eq!(block.shape, [end - first, model.len() as u64]);
            let expected: Columns = model
                .iter()
                .map(|c| {
                    c.iter().filter(|(r, _)| (first..end).contains(r)).map(|&(r, v)| (r - first, v)).collect()
                })
                .collect();
            assert_eq!(columns_of(&block), expected, "seed {seed}, rows {first} to {end}");
            let nnz = expected.iter().map(Vec::len).sum::<usize>() as u64;
            assert!(end == first + 1 || 8 * nnz + 4 * (end - first) <= bytes, "seed {seed}");
            (first, blocks) = (end, blocks + 1);
        }
        assert!(blocks > 0);
    }
}

#[test]
fn small_numbers_are_held_in_a_byte_and_what_does_not_fit_changes_nothing() {
    let column = |value: f32| vec![(0..10_000).map(|row| (row, value)).collect::<Vec<_>>()];
    let bytes = |value: f32| {
        let cx = cx(1 << 30);
        let mut spread = Spread::new(10_000, &DataType::Float(4), &cx).unwrap();
        spread.add(&matrix(&column(value), 10_000, 4, &cx), &cx).unwrap();
        spread.bytes() - 16 * 10_000 - 32
    };
    assert_eq!([bytes(7.0), bytes(700.0), bytes(0.7)], [30_000, 40_000, 60_000]);

    let small = cx(250_000);
    let large = cx(1 << 30);
    let mut spread = Spread::new(10_000, &DataType::Float(4), &small).unwrap();
    spread.add(&matrix(&column(7.0), 10_000, 4, &large), &small).unwrap();
    let held = spread.bytes();
    let error = spread.add(&matrix(&column(0.7), 10_000, 4, &large), &small).unwrap_err();
    assert_eq!(error.code(), lazarr_format::Code::MemoryLimit);
    assert_eq!(spread.bytes(), held);
    // Half of the rows, and there is room.
    spread.cut(5000, &small).unwrap();
    spread.add(&matrix(&[column(0.7)[0][..5000].to_vec()], 5000, 4, &large), &small).unwrap();
    spread.close(&small).unwrap();
    let (end, block) = spread.block(0, u64::MAX, 1000, &small).unwrap();
    assert_eq!(columns_of(&block)[1], column(0.7)[0][..end as usize]);
    drop((block, spread));
    assert_eq!(small.budget.left(), 250_000);
}
