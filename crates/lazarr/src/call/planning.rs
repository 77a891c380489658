//! What a call would cost: its programs are driven up to their last stage, and their reads are walked.

use std::collections::{HashMap, HashSet};

use lazarr_format::{Error, Result};
use lazarr_plan::{Amount, ArrayPlan, ElementPlan, Mark, Plan, StagePlan};

use super::arrays::{array_plans, lanes_plans};
use super::{Run, run_stages};
use crate::exec::lanes::lane_bytes;
use crate::need::Threads;
use crate::program::Want;

impl Run<'_> {
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
        let (mut threads, mut by_chance, mut index_bytes) = (Amount::default(), 0u64, 0u64);
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
                let planned = match &lanes {
                    Some(lanes) if resolve => lanes_plans(&exec, &stage.reads, lanes, &fresh).map_err(at)?,
                    _ => array_plans(&exec, &stage.reads, resolve, &fresh).map_err(at)?,
                };
                let mut arrays = Vec::with_capacity(planned.len());
                for (array, largest) in planned {
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
            let together = Threads::of(&exec, &together, &requests);
            threads = worse(threads, together.bytes());
            by_chance = by_chance.max(together.by_chance());
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
            let advice = plan.distance.as_ref().map(|distance| distance.advice(element));
            element.notes.extend(advice.unwrap_or_default());
        }
        plan.elements = elements;
        plan.total();
        // What later stages decode is not known where they are guessed.
        let threads = threads.at_best(if guessed { Mark::Estimate } else { Mark::Exact });
        plan.peak_bytes = plan.output_bytes
            + beside
            + threads
            + Amount::exact(index_bytes.saturating_add(Plan::PROCESS_BYTES));
        // More than what an exact number may be off by.
        let least = plan.peak_bytes.value.saturating_sub(by_chance);
        if by_chance > least / 4 + (16 << 20) {
            plan.peak_bytes = plan.peak_bytes.at_best(Mark::Upper);
        }
        Ok(plan)
    }
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
