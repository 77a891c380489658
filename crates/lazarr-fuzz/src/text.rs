//! Chunks of strings.

use lazarr_format::codec::{Chain, ChunkSpec, Scratch};
use lazarr_format::{DataType, Fill};
use serde_json::{Value, json};

use crate::feed::Feed;

/// By the first bytes the codec, the number of items and the most bytes; then the chunk.
pub fn vlen_utf8(data: &[u8]) {
    let mut feed = Feed(data);
    let flags = feed.byte();
    let (utf8, packed) = (flags & 1 == 0, flags & 2 != 0);
    let items = u64::from(feed.byte() % 64) + 1;
    let most = u64::from(feed.word());
    let (dtype, name) = if utf8 { (DataType::String, "vlen-utf8") } else { (DataType::Bytes, "vlen-bytes") };
    let mut codecs = vec![json!({"name": name})];
    if packed {
        codecs.push(json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}}));
    }
    let fill = Fill::Vlen(Vec::new());
    let chain = chain(&codecs, &ChunkSpec { shape: &[items], dtype: &dtype, fill: &fill });
    let mut scratch = Scratch::default();
    let first = chain.decode_vlen(feed.0, items as usize, most, &mut scratch);
    assert!(scratch.held_bytes() <= chain.scratch_bytes(most) + 64, "{}", scratch.held_bytes());
    let again = chain.decode_vlen(feed.0, items as usize, most, &mut scratch);
    let Ok(vlen) = first else {
        assert!(again.is_err());
        return;
    };
    let again = again.unwrap();
    assert_eq!((&vlen.offsets, &vlen.bytes), (&again.offsets, &again.bytes));
    assert_eq!(vlen.offsets.len() as u64, items + 1);
    assert_eq!((vlen.offsets[0], *vlen.offsets.last().unwrap()), (0, vlen.bytes.len() as u64));
    assert!(vlen.offsets.windows(2).all(|w| w[0] <= w[1]));
    assert!(4 + 4 * items + vlen.bytes.len() as u64 <= most);
    let item = |w: &[u64]| vlen.bytes[w[0] as usize..w[1] as usize].to_vec();
    let all: Vec<Vec<u8>> = vlen.offsets.windows(2).map(item).collect();
    if utf8 {
        assert!(all.iter().all(|item| std::str::from_utf8(item).is_ok()));
    }
    if !packed {
        // What was decoded is what was stored, to the byte.
        let mut stored = (items as u32).to_le_bytes().to_vec();
        for item in &all {
            stored.extend((item.len() as u32).to_le_bytes());
            stored.extend(item);
        }
        assert_eq!(stored, feed.0);
    }
}

fn chain(codecs: &[Value], spec: &ChunkSpec<'_>) -> Chain {
    Chain::from_v3(codecs, *spec).unwrap()
}
