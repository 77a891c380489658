use super::*;
use crate::placement::Run;
use crate::segments::Segments;

fn map(length: u64, chunk: u64, shard: Option<u64>, of: &dyn Placement) -> AxisMap {
    AxisMap::cut(Cut::Every(chunk), length, shard.map_or(0, |s| s / chunk), of)
}

fn ranges(items: &[(u64, u64)]) -> Segments {
    let mut dst = 0;
    let runs = items.iter().map(|&(start, end)| {
        let run = Run { src: start, dst, len: end - start };
        dst += run.len;
        run
    });
    Segments::new(runs.collect())
}

#[test]
fn chunks_are_counted_at_their_places() {
    let all = map(1000, 10, Some(100), &ranges(&[(0, 1000)]));
    assert_eq!((all.chunks, all.shard, all.per), (100, 10, 2));
    assert_eq!(all.touched, vec![2; 50]);
    let some = map(100, 10, None, &ranges(&[(5, 25), (95, 96)]));
    assert_eq!(some.touched, [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]);
    assert!((some.share(9) - 1.0).abs() < 1e-9);
    assert_eq!(map(100, 10, None, &ranges(&[])).touched, vec![0; 10]);
}

#[test]
fn a_place_of_many_chunks_is_whole_shards() {
    let few = map(100_000, 1, Some(10), &ranges(&[(0, 10), (50_000, 50_001)]));
    assert_eq!(few.per % few.shard, 0);
    assert!(few.touched.len() as u64 <= PLACES);
    assert_eq!(few.touched.iter().sum::<u64>(), 11);
    assert!(few.share(0) < 0.01);
}

#[test]
fn the_last_place_may_hold_less() {
    let end = map(65, 1, None, &ranges(&[(64, 65)]));
    assert_eq!(end.touched.len(), 33);
    assert!((end.share(32) - 1.0).abs() < 1e-9);
}
