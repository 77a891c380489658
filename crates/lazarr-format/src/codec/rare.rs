//! The codecs that few arrays have, through zarrs: the only file that names it.
//!
//! zarrs allocates what it decodes and may panic on bytes that were made to break it; a panic is caught here and becomes
//! an error. What stands between the store and zarrs (compressors, checksums) has been taken off before, within a limit.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use zarrs::array::{
    ArrayBytes, ArrayToBytesCodecTraits, BytesRepresentation, Codec, CodecChain, CodecOptions,
    DataType as ZarrsType, Endianness, FillValue,
};
use zarrs::convert::{ArrayMetadataV2ToV3Error, codec_metadata_v2_to_v3};
use zarrs::metadata::v2::{ArrayMetadataV2Order, MetadataV2};
use zarrs::metadata::v3::MetadataV3;
use zarrs::plugin::PluginCreateError;

use super::filter::Filter;
use super::vlen::{check_utf8, with_room};
use super::{ChunkSpec, Vlen, broken, wrong_length};
use crate::{Code, DataType, Error, Fill, Result};

/// A chain that zarrs decodes.
#[derive(Debug)]
pub(super) struct Rare {
    chain: CodecChain,
    shape: Vec<NonZeroU64>,
    dtype: ZarrsType,
    fill: FillValue,
    is_string: bool,
    /// No encoder makes more than this of a chunk, where zarrs knows a bound.
    bound: Option<u64>,
    name: String,
}

impl Rare {
    pub(super) fn from_v3(codecs: &[&Value], spec: ChunkSpec<'_>) -> Result<Self> {
        let metadata = codecs
            .iter()
            .map(|json| serde_json::from_value((*json).clone()))
            .collect::<Result<Vec<MetadataV3>, _>>()
            .map_err(|e| Error::new(Code::MetadataField, "`codecs` makes no sense").source(e))?;
        guarded(|| Self::new(&metadata, spec)).unwrap_or_else(|| Err(refused(&metadata)))
    }

    /// `filters` and `compressor` are what remains of `zarray`'s after the steps at the encoded end are taken off.
    pub(super) fn from_v2(
        filters: &[Value],
        compressor: Option<&Value>,
        order_f: bool,
        big_endian: bool,
        spec: ChunkSpec<'_>,
    ) -> Result<Self> {
        let v2 = |json: &Value| {
            serde_json::from_value::<MetadataV2>(json.clone()).map_err(|e| {
                Error::new(Code::MetadataField, "`filters` or `compressor` makes no sense").source(e)
            })
        };
        let filters = filters.iter().map(v2).collect::<Result<Vec<_>>>()?;
        let compressor = compressor.map(v2).transpose()?;
        let order =
            if order_f && spec.shape.len() > 1 { ArrayMetadataV2Order::F } else { ArrayMetadataV2Order::C };
        let endian = if big_endian { Endianness::Big } else { Endianness::Little };
        let dtype = v3_type(spec.dtype);
        let metadata = guarded(|| {
            codec_metadata_v2_to_v3(
                order,
                spec.shape.len(),
                &dtype,
                Some(endian),
                &Some(filters),
                &compressor,
            )
        })
        .ok_or_else(|| refused(&[]))?
        .map_err(|e| match e {
            ArrayMetadataV2ToV3Error::UnsupportedCodec(name, _) => unknown(&name),
            other => {
                Error::new(Code::MetadataField, "`filters` and `compressor` make no sense").source(other)
            }
        })?;
        guarded(|| Self::new(&metadata, spec)).unwrap_or_else(|| Err(refused(&metadata)))
    }

    fn new(metadata: &[MetadataV3], spec: ChunkSpec<'_>) -> Result<Self> {
        // Filters that zarrs would decode to other values.
        if let Some(filter) = metadata.iter().find(|m| Filter::is(m.name())) {
            let message =
                format!("the codec `{}` is not known together with the codecs beside it", filter.name());
            return Err(Error::new(Code::CodecUnknown, message));
        }
        // One by one, so that the error can name the codec.
        for codec in metadata.iter().filter(|m| m.must_understand()) {
            Codec::from_metadata(codec).map_err(|e| match e {
                PluginCreateError::Unsupported(_) => unknown(codec.name()),
                other => {
                    Error::new(Code::MetadataField, format!("the codec `{}` makes no sense", codec.name()))
                        .source(other)
                }
            })?;
        }
        let chain = CodecChain::from_metadata(metadata)
            .map_err(|e| Error::new(Code::MetadataField, "the list of codecs makes no sense").source(e))?;
        let shape = spec
            .shape
            .iter()
            .map(|&n| NonZeroU64::new(n))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::new(Code::MetadataField, "a chunk has an axis of length zero"))?;
        let dtype = ZarrsType::from_metadata(&v3_type(spec.dtype)).map_err(|e| {
            Error::new(Code::DataType, format!("{} does not go with these codecs", spec.dtype)).source(e)
        })?;
        let fill = match (spec.fill, spec.dtype.item_size()) {
            (Fill::Item(bytes), Some(n)) if bytes.len() == n => bytes.clone(),
            (Fill::Vlen(bytes), None) => bytes.clone(),
            (_, n) => vec![0; n.unwrap_or(0)],
        };
        let fill = FillValue::new(fill);
        let size = chain.encoded_representation(&shape, &dtype, &fill).map_err(|e| {
            Error::new(Code::MetadataField, format!("these codecs cannot store chunks of {}", spec.dtype))
                .source(e)
        })?;
        let bound = match size {
            BytesRepresentation::FixedSize(n) | BytesRepresentation::BoundedSize(n) => Some(n),
            BytesRepresentation::UnboundedSize => None,
        };
        let name = metadata.iter().map(MetadataV3::name).collect::<Vec<_>>().join("+");
        Ok(Self { chain, shape, dtype, fill, is_string: *spec.dtype == DataType::String, bound, name })
    }

    /// The most bytes that zarrs is given of a chunk of `decoded` bytes.
    pub(super) fn max_encoded(&self, decoded: usize) -> usize {
        let unknown = decoded.saturating_mul(2).saturating_add(1 << 20);
        self.bound.map_or(unknown, |n| usize::try_from(n).unwrap_or(usize::MAX).max(unknown))
    }

    pub(super) fn scratch_bytes(&self, decoded: u64) -> u64 {
        // Each step allocates its result while it reads that of the one before.
        let steps = 2 + self.chain.array_to_array_codecs().len() + self.chain.bytes_to_bytes_codecs().len();
        decoded
            .saturating_add(self.bound.unwrap_or(decoded))
            .saturating_mul(steps as u64)
            .saturating_add(1 << 20)
    }

    pub(super) fn decode_into(&self, chunk: &[u8], out: &mut [u8]) -> Result<()> {
        let bytes = self.decode(chunk)?.into_fixed().map_err(|e| {
            Error::new(Code::Internal, "a chunk of fixed-size items decoded to others").source(e)
        })?;
        if bytes.len() != out.len() {
            return Err(wrong_length(out.len(), bytes.len()));
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    pub(super) fn decode_vlen(&self, chunk: &[u8], items: usize) -> Result<Vlen> {
        let decoded = self.decode(chunk)?.into_variable().map_err(|e| {
            Error::new(Code::Internal, "a chunk of variable-length items decoded to others").source(e)
        })?;
        let (bytes, offsets) = decoded.into_parts();
        let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if Some(offsets.len()) != items.checked_add(1)
            || offsets.first() != Some(&0)
            || offsets.last() != bytes.len()
            || !ascending
        {
            return Err(Error::new(
                Code::ChunkLength,
                "the chunk holds another number of items than its shape says",
            )
            .expected(format!("{items} items"))
            .found(format!("{} items", offsets.len().saturating_sub(1))));
        }
        let mut vlen = with_room(items, bytes.len())?;
        vlen.offsets.extend(offsets.iter().skip(1).map(|&o| o as u64));
        vlen.bytes.extend_from_slice(&bytes);
        if self.is_string {
            check_utf8(&vlen)?;
        }
        Ok(vlen)
    }

    fn decode<'a>(&self, chunk: &'a [u8]) -> Result<ArrayBytes<'a>> {
        // zarrs must not start threads of its own: chunks are decoded side by side already.
        let options = CodecOptions::default().with_concurrent_target(1);
        guarded(|| self.chain.decode(Cow::Borrowed(chunk), &self.shape, &self.dtype, &self.fill, &options))
            .ok_or_else(|| broken(&self.name, "decoding it failed"))?
            .map_err(|e| match e {
                zarrs::array::CodecError::InvalidChecksum => {
                    Error::new(Code::ChunkChecksum, "a checksum of the chunk does not agree with its bytes")
                }
                other => Error::new(Code::ChunkDecode, format!("the chunk is not valid {}", self.name))
                    .source(other),
            })
    }
}

/// `None` where it panicked.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    // Nothing that is kept is changed by the call: no broken state can be seen afterwards.
    catch_unwind(AssertUnwindSafe(call)).ok()
}

fn refused(metadata: &[MetadataV3]) -> Error {
    let names = metadata.iter().map(MetadataV3::name).collect::<Vec<_>>().join(", ");
    Error::new(Code::MetadataField, format!("the list of codecs ({names}) makes no sense"))
}

fn unknown(name: &str) -> Error {
    let error = Error::new(Code::CodecUnknown, format!("the codec `{name}` is not known"));
    let feature = match name.rsplit(['.', '/']).next() {
        Some("zfp" | "zfpy") => "zfp",
        Some("gdeflate") => "gdeflate",
        _ => return error.help("Write the array again with a codec of the Zarr specification, such as zstd"),
    };
    error.help(format!("It was left out of this build: build lazarr with the Cargo feature `{feature}`"))
}

/// The data type as zarrs knows it. Types that zarrs does not know are raw bytes to it.
fn v3_type(dtype: &DataType) -> MetadataV3 {
    let raw = |n: usize| json!(format!("r{}", 8 * n));
    let time = |name: &str, unit: &crate::TimeUnit| json!({"name": name, "configuration": {"unit": unit.unit, "scale_factor": unit.scale}});
    let json = match dtype {
        DataType::Bool => json!("bool"),
        DataType::Int(_) | DataType::UInt(_) | DataType::Float(_) | DataType::Complex(_) => {
            json!(dtype.to_string())
        }
        DataType::DateTime(unit) => time("numpy.datetime64", unit),
        DataType::TimeDelta(unit) => time("numpy.timedelta64", unit),
        DataType::FixedUtf32(n) => {
            json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * n}})
        }
        DataType::FixedBytes(n) | DataType::Raw(n) => raw(*n),
        DataType::Struct(_) => raw(dtype.item_size().unwrap_or(0)),
        DataType::String => json!("string"),
        DataType::Bytes => json!("bytes"),
    };
    serde_json::from_value(json).unwrap_or_else(|_| MetadataV3::new("bytes"))
}
