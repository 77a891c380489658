//! More cells of the same genes at the end of a store.
//!
//! What the store becomes is what [`concat()`] makes of it and what is new; of that, each array takes the rows that its files
//! do not have. Files of whole chunks (shards) stay, and the last one that is not full is read and written anew.

use lazarr_format::anndata::{Body, Element, Sparse, SparseFormat};
use lazarr_format::encode::Role;
use lazarr_format::{ArrayMeta, Code, Error, Result};

use super::edit::{Edit, changing};
use super::element::{self, join, rows_of};
use super::job::Job;
use super::manifest::without;
use super::old::Old;
use super::out::{Known, Out};
use super::source::Source;
use super::{WriteOptions, Written};
use crate::axis::Step;
use crate::buffer::Buffer;
use crate::call::Call;
use crate::concat::{Concat, Concatenation, begins_with, concat, concat_of, joined_ordered, names_of};
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::value::{Dense, Value};

/// Appends the cells of other objects, which have the same genes, to a store: whole or not at all; in a bucket, for whoever
/// reads by the consolidated metadata, which is put last. `drop` names elements that would have to grow and cannot, and are
/// taken out.
///
/// Every element along the cells grows. Full chunks and shards stay the files that they are; only what comes behind them is
/// written. Arrays that cannot go on (another type is needed, a codec that is not written) are written anew, as they are cut.
///
/// Errors: `Operation` where genes differ, an element is missing in what is new, ordered categories differ, or `obsp` has
/// elements; those of [`concat()`] and of [`write_into`](super::write_into).
///
/// ```no_run
/// use lazarr::write::{WriteOptions, append};
/// use lazarr::{Call, LazyAnnData, Options, Session};
/// let session = Session::open("new.zarr", Options::default())?;
/// let new = LazyAnnData::new(&session, session.root())?;
/// let written = append("atlas.zarr", &[new], &[], &WriteOptions::default(), &Call::default())?;
/// println!("{} files", written.files);
/// # Ok::<(), lazarr::Error>(())
/// ```
pub fn append(
    path: &str,
    new: &[LazyAnnData],
    drop: &[String],
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    if new.is_empty() {
        return Err(Error::new(Code::Operation, "there is nothing to append").expected("at least one object"));
    }
    let of = |n: &LazyAnnData| Ok(Source::of_object(n)?.bytes() / 64);
    let expected = new.iter().map(of).sum::<Result<u64>>()?;
    changing(path, call, |call, halt| {
        grow(Edit::begin(path, expected, options, halt)?, new, drop, options, call)
    })
}

fn grow(
    mut edit: Edit,
    new: &[LazyAnnData],
    drop: &[String],
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    let session = edit.session.clone();
    let old = LazyAnnData::new(&session, session.root())?;
    let drop: Vec<&str> = drop.iter().map(|p| p.trim_matches('/')).collect();
    for path in &drop {
        edit.take_out(path, false)?;
    }
    let gone = |path: &str| {
        drop.iter().any(|d| path == *d || path.strip_prefix(d).is_some_and(|r| r.starts_with('/')))
    };
    same_genes(&old, new, "var", call)?;
    let with_raw = old.object().raw.is_some() && !gone("raw") && !gone("raw/X");
    if with_raw {
        if new.iter().any(|n| n.object().raw.is_none()) {
            return Err(lacks("raw"));
        }
        same_genes(&old, new, "raw/var", call)?;
    }
    if let Some((name, _)) = old.object().obsp.children().iter().find(|(n, _)| !gone(&format!("obsp/{n}"))) {
        return Err(Error::new(Code::Operation, "what stands between pairs of cells cannot grow")
            .element(format!("obsp/{name}"))
            .help("Take it out: drop=[\"obsp\"], --drop obsp; and compute it anew"));
    }
    let parts: Vec<_> = std::iter::once(old.clone()).chain(new.iter().cloned()).collect();
    let all = concat(&parts, &Concatenation::default(), call)?;
    let layout = edit.layout(options);
    let options = WriteOptions { layout, ..options.clone() };
    let mut job = Job::new(&*edit.draft, &options, call);
    job.taken = edit.documents.keys();
    let _sent = job.budget.charge(edit.draft.holds()[1], "values on their way")?;
    let grows = growing(&old, &all, with_raw, &gone)?;
    for array in grows.iter().flat_map(|g| g.old.arrays()) {
        let mut known = Old::new(&array, edit.documents.array(&array.path)?.as_ref());
        if known.cutting.is_some() && !array.shape.is_empty() {
            known.stays = without(
                &session.io,
                &array,
                known.start() / array.chunk_shape.first().copied().unwrap_or(1).max(1),
            )?;
        }
        job.old.insert(array.path.clone(), known);
    }
    let mut anew = Vec::new();
    for grow in &grows {
        if !grow.run(&job).map_err(|e| e.element(&*grow.old.path))? {
            anew.push(grow.old.path.clone());
        }
    }
    let went_on: Vec<String> = job.old.keys().filter(|p| job.went_on(p)).cloned().collect();
    let (made, written) = job.documents();
    std::mem::drop(job);
    for path in &anew {
        edit.documents.removed(path);
    }
    for (key, bytes) in made {
        edit.documents.merge(&key, &bytes, &|path| went_on.iter().any(|p| p == path))?;
    }
    let names: Vec<String> = grows.into_iter().map(|g| g.old.path).collect();
    edit.finish(&names)?;
    Ok(written)
}

fn lacks(path: &str) -> Error {
    Error::new(Code::Operation, "what is appended has no such element")
        .element(path)
        .help("Add it to what is new, or take it out of the store: drop=[...], --drop; or join both: lz.concat, `lazarr concat`")
}

fn same_genes(old: &LazyAnnData, new: &[LazyAnnData], table: &str, call: &Call<'_>) -> Result<()> {
    let names = |object: &LazyAnnData| names_of(&object.get(table)?, call);
    let mine = names(old)?;
    for (k, object) in new.iter().enumerate() {
        let theirs = names(object)?;
        if mine == theirs {
            continue;
        }
        let first =
            mine.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(mine.len().min(theirs.len()));
        let word = |all: &[String]| match all.get(first) {
            Some(name) => format!("`{name}` at {first}, {} in all", all.len()),
            None => format!("{} genes", all.len()),
        };
        return Err(Error::new(Code::Operation, format!("object {k} has other genes than the store"))
            .element(table)
            .expected(word(&mine))
            .found(word(&theirs))
            .help("Choose the same genes, in the same order; or write both to a new store: lz.concat, `lazarr concat`"));
    }
    Ok(())
}

/// An element of the store, and what it becomes.
struct Grow {
    old: Element,
    all: Lazy,
    role: Role,
}

/// All leaves along the cells.
fn growing(
    old: &LazyAnnData,
    all: &LazyAnnData,
    with_raw: bool,
    gone: &dyn Fn(&str) -> bool,
) -> Result<Vec<Grow>> {
    let mut out = Vec::new();
    let object = old.object();
    let mut add = |path: &str, element: &Element| -> Result<()> {
        if gone(path) {
            return Ok(());
        }
        let joined = all.get(path).map_err(|_| lacks(path))?;
        leaves(element, &joined, path, gone, &mut out)
    };
    if let Some(x) = &object.x {
        add("X", x)?;
    }
    for (place, mapping) in [("layers", &object.layers), ("obsm", &object.obsm)] {
        for (name, element) in mapping.children() {
            add(&format!("{place}/{name}"), &element)?;
        }
    }
    if let Some(x) = object.raw.as_ref().filter(|_| with_raw).and_then(|raw| raw.x.as_ref()) {
        add("raw/X", x)?;
    }
    add("obs", &object.obs)?;
    Ok(out)
}

fn leaves(
    old: &Element,
    all: &Lazy,
    path: &str,
    gone: &dyn Fn(&str) -> bool,
    out: &mut Vec<Grow>,
) -> Result<()> {
    if let Body::Broken(why) = &all.element().body {
        return Err(why.again().element(path));
    }
    let Body::DataFrame(frame) = &old.body else {
        // Another width would lose what the store has.
        let (mine, theirs) = (old.shape().unwrap_or_default(), all.element().shape().unwrap_or_default());
        if mine.get(1..) != theirs.get(1..) {
            return Err(Error::new(Code::Operation, "what is appended has another width")
                .element(path)
                .expected(format!("{mine:?}"))
                .found(format!("{theirs:?} of all"))
                .help("Take it out: drop=[...], --drop; or join both: lz.concat, `lazarr concat`"));
        }
        out.push(Grow { old: old.clone(), all: all.clone(), role: Role::Other });
        return Ok(());
    };
    out.push(Grow { old: frame.index.clone(), all: all.names()?, role: Role::Column });
    for (name, column) in frame.columns.iter().filter(|(n, _)| *n != frame.index_key) {
        let at = format!("{path}/{name}");
        if gone(&at) {
            continue;
        }
        let joined = all.column(name).map_err(|_| lacks(&at))?;
        let kept = match (&column.body, &joined.element().body) {
            (Body::Categorical(c), Body::Joined(j)) if c.ordered => joined_ordered(&**j) == Some(true),
            _ => true,
        };
        if !kept {
            return Err(Error::new(Code::Operation, "ordered categories are not the same in all objects")
                .element(at)
                .help("Make them the same first: their order is part of what they mean"));
        }
        out.push(Grow { old: column.clone(), all: joined, role: Role::Column });
    }
    Ok(())
}

impl Grow {
    /// Writes what the store does not have. False where the whole was written anew.
    fn run(&self, job: &Job<'_>) -> Result<bool> {
        let path = &*self.old.path;
        job.poll()?;
        job.tell(path, 0)?;
        let begins = |array: &ArrayMeta| job.old.get(&array.path).map_or(0, Old::start);
        let (row, stored) = match &self.old.body {
            Body::Dense(a) | Body::Strings(a) => (begins(a), 0),
            Body::Categorical(c) => (begins(&c.codes), 0),
            Body::Nullable(n) => (begins(&n.values).min(begins(&n.mask)), 0),
            Body::Sparse(s) if s.format == SparseFormat::Csr => {
                self.row_of(s, begins(&s.data).min(begins(&s.indices)), job.call)?
            }
            _ => (0, 0),
        };
        for (row, stored) in [(row, stored), (0, 0)] {
            if let Some(done) = self.grow(job, row, stored)? {
                if done {
                    return Ok(true);
                }
                break;
            }
        }
        job.clear(path)?;
        element::write_as(job, path, Source::Lazy(self.all.clone()), self.role)?;
        Ok(false)
    }

    /// From a row on; `None` where an array cannot go on from there, false where the element is of another kind now.
    fn grow(&self, job: &Job<'_>, row: u64, stored: u64) -> Result<Option<bool>> {
        let path = &*self.old.path;
        let from = i64::try_from(row).map_err(|e| Error::new(Code::Internal, "too many rows").source(e))?;
        let tail = self.all.select(0, Step::Slice(Some(from), None, None))?;
        if matches!(&self.old.body, Body::Sparse(s) if s.format == SparseFormat::Csc)
            || tail.shape().is_empty()
        {
            return Ok(Some(false));
        }
        let mut stream = tail.stream(job.call, None, Some(job.block_bytes()))?;
        let mut block = match stream.next(job.call)? {
            Some(block) => block.value,
            None => tail.collect(job.call)?,
        };
        if !is_as(&self.old, &block) {
            return Ok(Some(false));
        }
        if let (Body::Categorical(c), Value::Categorical { categories, .. }) = (&self.old.body, &block) {
            let mine = Lazy::new(self.all.session(), &c.categories.under("@0")).collect(job.call)?;
            // Codes that are there would mean others.
            if !begins_with(categories, &mine)? {
                return Ok(Some(false));
            }
            job.clear(&c.categories.path)?;
        }
        let mut known = Known::new(self.role, self.all.element().shape().and_then(|s| s.first().copied()));
        if let Some(most) = concat_of(self.all.element()).and_then(Concat::stored) {
            known.stored = Some(most);
            known.per_row = most as f64 / known.rows.unwrap_or(1).max(1) as f64;
        }
        let starts = |a: u64, b: u64| match &self.old.body {
            Body::Sparse(s) => self.starts(s, a, b, job.call),
            _ => Err(Error::new(Code::Internal, "there are no row starts")),
        };
        let mut out = Out::open(job, path, &block, known)?;
        if !out.go_on(row, stored, &starts)? {
            return Ok(None);
        }
        let mut done = row;
        loop {
            job.poll()?;
            out.push(&block)?;
            done += rows_of(&block);
            job.tell(path, done)?;
            drop(block);
            block = match stream.next(job.call)? {
                Some(next) => next.value,
                None => break,
            };
        }
        out.finish()?;
        Ok(Some(true))
    }

    /// Row starts of the old matrix.
    fn starts(&self, sparse: &Sparse, a: u64, b: u64, call: &Call<'_>) -> Result<(Buffer, u8)> {
        let at = join(&self.old.path, "indptr")?;
        let element = Element { path: at, body: Body::Dense(sparse.indptr.clone()), ..self.old.clone() };
        let session = self.all.session();
        // Where the joined store has it.
        let element = element.under("@0");
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let slice = Step::Slice(Some(signed(a)), Some(signed(b)), None);
        match Lazy::new(session, &element).select(0, slice)?.collect(call)? {
            Value::Dense(Dense { data, dtype, .. }) => match dtype.item_size() {
                Some(size @ (4 | 8)) => Ok((data, size as u8)),
                _ => Err(Error::new(Code::NotWritten, "row starts of this type cannot go on")
                    .found(dtype.to_string())),
            },
            _ => Err(Error::new(Code::Internal, "row starts are no array")),
        }
    }

    /// The last row that begins at or before a stored value, and where it begins.
    fn row_of(&self, sparse: &Sparse, value: u64, call: &Call<'_>) -> Result<(u64, u64)> {
        let start = |row: u64| -> Result<u64> {
            let (bytes, width) = self.starts(sparse, row, row + 1, call)?;
            let int = match (width, bytes.as_slice()) {
                (4, &[a, b, c, d]) => i64::from(i32::from_ne_bytes([a, b, c, d])),
                (_, bytes) => bytes.try_into().map_or(-1, i64::from_ne_bytes),
            };
            u64::try_from(int)
                .map_err(|_| Error::new(Code::SparseIndptr, "a row starts before the first value"))
        };
        let wide = matches!(sparse.indptr.dtype.item_size(), Some(4 | 8)) && sparse.indptr.dtype.is_integer();
        if value == 0 || !wide {
            return Ok((0, 0));
        }
        let (mut low, mut high) = (0, sparse.major_len());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if start(middle)? <= value { low = middle } else { high = middle - 1 }
        }
        Ok((low, start(low)?))
    }
}

/// Whether a block is of the kind that the store has.
fn is_as(old: &Element, block: &Value) -> bool {
    match (&old.body, block) {
        (Body::Dense(_), Value::Dense(_)) | (Body::Strings(_), Value::Strings(_)) => true,
        (Body::Categorical(c), Value::Categorical { ordered, .. }) => c.ordered == *ordered,
        (Body::Nullable(n), Value::Nullable { kind, .. }) => n.kind == *kind,
        (Body::Sparse(s), Value::Sparse(m)) => s.format == m.format,
        _ => false,
    }
}
