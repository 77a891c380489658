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
    Tree(Tree),
    Plan(Plan),
    Head(Head),
    Explain(Explain),
    /// The columns of obs; their values, the rows that match a query, how often each value occurs.
    Obs(Axis),
    /// The columns of var; their values, the rows that match a query, how often each value occurs.
    Var(Axis),
    Get(Get),
    Du(Du),
    Check(Check),
    Write(Write),
    Transpose(Transpose),
    Optimize(Optimize),
    Concat(Concat),
    Append(Append),
    Diff(Diff),
    Repair(Repair),
    Completions(Completions),
}

macro_rules! selections {
    () => {
        r"SEL chooses along one axis, as Python would:
  0:100  ::2  -10:  :   a slice; negative positions count from the end
  5,3,3  -1             positions, in this order, repeats included
  @CD3D,CD8A            names, in this order; `\,` is a comma in a name, `\\` a backslash"
    };
}

macro_rules! queries {
    () => {
        r"EXPR is a small part of what pandas' query takes:
  n_genes > 500 and cell_type != 'B cell'     ==  !=  <  <=  >  >=; and, or, not; &, |, ~; parentheses
  500 < n_genes <= 2000                       both
  batch in ['a', 'b'],  batch not in [...]    one of several
  batch.isna(),  batch.notna()                also isin, between, str.startswith, str.endswith, str.contains
  is_doublet                                  a boolean column
  `percent-mt` < 5,  index == 'AAAC-1'        unusual names in backticks; the names of the rows"
    };
}

const QUERIES: &str = queries!();
const SELECTIONS: &str = concat!(selections!(), "\n\n", queries!());

/// What every verb takes.
#[derive(Args)]
pub(crate) struct Common {
    /// A Zarr store (a directory, an archive, or a URL), or one group or array in it: `atlas.zarr`, `atlas.zarr/obsm/X_pca`,
    /// `s3://bucket/atlas.zarr`.
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
    /// An option of a store at a URL, such as `region=eu-central-1` or `skip_signature=true`; several times for several.
    /// Better for secrets: the environment, as `AWS_ACCESS_KEY_ID`.
    #[arg(long = "storage", value_name = "NAME=VALUE", value_parser = storage)]
    pub(crate) storage: Vec<(String, String)>,
    /// Follow symbolic links that lead out of the store. Without it they are refused.
    #[arg(long)]
    pub(crate) follow_links: bool,
    /// Say nothing on standard error but errors: no notes on the store, no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What is chosen along the two axes.
#[derive(Args)]
pub(crate) struct Select {
    /// Rows (cells): a slice, positions or @names. Without an AnnData: the first axis. After --query: of what it finds.
    #[arg(long, alias = "rows", value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) obs: Option<Selection>,
    /// Columns (genes): a slice, positions or @names. Without an AnnData: the second axis.
    #[arg(long, alias = "cols", value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) var: Option<Selection>,
    /// Rows where this is true of the columns of obs: `cell_type == 'T cell' and n_genes > 500`.
    #[arg(long, value_name = "EXPR")]
    pub(crate) query: Option<String>,
}

/// What there is, and what a row, 1,000 rows, a gene and all of X would cost. Reads metadata only.
#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What reading a selection would cost: requests, bytes, memory. Reads no data without --resolve
#[derive(Args)]
#[command(after_help = SELECTIONS)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: `X`, `obs`, `obs/batch`, `layers/counts`. By default everything.
    pub(crate) element: Option<String>,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Make the small reads that exact numbers need: names, indptr, shard indices.
    #[arg(long)]
    pub(crate) resolve: bool,
    /// Print a picture of it instead: SVG, with each array a strip of its chunks.
    #[arg(long, conflicts_with = "json")]
    pub(crate) svg: bool,
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

/// What there is, as a tree: kinds, shapes, types. Reads metadata only.
#[derive(Args)]
pub(crate) struct Tree {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: only what is below it.
    pub(crate) element: Option<String>,
    /// How many levels below it. By default all.
    #[arg(short, long, value_name = "N")]
    pub(crate) depth: Option<u32>,
    /// Show all entries of long mappings and tables.
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Args)]
#[command(after_help = QUERIES)]
pub(crate) struct Axis {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Columns to show. Without any (and without --query) the columns are listed.
    #[arg(value_name = "COLUMN")]
    pub(crate) columns: Vec<String>,
    /// Only rows where this is true.
    #[arg(long, value_name = "EXPR")]
    pub(crate) query: Option<String>,
    /// How often each value of a column occurs, the most frequent first.
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["columns", "all", "csv", "rows"])]
    pub(crate) value_counts: Option<String>,
    /// How many rows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, conflicts_with = "all")]
    pub(crate) rows: u32,
    /// All rows; they are read block by block.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Write CSV.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// What `get` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// numpy's archive: a sparse matrix as scipy.sparse.load_npz reads it, or an array under its name.
    Npz,
    /// One array, as numpy.load reads it.
    Npy,
    /// Tables, columns, dense matrices with names.
    Csv,
    /// Tables and columns as an Arrow IPC file (to `-` as a stream).
    Arrow,
    /// Tables and columns.
    Parquet,
}

/// Write a part of the store to a file of another kind: npz, npy, csv, arrow, parquet
#[derive(Args)]
#[command(after_help = SELECTIONS)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: `X`, `obs`, `obs/batch`, `obsm/X_pca`. By default X for npz and npy, obs for tables.
    pub(crate) element: Option<String>,
    #[command(flatten)]
    pub(crate) select: Select,
    /// The file to write; `-` is standard output (csv, arrow).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: std::path::PathBuf,
    /// What to write. By default what the ending of FILE says.
    #[arg(long, value_name = "KIND")]
    pub(crate) format: Option<Format>,
    /// Replace a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What each element and array takes in the store, the largest first, beside what it takes in memory. Reads no chunk.
#[derive(Args)]
pub(crate) struct Du {
    #[command(flatten)]
    pub(crate) common: Common,
    /// An element: only what is below it.
    pub(crate) element: Option<String>,
    /// How many levels.
    #[arg(short, long, value_name = "N", default_value_t = 2)]
    pub(crate) depth: u32,
}

/// Whether the store is whole: metadata, lengths, what belongs to nothing. Exit code 1 where it is not.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Read every chunk, and compare what arrays say of each other.
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Write the store, or a part of it, anew: whole or not at all
#[derive(Args)]
#[command(after_help = SELECTIONS)]
pub(crate) struct Write {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The store that is made: a path, or s3://, gs://, az://; --storage holds for it, too.
    pub(crate) output: String,
    #[command(flatten)]
    pub(crate) select: Select,
    /// A preset (rows, genes, both, random, archive, viewer), or a file with a layout as JSON.
    #[arg(long, value_name = "NAME|FILE", default_value = "rows")]
    pub(crate) layout: String,
    /// The version of Zarr, 2 or 3. By default what the layout says, 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(crate) zarr_format: Option<u8>,
    /// Leave an element out; several times for several.
    #[arg(long, value_name = "ELEMENT")]
    pub(crate) drop: Vec<String>,
    /// Replace a store that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on with what an earlier run of the same command has left, and leave what is done where this one is stopped.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Leave out elements that cannot be read.
    #[arg(long)]
    pub(crate) skip_broken: bool,
}

/// What a matrix is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Compressed rows: for reading cells.
    Csr,
    /// Compressed columns: for reading genes.
    Csc,
    /// Every value.
    Dense,
}

/// Write the store anew with X and layers by genes instead of by cells (csr as csc), or the other way; within --memory
#[derive(Args)]
pub(crate) struct Transpose {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The store that is made: a path.
    pub(crate) output: String,
    /// A matrix: `X`, `layers/counts`; several times for several. By default X and all layers.
    #[arg(long, value_name = "ELEMENT")]
    pub(crate) element: Vec<String>,
    /// What they become. By default csr becomes csc, and csc csr; what is dense stays so.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Form>,
    /// How arrays are cut and compressed: a preset (rows, genes, both, random, archive, viewer), or a file with a layout as
    /// JSON.
    #[arg(long, value_name = "NAME|FILE", default_value = "rows")]
    pub(crate) layout: String,
    /// Replace a store that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on with what an earlier run of the same command has left, and leave what is done where this one is stopped.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Leave out elements that cannot be read.
    #[arg(long)]
    pub(crate) skip_broken: bool,
}

/// Write the store anew for what is done with it, and measure both: rows, random rows, a gene, everything, size and files
#[derive(Args)]
pub(crate) struct Optimize {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The store that is made: a path, or s3://, gs://, az://; --storage holds for it, too.
    pub(crate) output: String,
    /// What it is for: rows, genes, both, random, archive, viewer.
    #[arg(long = "for", value_name = "PRESET", default_value = "rows")]
    pub(crate) purpose: String,
    /// Replace a store that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on with what an earlier run of the same command has left, and leave what is done where this one is stopped.
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Which genes, layers and columns there are.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Joined {
    /// Those that all stores have.
    Inner,
    /// Those that any store has.
    Outer,
}

/// Write the cells of several stores, one below the other, to one: as anndata.concat would, never in memory as a whole
#[derive(Args)]
pub(crate) struct Concat {
    // The path of these is the store that is made.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The stores that are joined, in order.
    #[arg(required = true)]
    pub(crate) parts: Vec<String>,
    /// Which genes, layers and columns there are.
    #[arg(long, value_name = "HOW", default_value = "inner")]
    pub(crate) join: Joined,
    /// A column of obs that says of which store a cell is.
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// The names of the stores, separated by commas. By default 0, 1, ….
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) keys: Vec<String>,
    /// What stands between the name of a cell and the key of its store; without it names stay as they are.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) index_unique: Option<String>,
    /// What stands in a matrix where a store has no such gene. By default NaN, and 0 in what is sparse.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) fill_value: Option<f64>,
    /// A preset (rows, genes, both, random, archive, viewer), or a file with a layout as JSON.
    #[arg(long, value_name = "NAME|FILE", default_value = "rows")]
    pub(crate) layout: String,
    /// The version of Zarr, 2 or 3. By default what the layout says, 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(crate) zarr_format: Option<u8>,
    /// Replace a store that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Go on with what an earlier run of the same command has left, and leave what is done where this one is stopped.
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Append the cells of other stores, which have the same genes, to a store: only the last chunks of it are written anew
#[derive(Args)]
pub(crate) struct Append {
    // The path of these is the store that grows; --storage holds for all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The stores whose cells are appended, in order.
    #[arg(required = true)]
    pub(crate) parts: Vec<String>,
    /// Take an element out of the store that would have to grow, and cannot: `obsp/distances`; several times for several.
    #[arg(long, value_name = "ELEMENT")]
    pub(crate) drop: Vec<String>,
}

/// What two stores say that is not the same: values, not layouts. Exit code 0 where they are equal, 1 where they differ
#[derive(Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The other store.
    pub(crate) other: String,
    /// Categories and their codes, csr or csc or dense, and the order of columns count too.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Clear what writers that were killed have left beside a store, or beside every store in a folder.
#[derive(Args)]
pub(crate) struct Repair {
    /// A store, or a folder with stores in it.
    pub(crate) path: std::path::PathBuf,
    /// Only say what would be cleared.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Clear also what `--resume` could go on with.
    #[arg(long)]
    pub(crate) discard: bool,
    /// Write one JSON document instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Completions for a shell, on standard output: `lazarr completions bash > ~/.local/share/bash-completion/completions/lazarr`
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// A name and what it is set to.
fn storage(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
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
