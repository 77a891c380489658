//! The stored values that were found, as a placement.

use std::ops::Range;

use lazarr_plan::{Placement, Run};
use lazarr_testkit::Rng;

use super::super::places::Places;
use super::{Found, Matches};

fn matches(rng: &mut Rng) -> (Matches, Vec<u64>) {
    let (mut found, mut sources, mut first) = (Vec::new(), Vec::new(), 0);
    for chunk in 0..6u64 {
        let mut places: Vec<u32> = (0..rng.below(6)).map(|_| rng.below(10) as u32).collect();
        if rng.below(2) == 0 {
            places = (0..rng.below(9) as u32).collect();
        }
        places.sort_unstable(); // repeats: a column that is wanted twice
        if places.is_empty() {
            continue;
        }
        sources.extend(places.iter().map(|&p| chunk * 10 + u64::from(p)));
        let len = places.len() as u64;
        let mut places = Places::Each(places);
        if rng.below(2) == 0 {
            places.pack();
        }
        found.push(Found { start: chunk * 10, rows: Vec::new(), places, columns: Vec::new(), first });
        first += len;
    }
    (Matches::new(found, first), sources)
}

fn pairs(m: &Matches, span: Range<u64>) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    let walked = m.runs(span, &mut |r: Run| {
        out.extend((0..r.len).map(|i| (r.src + i, r.dst + i)));
        Ok(())
    });
    assert!(walked.is_ok());
    out
}

#[test]
fn matches_are_where_they_were_found() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let (m, sources) = matches(&mut rng);
        let expected: Vec<(u64, u64)> = sources.iter().copied().zip(0..).collect();
        assert_eq!(m.len(), sources.len() as u64);
        assert_eq!(m.span(), sources.first().map(|&a| a..sources[sources.len() - 1] + 1));
        for pos in 0..65 {
            assert_eq!(m.next_from(pos), sources.iter().copied().find(|&s| s >= pos), "seed {seed}, {pos}");
        }
        for _ in 0..10 {
            let (a, b) = (rng.below(65), rng.below(65));
            let span = a.min(b)..a.max(b);
            let inside: Vec<_> = expected.iter().copied().filter(|p| span.contains(&p.0)).collect();
            assert_eq!(pairs(&m, span), inside, "seed {seed}");
        }
    }
}
