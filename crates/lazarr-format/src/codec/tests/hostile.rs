//! Headers that claim what is not there.

use super::*;

fn ints(codec: Value, items: u64) -> Chain {
    v3(&Value::Array(vec![little(), codec]), &[items], &DataType::Int(4)).unwrap()
}

fn blosc_header(flags: u8, type_size: u8, decoded: u32, block: u32, encoded: u32) -> Vec<u8> {
    let mut header = vec![2, 1, flags, type_size];
    for word in [decoded, block, encoded] {
        header.extend(word.to_le_bytes());
    }
    header
}

#[test]
fn blosc_headers() {
    let chain = ints(json!("blosc"), 100);
    let strings = v3(&json!(["vlen-utf8", "blosc"]), &[3], &DataType::String).unwrap();
    for flags in [0x01, 0x02, 0x04, 0x08, 0x10, 0x21, 0x31, 0x61, 0x91, 0xe0] {
        for type_size in [0, 1, 4, 255] {
            for decoded in [0, 1, 399, 400, 401, u32::MAX, i32::MAX as u32, 1 << 31] {
                for block in [0, 1, 7, 400, 401, u32::MAX, i32::MAX as u32] {
                    for claimed in [0, 16, 64, u32::MAX] {
                        let mut chunk = blosc_header(flags, type_size, decoded, block, claimed);
                        chunk.resize(64, 0xff);
                        assert!(decode(&chain, &chunk, 400).is_err());
                        assert!(strings.decode_vlen(&chunk, 3, 1000, &mut Scratch::default()).is_err());
                    }
                }
            }
        }
    }
}

#[test]
fn a_match_that_would_overflow_blosclz() {
    // One block, one split: a match whose length is a row of 255s that adds up past 2^31.
    let row = 9 << 20;
    let mut chunk = blosc_header(0x11, 1, 64, 64, 0);
    chunk.extend(20u32.to_le_bytes());
    chunk.extend((row as u32 + 10).to_le_bytes());
    chunk.extend([0x00, 0x41, 0xe0]);
    chunk.resize(chunk.len() + row, 0xff);
    chunk.extend([0; 7]);
    let len = chunk.len() as u32;
    chunk[12..16].copy_from_slice(&len.to_le_bytes());
    let e = decode(&ints(json!("blosc"), 16), &chunk, 64).unwrap_err();
    assert_eq!(e.code(), Code::ChunkDecode, "{e}");
}

#[test]
fn zstd_that_claims_the_world() {
    let strings = v3(&json!(["vlen-utf8", "zstd"]), &[3], &DataType::String).unwrap();
    for size in [0u64, 1, 401, 1 << 40, u64::MAX] {
        // A frame with an eight-byte content size and one raw block that ends it.
        let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xE0];
        frame.extend(size.to_le_bytes());
        frame.extend([0x21, 0, 0, 1, 2, 3, 4]);
        assert!(decode(&ints(json!("zstd"), 100), &frame, 400).is_err());
        assert!(strings.decode_vlen(&frame, 3, 1 << 20, &mut Scratch::default()).is_err());
    }
    // The formats of before zstd 0.8.
    for version in 0x1E..=0x27 {
        assert!(decode(&ints(json!("zstd"), 1), &[version, 0xB5, 0x2F, 0xFD, 1, 2, 3, 4], 4).is_err());
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 50 << 20];
    let strings = |codec: &str| v3(&json!(["vlen-utf8", codec]), &[3], &DataType::String).unwrap();
    for (codec, bomb) in [
        ("zstd", encode::zstd(&zeros, false, true)),
        ("zstd", encode::zstd(&zeros, false, false)),
        ("gzip", encode::gzip(&zeros)),
        ("zlib", encode::zlib(&zeros)),
        ("bz2", encode::bz2(&zeros)),
        ("blosc", encode::blosc(&zeros, "zstd", 0, 1)),
    ] {
        let mut scratch = Scratch::default();
        let e = strings(codec).decode_vlen(&bomb, 3, 100_000, &mut scratch).unwrap_err();
        assert_eq!(e.code(), Code::ChunkLength, "{codec}: {e}");
        assert_eq!(e.expected_found().0, Some("at most 100000 bytes"), "{codec}");
        assert_eq!(
            decode(&ints(json!(codec), 100), &bomb, 400).unwrap_err().code(),
            Code::ChunkLength,
            "{codec}"
        );
        // Inside of another codec the bound is what the chunk could take.
        let chain = v3(&json!([little(), "gzip", codec]), &[100], &DataType::Int(4)).unwrap();
        let mut out = vec![0; 400];
        assert_eq!(
            chain.decode_into(&bomb, &mut out, &mut scratch).unwrap_err().code(),
            Code::ChunkLength,
            "{codec}"
        );
        assert!(scratch.held_bytes() < 300_000, "{codec}");
    }
}

#[test]
fn vlen_that_lies() {
    let chain = v3(&json!(["vlen-utf8"]), &[2], &DataType::String).unwrap();
    let decode = |bytes: &[u8], items| chain.decode_vlen(bytes, items, 1000, &mut Scratch::default());
    let good = encode::vlen(&["ab", "c"]);
    assert_eq!(strings(&decode(&good, 2).unwrap()), [&b"ab"[..], b"c"]);
    for end in 0..good.len() {
        assert!(decode(&good[..end], 2).is_err());
    }
    assert_eq!(decode(&[&good[..], &[0]].concat(), 2).unwrap_err().code(), Code::ChunkLength);
    let mut long = good.clone();
    long[4] = 0xff;
    assert_eq!(decode(&long, 2).unwrap_err().code(), Code::StringData);
    // A count that no buffer can hold, agreed by the shape.
    assert_eq!(decode(&[0xff; 8], u32::MAX as usize).unwrap_err().code(), Code::ChunkLength);
    assert_eq!(decode(&good, usize::MAX).unwrap_err().code(), Code::ChunkLength);
    // Halves of a character are valid together, not each.
    let halves = encode::vlen(&[&[0xC3][..], &[0xA9]]);
    let e = decode(&halves, 2).unwrap_err();
    assert_eq!(e.code(), Code::StringData);
    assert!(e.message().contains("item 0"), "{e}");
    let e = decode(&encode::vlen(&[&b"ok"[..], b"\xff"]), 2).unwrap_err();
    assert!(e.message().contains("item 1"), "{e}");
    let raw = v3(&json!(["vlen-bytes"]), &[2], &DataType::Bytes).unwrap();
    assert!(raw.decode_vlen(&halves, 2, 1000, &mut Scratch::default()).is_ok());
}
