//! What an encoder made decodes to what it was made from.

use proptest::prelude::*;

use super::encode::{self, encode};
use super::*;

/// Codecs and the bytes they make of `bytes`.
fn encoded(steps: &[Value], bytes: &[u8]) -> Option<(Value, Vec<u8>)> {
    let mut list = vec![little()];
    list.extend_from_slice(steps);
    let bytes = steps.iter().try_fold(bytes.to_vec(), |b, step| encode(step, &b))?;
    Some((Value::Array(list), bytes))
}

#[test]
fn each_step_alone() {
    let mut scratch = Scratch::default();
    for len in [4, 8, 1000, 1024, 100_000, 600_004] {
        let bytes = sample(len);
        for step in encode::steps() {
            let (codecs, encoded) = encoded(std::slice::from_ref(&step), &bytes).unwrap();
            let chain = v3(&codecs, &[len as u64 / 4], &DataType::Int(4)).unwrap();
            let mut out = vec![0xAA; len];
            chain
                .decode_into(&encoded, &mut out, &mut scratch)
                .unwrap_or_else(|e| panic!("{step} {len}: {e}"));
            assert_eq!(out, bytes, "{step} {len}");
            // The wrong size, either way.
            for wrong in [len - 4, len + 4, 0] {
                let e = chain.decode_into(&encoded, &mut vec![0; wrong], &mut scratch).unwrap_err();
                assert_eq!(e.code(), Code::ChunkLength, "{step} {len} as {wrong}: {e}");
            }
        }
    }
}

#[test]
fn two_steps_in_a_row() {
    let bytes = sample(3000);
    for first in encode::steps() {
        for second in encode::steps() {
            let Some((codecs, encoded)) = encoded(&[first.clone(), second.clone()], &bytes) else { continue };
            let chain = v3(&codecs, &[750], &DataType::Int(4)).unwrap();
            let (mut out, mut scratch) = (vec![0xAA; 3000], Scratch::default());
            chain
                .decode_into(&encoded, &mut out, &mut scratch)
                .unwrap_or_else(|e| panic!("{first} {second}: {e}"));
            assert_eq!(out, bytes);
            assert!(scratch.held_bytes() <= chain.scratch_bytes(3000), "{first} {second}");
        }
    }
}

#[test]
fn a_step_in_front_of_strings() {
    let items = ["", "α", "some text", "some text", "x"];
    let chunk = encode::vlen(&items);
    for step in encode::steps() {
        let Some(encoded) = encode(&step, &chunk) else { continue };
        let codecs = json!([{"name": "vlen-utf8"}, step]);
        let chain = v3(&codecs, &[5], &DataType::String).unwrap();
        let decode = |max| chain.decode_vlen(&encoded, 5, max, &mut Scratch::default());
        let vlen = decode(chunk.len() as u64).unwrap_or_else(|e| panic!("{step}: {e}"));
        assert_eq!(strings(&vlen), items.map(str::as_bytes));
        assert_eq!(decode(chunk.len() as u64 - 1).unwrap_err().code(), Code::ChunkLength, "{step}");
        assert_eq!(
            chain.decode_vlen(&encoded, 6, 999, &mut Scratch::default()).unwrap_err().code(),
            Code::ChunkLength
        );
    }
}

#[test]
fn large_strings_grow_the_buffer() {
    let items = vec![vec![b'x'; 1000]; 3000];
    let chunk = encode::vlen(&items);
    for encoded in [encode::zstd(&chunk, true, true), encode::zstd(&chunk, false, false)] {
        let chain = v3(&json!(["vlen-bytes", "zstd"]), &[3000], &DataType::Bytes).unwrap();
        let vlen = chain.decode_vlen(&encoded, 3000, 1 << 30, &mut Scratch::default()).unwrap();
        assert_eq!(vlen.bytes.len(), 3_000_000);
        let e = chain.decode_vlen(&encoded, 3000, 3_000_000, &mut Scratch::default()).unwrap_err();
        assert!(e.to_string().contains("expected at most 3000000 bytes"), "{e}");
    }
    let gzipped = encode::gzip(&chunk);
    let chain = v3(&json!(["vlen-bytes", "gzip"]), &[3000], &DataType::Bytes).unwrap();
    assert_eq!(
        chain.decode_vlen(&gzipped, 3000, 1 << 30, &mut Scratch::default()).unwrap().bytes.len(),
        3_000_000
    );
    assert!(chain.decode_vlen(&gzipped, 3000, 3_000_000, &mut Scratch::default()).is_err());
}

#[test]
fn several_frames_and_members() {
    let bytes = sample(900);
    let chain = |codec: &str| v3(&json!([little(), codec]), &[225], &DataType::Int(4)).unwrap();
    let frames =
        [encode::zstd(&bytes[..400], true, true), encode::zstd(&bytes[400..], false, false)].concat();
    assert_eq!(decode(&chain("zstd"), &frames, 900).unwrap(), bytes);
    let skippable = [&frames[..], &[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]].concat();
    assert_eq!(decode(&chain("zstd"), &skippable, 900).unwrap(), bytes);
    let members = [encode::gzip(&bytes[..400]), encode::gzip(&[]), encode::gzip(&bytes[400..])].concat();
    assert_eq!(decode(&chain("gzip"), &members, 900).unwrap(), bytes);
    for (codec, whole) in [("zstd", frames), ("gzip", members), ("zlib", encode::zlib(&bytes))] {
        for tail in [&[0u8][..], &[0; 4], b"garbage that follows"] {
            let e = decode(&chain(codec), &[&whole, tail].concat(), 900).unwrap_err();
            assert_eq!(e.code(), Code::ChunkDecode, "{codec}: {e}");
        }
    }
}

#[test]
fn byte_order_of_every_type() {
    let unit = crate::TimeUnit::new("ns", 1).unwrap();
    let fields = vec![
        crate::Field { name: "a".into(), dtype: DataType::Int(2), offset: 0 },
        crate::Field { name: "b".into(), dtype: DataType::FixedBytes(3), offset: 2 },
        crate::Field { name: "c".into(), dtype: DataType::Float(8), offset: 5 },
    ];
    let types = [
        DataType::Bool,
        DataType::Int(1),
        DataType::UInt(2),
        DataType::Float(2),
        DataType::Float(4),
        DataType::Int(8),
        DataType::Complex(8),
        DataType::Complex(16),
        DataType::DateTime(unit),
        DataType::FixedBytes(5),
        DataType::FixedUtf32(3),
        DataType::Raw(7),
        DataType::Struct(fields),
    ];
    for dtype in types {
        let size = dtype.item_size().unwrap();
        let native = sample(size * 12);
        let mut swapped = native.clone();
        for item in swapped.chunks_exact_mut(size) {
            dtype.swap_units().iter().for_each(|&(o, w)| item[o..o + w].reverse());
        }
        let (little, big) =
            if cfg!(target_endian = "big") { (&swapped, &native) } else { (&native, &swapped) };
        for (endian, stored) in [("little", little), ("big", big)] {
            let codecs = json!([{"name": "bytes", "configuration": {"endian": endian}}]);
            let chain = v3(&codecs, &[3, 4], &dtype).unwrap();
            assert_eq!(decode(&chain, stored, native.len()).unwrap(), native, "{dtype} {endian}");
            let codecs =
                json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, codecs[0], "gzip"]);
            let chain = v3(&codecs, &[3, 4], &dtype).unwrap();
            let turned: Vec<u8> = (0..12)
                .flat_map(|i| {
                    let from = (i % 3) * 4 + i / 3;
                    stored[from * size..(from + 1) * size].to_vec()
                })
                .collect();
            assert_eq!(
                decode(&chain, &encode::gzip(&turned), native.len()).unwrap(),
                native,
                "{dtype} {endian}"
            );
        }
    }
}

/// What `transpose` stores of `items`, the slow way.
fn transposed<T: Copy>(items: &[T], shape: &[usize], order: &[usize]) -> Vec<T> {
    let stored_shape: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    (0..items.len())
        .map(|mut n| {
            let mut at = vec![0; shape.len()];
            for (i, &len) in stored_shape.iter().enumerate().rev() {
                at[order[i]] = n % len;
                n /= len;
            }
            items[at.iter().zip(shape).fold(0, |n, (a, s)| n * s + a)]
        })
        .collect()
}

fn transposes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, usize)> {
    (prop::collection::vec(1usize..12, 0..5), prop::sample::select(vec![1usize, 2, 3, 4, 8, 12, 16, 24]))
        .prop_flat_map(|(shape, size)| {
            let order: Vec<usize> = (0..shape.len()).collect();
            (Just(shape), Just(order).prop_shuffle(), Just(size))
        })
}

proptest! {
    #[test]
    fn transpose_is_undone((shape, order, size) in transposes()) {
        let n: usize = shape.iter().product();
        let items: Vec<Vec<u8>> = sample(n * size).chunks(size).map(<[u8]>::to_vec).collect();
        let indices = transposed(&(0..n).collect::<Vec<_>>(), &shape, &order);
        let stored: Vec<u8> = indices.iter().flat_map(|&i| items[i].clone()).collect();
        let codecs = json!([{"name": "transpose", "configuration": {"order": order}}, "bytes"]);
        let dims: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let chain = v3(&codecs, &dims, &DataType::Raw(size)).unwrap();
        prop_assert_eq!(decode(&chain, &stored, n * size).unwrap(), items.concat());

        // Two in a row are one after the other.
        let reversed: Vec<usize> = (0..shape.len()).rev().collect();
        let turned: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let twice = transposed(&indices, &turned, &reversed);
        let stored: Vec<u8> = twice.iter().flat_map(|&i| items[i].clone()).collect();
        let codecs = json!([
            {"name": "transpose", "configuration": {"order": order}},
            {"name": "transpose", "configuration": {"order": reversed}},
            "bytes", "zstd",
        ]);
        let chain = v3(&codecs, &dims, &DataType::Raw(size)).unwrap();
        prop_assert_eq!(decode(&chain, &encode::zstd(&stored, false, true), n * size).unwrap(), items.concat());

        // v2's order F, with strings.
        let texts: Vec<String> = (0..n).map(|i| "x".repeat(i % 5)).collect();
        let f_order: Vec<usize> = (0..shape.len()).rev().collect();
        let stored: Vec<&String> = transposed(&(0..n).collect::<Vec<_>>(), &shape, &f_order).iter().map(|&i| &texts[i]).collect();
        let chain = v2(&json!({"order": "F", "filters": [{"id": "vlen-utf8"}]}), false, &dims, &DataType::String).unwrap();
        let vlen = chain.decode_vlen(&encode::vlen(&stored), n, 1 << 20, &mut Scratch::default()).unwrap();
        prop_assert_eq!(strings(&vlen), texts.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn random_rows_of_steps(
        steps in prop::collection::vec(prop::sample::select(encode::steps()), 0..4),
        words in prop::collection::vec(any::<u32>(), 1..600),
    ) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        if let Some((codecs, encoded)) = encoded(&steps, &bytes) {
            let chain = v3(&codecs, &[words.len() as u64], &DataType::UInt(4)).unwrap();
            prop_assert_eq!(decode(&chain, &encoded, bytes.len()).unwrap(), bytes);
        }
    }
}
