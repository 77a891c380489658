//! Chunks decoded in part, and by the walk over a blosc frame: against the libraries.
#![allow(clippy::single_range_in_vec_init, reason = "one range of items is what is meant")]

use std::ops::Range;

use super::encode::{self, Blosc};
use super::*;

/// Numbers that are the same at each run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// Stretches of `items`, ascending and disjoint: none, a few, or all.
    fn wanted(&mut self, items: usize) -> Vec<Range<usize>> {
        let longest = items / [1, 2, 10, 100][self.below(4)] + 1;
        let (mut out, mut at) = (Vec::new(), self.below(items + 1));
        for _ in 0..self.below(6) {
            let end = (at + self.below(longest + 1)).min(items);
            out.push(at..end);
            at = (end + self.below(longest)).min(items);
        }
        if self.below(8) == 0 { vec![0..items] } else { out }
    }
}

/// Decodes in part, into garbage of two kinds and one scratch; the wanted bytes.
fn part(
    chain: &Chain,
    encoded: &[u8],
    len: usize,
    size: usize,
    wanted: &[Range<usize>],
    scratch: &mut Scratch,
) -> Result<Vec<u8>> {
    let mut run = |garbage: u8| {
        let mut out = vec![garbage; len];
        chain.decode_some(encoded, &mut out, wanted, scratch)?;
        Ok(wanted.iter().flat_map(|r| out[r.start * size..r.end * size].to_vec()).collect::<Vec<u8>>())
    };
    let (first, second) = (run(0xaa), run(0x55));
    match (first, second) {
        (Ok(a), Ok(b)) => {
            assert_eq!(a, b, "what a buffer held before is seen");
            Ok(a)
        }
        (Err(e), Err(_)) => Err(e),
        (a, b) => panic!("once {a:?}, once {b:?}"),
    }
}

fn items(size: usize) -> DataType {
    match size {
        1 | 2 | 4 | 8 => DataType::UInt(size as u8),
        16 => DataType::Complex(16),
        n => DataType::FixedBytes(n),
    }
}

/// `encoded`, whole and in part, against what the library makes of it (`None`: nothing).
fn agrees(
    chain: &Chain,
    encoded: &[u8],
    theirs: Option<&[u8]>,
    (len, size): (usize, usize),
    rng: &mut Rng,
    scratch: &mut Scratch,
) {
    let mut out = vec![0x77; len];
    let whole = chain.decode_into(encoded, &mut out, scratch);
    assert_eq!(whole.is_ok(), theirs.is_some(), "{whole:?}");
    if let Some(theirs) = theirs {
        assert!(out == theirs, "whole");
    }
    let wanted = rng.wanted(len / size);
    match (part(chain, encoded, len, size, &wanted, scratch), theirs) {
        (Ok(ours), Some(theirs)) => {
            let theirs: Vec<u8> =
                wanted.iter().flat_map(|r| theirs[r.start * size..r.end * size].to_vec()).collect();
            assert!(ours == theirs, "{wanted:?} of {len} bytes");
        }
        // What is damaged was not looked at.
        (Ok(_) | Err(_), None) => {}
        (Err(e), Some(_)) => panic!("{e}"),
    }
    assert!(scratch.held_bytes() <= chain.scratch_bytes(len as u64));
}

fn blosc_chain(size: usize, len: usize) -> Chain {
    v3(&json!([little(), "blosc"]), &[(len / size) as u64], &items(size)).unwrap()
}

const NAMES: [&str; 6] = ["lz4", "lz4hc", "zstd", "blosclz", "snappy", "zlib"];

/// Every way to write a frame: the parameters of the encoder.
fn blosc_ways(len: usize) -> Vec<(Blosc<'static>, usize)> {
    let mut all = Vec::new();
    for name in NAMES {
        for shuffle in 0..3 {
            for type_size in [1, 2, 3, 4, 8, 16, 20] {
                for block in [0, 128, 1000, 4096, 1 << 17] {
                    for split in [false, true] {
                        if !(block == 128 || block == 1000) || len < 10_000 {
                            all.push((Blosc { name, shuffle, type_size, block, split }, len));
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn blosc_frames() {
    let mut rng = Rng(1);
    let mut scratch = Scratch::default();
    for len in [1, 7, 240, 4_000, 4_096, 5_280, 70_000, 288_000] {
        let bytes = sample(len);
        for (k, (way, _)) in blosc_ways(len).into_iter().enumerate() {
            // The large ones in turns.
            if len > 10_000 && k % 7 != len / 1000 % 7 {
                continue;
            }
            let encoded = way.encode(&bytes);
            assert_eq!(encode::blosc_decoded(&encoded, len).as_deref(), Some(&bytes[..]));
            let size = [1, 2, 3, 4, 8, 16].into_iter().filter(|s| len % s == 0).nth(k % 4).unwrap_or(1);
            let chain = blosc_chain(size, len);
            agrees(&chain, &encoded, Some(&bytes), (len, size), &mut rng, &mut scratch);
        }
    }
}

#[test]
fn damaged_blosc_frames() {
    let mut rng = Rng(2);
    let mut scratch = Scratch::default();
    for len in [240, 1_200, 9_000] {
        let bytes = sample(len);
        for (way, _) in blosc_ways(len) {
            let encoded = way.encode(&bytes);
            for _ in 0..6 {
                let mut damaged = encoded.clone();
                for _ in 0..=rng.below(3) {
                    let near = [damaged.len(), 64][rng.below(2)].min(damaged.len());
                    damaged[rng.below(near)] ^= 1 << rng.below(8);
                }
                if rng.below(4) == 0 {
                    damaged.truncate(16 + rng.below(damaged.len() - 15));
                    let n = damaged.len() as u32;
                    damaged[12..16].copy_from_slice(&n.to_le_bytes());
                }
                let theirs = encode::blosc_decoded(&damaged, len);
                let chain = blosc_chain(1, len);
                agrees(&chain, &damaged, theirs.as_deref(), (len, 1), &mut rng, &mut scratch);
            }
        }
    }
}

#[test]
fn the_first_bytes_of_lz4_blocks() {
    use super::super::lz4::block::{decode, decode_prefix};
    let mut rng = Rng(5);
    for len in [1, 15, 16, 17, 100, 4_000, 65_536, 200_000] {
        // Runs, repeated words of every short length, noise.
        let mut bytes = sample(len);
        let mut at = 0;
        while at < len {
            let (offset, run) = (1 + rng.below(40), rng.below(300));
            for i in at.max(offset)..(at + run).min(len) {
                bytes[i] = bytes[i - offset];
            }
            at += run + rng.below(60);
        }
        let block = ::lz4::block::compress(&bytes, None, false).unwrap();
        for round in 0..300 {
            let needed = if round < 40 { len.saturating_sub(round) } else { rng.below(len + 1) };
            let mut out = vec![0xaa; len];
            assert!(decode_prefix(&block, &mut out, needed), "{needed} of {len}");
            assert!(out[..needed] == bytes[..needed], "{needed} of {len}");
            // Damage ends, in an error or in bytes, within the buffer.
            let mut damaged = block.clone();
            let near = damaged.len();
            damaged[rng.below(near)] ^= 1 << rng.below(8);
            if rng.below(3) == 0 {
                damaged.truncate(rng.below(near));
            }
            let mut whole = vec![0; len];
            if decode(&damaged, &mut whole) {
                assert!(decode_prefix(&damaged, &mut out, needed), "{needed} of {len}");
                assert!(out[..needed] == whole[..needed], "{needed} of {len}");
            } else {
                decode_prefix(&damaged, &mut out, needed);
            }
        }
    }
}

#[test]
fn zstd_frames() {
    let mut rng = Rng(3);
    let mut scratch = Scratch::default();
    for len in [4, 4_000, 131_072, 400_000] {
        let bytes = sample(len);
        let chain = v3(&json!([little(), "zstd"]), &[len as u64 / 4], &DataType::Int(4)).unwrap();
        for (checksum, with_size) in [(false, true), (true, true), (false, false), (true, false)] {
            let one = encode::zstd(&bytes, checksum, with_size);
            let (front, back) = bytes.split_at(len / 8 * 4);
            let two =
                [encode::zstd(front, checksum, with_size), encode::zstd(back, checksum, with_size)].concat();
            for encoded in [one, two] {
                for _ in 0..10 {
                    agrees(&chain, &encoded, Some(&bytes), (len, 4), &mut rng, &mut scratch);
                }
                for _ in 0..30 {
                    let mut damaged = encoded.clone();
                    let near = [damaged.len(), 20][rng.below(2)].min(damaged.len());
                    damaged[rng.below(near)] ^= 1 << rng.below(8);
                    if rng.below(4) == 0 {
                        damaged.truncate(rng.below(damaged.len()));
                    }
                    let mut room = vec![0; len];
                    // zstd before 0.8 and other lengths are refused here, not by the library.
                    let theirs = match zstd_safe::decompress(&mut room[..], &damaged) {
                        Ok(n) if n == len => {
                            chain.decode_into(&damaged, &mut vec![0; len], &mut scratch).ok()
                        }
                        _ => None,
                    };
                    let theirs = theirs.map(|()| &room[..]);
                    agrees(&chain, &damaged, theirs, (len, 4), &mut rng, &mut scratch);
                }
            }
        }
    }
}

#[test]
fn a_checksum_is_never_skipped() {
    // The metadata says that there is none; the frame has one.
    let bytes = sample(600_000);
    let mut encoded = encode::zstd(&bytes, true, true);
    let last = encoded.len() - 1;
    encoded[last] ^= 1;
    let chain = v3(&json!([little(), "zstd"]), &[150_000], &DataType::Int(4)).unwrap();
    let e = part(&chain, &encoded, 600_000, 4, &[0..10], &mut Scratch::default()).unwrap_err();
    assert_eq!(e.code(), Code::ChunkChecksum, "{e}");
    // Around what is decoded in part.
    for inner in ["zstd", "blosc"] {
        let step = if inner == "zstd" {
            encode::zstd(&bytes, false, true)
        } else {
            encode::blosc(&bytes, "lz4", 1, 4)
        };
        let mut encoded = encode::with_sum(&step, super::super::checksum::Sum::Crc32c, false);
        let chain = v3(&json!([little(), inner, "crc32c"]), &[150_000], &DataType::Int(4)).unwrap();
        let some = part(&chain, &encoded, 600_000, 4, &[7..10], &mut Scratch::default()).unwrap();
        assert_eq!(some, bytes[28..40]);
        let place = encoded.len() - 10;
        encoded[place] ^= 1;
        let e = part(&chain, &encoded, 600_000, 4, &[7..10], &mut Scratch::default()).unwrap_err();
        assert_eq!(e.code(), Code::ChunkChecksum, "{e}");
    }
}

#[test]
fn every_chain_in_part() {
    let mut rng = Rng(4);
    let mut scratch = Scratch::default();
    let bytes = sample(6_000);
    let mut swapped = bytes.clone();
    swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    let big = json!({"name": "bytes", "configuration": {"endian": "big"}});
    for first in [None].into_iter().chain(encode::steps().into_iter().map(Some)) {
        for second in [None, Some(json!("crc32c")), Some(json!("zstd"))] {
            let steps: Vec<Value> = first.iter().chain(&second).cloned().collect();
            let Some(encoded) =
                steps.iter().try_fold(bytes.clone(), |b, step| encode::encode(&named(step), &b))
            else {
                continue;
            };
            for (bytes_codec, expected) in [(little(), &bytes), (big.clone(), &swapped)] {
                let codecs = Value::Array([vec![bytes_codec], steps.clone()].concat());
                let chain = v3(&codecs, &[1_500], &DataType::Int(4)).unwrap();
                for _ in 0..4 {
                    agrees(&chain, &encoded, Some(expected), (6_000, 4), &mut rng, &mut scratch);
                }
                assert!(
                    part(&chain, &encoded[..encoded.len() - 1], 6_000, 4, &[0..1], &mut scratch).is_err()
                );
            }
        }
    }
}

/// A step as an object.
fn named(step: &Value) -> Value {
    if step.is_string() { json!({"name": step, "configuration": {}}) } else { step.clone() }
}

#[test]
fn wanted_beyond_the_chunk_is_no_panic() {
    let bytes = sample(4_000);
    let chain = v3(&json!([little(), "blosc"]), &[1_000], &DataType::Int(4)).unwrap();
    let encoded = encode::blosc(&bytes, "lz4", 1, 4);
    for wanted in
        [vec![900..2_000], vec![5_000..usize::MAX], vec![usize::MAX - 1..usize::MAX], vec![10..20, 15..18]]
    {
        let mut out = vec![0; 4_000];
        chain.decode_some(&encoded, &mut out, &wanted, &mut Scratch::default()).unwrap();
    }
}
