//! `lazarr optimize`: the store anew for a purpose, and a card of what that changed, measured on both.

use std::path::Path;
use std::time::Instant;

use lazarr::format::encode::Layout;
use lazarr::plan::{human_bytes, human_count};
use lazarr::{Call, Index, Step};
use serde_json::{Map, Value, json};

use crate::args::{Common, Optimize};
use crate::exit::Failure;
use crate::out::Out;
use crate::store::{Store, call};
use crate::write::{whole, written};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-optimize/1";
/// Rows that are read together.
const ROWS: u64 = 1000;
/// The best of so many runs counts, after one that warms the caches.
const RUNS: usize = 3;

/// What was measured on one store: seconds by what was done, bytes and files.
struct Card {
    seconds: Vec<(&'static str, f64)>,
    bytes: Option<(u64, u64)>,
}

pub(crate) fn run(args: &Optimize, out: &mut Out<'_>) -> Result<(), Failure> {
    let layout = Layout::preset(&args.purpose, 3)?;
    let store = Store::open(&args.common)?;
    let call = Call { memory_limit: args.common.memory, threads: args.common.threads, ..call() };
    let before = Card::measure(&store, &args.common.path, &call)?;
    let start = Instant::now();
    let done = written(whole(&store)?, &args.output, layout, args.force, &args.common, &call)?;
    let took = start.elapsed().as_secs_f64();
    drop(store);
    let common = Common {
        path: args.output.clone(),
        json: false,
        memory: args.common.memory,
        threads: args.common.threads,
        limits: args.common.limits.clone(),
        storage: args.common.storage.clone(),
        follow_links: false,
        quiet: true,
    };
    let after = Card::measure(&Store::open_quietly(&common)?, &args.output, &call)?;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA, "store": args.common.path, "output": args.output, "for": args.purpose, "seconds": took,
            "arrays": done.arrays, "before": before.json(), "after": after.json(),
        }));
    }
    out.line(&format!("{}: written for `{}` in {took:.1} s", args.output, args.purpose))?;
    out.line(&format!("{:<16} {:>12} {:>12}", "", "before", "after"))?;
    for ((name, a), (_, b)) in before.seconds.iter().zip(&after.seconds) {
        out.line(&format!("{name:<16} {:>12} {:>12}", milliseconds(*a), milliseconds(*b)))?;
    }
    let size = |card: &Card| card.bytes.map_or_else(|| "?".to_owned(), |(bytes, _)| human_bytes(bytes));
    let files = |card: &Card| card.bytes.map_or_else(|| "?".to_owned(), |(_, files)| human_count(files));
    out.line(&format!("{:<16} {:>12} {:>12}", "size", size(&before), size(&after)))?;
    out.line(&format!("{:<16} {:>12} {:>12}", "files", files(&before), files(&after)))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

impl Card {
    fn measure(store: &Store, path: &str, call: &Call<'_>) -> Result<Self, Failure> {
        let mut seconds = Vec::new();
        if let Some(object) = &store.object
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
            seconds.push((
                "all of X",
                best(&mut || {
                    let mut stream = x.stream(call, None, None)?;
                    while stream.next(call)?.is_some() {}
                    Ok(())
                })?,
            ));
        }
        Ok(Self { seconds, bytes: size_of(Path::new(path)) })
    }

    fn json(&self) -> Value {
        let mut seconds = Map::new();
        seconds.extend(self.seconds.iter().map(|(name, s)| ((*name).to_owned(), json!(s))));
        json!({"seconds": seconds, "bytes": self.bytes.map(|b| b.0), "files": self.bytes.map(|b| b.1)})
    }
}

fn best(act: &mut dyn FnMut() -> lazarr::Result<()>) -> Result<f64, Failure> {
    act()?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        crate::store::check_stopped()?;
        let start = Instant::now();
        act()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Bytes and files of a local store.
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
