//! Places in a chunk that were found: one by one, or as runs where many stand side by side.

/// Places, ascending; one that is wanted twice stands twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    Each(Vec<u32>),
    /// The first place of each run, and which of all places that is; then how many places there are.
    Runs(Vec<[u32; 2]>, u32),
}

impl Places {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Each(places) => places.len(),
            Self::Runs(_, len) => *len as usize,
        }
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Each(places) => 4 * places.capacity(),
            Self::Runs(runs, _) => 8 * runs.capacity(),
        }
    }

    /// Adds places side by side, none before the last. `grow` is told of bytes before there is room for them.
    pub(super) fn add<E>(
        &mut self,
        first: u32,
        count: u32,
        grow: &mut impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Self::Runs(runs, len) = self {
            let next = len.checked_add(count);
            if let (Some(next), Some([start, at])) = (next, runs.last())
                && start.checked_add(*len - at) == Some(first)
            {
                *len = next;
                return Ok(());
            }
            if let Some(next) = next.filter(|_| runs.len() < 64 || 4 * runs.len() <= *len as usize) {
                room(runs, 1, grow)?;
                runs.push([first, *len]);
                *len = next;
                return Ok(());
            }
            let mut places = Vec::new();
            room(&mut places, *len as usize, grow)?;
            self.stretches(0, &mut |first, _, count| {
                places.extend(first..first + count);
                Ok(true)
            })?;
            *self = Self::Each(places);
        }
        let Self::Each(places) = self else { return Ok(()) };
        room(places, count as usize, grow)?;
        places.extend(first..first + count);
        Ok(())
    }

    /// As runs, where these take no more than half; without room for more.
    pub(super) fn pack(&mut self) {
        if let Self::Runs(runs, len) = self {
            if 4 * runs.len() <= *len as usize {
                runs.shrink_to_fit();
                return;
            }
            let mut places = Vec::with_capacity(*len as usize);
            let _ = self.stretches::<()>(0, &mut |first, _, count| {
                places.extend(first..first + count);
                Ok(true)
            });
            *self = Self::Each(places);
            return;
        }
        let Self::Each(places) = self else { return };
        let breaks = places.windows(2).filter(|pair| pair[0].checked_add(1) != Some(pair[1])).count();
        let (count, len) = (breaks + 1, places.len());
        if 4 * count > len || u32::try_from(len).is_err() {
            places.shrink_to_fit();
            return;
        }
        let mut runs: Vec<[u32; 2]> = Vec::with_capacity(count);
        let mut before = None;
        for (i, &place) in places.iter().enumerate() {
            if before.is_none_or(|b: u32| b.checked_add(1) != Some(place)) {
                runs.push([place, i as u32]);
            }
            before = Some(place);
        }
        *self = Self::Runs(runs, len as u32);
    }

    /// How many stand before a place.
    pub(super) fn before(&self, place: u64) -> usize {
        match self {
            Self::Each(places) => match places.first() {
                Some(&first) if u64::from(first) >= place => 0,
                _ => places.partition_point(|&p| u64::from(p) < place),
            },
            Self::Runs(runs, len) => {
                let k = runs.partition_point(|[first, _]| u64::from(*first) < place);
                let Some([first, at]) = k.checked_sub(1).and_then(|k| runs.get(k)) else { return 0 };
                let end = runs.get(k).map_or(*len, |[_, at]| *at);
                (u64::from(*at) + (place - u64::from(*first))).min(u64::from(end)) as usize
            }
        }
    }

    /// The place of this number.
    pub(super) fn get(&self, i: usize) -> Option<u32> {
        match self {
            Self::Each(places) => places.get(i).copied(),
            Self::Runs(runs, len) => {
                let k = runs.partition_point(|[_, at]| *at as usize <= i).checked_sub(1)?;
                let [first, at] = runs.get(k)?;
                (i < *len as usize).then(|| first + (i as u32 - at))
            }
        }
    }

    pub(super) fn last(&self) -> Option<u32> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Stretches of places side by side, from a number on: the first place, its number, how many. `false` ends it.
    pub(super) fn stretches<E>(
        &self,
        from: usize,
        f: &mut dyn FnMut(u32, usize, u32) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match self {
            Self::Each(places) => {
                for (i, &place) in places.iter().enumerate().skip(from) {
                    if !f(place, i, 1)? {
                        return Ok(false);
                    }
                }
            }
            Self::Runs(runs, len) => {
                let mut k = runs.partition_point(|[_, at]| *at as usize <= from).saturating_sub(1);
                while let Some(&[first, at]) = runs.get(k) {
                    let end = runs.get(k + 1).map_or(*len, |[_, at]| *at);
                    let skip = (from as u32).saturating_sub(at);
                    if at + skip < end && !f(first + skip, (at + skip) as usize, end - at - skip)? {
                        return Ok(false);
                    }
                    k += 1;
                }
            }
        }
        Ok(true)
    }
}

/// Makes room for so many more, told of before, twice as much as there is where that is needed.
pub(super) fn room<T, E>(
    list: &mut Vec<T>,
    more: usize,
    grow: &mut impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    if list.capacity() - list.len() < more {
        let more = more.max(list.len()).max(16);
        grow((list.len() + more - list.capacity()) * size_of::<T>())?;
        list.reserve_exact(more);
    }
    Ok(())
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
