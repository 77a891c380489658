//! A plan as people read it. The JSON has every element; the text shows those that cost something.

use std::fmt;

use lazarr_format::escape;

use crate::plan::{ElementPlan, Plan, StagePlan, human_bytes, human_count};

/// Elements below this share of what is decoded are told together, where there are many.
const SMALL: f64 = 0.02;
/// So many elements are always told one by one.
const FEW: usize = 6;

fn stage(f: &mut fmt::Formatter<'_>, s: &StagePlan) -> fmt::Result {
    for a in &s.arrays {
        let of =
            if a.chunks_total > 0 { format!(" of {}", human_count(a.chunks_total)) } else { String::new() };
        let shards = match a.shards.value {
            0 => String::new(),
            1 => format!(" in {} shard", a.shards.count()),
            _ => format!(" in {} shards", a.shards.count()),
        };
        writeln!(
            f,
            "    {:<10} {:<24} {} chunks{of}{shards}, {} requests, fetch {}, decode {}",
            s.name,
            escape(&a.path),
            a.chunks.count(),
            a.requests.count(),
            a.fetch_bytes.bytes(),
            a.decode_bytes.bytes()
        )?;
    }
    Ok(())
}

fn decoded(element: &ElementPlan) -> u64 {
    element.stages.iter().flat_map(|s| &s.arrays).map(|a| a.decode_bytes.value).fold(0, u64::saturating_add)
}

fn element(f: &mut fmt::Formatter<'_>, e: &ElementPlan) -> fmt::Result {
    let path = if e.path.is_empty() { "/" } else { &e.path };
    writeln!(f, "  {} [{}]  {} → {}", escape(path), escape(&e.selection), e.what, e.output_bytes.bytes())?;
    for s in &e.stages {
        stage(f, s)?;
    }
    for note in &e.notes {
        writeln!(f, "    note: {note}")?;
    }
    Ok(())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "plan: {} requests in {} round trips, fetch {}, decode {}, result {}, peak memory {} (limit {})",
            self.requests.count(),
            self.round_trips.count(),
            self.fetch_bytes.bytes(),
            self.decode_bytes.bytes(),
            self.output_bytes.bytes(),
            self.peak_bytes.bytes(),
            human_bytes(self.memory_limit),
        )?;
        if let Some(d) = &self.distance {
            writeln!(
                f,
                "  over the network ≈ {:.2} s at {:.1} ms ({}) and {}/s",
                d.network_ms.value as f64 / 1e3,
                d.latency_us as f64 / 1e3,
                d.latency_is,
                human_bytes(d.bandwidth)
            )?;
        }
        if self.cached_requests.value > 0 {
            writeln!(
                f,
                "  of these, {} requests ({}) are in the cache on the local disk",
                self.cached_requests.count(),
                self.cached_bytes.bytes(),
            )?;
        }
        if !self.selection.is_empty() {
            writeln!(f, "  to know the selection")?;
            for s in &self.selection {
                stage(f, s)?;
            }
        }
        let all: u64 = self.elements.iter().map(decoded).fold(0, u64::saturating_add);
        let large = |e: &&ElementPlan| {
            self.elements.len() <= FEW || decoded(e) as f64 >= SMALL * all as f64 || !e.notes.is_empty()
        };
        for e in self.elements.iter().filter(large) {
            element(f, e)?;
        }
        let small: Vec<&ElementPlan> = self.elements.iter().filter(|e| !large(e)).collect();
        if !small.is_empty() {
            let arrays = || small.iter().flat_map(|e| &e.stages).flat_map(|s| &s.arrays);
            writeln!(
                f,
                "  and {} small elements: {} requests, fetch {}, decode {}",
                small.len(),
                arrays().map(|a| a.requests).sum::<crate::Amount>().count(),
                arrays().map(|a| a.fetch_bytes).sum::<crate::Amount>().bytes(),
                arrays().map(|a| a.decode_bytes).sum::<crate::Amount>().bytes(),
            )?;
        }
        if let Some(resolve) = self.elements.iter().find_map(|e| e.resolve.as_ref()) {
            writeln!(f, "  plan(resolve=True) {resolve}")?;
        }
        write!(f, "  assumes {}; ≤ is an upper bound, ≈ an estimate, the rest is exact", self.assumes)
    }
}
