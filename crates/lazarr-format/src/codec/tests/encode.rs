//! Encoders for the codecs that are decoded here.
#![allow(unsafe_code, reason = "c-blosc's encoder is C")]

use serde_json::{Value, json};

use super::super::checksum::Sum;

pub(super) fn blosc(bytes: &[u8], name: &str, shuffle: i32, type_size: usize) -> Vec<u8> {
    Blosc { name, shuffle, type_size, block: 0, split: false }.encode(bytes)
}

/// How c-blosc writes a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blosc<'a> {
    pub(super) name: &'a str,
    pub(super) shuffle: i32,
    pub(super) type_size: usize,
    /// Bytes of a block; 0 leaves it to c-blosc.
    pub(super) block: usize,
    /// Streams for each place in an item, also with compressors that mostly have one for all.
    pub(super) split: bool,
}

impl Blosc<'_> {
    pub(super) fn encode(self, bytes: &[u8]) -> Vec<u8> {
        /// The way to split is one for the process.
        static SPLIT: std::sync::Mutex<()> = std::sync::Mutex::new(());
        /// c-blosc's numbers of these ways.
        const ALWAYS: i32 = 1;
        const MOSTLY: i32 = 4;

        let name = std::ffi::CString::new(self.name).unwrap();
        let mut out = vec![0; bytes.len() + 16];
        // Always means always, also where no decoder expects it.
        let is_large =
            self.type_size <= 16 && self.block / self.type_size >= 128 && self.block <= bytes.len();
        let _lock = SPLIT.lock().unwrap();
        // SAFETY: sets a number, which is read below, under the lock.
        unsafe { blosc_src::blosc_set_splitmode(if self.split && is_large { ALWAYS } else { MOSTLY }) };
        // SAFETY: both buffers are valid for their lengths and the name ends in a zero.
        let n = unsafe {
            blosc_src::blosc_compress_ctx(
                5,
                self.shuffle,
                self.type_size,
                bytes.len(),
                bytes.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                out.len(),
                name.as_ptr(),
                self.block,
                1,
            )
        };
        assert!(n > 0, "this build of c-blosc has no {name:?}");
        out.truncate(n as usize);
        out
    }
}

/// What c-blosc makes of a frame whose header is sound, where that has this length.
pub(super) fn blosc_decoded(encoded: &[u8], len: usize) -> Option<Vec<u8>> {
    let header = super::super::blosc::Header::read(encoded).ok()?;
    let mut out = vec![0; len];
    if header.decoded != len {
        return None;
    }
    // SAFETY: both buffers are valid for their lengths, which are those of the header.
    let n =
        unsafe { blosc_src::blosc_decompress_ctx(encoded.as_ptr().cast(), out.as_mut_ptr().cast(), len, 1) };
    (n as usize == len).then_some(out)
}

pub(super) fn zstd(bytes: &[u8], checksum: bool, with_size: bool) -> Vec<u8> {
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::ChecksumFlag(checksum)).unwrap();
    context.set_parameter(zstd_safe::CParameter::ContentSizeFlag(with_size)).unwrap();
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut out, bytes).unwrap();
    out
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut out = vec![0; encoder.gzip_compress_bound(bytes.len())];
    let n = encoder.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(n);
    out
}

pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut out = vec![0; encoder.zlib_compress_bound(bytes.len())];
    let n = encoder.zlib_compress(bytes, &mut out).unwrap();
    out.truncate(n);
    out
}

pub(super) fn bz2(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn with_sum(bytes: &[u8], sum: Sum, at_start: bool) -> Vec<u8> {
    let four = sum.of(bytes).to_le_bytes();
    if at_start { [&four, bytes].concat() } else { [bytes, &four].concat() }
}

pub(super) fn vlen(items: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = (items.len() as u32).to_le_bytes().to_vec();
    for item in items {
        out.extend((item.as_ref().len() as u32).to_le_bytes());
        out.extend(item.as_ref());
    }
    out
}

/// Every step that is tested alone and in rows: its v3 metadata.
pub(super) fn steps() -> Vec<Value> {
    let mut all = vec![
        json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}}),
        json!({"name": "zstd", "configuration": {"level": 1, "checksum": true}}),
        json!({"name": "gzip", "configuration": {"level": 1}}),
        json!({"name": "numcodecs.zlib", "configuration": {"level": 1}}),
        json!({"name": "numcodecs.bz2", "configuration": {"level": 1}}),
        json!({"name": "numcodecs.shuffle", "configuration": {"elementsize": 2}}),
        json!({"name": "numcodecs.lz4", "configuration": {"acceleration": 1}}),
        json!({"name": "crc32c"}),
        json!({"name": "numcodecs.crc32c", "configuration": {"location": "start"}}),
        json!({"name": "numcodecs.adler32"}),
        json!({"name": "numcodecs.crc32", "configuration": {}}),
        json!({"name": "numcodecs.fletcher32"}),
    ];
    for cname in ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"] {
        for shuffle in ["noshuffle", "shuffle", "bitshuffle"] {
            all.push(json!({"name": "blosc", "configuration":
                {"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": 4, "blocksize": 0}}));
        }
    }
    all
}

/// What `step` makes of `bytes`; `None` where it cannot take them.
pub(super) fn encode(step: &Value, bytes: &[u8]) -> Option<Vec<u8>> {
    let config = &step["configuration"];
    Some(match step["name"].as_str().unwrap().trim_start_matches("numcodecs.") {
        "zstd" => zstd(bytes, config["checksum"] == true, true),
        "gzip" => gzip(bytes),
        "zlib" => zlib(bytes),
        "bz2" => bz2(bytes),
        "lz4" => ::lz4::block::compress(bytes, None, true).unwrap(),
        "shuffle" => {
            let size = config["elementsize"].as_u64().unwrap() as usize;
            if !bytes.len().is_multiple_of(size) {
                return None;
            }
            (0..size).flat_map(|k| bytes.iter().skip(k).step_by(size).copied()).collect()
        }
        "crc32c" => with_sum(bytes, Sum::Crc32c, config["location"] == "start"),
        "crc32" => with_sum(bytes, Sum::Crc32, true),
        "adler32" => with_sum(bytes, Sum::Adler32, true),
        "fletcher32" => with_sum(bytes, Sum::Fletcher32, false),
        "blosc" => {
            let shuffle = match config["shuffle"].as_str().unwrap() {
                "noshuffle" => 0,
                "shuffle" => 1,
                _ => 2,
            };
            blosc(bytes, config["cname"].as_str().unwrap(), shuffle, 4)
        }
        other => panic!("no encoder for {other}"),
    })
}
