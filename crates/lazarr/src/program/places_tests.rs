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

#[test]
fn places_that_are_added_are_charged_before_and_are_all_there() {
    let mut forms = [0, 0];
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let (mut places, mut added) = (Vec::new(), Places::Runs(Vec::new(), 0));
        let mut charged = 0;
        let (longest, mut place) = ([1, 2, 40][rng.below(3) as usize], 0);
        for _ in 0..rng.below(400) {
            place += rng.below(3) as u32;
            let count = rng.below(longest) as u32 + 1;
            added
                .add(place, count, &mut |bytes| {
                    charged += bytes;
                    Ok::<(), ()>(())
                })
                .unwrap();
            places.extend(place..place + count);
            // Sometimes the last one once more.
            place += count - u32::from(rng.below(9) == 0);
        }
        let mut packed = added.clone();
        packed.pack();
        let held = match &added {
            Places::Each(each) => 4 * each.capacity(),
            Places::Runs(runs, _) => 8 * runs.capacity(),
        };
        assert!(held <= charged, "seed {seed}: {held} > {charged}");
        forms[usize::from(matches!(packed, Places::Runs(..)))] += 1;
        for form in [added, packed] {
            let each: Vec<u32> = (0..form.len()).map(|i| form.get(i).unwrap()).collect();
            assert_eq!(each, places, "seed {seed}");
        }
    }
    assert!(forms.iter().all(|&n| n > 50), "{forms:?}");
}

#[test]
fn no_place_is_added_where_there_is_no_room() {
    let mut places = Places::Runs(Vec::new(), 0);
    assert_eq!(places.add(3, 5, &mut |_| Err("full")), Err("full"));
    assert_eq!(places.len(), 0);
}
