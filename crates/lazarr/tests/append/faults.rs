//! Each operation of an append fails once, and the process is ended at some: the old store or the new one is there, whole.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lazarr::store::draft::{Fault, leftovers, repair};
use lazarr::write::{Source, WriteOptions, append, write};
use lazarr::{Call, Value};
use lazarr_testkit::Spec;

use super::same::same;
use super::{common, files, kept, object, options, sample, tiny};

pub(crate) fn nth(
    n: u64,
    then: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> (Fault, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let fault = Fault::new(move |_, _| if counted.fetch_add(1, SeqCst) + 1 == n { then() } else { Ok(()) });
    (fault.without_sync(), count)
}

fn put(whole: &Path, to: &Path) {
    let mut source = Source::of_object(&object(whole)).unwrap();
    let kept = ["X", "obs", "obs/count", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"];
    source.retain(&|path| kept.contains(&path)).unwrap();
    let options = WriteOptions { overwrite: true, layout: tiny(3), ..options() };
    write(source, to.to_str().unwrap(), &options, &Call::default()).unwrap();
}

fn run(new: &Path, to: &Path, fault: Fault, no_exchange: bool) -> lazarr::Result<()> {
    let options = WriteOptions { fault, no_exchange, ..WriteOptions::default() };
    append(to.to_str().unwrap(), &[object(new)], &[], &options, &Call::default()).map(drop)
}

fn read(path: &Path) -> Value {
    object(path).collect(&Call::default(), None).unwrap()
}

struct Stage {
    directory: tempfile::TempDir,
    old: Value,
    new: Value,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, seed, n_obs) in [("old", 1, 12), ("more", 2, 9)] {
            sample(&Spec { seed, n_obs, n_vars: 6, ..Spec::default() }, &at("whole"));
            put(&at("whole"), &at(&format!("source/{name}.zarr")));
            std::fs::remove_dir_all(at("whole")).unwrap();
        }
        put(&at("source/old.zarr"), &at("to/a.zarr"));
        let old = read(&at("to/a.zarr"));
        run(&at("source/more.zarr"), &at("to/a.zarr"), Fault::default(), false).unwrap();
        let new = read(&at("to/a.zarr"));
        Self { directory, old, new }
    }

    fn judge(&self, done: bool, at: &str) {
        let to = self.directory.path().join("to/a.zarr");
        repair(&to, true).unwrap();
        assert_eq!(leftovers(to.parent().unwrap()).unwrap(), [], "{at}");
        let now = read(&to);
        let is_new = object(&to).shape()[0] == Some(21);
        assert!(is_new || !done, "{at}");
        same(&now, if is_new { &self.new } else { &self.old }, at);
    }
}

#[test]
fn the_nth_operation_of_an_append_fails() {
    let _alone = common::alone();
    let stage = Stage::new();
    let at = |name: &str| stage.directory.path().join(name);
    let to = at("to/a.zarr");
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    for no_exchange in [false, true] {
        put(&at("source/old.zarr"), &to);
        let (fault, count) = nth(0, || Ok(()));
        run(&at("source/more.zarr"), &to, fault, no_exchange).unwrap();
        let all = count.load(SeqCst);
        assert!(all > 50, "{all}");
        for n in (1..=all).filter(|n| every || n % 19 == 1 || all - n < 10) {
            put(&at("source/old.zarr"), &to);
            let before = files(&to);
            let fault = nth(n, || Err(io::ErrorKind::Other.into())).0;
            let done = run(&at("source/more.zarr"), &to, fault, no_exchange);
            kept(&before, &to);
            stage.judge(done.is_ok(), &format!("operation {n} of {all}, {no_exchange}"));
        }
    }
}

/// Not a test of its own: the process that is ended.
#[test]
fn victim() {
    let Ok(words) = std::env::var("LAZARR_VICTIM") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [new, to, n, no_exchange] = words[..] else { panic!("{words:?}") };
    let fault = nth(n.parse().unwrap(), || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        Ok(())
    });
    run(new.as_ref(), to.as_ref(), fault.0, no_exchange == "true").unwrap();
}

#[test]
fn killed_appends_harm_nothing() {
    let _alone = common::alone();
    let stage = Stage::new();
    let at = |name: &str| stage.directory.path().join(name);
    let to = at("to/a.zarr");
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    for no_exchange in [false, true] {
        put(&at("source/old.zarr"), &to);
        let (fault, count) = nth(0, || Ok(()));
        run(&at("source/more.zarr"), &to, fault, no_exchange).unwrap();
        let all = count.load(SeqCst);
        for n in (1..=all).filter(|n| every || n % 37 == 0 || all - n < 5) {
            put(&at("source/old.zarr"), &to);
            let before = files(&to);
            let words = format!("{}|{}|{n}|{no_exchange}", at("source/more.zarr").display(), to.display());
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "faults::victim", "--quiet"])
                .env("LAZARR_VICTIM", words)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(!status.success());
            drop(object(&to));
            kept(&before, &to);
            stage.judge(false, &format!("killed at operation {n} of {all}, {no_exchange}"));
        }
    }
}
