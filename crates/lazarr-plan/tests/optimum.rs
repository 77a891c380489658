//! How the engine merges neighbouring chunks, beside the cheapest of all ways to merge them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use std::ops::Range;
use std::sync::Arc;

use lazarr_format::metadata::{Limits, array_v3};
use lazarr_format::shard::ShardIndex;
use lazarr_format::{ArrayRef, ByteRange, Profile, Version};
use lazarr_plan::{ArrayRead, Index, IndexState, Role, Work};
use lazarr_testkit::{Rng, cheapest, cheapest_by_brute_force};
use serde_json::json;

/// The two stated distances: 50 ms and 100 MB/s, 1 ms and 1 GB/s; 32 requests at once.
fn profiles() -> [Profile; 2] {
    let near = Profile { latency: 1e-3, bandwidth: 1e9, per_request: 1e-3 / 32.0, ..Profile::REMOTE };
    [Profile::REMOTE, near]
}

/// One shard of so many chunks.
fn array(chunks: u64) -> ArrayRef {
    let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let meta = json!({
        "zarr_format": 3, "node_type": "array", "shape": [chunks], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunks]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1], "codecs": [bytes], "index_codecs": [bytes], "index_location": "end",
        }}],
    });
    Arc::new(array_v3("a", meta.as_object().unwrap(), &Limits::default()).unwrap())
}

/// The requests that the engine makes for these chunks of a shard.
fn engine(places: &[Range<u64>], chosen: &[i64], profile: Profile) -> Vec<Range<u64>> {
    let array = array(places.len() as u64);
    let entries = places.iter().flat_map(|r| [r.start, r.end - r.start]).flat_map(u64::to_le_bytes);
    let total = places.iter().map(|r| r.end).max().unwrap_or(0) + 16 * places.len() as u64;
    let index = ShardIndex::parse(&entries.collect::<Vec<_>>(), &array, Some(total)).unwrap();
    let rows = Index::ints(chosen, places.len() as u64).unwrap();
    let read = ArrayRead::new(&array, vec![Arc::new(rows)], Role::Values);
    let mut stream = read.work(profile);
    let index = Arc::new(index);
    let mut requests = Vec::new();
    while let Some(work) =
        stream.next(&mut |_, _| Ok(IndexState::Present(index.clone(), Version(1)))).unwrap()
    {
        match work {
            Work::Fetch { range: ByteRange::Range(range), .. } => requests.push(range),
            other => panic!("{other:?}"),
        }
    }
    requests
}

/// Seconds of requests that go out together, after the index has come.
fn cost(requests: &[Range<u64>], profile: &Profile) -> f64 {
    let bytes = requests.iter().map(|r| r.end - r.start).sum();
    profile.seconds(2, requests.len() as u64, bytes)
}

/// Chunks one after the other, of which every so many are wanted.
fn places(rng: &mut Rng, n: usize, size: u64, gaps: bool) -> Vec<Range<u64>> {
    let mut at = 0;
    (0..n)
        .map(|_| {
            at += if gaps && rng.once_in(5) { rng.below(4 * size) } else { 0 };
            let start = at;
            at += rng.within(size / 2..size * 2);
            start..at
        })
        .collect()
}

fn chosen(rng: &mut Rng, n: usize, share: u64) -> Vec<i64> {
    let mut out: Vec<i64> = (0..n as i64).filter(|_| rng.once_in(share)).collect();
    if out.is_empty() {
        out.push(rng.below(n as u64) as i64);
    }
    out
}

#[test]
fn the_search_finds_what_brute_force_finds() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let size = rng.pick(&[2_000, 40_000, 400_000]);
        let all = places(&mut rng, 20, size, true);
        let some: Vec<Range<u64>> =
            chosen(&mut rng, 20, 3).iter().take(8).map(|&i| all[i as usize].clone()).collect();
        for profile in profiles() {
            let (search, brute) = (cheapest(&some, &profile), cheapest_by_brute_force(&some, &profile));
            assert!((search - brute).abs() < 1e-9 * brute, "seed {seed}: {search}, {brute}");
        }
    }
}

#[test]
fn merging_costs_at_most_a_twentieth_more_than_the_cheapest_way() {
    let mut worst: f64 = 1.0;
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let n = rng.pick(&[1, 7, 60, 400, 2000]);
        let size = rng.pick(&[500, 8_000, 100_000, 400_000]);
        let all = places(&mut rng, n, size, seed % 2 == 0);
        let share = rng.pick(&[1, 2, 5, 20, 100]);
        let wanted = chosen(&mut rng, n, share);
        let chunks: Vec<Range<u64>> = wanted.iter().map(|&i| all[i as usize].clone()).collect();
        for profile in profiles() {
            let ratio = cost(&engine(&all, &wanted, profile), &profile)
                / (2.0 * profile.latency + cheapest(&chunks, &profile));
            assert!(ratio <= 1.05, "seed {seed}, {n} chunks of {size}, one in {share}: {ratio}");
            worst = worst.max(ratio);
        }
    }
    println!("at worst {worst:.4} of the optimum");
}
