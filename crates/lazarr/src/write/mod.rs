//! Writing: a consumer at the end of the road.
//!
//! What is written is a tree of [`Source`]s: elements that are not read yet, values in memory, blocks of rows that somebody
//! makes. Each is taken block by block; blocks are cut into chunks, which all threads encode, and chunks are put into shards
//! one after the other, so that no shard is ever held in memory. Everything goes into a [`Draft`], metadata last, which
//! becomes the store at once ([`lazarr_store::draft`]).
//!
//! ```no_run
//! use lazarr::format::encode::Layout;
//! use lazarr::write::{Source, WriteOptions, write};
//! use lazarr::{Call, LazyAnnData, Options, Session};
//! let session = Session::open("atlas.zarr", Options::default())?;
//! let adata = LazyAnnData::new(&session, session.root())?;
//! let source = Source::of_object(&adata)?;
//! let options = WriteOptions { layout: Layout::preset("random", 3)?, ..WriteOptions::default() };
//! let written = write(source, "out.zarr", &options, &Call::default())?;
//! println!("{} files, {} bytes", written.files, written.bytes);
//! # Ok::<(), lazarr::Error>(())
//! ```

mod append;
mod array;
mod cast;
mod documents;
mod edit;
mod element;
mod encode;
#[cfg(feature = "remote")]
mod far;
mod job;
mod log;
mod manifest;
mod old;
mod out;
mod request;
mod source;
mod turn;

use std::path::Path;
use std::time::Duration;

use lazarr_format::encode::{Facts, IndexWidth, Layout, Rule};
use lazarr_format::{Code, DataType, Error, Result};
#[cfg(not(feature = "remote"))]
use lazarr_store::draft::Halt;
use lazarr_store::draft::{Draft, DraftOptions, Fault, LocalDraft, Request};
use lazarr_store::{StoreOptions, redacted, scheme};

use crate::call::Call;
pub use append::append;
pub use edit::write_into;
#[cfg(feature = "remote")]
use far::{aside, change_far, write_far};
use job::Job;
pub use manifest::{Manifest, check_manifest};
pub use source::{Blocks, Group, Source};

/// Is told which element is written, and how many rows of it are; an error ends the writing.
pub type Tell<'a> = &'a (dyn Fn(&str, u64) -> Result<()> + Sync);

/// Says what holds for one array, beyond the layout: by its path, what is known of it, and the type of its items.
pub type Choose<'a> = &'a (dyn Fn(&str, &Facts<'_>, &DataType) -> Result<Option<Rule>> + Sync);

/// How a store is written.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct WriteOptions<'a> {
    /// How arrays are cut and compressed.
    pub layout: Layout,
    /// What holds for single arrays; it wins over the layout. The path of its rule is that of the array.
    pub choose: Option<Choose<'a>>,
    /// Replace what is there.
    pub overwrite: bool,
    /// Do not wait for the disk: fast, and not safe from a loss of power.
    pub no_sync: bool,
    /// Go on with what an earlier writer of the same has left, and leave what is done where this one ends before its end;
    /// begins where nothing is left. In an object store an element that was under way is written anew.
    pub resume: bool,
    /// How long an element is written until it is noted how far it is, so that it can be gone on with from there.
    pub checkpoint: Duration,
    /// What a store over a network is written with, as [`Options::storage`](crate::Options::storage) of reading.
    pub storage: StoreOptions,
    /// Is told which element is written, and how many rows of it are; of what an earlier writer has done, that it is there.
    pub progress: Option<Tell<'a>>,
    /// For tests: what fails.
    pub fault: Fault,
    /// For tests: behave as a file system that cannot exchange two names.
    pub no_exchange: bool,
}

impl Default for WriteOptions<'_> {
    fn default() -> Self {
        Self {
            // The default preset is known.
            layout: Layout::preset("rows", 3).unwrap_or(Layout {
                zarr_format: 3,
                indices: IndexWidth::default(),
                rules: Vec::new(),
            }),
            choose: None,
            overwrite: false,
            no_sync: false,
            resume: false,
            checkpoint: Duration::from_secs(10),
            storage: StoreOptions::default(),
            progress: None,
            fault: Fault::default(),
            no_exchange: false,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Chunks and shards, without metadata.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Arrays.
    pub arrays: u64,
}

/// Writes to a path of the local file system (also `file://`), whole or not at all; or to an object store (`s3://`, `gs://`,
/// `az://`), where the root's documents come last, and replacing a store is not atomic.
///
/// With [`WriteOptions::resume`] a write that has ended before its end is gone on with, by the same call: elements that are
/// done stay, and the one that was under way goes on where it was last noted (of an object store, from its start). What is
/// read and what stands there in the end is what it would have been.
///
/// Errors: those of reading the source; `StoreExists`, `Locked`, `NoSpace`, `WriteIo`; `Layout` where the layout does not
/// fit; `NotWritten` where something has no form in the format; `NotResumed` where what was begun is not the same.
///
/// ```no_run
/// use lazarr::write::{Source, WriteOptions, write};
/// use lazarr::{Call, LazyAnnData, Options, Session};
/// let session = Session::open("atlas.zarr", Options::default())?;
/// let source = Source::of_object(&LazyAnnData::new(&session, session.root())?)?;
/// let options = WriteOptions { resume: true, ..WriteOptions::default() };
/// write(source, "out.zarr", &options, &Call::default())?;
/// # Ok::<(), lazarr::Error>(())
/// ```
pub fn write(source: Source<'_>, path: &str, options: &WriteOptions<'_>, call: &Call<'_>) -> Result<Written> {
    if !is_local(path) {
        return write_far(source, path, options, call).map_err(|e| resumable(e, options));
    }
    let place = local(path, "written")?;
    let request = request::request(&source, options, call)?;
    let draft = DraftOptions {
        overwrite: options.overwrite,
        request: request.map(|text| Request { text, resume: options.resume, differs: request::differs }),
        // What is known to be needed in any case: no codec makes less of real data.
        expected: source.bytes() / 64,
        no_sync: options.no_sync,
        fault: options.fault.clone(),
        no_exchange: options.no_exchange,
    };
    let mut draft = LocalDraft::begin(Path::new(place), draft)?;
    let done = write_to(source, &draft, options, call).and_then(|written| {
        draft.publish()?;
        Ok(written)
    });
    done.map_err(|e| resumable(e, options))
}

/// An error after which can be gone on, where that was asked for.
fn resumable(e: Error, options: &WriteOptions<'_>) -> Error {
    match e.code() {
        Code::NoSpace if options.resume => {
            e.help("Make room, and go on with resume=True (--resume): what is written stays")
        }
        Code::Interrupted if options.resume => {
            e.help("Go on with resume=True (--resume): what is written stays")
        }
        _ => e,
    }
}

/// Whether interrupted writes to buckets are still clearing up what they have put there. That goes on beside while the
/// process lives, a minute at most: before it ends, who wants nothing to be left waits until this is false.
#[must_use]
pub fn is_clearing() -> bool {
    #[cfg(feature = "remote")]
    return lazarr_store::is_clearing();
    #[cfg(not(feature = "remote"))]
    false
}

fn is_local(path: &str) -> bool {
    scheme(path).is_none_or(|scheme| scheme == "file")
}

/// The path of a local store.
fn local<'p>(path: &'p str, what: &str) -> Result<&'p str> {
    match scheme(path).as_deref() {
        None => Ok(path),
        Some("file") => Ok(&path["file://".len()..]),
        Some(scheme) => Err(Error::new(Code::StoreUrl, format!("`{scheme}://` stores cannot be {what} yet"))
            .expected("a path, or file://")
            .found(redacted(path))),
    }
}

#[cfg(not(feature = "remote"))]
fn not_here(url: &str) -> Error {
    Error::new(Code::StoreUrl, "this build writes no stores over a network (feature `remote`)")
        .expected("a path, or file://")
        .found(redacted(url))
}

#[cfg(not(feature = "remote"))]
fn write_far(_: Source<'_>, url: &str, _: &WriteOptions<'_>, _: &Call<'_>) -> Result<Written> {
    Err(not_here(url))
}

#[cfg(not(feature = "remote"))]
fn change_far(url: &str, _: &WriteOptions<'_>, _: &Halt) -> Result<edit::Edit> {
    Err(not_here(url))
}

#[cfg(not(feature = "remote"))]
fn aside<T>(call: &Call<'_>, _: &Halt, act: impl FnOnce(&Call<'_>) -> Result<T>) -> Result<T> {
    act(call)
}

/// Writes into a draft, metadata last; publishing it is the caller's.
pub fn write_to(
    source: Source<'_>,
    draft: &dyn Draft,
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    let job = Job::new(draft, options, call);
    let _sent = job.budget.charge(draft.holds()[1], "values on their way")?;
    element::write(&job, "", source)?;
    job.finish()
}
