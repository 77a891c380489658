//! Drafts in a bucket that are taken up.

use lazarr_format::{Code, Error};

use super::super::claim::LOCK;
use super::super::draft::tests::{Bucket, code};
use super::super::far::wait;
use super::*;
use crate::draft::Draft;

/// A draft of which `X` is finished, and `Y` is under way.
fn begun(bucket: &Bucket, overwrite: bool) {
    let draft = bucket.resume(overwrite, "this").unwrap();
    let journal = draft.journal().unwrap();
    assert!(journal.found().is_empty() && journal.syncs() && journal.points().is_none());
    draft.put("X/c/0", b"data").unwrap();
    draft.put("X/c/1", b"more").unwrap();
    journal.add("X is done").unwrap();
    draft.put("Y/c/0", b"half").unwrap();
}

#[test]
fn what_is_done_stays() {
    for overwrite in [false, true] {
        let bucket = Bucket::new();
        if overwrite {
            bucket.put("zarr.json", b"{old}");
            bucket.put("X/c/2", b"old");
        }
        begun(&bucket, overwrite);
        let old: &[&str] = if overwrite { &["X/c/2"] } else { &[] };
        let left = [&[LOCK, LOG, "X/c/0", "X/c/1"], old, &["Y/c/0"]].concat();
        assert_eq!(bucket.keys(), left);
        let mut draft = bucket.resume(overwrite, "this").unwrap();
        let journal = draft.journal().unwrap();
        assert_eq!(journal.found(), ["X is done"]);
        let mut files = journal.files("X").unwrap();
        files.sort();
        let expected = [("c/0", 4), ("c/1", 4), ("c/2", 3)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(files, expected[..2 + usize::from(overwrite)]);
        if overwrite {
            journal.remove("X/c/2").unwrap();
        }
        draft.clear("Y").unwrap();
        assert!(!bucket.keys().contains(&"Y/c/0".to_owned()));
        draft.put("Y/c/1", b"whole").unwrap();
        draft.put("zarr.json", b"{new}").unwrap();
        draft.publish().unwrap();
        drop(draft);
        assert_eq!(bucket.keys(), ["X/c/0", "X/c/1", "Y/c/1", "zarr.json"]);
        assert_eq!(bucket.value("X/c/0"), b"data");
    }
}

#[test]
fn what_nobody_looks_at_does_not_stay() {
    let bucket = Bucket::new();
    begun(&bucket, false);
    let mut draft = bucket.resume(false, "this").unwrap();
    draft.put("Z/c/0", b"z").unwrap();
    draft.put("zarr.json", b"{new}").unwrap();
    draft.publish().unwrap();
    drop(draft);
    assert_eq!(bucket.keys(), ["Z/c/0", "zarr.json"]);
}

#[test]
fn nothing_is_left_where_nothing_is_done() {
    let bucket = Bucket::new();
    let draft = bucket.resume(false, "this").unwrap();
    draft.put("X/c/0", b"data").unwrap();
    drop(draft);
    assert!(bucket.keys().is_empty());
}

#[test]
fn another_request_is_refused_and_a_writer_that_does_not_ask_clears() {
    let bucket = Bucket::new();
    begun(&bucket, false);
    let left = bucket.keys();
    assert_eq!(code(bucket.resume(false, "that")), Code::NotResumed);
    assert_eq!(bucket.keys(), left);
    // Ended twice.
    drop(bucket.resume(false, "this").unwrap());
    assert_eq!(bucket.keys(), left);
    let draft = bucket.begin(false).unwrap();
    draft.put("X/c/0", b"anew").unwrap();
    drop(draft);
    assert!(!bucket.keys().contains(&LOG.to_owned()));
    // What is left stays the next one's, whoever looks at it.
    drop(bucket.begin(false).unwrap());
    let draft = bucket.resume(false, "this").unwrap();
    assert!(draft.journal().unwrap().found().is_empty());
}

#[test]
fn a_store_that_somebody_has_put_meanwhile_is_not_gone_on_with() {
    let bucket = Bucket::new();
    begun(&bucket, false);
    bucket.put("zarr.json", b"{theirs}");
    assert_eq!(code(bucket.resume(false, "this")), Code::StoreExists);
    let draft = bucket.resume(true, "this").unwrap();
    assert!(draft.journal().unwrap().found().is_empty());
}

#[test]
fn a_line_is_noted_after_what_it_speaks_of() {
    let bucket = Bucket::new();
    let draft = bucket.resume(false, "this").unwrap();
    let journal = draft.journal().unwrap();
    draft.put("X/c/0", b"data").unwrap();
    journal.add("X is done").unwrap();
    journal.sync().unwrap();
    let noted = bucket.value(LOG);
    draft.put("Y/c/0", b"data").unwrap();
    journal.add("Y is done").unwrap();
    wait(draft.far.drain()).unwrap();
    draft.far.fail(Error::new(Code::WriteIo, "a value could not be put"));
    assert_eq!(code(journal.sync()), Code::WriteIo);
    // The error is told once, and holds on.
    assert!(journal.sync().is_err());
    drop(draft);
    assert_eq!(bucket.value(LOG), noted);
    let (lines, _) = lines(&noted);
    assert_eq!(lines, ["this", "X is done"]);
}
