#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The item that a number becomes, as a number again.
fn through(number: Number, to: &DataType) -> Option<f64> {
    let mut item = vec![0; to.item_size().unwrap()];
    write(to, number, &mut item)?;
    match read(to, &item)? {
        Number::Int(v) => Some(v as f64),
        Number::Float(v) => Some(v),
    }
}

#[test]
fn whole_numbers_stay_what_they_are() {
    use DataType::{Bool, Float, Int, UInt};
    let cases = [
        (-128, Int(1), true),
        (128, Int(1), false),
        (255, UInt(1), true),
        (-1, UInt(8), false),
        (i128::from(u64::MAX), UInt(8), true),
        (i128::from(u64::MAX), Int(8), false),
        (1 << 24, Float(4), true),
        ((1 << 24) + 1, Float(4), false),
        ((1 << 53) + 1, Float(8), false),
        (1, Bool, true),
        (2, Bool, false),
    ];
    for (number, to, fits) in cases {
        let found = through(Number::Int(number), &to);
        assert_eq!(found, fits.then_some(number as f64), "{number} as {to}");
    }
}

#[test]
fn floats_lose_digits_and_no_more() {
    use DataType::{Float, Int};
    assert_eq!(through(Number::Float(0.1), &Float(4)), Some(f64::from(0.1f32)));
    assert_eq!(through(Number::Float(1e300), &Float(4)), None);
    assert_eq!(through(Number::Float(f64::INFINITY), &Float(4)), Some(f64::INFINITY));
    assert!(through(Number::Float(f64::NAN), &Float(4)).is_some_and(f64::is_nan));
    assert_eq!(through(Number::Float(7.0), &Int(1)), Some(7.0));
    for bad in [0.5, f64::NAN, f64::INFINITY, 300.0] {
        assert_eq!(through(Number::Float(bad), &Int(1)), None, "{bad}");
    }
}
