//! The inner loops, number by number.
#![allow(clippy::float_cmp, reason = "these numbers have exact results")]

use lazarr_format::DataType;

use super::items::Items;
use super::kernel::{Centred, Plain, fold, scatter, scatter_rows, weigh, worth_tiles};
use crate::program::wide::in_both;

fn items<'a>(dtype: &'a DataType, bytes: &'a [u8]) -> Items<'a> {
    Items { dtype, bytes }
}

#[test]
fn every_type_is_the_number_that_it_holds() {
    let cases: [(DataType, Vec<u8>, f64); 13] = [
        (DataType::Bool, vec![1], 1.0),
        (DataType::Int(1), vec![0xff], -1.0),
        (DataType::Int(2), (-300i16).to_ne_bytes().to_vec(), -300.0),
        (DataType::Int(4), (-70_000i32).to_ne_bytes().to_vec(), -70_000.0),
        (DataType::Int(8), i64::MIN.to_ne_bytes().to_vec(), i64::MIN as f64),
        (DataType::UInt(1), vec![200], 200.0),
        (DataType::UInt(2), 60_000u16.to_ne_bytes().to_vec(), 60_000.0),
        (DataType::UInt(4), u32::MAX.to_ne_bytes().to_vec(), f64::from(u32::MAX)),
        (DataType::UInt(8), u64::MAX.to_ne_bytes().to_vec(), u64::MAX as f64),
        (DataType::Float(2), 0xc500u16.to_ne_bytes().to_vec(), -5.0),
        (DataType::Float(2), 1u16.to_ne_bytes().to_vec(), 2f64.powi(-24)),
        (DataType::Float(4), 1.25f32.to_ne_bytes().to_vec(), 1.25),
        (DataType::Float(8), (-1e300f64).to_ne_bytes().to_vec(), -1e300),
    ];
    for (dtype, bytes, expected) in cases {
        let mut sums = [0.0; 2];
        fold::<2, Plain>(&mut sums, items(&dtype, &bytes));
        assert_eq!(sums, [expected, expected * expected], "{dtype}");
    }
    let mut sums = [0.0; 2];
    fold::<2, Plain>(&mut sums, items(&DataType::Float(2), &0x7c01u16.to_ne_bytes()));
    assert!(sums[0].is_nan());
    let mut sums = [0.0; 2];
    fold::<2, Plain>(&mut sums, items(&DataType::Float(2), &0xfc00u16.to_ne_bytes()));
    assert_eq!(sums[0], f64::NEG_INFINITY);
}

#[test]
fn indices_outside_of_the_matrix_are_found() {
    let values = [1u8; 4];
    let values = items(&DataType::UInt(1), &values);
    for (dtype, indices, bad) in [
        (DataType::Int(1), vec![0u8, 3, 0xff, 1], Some(2)),
        (DataType::UInt(1), vec![0, 3, 199, 200], Some(3)),
        (DataType::Int(1), vec![0, 3, 127, 1], None),
    ] {
        let mut sums = [0.0; 400];
        let found = scatter::<2, Plain>(&mut sums, values, items(&dtype, &indices));
        assert_eq!(found.err(), bad, "{dtype} {indices:?}");
        let mut one = [0.0; 2];
        let found = weigh::<2, Plain>(&mut one, values, items(&dtype, &indices), &[0.0; 200]);
        assert_eq!((found.err(), one), (bad, [0.0; 2]));
    }
    let far = (1u64 << 40).to_ne_bytes();
    let one = items(&DataType::UInt(1), &[1]);
    assert_eq!(scatter::<2, Plain>(&mut [0.0; 8], one, items(&DataType::Int(8), &far)), Err(0));
    assert_eq!(items(&DataType::Int(8), &(-3i64).to_ne_bytes()).integer(0), -3);
}

/// Some 300 values of each of 40 rows, among 9,000 columns; `shuffled` not in order.
fn rows(shuffled: bool) -> (Vec<u8>, Vec<u8>, Vec<[u64; 2]>) {
    let (mut values, mut indices, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..40u32 {
        let mut columns: Vec<u32> = (0..300 - row).map(|i| (i * 29 + row * 13) % 9_000).collect();
        columns.sort_unstable();
        if shuffled {
            columns.reverse();
            columns.swap(3, 200);
        }
        let from = (indices.len() / 4) as u64;
        indices.extend(columns.iter().flat_map(|c| c.to_ne_bytes()));
        values.extend(columns.iter().flat_map(|c| (*c as f32 * 0.37 + row as f32).to_ne_bytes()));
        rows.push([from, (indices.len() / 4) as u64]);
    }
    (values, indices, rows)
}

#[test]
fn tile_by_tile_is_the_same_as_row_by_row() {
    in_both(tiles_beside_rows);
}

fn tiles_beside_rows() {
    assert!(worth_tiles::<2>(9_000, 40 * 280, 40) && !worth_tiles::<2>(9_000, 40 * 40, 40));
    for shuffled in [false, true] {
        let (values, indices, mut rows) = rows(shuffled);
        let values = items(&DataType::Float(4), &values);
        let indices = items(&DataType::Int(4), &indices);
        let (mut plain, mut tiled) = (vec![0.0; 18_000], vec![0.0; 18_000]);
        scatter::<2, Plain>(&mut plain, values, indices).expect("all are inside");
        scatter_rows::<2, Plain>(&mut tiled, values, indices, &mut rows).expect("all are inside");
        if !shuffled {
            assert_eq!(plain, tiled);
        }
        for (plain, tiled) in plain.iter().zip(&tiled) {
            assert!((plain - tiled).abs() <= 1e-12 * plain.abs(), "{plain} {tiled}");
        }
        assert!(rows.iter().all(|[from, to]| from == to));
    }
}

#[test]
fn tiles_find_an_index_outside_where_it_is() {
    in_both(tiles_find_what_is_outside);
}

fn tiles_find_what_is_outside() {
    let (values, mut indices, rows) = rows(false);
    for (at, wrong) in [(0usize, -1i32), (5_000, 9_000), (7_000, i32::MIN)] {
        let right: [u8; 4] = indices[4 * at..4 * at + 4].try_into().expect("four bytes");
        indices[4 * at..4 * at + 4].copy_from_slice(&wrong.to_ne_bytes());
        let (values, items_of) = (items(&DataType::Float(4), &values), items(&DataType::Int(4), &indices));
        let found = scatter_rows::<2, Plain>(&mut vec![0.0; 18_000], values, items_of, &mut rows.clone());
        assert_eq!(found, Err(at));
        indices[4 * at..4 * at + 4].copy_from_slice(&right);
    }
    assert_eq!(
        scatter_rows::<2, Plain>(
            &mut [],
            items(&DataType::UInt(1), &[1]),
            items(&DataType::UInt(1), &[0]),
            &mut [[0, 1]]
        ),
        Err(0)
    );
}

#[test]
fn what_is_centred_counts_its_values() {
    let mut sums = [0.0, 0.0, 10.0, 0.0];
    let values: Vec<u8> = [9.0f64, 12.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
    fold::<4, Centred>(&mut sums, items(&DataType::Float(8), &values));
    assert_eq!(sums, [1.0, 5.0, 10.0, 2.0]);
}

#[test]
fn booleans_are_zero_or_one() {
    assert_eq!(items(&DataType::Bool, &[0, 1, 7, 1]).not_bool(), Some(7));
    assert_eq!(items(&DataType::Bool, &[0, 1, 3, 2]).not_bool(), Some(3));
    assert_eq!(items(&DataType::Bool, &[0, 1]).not_bool(), None);
    assert_eq!(items(&DataType::UInt(1), &[7]).not_bool(), None);
}
