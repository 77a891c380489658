//! An array with its items, cut into chunks.

use lazarr_format::DataType;
use serde_json::{Map, Value, json};

/// The items of an array, C order.
#[derive(Debug, Clone)]
pub enum Items {
    /// Of fixed size, little-endian.
    Fixed(Vec<u8>),
    /// Strings.
    Strings(Vec<String>),
}

/// An array to be written.
#[derive(Debug, Clone)]
pub struct Array {
    /// What an item is.
    pub dtype: DataType,
    /// Items along each axis.
    pub shape: Vec<u64>,
    /// Items of an inner chunk along each axis.
    pub chunk: Vec<u64>,
    /// The items.
    pub items: Items,
    /// The fill value, as it is written in metadata.
    pub fill: Value,
    /// Attributes.
    pub attributes: Map<String, Value>,
    /// Inner chunks that are not written.
    pub absent: Vec<Vec<u64>>,
    /// Inner chunks that hold these bytes, before they are compressed, in place of their items.
    pub replaced: Vec<(Vec<u64>, Vec<u8>)>,
    /// Leaves out inner chunks that hold nothing but zeros (empty strings), as writers may.
    pub omit_zeros: bool,
}

impl Array {
    /// An array with the encoding that AnnData gives it.
    pub fn new(dtype: DataType, shape: &[u64], chunk: &[u64], items: Items) -> Self {
        let text = dtype.is_vlen();
        let kind = match (&dtype, shape.is_empty()) {
            (DataType::String, true) => "string",
            (DataType::String | DataType::FixedUtf32(_), _) => "string-array",
            (_, true) => "numeric-scalar",
            _ => "array",
        };
        let fill = match &dtype {
            DataType::Bool => json!(false),
            _ if text => json!(""),
            DataType::FixedUtf32(_) => json!(""),
            _ => json!(0),
        };
        let mut attributes = Map::new();
        attributes.insert("encoding-type".into(), json!(kind));
        attributes.insert("encoding-version".into(), json!("0.2.0"));
        let chunk = chunk.iter().map(|&c| c.max(1)).collect();
        Self {
            dtype,
            shape: shape.to_vec(),
            chunk,
            items,
            fill,
            attributes,
            absent: Vec::new(),
            replaced: Vec::new(),
            omit_zeros: false,
        }
    }

    /// Integers of this type.
    pub fn integers(dtype: DataType, chunk: u64, items: &[i64]) -> Self {
        let size = dtype.item_size().unwrap();
        let bytes = items.iter().flat_map(|x| x.to_le_bytes()[..size].to_vec()).collect();
        Self::new(dtype, &[items.len() as u64], &[chunk], Items::Fixed(bytes))
    }

    /// Strings.
    pub fn strings(chunk: u64, items: &[String]) -> Self {
        Self::new(DataType::String, &[items.len() as u64], &[chunk], Items::Strings(items.to_vec()))
    }

    /// The same with these inner chunks left out.
    #[must_use]
    pub fn without(mut self, chunks: &[&[u64]]) -> Self {
        self.absent = chunks.iter().map(|c| c.to_vec()).collect();
        self
    }

    /// Places of the grid of inner chunks, C order.
    pub fn grid(&self) -> Vec<Vec<u64>> {
        let counts: Vec<u64> = self.shape.iter().zip(&self.chunk).map(|(s, c)| s.div_ceil(*c)).collect();
        let mut out = vec![Vec::new()];
        for n in counts {
            out =
                out.into_iter().flat_map(|at| (0..n).map(move |i| [at.clone(), vec![i]].concat())).collect();
        }
        out
    }

    /// The flat places of the items of an inner chunk, padded ones `None`, in C order of the chunk.
    fn places(&self, at: &[u64]) -> Vec<Option<usize>> {
        let mut out = vec![Some(0usize)];
        for (k, &i) in at.iter().enumerate() {
            let (size, chunk) = (self.shape[k], self.chunk[k]);
            out = out
                .into_iter()
                .flat_map(|base| {
                    (i * chunk..(i + 1) * chunk)
                        .map(move |x| base.filter(|_| x < size).map(|b| b * size as usize + x as usize))
                })
                .collect();
        }
        out
    }

    /// The bytes of an inner chunk before it is compressed; `None` where it is left out.
    pub fn chunk_bytes(&self, at: &[u64], fortran: bool, big_endian: bool) -> Option<Vec<u8>> {
        if self.absent.iter().any(|a| a == at) {
            return None;
        }
        if let Some((_, bytes)) = self.replaced.iter().find(|(a, _)| a == at) {
            return Some(bytes.clone());
        }
        let mut places = self.places(at);
        if fortran && self.chunk.len() > 1 {
            places = transpose(&places, &self.chunk);
        }
        match &self.items {
            Items::Fixed(bytes) => {
                let size = self.dtype.item_size().unwrap();
                let mut out = Vec::with_capacity(places.len() * size);
                for place in places {
                    match place {
                        Some(p) => out.extend_from_slice(&bytes[p * size..(p + 1) * size]),
                        None => out.resize(out.len() + size, 0),
                    }
                }
                if self.omit_zeros && out.iter().all(|&b| b == 0) {
                    return None;
                }
                if big_endian {
                    for item in out.chunks_exact_mut(size) {
                        for (offset, width) in self.dtype.swap_units() {
                            item[offset..offset + width].reverse();
                        }
                    }
                }
                Some(out)
            }
            Items::Strings(strings) => {
                let mut out = (places.len() as u32).to_le_bytes().to_vec();
                for place in places {
                    let text = place.map_or("", |p| strings[p].as_str());
                    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
                Some(out)
            }
        }
    }
}

/// C order to F order.
fn transpose<T: Copy>(items: &[T], shape: &[u64]) -> Vec<T> {
    let mut out = Vec::with_capacity(items.len());
    let mut at = vec![0u64; shape.len()];
    for _ in 0..items.len() {
        let flat = at.iter().zip(shape).fold(0, |n, (i, s)| n * s + i);
        out.push(items[flat as usize]);
        for k in 0..shape.len() {
            at[k] += 1;
            if at[k] < shape[k] {
                break;
            }
            at[k] = 0;
        }
    }
    out
}
