//! Bits of bytes.

use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{Array, ArrayRef};
use lazarr_format::DataType;

use super::{all_below, bits, dictionary, not_zero};
use crate::buffer::Buffer;
use crate::ledger::Budget;
use crate::value::Dense;

/// Bytes of all kinds; each stands at each place of eight.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| [0, 1, 0x7f, 0x80, 0x81, 0xff, 0, 2, 0x40][(i * 7 + i / 8) % 9]).collect()
}

#[test]
fn a_bit_is_what_its_byte_says() {
    for len in (0..40).chain([1000, 4097]) {
        let bytes = bytes(len);
        let set = bits(&bytes, not_zero);
        let clear = bits(&bytes, |b| !not_zero(b));
        let high = bits(&bytes, |b| b);
        assert_eq!((set.len(), clear.len(), high.len()), (len, len, len));
        for (i, &byte) in bytes.iter().enumerate() {
            assert_eq!(
                (set.value(i), clear.value(i), high.value(i)),
                (byte != 0, byte == 0, byte >= 0x80),
                "{i} of {len}: {byte}"
            );
        }
        assert_eq!(set.count_set_bits() + clear.count_set_bits(), len);
    }
}

#[test]
fn keys_are_places_of_categories() {
    assert!(all_below::<i8>(&[0, 1, 2, 2], 3) && !all_below::<i8>(&[0, 3, 1], 3));
    assert!(!all_below::<i16>(&[0, -1], 3) && all_below::<i16>(&[32_767], 32_768));
    assert!(all_below::<i8>(&[127, 0], 300) && !all_below::<i8>(&[127, -128], 300));
    assert!(all_below::<i64>(&[], 0) && !all_below::<i64>(&[0], 0));
}

#[test]
fn a_key_without_a_category_is_refused() {
    let budget = Budget::new(Arc::default(), 1 << 20, Arc::default());
    let codes = |bytes: &[u8]| Dense {
        dtype: DataType::Int(1),
        shape: vec![bytes.len() as u64],
        data: Buffer::copy_of(bytes, &budget, "codes").unwrap(),
    };
    let categories: ArrayRef = Arc::new(arrow_array::LargeStringArray::from(vec!["B", "T"]));
    let column = |bytes: &[u8]| dictionary::<Int8Type>(codes(bytes), categories.clone());
    let right = column(&[1, 0, 1]).unwrap();
    assert_eq!((right.len(), right.null_count()), (3, 0));
    assert_eq!(column(&[1, 0xff, 0]).unwrap().null_count(), 1);
    assert!(column(&[1, 2, 0]).is_err() && column(&[0xff, 2]).is_err());
}
