//! Stored values in as few bytes as they need: counts are most often small whole numbers, in types that hold far more.

use lazarr_format::DataType;

/// Bytes of a value, as it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// A whole number below 2^8.
    Byte,
    /// A whole number below 2^16.
    Short,
    /// As it is.
    Whole,
}

/// A type whose values may be whole numbers of fewer bytes.
trait Number<const N: usize>: Copy {
    fn get(bytes: [u8; N]) -> Self;
    fn put(self) -> [u8; N];
    fn byte(self) -> u8;
    fn short(self) -> u16;
    fn of(value: u16) -> Self;
}

macro_rules! numbers {
    ($($t:ty: $n:literal),*) => {
        $(impl Number<$n> for $t {
            fn get(bytes: [u8; $n]) -> Self {
                Self::from_ne_bytes(bytes)
            }
            fn put(self) -> [u8; $n] {
                self.to_ne_bytes()
            }
            fn byte(self) -> u8 {
                self as u8
            }
            fn short(self) -> u16 {
                self as u16
            }
            fn of(value: u16) -> Self {
                value as Self
            }
        })*
    };
}
numbers!(i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8, f32: 4, f64: 8);

/// What is done with the values of a type.
trait Job {
    type Out;
    fn of<const N: usize, T: Number<N>>(self) -> Self::Out;
    /// Where the type has no such numbers.
    fn other(self) -> Self::Out;
}

fn with<J: Job>(dtype: &DataType, job: J) -> J::Out {
    match dtype {
        DataType::Int(2) => job.of::<2, i16>(),
        DataType::UInt(2) => job.of::<2, u16>(),
        DataType::Int(4) => job.of::<4, i32>(),
        DataType::UInt(4) => job.of::<4, u32>(),
        DataType::Int(8) => job.of::<8, i64>(),
        DataType::UInt(8) => job.of::<8, u64>(),
        DataType::Float(4) => job.of::<4, f32>(),
        DataType::Float(8) => job.of::<8, f64>(),
        _ => job.other(),
    }
}

/// The least width in which all of these values are the same to the last bit.
pub(super) fn width_of(dtype: &DataType, items: &[u8]) -> Width {
    with(dtype, Fit(items))
}

/// Items in a width that they fit into.
pub(super) fn pack(dtype: &DataType, width: Width, items: &[u8]) -> Vec<u8> {
    match width {
        Width::Whole => items.to_vec(),
        _ => with(dtype, Pack(width, items)),
    }
}

/// The items again.
pub(super) fn unpack(dtype: &DataType, width: Width, held: &[u8], out: &mut [u8]) {
    match width {
        Width::Whole => out.copy_from_slice(held),
        _ => with(dtype, Unpack(width, held, out)),
    }
}

/// Bytes of a value of this width.
pub(super) fn size(width: Width, dtype: &DataType) -> usize {
    match width {
        Width::Byte => 1,
        Width::Short => 2,
        Width::Whole => dtype.item_size().unwrap_or(1),
    }
}

struct Fit<'a>(&'a [u8]);

impl Job for Fit<'_> {
    type Out = Width;

    fn of<const N: usize, T: Number<N>>(self) -> Width {
        let items = self.0.as_chunks::<N>().0;
        if same(items, |v: T| T::of(v.byte().into())) {
            Width::Byte
        } else if N > 2 && same(items, |v: T| T::of(v.short())) {
            Width::Short
        } else {
            Width::Whole
        }
    }

    fn other(self) -> Width {
        Width::Whole
    }
}

/// Whether all values come back as they were. So many at a time, without a branch: most often the first ones tell.
fn same<const N: usize, T: Number<N>>(items: &[[u8; N]], back: impl Fn(T) -> T) -> bool {
    items
        .chunks(1024)
        .all(|some| some.iter().fold(true, |same, &item| same & (back(T::get(item)).put() == item)))
}

struct Pack<'a>(Width, &'a [u8]);

impl Job for Pack<'_> {
    type Out = Vec<u8>;

    fn of<const N: usize, T: Number<N>>(self) -> Vec<u8> {
        let items = self.1.as_chunks::<N>().0.iter().map(|item| T::get(*item));
        if self.0 == Width::Byte {
            return items.map(T::byte).collect();
        }
        let mut out = vec![0; 2 * items.len()];
        for (to, item) in out.as_chunks_mut::<2>().0.iter_mut().zip(items) {
            *to = item.short().to_ne_bytes();
        }
        out
    }

    fn other(self) -> Vec<u8> {
        self.1.to_vec()
    }
}

struct Unpack<'a>(Width, &'a [u8], &'a mut [u8]);

impl Job for Unpack<'_> {
    type Out = ();

    fn of<const N: usize, T: Number<N>>(self) {
        let out = self.2.as_chunks_mut::<N>().0.iter_mut();
        if self.0 == Width::Byte {
            out.zip(self.1).for_each(|(to, held)| *to = T::of((*held).into()).put());
        } else {
            let held = self.1.as_chunks::<2>().0;
            out.zip(held).for_each(|(to, held)| *to = T::of(u16::from_ne_bytes(*held)).put());
        }
    }

    fn other(self) {
        self.2.copy_from_slice(self.1);
    }
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
