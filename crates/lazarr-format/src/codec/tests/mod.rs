//! Decoding against encoders: round trips, chunks made by numcodecs and zarr-python, damage, hostile headers.

mod damage;
mod encode;
mod golden;
mod hostile;
mod metadata;
mod part;
mod round_trip;

use serde_json::{Value, json};

use super::*;

/// A chain of v3 codecs.
fn v3(codecs: &Value, shape: &[u64], dtype: &DataType) -> Result<Chain> {
    let fill = match dtype.item_size() {
        Some(n) => Fill::Item(vec![0; n]),
        None => Fill::Vlen(vec![]),
    };
    Chain::from_v3(codecs.as_array().unwrap(), ChunkSpec { shape, dtype, fill: &fill })
}

/// A chain of v2 metadata.
fn v2(zarray: &Value, big_endian: bool, shape: &[u64], dtype: &DataType) -> Result<Chain> {
    let fill = match dtype.item_size() {
        Some(n) => Fill::Item(vec![0; n]),
        None => Fill::Vlen(vec![]),
    };
    Chain::from_v2(zarray.as_object().unwrap(), big_endian, ChunkSpec { shape, dtype, fill: &fill })
}

fn decode(chain: &Chain, encoded: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0xAA; len];
    chain.decode_into(encoded, &mut out, &mut Scratch::default())?;
    Ok(out)
}

fn strings(vlen: &Vlen) -> Vec<&[u8]> {
    vlen.offsets.windows(2).map(|w| &vlen.bytes[w[0] as usize..w[1] as usize]).collect()
}

fn little() -> Value {
    json!({"name": "bytes", "configuration": {"endian": "little"}})
}

/// Bytes that compress somewhat and are not all alike.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 12345u32;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 4 == 0 { (state >> 24) as u8 } else { (i / 97) as u8 }
        })
        .collect()
}
