//! Arrays as numpy writes them.

use std::io::{self, BufWriter, Write};

use lazarr::{Body, Code, Error, Lazy, Value};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::place::Place;
use super::{Written, at};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::store::{call, check_stopped};

/// The beginning of a .npy: version 1.0, a Python literal, padded to 64 bytes.
pub(super) fn header(dtype: &str, shape: &[u64]) -> Vec<u8> {
    let dims: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    // Items stand as this machine holds them.
    let dtype = if cfg!(target_endian = "big") { dtype.replace('<', ">") } else { dtype.to_owned() };
    let mut text =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}{comma}), }}", dims.join(", "));
    let padding = 63 - (10 + text.len()) % 64;
    text.push_str(&" ".repeat(padding));
    text.push('\n');
    // Even 32 dimensions take less than 1,000 bytes.
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

/// Entries of an archive that may be larger than 4 GiB, stored as they are; the same bytes for the same data.
pub(super) fn entry() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(true)
}

/// An array, block by block.
fn write(lazy: &Lazy, out: &mut dyn Write, progress: &Progress) -> Result<Written, Failure> {
    lazy.resolve(&call())?;
    let shape: Vec<u64> = lazy.shape().iter().map(|n| n.unwrap_or(0)).collect();
    let dtype = lazy.dtype().and_then(|d| d.numpy_str()).unwrap_or_default();
    out.write_all(&header(&dtype, &shape))?;
    let unexpected = || Error::new(Code::Internal, "an array came as something else");
    if matches!(lazy.element().body, Body::Scalar(_)) || shape.is_empty() {
        let Value::Dense(d) = lazy.collect(&call())? else { return Err(unexpected().into()) };
        out.write_all(d.data.as_slice())?;
        return Ok(Written { shape, nnz: None });
    }
    let mut blocks = lazy.stream(&call(), None, None)?;
    while let Some(block) = blocks.next(&call())? {
        check_stopped()?;
        let Value::Dense(d) = &block.value else { return Err(unexpected().into()) };
        out.write_all(d.data.as_slice())?;
        progress.at(block.end, shape[0]);
    }
    Ok(Written { shape, nnz: None })
}

/// One array as `.npy`.
pub(super) fn npy(lazy: &Lazy, place: &mut Place, progress: &Progress) -> Result<Written, Failure> {
    let path = place.path().to_owned();
    let mut out = BufWriter::new(place.file());
    let written = write(lazy, &mut out, progress).and_then(|w| Ok(out.flush().map(|()| w)?));
    written.map_err(|e| at(e, &path))
}

/// One array under its name, as `.npz`.
pub(super) fn npz(lazy: &Lazy, place: &mut Place, progress: &Progress) -> Result<Written, Failure> {
    let path = place.path().to_owned();
    let mut zip = ZipWriter::new(BufWriter::new(place.file()));
    let name = Some(lazy.element().name()).filter(|n| !n.is_empty()).unwrap_or("arr_0");
    let mut run = || -> Result<Written, Failure> {
        zip.start_file(format!("{name}.npy"), entry()).map_err(io::Error::from)?;
        write(lazy, &mut zip, progress)
    };
    let written = run().map_err(|e| at(e, &path))?;
    let finished = zip.finish().map_err(io::Error::from).and_then(|mut f| f.flush());
    finished.map_err(Failure::file(&path))?;
    Ok(written)
}
