//! Positions one by one: as narrow as they fit, with a permutation by source that is made when it is first needed.

use std::sync::OnceLock;

/// Positions, in 4 bytes each where they fit.
pub(super) enum Items {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Items {
    pub(super) fn new(items: Vec<u64>) -> Self {
        if items.iter().all(|&x| u32::try_from(x).is_ok()) {
            Self::Narrow(items.into_iter().map(|x| x as u32).collect())
        } else {
            Self::Wide(items)
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(v) => v.len(),
            Self::Wide(v) => v.len(),
        }
    }

    pub(super) fn get(&self, i: usize) -> Option<u64> {
        match self {
            Self::Narrow(v) => v.get(i).map(|&x| u64::from(x)),
            Self::Wide(v) => v.get(i).copied(),
        }
    }

    /// For `i` below the length.
    pub(super) fn at(&self, i: usize) -> u64 {
        match self {
            Self::Narrow(v) => u64::from(v[i]),
            Self::Wide(v) => v[i],
        }
    }

    /// Items below `pos`, where the items ascend.
    pub(super) fn lower_bound(&self, pos: u64) -> usize {
        match self {
            Self::Narrow(v) => v.partition_point(|&x| u64::from(x) < pos),
            Self::Wide(v) => v.partition_point(|&x| x < pos),
        }
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Narrow(v) => v.len() as u64 * 4,
            Self::Wide(v) => v.len() as u64 * 8,
        }
    }
}

/// Positions in any order, repeats included.
pub(super) struct List {
    pub(super) items: Items,
    sorted: OnceLock<Sorted>,
}

/// The destinations, ordered by source and then by destination.
struct Sorted {
    order: Items,
    repeats: bool,
}

impl List {
    pub(super) fn new(items: Vec<u64>) -> Self {
        Self { items: Items::new(items), sorted: OnceLock::new() }
    }

    fn sorted(&self) -> &Sorted {
        self.sorted.get_or_init(|| {
            let order = match &self.items {
                // Value and place in one word sort several times faster than places by key.
                Items::Narrow(v) if u32::try_from(v.len()).is_ok() => {
                    let mut keys: Vec<u64> =
                        v.iter().zip(0u64..).map(|(&x, i)| u64::from(x) << 32 | i).collect();
                    keys.sort_unstable();
                    Items::Narrow(keys.into_iter().map(|k| k as u32).collect())
                }
                items => {
                    let mut order: Vec<u64> = (0..items.len() as u64).collect();
                    order.sort_unstable_by_key(|&i| (items.at(i as usize), i));
                    Items::new(order)
                }
            };
            let at = |i| self.items.at(order.at(i) as usize);
            let repeats = (1..order.len()).any(|i| at(i - 1) == at(i));
            Sorted { order, repeats }
        })
    }

    /// The `i`-th smallest source, and its destination.
    pub(super) fn by_source(&self, i: usize) -> Option<(u64, u64)> {
        let dst = self.sorted().order.get(i)?;
        Some((self.items.at(dst as usize), dst))
    }

    /// Sources below `pos`, repeats counted.
    pub(super) fn lower_bound(&self, pos: u64) -> usize {
        let order = &self.sorted().order;
        let (mut low, mut high) = (0, order.len());
        while low < high {
            let mid = usize::midpoint(low, high);
            if self.items.at(order.at(mid) as usize) < pos {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        low
    }

    pub(super) fn repeats(&self) -> bool {
        self.sorted().repeats
    }

    /// The permutation counts whether it is made yet or not.
    pub(super) fn memory_bytes(&self) -> u64 {
        let width = if u32::try_from(self.items.len()).is_ok() { 4 } else { 8 };
        self.items.memory_bytes() + self.items.len() as u64 * width
    }
}
