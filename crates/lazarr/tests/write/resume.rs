//! A write that ends before its end is gone on with: the store is what it would have been, file by file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lazarr::format::encode::Layout;
use lazarr::store::draft::{Fault, Op, leftovers, repair};
use lazarr::write::{Blocks, Source, WriteOptions, Written, write, write_into};
use lazarr::{Call, Code, Concatenation, Dense, Index, Lazy, Meter, Step, Value, concat};
use lazarr_testkit::{Sample, Spec};

use super::common;
use super::faults::{nth, object};

/// All files of a folder, but those that stand beside stores.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                out.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    out
}

/// What is written, and how: so little memory that all that is long comes in many blocks.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Shards,
    /// Zarr v2: each chunk is a file.
    Chunks,
    /// Two stores as one, its dense layer as csr.
    Joined,
}

const KINDS: [Kind; 3] = [Kind::Shards, Kind::Chunks, Kind::Joined];
const LIMIT: u64 = 1 << 18;
const ROWS: u64 = 2000;

fn sample(path: &Path, seed: u64, n_obs: u64) {
    let spec =
        Spec { seed, n_obs, n_vars: 40, per_row: 20, chunks: [512, 512, 256], rows: 256, ..Spec::default() };
    Sample::new(&spec).writer.write_to(path).unwrap();
}

struct Stage {
    directory: tempfile::TempDir,
    kind: Kind,
    whole: BTreeMap<PathBuf, Vec<u8>>,
    written: Written,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        sample(&directory.path().join("a.zarr"), 1, ROWS);
        sample(&directory.path().join("b.zarr"), 2, 500);
        let mut this = Self { directory, kind, whole: BTreeMap::new(), written: Written::default() };
        this.written = this.run(&this.at("whole.zarr"), &Fault::default().without_sync(), false).unwrap();
        this.whole = files(&this.at("whole.zarr"));
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, to: &Path, fault: &Fault, resume: bool) -> lazarr::Result<Written> {
        let meter = Arc::new(Meter::default());
        self.run_with(to, &|o| WriteOptions { fault: fault.clone(), resume, ..o }, meter)
    }

    fn run_with(
        &self,
        to: &Path,
        change: &dyn Fn(WriteOptions<'static>) -> WriteOptions<'static>,
        meter: Arc<Meter>,
    ) -> lazarr::Result<Written> {
        run(&self.at(""), to, self.kind, change, meter)
    }

    /// The store is what it would have been, and nothing else is left.
    fn judge(&self, to: &Path, at: &str) {
        let now = files(to);
        let names = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(&self.whole), "{at}");
        for (name, bytes) in &self.whole {
            assert!(now[name] == *bytes, "{at}: {}", name.display());
        }
        assert_eq!(leftovers(to).unwrap(), [], "{at}");
    }
}

fn run(
    folder: &Path,
    to: &Path,
    kind: Kind,
    change: &dyn Fn(WriteOptions<'static>) -> WriteOptions<'static>,
    meter: Arc<Meter>,
) -> lazarr::Result<Written> {
    let call = Call { memory_limit: Some(LIMIT), threads: Some(2), meter: Some(meter), ..Call::default() };
    let a = object(&folder.join("a.zarr"));
    let mut layout = Layout::from_json(
        r#"{"rules": [{"path": "**", "chunk": {"items": 700}, "shard": {"items": 7000}, "codec": "lz4"},
            {"path": "obsm", "chunk": {"shape": [300, 2]}, "shard": {"shape": [1500, 4]}},
            {"path": "obs/name", "chunk": {"items": 300}}]}"#,
    )
    .unwrap();
    let source = match kind {
        Kind::Joined => {
            let all =
                concat(&[a, object(&folder.join("b.zarr"))], &Concatenation::default(), &Call::default())
                    .unwrap();
            layout.add(r#"{"path": "obsm/X_pca", "format": "csr"}"#).unwrap();
            Source::of_object(&all)?
        }
        _ => Source::of_object(&a)?,
    };
    if kind == Kind::Chunks {
        layout.zarr_format = 2;
        layout.rules.iter_mut().for_each(|rule| rule.shard = None);
    }
    let options = WriteOptions { layout, checkpoint: Duration::ZERO, ..WriteOptions::default() };
    write(source, to.to_str().unwrap(), &change(options), &call)
}

fn every() -> bool {
    std::env::var_os("LAZARR_EVERY").is_some()
}

#[test]
fn what_fails_is_gone_on_with() {
    let _alone = common::alone();
    for kind in KINDS {
        let stage = Stage::new(kind);
        let to = stage.at("out/a.zarr");
        let (fault, count) = nth(0, || Ok(()));
        stage.run(&to, &fault, true).unwrap();
        stage.judge(&to, "at once");
        fs::remove_dir_all(&to).unwrap();
        let all = count.load(SeqCst);
        assert!(all > 200, "{all}");
        let mut taken = 0;
        for n in (1..=all).filter(|n| every() || n % (all / 9) == 7 || all - n < 5) {
            let at = format!("operation {n} of {all}");
            let done = stage.run(&to, &nth(n, || Err(io::ErrorKind::Other.into())).0, true);
            if done.is_err() && !to.exists() {
                let left = leftovers(&to).unwrap();
                taken += usize::from(left.iter().any(|l| l.resumable));
                // It fails again, elsewhere, and then no more.
                let k = 1 + n * 7 % 40;
                let again = stage.run(&to, &nth(k, || Err(io::ErrorKind::Other.into())).0, true);
                if again.is_err() && !to.exists() {
                    let written = stage.run(&to, &Fault::default().without_sync(), true).unwrap();
                    assert_eq!(written, stage.written, "{at}");
                }
            }
            repair(&to, false).unwrap();
            stage.judge(&to, &at);
            fs::remove_dir_all(&to).unwrap();
        }
        assert!(taken > if every() { 200 } else { 3 }, "{taken}");
    }
}

/// Not a test of its own: the process that is ended.
#[test]
fn victim() {
    let Ok(words) = std::env::var("LAZARR_RESUMED_VICTIM") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [folder, to, kind, n, resume] = words[..] else { panic!("{words:?}") };
    let fault = nth(n.parse().unwrap(), || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        Ok(())
    });
    let kind = KINDS[kind.parse::<usize>().unwrap()];
    let resume = resume == "true";
    let change = |o| WriteOptions { fault: fault.0.clone(), resume, ..o };
    run(folder.as_ref(), to.as_ref(), kind, &change, Arc::default()).unwrap();
}

#[test]
fn what_was_killed_is_gone_on_with() {
    let _alone = common::alone();
    for (k, kind) in KINDS.into_iter().enumerate() {
        let stage = Stage::new(kind);
        let to = stage.at("out/a.zarr");
        let (fault, count) = nth(0, || Ok(()));
        stage.run(&to, &fault, false).unwrap();
        let all = count.load(SeqCst);
        for n in (1..=all).filter(|n| every() || n % (all / 4) == 100 || all - n < 3) {
            let _ = fs::remove_dir_all(&to);
            // Whether or not it was begun to be resumed: a killed one takes nothing away.
            for (n, resume) in [(n, false), (1 + n * 5 % 60, true)] {
                let words = format!("{}|{}|{k}|{n}|{resume}", stage.at("").display(), to.display());
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "resume::victim", "--quiet"])
                    .env("LAZARR_RESUMED_VICTIM", words)
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .status()
                    .unwrap();
                assert!(!status.success() || resume);
                if to.exists() {
                    break;
                }
            }
            if !to.exists() {
                stage.run(&to, &Fault::default().without_sync(), true).unwrap();
            }
            repair(&to, false).unwrap();
            stage.judge(&to, &format!("killed at operation {n} of {all}"));
        }
    }
}

/// Ends at an operation that was asked for; what was done before is left.
fn begun(stage: &Stage, to: &Path, share: (u64, u64)) -> u64 {
    let (fault, count) = nth(0, || Ok(()));
    stage.run(to, &fault, true).unwrap();
    fs::remove_dir_all(to).unwrap();
    let n = count.load(SeqCst) * share.0 / share.1;
    let meter = Arc::new(Meter::default());
    let fault = nth(n, || Err(io::ErrorKind::Other.into())).0;
    stage
        .run_with(to, &|o| WriteOptions { fault: fault.clone(), resume: true, ..o }, meter.clone())
        .unwrap_err();
    meter.bytes()
}

#[test]
fn nothing_that_is_done_is_read_again() {
    let _alone = common::alone();
    for kind in KINDS {
        let stage = Stage::new(kind);
        let to = stage.at("out/a.zarr");
        let meter = Arc::new(Meter::default());
        stage.run_with(&to, &|o| o, meter.clone()).unwrap();
        fs::remove_dir_all(&to).unwrap();
        let whole = meter.bytes();
        for k in [1, 3, 5] {
            let first = begun(&stage, &to, (k, 6));
            let meter = Arc::new(Meter::default());
            let told = Arc::new(Mutex::new(Vec::new()));
            let (tell_meter, tell_told) = (meter.clone(), told.clone());
            let tell = move |path: &str, rows: u64| -> lazarr::Result<()> {
                tell_told.lock().unwrap().push((path.to_owned(), rows, tell_meter.bytes()));
                Ok(())
            };
            let tell: &'static (dyn Fn(&str, u64) -> lazarr::Result<()> + Sync) = Box::leak(Box::new(tell));
            stage
                .run_with(&to, &|o| WriteOptions { resume: true, progress: Some(tell), ..o }, meter.clone())
                .unwrap();
            stage.judge(&to, &format!("{k} of 6"));
            let again = meter.bytes();
            // The block that was under way, and the chunks it shares with the one before.
            assert!(first + again <= whole + whole / 12, "{k}: {first} and {again} of {whole}");
            assert!(first > 0 && again < whole, "{k}: {first} and {again} of {whole}");
            // What is done is told at once, with its rows.
            let told = told.lock().unwrap();
            let before = told.iter().filter(|(_, _, bytes)| *bytes == 0).count();
            assert!(before > 1 && told.iter().any(|(_, rows, bytes)| *rows > 0 && *bytes == 0), "{told:?}");
            fs::remove_dir_all(&to).unwrap();
        }
    }
}

#[test]
fn another_request_is_refused() {
    let _alone = common::alone();
    let stage = Stage::new(Kind::Shards);
    let to = stage.at("out/a.zarr");
    begun(&stage, &to, (1, 2));
    let before = files(&stage.at("out"));
    let refused = |change: &dyn Fn(WriteOptions<'static>) -> WriteOptions<'static>, words: &str| {
        let options = |o| change(WriteOptions { resume: true, ..o });
        let e = stage.run_with(&to, &options, Arc::default()).unwrap_err();
        assert_eq!(e.code(), Code::NotResumed, "{e}");
        assert!(e.to_string().contains(words), "{e}");
        assert!(files(&stage.at("out")) == before, "{words}: what was begun stays");
    };
    refused(&|o| WriteOptions { no_sync: true, ..o }, "`sync`");
    refused(&|o| WriteOptions { layout: Layout::preset("random", 3).unwrap(), ..o }, "the layout");
    refused(
        &|o| {
            let mut layout = o.layout.clone();
            layout.rules[0].checksum = Some(false);
            WriteOptions { layout, ..o }
        },
        "checksum",
    );
    // Other elements, other rows, another source.
    let options = || WriteOptions { resume: true, ..WriteOptions::default() };
    let call = Call::default();
    let a = object(&stage.at("a.zarr"));
    let e = write(Source::Lazy(a.get("X").unwrap()), to.to_str().unwrap(), &options(), &call).unwrap_err();
    assert_eq!(e.code(), Code::NotResumed);
    // The source was written anew, with the same elements.
    fs::remove_dir_all(stage.at("a.zarr")).unwrap();
    sample(&stage.at("a.zarr"), 1, ROWS);
    refused(&|o| o, "has changed");
    // Kept by a repair, unless it is told otherwise.
    assert!(repair(&to, false).unwrap().iter().all(|l| l.resumable));
    assert!(files(&stage.at("out")) == before);
    // Without being asked to go on, it begins afresh and clears.
    stage.run(&to, &Fault::default().without_sync(), false).unwrap();
    stage.judge(&to, "afresh");
    fs::remove_dir_all(&to).unwrap();
    begun(&stage, &to, (1, 2));
    repair(&to, true).unwrap();
    assert_eq!(fs::read_dir(stage.at("out")).unwrap().count(), 0);
    // What is there is not replaced, unless that is asked for; what was begun waits.
    begun(&stage, &to, (1, 2));
    fs::create_dir(&to).unwrap();
    fs::write(to.join("zarr.json"), "{}").unwrap();
    let e = stage.run(&to, &Fault::default().without_sync(), true).unwrap_err();
    assert_eq!(e.code(), Code::StoreExists);
    let done = stage.run_with(&to, &|o| WriteOptions { resume: true, overwrite: true, ..o }, Arc::default());
    assert_eq!(done.unwrap(), stage.written);
    stage.judge(&to, "over a store");
    let e = write_into(to.to_str().unwrap(), Vec::new(), &[], &options(), &call).unwrap_err();
    assert_eq!(e.code(), Code::NotResumed);
}

/// The draft and the log beside a store.
fn draft(to: &Path) -> (PathBuf, PathBuf) {
    let left = leftovers(to).unwrap();
    let [one] = left.as_slice() else { panic!("{left:?}") };
    (one.path.clone(), PathBuf::from(format!("{}-log", one.path.display())))
}

#[test]
fn what_was_damaged_meanwhile_is_written_anew() {
    let _alone = common::alone();
    for kind in KINDS {
        let stage = Stage::new(kind);
        let to = stage.at("out/a.zarr");
        let mut open = 0;
        let shares = [(1, 4), (3, 4), (1, 2), (9, 10)];
        for (k, share) in shares.into_iter().enumerate().take(if every() { 4 } else { 2 }) {
            begun(&stage, &to, share);
            let saved = stage.at("saved");
            fs::rename(stage.at("out"), &saved).unwrap();
            let cases = [
                "journal cut",
                "journal damaged",
                "file gone",
                "file cut",
                "note",
                "shard",
                "stray",
                "draft gone",
            ];
            for (c, case) in cases.into_iter().enumerate() {
                let _ = fs::remove_dir_all(stage.at("out"));
                copy(&saved, &stage.at("out"));
                let (draft, log) = draft_in(&stage.at("out"));
                // Another folder has another inode: the journal is made to be that of the copy.
                readdress(&draft, &log);
                let journal = log.join("journal");
                let text = fs::read(&journal).unwrap();
                let mut data: Vec<_> = files(&draft).into_keys().collect();
                let pick = |data: &[PathBuf]| data[(k * 31 + c * 7) % data.len()].clone();
                match case {
                    "journal cut" => fs::write(&journal, &text[..text.len() * (k + 2) / 7]).unwrap(),
                    "journal damaged" => {
                        let mut text = text.clone();
                        let at = text.len() * (k + 2) / 7;
                        text[at] ^= 1;
                        fs::write(&journal, &text).unwrap();
                    }
                    "file gone" => fs::remove_file(draft.join(pick(&data))).unwrap(),
                    "file cut" => {
                        let file = draft.join(pick(&data));
                        let bytes = fs::read(&file).unwrap();
                        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
                    }
                    "note" => {
                        for entry in fs::read_dir(&log).unwrap() {
                            let path = entry.unwrap().path();
                            if path != journal {
                                let mut bytes = fs::read(&path).unwrap();
                                bytes.iter_mut().last().into_iter().for_each(|b| *b ^= 1);
                                fs::write(&path, &bytes).unwrap();
                            }
                        }
                    }
                    "shard" => {
                        // What is open: the newest files are longer than what was noted of them, or as long.
                        let text = String::from_utf8(text).unwrap();
                        let point = text.rsplit_once("{\"point\":\"").map(|(_, rest)| rest);
                        let Some((path, _)) = point.and_then(|rest| rest.split_once('"')) else { continue };
                        data.retain(|file| file.starts_with(path));
                        open += data.len();
                        for file in data {
                            let mut bytes = fs::read(draft.join(&file)).unwrap();
                            bytes.iter_mut().take(1).for_each(|b| *b ^= 1);
                            fs::write(draft.join(&file), &bytes[..bytes.len().saturating_sub(1)]).unwrap();
                        }
                    }
                    "stray" => {
                        // Behind what was noted: of a writer that went on.
                        fs::create_dir_all(draft.join("X/data/c")).unwrap();
                        fs::write(draft.join("X/data/c/999"), "x").unwrap();
                        fs::write(draft.join("X/data/999"), "x").unwrap();
                        fs::write(draft.join("zarr.json"), "{").unwrap();
                        fs::write(draft.join(".zmetadata"), "{").unwrap();
                    }
                    _ => fs::remove_dir_all(&draft).unwrap(),
                }
                let at = format!("{case}, {share:?}");
                if let Err(e) = stage.run(&to, &Fault::default().without_sync(), true) {
                    panic!("{at}: {e}");
                }
                if case == "stray" {
                    let _ = fs::remove_file(to.join(if kind == Kind::Chunks {
                        "zarr.json"
                    } else {
                        ".zmetadata"
                    }));
                }
                stage.judge(&to, &at);
            }
            fs::remove_dir_all(stage.at("out")).unwrap();
            fs::remove_dir_all(&saved).unwrap();
        }
        assert!(open > 0, "no element was under way");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let new = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &new);
        } else {
            fs::copy(&path, &new).unwrap();
        }
    }
}

fn draft_in(folder: &Path) -> (PathBuf, PathBuf) {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let log = names.into_iter().find(|p| p.to_str().unwrap().ends_with("-log")).unwrap();
    (PathBuf::from(log.to_str().unwrap().strip_suffix("-log").unwrap()), log)
}

fn readdress(draft: &Path, log: &Path) {
    use std::os::unix::fs::MetadataExt;
    let text = fs::read_to_string(log.join("journal")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let request = first.splitn(3, ' ').nth(2).unwrap();
    let line = format!("{} {request}", fs::metadata(draft).unwrap().ino());
    fs::write(log.join("journal"), format!("{:08x} {line}\n{rest}", crc32(line.as_bytes()))).unwrap();
}

/// As zip archives have it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |s, _| (s >> 1) ^ (0xedb8_8320 & (s & 1).wrapping_neg()))
    })
}

#[test]
fn without_waiting_for_the_disk_every_byte_is_looked_at() {
    let _alone = common::alone();
    let stage = Stage::new(Kind::Shards);
    let to = stage.at("out/a.zarr");
    let ends = |op: Op, path: &Path| {
        let last = op == Op::Create && path.to_str().is_some_and(|p| p.contains("varm"));
        if last { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    };
    let options =
        |fault: Fault| move |o| WriteOptions { no_sync: true, resume: true, fault: fault.clone(), ..o };
    stage.run_with(&to, &options(Fault::new(ends)), Arc::default()).unwrap_err();
    let (draft, _) = draft(&to);
    // As long as it was, and not what was written.
    let file = draft.join("X/data/c/0");
    let mut bytes = fs::read(&file).unwrap();
    bytes[10] ^= 1;
    fs::write(&file, &bytes).unwrap();
    stage.run_with(&to, &options(Fault::default()), Arc::default()).unwrap();
    stage.judge(&to, "no sync");
}

/// Blocks of a column that somebody makes; they are known by a number, or not at all.
struct Made(Option<u64>, u64);

impl Blocks for Made {
    fn rows(&self) -> Option<u64> {
        Some(3)
    }

    fn identity(&self) -> lazarr::Result<Option<u64>> {
        Ok(self.0)
    }

    fn next(&mut self, _: u64, _: &Call<'_>) -> lazarr::Result<Option<Value>> {
        self.1 += 1;
        let budget = lazarr::Budget::new(lazarr::Ledger::process(), 1 << 20, Arc::default());
        let data = lazarr::Buffer::copy_of(&[7; 8], &budget, "a block")?;
        let dense = Dense { dtype: lazarr::DataType::Int(8), shape: vec![1], data };
        Ok((self.1 <= 3).then_some(Value::Dense(dense)))
    }
}

#[test]
fn what_cannot_be_recognized_is_not_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("a.zarr");
    let text = to.to_str().unwrap();
    let run = |identity: Option<u64>, value: u8, resume: bool, fault: Fault| {
        let budget = lazarr::Budget::new(lazarr::Ledger::process(), 1 << 20, Arc::default());
        let data = lazarr::Buffer::copy_of(&[value; 4], &budget, "a value").unwrap();
        let dense = Dense { dtype: lazarr::DataType::Int(4), shape: vec![1], data };
        let children = vec![
            ("value".to_owned(), Source::Value(Value::Dense(dense))),
            ("rows".to_owned(), Source::Blocks(Box::new(Made(identity, 0)))),
            ("null".to_owned(), Source::Value(Value::Null)),
        ];
        let source = Source::Group { kind: lazarr::write::Group::Dict, children };
        let options = WriteOptions { resume, fault, ..WriteOptions::default() };
        write(source, text, &options, &Call::default())
    };
    let e = run(None, 1, true, Fault::default()).unwrap_err();
    assert_eq!(e.code(), Code::NotResumed, "{e}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let fails = || {
        Fault::new(|op, path| {
            let last = op == Op::Create && path.ends_with("null/zarr.json");
            if last { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        })
    };
    // Nobody has asked: nothing is left.
    run(None, 1, false, fails()).unwrap_err();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    run(Some(5), 1, true, fails()).unwrap_err();
    assert!(leftovers(&to).unwrap()[0].resumable);
    for (identity, value) in [(6, 1), (5, 2)] {
        let e = run(Some(identity), value, true, Fault::default()).unwrap_err();
        assert_eq!(e.code(), Code::NotResumed, "{e}");
    }
    let written = run(Some(5), 1, true, Fault::default()).unwrap();
    assert_eq!((written.arrays, written.files), (3, 2));
    assert_eq!(leftovers(&to).unwrap(), []);
    let session = lazarr::Session::open(text, lazarr::Options::default()).unwrap();
    let rows = Lazy::new(&session, &session.element("rows").unwrap()).collect(&Call::default()).unwrap();
    assert!(matches!(rows, Value::Dense(d) if d.shape == [3] && d.data.as_slice() == [7; 24]));
}

#[test]
fn selections_are_what_they_were() {
    let _alone = common::alone();
    let stage = Stage::new(Kind::Shards);
    let to = stage.at("out/a.zarr");
    let run = |rows: &[i64], fault: Fault| {
        let index = Index::ints(rows, ROWS).unwrap();
        let view = object(&stage.at("a.zarr")).select(Some(Step::Index(index)), None).unwrap();
        let fault = fault.without_sync();
        let options = WriteOptions { resume: true, fault, ..WriteOptions::default() };
        write(Source::of_object(&view).unwrap(), to.to_str().unwrap(), &options, &Call::default())
    };
    run(&[5, 3, 1], nth(60, || Err(io::ErrorKind::Other.into())).0).unwrap_err();
    assert_eq!(run(&[5, 3, 2], Fault::default()).unwrap_err().code(), Code::NotResumed);
    run(&[5, 3, 1], Fault::default()).unwrap();
}
