//! Runs in any order come to what sorting them first, and joining them then, gives.

use std::sync::Arc;

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

    #[test]
    fn borders_are_the_runs_with_one_item_more(
        lens in prop::collection::vec((1u64..5, 1u64..4), 0..60),
        spans in prop::collection::vec((0u64..300, 0u64..60), 1..10),
    ) {
        let (mut src, mut dst) = (0, 0);
        let (mut runs, mut wide) = (Vec::new(), Vec::new());
        for (len, gap) in lens {
            src += gap;
            runs.push(Run { src, dst, len });
            wide.push(Run { src, dst: dst + wide.len() as u64, len: len + 1 });
            src += len;
            dst += len;
        }
        let (borders, segments) = (Segments::borders(&Arc::new(runs)), Segments::new(wide));
        let items = |s: &Segments, span: std::ops::Range<u64>| {
            let mut items = Vec::new();
            s.runs(span, &mut |run| {
                items.extend((0..run.len).map(|i| (run.src + i, run.dst + i)));
                Ok(())
            })
            .unwrap();
            items
        };
        prop_assert_eq!(borders.len(), segments.len());
        prop_assert_eq!(borders.span(), segments.span());
        for (start, len) in spans {
            prop_assert_eq!(borders.next_from(start), segments.next_from(start));
            prop_assert_eq!(items(&borders, start..start + len), items(&segments, start..start + len));
        }
    }
}
