//! From metadata to a plan of decoding, and decoding by it.

use std::ops::Range;

use serde_json::{Map, Value};

use super::filter::{Filter, plain};
use super::part::Wanted;
use super::rare::Rare;
use super::step::{Step, unpack, unpack_into};
use super::swap::Swap;
use super::transpose::Transpose;
use super::{ChunkSpec, Room, Scratch, Vlen, buffer, vlen, wrong_length};
use crate::{Code, Error, Result};

/// A chain of codecs, taken apart: bytes-to-bytes steps at the encoded end, and how what remains becomes items.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of encoding.
    steps: Vec<Step>,
    items: Items,
    pub(super) name: String,
}

#[derive(Debug)]
enum Items {
    /// Items one after the other.
    Fixed { size: usize, swap: Swap, transpose: Option<Transpose> },
    /// Numbers that went through a filter, in their stored order of axes: `swap` is that of the stored type, `size` that
    /// of the items.
    Filtered { filter: Filter, size: usize, swap: Swap, transpose: Option<Transpose> },
    /// Lengths and items.
    Vlen { utf8: bool, transpose: Option<Transpose> },
    /// Something that zarrs decodes.
    Rare(Box<Rare>),
}

/// One codec of a list: its name and its configuration (v3), or its id and the whole of its object (v2).
#[derive(Clone, Copy)]
struct Named<'a> {
    name: &'a str,
    config: &'a Map<String, Value>,
    json: &'a Value,
}

impl Plan {
    pub(super) fn from_v3(codecs: &[Value], spec: ChunkSpec<'_>) -> Result<Self> {
        let empty = Map::new();
        let list = codecs.iter().map(|json| Named::v3(json, &empty)).collect::<Result<Vec<_>>>()?;
        let (head, steps, mut labels) = peel(&list)?;
        // zarrs would sort them, and decode without the limits of the steps.
        for codec in head.split_last().map_or(&[][..], |(_, before)| before) {
            if Step::parse(codec.name, codec.config)?.is_some() {
                return Err(Error::new(Code::MetadataField, "the codecs are in an order that cannot be")
                    .expected("codecs of arrays, one that makes bytes, codecs of bytes")
                    .found(format!("`{}`, which takes bytes, before there are any", codec.name)));
            }
        }
        // `bitround` has done its work when the chunk was written.
        let mut head_labels = Vec::new();
        let mut hot: Vec<_> = head.iter().filter(|c| !is_bitround(c.name)).copied().collect();
        let last = hot.pop().ok_or_else(|| {
            Error::new(Code::MetadataField, "`codecs` has none that turns an array into bytes")
                .help("Every list of codecs names one, mostly `bytes`")
        })?;
        let at = hot.iter().rposition(|c| Filter::is(c.name)).filter(|_| last.name == "bytes");
        let named = at.map(|at| hot.remove(at));
        let filter = named.map(|c| Filter::new(c.name, c.config, spec.dtype)).transpose()?;
        if filter.as_ref().is_some_and(|f| at != Some(hot.len()) && !f.is_elementwise()) {
            return Err(Error::new(Code::CodecUnknown, "`delta` before another filter cannot be decoded"));
        }
        let is_hot = matches!(last.name, "bytes" | "endian" | "vlen-utf8" | "vlen-bytes")
            && hot.iter().all(|c| c.name == "transpose");
        let items = if is_hot {
            let mut order: Vec<usize> = (0..spec.shape.len()).collect();
            for codec in &hot {
                let next = transpose_order(codec, spec.shape.len())?;
                order = next.into_iter().map(|axis| order[axis]).collect();
            }
            let transpose = Transpose::new(spec.shape, &order)?;
            if transpose.is_some() {
                head_labels.push("transpose".to_owned());
            }
            match last.name {
                "bytes" | "endian" => {
                    let stored =
                        ChunkSpec { dtype: filter.as_ref().map_or(spec.dtype, |f| &f.stored), ..spec };
                    let items = fixed(stored, is_big_endian(&last, stored)?, transpose)?;
                    filtered(filter, named, items, spec, &mut head_labels)
                }
                name => variable(spec, name, transpose)?,
            }
        } else {
            head_labels
                .extend(head.iter().filter(|c| c.name != "bytes").map(|c| Step::label(c.name, c.config)));
            let json: Vec<&Value> = head.iter().map(|c| c.json).collect();
            Items::Rare(Box::new(Rare::from_v3(&json, spec)?))
        };
        head_labels.append(&mut labels);
        Ok(Self { steps, items, name: name_of(&head_labels) })
    }

    pub(super) fn from_v2(
        zarray: &Map<String, Value>,
        big_endian: bool,
        spec: ChunkSpec<'_>,
    ) -> Result<Self> {
        let filters = match zarray.get("filters") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(other) => return Err(field("filters", "a list or null", other)),
        };
        let compressor = match zarray.get("compressor") {
            None | Some(Value::Null) => None,
            Some(json) => Some(json),
        };
        let order_f = match zarray.get("order") {
            None | Some(Value::Null) => false,
            Some(Value::String(order)) if order == "C" => false,
            Some(Value::String(order)) if order == "F" => true,
            Some(other) => return Err(field("order", "\"C\" or \"F\"", other)),
        };
        let list = filters.iter().chain(compressor).map(Named::v2).collect::<Result<Vec<_>>>()?;
        let (head, steps, mut labels) = peel(&list)?;
        let hot: Vec<_> = head.iter().filter(|c| !is_bitround(c.name)).collect();
        let transpose = || {
            let order: Vec<usize> = (0..spec.shape.len()).rev().collect();
            if order_f { Transpose::new(spec.shape, &order) } else { Ok(None) }
        };
        let mut head_labels = Vec::new();
        let items = match hot[..] {
            [] if spec.dtype.is_vlen() => {
                return Err(Error::new(
                    Code::MetadataField,
                    "an array of objects needs a filter that says how they are stored",
                )
                .expected("`filters` with vlen-utf8 or vlen-bytes")
                .found(zarray.get("filters").unwrap_or(&Value::Null).to_string()));
            }
            [] => fixed(spec, big_endian, transpose()?)?,
            [codec] if Filter::is(codec.name) => {
                let filter = Filter::new(codec.name, codec.config, spec.dtype)?;
                let items =
                    fixed(ChunkSpec { dtype: &filter.stored, ..spec }, filter.big_endian, transpose()?)?;
                filtered(Some(filter), Some(*codec), items, spec, &mut head_labels)
            }
            [codec] if matches!(codec.name, "vlen-utf8" | "vlen-bytes") => {
                variable(spec, codec.name, transpose()?)?
            }
            _ => {
                head_labels.extend(head.iter().map(|c| Step::label(c.name, c.config)));
                let n = head.len().min(filters.len());
                let compressor = compressor.filter(|_| head.len() > filters.len());
                Items::Rare(Box::new(Rare::from_v2(&filters[..n], compressor, order_f, big_endian, spec)?))
            }
        };
        if order_f && !matches!(items, Items::Rare(_)) && transpose()?.is_some() {
            head_labels.push("order F".to_owned());
        }
        head_labels.append(&mut labels);
        Ok(Self { steps, items, name: name_of(&head_labels) })
    }

    pub(super) fn decode_into(&self, encoded: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        let Scratch { front, back, plane, contexts } = scratch;
        match &self.items {
            Items::Fixed { swap, transpose: None, .. } => {
                unpack_into(&self.steps, encoded, out, None, front, back, contexts)?;
                swap.apply(out);
                Ok(())
            }
            Items::Fixed { size, swap, transpose: Some(transpose) } => {
                if self.steps.is_empty() && encoded.len() == out.len() {
                    transpose.apply(encoded, out, *size)?;
                } else {
                    let plane = buffer::sized(plane, out.len())?;
                    unpack_into(&self.steps, encoded, plane, None, front, back, contexts)?;
                    transpose.apply(plane, out, *size)?;
                }
                swap.apply(out);
                Ok(())
            }
            Items::Filtered { filter, size, swap, transpose } => {
                let plane = buffer::sized(plane, filter.stored_len(out.len()))?;
                unpack_into(&self.steps, encoded, plane, None, front, back, contexts)?;
                swap.apply(plane);
                match transpose {
                    Some(transpose) => {
                        let stored = buffer::sized(front, out.len())?;
                        filter.apply(plane, stored);
                        transpose.apply(stored, out, *size)?;
                    }
                    None => filter.apply(plane, out),
                }
                Ok(())
            }
            Items::Rare(rare) => {
                let limit = rare.max_encoded(out.len());
                let chunk = unpack(&self.steps, encoded, limit, front, back, contexts, &mut |_| Ok(()))?;
                rare.decode_into(chunk, out)
            }
            Items::Vlen { .. } => {
                Err(Error::new(Code::Internal, "a chunk of variable-length items has no fixed size"))
            }
        }
    }

    pub(super) fn decode_some(
        &self,
        encoded: &[u8],
        out: &mut [u8],
        wanted: &[Range<usize>],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Items::Fixed { size, swap, transpose: None } = &self.items else {
            return self.decode_into(encoded, out, scratch);
        };
        let Scratch { front, back, contexts, .. } = scratch;
        let wanted = Wanted::new(wanted, *size, out.len());
        unpack_into(&self.steps, encoded, out, Some(wanted), front, back, contexts)?;
        if *swap != Swap::Not {
            wanted.runs().for_each(|run| swap.apply(&mut out[run]));
        }
        Ok(())
    }

    pub(super) fn decode_vlen(
        &self,
        encoded: &[u8],
        items: usize,
        max_bytes: u64,
        scratch: &mut Scratch,
        reserve: Room<'_>,
    ) -> Result<Vlen> {
        let Scratch { front, back, contexts, .. } = scratch;
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        match &self.items {
            Items::Vlen { utf8, transpose } => {
                let chunk = unpack(&self.steps, encoded, limit, front, back, contexts, reserve)?;
                if chunk.len() > limit {
                    return Err(wrong_length(format_args!("at most {limit}"), chunk.len()));
                }
                let vlen = vlen::parse(chunk, items, *utf8, reserve)?;
                if transpose.is_some() {
                    reserve(vlen.bytes.len() as u64 + 24 * vlen.offsets.len() as u64)?;
                }
                match transpose {
                    Some(transpose) => transpose.apply_vlen(&vlen),
                    None => Ok(vlen),
                }
            }
            Items::Rare(rare) => {
                let chunk = unpack(&self.steps, encoded, limit, front, back, contexts, reserve)?;
                // zarrs' result, its offsets, and the copy of both.
                reserve((items as u64).saturating_add(1).saturating_mul(24) + 2 * chunk.len() as u64)?;
                let vlen = rare.decode_vlen(chunk, items)?;
                if vlen.bytes.len() > limit {
                    return Err(wrong_length(format_args!("at most {limit}"), vlen.bytes.len()));
                }
                Ok(vlen)
            }
            Items::Fixed { .. } | Items::Filtered { .. } => {
                Err(Error::new(Code::Internal, "a chunk of fixed-size items is not variable"))
            }
        }
    }

    pub(super) fn scratch_bytes(&self, decoded: u64) -> u64 {
        /// Contexts of zstd and libdeflate, and what c-blosc adds to its two blocks.
        const CONTEXTS: u64 = 256 << 10;
        let bound = |steps: &[Step], n: u64| {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            steps.iter().fold(n, |n, step| step.max_encoded(n)) as u64
        };
        let mut total = 0u64;
        // What one step writes, the next one reads: at most two buffers at a time, each as large as its largest use.
        let buffers = match &self.items {
            Items::Fixed { .. } | Items::Filtered { .. } => self.steps.len().saturating_sub(1).min(2) as u64,
            Items::Vlen { .. } | Items::Rare(_) => self.steps.len().min(2) as u64,
        };
        let inner = match &self.items {
            Items::Rare(rare) => {
                total = total.saturating_add(rare.scratch_bytes(decoded));
                rare.max_encoded(usize::try_from(decoded).unwrap_or(usize::MAX)) as u64
            }
            Items::Fixed { transpose: Some(_), .. } => {
                total = total.saturating_add(decoded);
                decoded
            }
            Items::Filtered { filter, .. } => {
                let stored = filter.stored_len(usize::try_from(decoded).unwrap_or(usize::MAX)) as u64;
                total = total.saturating_add(stored).saturating_add(decoded);
                stored
            }
            // The items before they are put in order, and the order.
            Items::Vlen { transpose: Some(t), .. } => {
                total = total.saturating_add(decoded).saturating_add(24 * (t.len() as u64 + 1));
                decoded
            }
            _ => decoded,
        };
        if !self.steps.is_empty() {
            total = total.saturating_add(CONTEXTS);
        }
        // c-blosc works on one block at a time, beside its shuffled form; a block may be the whole chunk.
        if self.steps.contains(&Step::Blosc) {
            total = total.saturating_add(bound(&self.steps, inner).saturating_mul(2));
        }
        // bzip2's tables for blocks of 900 kB.
        if self.steps.contains(&Step::Bz2) {
            total = total.saturating_add(4 << 20);
        }
        total.saturating_add(bound(&self.steps, inner).saturating_mul(buffers))
    }

    pub(super) fn is_plain_copy(&self) -> bool {
        self.steps.is_empty() && matches!(&self.items, Items::Fixed { swap: Swap::Not, transpose: None, .. })
    }

    pub(super) fn suits_any_shape(&self) -> bool {
        match &self.items {
            Items::Fixed { transpose, .. }
            | Items::Filtered { transpose, .. }
            | Items::Vlen { transpose, .. } => transpose.is_none(),
            Items::Rare(_) => false,
        }
    }

    pub(super) fn validates(&self) -> bool {
        self.steps.iter().any(Step::validates)
    }
}

impl<'a> Named<'a> {
    /// A name alone, or an object of a name and a configuration.
    fn v3(json: &'a Value, empty: &'a Map<String, Value>) -> Result<Self> {
        let wrong = || field("codecs", "names, or objects with a `name` and a `configuration`", json);
        let (name, config) = match json {
            Value::String(name) => (name.as_str(), empty),
            Value::Object(object) => {
                let name = object.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
                match object.get("configuration") {
                    None | Some(Value::Null) => (name, empty),
                    Some(Value::Object(config)) => (name, config),
                    Some(_) => return Err(wrong()),
                }
            }
            _ => return Err(wrong()),
        };
        Ok(Self { name, config, json })
    }

    fn v2(json: &'a Value) -> Result<Self> {
        let wrong = || field("filters` or `compressor", "objects with an `id`", json);
        let config = json.as_object().ok_or_else(wrong)?;
        let name = config.get("id").and_then(Value::as_str).ok_or_else(wrong)?;
        Ok(Self { name, config, json })
    }
}

/// Splits off the bytes-to-bytes codecs at the encoded end that are decoded here, with their labels.
fn peel<'l, 'a>(list: &'l [Named<'a>]) -> Result<(&'l [Named<'a>], Vec<Step>, Vec<String>)> {
    let mut head = list;
    let (mut steps, mut labels) = (Vec::new(), Vec::new());
    while let Some((last, rest)) = head.split_last()
        && let Some(step) = Step::parse(last.name, last.config)?
    {
        steps.push(step);
        labels.push(Step::label(last.name, last.config));
        head = rest;
    }
    steps.reverse();
    labels.reverse();
    Ok((head, steps, labels))
}

fn is_bitround(name: &str) -> bool {
    matches!(name, "bitround" | "numcodecs.bitround")
}

/// `items` of the stored type behind a filter.
fn filtered(
    filter: Option<Filter>,
    named: Option<Named<'_>>,
    items: Items,
    spec: ChunkSpec<'_>,
    labels: &mut Vec<String>,
) -> Items {
    match (filter, named, items, spec.dtype.item_size()) {
        (Some(filter), Some(named), Items::Fixed { swap, transpose, .. }, Some(size)) => {
            labels.push(plain(named.name).to_owned());
            Items::Filtered { filter, size, swap, transpose }
        }
        (_, _, items, _) => items,
    }
}

fn name_of(labels: &[String]) -> String {
    if labels.is_empty() { "none".to_owned() } else { labels.join("+") }
}

fn fixed(spec: ChunkSpec<'_>, big_endian: bool, transpose: Option<Transpose>) -> Result<Items> {
    let Some(size) = spec.dtype.item_size() else {
        return Err(Error::new(
            Code::MetadataField,
            format!("`bytes` cannot store items of type {}", spec.dtype),
        )
        .help("Variable-length items need vlen-utf8 or vlen-bytes"));
    };
    // Results are native, whatever the machine is.
    let swapped = big_endian != cfg!(target_endian = "big");
    let swap = if swapped { Swap::new(size, spec.dtype.swap_units()) } else { Swap::Not };
    Ok(Items::Fixed { size, swap, transpose })
}

fn variable(spec: ChunkSpec<'_>, codec: &str, transpose: Option<Transpose>) -> Result<Items> {
    if !spec.dtype.is_vlen() {
        return Err(Error::new(
            Code::MetadataField,
            format!("`{codec}` cannot store items of type {}", spec.dtype),
        ));
    }
    Ok(Items::Vlen { utf8: *spec.dtype == crate::DataType::String, transpose })
}

/// `endian` of the codec `bytes`, which types of one byte may leave out.
fn is_big_endian(codec: &Named<'_>, spec: ChunkSpec<'_>) -> Result<bool> {
    match codec.config.get("endian") {
        Some(Value::String(endian)) if endian == "little" => Ok(false),
        Some(Value::String(endian)) if endian == "big" => Ok(true),
        None | Some(Value::Null) if spec.dtype.swap_units().is_empty() => Ok(cfg!(target_endian = "big")),
        found => Err(field("endian", "\"little\" or \"big\"", found.unwrap_or(&Value::Null))),
    }
}

/// `order` of the codec `transpose`: every axis once.
fn transpose_order(codec: &Named<'_>, rank: usize) -> Result<Vec<usize>> {
    let found = codec.config.get("order").unwrap_or(&Value::Null);
    let wrong = || field("order", &format!("a permutation of the {rank} axes"), found);
    let order = found
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|axis| axis.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong))
        .collect::<Result<Vec<_>>>()?;
    let mut seen = vec![false; rank];
    for &axis in &order {
        match seen.get_mut(axis) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(wrong()),
        }
    }
    if order.len() == rank { Ok(order) } else { Err(wrong()) }
}

fn field(name: &str, expected: &str, found: &Value) -> Error {
    let found: String = found.to_string().chars().take(200).collect();
    Error::new(Code::MetadataField, format!("`{name}` of the codecs makes no sense"))
        .expected(expected)
        .found(found)
}
