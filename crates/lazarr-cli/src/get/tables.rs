//! Tables, and what can be one: CSV, Arrow, Parquet.

use std::io::{self, BufWriter, IsTerminal, Write};

use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::ArrowError;
use lazarr::{Body, Code, Error, Lazy, Step, Value};

use super::place::Place;
use super::{Written, at, csv_row};
use crate::args::Get;
use crate::cell::{Cell, cells};
use crate::exit::Failure;
use crate::out::clean;
use crate::progress::Progress;
use crate::store::{Store, call, check_stopped};

/// Calls `f` for each block of rows, and once where there are none: that there are columns is known still.
fn blocks(
    lazy: &Lazy,
    bytes: Option<u64>,
    mut f: impl FnMut(u64, u64, Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    lazy.resolve(&call())?;
    let mut blocks = lazy.stream(&call(), None, bytes)?;
    let all = blocks.len();
    while let Some(block) = blocks.next(&call())? {
        check_stopped()?;
        f(block.start, block.end, block.value)?;
    }
    if all == 0 {
        f(0, 0, lazy.collect(&call())?)?;
    }
    Ok(())
}

/// Bytes of a block whose values become text: a value of one byte takes up to sixty as a piece of text.
pub(crate) fn text_block(lazy: &Lazy) -> u64 {
    (lazy.session().memory_limit() / 64).clamp(1, 4 << 20)
}

fn failed(e: ArrowError) -> Failure {
    match e {
        ArrowError::IoError(_, e) => Failure::Output(e),
        e => Error::new(Code::Operation, "the table could not be written").source(e).into(),
    }
}

/// Calls `f` for each block as a record batch.
fn batches(
    lazy: &Lazy,
    progress: Option<&Progress>,
    mut f: impl FnMut(&RecordBatch) -> Result<(), Failure>,
) -> Result<Written, Failure> {
    let name = lazy.element().name().to_owned();
    blocks(lazy, None, |_, end, value| {
        let batch = lazarr::arrow::to_batch(value, &name)?;
        if let (Some(progress), Some(rows)) = (progress, lazy.axes().first().and_then(|a| a.count())) {
            progress.at(end, rows);
        }
        f(&batch)
    })?;
    Ok(written(lazy))
}

fn written(lazy: &Lazy) -> Written {
    Written { shape: lazy.shape().iter().map(|n| n.unwrap_or(0)).collect(), nnz: None }
}

pub(super) fn arrow_file(lazy: &Lazy, place: &mut Place, progress: &Progress) -> Result<Written, Failure> {
    let path = place.path().to_owned();
    let mut file = Some(BufWriter::new(place.file()));
    let mut writer: Option<FileWriter<BufWriter<&mut std::fs::File>>> = None;
    let mut run = || -> Result<Written, Failure> {
        let written = batches(lazy, Some(progress), |batch| {
            if let Some(file) = file.take() {
                writer = Some(FileWriter::try_new(file, &batch.schema()).map_err(failed)?);
            }
            writer.as_mut().map_or(Ok(()), |w| w.write(batch).map_err(failed))
        })?;
        if let Some(mut writer) = writer.take() {
            writer.finish().map_err(failed)?;
            writer.into_inner().map_err(failed)?.flush()?;
        }
        Ok(written)
    };
    run().map_err(|e| at(e, &path))
}

pub(super) fn arrow_stream(lazy: &Lazy, out: &mut dyn Write) -> Result<Written, Failure> {
    let mut out = Some(out);
    let mut writer: Option<StreamWriter<&mut dyn Write>> = None;
    let written = batches(lazy, None, |batch| {
        if let Some(out) = out.take() {
            writer = Some(StreamWriter::try_new(out, &batch.schema()).map_err(failed)?);
        }
        writer.as_mut().map_or(Ok(()), |w| w.write(batch).map_err(failed))
    })?;
    if let Some(mut writer) = writer {
        writer.finish().map_err(failed)?;
    }
    Ok(written)
}

#[cfg(feature = "parquet")]
pub(super) fn parquet(lazy: &Lazy, place: &mut Place, progress: &Progress) -> Result<Written, Failure> {
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;

    fn failed(e: ParquetError) -> Failure {
        match e {
            ParquetError::External(e) => match e.downcast::<io::Error>() {
                Ok(e) => Failure::Output(*e),
                Err(e) => Failure::Output(io::Error::other(e)),
            },
            e => Error::new(Code::Operation, "the table could not be written").source(e).into(),
        }
    }
    let path = place.path().to_owned();
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut file = Some(place.file());
    let mut writer: Option<ArrowWriter<&mut std::fs::File>> = None;
    let mut run = || -> Result<Written, Failure> {
        let written = batches(lazy, Some(progress), |batch| {
            if let Some(file) = file.take() {
                let properties = Some(properties.clone());
                writer = Some(ArrowWriter::try_new(file, batch.schema(), properties).map_err(failed)?);
            }
            let Some(writer) = writer.as_mut() else { return Ok(()) };
            writer.write(batch).map_err(failed)?;
            // A row group a block: what is buffered stays bounded.
            writer.flush().map_err(failed)
        })?;
        if let Some(writer) = writer.take() {
            writer.close().map_err(failed)?;
        }
        Ok(written)
    };
    run().map_err(|e| at(e, &path))
}

#[cfg(not(feature = "parquet"))]
pub(super) fn parquet(_: &Lazy, _: &mut Place, _: &Progress) -> Result<Written, Failure> {
    Err(Error::new(Code::Internal, "this build writes no parquet").into())
}

/// CSV as pandas writes it: the names of the rows first.
pub(super) fn csv(store: &Store, lazy: &Lazy, args: &Get, out: &mut dyn Write) -> Result<Written, Failure> {
    let escape = args.output.as_os_str() == "-" && io::stdout().is_terminal();
    let row = |out: &mut dyn Write, row: Vec<String>| {
        let row = if escape { row.iter().map(|c| clean(c)).collect() } else { row };
        csv_row(out, &row)
    };
    lazy.resolve(&call())?;
    let names = Names::of(store, lazy)?;
    let mut titled = false;
    blocks(lazy, Some(text_block(lazy)), |start, end, value| {
        let (index, columns) = match &value {
            Value::Table(table) => {
                let columns: Vec<(String, Vec<Cell>)> =
                    table.columns.iter().map(|(name, v)| (name.clone(), cells(v))).collect();
                (table.index.as_deref().map(cells), columns)
            }
            other => {
                let all = cells(other);
                let width = names.columns.len();
                let column = |k: usize| {
                    let cells = all.iter().skip(k).step_by(width.max(1)).cloned().collect();
                    (names.columns[k].clone(), cells)
                };
                (names.rows(start, end)?, (0..width).map(column).collect())
            }
        };
        if !std::mem::replace(&mut titled, true) {
            let index_name = match &value {
                Value::Table(table) => table.index_name.clone(),
                _ => None,
            };
            let title = std::iter::once(index_name.unwrap_or_default());
            row(out, title.chain(columns.iter().map(|(name, _)| name.clone())).collect())?;
        }
        for i in 0..(end - start) as usize {
            let name = match &index {
                Some(index) => index.get(i).map(Cell::exact).unwrap_or_default(),
                None => (start + i as u64).to_string(),
            };
            let cells = columns.iter().map(|(_, c)| c.get(i).map(Cell::exact).unwrap_or_default());
            row(out, std::iter::once(name).chain(cells).collect())?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(written(lazy))
}

/// The names of the rows and columns of what is no table.
struct Names {
    rows: Option<Lazy>,
    columns: Vec<String>,
}

impl Names {
    fn of(store: &Store, lazy: &Lazy) -> Result<Self, Failure> {
        let of = |axis: usize| -> Result<Option<Lazy>, Failure> {
            let Some(view) = lazy.axes().get(axis) else { return Ok(None) };
            let Some(frame) = view.axis().frame.as_ref().filter(|f| matches!(f.body, Body::DataFrame(_)))
            else {
                return Ok(None);
            };
            let names = Lazy::new(&store.session, frame).names()?;
            let Some(index) = view.index() else { return Ok(None) };
            Ok(Some(names.select(0, Step::Index(index.clone()))?))
        };
        let columns = match (lazy.axes().get(1), &lazy.element().body) {
            (_, Body::DataFrame(_)) => Vec::new(),
            (None, _) => vec![lazy.element().name().to_owned()],
            (Some(axis), _) => match of(1)? {
                Some(names) => cells(&names.collect(&call())?).iter().map(Cell::exact).collect(),
                None => (0..axis.count().unwrap_or(0)).map(|k| k.to_string()).collect(),
            },
        };
        Ok(Self { rows: of(0)?, columns })
    }

    fn rows(&self, start: u64, end: u64) -> Result<Option<Vec<Cell>>, Failure> {
        let Some(names) = &self.rows else { return Ok(None) };
        let part = names.select(0, Step::Slice(Some(start as i64), Some(end as i64), None))?;
        Ok(Some(cells(&part.collect(&call())?)))
    }
}
