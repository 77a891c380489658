//! Damaged chunks are errors, never panics, and where a codec validates they are never wrong values.

use proptest::prelude::*;

use super::encode::{self, encode};
use super::*;

#[test]
fn cut_anywhere_is_an_error() {
    let bytes = sample(400);
    let mut scratch = Scratch::default();
    let mut out = vec![0; 400];
    for step in encode::steps() {
        let encoded = encode(&step, &bytes).unwrap();
        let chain = v3(&json!([little(), step]), &[100], &DataType::Int(4)).unwrap();
        for end in 0..encoded.len() {
            assert!(
                chain.decode_into(&encoded[..end], &mut out, &mut scratch).is_err(),
                "{step} cut to {end}"
            );
        }
    }
}

#[test]
fn every_flipped_bit() {
    let bytes = sample(400);
    let mut scratch = Scratch::default();
    for step in encode::steps() {
        let encoded = encode(&step, &bytes).unwrap();
        let chain = v3(&json!([little(), step]), &[100], &DataType::Int(4)).unwrap();
        for place in 0..encoded.len() {
            for bit in 0..8 {
                let mut damaged = encoded.clone();
                damaged[place] ^= 1 << bit;
                let mut out = vec![0; 400];
                let result = chain.decode_into(&damaged, &mut out, &mut scratch);
                if result.is_ok() && chain.validates() {
                    assert_eq!(out, bytes, "{step}: bit {bit} of byte {place}");
                }
            }
        }
        // Damage leaves nothing behind in the contexts.
        let mut out = vec![0; 400];
        chain.decode_into(&encoded, &mut out, &mut scratch).unwrap();
        assert_eq!(out, bytes);
    }
}

#[test]
fn checksums_say_so() {
    let bytes = sample(400);
    for (codec, place) in
        [("crc32c", 7), ("numcodecs.adler32", 9), ("numcodecs.crc32", 2), ("numcodecs.fletcher32", 399)]
    {
        let mut encoded = encode(&json!({"name": codec}), &bytes).unwrap();
        encoded[place] ^= 1;
        let chain = v3(&json!([little(), codec]), &[100], &DataType::Int(4)).unwrap();
        assert_eq!(decode(&chain, &encoded, 400).unwrap_err().code(), Code::ChunkChecksum, "{codec}");
    }
    let mut encoded = encode::zstd(&bytes, true, true);
    *encoded.last_mut().unwrap() ^= 1;
    let chain = v3(&json!([little(), "zstd"]), &[100], &DataType::Int(4)).unwrap();
    assert_eq!(decode(&chain, &encoded, 400).unwrap_err().code(), Code::ChunkChecksum);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        steps in prop::collection::vec(prop::sample::select(encode::steps()), 0..3),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut list = vec![little()];
        list.extend_from_slice(&steps);
        let chain = v3(&Value::Array(list), &[100], &DataType::Int(4)).unwrap();
        let _ = decode(&chain, &bytes, 400);
        // Damage in the middle of something that starts well gets further in.
        if let Some(mut encoded) = steps.iter().try_fold(sample(400), |b, step| encode(step, &b)) {
            for (place, value) in edits {
                let place = place.index(encoded.len());
                encoded[place] = value;
            }
            let _ = decode(&chain, &encoded, 400);
        }
        let mut list = vec![json!("vlen-utf8")];
        list.extend_from_slice(&steps);
        let chain = v3(&Value::Array(list), &[3], &DataType::String).unwrap();
        let _ = chain.decode_vlen(&bytes, 3, 1000, &mut Scratch::default());
    }
}
