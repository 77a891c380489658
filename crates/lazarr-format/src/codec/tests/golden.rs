//! Chunks that numcodecs and zarr-python wrote: `golden.jsonl` holds the metadata and the bytes. The items are
//! `arange(24).reshape(2, 3, 4) * 1000 - 7` as int32 (or float64), or six strings.

use super::*;

const TEXTS: [&str; 6] = ["", "a", "héé", "日本語", "xxxxx", "end"];

struct Golden {
    name: String,
    chain: Chain,
    dtype: DataType,
    bytes: Vec<u8>,
    /// What numcodecs itself decodes floats to.
    decoded: Vec<u8>,
}

fn goldens() -> Vec<Golden> {
    let parse = |line: &str| {
        let golden: Value = serde_json::from_str(line).unwrap();
        let hex = |field: &str| -> Vec<u8> {
            let hex = golden[field].as_str().unwrap_or_default();
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        };
        let (bytes, decoded) = (hex("hex"), hex("decoded"));
        let (name, metadata) = (golden["name"].as_str().unwrap().to_owned(), &golden["metadata"]);
        let (dtype, big) = if golden["format"] == 2 {
            match metadata["dtype"].as_str().unwrap() {
                "|O" if name.contains("bytes") => (DataType::Bytes, false),
                "|O" => (DataType::String, false),
                text => DataType::from_numpy_str(text).unwrap(),
            }
        } else {
            let dtype = match metadata["data_type"].as_str().unwrap() {
                "string" => DataType::String,
                "bool" => DataType::Bool,
                "float64" => DataType::Float(8),
                _ => DataType::Int(4),
            };
            (dtype, false)
        };
        let shape: &[u64] = match name.as_str() {
            "vlen-utf8-f" => &[2, 3],
            "vlen-bytes-zlib" => &[3],
            _ if dtype.is_vlen() => &[6],
            _ => &[2, 3, 4],
        };
        let chain = if golden["format"] == 2 {
            v2(metadata, big, shape, &dtype)
        } else {
            v3(&metadata["codecs"], shape, &dtype)
        };
        Golden { chain: chain.unwrap_or_else(|e| panic!("{name}: {e}")), name, dtype, bytes, decoded }
    };
    include_str!("golden.jsonl").lines().map(parse).collect()
}

#[test]
fn chunks_of_numcodecs_and_zarr_python_decode() {
    let values: Vec<i32> = (0..24).map(|i| i * 1000 - 7).collect();
    let goldens = goldens();
    assert!(goldens.len() > 50);
    let mut scratch = Scratch::default();
    for Golden { name, chain, dtype, bytes, decoded } in goldens {
        if dtype.is_vlen() {
            let items = if name == "vlen-bytes-zlib" { 3 } else { 6 };
            let vlen = chain
                .decode_vlen(&bytes, items, 1000, &mut scratch)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let texts: Vec<&[u8]> = TEXTS.iter().map(|t| t.as_bytes()).collect();
            let expected = if items == 3 { vec![&b""[..], b"\xff\x00", b"abc"] } else { texts };
            assert_eq!(strings(&vlen), expected, "{name}");
            continue;
        }
        let mut out = vec![0xAA; 24 * dtype.item_size().unwrap()];
        chain.decode_into(&bytes, &mut out, &mut scratch).unwrap_or_else(|e| panic!("{name}: {e}"));
        match dtype {
            DataType::Bool => {
                assert!(out.iter().enumerate().all(|(i, &b)| b == u8::from((i * 1000) % 3 == 1)), "{name}");
            }
            DataType::Float(8) => assert_eq!(out, decoded, "{name}"),
            _ => {
                let found: Vec<i32> = out.as_chunks::<4>().0.iter().map(|w| i32::from_ne_bytes(*w)).collect();
                assert_eq!(found, values, "{name}");
            }
        }
    }
}

#[test]
fn every_golden_chunk_survives_damage() {
    let mut scratch = Scratch::default();
    for Golden { name, chain, dtype, bytes, .. } in goldens() {
        let mut decode = |bytes: &[u8]| {
            if let Some(n) = dtype.item_size() {
                let mut out = vec![0; 24 * n];
                return chain.decode_into(bytes, &mut out, &mut scratch).map(|()| out);
            }
            let items = if name == "vlen-bytes-zlib" { 3 } else { 6 };
            chain.decode_vlen(bytes, items, 1000, &mut scratch).map(|v| v.bytes)
        };
        let whole = decode(&bytes).unwrap();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{name}: cut to {end} of {} bytes", bytes.len());
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                if let Ok(found) = decode(&damaged)
                    && chain.validates()
                {
                    assert_eq!(found, whole, "{name}: bit {bit} of byte {place}");
                }
            }
        }
    }
}
