//! The parent, which gives out numbers and watches; the child, which reads stores.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lazarr::store::{MemoryStore, Store, ZipLimits, ZipStore};
use lazarr::{Options, Session};
use lazarr_testkit::{Damaged, Rng, Sample, Spec, Values};

use crate::HEAP;
use crate::judge::{Result, Verdict, judge};
use crate::read::{Outcome, Reads, failed, read};
use crate::table::{self, Counts};

/// Stores in `make test`.
const STORES: u64 = 10_000;
/// Damaged stores that are made from one good store.
const EACH: u64 = 40;
/// Stores that one child reads.
const SHARE: u64 = 400;
/// No store may take longer, all its reads together.
const MOST_TIME: Duration = Duration::from_secs(5);
/// A child that says nothing for so long hangs. Longer, for it also makes good stores.
const SILENCE: Duration = Duration::from_secs(30);
/// Above the memory limit, for what is not charged to it: metadata, threads, the store itself, which is in memory here.
const SLACK: u64 = 64 << 20;
/// Defects that are shown.
const SHOWN: usize = 20;

/// Reads of a store with more chunks in an array are not audited.
const MOST_AUDITED: u64 = 100_000;

const ARCHIVE: &str = "store.zip";

const CHILD: &str = "LAZARR_MUTATION_CHILD";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|s| s.parse().ok())
}

fn seed() -> u64 {
    number("LAZARR_SEED").unwrap_or(20251)
}

/// Says something whether or not the harness keeps what tests print.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).unwrap();
}

pub fn main() {
    if let Ok(range) = std::env::var(CHILD) {
        let (first, end) = range.split_once("..").unwrap();
        return child(first.parse().unwrap(), end.parse().unwrap());
    }
    if let Some(one) = number("LAZARR_MUTATION") {
        return alone(one);
    }
    parent(number("LAZARR_MUTATIONS").unwrap_or(STORES));
}

/// What came of all stores.
#[derive(Default)]
struct Sum {
    counts: BTreeMap<String, Counts>,
    stores: u64,
    defects: Vec<String>,
    slowest: (u64, u64),
    heap: (u64, u64),
    resident: (u64, u64),
}

fn parent(stores: u64) {
    let start = Instant::now();
    let next = Mutex::new(0);
    let sum = Mutex::new(Sum::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let first = {
                        let mut next = next.lock().unwrap();
                        let first = *next;
                        *next += SHARE;
                        first
                    };
                    if first >= stores {
                        break;
                    }
                    watch(first, (first + SHARE).min(stores), &sum);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    say(&format!("\n{}", table::print(&sum.counts)));
    say(&format!(
        "mutation: {} damaged stores, {} mutations, seed {}, {:.0} s on {workers} cores; slowest {} ms (store {}); above \
         what was there, heap at most {} MiB over the limit (store {}), resident {} MiB (store {}); {} defects",
        sum.stores,
        sum.counts.values().flatten().sum::<u64>(),
        seed(),
        start.elapsed().as_secs_f64(),
        sum.slowest.0,
        sum.slowest.1,
        sum.heap.0 >> 20,
        sum.heap.1,
        sum.resident.0 >> 20,
        sum.resident.1,
        sum.defects.len(),
    ));
    assert_eq!(sum.stores, stores, "stores were not read");
    if !sum.defects.is_empty() {
        let shown: Vec<_> = sum.defects.iter().take(SHOWN).map(String::as_str).collect();
        panic!(
            "{} defects with seed {} (LAZARR_MUTATION=number reads a store alone and keeps it):\n{}",
            sum.defects.len(),
            seed(),
            shown.join("\n")
        );
    }
}

/// Has children read these stores; what ends a child is a defect of the store it was at.
fn watch(mut first: u64, end: u64, sum: &Mutex<Sum>) {
    while first < end {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "damaged_stores", "--test-threads=1"])
            .env(CHILD, format!("{first}..{end}"))
            // Large allocations go back to the system when they are freed: what was freed before does not hide what is
            // taken now.
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::scope(|scope| {
            scope
                .spawn(move || out.lines().map_while(std::result::Result::ok).try_for_each(|l| send.send(l)));
            let mut at = first;
            let ended = loop {
                match lines.recv_timeout(SILENCE) {
                    Ok(line) => {
                        if let Some(n) = line.strip_prefix("at ").and_then(|n| n.parse().ok()) {
                            at = n;
                        } else if let Some(record) = line.strip_prefix("store\t") {
                            sum.lock().unwrap().add(at, record);
                            first = at + 1;
                        } else if let Some(text) = line.strip_prefix("defect\t") {
                            sum.lock().unwrap().defects.push(format!("store {at}: {text}"));
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) if first >= end => break None,
                    Err(RecvTimeoutError::Disconnected) => break Some("the process ended"),
                    Err(RecvTimeoutError::Timeout) => break Some("the process hangs"),
                }
            };
            let _ = child.kill();
            let status = child.wait().unwrap();
            if let Some(how) = ended {
                let mut sum = sum.lock().unwrap();
                sum.defects.push(format!("store {at}: {how} ({status})"));
                sum.stores += 1;
                first = at + 1;
            }
        });
    }
}

impl Sum {
    /// Adds a child's record of a store: milliseconds, heap, resident, then kinds and results.
    fn add(&mut self, store: u64, record: &str) {
        let mut fields = record.split('\t');
        let mut next = || fields.next().and_then(|f| f.parse::<u64>().ok()).unwrap();
        let (ms, heap, resident) = (next(), next(), next());
        self.stores += 1;
        self.slowest = self.slowest.max((ms, store));
        self.heap = self.heap.max((heap, store));
        self.resident = self.resident.max((resident, store));
        for pair in fields {
            let (result, kind) = pair.split_once(' ').unwrap();
            self.counts.entry(kind.to_owned()).or_default()[result.parse::<usize>().unwrap()] += 1;
        }
    }
}

/// A good store, and what it brings.
struct Good {
    number: u64,
    sample: Sample,
    truth: Reads,
}

fn mix(a: u64, b: u64) -> u64 {
    Rng::new(a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).number()
}

fn options(rng: &mut Rng) -> Options {
    Options {
        memory_limit: Some(rng.pick(&[8 << 20, 64 << 20])),
        threads: Some(1 + rng.below(2) as usize),
        audit: rng.once_in(2),
        ..Options::default()
    }
}

fn in_memory(values: &Values) -> MemoryStore {
    let mut store = MemoryStore::default();
    for (key, value) in values {
        store.insert(key.clone(), value.as_slice());
    }
    store
}

impl Good {
    fn new(number: u64) -> Self {
        let sample = Sample::new(&Spec::small(mix(seed(), number)));
        let least =
            Options { memory_limit: Some(8 << 20), threads: Some(2), audit: true, ..Options::default() };
        let session = Session::open_store(Arc::new(sample.writer.store()), least).unwrap();
        let truth = read(&session, &|_| true);
        let bad = truth.iter().find(|(_, o)| !matches!(o, Outcome::Value(_)));
        assert!(bad.is_none(), "a good store, {:?}: {bad:?}", sample.spec);
        Self { number, sample, truth }
    }
}

/// What was measured of a store.
struct Measured {
    took: Duration,
    heap: u64,
    resident: u64,
    damaged: Damaged,
    verdict: Verdict,
}

/// The store in memory, and whether it is an archive there.
fn held(damaged: &Damaged) -> (Arc<MemoryStore>, bool) {
    let archive = damaged.zip.as_ref().map(|zip| Values::from([(ARCHIVE.to_owned(), zip.clone())]));
    (Arc::new(in_memory(archive.as_ref().unwrap_or(&damaged.values))), archive.is_some())
}

fn open((store, is_archive): (Arc<MemoryStore>, bool), options: Options) -> lazarr::Result<Arc<Session>> {
    let store: Arc<dyn Store> = if is_archive {
        let limits = ZipLimits { directory_bytes: 4 << 20, ..ZipLimits::default() };
        Arc::new(ZipStore::over(store, ARCHIVE, ARCHIVE, "", &limits)?)
    } else {
        store
    };
    let session = Session::open_store(store.clone(), options.clone())?;
    // An audit keeps a list of all reads: not of millions, which metadata may ask for.
    if options.audit && session.root().arrays().iter().any(|a| a.inner_count() > MOST_AUDITED) {
        return Session::open_store(store, Options { audit: false, ..options });
    }
    Ok(session)
}

/// A damaged store, and what else is random about it.
fn damage(good: &Good, store: u64) -> (Damaged, Rng) {
    let mut rng = Rng::new(mix(seed() ^ 0xda_3a6e, store));
    (Damaged::new(&good.sample, &mut rng), rng)
}

/// Makes, reads and judges a store.
fn one(good: &Good, store: u64) -> Measured {
    let (damaged, mut rng) = damage(good, store);
    let options = options(&mut rng);
    let limit = options.memory_limit.unwrap();
    let share = rng.below(10);
    let closely = |path: &str| {
        let spread = path.bytes().fold(store, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(b)));
        damaged.mutations.iter().any(|m| !m.touches("") && m.touches(path)) || spread % 10 == share
    };
    let held = held(&damaged);
    lazarr::reset_peak();
    HEAP.reset_peak_usage();
    let (before, start) = (HEAP.current_usage() as u64, lazarr::resident().map_or(0, |(now, _)| now));
    let clock = Instant::now();
    let reads = catch_unwind(AssertUnwindSafe(|| match open(held, options) {
        Ok(session) => (true, read(&session, &closely)),
        Err(e) => (false, Reads::from([((String::new(), "open"), failed(&e))])),
    }));
    let took = clock.elapsed();
    let heap = (HEAP.peak_usage() as u64).saturating_sub(before).saturating_sub(limit);
    let resident = lazarr::resident().map_or(0, |(_, peak)| peak.saturating_sub(start).saturating_sub(limit));
    let mut verdict = match reads {
        Ok((opened, reads)) => judge(&damaged.mutations, &good.truth, &reads, opened),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let text = format!("a panic: {}", text.unwrap_or_default());
            Verdict { defects: vec![text], ..Verdict::default() }
        }
    };
    if took > MOST_TIME {
        verdict.defects.push(format!("it took {took:?}"));
    }
    for (name, over) in [("heap", heap), ("resident", resident)] {
        if over > SLACK {
            verdict.defects.push(format!(
                "{name}: {} MiB above the limit of {} MiB",
                over >> 20,
                limit >> 20
            ));
        }
    }
    Measured { took, heap, resident, damaged, verdict }
}

/// Reads stores and says what came, line by line.
fn child(first: u64, end: u64) {
    say("");
    std::panic::set_hook(Box::new(|_| {})); // those in a store are counted, those in zarrs are caught there
    let mut good = Good::new(first / EACH);
    for store in first..end {
        say(&format!("at {store}"));
        if good.number != store / EACH {
            good = Good::new(store / EACH);
        }
        let m = one(&good, store);
        for defect in &m.verdict.defects {
            say(&format!("defect\t{}", describe(&m.damaged, defect)));
        }
        if !m.verdict.defects.is_empty() {
            keep(store, &m.damaged);
        }
        let mut record = format!("store\t{}\t{}\t{}", m.took.as_millis(), m.heap, m.resident);
        for (kind, result) in &m.verdict.results {
            let column = match result {
                Result::Exact => 0,
                Result::Error => 1,
                Result::Silent => 2,
            };
            write!(record, "\t{column} {kind}").unwrap();
        }
        say(&record);
    }
}

fn describe(damaged: &Damaged, defect: &str) -> String {
    let done: Vec<_> = damaged.mutations.iter().map(|m| format!("{} ({})", m.kind, m.note)).collect();
    let zip = if damaged.zip.is_some() { " in a zip archive" } else { "" };
    format!("{defect} <- {}{zip}", done.join("; ")).replace('\n', " ")
}

/// Reads one store here, and says all that can be said.
fn alone(store: u64) {
    let good = Good::new(store / EACH);
    let (damaged, mut rng) = damage(&good, store);
    say(&format!("\nstore {store}, seed {}: {:?}, {:?}", seed(), good.sample.spec, options(&mut rng)));
    // Before it is read: it may never come back.
    for mutation in &damaged.mutations {
        say(&format!("  {mutation:?}"));
    }
    say(&format!("  kept in {}", keep(store, &damaged).display()));
    let m = one(&good, store);
    say(&format!("  {} ms, heap {} and resident {} above the limit", m.took.as_millis(), m.heap, m.resident));
    say(&format!("  {:?}", m.verdict.results));
    assert!(m.verdict.defects.is_empty(), "{}", m.verdict.defects.join("\n"));
}

/// Writes a store below the build directory.
fn keep(store: u64, damaged: &Damaged) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutation-{}-{store}", seed()));
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    for (key, value) in &damaged.values {
        let path = place.join("store.zarr").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    if let Some(zip) = &damaged.zip {
        std::fs::write(place.join("store.zip"), zip).unwrap();
    }
    std::fs::write(place.join("what.txt"), format!("{:#?}\n", damaged.mutations)).unwrap();
    place
}
