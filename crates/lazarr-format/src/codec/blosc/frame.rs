//! A walk over a blosc frame: only blocks that hold wanted bytes are decoded, and of these no more than is needed.
//!
//! A frame is a header, the places of its blocks, and the blocks. A block is one stream, or one for each place in an item
//! (`split`); a stream is its length and what the compressor made, or the bytes themselves where they are as long. What
//! is not understood here, or fails, is the library's: its answer counts.

use super::super::buffer::{Contexts, sized};
use super::super::part::Wanted;
use super::super::unshuffle::{MOST_PLANES, unshuffle};
use super::super::zstd::Decoder;
use super::super::{lz4, zstd};
use super::{HEADER, Header, bits};

/// A block of less than so many bytes for each place in an item has a single stream.
const LEAST_SPLIT: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compressor {
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Kept,
    Bytes,
    Bits,
}

/// A frame that can be walked.
pub(super) struct Frame<'a> {
    encoded: &'a [u8],
    header: Header,
    compressor: Compressor,
    /// Whether whole blocks have a stream for each place in an item.
    split: bool,
}

impl<'a> Frame<'a> {
    /// `None` where the library has to decode it.
    pub(super) fn new(header: Header, encoded: &'a [u8]) -> Option<Self> {
        let compressor = match header.flags >> 5 {
            1 => Compressor::Lz4,
            4 => Compressor::Zstd,
            _ => return None,
        };
        let Header { type_size, block, decoded, .. } = header;
        let is_new = encoded.get(1) != Some(&1) || header.is_new();
        let blocks = decoded.div_ceil(block.max(1));
        let no_table = blocks > (encoded.len() - HEADER) / 4;
        let is_wide = type_size > MOST_PLANES;
        if is_new || no_table || header.is_stored() || is_wide && header.flags & 0x05 != 0 {
            return None;
        }
        let split = header.flags & 0x10 == 0 && !is_wide && block / type_size >= LEAST_SPLIT;
        // Bytes that no stream holds.
        if split && block % type_size != 0 {
            return None;
        }
        Some(Self { encoded, header, compressor, split })
    }

    /// Whether the library puts bits in order faster than is done here.
    pub(super) fn has_bits(&self) -> bool {
        self.order(self.header.block) == Order::Bits
    }

    fn order(&self, len: usize) -> Order {
        let Header { type_size, flags, .. } = self.header;
        if flags & 0x01 != 0 && type_size > 1 {
            Order::Bytes
        } else if flags & 0x04 != 0 && len >= type_size && (len / type_size).is_multiple_of(8) {
            Order::Bits
        } else {
            Order::Kept
        }
    }

    /// Decodes what is `wanted` into `room`, which is as long as the whole. `None` where that fails.
    pub(super) fn decode(&self, room: &mut [u8], wanted: Wanted<'_>, contexts: &mut Contexts) -> Option<()> {
        let block = self.header.block;
        let (mut first, mut done) = (0, 0);
        while first < wanted.count() {
            let run = wanted.run(first);
            if run.end <= done || run.is_empty() {
                first += 1;
                continue;
            }
            let index = run.start.max(done) / block;
            let start = index * block;
            let end = (start + block).min(room.len());
            // The runs that touch this block, as places in it.
            let runs = (first..wanted.count())
                .map(|i| wanted.run(i))
                .take_while(|run| run.start < end)
                .map(|run| (run.start.max(start) - start, run.end.min(end) - start))
                .filter(|(from, to)| from < to);
            self.block(index, &mut room[start..end], runs, contexts)?;
            done = end;
        }
        Some(())
    }

    /// Decodes the stretches `runs` of one block into `out`, which is as long as the block.
    fn block(
        &self,
        index: usize,
        out: &mut [u8],
        runs: impl Iterator<Item = (usize, usize)> + Clone,
        contexts: &mut Contexts,
    ) -> Option<()> {
        let size = self.header.type_size;
        let table = self.encoded.get(HEADER + 4 * index..)?;
        let mut at = u32::from_le_bytes(*table.first_chunk()?) as usize;
        let order = self.order(out.len());
        let parts = if self.split && out.len() == self.header.block { size } else { 1 };
        let part_len = out.len() / parts;
        let (from, to) = runs.clone().fold((usize::MAX, 0), |(a, b), (from, to)| (a.min(from), b.max(to)));
        let items = out.len() / size;

        if order == Order::Kept {
            for (part, out) in out.chunks_exact_mut(part_len).enumerate() {
                let source = self.stream(&mut at)?;
                let (before, needed) =
                    (from.saturating_sub(part * part_len), to.saturating_sub(part * part_len));
                let needed = needed.min(part_len);
                if before >= needed {
                    continue;
                }
                if source.len() == part_len {
                    out[before..needed].copy_from_slice(&source[before..needed]);
                } else {
                    self.unpack(source, out, needed, contexts)?;
                }
            }
            return Some(());
        }

        // Up to where each plane is needed, in bytes of the plane; bytes that are no item follow the planes.
        let needed = match order {
            Order::Bits if to > 0 => items / 8 * 7 + to.div_ceil(8 * size).min(items / 8),
            _ => to.div_ceil(size).min(items),
        };
        let needed_of = |part| match () {
            () if parts > 1 => needed,
            () if to > items * size => part,
            () => items * (size - 1) + needed,
        };
        let mut buffer = std::mem::take(&mut contexts.block);
        let done = sized(&mut buffer, out.len()).ok().and_then(|block| {
            let mut sources: [&[u8]; MOST_PLANES] = [&[]; MOST_PLANES];
            for (part, source) in block.chunks_exact_mut(part_len).zip(&mut sources) {
                *source = self.stream(&mut at)?;
                if source.len() != part_len {
                    self.unpack(source, part, needed_of(part_len), contexts)?;
                    *source = part;
                }
            }
            let whole = sources[0];
            let mut planes = sources;
            if parts == 1 {
                for (plane, bytes) in planes.iter_mut().zip(whole.chunks_exact(items.max(1)).take(size)) {
                    *plane = bytes;
                }
            }
            let planes = &planes[..size];
            for (from, to) in runs {
                match order {
                    Order::Bits => {
                        bits::unshuffle(planes, from / size / 8..to.div_ceil(8 * size).min(items / 8), out);
                    }
                    _ => unshuffle(planes, (from / size).min(items)..to.div_ceil(size).min(items), out),
                }
            }
            if parts == 1 {
                out[items * size..].copy_from_slice(&whole[items * size..]);
            }
            Some(())
        });
        contexts.block = buffer;
        done
    }

    /// The stream at `at`, which is moved behind it.
    fn stream(&self, at: &mut usize) -> Option<&'a [u8]> {
        let rest = self.encoded.get(*at..)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let stream = rest.get(..u32::from_le_bytes(*len) as usize)?;
        *at += 4 + stream.len();
        Some(stream)
    }

    /// The first `needed` bytes of `out`, which is as long as the whole.
    fn unpack(&self, stream: &[u8], out: &mut [u8], needed: usize, contexts: &mut Contexts) -> Option<()> {
        let done = match self.compressor {
            Compressor::Lz4 => lz4::block::decode_prefix(stream, out, needed),
            Compressor::Zstd => {
                let decoder: &mut Decoder = contexts.zstd().ok()?;
                zstd::decode_prefix(decoder, stream, out, needed)
                    || decoder.decompress(stream, out) == Ok(out.len())
            }
        };
        done.then_some(())
    }
}
