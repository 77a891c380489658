//! What is packed comes back to the last bit, in no more bytes than it needs.

use lazarr_format::DataType;

use super::{Width, pack, size, unpack, width_of};

fn check<const N: usize>(dtype: &DataType, values: &[[u8; N]], width: Width) {
    let items = values.as_flattened();
    assert_eq!(width_of(dtype, items), width, "{dtype} {values:?}");
    let held = pack(dtype, width, items);
    assert_eq!(held.len(), values.len() * size(width, dtype));
    let mut out = vec![7; items.len()];
    unpack(dtype, width, &held, &mut out);
    assert_eq!(out, items, "{dtype}");
}

#[test]
fn values_come_back_to_the_last_bit() {
    let f4 = |values: &[f32], width| {
        check(&DataType::Float(4), &values.iter().map(|v| v.to_ne_bytes()).collect::<Vec<_>>(), width);
    };
    f4(&[], Width::Byte);
    f4(&[0.0, 1.0, 255.0], Width::Byte);
    f4(&[0.0, 256.0, 65535.0], Width::Short);
    for other in [65536.0, -1.0, 0.5, -0.0, f32::NAN, f32::INFINITY, f32::MAX] {
        f4(&[other], Width::Whole);
        let mut many = vec![3.0; 3000];
        many[2500] = other;
        f4(&many, Width::Whole);
    }
    let f8 = |values: &[f64], width| {
        check(&DataType::Float(8), &values.iter().map(|v| v.to_ne_bytes()).collect::<Vec<_>>(), width);
    };
    f8(&[7.0, 200.0], Width::Byte);
    f8(&[7.0, 2000.0], Width::Short);
    f8(&[7.25], Width::Whole);
    let ints = |values: &[i64], width| {
        let of = |v: i64| v.to_ne_bytes();
        check(&DataType::Int(8), &values.iter().copied().map(of).collect::<Vec<_>>(), width);
        let of = |v: i64| (v as i32).to_ne_bytes();
        check(&DataType::Int(4), &values.iter().copied().map(of).collect::<Vec<_>>(), width);
    };
    ints(&[0, 9, 255], Width::Byte);
    ints(&[0, 256], Width::Short);
    ints(&[-1], Width::Whole);
    ints(&[1 << 16], Width::Whole);
    check(&DataType::UInt(2), &[9u16, 255].map(u16::to_ne_bytes), Width::Byte);
    check(&DataType::UInt(2), &[9u16, 256].map(u16::to_ne_bytes), Width::Whole);
    check(&DataType::Int(2), &[-9i16, 25].map(i16::to_ne_bytes), Width::Whole);
    check(&DataType::Bool, &[[1], [0]], Width::Whole);
    check(&DataType::UInt(1), &[[200]], Width::Whole);
    check(&DataType::Float(2), &[[0, 60]], Width::Whole);
}
