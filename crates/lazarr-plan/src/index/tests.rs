use std::time::Instant;

use lazarr_format::Code;
use proptest::prelude::*;

use super::Index;
use crate::{Placement, Run};

/// Python's slicing, by its own words: walk from the start while inside.
fn python_slice(start: Option<i64>, stop: Option<i64>, step: i64, n: i64) -> Vec<u64> {
    let wrap = |x: i64| if x < 0 { x + n } else { x };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let start = start.map_or(if step > 0 { low } else { high }, |x| wrap(x).clamp(low, high));
    let stop = stop.map_or(if step > 0 { high } else { low }, |x| wrap(x).clamp(low, high));
    let mut out = Vec::new();
    let mut i = start;
    while if step > 0 { i < stop } else { i > stop } {
        out.push(i as u64);
        i += step;
    }
    out
}

/// Everything an index answers, compared with the list of positions that it stands for.
fn check(index: &Index, model: &[u64], n: u64) {
    assert_eq!(index.to_vec(), model);
    assert_eq!(index.len(), model.len() as u64);
    assert_eq!(index.is_empty(), model.is_empty());
    for (i, x) in model.iter().enumerate() {
        assert_eq!(index.get(i as u64), Some(*x));
    }
    assert_eq!(index.get(model.len() as u64), None);
    assert_eq!(index.get(u64::MAX), None);
    for x in 0..n + 3 {
        assert_eq!(index.contains(x), model.contains(&x), "contains {x} in {index:?}");
        assert_eq!(
            index.rank(x),
            model.iter().position(|y| *y == x).map(|i| i as u64),
            "rank {x} in {index:?}"
        );
        assert_eq!(
            index.next_from(x),
            model.iter().copied().filter(|y| *y >= x).min(),
            "next {x} in {index:?}"
        );
    }
    assert_eq!(index.next_from(u64::MAX), None);
    assert_eq!(index.is_monotone(), model.windows(2).all(|w| w[0] < w[1]));
    let mut sorted = model.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(index.has_duplicates(), sorted.len() != model.len());
    assert_eq!(index.span(), sorted.first().map(|a| *a..sorted[sorted.len() - 1] + 1));
    let range = model.first().map_or(0..0, |a| *a..*a + model.len() as u64);
    assert_eq!(index.is_identity_range(), range.clone().eq(model.iter().copied()).then_some(range));
    let unique = index.unique_sorted();
    assert_eq!(unique.to_vec(), sorted);
    assert_eq!(unique.compose(&index.expansion()).unwrap(), *index);
    let again = Index::from_bytes(&index.to_bytes()).unwrap();
    assert_eq!(again.to_vec(), model);
    assert_eq!(again.axis_len(), index.axis_len());
    assert_eq!(again, *index);
    if let Some((start, step, len)) = index.as_range() {
        let made: Vec<u64> = (0..len as i64).map(|i| (start as i64 + step * i) as u64).collect();
        assert_eq!(made, model);
    }
    assert!(!index.to_string().is_empty());
    check_runs(index, model, 0..u64::MAX);
}

fn check_runs(index: &Index, model: &[u64], span: std::ops::Range<u64>) {
    let mut runs: Vec<Run> = Vec::new();
    index
        .runs(span.clone(), &mut |run| {
            runs.push(run);
            Ok(())
        })
        .unwrap();
    assert!(runs.iter().all(|r| r.len > 0));
    assert!(runs.windows(2).all(|w| w[0].src <= w[1].src), "{runs:?}");
    let mut got: Vec<_> = runs.iter().flat_map(|r| (0..r.len).map(|i| (r.src + i, r.dst + i))).collect();
    got.sort_unstable();
    let mut want: Vec<_> =
        model.iter().zip(0u64..).filter(|(x, _)| span.contains(x)).map(|(x, i)| (*x, i)).collect();
    want.sort_unstable();
    assert_eq!(got, want, "{index:?} in {span:?}");
    if span == (0..u64::MAX) {
        assert_eq!(index.run_count(), runs.len() as u64, "{index:?}");
    }
}

/// An index on an axis of `n`, and its positions.
fn any_index(n: u64) -> BoxedStrategy<(Index, Vec<u64>)> {
    let m = n as i64;
    let bound = prop::option::of(-m - 3..=m + 3);
    let step = prop_oneof![-4i64..=4, -m - 2..=m + 2].prop_filter("zero", |s| *s != 0);
    let whole = step.clone().prop_map(|s| (None, None, Some(s)));
    let slice =
        prop_oneof![whole, (bound.clone(), bound, prop::option::of(step))].prop_map(move |(a, b, s)| {
            (Index::slice(a, b, s, n).unwrap(), python_slice(a, b, s.unwrap_or(1), m))
        });
    let ones =
        |mask: &[bool]| mask.iter().zip(0u64..).filter(|(m, _)| **m).map(|(_, i)| i).collect::<Vec<_>>();
    let mask = prop::collection::vec(any::<bool>(), n as usize)
        .prop_map(move |mask| (Index::mask(&mask, n).unwrap(), ones(&mask)));
    // Few long runs: intervals.
    let blocks =
        prop::collection::vec((1..=n.max(1) as usize / 3 + 1, any::<bool>()), 1..8).prop_map(move |parts| {
            let mut mask: Vec<bool> = parts.iter().flat_map(|(len, on)| vec![*on; *len]).collect();
            mask.resize(n as usize, false);
            (Index::mask(&mask, n).unwrap(), ones(&mask))
        });
    if n == 0 {
        return prop_oneof![slice, mask, blocks].boxed();
    }
    let ints = prop::collection::vec(-m..m, 0..40).prop_map(move |items| {
        let model = items.iter().map(|x| if *x < 0 { x + m } else { *x } as u64).collect();
        (Index::ints(&items, n).unwrap(), model)
    });
    let few = prop::collection::btree_set(0..n, 0..6).prop_map(move |items| {
        let model: Vec<u64> = items.into_iter().collect();
        (Index::positions(model.clone()).with_axis(n).unwrap(), model)
    });
    prop_oneof![slice, mask, blocks, ints, few].boxed()
}

fn any_axis() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..12, 60u64..70, 100u64..700]
}

/// A view of a view of a view.
fn any_chain() -> impl Strategy<Value = (u64, Vec<(Index, Vec<u64>)>)> {
    any_axis().prop_flat_map(|n| {
        any_index(n).prop_flat_map(move |a| {
            any_index(a.1.len() as u64).prop_flat_map(move |b| {
                let a = a.clone();
                any_index(b.1.len() as u64).prop_map(move |c| (n, vec![a.clone(), b.clone(), c]))
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn constructors_agree_with_positions((n, (index, model)) in any_axis().prop_flat_map(|n| (Just(n), any_index(n)))) {
        check(&index, &model, n);
        prop_assert!(index.check_axis(n).is_ok());
        prop_assert_eq!(index.axis_len(), Some(n));
    }

    #[test]
    fn views_of_views_agree_with_positions((n, chain) in any_chain()) {
        let (mut index, mut model) = chain[0].clone();
        for (inner, places) in &chain[1..] {
            index = index.compose(inner).unwrap();
            model = places.iter().map(|i| model[*i as usize]).collect();
            check(&index, &model, n);
            prop_assert_eq!(index.axis_len(), Some(n));
        }
        // Grouped the other way, the same.
        let right = chain[0].0.compose(&chain[1].0.compose(&chain[2].0).unwrap()).unwrap();
        prop_assert_eq!(right, index);
    }

    #[test]
    fn runs_agree_on_any_span((n, (index, model)) in any_axis().prop_flat_map(|n| (Just(n), any_index(n))), a in 0u64..800, len in 0u64..800) {
        check_runs(&index, &model, a..a + len);
        let _ = n;
    }

    #[test]
    fn hostile_bytes_are_refused_or_whole(mut bytes in prop::collection::vec(any::<u8>(), 0..40), version in any::<bool>()) {
        if version && !bytes.is_empty() {
            bytes[0] = 1;
        }
        if let Ok(index) = Index::from_bytes(&bytes) {
            let _ = (index.get(0), index.get(index.len().wrapping_sub(1)), index.span(), index.to_string());
            prop_assert_eq!(Index::from_bytes(&index.to_bytes()).unwrap().span(), index.span());
        }
    }

    #[test]
    fn spoilt_bytes_do_no_harm((_, (index, _)) in any_axis().prop_flat_map(|n| (Just(n), any_index(n))), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = index.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(index) = Index::from_bytes(&bytes) {
            let _ = (index.get(0), index.get(index.len().wrapping_sub(1)), index.span(), index.to_string());
        }
        bytes.truncate(at);
        if let Ok(index) = Index::from_bytes(&bytes) {
            let _ = (index.span(), index.next_from(0));
        }
    }
}

#[test]
fn errors_name_what_does_not_fit() {
    let e = Index::ints(&[0, 5, -8], 7).unwrap_err();
    assert_eq!(e.code(), Code::IndexOutOfRange);
    assert!(e.to_string().contains("index -8 (number 2 of 3) is out of bounds for an axis of 7"), "{e}");
    let e = Index::mask(&[true; 3], 4).unwrap_err();
    assert_eq!(e.code(), Code::IndexOutOfRange);
    assert!(e.to_string().contains("expected 4, found 3"), "{e}");
    assert_eq!(Index::mask_bits(vec![0; 2], 64, 64).unwrap_err().code(), Code::IndexOutOfRange);
    assert_eq!(Index::slice(None, None, Some(0), 4).unwrap_err().code(), Code::IndexKind);
    assert_eq!(Index::all(4).compose(&Index::all(5)).unwrap_err().code(), Code::IndexOutOfRange);
    assert_eq!(Index::positions(vec![3, 9]).with_axis(9).unwrap_err().code(), Code::IndexOutOfRange);
    assert_eq!(Index::from_bytes(&[]).unwrap_err().code(), Code::IndexKind);
}

#[test]
fn slices_of_extremes() {
    let n = 10;
    let (min, max) = (i64::MIN, i64::MAX);
    for (a, b, s) in
        [(Some(min), Some(max), Some(max)), (Some(max), Some(min), Some(min)), (None, None, Some(min))]
    {
        let index = Index::slice(a, b, s, n).unwrap();
        check(&index, &if s == Some(max) { vec![0] } else { vec![9] }, n);
    }
    let whole = Index::all(u64::MAX - 1);
    assert_eq!(
        whole.compose(&Index::slice(None, None, Some(-1), whole.len()).unwrap()).unwrap().get(0),
        Some(u64::MAX - 2)
    );
}

#[test]
fn too_large_to_write_down_is_an_error() {
    let odd = Index::slice(Some(1), None, Some(2), 1 << 60).unwrap();
    let two = Index::from_intervals([(0, 1 << 50), (1 << 51, 1 << 52)].into_iter(), None);
    assert_eq!(odd.compose(&two).unwrap_err().code(), Code::MemoryLimit);
}

#[test]
fn texts() {
    let slice = |a, b, s| Index::slice(a, b, s, 100).unwrap().to_string();
    assert_eq!(slice(None, None, None), "0:100");
    assert_eq!(slice(None, None, Some(2)), "::2");
    assert_eq!(slice(Some(1), None, Some(2)), "1::2");
    assert_eq!(slice(Some(1), Some(20), Some(3)), "1:22:3");
    assert_eq!(slice(None, None, Some(-1)), "::-1");
    assert_eq!(slice(Some(10), Some(4), Some(-2)), "10:4:-2");
    assert_eq!(slice(Some(5), Some(5), None), "[]");
    assert_eq!(Index::positions(vec![5, 3, 3, 1, 2, 9, 7]).to_string(), "[5, 3, 3, …] (7)");
    assert_eq!(Index::positions(vec![5, 3, 3]).to_string(), "[5, 3, 3]");
    let mask: Vec<bool> = (0..100_000).map(|i| i % 3 != 0).collect();
    let mask = Index::mask(&mask, 100_000).unwrap();
    assert_eq!(mask.to_string(), "66,666 of 100,000 (mask)");
    let runs = Index::mask(&(0..100_000).map(|i| i % 1000 < 10).collect::<Vec<_>>(), 100_000).unwrap();
    assert_eq!(runs.to_string(), "1,000 in 100 intervals");
}

#[test]
fn ten_million_rows_stay_small_and_fast() {
    let n = 10_000_000u64;
    // Two of three by a cheap scramble: no pattern that a form could use.
    let mask: Vec<bool> = (0..n).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 3 != 0).collect();
    let clock = Instant::now();
    let index = Index::mask(&mask, n).unwrap();
    let built = clock.elapsed();
    assert!(index.memory_bytes() <= n / 8 + n / 60, "{} bytes", index.memory_bytes());
    let clock = Instant::now();
    let half = Index::slice(None, None, Some(-2), index.len()).unwrap();
    let view = index
        .compose(&half)
        .unwrap()
        .compose(&Index::slice(Some(1000), Some(-1000), None, half.len()).unwrap())
        .unwrap();
    let again = view.compose(&Index::mask(&mask[..view.len() as usize], view.len()).unwrap()).unwrap();
    let composed = clock.elapsed();
    assert!(view.memory_bytes() <= n / 6 && again.memory_bytes() <= n / 6);
    let clock = Instant::now();
    let mut rows = 0;
    index
        .runs(0..n, &mut |r| {
            rows += r.len;
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, index.len());
    println!("built {built:?}, composed {composed:?}, walked {:?}", clock.elapsed());
}
