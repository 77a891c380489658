//! One call of a verb: its limits, and the loop that runs programs stage by stage.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lazarr_format::anndata::Element;
use lazarr_format::{ArrayMeta, ArrayRef, ByteRange, Code, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Distance, IndexState, Mark, Plan, Work};
use lazarr_store::{Audit, Io, Meter};

use crate::axis::AxisView;
use crate::cache::IndexCache;
use crate::exec::carry::Carrying;
use crate::exec::lanes::lane_bytes;
use crate::exec::{Exec, Job, thread_bytes};
use crate::ledger::{Budget, Ledger};
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
    /// Read tables of an object without their names: their rows are numbered.
    pub nameless: bool,
    /// Asked on the caller's thread, at least every 100 ms, whether to stop.
    pub interrupt: Option<Interrupt<'a>>,
}

mod arrays;
mod planning;

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
    /// What is read once the selection is known: from afar the indices of its shards come with what the selection needs.
    pub(crate) coming: Vec<ArrayRef>,
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
        let lenient = session.options().missing == Missing::Fill;
        let cx = Cx { budget, lenient, threads, distant: io.profile().is_distant() };
        Self {
            session,
            io,
            cx,
            absent: Mutex::default(),
            own: session.options().audit.then(|| IndexCache::new(crate::session::INDEX_CACHE)),
            carrying: None,
            coming: Vec::new(),
            threads,
            patience: Patience::new(call.interrupt),
        }
    }

    /// The same, for these elements and the columns that these selections need.
    pub(crate) fn for_elements<'e>(
        session: &'a Session,
        call: &Call<'a>,
        elements: impl IntoIterator<Item = &'e Element>,
        axes: &[Arc<AxisView>],
    ) -> Self {
        let mut run = Self::new(session, call);
        if run.is_distant() {
            let needed = axes.iter().flat_map(|a| a.needs().into_iter().map(move |(names, ..)| (a, names)));
            let columns = needed.flat_map(|(a, names)| {
                names.into_iter().filter_map(|name| a.axis().column(name.as_deref()).ok()).collect::<Vec<_>>()
            });
            let arrays = columns.flat_map(|c| c.arrays());
            run.coming = arrays.chain(elements.into_iter().flat_map(Element::arrays)).collect();
        }
        run
    }

    /// Whether waiting for the store takes longer than decoding.
    pub(crate) fn is_distant(&self) -> bool {
        self.io.profile().is_distant()
    }

    fn exec<'e>(&'e self, io: &'e Io) -> Exec<'e> {
        Exec {
            io,
            indices: self.own.as_ref().unwrap_or(&self.session.indices),
            absent: &self.absent,
            // Whoever takes the fill value for what is missing takes it for a whole array, too.
            verified: (self.session.consolidated() && !self.cx.lenient).then_some(&self.session.verified),
            lenient: self.cx.lenient,
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
            let mut now = HashSet::new();
            for (i, (_, program)) in want.leaves.iter_mut().enumerate() {
                if let Some(mut stage) = program.next(&self.cx)? {
                    any = true;
                    later.extend(stage.ahead.iter().cloned());
                    now.extend(stage.reads.iter().map(|read| read.array.path.clone()));
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
            let later = later.filter(|array| !now.contains(&array.path));
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
    // The indices of what is read now come with it anyway.
    let now: HashSet<&str> =
        stages.iter().flat_map(|(_, stage)| &stage.reads).map(|read| &*read.array.path).collect();
    let later = stages.iter().flat_map(|(_, stage)| &stage.ahead).chain(&want.ahead);
    let later = later.filter(|array| !now.contains(&*array.path));
    exec.run(&jobs, &exec.ahead(later))?;
    stages.iter().filter_map(|(i, _)| want.leaves[*i].1.lanes()).try_for_each(|lanes| exec.run_lanes(lanes))
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
