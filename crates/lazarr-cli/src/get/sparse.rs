//! A sparse matrix as `scipy.sparse.save_npz` writes it.
//!
//! Rows (of csc: columns) come in blocks. What they bring is spooled beside the output, since an archive holds one array
//! after the other and the length of each stands before it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use lazarr::format::anndata::Sparse;
use lazarr::{Body, Code, Error, Lazy, SparseMatrix, Step, Value};
use zip::ZipWriter;

use super::numpy::{entry, header};
use super::place::Place;
use super::{Written, at};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::store::{call, check_stopped};

/// The three arrays, as far as they have come. Indices and row starts have eight bytes here.
struct Spool {
    data: BufWriter<File>,
    indices: BufWriter<File>,
    indptr: BufWriter<File>,
    nnz: u64,
    major: u64,
}

pub(super) fn npz(lazy: &Lazy, place: &mut Place, progress: &Progress) -> Result<Written, Failure> {
    let Body::Sparse(sparse) = &lazy.element().body else {
        return Err(Error::new(Code::Internal, "no sparse matrix").into());
    };
    lazy.resolve(&call())?;
    let shape: Vec<u64> = lazy.shape().iter().map(|n| n.unwrap_or(0)).collect();
    let [rows, columns] = shape[..] else {
        return Err(Error::new(Code::Internal, "a matrix has two axes").into());
    };
    let path = place.path().to_owned();
    let file = || place.spool().map(|f| BufWriter::with_capacity(1 << 16, f));
    let mut spool = Spool { data: file()?, indices: file()?, indptr: file()?, nnz: 0, major: 0 };
    let run = |spool: &mut Spool| -> Result<(), Failure> {
        spool.indptr.write_all(&0i64.to_ne_bytes())?;
        if sparse.format.major_axis() == 0 {
            let mut blocks = lazy.stream(&call(), None, None)?;
            while let Some(block) = blocks.next(&call())? {
                check_stopped()?;
                let Value::Sparse(m) = &block.value else { break };
                spool.add(m)?;
                progress.at(block.end, rows);
            }
        } else {
            by_columns(lazy, sparse, columns, spool, progress)?;
        }
        Ok(())
    };
    run(&mut spool).map_err(|e| at(e, &path))?;
    let nnz = spool.nnz;
    if spool.major != [rows, columns][sparse.format.major_axis()] {
        return Err(Error::new(Code::Internal, "rows of the matrix are missing").into());
    }
    let dtype = lazy.dtype().and_then(|d| d.numpy_str()).unwrap_or_default();
    archive(spool, place.file(), sparse, &dtype, [rows, columns]).map_err(Failure::file(&path))?;
    Ok(Written { shape, nnz: Some(nnz) })
}

/// Blocks of columns of a csc matrix: half as many where they do not fit.
fn by_columns(
    lazy: &Lazy,
    sparse: &Sparse,
    columns: u64,
    spool: &mut Spool,
    progress: &Progress,
) -> Result<(), Failure> {
    let item = sparse.data.dtype.item_size().unwrap_or(8) as u64 + 8;
    let room = (lazy.session().memory_limit() / 8).min(64 << 20);
    let per_column = (sparse.nnz() / sparse.major_len().max(1)).max(1).saturating_mul(item);
    let mut step = (room / per_column).max(1);
    let mut at = 0;
    while at < columns {
        check_stopped()?;
        let end = at.saturating_add(step).min(columns);
        let part = lazy.select(1, Step::Slice(Some(at as i64), Some(end as i64), None))?;
        match part.collect(&call()) {
            Ok(Value::Sparse(m)) => spool.add(&m)?,
            Ok(_) => return Err(Error::new(Code::Internal, "no sparse matrix came").into()),
            Err(e) if e.code() == Code::MemoryLimit && end - at > 1 => {
                step = (end - at) / 2;
                continue;
            }
            Err(e) => return Err(e.into()),
        }
        at = end;
        progress.at(at, columns);
    }
    Ok(())
}

impl Spool {
    /// The next rows.
    fn add(&mut self, m: &SparseMatrix) -> Result<(), Failure> {
        self.data.write_all(m.data.as_slice())?;
        each(m.indices.as_slice(), m.index_width, |i| self.indices.write_all(&i.to_ne_bytes()))?;
        let (before, mut first, mut last) = (self.nnz, true, 0);
        each(m.indptr.as_slice(), m.index_width, |i| {
            last = i;
            if std::mem::take(&mut first) {
                return Ok(());
            }
            self.major += 1;
            self.indptr.write_all(&(before as i64 + i).to_ne_bytes())
        })?;
        self.nnz = before + last as u64;
        Ok(())
    }
}

fn each(bytes: &[u8], width: u8, mut f: impl FnMut(i64) -> io::Result<()>) -> io::Result<()> {
    if width == 4 {
        bytes.as_chunks::<4>().0.iter().try_for_each(|b| f(i64::from(i32::from_ne_bytes(*b))))
    } else {
        bytes.as_chunks::<8>().0.iter().try_for_each(|b| f(i64::from_ne_bytes(*b)))
    }
}

fn archive(spool: Spool, file: &mut File, sparse: &Sparse, dtype: &str, shape: [u64; 2]) -> io::Result<()> {
    // As scipy chooses: both alike.
    let wide = [spool.nnz, shape[0], shape[1]].iter().any(|&n| i32::try_from(n).is_err());
    let Spool { data, indices, indptr, nnz, major } = spool;
    let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 16, file));
    let index = if wide { "<i8" } else { "<i4" };
    for (name, from, length) in [("indices", indices, nnz), ("indptr", indptr, major + 1)] {
        start(&mut zip, name, index, &[length])?;
        let mut from = rewound(from)?;
        let mut items = [0u8; 8 * 1024];
        let mut left = length;
        while left > 0 {
            let n = left.min(1024) as usize;
            from.read_exact(&mut items[..8 * n])?;
            if wide {
                zip.write_all(&items[..8 * n])?;
            } else {
                let narrow: Vec<u8> = items[..8 * n]
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .flat_map(|b| (i64::from_ne_bytes(*b) as i32).to_ne_bytes())
                    .collect();
                zip.write_all(&narrow)?;
            }
            left -= n as u64;
        }
    }
    start(&mut zip, "format", "|S3", &[])?;
    zip.write_all(sparse.format.name().as_bytes())?;
    start(&mut zip, "shape", "<i8", &[2])?;
    for n in shape {
        zip.write_all(&(n as i64).to_ne_bytes())?;
    }
    start(&mut zip, "data", dtype, &[nnz])?;
    io::copy(&mut rewound(data)?, &mut zip)?;
    zip.finish()?.flush()
}

fn start<W: Write + Seek>(zip: &mut ZipWriter<W>, name: &str, dtype: &str, shape: &[u64]) -> io::Result<()> {
    zip.start_file(format!("{name}.npy"), entry())?;
    zip.write_all(&header(dtype, shape))
}

fn rewound(from: BufWriter<File>) -> io::Result<BufReader<File>> {
    let mut file = from.into_inner().map_err(|e| io::Error::other(e.error().to_string()))?;
    file.seek(SeekFrom::Start(0))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}
