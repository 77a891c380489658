//! Labels: names that are looked for, block by block or where they are decoded.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::Index;

use super::blocks::{blocks, range, read, texts};
use super::{scan, scannable};
use crate::axis::Axis;
use crate::call::Run;
use crate::exec::sink::Items;
use crate::ledger::{Budget, Charge};
use crate::program::Visit;
use crate::value::Value;

/// Calls `f(position in base, name)` for every name, block by block.
fn each_name(axis: &Axis, base: &Index, run: &Run<'_>, mut f: impl FnMut(u64, &str)) -> Result<()> {
    let column = axis.column(None)?;
    let mut at = 0;
    for block in blocks(base, std::slice::from_ref(&column), run) {
        let rows = base.compose(&block)?;
        let values = read(axis, std::slice::from_ref(&column), &rows, run)?;
        match values.first() {
            Some(Value::Strings(s)) => {
                for i in 0..s.len() {
                    f(at, std::str::from_utf8(s.get(i).unwrap_or_default()).unwrap_or_default());
                    at += 1;
                }
            }
            Some(other) => {
                for name in texts(other).map_err(|e| e.element(&*column.path))? {
                    f(at, &name);
                    at += 1;
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Shows every name to a visitor, where it is decoded; else one after the other.
fn look_through(axis: &Axis, base: &Index, run: &Run<'_>, names: &Arc<impl Names + 'static>) -> Result<()> {
    let column = axis.column(None)?;
    let scannable = scannable(axis, base, std::slice::from_ref(&column))?;
    if let Some([column]) = scannable.as_deref().filter(|c| c[0].dtype == DataType::String) {
        let visit: Arc<dyn Visit> = Arc::new(Shown(names.clone()));
        return scan(&[(column.clone(), visit)], base, run);
    }
    let mut refused = Ok(());
    each_name(axis, base, run, |at, name| {
        if refused.is_ok() {
            refused = names.see(at, std::iter::once(name.as_bytes()));
        }
    })?;
    refused
}

/// Is shown names, by several threads.
trait Names: Send + Sync {
    /// The names from place `first` on.
    fn see<'n>(&self, first: u64, names: impl Iterator<Item = &'n [u8]>) -> Result<()>;
}

struct Shown<N>(Arc<N>);

impl<N: Names> Visit for Shown<N> {
    fn visit(&self, first: u64, items: Items<'_>) -> Result<()> {
        let Items::Vlen(chunk) = items else {
            return Err(Error::new(Code::Internal, "names came as items of fixed size"));
        };
        let name = |w: &[u64]| chunk.bytes.get(w[0] as usize..w[1] as usize).unwrap_or_default();
        self.0.see(first, chunk.offsets.windows(2).map(name))
    }
}

/// Looks for names in a set of labels. Most names are not in it: a bit each of what they may be says so without a look.
struct Find {
    /// The number of each label.
    labels: HashMap<Vec<u8>, usize>,
    may: Vec<u64>,
    budget: Budget,
    /// The numbers and places that were found.
    found: Mutex<(Vec<(usize, u64)>, Charge)>,
}

/// Bits of [`Find::may`]: these stay in the cache of a core.
const MAY: u64 = 1 << 17;

impl Find {
    fn new(labels: &[String], budget: &Budget) -> Self {
        let mut may = vec![0; (MAY / 64) as usize];
        let mut numbers = HashMap::with_capacity(labels.len());
        for label in labels {
            let next = numbers.len();
            numbers.entry(label.as_bytes().to_vec()).or_insert(next);
            let bit = Self::bit(label.as_bytes());
            may[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        Self { labels: numbers, may, budget: budget.clone(), found: Mutex::new((Vec::new(), budget.open())) }
    }

    /// Names differ at their ends.
    fn bit(name: &[u8]) -> u64 {
        let word = name.last_chunk::<8>().map_or_else(
            || name.iter().fold(0, |word, &b| word << 8 | u64::from(b)),
            |end| u64::from_le_bytes(*end),
        );
        (word ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - MAY.trailing_zeros())
    }
}

impl Names for Find {
    fn see<'n>(&self, first: u64, names: impl Iterator<Item = &'n [u8]>) -> Result<()> {
        let mut found = Vec::new();
        for (at, name) in (first..).zip(names) {
            let bit = Self::bit(name);
            if self.may[(bit / 64) as usize] >> (bit % 64) & 1 == 1
                && let Some(&label) = self.labels.get(name)
            {
                found.push((label, at));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        // Twice: a vector that grows is there twice for a moment.
        let charge = self.budget.charge(2 * size_of_val(&*found) as u64, "the places of names")?;
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.append(&mut found);
        all.1.absorb(charge);
        Ok(())
    }
}

pub(super) fn find(axis: &Axis, base: &Index, labels: &[String], run: &Run<'_>) -> Result<Index> {
    let looked = Arc::new(Find::new(labels, &run.cx.budget));
    look_through(axis, base, run, &looked)?;
    let mut found = looked.found.lock().unwrap_or_else(PoisonError::into_inner);
    found.0.sort_unstable();
    let mut out = Vec::with_capacity(labels.len());
    for label in labels {
        let number = looked.labels.get(label.as_bytes()).copied().unwrap_or(usize::MAX);
        let from = found.0.partition_point(|f| f.0 < number);
        let before = out.len();
        out.extend(found.0[from..].iter().take_while(|f| f.0 == number).map(|f| f.1));
        if out.len() == before {
            drop(found);
            return Err(unknown(axis, base, label, run));
        }
    }
    Index::positions(out).with_axis(base.len())
}

/// The error for a name that is not there, with the nearest that are.
fn unknown(axis: &Axis, base: &Index, label: &str, run: &Run<'_>) -> Error {
    let mut nearest = lazarr_plan::Nearest::new(label);
    let looked = each_name(axis, base, run, |_, name| nearest.see(name));
    let of = if axis.path.is_empty() { "the table" } else { &axis.path };
    let error = Error::new(Code::LabelNotFound, format!("`{label}` is not among the names of {of}"))
        .element(axis.path.clone());
    match looked {
        Ok(()) => error.help(format!("The nearest are {}", nearest.text())),
        Err(e) => error.source(e),
    }
}

/// The first place of one name and the last of another.
struct Ends {
    start: Option<String>,
    stop: Option<String>,
    first: AtomicU64,
    /// One past it; 0 where it was not seen.
    last: AtomicU64,
}

impl Names for Ends {
    fn see<'n>(&self, first: u64, names: impl Iterator<Item = &'n [u8]>) -> Result<()> {
        let (start, stop) =
            (self.start.as_deref().map(str::as_bytes), self.stop.as_deref().map(str::as_bytes));
        for (at, name) in (first..).zip(names) {
            if Some(name) == start {
                self.first.fetch_min(at, Relaxed);
            }
            if Some(name) == stop {
                self.last.fetch_max(at + 1, Relaxed);
            }
        }
        Ok(())
    }
}

pub(super) fn slice(
    axis: &Axis,
    base: &Index,
    start: Option<&str>,
    stop: Option<&str>,
    run: &Run<'_>,
) -> Result<Index> {
    let ends = Arc::new(Ends {
        start: start.map(str::to_owned),
        stop: stop.map(str::to_owned),
        first: AtomicU64::new(u64::MAX),
        last: AtomicU64::new(0),
    });
    look_through(axis, base, run, &ends)?;
    let from = match (start, ends.first.load(Relaxed)) {
        (None, _) => 0,
        (Some(label), u64::MAX) => return Err(unknown(axis, base, label, run)),
        (Some(_), at) => at,
    };
    let to = match (stop, ends.last.load(Relaxed)) {
        (None, _) => base.len(),
        (Some(label), 0) => return Err(unknown(axis, base, label, run)),
        (Some(_), after) => after, // a slice of labels includes its end
    };
    Ok(range(from, to.max(from), base.len()))
}

/// A mask whose items are labelled: by label where the labels are the names in any order, else refused.
pub(super) fn align(
    axis: &Axis,
    base: &Index,
    labels: &[String],
    mask: &[bool],
    run: &Run<'_>,
) -> Result<Index> {
    let refuse = |what: &str| {
        Err(Error::new(Code::IndexKind, format!("a labelled mask does not fit {}: {what}", axis.path))
            .help("Align it first, or pass mask.to_numpy() to select by position"))
    };
    if labels.len() as u64 != base.len() {
        return refuse(&format!("it has {} labels for {} names", labels.len(), base.len()));
    }
    let by_label: HashMap<&str, bool> = labels.iter().map(String::as_str).zip(mask.iter().copied()).collect();
    let unique = by_label.len() == labels.len();
    let (mut same, mut known, mut seen) = (true, true, HashSet::new());
    let mut out = Vec::with_capacity(mask.len());
    each_name(axis, base, run, |at, name| {
        same &= labels.get(at as usize).is_some_and(|l| l == name);
        match by_label.get(name) {
            Some(&wanted) => out.push(wanted),
            None => known = false,
        }
        if !same && !seen.insert(name.to_owned()) {
            known = false;
        }
    })?;
    if same {
        return Index::mask(mask, base.len());
    }
    if !unique || !known {
        return refuse("its labels are not the names");
    }
    Index::mask(&out, base.len())
}
