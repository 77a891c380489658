use super::*;

/// Item by item: which chunk, and where it starts and ends.
fn plain(runs: &[(u64, u64)], length: u64) -> Vec<(u64, u64, u64)> {
    let mut out = Vec::new();
    let (mut chunk, mut start) = (0, 0);
    for &(edge, count) in runs {
        for _ in 0..count {
            (start..(start + edge).min(length)).for_each(|_| out.push((chunk, start, start + edge)));
            (chunk, start) = (chunk + 1, start + edge);
        }
    }
    out
}

/// Numbers that look random.
fn rng(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    }
}

#[test]
fn chunks_are_where_their_edges_are() {
    for seed in 0..500 {
        let mut next = rng(seed);
        let repeat = if seed % 2 == 0 { 9 } else { 1 };
        let runs: Vec<(u64, u64)> =
            (0..=next(9)).map(|_| (next(if seed % 3 == 0 { 2 } else { 12 }) + 1, next(repeat) + 1)).collect();
        let all: u64 = runs.iter().map(|(edge, count)| edge * count).sum();
        let length = all - next(all + 1).min(next(all + 1));
        let axis = Axis::new(runs.iter().copied(), length).unwrap();
        let (cut, plain) = (axis.cut(), plain(&runs, length));
        assert_eq!(plain.len() as u64, length);
        for (item, &(chunk, start, end)) in plain.iter().enumerate() {
            assert_eq!(cut.of(item as u64), chunk, "seed {seed}, {item}: {axis:?}");
            assert_eq!(
                (cut.start(chunk), cut.end(chunk)),
                (start, Some(end)),
                "seed {seed}, {item}: {axis:?}"
            );
            assert_eq!(cut.len(chunk), end - start);
            assert!(end - start <= axis.longest());
        }
        assert_eq!(
            cut.count(length),
            plain.last().map_or(0, |(chunk, ..)| chunk + 1),
            "seed {seed}: {axis:?}"
        );
        if let Cut::Edges(_) = cut {
            let n = cut.count(length);
            assert_eq!((cut.of(u64::MAX), cut.end(n)), (n, None));
            assert!(cut.start(n) >= length && cut.start(u64::MAX) >= length);
            assert!(!cut.is_whole(length));
        }
    }
}

#[test]
fn equal_chunks_are_a_regular_axis() {
    let axis = |runs: &[(u64, u64)], length| Axis::new(runs.iter().copied(), length);
    assert_eq!(axis(&[(10, 3)], 30), Ok(Axis::Every(10)));
    assert_eq!(axis(&[(10, 1), (10, 2)], 25), Ok(Axis::Every(10)));
    assert_eq!(
        axis(&[(10, 3), (5, 7), (1, 1)], 25),
        Ok(Axis::Every(10)),
        "what lies behind the axis is not kept"
    );
    assert!(
        matches!(axis(&[(10, 2), (5, 1)], 25), Ok(Axis::Edges(_))),
        "the last chunk is shorter as it is stored"
    );
    assert_eq!(axis(&[(7, 1), (3, 1)], 0), Ok(Axis::Every(1)));
    assert_eq!(axis(&[], 0), Ok(Axis::Every(1)));
}

#[test]
fn edges_that_make_no_grid() {
    let axis = |runs: &[(u64, u64)], length| Axis::new(runs.iter().copied(), length).unwrap_err();
    assert_eq!(axis(&[(3, 3)], 10), BadEdges::Short(9));
    assert_eq!(axis(&[], 1), BadEdges::Short(0));
    assert_eq!(axis(&[(3, 3), (0, 1)], 9), BadEdges::Zero);
    assert_eq!(axis(&[(3, 0), (9, 1)], 9), BadEdges::Zero);
    assert_eq!(axis(&[(1, 1), (u64::MAX, 1)], 9), BadEdges::Overflow);
    // No more than is wanted is counted.
    let most = Axis::new([(1, u64::MAX), (2, u64::MAX)], u64::MAX).unwrap();
    assert_eq!(most, Axis::Every(1));
    let far = Axis::new([(1, 1), (2, u64::MAX)], 1 << 60).unwrap();
    assert_eq!((far.cut().of((1 << 60) - 1), far.cut().count(1 << 60)), (1 << 59, (1 << 59) + 1));
}

#[test]
fn few_words_take_little_memory() {
    let many = Axis::new([(1, 1 << 40), (2, 1 << 40), (1, 5)], 3 << 40).unwrap();
    let Axis::Edges(edges) = &many else { panic!("{many:?}") };
    assert_eq!(edges.ends.len(), 2);
    assert_eq!(many.cut().of((1 << 40) + 5), (1 << 40) + 2);
    // Far fewer runs than chunks, or one for each.
    let each = Axis::new((0..1000).map(|k| (1 + k % 2, 1)), 1500).unwrap();
    assert!(matches!(&each, Axis::Edges(e) if e.counts.is_none() && e.ends.len() == 1000));
}
