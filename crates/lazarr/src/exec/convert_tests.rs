//! Every stored type to every width: values, and the first that is not legal.

use lazarr_format::DataType;

use super::{BadItem, Convert};

fn bytes(items: &[i64], size: usize) -> Vec<u8> {
    items.iter().flat_map(|x| x.to_le_bytes()[..size].to_vec()).collect()
}

#[test]
fn integers_are_widened_narrowed_and_checked() {
    for from in [1u8, 2, 4, 8].into_iter().flat_map(|n| [DataType::Int(n), DataType::UInt(n)]) {
        for to in [1u8, 2, 4, 8] {
            let convert = Convert::integers(&from, to, -1, 100, "a").unwrap();
            let signed = matches!(from, DataType::Int(_));
            let items = [0, 1, 100, if signed { -1 } else { 7 }, 42];
            let size = from.item_size().unwrap();
            let mut out = vec![0; items.len() * usize::from(to)];
            assert_eq!(convert.run(&bytes(&items, size), &mut out), Ok(()));
            assert_eq!(out, bytes(&items, usize::from(to)), "{from} to {to}");
            for (at, bad) in [(0, 101), (4, if signed { -2 } else { 120 }), (2, 127)] {
                let mut items = items;
                items[at] = bad;
                let error = convert.run(&bytes(&items, size), &mut out).unwrap_err();
                assert_eq!(error, BadItem { at: at as u64, value: i128::from(bad) }, "{from} to {to}");
            }
        }
    }
}

#[test]
fn what_no_i64_holds_is_shown_as_it_is() {
    let convert = Convert::integers(&DataType::UInt(8), 8, 0, i64::MAX, "a").unwrap();
    let error = convert.run(&u64::MAX.to_le_bytes(), &mut [0; 8]).unwrap_err();
    assert_eq!(error, BadItem { at: 0, value: i128::from(u64::MAX) });
    let convert = Convert::integers(&DataType::Int(2), 4, 0, 5, "a").unwrap();
    let error = convert.run(&i16::MIN.to_le_bytes(), &mut [0; 4]).unwrap_err();
    assert_eq!(error.value, i128::from(i16::MIN));
    assert!(Convert::integers(&DataType::Float(4), 4, 0, 5, "a").is_err());
}

#[test]
fn copies_are_copies() {
    let mut out = [0; 6];
    assert_eq!(Convert::Copy { size: 3 }.run(b"abcdef", &mut out), Ok(()));
    assert_eq!(&out, b"abcdef");
}

#[test]
fn items_that_stand_in_the_result_are_checked_as_those_that_are_copied() {
    let bounds =
        [(-1, 100), (0, 1), (0, 255), (-200, 300), (5, 4), (0, i64::MAX), (i64::MIN, -1), (300, 70_000)];
    for from in [1u8, 2, 4, 8].into_iter().flat_map(|n| [DataType::Int(n), DataType::UInt(n)]) {
        let size = from.item_size().unwrap();
        for (low, high) in bounds {
            let convert = Convert::integers(&from, size as u8, low, high, "a").unwrap();
            assert!(convert.is_same());
            for items in
                [[0, 1, 1, 0], [-1, 0, 100, 7], [127, 0, 300, 5], [-2, -7, -1, -100], [7, 400, 399, 500]]
            {
                let bytes = bytes(&items, size);
                let mut out = vec![0; bytes.len()];
                assert_eq!(convert.check(&bytes), convert.run(&bytes, &mut out), "{from} in {low}..={high}");
            }
            assert_eq!(convert.check(&[]), Ok(()));
        }
    }
}
