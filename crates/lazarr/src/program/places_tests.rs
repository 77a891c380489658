//! Runs of places against the places themselves.

use lazarr_testkit::Rng;

use super::Places;

#[test]
fn runs_say_what_the_places_say() {
    let mut packed = 0;
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut places = Vec::new();
        let mut place = rng.below(5) as u32;
        for _ in 0..rng.below(8) {
            let length = rng.below(12) as u32;
            places.extend(place..place + length);
            // Sometimes the same once more.
            place += length.saturating_sub(u32::from(rng.below(5) == 0)) + rng.below(4) as u32;
        }
        let each = Places::Each(places.clone());
        let mut runs = each.clone();
        runs.pack();
        packed += usize::from(matches!(runs, Places::Runs(..)));
        for form in [&each, &runs] {
            assert_eq!(form.len(), places.len());
            assert_eq!(form.last(), places.last().copied());
            for i in 0..places.len() + 2 {
                assert_eq!(form.get(i), places.get(i).copied(), "seed {seed}");
                let mut seen = Vec::new();
                let whole = form.stretches::<()>(i, &mut |first, at, n| {
                    seen.extend((0..n).map(|k| (first + k, at + k as usize)));
                    Ok(true)
                });
                assert_eq!(whole, Ok(true));
                let expected: Vec<_> = places.iter().copied().zip(0..).skip(i).collect();
                assert_eq!(seen, expected, "seed {seed}");
            }
            for at in 0..place + 3 {
                let expected = places.iter().filter(|&&p| p < at).count();
                assert_eq!(form.before(u64::from(at)), expected, "seed {seed}, {at}: {places:?}");
            }
        }
    }
    assert!(packed > 100, "{packed}");
}
