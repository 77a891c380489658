//! Columns in each of their forms; the search against a loop that looks at every item.

use lazarr_plan::Index;
use lazarr_testkit::Rng;

use super::Columns;
use super::scan::{Wanted, find};
use crate::program::wide::in_both;

#[test]
fn columns_go_where_they_are_wanted() {
    let wide = 1 << 40;
    let cases = [
        (Index::slice(Some(3), Some(9), None, 20).unwrap(), 20),
        (Index::ints(&[5, 1, 19], 20).unwrap(), 20),
        (Index::ints(&[5, 1, 5], 20).unwrap(), 20),
        (Index::ints(&[1, 7, 1 << 39], wide).unwrap(), wide),
        (Index::ints(&[1 << 39, 7], wide).unwrap(), wide),
        (Index::ints(&[], 20).unwrap(), 20),
    ];
    for (index, minor) in cases {
        let columns = Columns::new(&index, minor).unwrap();
        for column in (0..20).chain([1 << 39]).filter(|&c| c < minor) {
            let mut found = Vec::new();
            columns.each(column, |to| found.push(u64::from(to)));
            let expected: Vec<u64> =
                index.iter().zip(0..).filter(|(c, _)| *c == column).map(|(_, to)| to).collect();
            assert_eq!(found, expected, "{index}, {column}");
        }
    }
}

#[test]
fn every_form_finds_what_a_plain_loop_finds() {
    in_both(forms_beside_a_plain_loop);
}

fn forms_beside_a_plain_loop() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let minor = 1 + rng.below(200);
        let len = rng.below(400) as usize;
        let mut items: Vec<u8> = (0..len).map(|_| rng.below(minor) as u8).collect();
        if rng.below(3) == 0 && len > 0 {
            items[rng.below(len as u64) as usize] = 250;
        }
        let picks: Vec<i64> = (0..rng.below(8)).map(|_| rng.below(minor) as i64).collect();
        let columns = match rng.below(2) {
            0 => Index::ints(&picks, minor).unwrap(),
            _ => Index::slice(Some(rng.below(minor) as i64), None, None, minor).unwrap(),
        };
        let wanted = Columns::new(&columns, minor).unwrap().wanted(&columns, minor);
        let bytes: Vec<[u8; 1]> = items.iter().map(|&b| [b]).collect();
        let mut found = Vec::new();
        let bad = find(&bytes, u8::from_ne_bytes, (minor - 1) as u8, &wanted, &mut |places| {
            assert!(!places.is_empty(), "seed {seed}");
            found.extend(places.map(|i| (i, u64::from(items[i]))));
            Ok::<(), ()>(())
        });
        let expected_bad = items.iter().position(|&b| u64::from(b) >= minor);
        assert_eq!(bad, Ok(expected_bad), "seed {seed}");
        let expected: Vec<(usize, u64)> = items[..expected_bad.unwrap_or(len)]
            .iter()
            .enumerate()
            .filter(|(_, b)| columns.contains(u64::from(**b)))
            .map(|(i, b)| (i, u64::from(*b)))
            .collect();
        assert_eq!(found, expected, "seed {seed} {wanted:?}");
    }
}

#[test]
fn the_form_is_the_fastest_that_fits() {
    let of = |picks: &[i64], minor| {
        let columns = Index::ints(picks, minor).unwrap();
        Columns::new(&columns, minor).unwrap().wanted(&columns, minor)
    };
    assert_eq!(of(&[7], 100), Wanted::Range(7, 7));
    assert_eq!(of(&[7, 7], 100), Wanted::Range(7, 7));
    assert_eq!(of(&[9, 3], 100), Wanted::Few([3, 9, 9, 9]));
    assert!(matches!(of(&[9, 3, 1, 4, 80], 100), Wanted::Bits(b) if b.len() == 2));
    assert_eq!(of(&[9, 3, 1, 4, 1 << 40], 1 << 41), Wanted::All);
}
