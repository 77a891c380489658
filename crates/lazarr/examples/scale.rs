//! A simulated catalog of a hundred million cells: what it takes to open it, to plan, to find rows.
//!
//! `cargo run --release --example scale` prints a table of times beside their floors: every chunk of a column, or of
//! `indptr`, that must be looked at, taken from the same store and decoded once with all cores. `scale growth CASE LAYOUT`
//! runs one case in a process of its own and prints by how many bytes that grew. `scale table STORE obs` reads a table of a
//! store to Arrow. `LAZARR_CELLS` sets another size.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement: what goes wrong ends it")]
#![allow(clippy::print_stdout, reason = "the table is what it is run for")]
#![allow(clippy::single_range_in_vec_init, reason = "one range of bytes is what is meant")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use lazarr::format::ArrayRef;
use lazarr::format::codec::Scratch;
use lazarr::format::shard::ShardIndex;
use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Literal};
use lazarr::{Call, Index, LazyAnnData, Options, Session, Step, reset_peak, resident};
use lazarr_testkit::{Catalog, Codec, Rng, Simulated};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Open,
    Rows { resolve: bool },
    Category { resolve: bool },
    Names,
    Million,
}

const CASES: [(&str, Case); 7] = [
    ("open", Case::Open),
    ("plan-rows", Case::Rows { resolve: false }),
    ("plan-category", Case::Category { resolve: false }),
    ("resolve-rows", Case::Rows { resolve: true }),
    ("resolve-category", Case::Category { resolve: true }),
    ("names", Case::Names),
    ("million-chunks", Case::Million),
];

impl Case {
    fn about(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Rows { resolve: false } => "plan of 1,000 random rows",
            Self::Category { resolve: false } => "plan of one category (1 %)",
            Self::Rows { resolve: true } => "1,000 random rows, resolved",
            Self::Category { resolve: true } => "one category (1 %), resolved",
            Self::Names => "1,000 names found",
            Self::Million => "plan of a million chunks, resolved",
        }
    }

    /// The arrays that must be read, and of them the chunks of these items (`None`: all).
    fn must_read(self, cells: u64) -> Vec<(&'static str, Option<Vec<u64>>)> {
        match self {
            Self::Rows { resolve: true } => vec![("X/indptr", Some(rows(cells)))],
            Self::Category { resolve: true } => {
                vec![("obs/cell_type/codes", None), ("X/indptr", None)]
            }
            Self::Names => vec![("obs/_index", None)],
            _ => Vec::new(),
        }
    }
}

fn cells() -> u64 {
    std::env::var("LAZARR_CELLS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000_000)
}

fn catalog(case: Case, sharded: bool) -> Catalog {
    let per_shard = sharded.then_some(16);
    let base = Catalog { cells: cells(), per_shard, ..Catalog::default() };
    if case != Case::Million {
        return base;
    }
    // A million chunks of 2 Ki values: half of `data`, half of `indices`.
    let per_shard = sharded.then_some(1 << 10);
    Catalog { cells: (1 << 29) * 2 / 200, values_chunk: 1 << 11, per_shard, codec: Codec::None, ..base }
}

/// A thousand rows, ascending.
fn rows(cells: u64) -> Vec<u64> {
    let mut rng = Rng::new(20251);
    let mut rows = BTreeSet::new();
    while rows.len() < 1000 {
        rows.insert(rng.below(cells));
    }
    rows.into_iter().collect()
}

fn open(store: &Arc<Simulated>) -> LazyAnnData {
    let options = Options { memory_limit: Some(4 << 30), ..Options::default() };
    let session = Session::open_store(store.clone(), options).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

fn one_category(adata: &LazyAnnData) -> Step {
    let column = ColumnRef::new(adata.obs_axis().id(), "obs/cell_type", Some("cell_type"));
    Step::Predicate(Arc::new(Expr::cmp(column, CmpOp::Eq, Literal::Str("type_0000000007".into()))))
}

fn act(case: Case, store: &Arc<Simulated>, cells: u64) {
    let adata = open(store);
    let x = ["X".to_owned()];
    let call = Call::default();
    match case {
        Case::Open => {}
        Case::Rows { resolve } => {
            let rows: Vec<i64> = rows(cells).into_iter().map(|r| r as i64).collect();
            let view = adata.select(Some(Step::Ints(rows.into())), None).unwrap();
            if resolve {
                // The row starts alone: what the shards of the values hold is no part of the floor.
                view.get("X").unwrap().plan(&call, true).unwrap();
            } else {
                view.plan(&call, Some(&x), false).unwrap();
            }
        }
        Case::Category { resolve } => {
            let view = adata.select(Some(one_category(&adata)), None).unwrap();
            if resolve {
                view.get("X").unwrap().plan(&call, true).unwrap();
            } else {
                view.plan(&call, Some(&x), false).unwrap();
            }
        }
        Case::Names => {
            let names: Vec<String> = rows(cells).into_iter().map(|r| store.name_of(r)).collect();
            let view = adata.select(Some(Step::Labels(names.into())), None).unwrap();
            view.resolve(&call).unwrap();
            assert_eq!(view.shape()[0], Some(1000));
        }
        Case::Million => {
            let view = adata.select(Some(Step::Index(Index::all(cells))), None).unwrap();
            view.get("X").unwrap().plan(&call, true).unwrap();
        }
    }
}

/// Every chunk taken from the store and decoded into scratch, once, with all cores.
fn floor(case: Case, store: &Arc<Simulated>, cells: u64) {
    let adata = open(store);
    let mut chunks: Vec<(ArrayRef, u64)> = Vec::new();
    for (path, items) in case.must_read(cells) {
        let element = path.rsplit_once('/').unwrap().0;
        let element = if element == "X" || path.ends_with("codes") { element } else { path };
        let array = if path == "obs/_index" {
            adata.session().element("obs/_index").unwrap().arrays().remove(0)
        } else {
            let arrays = adata.session().element(element).unwrap().arrays();
            arrays.into_iter().find(|a| a.path == path).unwrap()
        };
        let chunk = array.inner_shape()[0];
        let numbers: BTreeSet<u64> = match items {
            None => (0..array.shape[0].div_ceil(chunk)).collect(),
            Some(items) => items.iter().flat_map(|i| [i / chunk, (i + 1) / chunk]).collect(),
        };
        chunks.extend(numbers.into_iter().map(|n| (array.clone(), n)));
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut scratch, mut encoded, mut decoded) = (Scratch::default(), Vec::new(), Vec::new());
                while let Some((array, number)) = chunks.get(next.fetch_add(1, Relaxed)) {
                    encoded.clear();
                    encoded.extend_from_slice(&store.chunk(&array.path, *number));
                    if let Some(bytes) = array.inner_bytes() {
                        decoded.resize(bytes as usize, 0);
                        array.chain.decode_into(&encoded, &mut decoded, &mut scratch).unwrap();
                    } else {
                        let items = array.inner_len() as usize;
                        let room = &mut |_| Ok(());
                        array
                            .chain
                            .decode_vlen_within(&encoded, items, u64::MAX, &mut scratch, room)
                            .unwrap();
                    }
                }
            });
        }
    });
}

/// Every chunk of every array of a table fetched and decoded once, with all cores; strings are copied once more.
fn table_floor(session: &Session, table: &lazarr::Element) {
    let store = lazarr::store::LocalStore::open(session.url()).unwrap();
    let io = lazarr::store::Io::new(Arc::new(store));
    let arrays: Vec<ArrayRef> =
        table.children().into_iter().flat_map(|(_, c)| c.arrays()).chain(names(table)).collect();
    let keys: Vec<(ArrayRef, Vec<u64>)> = arrays
        .iter()
        .flat_map(|a| (0..a.shape[0].div_ceil(a.chunk_shape[0])).map(move |i| (a.clone(), vec![i])))
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (mut scratch, mut value, mut decoded) = (Scratch::default(), Vec::new(), Vec::new());
                let mut kept: Vec<Vec<u8>> = Vec::new();
                while let Some((array, at)) = keys.get(next.fetch_add(1, Relaxed)) {
                    value.clear();
                    let range = lazarr::store::ByteRange::All;
                    let Some(found) =
                        io.get(&array.chunk_key(at), &range, &mut |_| Ok(()), &mut value).unwrap()
                    else {
                        continue;
                    };
                    let inner = if array.sharding.is_some() {
                        let index = value.len() - array.shard_index_bytes() as usize;
                        let index = ShardIndex::parse(&value[index..], array, found.total).unwrap();
                        let n = array.chunk_shape[0] / array.inner_shape()[0];
                        (0..n).filter_map(|i| index.get(i).unwrap()).collect()
                    } else {
                        vec![0..value.len() as u64]
                    };
                    for range in inner {
                        let encoded = &value[range.start as usize..range.end as usize];
                        if let Some(bytes) = array.inner_bytes() {
                            decoded.resize(bytes as usize, 0);
                            array.chain.decode_into(encoded, &mut decoded, &mut scratch).unwrap();
                        } else {
                            let items = array.inner_len() as usize;
                            let room = &mut |_| Ok(());
                            let chunk =
                                array.chain.decode_vlen_within(encoded, items, u64::MAX, &mut scratch, room);
                            kept.push(chunk.unwrap().bytes.clone());
                        }
                    }
                }
            });
        }
    });
}

/// The arrays of a table's index.
fn names(table: &lazarr::Element) -> Vec<ArrayRef> {
    match &table.body {
        lazarr::Body::DataFrame(frame) => frame.index.arrays(),
        _ => Vec::new(),
    }
}

/// A table of a store to Arrow, beside its floor.
fn table(store: &str, path: &str) {
    let session = Session::open(store, Options::default()).unwrap();
    let element = session.element(path).unwrap();
    let lazy = lazarr::Lazy::new(&session, &element);
    let least = time(15, || table_floor(&session, &element));
    let own = time(15, || {
        let value = lazy.collect(&Call::default()).unwrap();
        drop(lazarr::arrow::to_batch(value, path).unwrap());
    });
    println!("{path}: {own:.1} ms to Arrow, {least:.1} ms floor: {:.2}", own / least);
}

fn milliseconds(f: impl Fn()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() * 1e3
}

/// Milliseconds, the best of some runs after one that is not counted.
fn time(runs: usize, f: impl Fn()) -> f64 {
    f();
    (0..runs).map(|_| milliseconds(&f)).fold(f64::MAX, f64::min)
}

/// The same of two that take turns: what else the machine does hits both.
fn by_turns(runs: usize, f: impl Fn(), g: impl Fn()) -> (f64, f64) {
    f();
    g();
    let each = (0..runs).map(|_| (milliseconds(&f), milliseconds(&g)));
    each.fold((f64::MAX, f64::MAX), |best, now| (best.0.min(now.0), best.1.min(now.1)))
}

fn growth(name: &str, layout: &str) {
    let case = CASES.iter().find(|c| c.0 == name).unwrap().1;
    let catalog = catalog(case, layout == "sharded");
    let store = Simulated::new(&catalog);
    // What repeats is made before: the store's own memory is not what is measured.
    let small = Catalog { cells: 100_000.min(catalog.cells), ..catalog.clone() };
    act(case, &Simulated::new(&small), small.cells);
    for path in ["X/data", "X/indices", "obs/cell_type/codes"] {
        (0..8).for_each(|chunk| drop(store.chunk(path, chunk)));
    }
    assert!(reset_peak());
    let before = resident().unwrap().0;
    act(case, &store, catalog.cells);
    println!("{}", resident().unwrap().1.saturating_sub(before));
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [what, case, layout] = args.as_slice()
        && what == "growth"
    {
        return growth(case, layout);
    }
    if let [what, store, path] = args.as_slice()
        && what == "table"
    {
        return table(store, path);
    }
    let chosen = |name: &str| args.is_empty() || args.iter().any(|a| a == name);
    println!("| {} cells | layout | ms | floor ms | ms / floor | grows by MB |", cells());
    println!("|---|---|--:|--:|--:|--:|");
    for layout in ["plain", "sharded"] {
        for (name, case) in CASES.into_iter().filter(|c| chosen(c.0)) {
            let catalog = catalog(case, layout == "sharded");
            let store = Simulated::keeping(&catalog);
            let runs = if case == Case::Open { 20 } else { 7 };
            let has_floor = !case.must_read(catalog.cells).is_empty();
            let own = || act(case, &store, catalog.cells);
            let (own, least) = if has_floor {
                let (own, least) = by_turns(runs, own, || floor(case, &store, catalog.cells));
                (own, Some(least))
            } else {
                (time(runs, own), None)
            };
            let exe = std::env::current_exe().unwrap();
            let said = Command::new(exe).args(["growth", name, layout]).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            let bytes: f64 = String::from_utf8_lossy(&said.stdout).trim().parse().unwrap();
            let floors =
                least.map_or_else(|| "– | –".to_owned(), |floor| format!("{floor:.0} | {:.2}", own / floor));
            println!("| {} | {layout} | {own:.1} | {floors} | {:.0} |", case.about(), bytes / 1e6);
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("scale: {threads} threads; the best of 7 runs, floors by turns, after one that is not counted");
}
