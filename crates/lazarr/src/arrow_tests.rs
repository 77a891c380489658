//! Bits of bytes.

use super::{bits, not_zero};

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
