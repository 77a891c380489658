//! One writing: what all its parts share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazarr_format::encode::{ArraySpec, Cutting, Facts, Layout, MANIFEST, Nodes, Rule};
use lazarr_format::{DataType, KeyEncoding, Result};
use lazarr_store::Meter;
use lazarr_store::draft::Draft;
use serde_json::{Map, Value};

use super::log::Log;
use super::manifest::Tally;
use super::old::Old;
use super::{WriteOptions, Written};
use crate::call::Call;
use crate::ledger::{Budget, Ledger};
use crate::memory::{cores, default_limit};
use crate::patience::Patience;

pub(super) struct Job<'j> {
    pub(super) draft: &'j dyn Draft,
    pub(super) layout: &'j Layout,
    pub(super) call: &'j Call<'j>,
    pub(super) budget: Budget,
    pub(super) threads: usize,
    /// Arrays of the store that grows, by path.
    pub(super) old: HashMap<String, Old>,
    /// How the keys of chunks are spelled that are not to be written: of arrays that stay readable until the store is changed.
    pub(super) taken: HashMap<String, KeyEncoding>,
    /// What is noted for a later writer, where one could go on.
    pub(super) log: Option<Log<'j>>,
    /// Those of them that go on.
    going: Mutex<HashSet<String>>,
    patience: Patience<'j>,
    options: &'j WriteOptions<'j>,
    /// The metadata so far, and what was written.
    done: Mutex<(Nodes, Written)>,
}

/// A block of rows by default.
const BLOCK: u64 = 32 << 20;

impl<'j> Job<'j> {
    pub(super) fn new(draft: &'j dyn Draft, options: &'j WriteOptions<'j>, call: &'j Call<'j>) -> Self {
        let limit = call.memory_limit.unwrap_or_else(default_limit);
        let meter = call.meter.clone().unwrap_or_else(|| Arc::new(Meter::default()));
        Self {
            draft,
            layout: &options.layout,
            call,
            budget: Budget::new(Ledger::process(), limit, meter),
            threads: call.threads.unwrap_or_else(cores).max(1),
            old: HashMap::new(),
            taken: HashMap::new(),
            log: draft.journal().map(|journal| Log::new(journal, options)),
            going: Mutex::default(),
            patience: Patience::new(call.interrupt),
            options,
            done: Mutex::new((Nodes::new(options.layout.zarr_format), Written::default())),
        }
    }

    pub(super) fn zarr_format(&self) -> u8 {
        self.layout.zarr_format
    }

    /// How the keys of an array's chunks are spelled.
    pub(super) fn keys(&self, path: &str) -> KeyEncoding {
        let usual = KeyEncoding::usual(self.zarr_format());
        if self.taken.get(path) == Some(&usual) { usual.other() } else { usual }
    }

    /// How an array is written.
    pub(super) fn cut(&self, path: &str, facts: &Facts<'_>, dtype: &DataType) -> Result<Cutting> {
        let chosen = self.options.choose.map(|choose| choose(path, facts, dtype)).transpose()?.flatten();
        match chosen {
            Some(rule) => self.layout.with(Rule { path: path.to_owned(), ..rule })?.cut(path, facts),
            None => self.layout.cut(path, facts),
        }
    }

    /// Bytes of a block: beside it stand what reading it takes, and its chunks, raw and encoded.
    pub(super) fn block_bytes(&self) -> u64 {
        BLOCK.min(self.budget.limit() / 8).max(1)
    }

    /// Bytes of a block whose rows become columns: the larger it is, the longer is what it has of each.
    pub(super) fn turn_bytes(&self) -> u64 {
        (4 * BLOCK).min(self.budget.limit() / 8).max(1)
    }

    /// Bytes that are encoded at a time.
    pub(super) fn batch_bytes(&self) -> u64 {
        (8 << 20u64).min(self.budget.limit() / 16).max(1)
    }

    /// Whether to go on.
    pub(super) fn poll(&self) -> Result<()> {
        self.patience.poll()
    }

    pub(super) fn tell(&self, path: &str, rows: u64) -> Result<()> {
        if let Some(log) = &self.log {
            log.rows(rows);
        }
        self.options.progress.map_or(Ok(()), |progress| progress(path, rows))
    }

    fn done(&self) -> MutexGuard<'_, (Nodes, Written)> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn group(&self, path: &str, attributes: Map<String, Value>) {
        self.done().0.group(path, attributes);
    }

    /// An array is written: its metadata, with what is known of its files.
    pub(super) fn array(&self, spec: ArraySpec, tally: Tally) {
        self.grown(spec, Tally::default(), tally);
    }

    /// The same of an array that had files before, which stay.
    pub(super) fn grown(&self, mut spec: ArraySpec, before: Tally, tally: Tally) {
        let mut all = before;
        all.merge(tally);
        if !(spec.shape.is_empty() && all.files == 0) {
            spec.attributes.insert(MANIFEST.to_owned(), all.to_json());
        }
        let (nodes, written) = &mut *self.done();
        nodes.array(&spec);
        written.files += tally.files;
        written.bytes += tally.bytes;
        written.arrays += 1;
    }

    /// How many nodes there are, and what is written.
    pub(super) fn so_far(&self) -> (usize, Written) {
        let (nodes, written) = &*self.done();
        (nodes.len(), *written)
    }

    /// The nodes from this one on, and what is written.
    pub(super) fn since(&self, first: usize) -> (Vec<Value>, Written) {
        let (nodes, written) = &*self.done();
        (nodes.since(first), *written)
    }

    /// Forgets the nodes from this one on, and what was written of them.
    pub(super) fn back_to(&self, first: usize, before: Written) {
        let (nodes, written) = &mut *self.done();
        nodes.truncate(first);
        *written = before;
    }

    /// Takes over nodes that were written before; false where these are none.
    pub(super) fn again(&self, all: &[Value], one: Written) -> bool {
        let (nodes, written) = &mut *self.done();
        let first = nodes.len();
        if !all.iter().all(|node| nodes.again(node)) {
            nodes.truncate(first);
            return false;
        }
        written.files += one.files;
        written.bytes += one.bytes;
        written.arrays += one.arrays;
        true
    }

    pub(super) fn goes_on(&self, path: &str) {
        self.going.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    /// Whether an array went on where it had ended.
    pub(super) fn went_on(&self, path: &str) -> bool {
        self.going.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// An array of the store is written anew.
    pub(super) fn clear(&self, path: &str) -> Result<()> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner).retain(|p| p != path);
        self.draft.clear(path)
    }

    /// The documents of what was written, and how much that was.
    pub(super) fn documents(&self) -> (Vec<(String, Vec<u8>)>, Written) {
        let (nodes, written) = &*self.done();
        (nodes.documents(), *written)
    }

    /// Writes all metadata.
    pub(super) fn finish(&self) -> Result<Written> {
        let (nodes, written) = &*self.done();
        for (key, bytes) in nodes.documents() {
            self.patience.poll()?;
            self.draft.put(&key, &bytes)?;
        }
        Ok(*written)
    }
}
