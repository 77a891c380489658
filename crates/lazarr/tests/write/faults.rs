//! Each operation on the disk fails once, and the process is ended at each: the old store or the new one is there, whole.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lazarr::format::encode::Layout;
use lazarr::store::draft::{DraftOptions, Fault, LocalDraft, Op, leftovers, repair};
use lazarr::write::{Source, WriteOptions, write};
use lazarr::{Call, Code, LazyAnnData, Options, Session, Value};
use lazarr_testkit::{Sample, Spec};

use super::common;
use super::same::same;

pub(crate) fn object(path: &Path) -> LazyAnnData {
    let session = Session::open(path.to_str().unwrap(), Options::default()).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

fn read(path: &Path) -> Value {
    object(path).collect(&Call::default(), None).unwrap()
}

/// Counts operations; the Nth is what `then` makes of it.
pub(crate) fn nth(
    n: u64,
    then: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> (Fault, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let fault = Fault::new(move |_, _| if counted.fetch_add(1, SeqCst) + 1 == n { then() } else { Ok(()) });
    (fault.without_sync(), count)
}

/// A few elements are as many as all: what fails is the same, and less often.
fn part(path: &Path) -> lazarr::Result<Source<'static>> {
    let mut source = Source::of_object(&object(path))?;
    let kept = ["X", "obs", "obs/count", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"];
    source.retain(&|path| kept.contains(&path))?;
    Ok(source)
}

fn run(source: &Path, to: &Path, fault: Fault, no_exchange: bool, overwrite: bool) -> lazarr::Result<()> {
    let rules = r#"{"rules": [{"path": "**", "chunk": {"items": 40}, "shard": {"items": 120}}]}"#;
    let layout = Layout::from_json(rules).unwrap();
    let options = WriteOptions { layout, overwrite, fault, no_exchange, ..WriteOptions::default() };
    write(part(source)?, to.to_str().unwrap(), &options, &Call::default()).map(drop)
}

/// The same without waiting for the disk.
fn put(source: &Path, to: &Path) {
    let options = WriteOptions { overwrite: true, no_sync: true, ..WriteOptions::default() };
    write(part(source).unwrap(), to.to_str().unwrap(), &options, &Call::default()).unwrap();
}

/// What stands at `to` is the old store (or nothing, where there was none) or the new one; nothing else is left after a
/// repair, and then it can be written.
fn judge(source: &Path, to: &Path, old: Option<&Value>, new: &Value, at: &str) {
    repair(to, true).unwrap();
    assert_eq!(leftovers(to.parent().unwrap()).unwrap(), [], "{at}");
    if to.exists() {
        let now = read(to);
        let count = |v: &Value| format!("{:?}", v.get("obs").and_then(|o| o.get("count")).map(Value::bytes));
        let is_new = old.is_none_or(|old| count(old) != count(&now));
        same(&now, if is_new { new } else { old.unwrap() }, at);
    } else {
        assert!(old.is_none(), "{at}: the old store is gone");
    }
    put(source, to);
    same(&read(to), new, at);
}

/// Two stores with a part of what a sample has, and their values.
fn stores(new: &Path, old: &Path) -> (Value, Value) {
    for (to, seed, n_obs) in [(new, 1, 12), (old, 2, 15)] {
        let whole = to.with_extension("whole");
        Sample::new(&Spec { seed, n_obs, n_vars: 6, ..Spec::default() }).writer.write_to(&whole).unwrap();
        put(&whole, to);
    }
    (read(new), read(old))
}

/// The kinds of writing: whether there is an old store, and whether the file system exchanges names.
const KINDS: [(bool, bool); 3] = [(false, false), (true, false), (true, true)];

#[test]
fn the_nth_operation_fails_for_every_n() {
    let _alone = common::alone();
    let directory = tempfile::tempdir().unwrap();
    let (source, old_source) = (directory.path().join("source.zarr"), directory.path().join("old.zarr"));
    let (new, old) = stores(&source, &old_source);
    for (has_old, no_exchange) in KINDS {
        let (fault, count) = nth(0, || Ok(()));
        let to = directory.path().join("out/count.zarr");
        if has_old {
            put(&old_source, &to);
        }
        run(&source, &to, fault, no_exchange, has_old).unwrap();
        let all = count.load(SeqCst);
        assert!(all > 50);
        // Every one near the end, where the swap is; a share of the many alike before. All of them in the campaign.
        let step = if std::env::var_os("LAZARR_EVERY").is_some() { 1 } else { 23 };
        for n in (1..=all).filter(|n| n % step == 1 % step || all - n < 12) {
            for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
                let to = directory.path().join(format!("out/{has_old}-{no_exchange}-{n}.zarr"));
                if has_old {
                    put(&old_source, &to);
                }
                let at = format!("operation {n} of {all}, {kind:?}, {has_old} {no_exchange}");
                let done = run(&source, &to, nth(n, move || Err(kind.into())).0, no_exchange, has_old);
                if let Err(e) = done {
                    let expected = if kind == io::ErrorKind::Other { Code::WriteIo } else { Code::NoSpace };
                    assert_eq!(e.code(), expected, "{at}: {e}");
                } else {
                    same(&read(&to), &new, &at);
                }
                judge(&source, &to, has_old.then_some(&old), &new, &at);
                std::fs::remove_dir_all(&to).unwrap();
            }
        }
    }
}

/// Not a test of its own: the process that is ended, see [`killed_writers_harm_nothing`].
#[test]
fn victim() {
    let Ok(words) = std::env::var("LAZARR_VICTIM") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [source, to, n, no_exchange, overwrite] = words[..] else { panic!("{words:?}") };
    let fault = nth(n.parse().unwrap(), || {
        // As kill -9: nothing is cleaned up.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        Ok(())
    });
    run(source.as_ref(), to.as_ref(), fault.0, no_exchange == "true", overwrite == "true").unwrap();
}

#[test]
fn killed_writers_harm_nothing() {
    let _alone = common::alone();
    let directory = tempfile::tempdir().unwrap();
    let (source, old_source) = (directory.path().join("source.zarr"), directory.path().join("old.zarr"));
    let (new, old) = stores(&source, &old_source);
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    let mut points = 0;
    for (has_old, no_exchange) in KINDS {
        let to = directory.path().join(format!("{has_old}-{no_exchange}/out.zarr"));
        if has_old {
            put(&old_source, &to);
        }
        let (fault, count) = nth(0, || Ok(()));
        run(&source, &to, fault, no_exchange, has_old).unwrap();
        let all = count.load(SeqCst);
        for n in (1..=all).filter(|n| every || all - n < 6 || n % 31 == 0) {
            points += 1;
            std::fs::remove_dir_all(&to).unwrap();
            if has_old {
                put(&old_source, &to);
            }
            let words = format!("{}|{}|{n}|{no_exchange}|{has_old}", source.display(), to.display());
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "faults::victim", "--quiet"])
                .env("LAZARR_VICTIM", words)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(!status.success());
            let at = format!("killed at operation {n} of {all}, {has_old} {no_exchange}");
            if has_old && no_exchange {
                // Opening alone ends what a journal announces.
                drop(object(&to));
            }
            judge(&source, &to, has_old.then_some(&old), &new, &at);
        }
    }
    assert!(points >= if every { 200 } else { 18 }, "{points} points");
}

#[test]
fn one_of_two_writers_wins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.zarr");
    let first = LocalDraft::begin(&path, DraftOptions::default()).unwrap();
    let busy = LocalDraft::begin(&path, DraftOptions::default()).unwrap_err();
    assert_eq!(busy.code(), Code::Locked);
    // What a living writer has is left alone.
    assert!(repair(&path, true).unwrap().iter().all(|left| left.busy));
    assert!(first.root().exists());
    drop(first);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(LocalDraft::begin(&path, DraftOptions::default()).is_ok());
}

#[test]
fn nothing_but_a_store_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("home");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("thesis.txt"), "years").unwrap();
    for overwrite in [false, true] {
        let options = DraftOptions { overwrite, ..DraftOptions::default() };
        assert_eq!(LocalDraft::begin(&path, options).unwrap_err().code(), Code::StoreExists);
    }
    assert!(path.join("thesis.txt").exists());
    let full = DraftOptions { expected: u64::MAX, ..DraftOptions::default() };
    assert_eq!(LocalDraft::begin(&directory.path().join("b.zarr"), full).unwrap_err().code(), Code::NoSpace);
    let fault =
        Fault::new(|op, _| if op == Op::Sync { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) });
    let no_sync = DraftOptions { no_sync: true, fault, ..DraftOptions::default() };
    let mut draft = LocalDraft::begin(&directory.path().join("c.zarr"), no_sync).unwrap();
    lazarr::store::draft::Draft::put(&draft, "zarr.json", b"{}").unwrap();
    lazarr::store::draft::Draft::publish(&mut draft).unwrap();
}
