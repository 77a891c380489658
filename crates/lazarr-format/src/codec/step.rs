//! The codecs that turn bytes into bytes, and running a row of them.

use std::ops::Range;

use serde_json::{Map, Value};

use super::buffer::{Contexts, sized};
use super::checksum::Sum;
use super::part::Wanted;
use super::{Room, blosc, bz2, lz4, shuffle, wrong_length, zstd};
use crate::{Code, Error, Result};

/// A codec of bytes to bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Blosc,
    Zstd {
        checksum: bool,
    },
    Gzip,
    Zlib,
    Bz2,
    Lz4,
    /// The bytes of items of this size, sorted by their place in the item.
    Shuffle(usize),
    /// Four bytes before (`at_start`) or after the rest.
    Checksum {
        sum: Sum,
        at_start: bool,
    },
}

/// How far a decoder came in the room it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All is decoded, into this many bytes at the start of the room.
    Done(usize),
    /// There is more than fits.
    Full,
}

/// Below this, a buffer is as large as a header says; above, as what was really there makes likely.
const SMALL: usize = 64 << 10;
/// How often larger than its encoded bytes a chunk is taken to be before it has proved to be larger.
const LIKELY_RATIO: usize = 32;

impl Step {
    /// The codec of this name, `None` where it is none of these. `config` is v3's configuration, or the whole of v2's
    /// object.
    pub(super) fn parse(name: &str, config: &Map<String, Value>) -> Result<Option<Self>> {
        let name = name.strip_prefix("numcodecs.").unwrap_or(name);
        let checksum = |sum, default_start| {
            let at_start = match config.get("location") {
                None | Some(Value::Null) => default_start,
                Some(v) if v == "start" => true,
                Some(v) if v == "end" => false,
                Some(v) => return Err(bad_config(name, "location", "\"start\" or \"end\"", v)),
            };
            Ok(Self::Checksum { sum, at_start })
        };
        Ok(Some(match name {
            "blosc" => Self::Blosc,
            "zstd" => Self::Zstd { checksum: config.get("checksum") == Some(&Value::Bool(true)) },
            "gzip" => Self::Gzip,
            "zlib" => Self::Zlib,
            "bz2" => Self::Bz2,
            "lz4" => Self::Lz4,
            "shuffle" => match config.get("elementsize").map_or(Some(4), Value::as_u64) {
                Some(n @ 1..=0xff_ffff) => Self::Shuffle(n as usize),
                _ => {
                    return Err(bad_config(
                        name,
                        "elementsize",
                        "a small positive number",
                        &config["elementsize"],
                    ));
                }
            },
            "crc32c" => checksum(Sum::Crc32c, false)?,
            "crc32" => checksum(Sum::Crc32, true)?,
            "adler32" => checksum(Sum::Adler32, true)?,
            "fletcher32" => Self::Checksum { sum: Sum::Fletcher32, at_start: false },
            _ => return Ok(None),
        }))
    }

    /// As a person would name it.
    pub(super) fn label(name: &str, config: &Map<String, Value>) -> String {
        let name = name.strip_prefix("numcodecs.").unwrap_or(name);
        match config.get("cname").and_then(Value::as_str) {
            Some(cname) if name == "blosc" => format!("blosc({cname})"),
            _ => name.to_owned(),
        }
    }

    /// Whether it notices changed bytes.
    pub(super) fn validates(&self) -> bool {
        matches!(
            self,
            Self::Zstd { checksum: true } | Self::Gzip | Self::Zlib | Self::Bz2 | Self::Checksum { .. }
        )
    }

    /// No encoder makes more than this of `decoded` bytes.
    pub(super) fn max_encoded(&self, decoded: usize) -> usize {
        match self {
            Self::Checksum { .. } => decoded.saturating_add(4),
            Self::Shuffle(_) => decoded,
            Self::Blosc => decoded.saturating_add(16),
            // Generous to encoders that cut their input into small blocks or frames.
            Self::Zstd { .. } | Self::Gzip | Self::Zlib | Self::Bz2 | Self::Lz4 => {
                decoded.saturating_add(decoded / 8).saturating_add(4096)
            }
        }
    }

    /// The decoded size that the encoded bytes claim, where they claim one.
    fn claimed(&self, encoded: &[u8]) -> Result<Option<u64>> {
        match self {
            Self::Blosc => Ok(Some(blosc::Header::read(encoded)?.decoded as u64)),
            Self::Zstd { .. } => zstd::claimed(encoded),
            Self::Lz4 => Ok(Some(lz4::split(encoded)?.0 as u64)),
            Self::Shuffle(_) => Ok(Some(encoded.len() as u64)),
            Self::Gzip | Self::Zlib | Self::Bz2 | Self::Checksum { .. } => Ok(None),
        }
    }

    fn decode(&self, encoded: &[u8], room: &mut [u8], contexts: &mut Contexts) -> Result<Progress> {
        match self {
            Self::Blosc => blosc::decode(encoded, room, contexts),
            Self::Zstd { .. } => zstd::decode(contexts.zstd()?, encoded, room),
            Self::Gzip => contexts.inflate()?.gzip(encoded, room),
            Self::Zlib => contexts.inflate()?.zlib(encoded, room),
            Self::Bz2 => bz2::decode(encoded, room),
            Self::Lz4 => lz4::decode(encoded, room),
            Self::Shuffle(size) => shuffle::decode(*size, encoded, room),
            Self::Checksum { sum, at_start } => {
                let inner = &encoded[sum.check(encoded, *at_start)?];
                Ok(match room.get_mut(..inner.len()) {
                    Some(room) => {
                        room.copy_from_slice(inner);
                        Progress::Done(inner.len())
                    }
                    None => Progress::Full,
                })
            }
        }
    }

    /// Decodes into `out`, which must be filled to its last byte.
    fn decode_exactly(&self, encoded: &[u8], out: &mut [u8], contexts: &mut Contexts) -> Result<()> {
        if let Some(claimed) = self.claimed(encoded)?
            && claimed != out.len() as u64
        {
            return Err(wrong_length(out.len(), claimed));
        }
        match self.decode(encoded, out, contexts)? {
            Progress::Done(n) if n == out.len() => Ok(()),
            Progress::Done(n) => Err(wrong_length(out.len(), n)),
            Progress::Full => Err(wrong_length(out.len(), format_args!("more than {}", out.len()))),
        }
    }

    /// As [`Step::decode_exactly`], but only what is `wanted` must come out right.
    fn decode_wanted(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: Wanted<'_>,
        contexts: &mut Contexts,
    ) -> Result<()> {
        match self {
            Self::Blosc => {
                let header = blosc::Header::read(encoded)?;
                if header.decoded != out.len() {
                    return Err(wrong_length(out.len(), header.decoded));
                }
                blosc::decode_some(header, encoded, out, wanted, contexts)
            }
            Self::Zstd { .. } if self.claimed(encoded)? == Some(out.len() as u64) => {
                if zstd::decode_prefix(contexts.zstd()?, encoded, out, wanted.end()) {
                    return Ok(());
                }
                self.decode_exactly(encoded, out, contexts)
            }
            Self::Checksum { sum, at_start } => {
                copy_wanted(&encoded[sum.check(encoded, *at_start)?], out, wanted)
            }
            _ => self.decode_exactly(encoded, out, contexts),
        }
    }

    /// Decodes what has an unknown size of at most `limit` into `buffer`; returns its length.
    fn decode_growing(
        &self,
        encoded: &[u8],
        buffer: &mut Vec<u8>,
        limit: usize,
        contexts: &mut Contexts,
        reserve: Room<'_>,
    ) -> Result<usize> {
        let too_large = |found: &dyn std::fmt::Display| wrong_length(format_args!("at most {limit}"), found);
        let limit = match self.claimed(encoded)? {
            Some(claimed) if claimed > limit as u64 => return Err(too_large(&claimed)),
            Some(claimed) => claimed as usize,
            None => limit,
        };
        let mut room = limit.min(SMALL.max(encoded.len().saturating_mul(LIKELY_RATIO)));
        loop {
            reserve(room.saturating_sub(buffer.len()) as u64)?;
            match self.decode(encoded, sized(buffer, room)?, contexts)? {
                Progress::Done(n) => return Ok(n),
                Progress::Full if room >= limit => return Err(too_large(&"more")),
                Progress::Full => room = limit.min(room.saturating_mul(4)),
            }
        }
    }
}

fn bad_config(codec: &str, field: &str, expected: &str, found: &Value) -> Error {
    Error::new(Code::MetadataField, format!("`{field}` of the codec `{codec}` makes no sense"))
        .expected(expected)
        .found(found.to_string())
}

/// Undoes `steps`, the last of them first; where that writes to a buffer, no more than `limit` bytes, and `reserve` is
/// asked before the buffer grows. Nothing is copied
/// where nothing has to be. `front` and `back` take turns in holding what stands between two steps.
pub(super) fn unpack<'a>(
    steps: &[Step],
    encoded: &'a [u8],
    limit: usize,
    front: &'a mut Vec<u8>,
    back: &mut Vec<u8>,
    contexts: &mut Contexts,
    reserve: Room<'_>,
) -> Result<&'a [u8]> {
    let mut range: Range<usize> = 0..encoded.len();
    let mut in_buffer = false;
    for (i, step) in steps.iter().enumerate().rev() {
        let source = if in_buffer { &front[range.clone()] } else { &encoded[range.clone()] };
        if let Step::Checksum { sum, at_start } = step {
            let inner = sum.check(source, *at_start)?;
            range = range.start + inner.start..range.start + inner.end;
        } else {
            let limit = steps[..i].iter().fold(limit, |n, inner| inner.max_encoded(n));
            let n = step.decode_growing(source, back, limit, contexts, reserve)?;
            std::mem::swap(front, back);
            in_buffer = true;
            range = 0..n;
        }
    }
    Ok(if in_buffer { &front[range] } else { &encoded[range] })
}

/// Undoes `steps` into `out`, which must be filled to its last byte, or where it is `wanted`; the innermost step writes there
/// directly.
pub(super) fn unpack_into(
    steps: &[Step],
    encoded: &[u8],
    out: &mut [u8],
    wanted: Option<Wanted<'_>>,
    front: &mut Vec<u8>,
    back: &mut Vec<u8>,
    contexts: &mut Contexts,
) -> Result<()> {
    if let Some((inner, outer)) = steps.split_first() {
        // Within `scratch_bytes`, which the caller knows.
        let limit = inner.max_encoded(out.len());
        let source = unpack(outer, encoded, limit, front, back, contexts, &mut |_| Ok(()))?;
        return match wanted {
            Some(wanted) => inner.decode_wanted(source, out, wanted, contexts),
            None => inner.decode_exactly(source, out, contexts),
        };
    }
    match wanted {
        Some(wanted) => copy_wanted(encoded, out, wanted),
        None if encoded.len() == out.len() => {
            out.copy_from_slice(encoded);
            Ok(())
        }
        None => Err(wrong_length(out.len(), encoded.len())),
    }
}

fn copy_wanted(encoded: &[u8], out: &mut [u8], wanted: Wanted<'_>) -> Result<()> {
    if encoded.len() != out.len() {
        return Err(wrong_length(out.len(), encoded.len()));
    }
    wanted.runs().for_each(|run| out[run.clone()].copy_from_slice(&encoded[run]));
    Ok(())
}
