//! Byte order: swapping the parts of items in place.

/// Which bytes of an item are reversed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Swap {
    /// None.
    Not,
    /// Every part of this width, which items are made of without gaps.
    Words(usize),
    /// Parts `(offset, width)` of items of a size.
    Parts { size: usize, parts: Vec<(usize, usize)> },
}

impl Swap {
    /// For items of `size` bytes with these `DataType::swap_units`.
    pub(super) fn new(size: usize, parts: Vec<(usize, usize)>) -> Self {
        let Some(&(_, width)) = parts.first() else { return Self::Not };
        let even = parts.iter().all(|&(_, w)| w == width) && parts.len() * width == size;
        if even && matches!(width, 2 | 4 | 8) { Self::Words(width) } else { Self::Parts { size, parts } }
    }

    /// Swaps all items of `bytes`.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        fn words<const N: usize>(bytes: &mut [u8]) {
            bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|word| word.reverse());
        }
        match self {
            Self::Not => {}
            Self::Words(2) => words::<2>(bytes),
            Self::Words(4) => words::<4>(bytes),
            Self::Words(_) => words::<8>(bytes),
            Self::Parts { size, parts } => {
                for item in bytes.chunks_exact_mut((*size).max(1)) {
                    for &(offset, width) in parts {
                        item[offset..offset + width].reverse();
                    }
                }
            }
        }
    }
}
