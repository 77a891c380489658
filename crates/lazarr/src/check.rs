//! Whether a store holds what its metadata says, and what is wrong where it does not.
//!
//! A quick check looks at what is cheap: every element's metadata, the lengths that must agree, the ends of each `indptr`,
//! and what lies in the store without belonging to it. A deep check also reads every chunk, through the same road as
//! everything else and within the memory limit of the call, and looks at what arrays say of each other: ascending row
//! starts, indices and codes that point at something, text that is text. It goes on after a fault, so that one report
//! names all of them.
//!
//! ```no_run
//! use lazarr::check::{Depth, check};
//! use lazarr::{Call, Options, Session};
//! let session = Session::open("atlas.zarr", Options::default())?;
//! let report = check(&session, &Call::default(), Depth::Deep, &|_| {})?;
//! for finding in &report.findings {
//!     println!("{}: {}", finding.element, finding.message);
//! }
//! # Ok::<(), lazarr::Error>(())
//! ```

mod arrays;
mod sparse;
mod stale;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use lazarr_format::anndata::{Body, Element, SparseFormat};
use lazarr_format::{ArrayRef, Code, Error, Kind, Result};
use lazarr_store::Meter;

use crate::axis::Step;
use crate::call::Call;
use crate::inventory::Inventory;
use crate::lazy::Lazy;
use crate::session::Session;
use crate::value::Value;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Metadata, lengths, the ends of row starts, the names of files.
    Quick,
    /// Every chunk as well.
    Deep,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; everything can be read.
    Notice,
    /// Something cannot be read, or would be read wrongly.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The code of the error that reading it would be (`LZ0302`); of a notice one of `unconsolidated`,
    /// `stale-metadata`, `stray-file`, `not-anndata`, `unsorted-indices`, `duplicate-indices`.
    pub code: &'static str,
    /// What a caller can do about an error; `None` of notices.
    pub kind: Option<Kind>,
    /// The element or array; empty for the store as a whole.
    pub element: String,
    /// The key in the store, where one is known.
    pub key: Option<String>,
    /// A sentence.
    pub message: String,
}

/// The chunks of an array that are not stored, and stand for the fill value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The array.
    pub array: String,
    /// Chunks that are not there (inner chunks, where the array is sharded).
    pub chunks: u64,
    /// Chunks of the whole array.
    pub of: u64,
}

/// What was checked and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, errors and notices, in the order of the store. At most a thousand.
    pub findings: Vec<Finding>,
    /// Findings beside those that are named.
    pub more: u64,
    /// How many findings are errors, named or not.
    pub errors: u64,
    /// Elements that were looked at, groups included.
    pub elements: u64,
    /// Arrays that were read; 0 for a quick check.
    pub arrays: u64,
    /// Chunks that were decoded.
    pub chunks: u64,
    /// Bytes that were fetched.
    pub bytes: u64,
    /// Arrays with chunks that are not stored. Only of a deep check.
    pub filled: Vec<Filled>,
    /// Whether files were compared with metadata: false where the store cannot be listed.
    pub listed: bool,
}

impl Report {
    /// Whether there is no error.
    pub fn is_well(&self) -> bool {
        self.errors == 0
    }

    fn add(&mut self, finding: Finding) {
        self.errors += u64::from(finding.severity == Severity::Error);
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn error(&mut self, element: &str, e: &Error) {
        self.add(Finding {
            severity: Severity::Error,
            code: e.code().id(),
            kind: Some(e.kind()),
            element: e.element_name().unwrap_or(element).to_owned(),
            key: e.key_name().map(str::to_owned),
            message: e.to_string(),
        });
    }

    fn notice(&mut self, code: &'static str, element: &str, key: Option<&str>, message: String) {
        self.add(Finding {
            severity: Severity::Notice,
            code,
            kind: None,
            element: element.to_owned(),
            key: key.map(str::to_owned),
            message,
        });
    }
}

/// So many findings are named.
const FINDINGS: usize = 1000;

/// Told the path of each element before it is looked at.
pub type Progress<'p> = &'p dyn Fn(&str);

/// A check under way.
struct Check<'c> {
    session: &'c Arc<Session>,
    call: Call<'c>,
    meter: Arc<Meter>,
    progress: Progress<'c>,
    report: Report,
}

/// Checks a store. Errors only where it cannot go on: the root is broken, or the caller stops it; all else is in the
/// report. Memory is bounded by the limit of the call; what needs more is a finding of code `LZ0601`.
pub fn check(
    session: &Arc<Session>,
    call: &Call<'_>,
    depth: Depth,
    progress: Progress<'_>,
) -> Result<Report> {
    let meter: Arc<Meter> = Arc::default();
    let call = Call { meter: Some(meter.clone()), ..call.clone() };
    let mut check = Check { session, call, meter, progress, report: Report::default() };
    if let Body::Broken(e) = &session.root().body {
        return Err(e.again());
    }
    for notice in session.notices() {
        check.report.notice("unconsolidated", "", None, notice.clone());
    }
    check.files()?;
    if depth == Depth::Deep && session.consolidated() {
        stale::compare(session, &mut check.report)?;
    }
    let mut open = vec![session.root().clone()];
    // The indices of tables, which are read as names.
    let mut tables: HashMap<String, Element> = HashMap::new();
    while let Some(element) = open.pop() {
        check.poll()?;
        (check.progress)(&element.path);
        check.report.elements += 1;
        check.quick(&element)?;
        if depth == Depth::Deep {
            if let Body::DataFrame(frame) = &element.body {
                tables.insert(frame.index.path.clone(), element.clone());
            }
            let names = tables.remove(&element.path).map(|frame| Lazy::new(session, &frame).names());
            check.deep(&element, names.transpose()?)?;
        }
        open.extend(element.children().into_iter().rev().map(|(_, child)| child));
    }
    check.report.chunks = check.meter.chunks();
    check.report.bytes = check.meter.bytes();
    Ok(check.report)
}

impl Check<'_> {
    /// What lies in the store, and what does not.
    fn files(&mut self) -> Result<()> {
        let inventory = match Inventory::take(self.session) {
            Ok(inventory) => inventory,
            Err(e) if e.code() == Code::Operation => return Ok(()),
            Err(e) if e.code() == Code::Interrupted => return Err(e),
            Err(e) => {
                self.report.error("", &e);
                return Ok(());
            }
        };
        self.report.listed = true;
        for path in inventory.gone() {
            let message =
                format!("consolidated metadata names `{path}`, but its own metadata is not in the store");
            self.report.notice("stale-metadata", path, None, message);
        }
        for stray in inventory.strays() {
            let size = lazarr_plan::human_bytes(stray.bytes);
            if stray.node && self.session.consolidated() {
                let message = format!(
                    "`{}` has metadata of its own, but consolidated metadata does not name it",
                    stray.key
                );
                self.report.notice("stale-metadata", &stray.key, None, message);
            } else {
                let message = match stray.files {
                    1 => format!("`{}` belongs to no array and no group ({size})", stray.key),
                    n => format!("`{}` belongs to no array and no group ({n} files, {size})", stray.key),
                };
                self.report.notice("stray-file", "", Some(&stray.key), message);
            }
        }
        self.report.more += inventory.more_strays();
        Ok(())
    }

    fn quick(&mut self, element: &Element) -> Result<()> {
        match &element.body {
            Body::Broken(e) => self.report.error(&element.path, e),
            Body::AnnData(object) => {
                for (name, extra) in &object.extra {
                    let message =
                        format!("`{name}` is no part of an AnnData: anndata refuses to read such a store");
                    self.report.notice("not-anndata", &extra.path, None, message);
                }
            }
            Body::Sparse(s) => self.ends(&element.path, s)?,
            _ => {}
        }
        Ok(())
    }

    /// The first and the last row start.
    fn ends(&mut self, path: &str, s: &lazarr_format::anndata::Sparse) -> Result<()> {
        let last = s.major_len();
        for (at, expected) in [(0, 0), (last, s.nnz())] {
            let found = self.window_1d(&s.indptr, at..at + 1).map(|value| {
                let mut found = None;
                if let Value::Dense(d) = &value {
                    crate::counts::each_int(&d.dtype, d.data.as_slice(), |_, x| found = Some(x));
                }
                found
            });
            match found {
                Ok(Some(x)) if u64::try_from(x) == Ok(expected) => {}
                Ok(x) => {
                    let e = Error::new(
                        Code::SparseIndptr,
                        "indptr does not run from 0 to the number of stored values",
                    )
                    .element(path)
                    .expected(format!("{expected} at position {at}"))
                    .found(x.map_or_else(|| "nothing".to_owned(), |x| x.to_string()));
                    self.report.error(path, &e);
                }
                Err(e) if e.code() == Code::Interrupted => return Err(e),
                Err(e) => self.report.error(path, &e),
            }
        }
        Ok(())
    }

    /// Reads every chunk of an element's own arrays. `names`: the element as the index of its table.
    fn deep(&mut self, element: &Element, names: Option<Lazy>) -> Result<()> {
        let (faults, filled) = (self.report.errors, self.report.filled.len());
        match &element.body {
            Body::Dense(a) | Body::Scalar(a) => {
                self.array(a, |_, _, _| Ok(()))?;
                if names.is_none() {
                    return Ok(()); // here the fill value is always right
                }
            }
            Body::Strings(a) => {
                self.array(a, |_, _, _| Ok(()))?;
            }
            Body::Nullable(n) => {
                self.array(&n.values, |_, _, _| Ok(()))?;
                self.array(&n.mask, |_, _, _| Ok(()))?;
            }
            Body::Awkward(a) => {
                for (_, buffer) in &a.buffers {
                    self.array(buffer, |_, _, _| Ok(()))?;
                }
            }
            Body::Categorical(c) => {
                self.codes(element, c)?;
                self.deep(&c.categories, None)?;
            }
            Body::Sparse(s) => self.sparse(element, s)?,
            _ => return Ok(()),
        }
        // Whether the fill value can be right, only the reader of the element knows.
        if self.report.filled.len() > filled && self.report.errors == faults {
            let by_columns = matches!(&element.body, Body::Sparse(s) if s.format == SparseFormat::Csc);
            let lazy = names.unwrap_or_else(|| Lazy::new(self.session, element));
            self.read_all(&lazy, usize::from(by_columns))?;
        }
        Ok(())
    }

    /// Reads an element as a user would, in blocks along one axis. The first error ends it.
    fn read_all(&mut self, lazy: &Lazy, axis: usize) -> Result<()> {
        let path = lazy.element().path.clone();
        let outcome = match lazy.axes().get(axis).and_then(|a| a.count()) {
            None => lazy.collect(&self.call).map(drop),
            Some(n) => {
                let per_item = crate::decoded_bytes(lazy.element()).value / n.max(1) + 1;
                let step = (self.room() / per_item).max(1);
                let mut at = 0;
                loop {
                    if at >= n {
                        break Ok(());
                    }
                    let end = at.saturating_add(step).min(n);
                    let part = Step::Slice(Some(at as i64), Some(end as i64), None);
                    if let Err(e) = lazy.select(axis, part).and_then(|l| l.collect(&self.call)) {
                        break Err(e);
                    }
                    at = end;
                }
            }
        };
        match outcome {
            Err(e) if e.code() == Code::Interrupted => Err(e),
            Err(e) => {
                self.report.error(&path, &e);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Asks whether to stop: each read of a check may be too short to ask itself.
    fn poll(&self) -> Result<()> {
        match self.call.interrupt {
            Some(stop) if stop() => Err(Error::new(Code::Interrupted, "the check was stopped")),
            _ => Ok(()),
        }
    }

    /// Bytes of a window: a small share of the limit, since what reading needs beside it counts, too.
    fn room(&self) -> u64 {
        let limit = self.call.memory_limit.unwrap_or_else(|| self.session.memory_limit());
        (limit / 8).clamp(1, 64 << 20)
    }

    /// A part of an array of one dimension.
    fn window_1d(&self, array: &ArrayRef, part: Range<u64>) -> Result<Value> {
        self.window(array, std::slice::from_ref(&part))
    }

    /// A part of an array, whatever it is a part of.
    fn window(&self, array: &ArrayRef, part: &[Range<u64>]) -> Result<Value> {
        self.poll()?;
        let body = if array.shape.is_empty() {
            Body::Scalar(array.clone())
        } else if array.dtype.is_vlen() {
            Body::Strings(array.clone())
        } else {
            Body::Dense(array.clone())
        };
        let element = Element {
            path: array.path.clone(),
            encoding_type: String::new(),
            encoding_version: String::new(),
            body,
            attributes: Arc::default(),
        };
        let mut lazy = Lazy::new(self.session, &element);
        for (axis, range) in part.iter().enumerate() {
            lazy = lazy.select(axis, Step::Slice(Some(range.start as i64), Some(range.end as i64), None))?;
        }
        lazy.collect(&self.call)
    }
}
