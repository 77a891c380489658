//! One call of a verb: its limits, and the loop that runs programs stage by stage.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::Element;
use lazarr_format::{ArrayMeta, ByteRange, Code, Error, Result};
use lazarr_plan::{
    Amount, ArrayPlan, ArrayRead, ChunkMap, Distance, ElementPlan, IndexState, Mark, Part, Plan, StagePlan,
    Work,
};
use lazarr_store::{Audit, Io, Meter};

use crate::cache::IndexCache;
use crate::exec::carry::Carrying;
use crate::exec::lanes::{Lanes, lane_bytes};
use crate::exec::{Exec, Job, thread_bytes};
use crate::ledger::{Budget, Ledger};
use crate::need::Threads;
use crate::patience::{Interrupt, Patience};
use crate::program::{Cx, Leaf, Recipe, Stage, Want};
use crate::session::{Missing, Session};
use crate::value::Value;

/// What a caller can set for one call. Everything else comes from the [`Session`].
#[derive(Clone, Default)]
pub struct Call<'a> {
    /// Bytes that the call may take.
    pub memory_limit: Option<u64>,
    /// Threads that fetch and decode.
    pub threads: Option<usize>,
    /// Counts what the call does.
    pub meter: Option<Arc<Meter>>,
    /// Leave out elements of an object that cannot be read, instead of ending with their error.
    pub skip_broken: bool,
    /// Asked on the caller's thread, at least every 100 ms, whether to stop.
    pub interrupt: Option<Interrupt<'a>>,
}

/// A call under way.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    io: Io,
    pub(crate) cx: Cx,
    absent: Mutex<HashSet<String>>,
    /// Where reads are audited, the shard indices of this call alone: what other calls find must not change its reads.
    own: Option<IndexCache>,
    /// In a block of a stream: the chunks that are handed on.
    pub(crate) carrying: Option<Carrying>,
    threads: usize,
    patience: Patience<'a>,
}

/// Makes the programs of what is wanted; called twice where reads are audited.
pub(crate) type Make<'m> = &'m dyn Fn() -> Result<(Want, Recipe)>;

type Reads = Vec<(String, ByteRange)>;

impl<'a> Run<'a> {
    pub(crate) fn new(session: &'a Session, call: &Call<'a>) -> Self {
        let io = match &call.meter {
            Some(meter) => session.io.with_meter(meter.clone()),
            None => session.io.clone(),
        }
        .for_call();
        let limit = call.memory_limit.unwrap_or_else(|| session.memory_limit());
        let budget = Budget::new(Ledger::process(), limit, io.meter().clone());
        let threads = call.threads.unwrap_or_else(|| session.threads()).max(1);
        let cx = Cx { budget, lenient: session.options().missing == Missing::Fill, threads };
        Self {
            session,
            io,
            cx,
            absent: Mutex::default(),
            own: session.options().audit.then(|| IndexCache::new(crate::session::INDEX_CACHE)),
            carrying: None,
            threads,
            patience: Patience::new(call.interrupt),
        }
    }

    fn exec<'e>(&'e self, io: &'e Io) -> Exec<'e> {
        Exec {
            io,
            indices: self.own.as_ref().unwrap_or(&self.session.indices),
            absent: &self.absent,
            // Whoever takes the fill value for what is missing takes it for a whole array, too.
            verified: (self.session.consolidated() && !self.cx.lenient).then_some(&self.session.verified),
            carrying: self.carrying.as_ref(),
            budget: &self.cx.budget,
            limits: &self.session.options().limits,
            threads: self.threads,
            patience: &self.patience,
        }
    }

    /// Reads what is wanted.
    pub(crate) fn read(&self, make: Make<'_>) -> Result<Value> {
        let (recipe, mut leaves) = self.leaves(make)?;
        recipe.make(&mut leaves, &self.cx)
    }

    /// Reads what is wanted, and gives the results of the programs as they are.
    pub(crate) fn leaves(&self, make: Make<'_>) -> Result<(Recipe, Vec<Option<Leaf>>)> {
        let Some(indices) = &self.own else { return self.execute(&self.io, make) };
        let plain = self.io.with_meter(Arc::default());
        indices.clear();
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let named = self.name_reads(&plain, make)?;
        indices.clear();
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let audit = Arc::new(Audit::new(named));
        let value = self.execute(&self.io.with_audit(audit.clone()), make)?;
        match audit.left().first() {
            None => Ok(value),
            Some((key, range)) => {
                Err(Error::new(Code::UnplannedRead, "the plan named a read that was not made")
                    .key(key.clone())
                    .found(format!("{range:?}")))
            }
        }
    }

    fn execute(&self, io: &Io, make: Make<'_>) -> Result<(Recipe, Vec<Option<Leaf>>)> {
        let (mut want, recipe) = make()?;
        let exec = self.exec(io);
        let before = self.cx.budget.limit().saturating_sub(self.cx.budget.left());
        let mut paths = Vec::new();
        loop {
            let mut stages = Vec::new();
            for (i, (label, program)) in want.leaves.iter_mut().enumerate() {
                let path = &want.labels[*label].path;
                if let Some(mut stage) = program.next(&self.cx).map_err(|e| e.element(&**path))? {
                    if let Some(carrying) = &self.carrying {
                        stage.reads.iter_mut().for_each(|r| carrying.offer(r));
                        // A read of nothing says nothing of what later blocks want.
                        let some = stage.reads.iter().filter(|r| r.chunk_count() > 0);
                        paths.extend(some.map(|r| r.array.path.clone()));
                    }
                    stages.push((i, stage));
                }
            }
            self.refuse(&exec, &want, &stages, before)?;
            for (i, _) in &stages {
                let (label, program) = &mut want.leaves[*i];
                let path = &want.labels[*label].path;
                program.open(&self.cx).map_err(|e| e.element(&**path))?;
            }
            if stages.is_empty() {
                break;
            }
            run_stages(&exec, &want, &stages).map_err(|e| self.enough(e, &exec, &want, &stages, before))?;
        }
        if let Some(carrying) = &self.carrying {
            carrying.commit(paths.iter().map(String::as_str));
        }
        let mut leaves = Vec::with_capacity(want.leaves.len());
        for (label, mut program) in want.leaves {
            let path = &want.labels[label].path;
            leaves.push(Some(program.finish(&self.cx).map_err(|e| e.element(&**path))?));
        }
        Ok((recipe, leaves))
    }

    /// What is known to be needed, and what would be enough: the results, what is held beside them, and one thread. The
    /// first has only what cannot be less.
    fn needs(exec: &Exec<'_>, want: &Want, stages: &[(usize, Stage)]) -> (u64, Amount) {
        let held = want.leaves.iter().flat_map(|(_, p)| [p.output(), p.beside()]);
        let least = held.clone().filter(|a| a.mark == Mark::Exact).map(|a| a.value);
        let least = least.fold(0, u64::saturating_add);
        let last = stages.iter().all(|(_, s)| s.last);
        let lanes = stages.iter().filter_map(|(i, s)| {
            let lanes = want.leaves[*i].1.lanes()?;
            Some(lane_bytes(exec, &s.reads).saturating_add(lanes.sums))
        });
        let one = thread_bytes(stages.iter().flat_map(|(_, s)| &s.reads), exec.profile());
        let one = lanes.max().unwrap_or(0).max(one);
        let indices = stages.iter().flat_map(|(_, s)| &s.reads).map(|r| r.array.shard_index_bytes()).max();
        let rest = Amount {
            value: one + indices.unwrap_or(0),
            mark: if last { Mark::Exact } else { Mark::Estimate },
        };
        (least, held.sum::<Amount>() + rest)
    }

    /// Ends at once what cannot fit, whatever comes, and says what would be enough.
    fn refuse(&self, exec: &Exec<'_>, want: &Want, stages: &[(usize, Stage)], before: u64) -> Result<()> {
        let (least, enough) = Self::needs(exec, want, stages);
        if before.saturating_add(least) <= self.cx.budget.limit() {
            return Ok(());
        }
        let most = before.saturating_add(enough.value.max(least));
        Err(Self::named(self.cx.budget.refusal(least, before, most, "what is read"), want))
    }

    /// An error of all that is wanted, with the name of the element where it is one.
    fn named(e: Error, want: &Want) -> Error {
        match want.labels.as_slice() {
            [one] => e.element(&*one.path),
            _ => e,
        }
    }

    /// The error of what did not fit, with a limit that would have been enough for all, where that is known.
    fn enough(
        &self,
        e: Error,
        exec: &Exec<'_>,
        want: &Want,
        stages: &[(usize, Stage)],
        before: u64,
    ) -> Error {
        let (least, enough) = Self::needs(exec, want, stages);
        if e.code() != Code::MemoryLimit || enough.mark != Mark::Exact {
            return e;
        }
        let more = before.saturating_add(enough.value);
        if more <= self.cx.budget.limit() {
            return e; // others took it
        }
        let all = self.cx.budget.refusal(least, before, more, "what is read, and reading it,");
        Self::named(all, want).source(e)
    }

    /// Every read that an execution makes, in stages: those before the last are made to know the next.
    fn name_reads(&self, io: &Io, make: Make<'_>) -> Result<Reads> {
        let (mut want, _) = make()?;
        let exec = self.exec(io);
        let mut reads = Reads::new();
        loop {
            let (mut stages, mut later, mut any) = (Vec::new(), Vec::new(), false);
            for (i, (_, program)) in want.leaves.iter_mut().enumerate() {
                if let Some(mut stage) = program.next(&self.cx)? {
                    any = true;
                    later.extend(stage.ahead.iter().cloned());
                    if let Some(carrying) = &self.carrying {
                        stage.reads.iter_mut().for_each(|r| carrying.offer(r));
                    }
                    if !stage.last {
                        program.open(&self.cx)?;
                    }
                    match program.lanes() {
                        Some(lanes) => {
                            for read in lanes.lanes.iter().flatten() {
                                name(&exec, read, &mut reads)?;
                            }
                        }
                        None => {
                            for read in &stage.reads {
                                name(&exec, read, &mut reads)?;
                            }
                        }
                    }
                    if !stage.last {
                        stages.push((i, stage));
                    }
                }
            }
            let later = later.iter().chain(any.then_some(&want.ahead).into_iter().flatten());
            reads.extend(exec.ahead(later).into_iter().map(|(read, key)| (key, index_range(&read.array))));
            if stages.is_empty() {
                if let Some(carrying) = &self.carrying {
                    carrying.forget();
                }
                return Ok(reads);
            }
            run_stages(&exec, &want, &stages)?;
        }
    }

    /// What reading would cost. With `resolve` the small reads are made that exact numbers need.
    pub(crate) fn plan(&self, want: Want, resolve: bool) -> Result<Plan> {
        let mut want = want;
        let exec = self.exec(&self.io);
        let mut plan = self.frame();
        let mut elements: Vec<ElementPlan> = want
            .labels
            .iter()
            .map(|l| ElementPlan {
                path: l.path.clone(),
                what: l.what.clone(),
                selection: l.selection.clone(),
                notes: l.notes.clone(),
                ..ElementPlan::default()
            })
            .collect();
        let mut open: Vec<bool> = vec![true; want.leaves.len()];
        let mut round = 0;
        let (mut threads, mut index_bytes) = (Amount::default(), 0u64);
        let mut guessed = false;
        let mut early: HashMap<String, u64> = HashMap::new();
        // Shards that are absent, whose indices come ahead: by label and array.
        let mut again: HashMap<(usize, String), u64> = HashMap::new();
        loop {
            let mut stages = Vec::new();
            let (mut together, mut requests) = (Vec::new(), Vec::new());
            for (i, (label, program)) in want.leaves.iter_mut().enumerate() {
                if !open[i] {
                    continue;
                }
                let path = want.labels[*label].path.clone();
                let at = |e: Error| e.element(&*path);
                let Some(stage) = program.next(&self.cx).map_err(at)? else {
                    open[i] = false;
                    continue;
                };
                let fresh = if resolve { exec.warm(&stage.reads).map_err(at)? } else { HashSet::new() };
                let lanes = program.lanes();
                let mut arrays = Vec::with_capacity(stage.reads.len());
                for (k, read) in stage.reads.iter().enumerate() {
                    let (array, largest) = match &lanes {
                        Some(lanes) if resolve => {
                            (lanes_plan(&exec, read, lanes, k, &fresh).map_err(at)?, None)
                        }
                        _ => array_plan(&exec, read, resolve, &fresh).map_err(at)?,
                    };
                    requests.push(largest.map(|largest| (largest, array.fetch_bytes.value)));
                    arrays.push(array);
                }
                if let Some(lanes) = lanes {
                    let bytes = lane_bytes(&exec, &stage.reads).saturating_add(lanes.sums);
                    let all = bytes.saturating_mul(exec.lane_threads() as u64);
                    threads = worse(threads, Amount::upper(all));
                }
                for array in &mut arrays {
                    let again = Amount::exact(again.remove(&(*label, array.path.clone())).unwrap_or(0));
                    array.index_requests += again;
                    array.requests += again;
                }
                for (read, array) in stage.reads.iter().zip(&arrays) {
                    let bytes = array.index_requests.value.saturating_mul(read.array.shard_index_bytes());
                    index_bytes = index_bytes.saturating_add(bytes);
                }
                together.extend(stage.reads.iter().cloned());
                add_stage(&mut elements[*label].stages, round, stage.name, arrays, &early);
                for (read, _) in exec.ahead(&stage.ahead) {
                    *early.entry(read.array.path.clone()).or_default() += 1;
                }
                if stage.last || !resolve {
                    open[i] = false;
                    for (k, mut later) in program.later().into_iter().enumerate() {
                        guessed = true;
                        // All that come ahead are asked for, whether they are needed or not.
                        for array in &mut later.arrays {
                            let asked = early.get(&array.path).copied().unwrap_or(0);
                            let more = Amount::upper(asked.saturating_sub(array.index_requests.value));
                            if more.value > 0 {
                                array.index_requests += more;
                                array.requests += more;
                            }
                        }
                        let stages = &mut elements[*label].stages;
                        add_stage(stages, round + 1 + k, &later.name, later.arrays, &early);
                    }
                } else {
                    program.open(&self.cx).map_err(at)?;
                    stages.push((i, stage));
                }
            }
            threads = worse(threads, Threads::of(&exec, &together, &requests).bytes());
            if stages.is_empty() {
                break;
            }
            run_stages(&exec, &want, &stages)?;
            for (i, stage) in &stages {
                for path in exec.ahead_again(&stage.ahead) {
                    *again.entry((want.leaves[*i].0, path)).or_default() += 1;
                }
            }
            round += 1;
        }
        // Of those of which nothing was wanted in the end.
        for ((label, path), n) in again {
            let n = Amount::exact(n);
            let asked = ArrayPlan { path, requests: n, index_requests: n, ..ArrayPlan::default() };
            if let Some(stage) = elements[label].stages.last_mut() {
                stage.arrays.push(asked);
            }
        }
        let mut beside = Amount::default();
        for (label, program) in &want.leaves {
            let element = &mut elements[*label];
            element.output_bytes += program.output();
            element.peak_bytes += program.output() + program.beside();
            beside += program.beside();
            if element.resolve.is_none() {
                element.resolve = program.resolve_hint();
            }
        }
        for element in &mut elements {
            waste(element);
        }
        plan.elements = elements;
        plan.total();
        // What later stages decode is not known where they are guessed.
        let threads = threads.at_best(if guessed { Mark::Estimate } else { Mark::Exact });
        plan.peak_bytes = plan.output_bytes
            + beside
            + threads
            + Amount::exact(index_bytes.saturating_add(Plan::PROCESS_BYTES));
        Ok(plan)
    }

    pub(crate) fn frame(&self) -> Plan {
        Plan {
            schema: Plan::SCHEMA.into(),
            store: self.session.url().to_owned(),
            memory_limit: self.cx.budget.limit(),
            threads: self.threads,
            assumes: "shard indices as they are cached now".into(),
            distance: {
                let (profile, latency_is) = self.io.distance();
                self.io.profile().is_distant().then(|| Distance::of(&profile, latency_is))
            },
            ..Plan::default()
        }
    }
}

fn run_stages(exec: &Exec<'_>, want: &Want, stages: &[(usize, Stage)]) -> Result<()> {
    exec.poll()?;
    let mut jobs = Vec::new();
    for (i, stage) in stages {
        // Where there are lanes there are no sinks.
        for (read, sink) in stage.reads.iter().zip(want.leaves[*i].1.sinks()) {
            jobs.push(Job { read, sink });
        }
    }
    let later = stages.iter().flat_map(|(_, stage)| &stage.ahead).chain(&want.ahead);
    exec.run(&jobs, &exec.ahead(later))?;
    stages.iter().filter_map(|(i, _)| want.leaves[*i].1.lanes()).try_for_each(|lanes| exec.run_lanes(lanes))
}

/// The larger number, trusted no further than either.
fn worse(a: Amount, b: Amount) -> Amount {
    a.max(b).at_best(a.mark.max(b.mark))
}

/// Adds arrays to the stage of a round: leaves of one element go out together. `early`: the indices of these came before.
fn add_stage(
    stages: &mut Vec<StagePlan>,
    round: usize,
    name: &str,
    arrays: Vec<ArrayPlan>,
    early: &HashMap<String, u64>,
) {
    while stages.len() <= round {
        stages.push(StagePlan::default());
    }
    let stage = &mut stages[round];
    if stage.name.is_empty() {
        name.clone_into(&mut stage.name);
    }
    stage.arrays.extend(arrays);
    let asks = |f: fn(&ArrayPlan) -> Amount| {
        let worst = stage.arrays.iter().map(f).max_by_key(|a| a.value).unwrap_or_default();
        Amount { value: worst.value.min(1), mark: worst.mark }
    };
    let late = stage.arrays.iter().filter(|a| !early.contains_key(&a.path)).map(|a| a.index_requests);
    let worst = late.max_by_key(|a| a.value).unwrap_or_default();
    let index = Amount { value: worst.value.min(1), mark: worst.mark };
    stage.round_trips = asks(|a| a.requests) + index;
}

/// What is wasteful: bytes decoded against bytes wanted.
fn waste(element: &mut ElementPlan) {
    let decode: Amount = element.stages.iter().flat_map(|s| &s.arrays).map(|a| a.decode_bytes).sum();
    let output = element.output_bytes;
    if decode.value > 1 << 20 && decode.value > output.value.saturating_mul(20) {
        element.notes.push(format!(
            "decodes {} for a result of {}: the chunks are large for this selection",
            decode.bytes(),
            output.bytes()
        ));
    }
}

/// So many shards are looked up in the cache one by one.
const MANY: u64 = 1 << 20;
/// So many chunks are walked for exact numbers: seconds.
const WALKED: u64 = 1 << 22;

/// What one read costs, and its largest request, where its requests were walked. `fresh`: shards whose indices were asked for
/// just now, for this.
fn array_plan(
    exec: &Exec<'_>,
    read: &ArrayRead,
    resolve: bool,
    fresh: &HashSet<String>,
) -> Result<(ArrayPlan, Option<u64>)> {
    let array = &read.array;
    let chunks = read.chunk_count();
    let fixed = array.stored_size().is_some();
    let sharded = array.sharding.is_some();
    let shards = if sharded { read.shard_count() } else { 0 };
    let mut plan = ArrayPlan {
        path: array.path.clone(),
        shards: Amount::exact(shards),
        chunks: Amount::exact(chunks),
        chunks_total: array.inner_count(),
        map: ChunkMap::of(read),
        ..ArrayPlan::default()
    };
    let mut unknown = 0;
    if shards > MANY {
        unknown = shards; // no cache holds that many
    } else if sharded {
        for at in read.shards() {
            if exec.indices.get(&array.chunk_key(&at)).is_none() {
                unknown += 1;
            }
        }
    }
    let size = |items: u64| items.saturating_mul(array.stored_size().map_or(24, |n| n as u64));
    // Bounds alone where walking would take minutes: a few bytes of metadata may name any number of chunks.
    let walk = resolve && chunks <= WALKED;
    if !walk && (unknown > 0 || !sharded || resolve) {
        plan.index_requests = Amount::exact(unknown);
        plan.requests = if sharded { Amount::upper(unknown + chunks) } else { Amount::exact(chunks) };
        let decoded = size(match array.grid {
            Some(_) => read.chunk_items(),
            None => chunks.saturating_mul(array.inner_len()),
        });
        plan.fetch_bytes = Amount::estimate(decoded / 2 + unknown * array.shard_index_bytes());
        plan.decode_bytes = if fixed { Amount::upper(decoded) } else { Amount::estimate(decoded) };
        return Ok((plan, None));
    }
    // Those that are not cached yet are read here. They are read again where they are not kept: absent shards, and what
    // does not fit into the cache.
    let (mut again, mut again_bytes) = (0, 0);
    let mut index = |key: &str, _: &[u64]| {
        let known = exec.knows(key) && !fresh.contains(key);
        let state = exec.shard_index(read, key)?;
        if !known && exec.indices.get(key).is_none() {
            again += 1;
            again_bytes += if matches!(state, IndexState::Absent) { 0 } else { array.shard_index_bytes() };
        }
        Ok(state)
    };
    let (mut requests, mut fetch, mut decoded, mut largest) = (0, 0, 0, 0);
    let items = |parts: &[Part]| parts.iter().map(|part| array.len_at(&part.at)).sum::<u64>();
    let mut stream = read.work(exec.profile());
    while let Some(work) = stream.next(&mut index)? {
        exec.poll()?;
        match work {
            Work::Fill(_) => {}
            Work::Fetch { key, range, parts, .. } => {
                requests += 1;
                match range {
                    ByteRange::Range(r) => {
                        fetch += r.end - r.start;
                        largest = largest.max(r.end - r.start);
                        decoded += items(&parts);
                    }
                    _ => {
                        if let Some(bytes) = exec.io.size(&key, &mut |_| exec.wait())? {
                            fetch += bytes;
                            largest = largest.max(bytes);
                            decoded += items(&parts);
                        }
                    }
                }
            }
        }
    }
    plan.index_requests = Amount::exact(again);
    plan.requests = Amount::exact(requests + again);
    plan.fetch_bytes = Amount::exact(fetch + again_bytes);
    plan.decode_bytes = if fixed { Amount::exact(size(decoded)) } else { Amount::estimate(size(decoded)) };
    Ok((plan, Some(largest)))
}

/// What one read costs that is cut into lanes: requests do not merge across these.
fn lanes_plan(
    exec: &Exec<'_>,
    whole: &ArrayRead,
    lanes: &Lanes<'_>,
    k: usize,
    fresh: &HashSet<String>,
) -> Result<ArrayPlan> {
    let (mut plan, _) = array_plan(exec, whole, false, fresh)?;
    let mut sum = ArrayPlan::default();
    for read in lanes.lanes.iter().filter_map(|lane| lane.get(k)) {
        let (lane, _) = array_plan(exec, read, true, fresh)?;
        sum.requests += lane.requests;
        sum.index_requests += lane.index_requests;
        sum.fetch_bytes += lane.fetch_bytes;
        sum.decode_bytes += lane.decode_bytes;
    }
    plan.requests = sum.requests;
    plan.index_requests = sum.index_requests;
    plan.fetch_bytes = sum.fetch_bytes;
    plan.decode_bytes = sum.decode_bytes;
    Ok(plan)
}

/// Where the index of a shard stands.
pub(crate) fn index_range(array: &ArrayMeta) -> ByteRange {
    let bytes = array.shard_index_bytes();
    let at_start = array.sharding.as_ref().is_some_and(|s| s.index_at_start);
    if at_start { ByteRange::Range(0..bytes) } else { ByteRange::Suffix(bytes) }
}

/// Lists the reads of one array, shard indices included.
fn name(exec: &Exec<'_>, read: &ArrayRead, reads: &mut Reads) -> Result<()> {
    let mut stream = read.work(exec.profile());
    let array = &read.array;
    let mut found: Reads = Vec::new();
    let mut index = |key: &str, _: &[u64]| -> Result<IndexState> {
        if !exec.knows(key) {
            found.push((key.to_owned(), index_range(array)));
        }
        exec.shard_index(read, key)
    };
    while let Some(work) = stream.next(&mut index)? {
        if let Work::Fetch { key, range, .. } = work {
            reads.push((key, range));
        }
    }
    reads.extend(found);
    Ok(())
}

/// The bytes of an element's arrays once decoded; an estimate where strings are among them.
pub fn decoded_bytes(element: &Element) -> Amount {
    element
        .arrays()
        .iter()
        .map(|a| match (a.len(), a.dtype.item_size()) {
            (Some(n), Some(size)) => Amount::exact(n.saturating_mul(size as u64)),
            (Some(n), None) => Amount::estimate(n.saturating_mul(24)),
            (None, _) => Amount::upper(u64::MAX),
        })
        .sum()
}
