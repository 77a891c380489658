//! Each operation of a change of a store fails once, and the process is ended at some: the old store or the new one is there,
//! whole, and no byte of an old file was written to.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

use lazarr::store::draft::{Fault, leftovers, repair};
use lazarr::write::{Source, WriteOptions, write, write_into};
use lazarr::{Call, Value};
use lazarr_testkit::Spec;

use super::faults::nth;
use super::same::same;
use super::{common, files, kept, object, options, sample, tiny};

/// Puts a column, replaces an embedding and the names of a mapping, takes two elements out.
fn run(other: &Path, to: &Path, fault: Fault, no_exchange: bool) -> lazarr::Result<()> {
    let get = |path: &str| object(other).get(path).map(Source::Lazy);
    let put = vec![
        ("obs/put".to_owned(), get("obs/count")?),
        ("obsm/X_pca".to_owned(), get("obsm/X_pca")?),
        ("layers/more".to_owned(), get("X")?),
    ];
    let drop = ["uns".to_owned(), "obs/flag".to_owned()];
    let options = WriteOptions { fault, no_exchange, overwrite: true, ..WriteOptions::default() };
    write_into(to.to_str().unwrap(), put, &drop, &options, &Call::default()).map(drop_it)
}

fn drop_it<T>(_: T) {}

struct Stage {
    directory: tempfile::TempDir,
    old: Value,
    new: Value,
}

fn read(path: &Path) -> Value {
    object(path).collect(&Call::default(), None).unwrap()
}

impl Stage {
    fn new(zarr_format: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, seed) in [("old", 1), ("other", 2)] {
            let whole = at(&format!("source/{name}-as-it-came.zarr"));
            sample(&Spec { seed, n_obs: 12, n_vars: 6, ..Spec::default() }, &whole);
            let options = WriteOptions { layout: tiny(zarr_format), ..options() };
            let source = Source::of_object(&object(&whole)).unwrap();
            let to = at(&format!("source/{name}.zarr"));
            write(source, to.to_str().unwrap(), &options, &Call::default()).unwrap();
        }
        let this = Self { directory, old: Value::Null, new: Value::Null };
        this.reset();
        let old = read(&this.to());
        run(&this.other(), &this.to(), Fault::default(), false).unwrap();
        let new = read(&this.to());
        assert!(object(&this.to()).get("obs/put").is_ok() && object(&this.to()).get("obs/flag").is_err());
        Self { old, new, ..this }
    }

    fn to(&self) -> PathBuf {
        self.directory.path().join("to/a.zarr")
    }

    fn other(&self) -> PathBuf {
        self.directory.path().join("source/other.zarr")
    }

    /// The old store again.
    fn reset(&self) {
        let _ = std::fs::remove_dir_all(self.to());
        std::fs::create_dir_all(self.to().parent().unwrap()).unwrap();
        let old = self.directory.path().join("source/old.zarr");
        let status = Command::new("cp").arg("-r").arg(old).arg(self.to()).status().unwrap();
        assert!(status.success());
    }

    /// Whether it is the new one.
    fn judge(&self, done: bool, at: &str) -> bool {
        repair(&self.to(), false).unwrap();
        assert_eq!(leftovers(self.to().parent().unwrap()).unwrap(), [], "{at}");
        let is_new = object(&self.to()).get("obs/put").is_ok();
        assert!(is_new || !done, "{at}");
        same(&read(&self.to()), if is_new { &self.new } else { &self.old }, at);
        is_new
    }
}

#[test]
fn the_nth_operation_of_a_change_fails() {
    let _alone = common::alone();
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    for (zarr_format, no_exchange) in [(2, true), (3, false), (3, true)] {
        let stage = Stage::new(zarr_format);
        stage.reset();
        let (fault, count) = nth(0, || Ok(()));
        run(&stage.other(), &stage.to(), fault, no_exchange).unwrap();
        let all = count.load(SeqCst);
        assert!(all > 100, "{all}");
        let mut kinds = [0, 0];
        for n in (1..=all).filter(|n| every || n % 67 == 1 || all - n < 12) {
            for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
                stage.reset();
                let before = files(&stage.to());
                let done = run(&stage.other(), &stage.to(), nth(n, move || Err(kind.into())).0, no_exchange);
                kept(&before, &stage.to());
                let at = format!("operation {n} of {all}, v{zarr_format}, {no_exchange}");
                kinds[usize::from(stage.judge(done.is_ok(), &at))] += 1;
            }
        }
        assert!(kinds[0] > 10 && kinds[1] > 0, "{kinds:?}");
    }
}

/// Not a test of its own: the process that is ended.
#[test]
fn victim() {
    let Ok(words) = std::env::var("LAZARR_EDITING_VICTIM") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [other, to, n, no_exchange] = words[..] else { panic!("{words:?}") };
    let fault = nth(n.parse().unwrap(), || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        Ok(())
    });
    run(other.as_ref(), to.as_ref(), fault.0, no_exchange == "true").unwrap();
}

#[test]
fn killed_changes_harm_nothing() {
    let _alone = common::alone();
    let every = std::env::var_os("LAZARR_EVERY").is_some();
    for no_exchange in [false, true] {
        let stage = Stage::new(3);
        stage.reset();
        let (fault, count) = nth(0, || Ok(()));
        run(&stage.other(), &stage.to(), fault, no_exchange).unwrap();
        let all = count.load(SeqCst);
        for n in (1..=all).filter(|n| every || n % 41 == 0 || all - n < 5) {
            stage.reset();
            let before = files(&stage.to());
            let words = format!("{}|{}|{n}|{no_exchange}", stage.other().display(), stage.to().display());
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "edits::victim", "--quiet"])
                .env("LAZARR_EDITING_VICTIM", words)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(!status.success());
            // Opening alone ends what a journal announces.
            drop_it(object(&stage.to()));
            kept(&before, &stage.to());
            stage.judge(false, &format!("killed at operation {n} of {all}, {no_exchange}"));
        }
    }
}
