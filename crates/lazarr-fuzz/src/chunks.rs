//! Chunks of items of a fixed size, behind each hot codec.

use lazarr_format::codec::{Chain, ChunkSpec, Scratch};
use lazarr_format::{DataType, Fill};
use serde_json::{Value, json};

use crate::feed::Feed;

/// The most bytes that a chunk decodes to here.
const MOST: usize = 1 << 16;

const UINT8: DataType = DataType::UInt(1);

fn v3(codec: Value, shape: &[u64], dtype: &DataType) -> Chain {
    let fill = Fill::Item(vec![0; dtype.item_size().unwrap()]);
    let codecs = [json!({"name": "bytes", "configuration": {"endian": "little"}}), codec];
    Chain::from_v3(&codecs, ChunkSpec { shape, dtype, fill: &fill }).unwrap()
}

fn v2(compressor: &Value, shape: &[u64]) -> Chain {
    let fill = Fill::Item(vec![0]);
    let map = json!({"compressor": compressor, "filters": null, "order": "C"});
    Chain::from_v2(map.as_object().unwrap(), false, ChunkSpec { shape, dtype: &UINT8, fill: &fill }).unwrap()
}

/// Decodes into a buffer that held something else, twice: the second time with what the first left behind. Both must
/// agree; bytes after the chunk must stay as they are.
fn decode(chain: &Chain, encoded: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut scratch = Scratch::default();
    let mut run = |garbage: u8| {
        let mut out = vec![garbage; len + 8];
        let (inside, guard) = out.split_at_mut(len);
        let result = chain.decode_into(encoded, inside, &mut scratch);
        assert_eq!(guard, [garbage; 8]);
        out.truncate(len);
        result.is_ok().then_some(out)
    };
    let (first, second) = (run(0xaa), run(0x55));
    assert_eq!(first, second, "what a buffer held before is seen");
    assert!(scratch.held_bytes() <= chain.scratch_bytes(len as u64) + 64, "{}", scratch.held_bytes());
    first
}

/// Decodes some stretches of a chunk of bytes: what comes out is what the whole has there, and nothing else is written to.
fn in_part(chain: &Chain, encoded: &[u8], len: usize, whole: Option<&[u8]>) {
    // Places that differ from input to input, and are the same at each run.
    let mut state = encoded.iter().fold(len as u64, |n, &b| n.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b));
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let mut scratch = Scratch::default();
    for _ in 0..3 {
        let (mut wanted, mut at) = (Vec::new(), below(len));
        for _ in 0..=below(3) {
            let longest = [4, len][below(2)];
            let end = (at + below(longest + 1)).min(len);
            wanted.push(at..end);
            at = (end + below(len)).min(len);
        }
        let mut out = vec![0x5a; len + 8];
        let (inside, guard) = out.split_at_mut(len);
        if chain.decode_some(encoded, inside, &wanted, &mut scratch).is_ok()
            && let Some(whole) = whole
        {
            for range in &wanted {
                assert_eq!(inside[range.clone()], whole[range.clone()], "{wanted:?} of {len}");
            }
        } else {
            assert!(whole.is_none(), "a part fails where the whole decodes");
        }
        assert_eq!(guard, [0x5a; 8]);
    }
}

/// By the first bytes the length of the chunk; then what is stored. Against the library, where it decodes too.
fn against(
    data: &[u8],
    chain: impl Fn(&[u64]) -> Chain,
    library: impl Fn(&[u8], &mut [u8]) -> Option<usize>,
) {
    let mut feed = Feed(data);
    let len = usize::from(feed.word()).max(1);
    let ours = decode(&chain(&[len as u64]), feed.0, len);
    in_part(&chain(&[len as u64]), feed.0, len, ours.as_deref());
    let mut room = vec![0; MOST + 1];
    let theirs = library(feed.0, &mut room).map(|n| &room[..n]);
    if let (Some(ours), Some(theirs)) = (&ours, theirs) {
        assert_eq!(ours, theirs, "not what the library decodes");
    }
    // Another length is never filled up, nor cut.
    if let (Some(_), Some(theirs)) = (&ours, theirs) {
        assert_eq!(theirs.len(), len);
        assert!(decode(&chain(&[len as u64 + 1]), feed.0, len + 1).is_none());
    }
}

/// zstd, against libzstd's decoder of whole frames.
pub fn codec_zstd(data: &[u8]) {
    let chain = |shape: &[u64]| {
        v3(json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}}), shape, &UINT8)
    };
    against(data, chain, |encoded, room| zstd_safe::decompress(room, encoded).ok());
}

/// gzip, against libdeflate. It decodes the first member alone; where there are more, only the length is compared.
pub fn codec_gzip(data: &[u8]) {
    let chain = |shape: &[u64]| v3(json!({"name": "gzip", "configuration": {"level": 1}}), shape, &UINT8);
    against(data, chain, |encoded, room| {
        let members = encoded.windows(3).filter(|w| w == b"\x1f\x8b\x08").count();
        if members > 1 {
            return None;
        }
        libdeflater::Decompressor::new().gzip_decompress(encoded, room).ok()
    });
}

/// zlib, against libdeflate.
pub fn codec_zlib(data: &[u8]) {
    against(
        data,
        |shape| v2(&json!({"id": "zlib", "level": 1}), shape),
        |encoded, room| libdeflater::Decompressor::new().zlib_decompress(encoded, room).ok(),
    );
}

/// numcodecs' lz4: four bytes of length, one block.
pub fn codec_lz4(data: &[u8]) {
    against(
        data,
        |shape| v2(&json!({"id": "lz4", "acceleration": 1}), shape),
        |encoded, room| {
            let (size, block) = encoded.split_first_chunk::<4>()?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
            let n = lz4::block::decompress_to_buffer(block, Some(size as i32), room.get_mut(..size)?).ok()?;
            (n == size).then_some(n)
        },
    );
}

/// A crc32c behind the items.
pub fn codec_crc32c(data: &[u8]) {
    let mut mended = data.to_vec();
    if data.first().is_some_and(|b| b & 1 == 1) && data.len() > 6 {
        // A right checksum, so that lengths are seen.
        let body = mended.len() - 4;
        let sum = crc32c::crc32c(&mended[2..body]);
        mended[body..].copy_from_slice(&sum.to_le_bytes());
    }
    let chain = |shape: &[u64]| v3(json!({"name": "crc32c"}), shape, &UINT8);
    against(&mended, chain, |encoded, room| {
        let (body, sum) = encoded.split_last_chunk::<4>()?;
        let room = room.get_mut(..body.len())?;
        room.copy_from_slice(body);
        (crc32c::crc32c(body) == u32::from_le_bytes(*sum)).then_some(body.len())
    });
}

/// blosc, of v2 (which has no types) and of v3, against c-blosc.
pub fn codec_blosc(data: &[u8]) {
    let mut feed = Feed(data);
    let (flags, len) = (feed.byte(), usize::from(feed.word()).max(1));
    let shape = [len as u64];
    let chain = if flags & 1 == 0 {
        v2(&json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}), &shape)
    } else {
        let configuration =
            json!({"cname": "zstd", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0});
        v3(json!({"name": "blosc", "configuration": configuration}), &shape, &UINT8)
    };
    let ours = decode(&chain, feed.0, len);
    in_part(&chain, feed.0, len, ours.as_deref());
    if let Some(theirs) = crate::blosc::decoded(feed.0, len) {
        assert!(ours.as_ref().is_some_and(|ours| *ours == theirs), "not what the library decodes");
    }
    let Some(out) = ours else { return };
    let number = |at: usize| u32::from_le_bytes(feed.0[at..at + 4].try_into().unwrap()) as usize;
    assert!(feed.0.len() >= 16, "a chunk without a header");
    assert_eq!(number(4), len, "the length of the header");
    // Stored as it is: bit 1 of the flags.
    if feed.0[2] & 2 != 0 {
        assert_eq!(out, feed.0[16..16 + len]);
    }
}

/// Items alone: of every width, in both byte orders.
pub fn codec_bytes(data: &[u8]) {
    let mut feed = Feed(data);
    let (flags, items) = (feed.byte(), u64::from(feed.byte()) + 1);
    let dtype = match flags & 7 {
        0 => DataType::Bool,
        1 => UINT8,
        2 => DataType::Int(2),
        3 => DataType::Float(4),
        4 => DataType::Float(8),
        5 => DataType::Complex(8),
        6 => DataType::UInt(8),
        _ => DataType::FixedUtf32(3),
    };
    let size = dtype.item_size().unwrap();
    let big = flags & 8 != 0;
    let fill = Fill::Item(vec![0; size]);
    let codecs = [json!({"name": "bytes", "configuration": {"endian": if big { "big" } else { "little" }}})];
    let Ok(chain) = Chain::from_v3(&codecs, ChunkSpec { shape: &[items], dtype: &dtype, fill: &fill }) else {
        return;
    };
    let out = decode(&chain, feed.0, size * items as usize);
    assert_eq!(out.is_some(), feed.0.len() == size * items as usize);
    let Some(out) = out else { return };
    let mut expected = feed.0.to_vec();
    if big != cfg!(target_endian = "big") {
        for item in expected.chunks_exact_mut(size) {
            for (offset, width) in dtype.swap_units() {
                item[offset..offset + width].reverse();
            }
        }
    }
    assert_eq!(out, expected);
}

/// Items in another order of axes.
pub fn codec_transpose(data: &[u8]) {
    let mut feed = Feed(data);
    let rank = usize::from(feed.byte() % 4) + 1;
    let mut order: Vec<usize> = (0..rank).collect();
    let shape: Vec<u64> = (0..rank).map(|_| u64::from(feed.byte() % 6) + 1).collect();
    for k in (1..rank).rev() {
        order.swap(k, usize::from(feed.byte()) % (k + 1));
    }
    let fill = Fill::Item(vec![0; 2]);
    let codecs = [
        json!({"name": "transpose", "configuration": {"order": order}}),
        json!({"name": "bytes", "configuration": {"endian": "little"}}),
    ];
    let dtype = DataType::Int(2);
    let chain = Chain::from_v3(&codecs, ChunkSpec { shape: &shape, dtype: &dtype, fill: &fill }).unwrap();
    let len = 2 * shape.iter().product::<u64>() as usize;
    let stored = feed.0;
    let Some(out) = decode(&chain, stored, len) else {
        assert_ne!(stored.len(), len);
        return;
    };
    // Item by item: axis k of what is stored is axis order[k] of the array.
    let mut at = vec![0u64; rank];
    for item in out.chunks_exact(2) {
        let place = order.iter().fold(0, |n, &axis| n * shape[axis] + at[axis]) as usize;
        assert_eq!(item, &stored[2 * place..2 * place + 2], "{at:?} of {shape:?} in {order:?}");
        for k in (0..rank).rev() {
            at[k] += 1;
            if at[k] < shape[k] {
                break;
            }
            at[k] = 0;
        }
    }
}
