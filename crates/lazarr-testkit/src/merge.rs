//! The cheapest of all ways to merge chunks into requests, written apart from the engine's own.

use std::ops::Range;

use lazarr_format::Profile;

/// Seconds of the cheapest requests for these chunks of one key, which ascend; latencies not counted. Goes through all ways
/// to end the last request; there is no bound on its length.
pub fn cheapest(chunks: &[Range<u64>], profile: &Profile) -> f64 {
    let mut best = vec![0.0f64];
    for last in 0..chunks.len() {
        let ways = (0..=last).map(|first| {
            let bytes = chunks[last].end - chunks[first].start;
            best[first] + profile.per_request + bytes as f64 / profile.bandwidth
        });
        best.push(ways.fold(f64::INFINITY, f64::min));
    }
    best[chunks.len()]
}

/// The same of all partitions into requests, neighbours or not: for a few chunks.
pub fn cheapest_by_brute_force(chunks: &[Range<u64>], profile: &Profile) -> f64 {
    fn put(left: &[Range<u64>], open: &mut Vec<Range<u64>>, profile: &Profile, best: &mut f64) {
        let Some((next, rest)) = left.split_first() else {
            let bytes = open.iter().map(|r| r.end - r.start).sum();
            *best = best.min(profile.seconds(0, open.len() as u64, bytes));
            return;
        };
        for k in 0..open.len() {
            let before = open[k].clone();
            open[k] = before.start.min(next.start)..before.end.max(next.end);
            put(rest, open, profile, best);
            open[k] = before;
        }
        open.push(next.clone());
        put(rest, open, profile, best);
        open.pop();
    }
    let mut best = f64::INFINITY;
    put(chunks, &mut Vec::new(), profile, &mut best);
    best
}
