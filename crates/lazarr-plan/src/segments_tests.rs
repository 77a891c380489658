//! Runs in any order come to what sorting them first, and joining them then, gives.

use proptest::prelude::*;

use super::Segments;
use crate::{Placement, Run};

proptest! {
    #[test]
    fn runs_are_sorted_joined_and_none_is_lost(
        lens in prop::collection::vec((0u64..4, 0u64..3), 0..40),
        order in any::<prop::sample::Index>(),
        turned in any::<bool>(),
    ) {
        // Apart by gaps, some of which are none; destinations follow each other.
        let (mut src, mut dst) = (0, 0);
        let mut runs = Vec::new();
        for (len, gap) in lens {
            src += gap;
            runs.push(Run { src, dst, len });
            src += len;
            dst += len;
        }
        let items: Vec<(u64, u64)> =
            runs.iter().flat_map(|r| (0..r.len).map(|i| (r.src + i, r.dst + i))).collect();
        let mut mixed = runs.clone();
        let by = order.index(mixed.len().max(1));
        mixed.rotate_left(by);
        if turned {
            mixed.reverse();
        }
        let segments = Segments::new(mixed);
        prop_assert_eq!(segments.len(), dst);
        let mut found = Vec::new();
        let mut last: Option<Run> = None;
        segments
            .runs(0..u64::MAX, &mut |run| {
                found.extend((0..run.len).map(|i| (run.src + i, run.dst + i)));
                if let Some(last) = last.replace(run) {
                    assert!(run.src > last.src + last.len, "neighbours are one");
                }
                Ok(())
            })
            .unwrap();
        prop_assert_eq!(found, items);
    }
}
