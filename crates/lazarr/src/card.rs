//! What reading a store takes, measured: rows, random rows, a gene, everything; its size and files.

use std::path::Path;
use std::time::Instant;

use lazarr_format::Result;
use lazarr_plan::Index;

use crate::axis::Step;
use crate::call::Call;
use crate::object::LazyAnnData;
use crate::session::Session;

/// Rows that are read together.
const ROWS: u64 = 1000;
/// The best of so many runs counts, after one that warms the caches.
const RUNS: usize = 3;

/// What was measured on one store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// Seconds by what was read; none where there is no `X`, or nothing in it.
    pub seconds: Vec<(&'static str, f64)>,
    /// Bytes and files; `None` where the store is not on the disk.
    pub size: Option<(u64, u64)>,
}

impl Card {
    /// Measures on a store that is open, and on the object that it is: the best of three calls of each, after one that is not
    /// counted.
    ///
    /// Errors: those of reading `X`; `Interrupted`.
    pub fn measure(session: &Session, object: Option<&LazyAnnData>, call: &Call<'_>) -> Result<Self> {
        let mut seconds = Vec::new();
        if let Some(object) = object
            && let Ok(x) = object.get("X")
            && let [Some(n), Some(m)] = object.shape()
            && n > 0
            && m > 0
        {
            let count = ROWS.min(n);
            // Spread by a step that has no factor in common with most lengths.
            let mut random: Vec<i64> =
                (0..count).map(|i| (i.wrapping_mul(2_654_435_761) % n) as i64).collect();
            random.sort_unstable();
            random.dedup();
            let slice = Index::slice(Some((n / 2) as i64), Some((n / 2 + count) as i64), None, n)?;
            let gene = Index::ints(&[(m / 2) as i64], m)?;
            let views = [
                ("1,000 rows", x.select(0, Step::Index(slice))?),
                ("random rows", x.select(0, Step::Index(Index::ints(&random, n)?))?),
                ("one gene", x.select(1, Step::Index(gene))?),
            ];
            for (name, view) in views {
                seconds.push((name, best(&mut || view.collect(call).map(drop))?));
            }
            let mut all = || {
                let mut stream = x.stream(call, None, None)?;
                while stream.next(call)?.is_some() {}
                Ok(())
            };
            seconds.push(("all of X", best(&mut all)?));
        }
        let url = session.url();
        Ok(Self { seconds, size: size_of(Path::new(url.strip_prefix("file://").unwrap_or(url))) })
    }
}

fn best(act: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    act()?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        act()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Bytes and files of what is on the disk.
fn size_of(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        return Some((meta.len(), 1));
    }
    let entries = std::fs::read_dir(path).ok()?;
    entries.flatten().try_fold((0, 0), |(bytes, files), entry| {
        let (b, f) = size_of(&entry.path())?;
        Some((bytes + b, files + f))
    })
}
