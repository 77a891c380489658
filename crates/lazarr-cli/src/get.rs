//! `lazarr get`: a part of the store as a file of another kind.

mod numpy;
mod place;
mod sparse;
mod tables;

use std::io::{self, Write};
use std::path::Path;

use lazarr::plan::{human_bytes, human_count};
use lazarr::{Body, Code, Error, Lazy};
use serde_json::json;

use crate::args::{Format, Get};
use crate::exit::Failure;
use crate::facts;
use crate::out::Out;
use crate::progress::Progress;
use crate::store::{Store, stop_on_ctrl_c};
use place::Place;

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-get/1";

/// What was written.
pub(crate) struct Written {
    /// What it has along its axes.
    shape: Vec<u64>,
    /// Stored values of a sparse matrix.
    nnz: Option<u64>,
}

pub(crate) fn run(args: &Get, out: &mut Out<'_>) -> Result<(), Failure> {
    let to_stdout = args.output.as_os_str() == "-";
    let format = format(args, to_stdout)?;
    if to_stdout && args.common.json {
        return Err(Failure::Usage("--json and the data itself cannot both go to standard output".into()));
    }
    let store = Store::open(&args.common)?;
    let lazy = source(&store, args, format)?;
    suits(&lazy, format)?;
    if to_stdout {
        let written = match format {
            Format::Csv => tables::csv(&store, &lazy, args, out.raw()),
            _ => tables::arrow_stream(&lazy, out.raw()),
        };
        return written.map(drop);
    }
    let mut place = Place::new(&args.output, args.force)?;
    stop_on_ctrl_c();
    let progress = Progress::new(args.common.quiet);
    let written = match format {
        Format::Npz if matches!(lazy.element().body, Body::Sparse(_)) => {
            sparse::npz(&lazy, &mut place, &progress)
        }
        Format::Npz => numpy::npz(&lazy, &mut place, &progress),
        Format::Npy => numpy::npy(&lazy, &mut place, &progress),
        Format::Csv => {
            let path = place.path().to_owned();
            tables::csv(&store, &lazy, args, &mut io::BufWriter::new(place.file())).map_err(|e| at(e, &path))
        }
        Format::Arrow => tables::arrow_file(&lazy, &mut place, &progress),
        Format::Parquet => tables::parquet(&lazy, &mut place, &progress),
    }?;
    drop(progress);
    let bytes = place.keep()?;
    said(args, &lazy, format, &written, bytes, out)
}

/// Output that failed, at the file that it was for.
fn at(e: Failure, path: &Path) -> Failure {
    match e {
        Failure::Output(e) => Failure::File(path.to_owned(), e),
        other => other,
    }
}

fn said(
    args: &Get,
    lazy: &Lazy,
    format: Format,
    written: &Written,
    bytes: u64,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let path = &lazy.element().path;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA,
            "store": lazy.session().url(),
            "element": path,
            "output": args.output.display().to_string(),
            "format": word(format),
            "shape": written.shape,
            "nnz": written.nnz,
            "bytes": bytes,
        }));
    }
    if args.common.quiet {
        return Ok(());
    }
    let nnz = written.nnz.map(|n| format!(", {} stored", human_count(n))).unwrap_or_default();
    out.line(&format!(
        "{}: {path} ({}{nnz}) as {}, {}",
        args.output.display(),
        facts::shape_text(&written.shape),
        word(format),
        human_bytes(bytes),
    ))
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Npz => "npz",
        Format::Npy => "npy",
        Format::Csv => "csv",
        Format::Arrow => "arrow",
        Format::Parquet => "parquet",
    }
}

fn format(args: &Get, to_stdout: bool) -> Result<Format, Failure> {
    let ending = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let format = match (args.format, &*ending) {
        (Some(format), _) => format,
        (None, _) if to_stdout => Format::Csv,
        (None, "npz") => Format::Npz,
        (None, "npy") => Format::Npy,
        (None, "csv") => Format::Csv,
        (None, "arrow" | "feather" | "ipc") => Format::Arrow,
        (None, "parquet" | "pq") => Format::Parquet,
        (None, _) => {
            return Err(Failure::Usage(format!(
                "`{}` does not say what to write: expected a name that ends with .npz, .npy, .csv, .arrow or \
                 .parquet, or --format",
                args.output.display()
            )));
        }
    };
    if to_stdout && !matches!(format, Format::Csv | Format::Arrow) {
        return Err(Failure::Usage(format!(
            "{} cannot be written to standard output: expected csv or arrow",
            word(format)
        )));
    }
    if format == Format::Parquet && !cfg!(feature = "parquet") {
        return Err(Failure::Usage(
            "this build writes no parquet: expected .arrow or .csv, or a build with \
             the feature `parquet`"
                .into(),
        ));
    }
    Ok(format)
}

/// What to write, with its selection. A column is a table of one column where a table is written.
fn source(store: &Store, args: &Get, format: Format) -> Result<Lazy, Failure> {
    let table = matches!(format, Format::Csv | Format::Arrow | Format::Parquet);
    let path = args.element.as_deref().map(|p| p.trim_matches('/')).filter(|p| !p.is_empty());
    if store.object.is_none() {
        return Ok(store.part(path, &args.select)?);
    }
    let path = path.unwrap_or(if table { "obs" } else { "X" });
    let view = store.view(&args.select)?;
    if table
        && let Some((place @ ("obs" | "var"), column)) = path.split_once('/')
        && let Body::DataFrame(frame) = &view.get(place)?.element().body
        && frame.columns.iter().any(|(name, _)| name == column)
    {
        return Ok(view.get(place)?.with_columns(&[column.to_owned()])?);
    }
    Ok(view.get(path)?)
}

/// Refuses what the format has no form for, before anything is read or written.
fn suits(lazy: &Lazy, format: Format) -> Result<(), Failure> {
    let element = lazy.element();
    let rank = lazy.axes().len();
    let dense = matches!(element.body, Body::Dense(_) | Body::Scalar(_))
        && lazy.dtype().is_some_and(|d| d.numpy_str().is_some());
    let column = rank == 1
        && matches!(
            element.body,
            Body::Dense(_) | Body::Strings(_) | Body::Categorical(_) | Body::Nullable(_)
        );
    let frame = matches!(element.body, Body::DataFrame(_));
    let fits = match (&element.body, format) {
        (Body::Broken(e), _) => return Err(e.again().element(&*element.path).into()),
        (Body::Sparse(_), Format::Npz) => true,
        (_, Format::Npz | Format::Npy) => dense,
        (Body::Dense(_), Format::Csv) => rank <= 2,
        (_, Format::Csv | Format::Arrow | Format::Parquet) => column || frame,
    };
    if fits {
        return Ok(());
    }
    let other = match &element.body {
        Body::Sparse(_) => "Write .npz: scipy.sparse.load_npz reads it",
        Body::DataFrame(_) => "Write .csv, .arrow or .parquet",
        _ if column => "Write .csv, .arrow or .parquet",
        _ if dense => "Write .npy or .npz",
        Body::Dict(_) | Body::AnnData(_) | Body::Raw(_) => "Name one element of it: `lazarr tree` lists them",
        Body::Scalar(_) => "`lazarr head` shows it",
        _ => "Python reads it: lazarr.open(...)",
    };
    Err(Error::new(
        Code::Operation,
        format!("{} cannot be written as {}", facts::kind(element), word(format)),
    )
    .element(&*element.path)
    .help(other)
    .into())
}

pub(crate) use tables::text_block;

/// A row of CSV.
pub(crate) fn csv_row(out: &mut dyn Write, row: &[String]) -> Result<(), Failure> {
    let mut line = csv::WriterBuilder::new().from_writer(Vec::new());
    let text = line
        .write_record(row)
        .map_err(io::Error::other)
        .and_then(|()| line.into_inner().map_err(|e| io::Error::other(e.error().to_string())));
    Ok(out.write_all(&text?)?)
}
