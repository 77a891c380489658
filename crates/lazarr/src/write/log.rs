//! What a writer notes for the next one, and what it takes up of what one before has noted.
//!
//! A *unit* is what is written as one: a column, a matrix, a value. When it is finished, a line of the journal has its
//! metadata, and how many files of how many bytes it has; all of these are on the disk by then. Of a long one, a *point* says
//! how far it is ([`Out::note`](super::out::Out)). A unit whose files are not those that were noted is written anew.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lazarr_format::Result;
use lazarr_format::encode::MANIFEST;
use lazarr_store::draft::{Journal, Points, ValueWriter};
use serde_json::{Value as Json, json};

use super::job::Job;
use super::manifest::Tally;
use super::out::Out;
use super::{WriteOptions, Written};
use crate::buffer::Buffer;

/// The journal of a draft, as the writing uses it.
pub(super) struct Log<'j> {
    journal: &'j dyn Journal,
    every: Duration,
    /// What is there already, and is not looked at yet; points of what is not finished.
    done: HashMap<String, Json>,
    points: HashMap<String, Json>,
    /// Whether somebody has begun before.
    taken_up: bool,
    state: Mutex<State>,
}

struct State {
    /// When the journal was brought to the disk, or an element began.
    last: Instant,
    note: u64,
    unit: Unit,
}

/// The unit under way: what there was before it, and the rows that it has.
#[derive(Clone, Copy, Default)]
struct Unit {
    nodes: usize,
    written: Written,
    rows: u64,
}

pub(super) fn number(json: &Json, name: &str) -> u64 {
    json.get(name).and_then(Json::as_u64).unwrap_or(0)
}

impl Tally {
    pub(super) fn to_json(self) -> Json {
        json!({"files": self.files, "bytes": self.bytes, "sum": format!("{:016x}", self.sum)})
    }

    pub(super) fn of_json(json: &Json) -> Option<Self> {
        let sum = u64::from_str_radix(json.get("sum")?.as_str()?, 16).ok()?;
        Some(Self { files: json.get("files")?.as_u64()?, bytes: json.get("bytes")?.as_u64()?, sum })
    }
}

impl<'j> Log<'j> {
    pub(super) fn new(journal: &'j dyn Journal, options: &WriteOptions<'_>) -> Self {
        let (mut done, mut points, mut note) = (HashMap::new(), HashMap::new(), 0);
        for line in journal.found() {
            let Ok(json) = serde_json::from_str::<Json>(line) else { continue };
            let path = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
            if let Some(path) = path("done") {
                points.remove(&path);
                done.insert(path, json);
            } else if let Some(path) = path("point") {
                note = note.max(number(&json, "note") + 1);
                points.insert(path, json);
            } else if let Some(path) = path("void") {
                done.remove(&path);
                points.remove(&path);
            }
        }
        let taken_up = !journal.found().is_empty();
        let state = State { last: Instant::now(), note, unit: Unit::default() };
        Self { journal, every: options.checkpoint, done, points, taken_up, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How what is not finished is gone on with.
    pub(super) fn unfinished(&self) -> Option<&'j dyn Points> {
        self.journal.points()
    }

    /// So many rows of the unit are written.
    pub(super) fn rows(&self, rows: u64) {
        self.state().unit.rows = rows;
    }

    /// Whether a point is due.
    pub(super) fn is_due(&self) -> bool {
        self.state().last.elapsed() >= self.every
    }

    /// The files of an array that are there; of those that `keep` does not want, none stays.
    pub(super) fn count(&self, array: &str, keep: &dyn Fn(&str) -> Keep) -> Result<Tally> {
        let mut tally = Tally::default();
        for (name, bytes) in self.journal.files(array)? {
            let key = if array.is_empty() { name.clone() } else { format!("{array}/{name}") };
            if DOCUMENTS.contains(&name.as_str()) {
                continue;
            }
            match keep(&name) {
                Keep::No => self.journal.remove(&key)?,
                Keep::Uncounted => {}
                Keep::Yes => {
                    // Where nobody waited for the disk, lengths say nothing.
                    let mut crc = 0;
                    if let Some(files) = self.journal.points().filter(|_| !self.journal.syncs()) {
                        files.read(&key, bytes, &mut |piece| {
                            crc = crc32c::crc32c_append(crc, piece);
                        })?;
                    }
                    tally.add(&name, bytes, crc);
                }
            }
        }
        Ok(tally)
    }

    /// Whether two are the same, as far as [`Log::count`] looks.
    pub(super) fn is_same(&self, a: Tally, b: Tally) -> bool {
        (a.files, a.bytes) == (b.files, b.bytes) && (self.journal.syncs() || a.sum == b.sum)
    }

    /// Whether the arrays of a unit have the files that they had when it was finished.
    fn is_there(&self, nodes: &[Json]) -> Result<bool> {
        for node in nodes {
            let Some([Json::String(path), document, attributes]) = node.as_array().map(Vec::as_slice) else {
                return Ok(false);
            };
            if document.is_null() {
                continue;
            }
            let expected = match attributes.get(MANIFEST) {
                None => Tally::default(),
                Some(manifest) => match Tally::of_json(manifest) {
                    Some(tally) => tally,
                    None => return Ok(false),
                },
            };
            if !self.is_same(self.count(path, &|_| Keep::Yes)?, expected) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Documents of an array stand beside its files.
const DOCUMENTS: [&str; 5] = ["zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"];

/// What becomes of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    /// It stays, and is looked at elsewhere.
    Uncounted,
    No,
}

/// A note under way: what a point says that is too large for a line.
pub(super) struct Note {
    writer: Box<dyn ValueWriter>,
    bytes: u64,
    crc: u32,
}

impl Note {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        self.writer.write(bytes)
    }
}

impl Job<'_> {
    /// Takes over a unit that is there already. Otherwise its place is free, but for what a point of it says.
    pub(super) fn take_up(&self, path: &str) -> Result<bool> {
        let Some(log) = &self.log else { return Ok(false) };
        if let Some(entry) = log.done.get(path) {
            let nodes = entry.get("nodes").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
            if log.is_there(nodes)? {
                let rows = number(entry, "rows");
                let one = Written {
                    files: number(entry, "files"),
                    bytes: number(entry, "bytes"),
                    arrays: number(entry, "arrays"),
                };
                if self.again(nodes, one) {
                    self.tell(path, rows)?;
                    return Ok(true);
                }
            }
            self.begin_unit(log);
            self.void(path)?;
            return Ok(false);
        }
        self.begin_unit(log);
        if log.taken_up && !log.points.contains_key(path) {
            self.draft.clear(path)?;
        }
        Ok(false)
    }

    fn begin_unit(&self, log: &Log<'_>) {
        let (nodes, written) = self.so_far();
        log.state().unit = Unit { nodes, written, rows: 0 };
    }

    /// What was noted of a unit does not hold: it is written from its start.
    pub(super) fn void(&self, path: &str) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        log.journal.add(&json!({"void": path}).to_string())?;
        log.journal.sync()?;
        let Unit { nodes, written, .. } = log.state().unit;
        self.back_to(nodes, written);
        self.draft.clear(path)
    }

    /// A unit is finished: all of its files are on the disk.
    pub(super) fn finished(&self, path: &str) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut state = log.state();
        let (nodes, now) = self.since(state.unit.nodes);
        let before = state.unit.written;
        let line = json!({
            "done": path, "rows": state.unit.rows, "files": now.files - before.files,
            "bytes": now.bytes - before.bytes, "arrays": now.arrays - before.arrays, "nodes": nodes,
        });
        log.journal.add(&line.to_string())?;
        if state.last.elapsed() >= log.every {
            log.journal.sync()?;
            state.last = Instant::now();
        }
        Ok(())
    }

    /// Where a unit that is not finished can be gone on with: what was noted of it.
    pub(super) fn point(&self, path: &str) -> Option<&Json> {
        self.log.as_ref()?.points.get(path)
    }

    /// Notes how far a unit is, where that is due: so many rows.
    pub(super) fn note(&self, path: &str, rows: u64, stored: Option<u64>, out: &mut Out<'_>) -> Result<()> {
        let Some(log) = self.log.as_ref().filter(|log| log.is_due() && out.can_be_noted()) else {
            return Ok(());
        };
        let Some(points) = log.journal.points() else { return Ok(()) };
        let number = log.state().note;
        let mut note = Note { writer: points.write_note(number)?, bytes: 0, crc: 0 };
        let saved = out.save(&mut note)?;
        let Note { writer, bytes, crc } = note;
        writer.finish()?;
        if let Some(saved) = saved {
            let line = json!({
                "point": path, "rows": rows, "stored": stored, "note": number, "bytes": bytes, "crc": crc, "out": saved,
            });
            log.journal.add(&line.to_string())?;
            log.journal.sync()?;
            if let Some(before) = number.checked_sub(1) {
                points.drop_note(before)?;
            }
            log.state().note = number + 1;
        }
        log.state().last = Instant::now();
        Ok(())
    }

    /// Brings an element to a point that was noted; false where what was noted is not there any more.
    pub(super) fn go_to(&self, point: &Json, out: &mut Out<'_>) -> Result<bool> {
        let Some(log) = &self.log else { return Ok(false) };
        let open = || log.journal.points()?.read_note(number(point, "note"));
        let (Some(mut first), Some(mut again), Some(saved)) = (open(), open(), point.get("out")) else {
            return Ok(false);
        };
        let mut piece = Buffer::zeroed(64 << 10, &self.budget, "a note that is read")?;
        let (mut crc, mut bytes) = (0, 0);
        loop {
            let n = first.read(piece.as_mut_slice()).unwrap_or(0);
            if n == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, piece.as_slice().get(..n).unwrap_or_default());
            bytes += n as u64;
        }
        drop(piece);
        if (bytes, u64::from(crc)) != (number(point, "bytes"), number(point, "crc")) {
            return Ok(false);
        }
        out.restore(saved, &mut again, log)
    }
}
