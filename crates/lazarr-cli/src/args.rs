//! The command line.

use clap::{Args, Parser, Subcommand};
use lazarr::Limit;

use crate::selection::Selection;

/// Look at an AnnData in Zarr without loading it, and see what reading it would cost.
///
/// Results go to standard output, errors to standard error, as one sentence. The exit code is 0 where all went well, 1
/// where the store holds something invalid or unknown, 2 where the command line does not fit (an option, an element, a
/// name or a position that is not there; a memory limit that is too small), 3 where there is nothing to open, or reading
/// or writing failed.
#[derive(Parser)]
#[command(name = "lazarr", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    Info(Info),
    Plan(Plan),
    Head(Head),
    Explain(Explain),
}

/// What every verb takes.
#[derive(Args)]
pub(crate) struct Common {
    /// A Zarr store (a directory), or one group or array in it: `atlas.zarr`, `atlas.zarr/obsm/X_pca`.
    pub(crate) path: String,
    /// Write one JSON document instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// The memory that reading may take: `2GiB`, `500MB`, bytes. By default half of what the system leaves free.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// The threads that fetch and decode. By default one a core.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Another limit on what metadata may ask for, such as `metadata_bytes=200000000`; several times for several.
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    pub(crate) limits: Vec<(Limit, u64)>,
}

/// What there is, and what a row, 1,000 rows, a gene and all of X would cost. Reads metadata only.
#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) common: Common,
}

const SELECTIONS: &str = r"SEL chooses along one axis, as Python would:
  0:100  ::2  -10:  :   a slice; negative positions count from the end
  5,3,3  -1             positions, in this order, repeats included
  @CD3D,CD8A            names, in this order; `\,` is a comma in a name, `\\` a backslash";

/// What reading a selection would cost: requests, bytes, memory. Reads no data without --resolve
#[derive(Args)]
#[command(after_help = SELECTIONS)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: `X`, `obs`, `obs/batch`, `layers/counts`. By default everything.
    pub(crate) element: Option<String>,
    /// Rows (cells): a slice, positions or @names. Without an AnnData: the first axis.
    #[arg(long, value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) obs: Option<Selection>,
    /// Columns (genes): a slice, positions or @names. Without an AnnData: the second axis.
    #[arg(long, value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) var: Option<Selection>,
    /// Make the small reads that exact numbers need: names, indptr, shard indices.
    #[arg(long)]
    pub(crate) resolve: bool,
}

/// The first rows of an element; of obs, where an AnnData is given and no element.
#[derive(Args)]
pub(crate) struct Head {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: `X`, `var`, `obs/batch`, `obsm/X_pca`, `uns`. A mapping lists what it holds.
    pub(crate) element: Option<String>,
    /// How many rows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) rows: u32,
    /// How many columns, of tables and of matrices.
    #[arg(short = 'c', long, value_name = "N", default_value_t = 10)]
    pub(crate) cols: u32,
}

/// What an error code means and what to do about it: `lazarr explain LZ0302`. Without a code: the list of them all.
#[derive(Args)]
pub(crate) struct Explain {
    /// The code that an error ended with.
    #[arg(value_parser = crate::explain::code)]
    pub(crate) code: Option<lazarr::Code>,
}

/// Bytes: a number and a unit, of powers of 1000 (`MB`) or 1024 (`MiB`).
fn size(text: &str) -> Result<u64, String> {
    let bad = || "expected a number of bytes with or without a unit, such as 2GiB or 500MB".to_owned();
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let unit = unit.trim().to_ascii_lowercase();
    let scale: u64 = match unit.as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let bytes = number * scale as f64;
    if !(1.0..9e18).contains(&bytes) {
        return Err("expected a size between 1 byte and 9 EB".to_owned());
    }
    Ok(bytes as u64)
}

/// A limit by name, and its value.
fn limit(text: &str) -> Result<(Limit, u64), String> {
    let names = || Limit::ALL.map(Limit::name).join(", ");
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("expected NAME=VALUE; the names are {}", names()))?;
    let limit = Limit::from_name(name.trim())
        .ok_or_else(|| format!("there is no limit of this name; the names are {}", names()))?;
    let number = size(value)?;
    if number > limit.most() {
        return Err(format!("{name} is at most {}", limit.most()));
    }
    Ok((limit, number))
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
