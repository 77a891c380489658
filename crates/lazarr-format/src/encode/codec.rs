//! Items of a chunk → its stored bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blosc;
use crate::{Code, Error, Result};

/// What blosc does to the bytes of items before it compresses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// Nothing.
    None,
    /// Bytes are sorted by their place in the item.
    Bytes,
    /// So are bits.
    Bits,
}

/// How chunks are compressed. As text: `none`, `zstd`, `zstd:9`, `gzip:5`, `lz4` (blosc's, bytes shuffled), `blosc-zstd:5`,
/// `blosc-lz4+bitshuffle`, `blosc-lz4hc:9+noshuffle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Compressor {
    /// Not at all.
    None,
    /// zstd.
    Zstd {
        /// 1 to 22.
        level: u8,
    },
    /// gzip.
    Gzip {
        /// 1 to 9.
        level: u8,
    },
    /// c-blosc's frame around another compressor.
    Blosc {
        /// `blosclz`, `lz4`, `lz4hc`, `snappy`, `zlib`, `zstd`.
        name: String,
        /// 0 to 9.
        level: u8,
        /// What happens before.
        shuffle: Shuffle,
    },
}

const BLOSC: [&str; 6] = ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"];

impl FromStr for Compressor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(Code::Layout, "the codec of the layout is not understood")
                .expected("none, zstd, gzip, lz4, or blosc-NAME, with a level and a shuffle: zstd:9, blosc-zstd:5+bitshuffle")
                .found(format!("`{text}`"))
        };
        let (rest, shuffle) = text.split_once('+').map_or((text, None), |(a, b)| (a, Some(b)));
        let (name, level) = rest.split_once(':').map_or((rest, None), |(a, b)| (a, Some(b)));
        let level = level.map(|l| l.parse::<u8>().map_err(|_| bad())).transpose()?;
        let within = |default: u8, range: std::ops::RangeInclusive<u8>| {
            let level = level.unwrap_or(default);
            if range.contains(&level) { Ok(level) } else { Err(bad()) }
        };
        let blosc = if name == "lz4" { Some("lz4") } else { name.strip_prefix("blosc-") };
        if let Some(name) = blosc {
            let name = BLOSC.into_iter().find(|n| *n == name).ok_or_else(bad)?;
            let shuffle = match shuffle {
                None | Some("shuffle") => Shuffle::Bytes,
                Some("bitshuffle") => Shuffle::Bits,
                Some("noshuffle") => Shuffle::None,
                Some(_) => return Err(bad()),
            };
            return Ok(Self::Blosc { name: name.to_owned(), level: within(5, 0..=9)?, shuffle });
        }
        match (name, shuffle) {
            ("none", None) if level.is_none() => Ok(Self::None),
            ("zstd", None) => Ok(Self::Zstd { level: within(3, 1..=22)? }),
            ("gzip", None) => Ok(Self::Gzip { level: within(5, 1..=9)? }),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Compressor {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Compressor> for String {
    fn from(compressor: Compressor) -> Self {
        compressor.to_string()
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
            Self::Gzip { level } => write!(f, "gzip:{level}"),
            Self::Blosc { name, level, shuffle } => {
                let shuffle = match shuffle {
                    Shuffle::None => "+noshuffle",
                    Shuffle::Bytes => "",
                    Shuffle::Bits => "+bitshuffle",
                };
                write!(f, "blosc-{name}:{level}{shuffle}")
            }
        }
    }
}

/// The codecs of an inner chunk, behind the one that makes bytes of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codecs {
    /// How they are compressed.
    pub compressor: Compressor,
    /// Whether changed bytes are noticed: by the compressor's own checksum where it has one, else by crc32c.
    pub checksum: bool,
}

impl Codecs {
    fn crc(&self) -> bool {
        self.checksum && !matches!(self.compressor, Compressor::Zstd { .. } | Compressor::Gzip { .. })
    }

    /// As Zarr v3 lists them. `item` is the size of an item, 1 where it varies.
    pub fn v3(&self, item: usize) -> Vec<Value> {
        let mut out = Vec::new();
        match &self.compressor {
            Compressor::None => {}
            Compressor::Zstd { level } => out
                .push(json!({"name": "zstd", "configuration": {"level": level, "checksum": self.checksum}})),
            Compressor::Gzip { level } => {
                out.push(json!({"name": "gzip", "configuration": {"level": level}}));
            }
            Compressor::Blosc { name, level, shuffle } => {
                let shuffle = match shuffle {
                    Shuffle::None => "noshuffle",
                    Shuffle::Bytes => "shuffle",
                    Shuffle::Bits => "bitshuffle",
                };
                out.push(json!({"name": "blosc", "configuration": {
                    "cname": name, "clevel": level, "shuffle": shuffle, "typesize": type_size(item), "blocksize": 0,
                }}));
            }
        }
        if self.crc() {
            out.push(json!({"name": "crc32c"}));
        }
        out
    }

    /// The compressor as Zarr v2 names it (`numcodecs`), and the filters that stand before it. A checksum is zstd's own
    /// alone: crc32c needs another package to be read there.
    pub fn v2(&self) -> Value {
        match &self.compressor {
            Compressor::None => Value::Null,
            Compressor::Zstd { level } => json!({"id": "zstd", "level": level, "checksum": self.checksum}),
            Compressor::Gzip { level } => json!({"id": "gzip", "level": level}),
            Compressor::Blosc { name, level, shuffle } => {
                let shuffle = *shuffle as u8;
                json!({"id": "blosc", "cname": name, "clevel": level, "shuffle": shuffle, "blocksize": 0})
            }
        }
    }
}

fn type_size(item: usize) -> usize {
    if (1..=255).contains(&item) { item } else { 1 }
}

/// Encodes chunks; keeps its contexts from chunk to chunk. One for each thread.
pub struct Encoder {
    codecs: Codecs,
    crc: bool,
    item: usize,
    zstd: Option<zstd_safe::CCtx<'static>>,
    gzip: Option<libdeflater::Compressor>,
}

impl Encoder {
    /// For chunks of items of this size (1 where it varies), of an array of this version of Zarr.
    pub fn new(codecs: &Codecs, item: usize, zarr_format: u8) -> Self {
        Self { codecs: codecs.clone(), crc: codecs.crc() && zarr_format == 3, item, zstd: None, gzip: None }
    }

    /// The stored bytes of a chunk, whose items are these in C order and little-endian.
    ///
    /// Errors: `Layout` where a codec cannot take so many bytes.
    pub fn encode(&mut self, raw: &[u8]) -> Result<Vec<u8>> {
        let fails = |codec: &str, why: &str| {
            Error::new(Code::Layout, format!("{codec} cannot encode a chunk of {} bytes: {why}", raw.len()))
                .help("Use smaller chunks, or another codec")
        };
        let mut out = match &self.codecs.compressor {
            Compressor::None => raw.to_vec(),
            Compressor::Zstd { level } => {
                let context = match &mut self.zstd {
                    Some(context) => context,
                    none => {
                        let mut context = zstd_safe::CCtx::try_create()
                            .ok_or_else(|| Error::new(Code::OutOfMemory, "zstd has no memory"))?;
                        let sum = zstd_safe::CParameter::ChecksumFlag(self.codecs.checksum);
                        let level = zstd_safe::CParameter::CompressionLevel(i32::from(*level));
                        for parameter in [sum, level] {
                            context
                                .set_parameter(parameter)
                                .map_err(|e| fails("zstd", zstd_safe::get_error_name(e)))?;
                        }
                        none.insert(context)
                    }
                };
                let mut out = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
                context.compress2(&mut out, raw).map_err(|e| fails("zstd", zstd_safe::get_error_name(e)))?;
                out
            }
            Compressor::Gzip { level } => {
                let compressor = self.gzip.get_or_insert_with(|| {
                    libdeflater::Compressor::new(
                        libdeflater::CompressionLvl::new(i32::from(*level)).unwrap_or_default(),
                    )
                });
                let mut out = vec![0; compressor.gzip_compress_bound(raw.len())];
                let n =
                    compressor.gzip_compress(raw, &mut out).map_err(|e| fails("gzip", &format!("{e:?}")))?;
                out.truncate(n);
                out
            }
            Compressor::Blosc { name, level, shuffle } => {
                let name = match name.as_str() {
                    "blosclz" => c"blosclz",
                    "lz4" => c"lz4",
                    "lz4hc" => c"lz4hc",
                    "snappy" => c"snappy",
                    "zlib" => c"zlib",
                    _ => c"zstd",
                };
                blosc::compress(raw, name, *level, *shuffle as u8, type_size(self.item))
                    .ok_or_else(|| fails("blosc", "it takes less than 2 GiB"))?
            }
        };
        if self.crc {
            let sum = crc32c::crc32c(&out);
            out.extend_from_slice(&sum.to_le_bytes());
        }
        Ok(out)
    }
}
