//! Placements, walks and requests against what is worked out item by item.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use lazarr_format::metadata::{Limits, array_v3};
use lazarr_format::shard::ShardIndex;
use lazarr_format::{ArrayMeta, ArrayRef, ByteRange, Profile, Version};
use lazarr_plan::{ArrayRead, GridWalk, Index, IndexState, Placement, Role, Run, Segments, Work, touched};
use lazarr_testkit::Rng;
use serde_json::json;

fn runs(p: &dyn Placement, span: Range<u64>) -> Vec<Run> {
    let mut out = Vec::new();
    p.runs(span, &mut |r| {
        out.push(r);
        Ok(())
    })
    .unwrap();
    out
}

fn pairs(runs: &[Run]) -> Vec<(u64, u64)> {
    let mut out: Vec<_> = runs.iter().flat_map(|r| (0..r.len).map(|i| (r.src + i, r.dst + i))).collect();
    out.sort_unstable();
    out
}

#[test]
fn segments_are_their_runs() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut dst = 0;
        let given: Vec<Run> = (0..rng.below(12))
            .map(|_| {
                let run = Run { src: rng.below(60), dst, len: rng.below(15) };
                dst += run.len;
                run
            })
            .collect();
        let segments = Segments::new(given.clone());
        let expected = pairs(&given);
        assert_eq!(segments.len(), expected.len() as u64);
        let sources: BTreeSet<u64> = expected.iter().map(|p| p.0).collect();
        for pos in 0..80 {
            assert_eq!(segments.next_from(pos), sources.range(pos..).next().copied(), "seed {seed}, {pos}");
        }
        let span = sources.first().map(|&a| a..sources.last().unwrap() + 1);
        assert_eq!(segments.span(), span);
        for _ in 0..10 {
            let (a, b) = (rng.below(80), rng.below(80));
            let span = a.min(b)..a.max(b);
            let found = runs(&segments, span.clone());
            assert!(found.is_sorted_by_key(|r| r.src), "seed {seed}");
            let inside: Vec<_> = expected.iter().copied().filter(|p| span.contains(&p.0)).collect();
            assert_eq!(pairs(&found), inside, "seed {seed} {span:?}");
        }
        if let Some(range) = segments.is_identity_range() {
            let identity: Vec<_> = range.clone().map(|s| (s, s - range.start)).collect();
            assert_eq!(expected, identity, "seed {seed}");
        }
    }
}

fn index(rng: &mut Rng, n: u64) -> Index {
    match rng.below(4) {
        0 => Index::all(n),
        1 => Index::slice(Some(rng.below(n) as i64), None, Some(rng.pick(&[1, 2, 5, -1])), n).unwrap(),
        2 => Index::mask(&(0..n).map(|_| rng.once_in(3)).collect::<Vec<_>>(), n).unwrap(),
        _ => {
            let items: Vec<i64> = (0..rng.below(9)).map(|_| rng.below(n) as i64).collect();
            Index::ints(&items, n).unwrap()
        }
    }
}

#[test]
fn a_walk_steps_on_each_touched_cell_once() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let rank = rng.below(4) as usize;
        let axes: Vec<Index> = (0..rank).map(|_| index(&mut rng, 40)).collect();
        let cell: Vec<u64> = (0..rank).map(|_| rng.within(1..15)).collect();
        let placements: Vec<Arc<dyn Placement>> = axes.iter().map(|i| Arc::new(i.clone()) as _).collect();
        let mut expected = vec![Vec::new()];
        for (axis, &c) in axes.iter().zip(&cell) {
            let cells: BTreeSet<u64> = axis.iter().map(|i| i / c).collect();
            assert_eq!(touched(axis, c), cells.len() as u64);
            let each =
                |at: Vec<u64>| cells.iter().map(|&i| [at.clone(), vec![i]].concat()).collect::<Vec<_>>();
            expected = expected.into_iter().flat_map(each).collect();
        }
        let found: Vec<Vec<u64>> = GridWalk::new(&placements, &cell, None).map(|at| at.to_vec()).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// An array on a grid with these edges.
fn rectilinear(shape: &[u64], edges: &[Vec<u64>]) -> ArrayRef {
    let meta = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "int32", "fill_value": 0,
        "chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": edges}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    });
    Arc::new(array_v3("a", meta.as_object().unwrap(), &Limits::default()).unwrap())
}

#[test]
fn a_walk_over_edges_steps_on_each_touched_chunk_once() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let rank = rng.within(1..4) as usize;
        let shape: Vec<u64> = (0..rank).map(|_| rng.within(1..40)).collect();
        let edges: Vec<Vec<u64>> = (shape.iter())
            .map(|&n| {
                let mut edges = Vec::new();
                while edges.iter().sum::<u64>() < n {
                    edges.push(rng.within(1..10));
                }
                edges
            })
            .collect();
        let array = rectilinear(&shape, &edges);
        let axes: Vec<Index> = shape.iter().map(|&n| index(&mut rng, n)).collect();
        let read =
            ArrayRead::new(&array, axes.iter().map(|i| Arc::new(i.clone()) as _).collect(), Role::Values);
        let of = |axis: usize, item: u64| {
            let mut end = 0;
            edges[axis].iter().position(|edge| {
                end += edge;
                item < end
            })
        };
        let (mut expected, mut items) = (vec![Vec::new()], 1);
        for (axis, index) in axes.iter().enumerate() {
            let chunks: BTreeSet<u64> = index.iter().map(|i| of(axis, i).unwrap() as u64).collect();
            items *= chunks.iter().map(|&k| edges[axis][k as usize]).sum::<u64>();
            let each =
                |at: Vec<u64>| chunks.iter().map(|&i| [at.clone(), vec![i]].concat()).collect::<Vec<_>>();
            expected = expected.into_iter().flat_map(each).collect();
        }
        let found: Vec<Vec<u64>> = read.shards().map(|at| at.to_vec()).collect();
        assert_eq!(found, expected, "seed {seed}: {edges:?}");
        assert_eq!((read.chunk_count(), read.shard_count()), (found.len() as u64, found.len() as u64));
        assert_eq!(read.chunk_items(), items, "seed {seed}: {edges:?}");
        let mut asked = Vec::new();
        let mut stream = read.work(Profile {
            latency: 1e-7,
            bandwidth: 5e8,
            per_request: 1e-7,
            max_request: 700,
            slots: 1,
            overhead: 0,
        });
        while let Some(work) = stream.next(&mut |_, _| panic!("there are no shards")).unwrap() {
            let Work::Fetch { key, range: ByteRange::All, parts, .. } = work else { panic!("{work:?}") };
            assert_eq!(key, array.chunk_key(&parts[0].at));
            asked.push(parts[0].at.to_vec());
        }
        assert_eq!(asked, expected);
        for at in &found {
            assert!(read.touches_chunk(at));
            for (axis, span) in read.chunk_span(at).into_iter().enumerate() {
                let k = at[axis] as usize;
                let start: u64 = edges[axis][..k].iter().sum();
                assert_eq!(span, start..(start + edges[axis][k]).min(shape[axis]), "seed {seed}");
            }
        }
    }
}

fn array(shape: &[u64], shard: &[u64], inner: &[u64]) -> ArrayRef {
    let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let meta = json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "int32", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": inner, "codecs": [bytes], "index_codecs": [bytes], "index_location": "end",
        }}],
    });
    Arc::new(array_v3("a", meta.as_object().unwrap(), &Limits::default()).unwrap())
}

/// A shard with chunks of random lengths, gaps and order; some are missing.
fn shard(rng: &mut Rng, array: &ArrayMeta) -> (ShardIndex, Vec<Option<Range<u64>>>) {
    let n = array.inner_per_chunk() as usize;
    let mut order: Vec<usize> = (0..n).collect();
    if rng.once_in(2) {
        order.reverse();
    }
    let mut places = vec![None; n];
    let mut at = 0;
    for i in order {
        if rng.below(6) > 0 {
            let len = rng.within(1..300);
            places[i] = Some(at..at + len);
            at += len + rng.pick(&[0, 0, 5, 60, 1000]);
        }
    }
    let entry = |p: &Option<Range<u64>>| p.as_ref().map_or([u64::MAX; 2], |r| [r.start, r.end - r.start]);
    let bytes: Vec<u8> = places.iter().flat_map(entry).flat_map(u64::to_le_bytes).collect();
    let total = at + bytes.len() as u64;
    (ShardIndex::parse(&bytes, array, Some(total)).unwrap(), places)
}

#[test]
fn requests_cover_each_touched_chunk_once_within_gap_and_size() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let array = array(&[40, 30], &[16, 12], &[4, 3]);
        let axes: Vec<Index> = [40, 30].iter().map(|&n| index(&mut rng, n)).collect();
        let read =
            ArrayRead::new(&array, axes.iter().map(|i| Arc::new(i.clone()) as _).collect(), Role::Values);
        let profile = Profile {
            latency: 1e-7,
            bandwidth: 5e8,
            per_request: 1e-7,
            max_request: 700,
            slots: 1,
            overhead: 0,
        }; // gaps up to 50 bytes
        assert_eq!(profile.max_gap(), 50);
        let mut shards: BTreeMap<String, Option<Vec<Option<Range<u64>>>>> = BTreeMap::new();
        let mut stream = read.work(profile);
        let (mut fetched, mut filled, mut found) = (BTreeSet::new(), Vec::new(), Vec::new());
        while let Some(work) = stream
            .next(&mut |key, _| {
                assert!(!shards.contains_key(key), "an index is asked for once");
                if rng.once_in(5) {
                    shards.insert(key.to_owned(), None);
                    return Ok(IndexState::Absent);
                }
                let (index, places) = shard(&mut rng, &array);
                shards.insert(key.to_owned(), Some(places));
                Ok(IndexState::Present(Arc::new(index), Version(1)))
            })
            .unwrap()
        {
            match work {
                Work::Fill(at) => filled.extend(at.into_iter().map(|a| a.to_vec())),
                Work::Fetch { key, range: ByteRange::Range(range), version, parts } => {
                    assert_eq!(version, Some(Version(1)));
                    assert!(parts.len() == 1 || range.end - range.start <= profile.max_request);
                    let mut end = 0;
                    for part in &parts {
                        let bytes = part.bytes.clone().unwrap();
                        assert!(bytes.start <= end + 50, "seed {seed}: a gap that is dearer than a request");
                        assert!(bytes.end <= range.end - range.start);
                        end = end.max(bytes.end);
                        found.push((part.at.to_vec(), range.start + bytes.start..range.start + bytes.end));
                    }
                    assert_eq!(end, range.end - range.start, "nothing after the last chunk");
                    assert!(fetched.insert((key, range.start)), "seed {seed}");
                }
                Work::Fetch { .. } => panic!("whole shards are never read"),
            }
        }
        let mut expected = Vec::new();
        let mut missing = Vec::new();
        for at in GridWalk::new(&read.axes, &[4, 3], None) {
            let key = array.chunk_key(&[at[0] / 4, at[1] / 4]);
            let number = (at[0] % 4 * 4 + at[1] % 4) as usize;
            match shards[&key].as_ref().and_then(|places| places[number].clone()) {
                Some(range) => expected.push((at.to_vec(), range)),
                None => missing.push(at.to_vec()),
            }
        }
        for list in [&mut filled, &mut missing] {
            list.sort();
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((found, filled), (expected, missing), "seed {seed}");
    }
}
