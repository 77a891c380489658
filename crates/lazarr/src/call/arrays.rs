//! What single reads cost: bounds from the metadata, or their requests, walked as execution walks them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use lazarr_format::{ByteRange, Code, Error, Result};
use lazarr_plan::{Amount, ArrayPlan, ArrayRead, ChunkMap, IndexState, Part, Work};

use crate::exec::Exec;
use crate::exec::lanes::Lanes;

/// What one read costs, and its largest request, where its requests were walked.
pub(super) type Planned = (ArrayPlan, Option<u64>);

/// Reads of so many chunks are walked by a thread each.
const APART: u64 = 1 << 14;

/// What each of these reads costs. `fresh`: shards whose indices were asked for just now, for this.
pub(super) fn array_plans(
    exec: &Exec<'_>,
    reads: &[ArrayRead],
    resolve: bool,
    fresh: &HashSet<String>,
) -> Result<Vec<Planned>> {
    let large = reads.iter().filter(|read| read.chunk_count() >= APART).count();
    let paths: HashSet<&str> = reads.iter().map(|read| &*read.array.path).collect();
    // Two reads of one array want the same shard indices: one after the other, they are counted once.
    if !resolve || large < 2 || paths.len() < reads.len() || exec.threads < 2 {
        return reads.iter().map(|read| array_plan(exec, read, resolve, fresh, &|| exec.poll())).collect();
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let plans = Mutex::new(vec![None; reads.len()]);
    exec.spread(exec.threads.min(large), &stop, &|is_caller| {
        let poll = || match stop.load(Relaxed) {
            true => Err(Error::new(Code::Interrupted, "stopped")),
            false if is_caller => exec.poll(),
            false => Ok(()),
        };
        loop {
            let k = next.fetch_add(1, Relaxed);
            let Some(read) = reads.get(k) else { return Ok(()) };
            let plan = array_plan(exec, read, resolve, fresh, &poll);
            stop.fetch_or(plan.is_err(), Relaxed);
            plans.lock().unwrap_or_else(PoisonError::into_inner)[k] = Some(plan?);
        }
    })?;
    let plans = plans.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = || Error::new(Code::Internal, "a read was not planned");
    plans.into_iter().map(|plan| plan.ok_or_else(missing)).collect()
}

/// So many shards are looked up in the cache one by one.
const MANY: u64 = 1 << 20;
/// So many chunks are walked for exact numbers: seconds.
const WALKED: u64 = 1 << 22;

/// What one read costs.
fn array_plan(
    exec: &Exec<'_>,
    read: &ArrayRead,
    resolve: bool,
    fresh: &HashSet<String>,
    poll: &dyn Fn() -> Result<()>,
) -> Result<Planned> {
    let array = &read.array;
    if exec.io.in_memory(&array.path) {
        let path = format!("{} (in memory)", array.path);
        return Ok((ArrayPlan { path, ..ArrayPlan::default() }, None));
    }
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
    let (mut kept, mut kept_bytes) = (0, 0);
    let items = |parts: &[Part]| parts.iter().map(|part| array.len_at(&part.at)).sum::<u64>();
    let mut stream = read.work(exec.profile());
    while let Some(work) = stream.next(&mut index)? {
        poll()?;
        match work {
            Work::Fill(_) => {}
            Work::Fetch { key, range, parts, .. } => {
                requests += 1;
                let before = fetch;
                let cached = exec.io.cached(&key, &range);
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
                if cached {
                    kept += 1;
                    kept_bytes += fetch - before;
                }
            }
        }
    }
    // The server may say that a value is another one by now.
    plan.cached_requests = Amount::estimate(kept);
    plan.cached_bytes = Amount::estimate(kept_bytes);
    plan.index_requests = Amount::exact(again);
    plan.requests = Amount::exact(requests + again);
    plan.fetch_bytes = Amount::exact(fetch + again_bytes);
    plan.decode_bytes = if fixed { Amount::exact(size(decoded)) } else { Amount::estimate(size(decoded)) };
    Ok((plan, Some(largest)))
}

/// What reads cost that are cut into lanes: requests do not merge across these.
pub(super) fn lanes_plans(
    exec: &Exec<'_>,
    reads: &[ArrayRead],
    lanes: &Lanes<'_>,
    fresh: &HashSet<String>,
) -> Result<Vec<Planned>> {
    reads.iter().enumerate().map(|(k, read)| Ok((lanes_plan(exec, read, lanes, k, fresh)?, None))).collect()
}

/// What one read costs that is cut into lanes: requests do not merge across these.
fn lanes_plan(
    exec: &Exec<'_>,
    whole: &ArrayRead,
    lanes: &Lanes<'_>,
    k: usize,
    fresh: &HashSet<String>,
) -> Result<ArrayPlan> {
    let (mut plan, _) = array_plan(exec, whole, false, fresh, &|| exec.poll())?;
    let mut sum = ArrayPlan::default();
    for read in lanes.lanes.iter().filter_map(|lane| lane.get(k)) {
        let (lane, _) = array_plan(exec, read, true, fresh, &|| exec.poll())?;
        sum.requests += lane.requests;
        sum.index_requests += lane.index_requests;
        sum.fetch_bytes += lane.fetch_bytes;
        sum.decode_bytes += lane.decode_bytes;
        sum.cached_requests += lane.cached_requests;
        sum.cached_bytes += lane.cached_bytes;
    }
    plan.cached_requests = sum.cached_requests;
    plan.cached_bytes = sum.cached_bytes;
    plan.requests = sum.requests;
    plan.index_requests = sum.index_requests;
    plan.fetch_bytes = sum.fetch_bytes;
    plan.decode_bytes = sum.decode_bytes;
    Ok(plan)
}
