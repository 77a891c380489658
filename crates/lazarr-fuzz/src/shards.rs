//! The index of a shard.

use lazarr_format::ArrayMeta;
use lazarr_format::metadata::{Limits, array_v3, parse_json};
use lazarr_format::shard::ShardIndex;
use serde_json::json;

use crate::feed::Feed;

/// An array of shards of so many inner chunks.
fn array(entries: u64, at_start: bool, checksum: bool, big_endian: bool) -> ArrayMeta {
    let endian = if big_endian { "big" } else { "little" };
    let bytes = json!({"name": "bytes", "configuration": {"endian": endian}});
    let index_codecs = if checksum { json!([bytes, {"name": "crc32c"}]) } else { json!([bytes]) };
    let document = json!({
        "zarr_format": 3, "node_type": "array", "shape": [entries], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [entries]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1], "codecs": [{"name": "bytes"}], "index_codecs": index_codecs,
            "index_location": if at_start { "start" } else { "end" }}}],
    });
    let limits = Limits::default();
    let map = parse_json(document.to_string().as_bytes(), "zarr.json", &limits).unwrap();
    array_v3("a", &map, &limits).unwrap()
}

/// By the first bytes the layout and the length of the shard; then the index.
pub fn shard_index(data: &[u8]) {
    let mut feed = Feed(data);
    let flags = feed.byte();
    let entries = u64::from(feed.byte() % 40) + 1;
    let size = (flags & 8 != 0).then(|| u64::from(feed.word()));
    let array = array(entries, flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    let index_bytes = array.shard_index_bytes();
    let mut bytes = feed.0.to_vec();
    if flags & 16 != 0 {
        // A right length and a right checksum, so that what is behind them is seen.
        bytes.resize(16 * entries as usize, 0xff);
        if flags & 2 != 0 {
            let sum = crc32c::crc32c(&bytes);
            bytes.extend(sum.to_le_bytes());
        }
    }
    let Ok(index) = ShardIndex::parse(&bytes, &array, size) else { return };
    assert_eq!((bytes.len() as u64, index.len()), (index_bytes, entries));
    assert!(index.memory_bytes() <= bytes.len() + 256);
    for i in 0..entries {
        let Ok(Some(range)) = index.get(i) else { continue };
        assert!(range.start <= range.end);
        let Some(size) = size else { continue };
        // In the shard, and not in its index.
        let data = if flags & 1 != 0 { index_bytes..size } else { 0..size - index_bytes };
        assert!(data.start <= range.start && range.end <= data.end, "{range:?} of {data:?}");
    }
    assert!(index.get(entries).is_err() && index.get(u64::MAX).is_err());
}
