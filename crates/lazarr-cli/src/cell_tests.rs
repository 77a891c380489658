use lazarr::DataType;
use lazarr::format::TimeUnit;
use serde_json::json;

use super::{Cell, date, fixed, half, moment};

fn time(ticks: i64, unit: &str, scale: u32) -> String {
    moment(ticks, &TimeUnit { unit: unit.into(), scale }).text()
}

#[test]
fn times_are_iso_8601() {
    assert_eq!(date(0), "1970-01-01");
    assert_eq!(date(-1), "1969-12-31");
    assert_eq!(date(11_016), "2000-02-29");
    assert_eq!(date(-719_528), "0000-01-01");
    assert_eq!(time(1_700_000_000, "s", 1), "2023-11-14T22:13:20");
    assert_eq!(time(-1, "ns", 1), "1969-12-31T23:59:59.999999999");
    assert_eq!(time(15, "ms", 100), "1970-01-01T00:00:01.5");
    assert_eq!(time(30, "M", 1), "1972-07");
    assert_eq!(time(i64::MIN, "ns", 1), "<NA>");
    assert_eq!(time(i64::MAX, "Y", 2_000_000_000).len(), 29);
}

#[test]
fn half_precision() {
    for (bits, value) in
        [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0), (0x3555, 0.333_251_95)]
    {
        assert!((half(bits) - value).abs() < 1e-10, "{bits:x}");
    }
    assert!(half(0x7e00).is_nan());
    assert!(half(0xfc00).is_infinite());
}

#[test]
fn people_see_six_digits_and_programs_all() {
    let third = Cell::Single(1.0 / 3.0);
    assert_eq!(third.text(), "0.333333");
    assert_eq!(third.json().to_string(), "0.33333334");
    assert_eq!(Cell::Double(2.0).text(), "2.0");
    assert_eq!(Cell::Double(1e300).text(), "1e300");
    assert_eq!(Cell::Double(f64::NAN).text(), "NaN");
    assert_eq!(Cell::Double(f64::NAN).json(), json!("NaN"));
    assert_eq!(Cell::Single(f32::NEG_INFINITY).json(), json!("-Infinity"));
    assert_eq!(Cell::Missing.json(), json!(null));
}

#[test]
fn texts_of_fixed_width_end_at_their_padding() {
    let wide: Vec<u8> = "né\0".chars().flat_map(|c| (c as u32).to_ne_bytes()).collect();
    assert_eq!(fixed(&DataType::FixedUtf32(3), &wide).text(), "né");
    assert_eq!(fixed(&DataType::FixedBytes(4), b"ab\0\0").text(), "ab");
    assert_eq!(fixed(&DataType::Raw(2), &[1, b'a']).text(), r"b'\x01a'");
    let complex: Vec<u8> = [1f32, -2.0].iter().flat_map(|x| x.to_ne_bytes()).collect();
    assert_eq!(fixed(&DataType::Complex(8), &complex).text(), "1.0-2.0j");
}
