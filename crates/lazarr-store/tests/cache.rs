//! What was read from a store over a network, on the local disk.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lazarr_format::Code;
use lazarr_store::{ByteRange, Found, RemoteStore, Store, StoreOptions};
use lazarr_testkit::Server;

fn bytes() -> Vec<u8> {
    (0..5000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn server() -> Server {
    let values = (0..40).map(|i| (format!("a/{i}"), bytes())).chain([("a/none".to_owned(), Vec::new())]);
    Server::new(&values.collect::<BTreeMap<_, _>>())
}

fn open_at(url: &str, cache: &Path, more: &[(&str, &str)]) -> RemoteStore {
    let cache = cache.to_str().unwrap();
    let words = [("cache_dir", cache), ("read_timeout", "30s"), ("retry_timeout", "60s")];
    RemoteStore::open(url, &StoreOptions::new(words.iter().chain(more).copied())).unwrap()
}

fn open(server: &Server, cache: &Path) -> RemoteStore {
    open_at(&server.url("a"), cache, &[])
}

fn get(store: &RemoteStore, key: &str, range: &ByteRange) -> (Vec<u8>, Found) {
    let mut out = b"before".to_vec();
    let found = store.get(key, range, &mut |_| Ok(()), &mut out).unwrap().unwrap();
    (out.split_off(6), found)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { out.extend(files(&entry.path())) } else { out.push(entry.path()) }
    }
    out
}

fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|f| fs::metadata(f).unwrap().len()).sum()
}

#[test]
fn what_was_read_is_not_read_again() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let store = open(&server, folder.path());
    assert!(!store.cached("1", &ByteRange::Range(100..300)));
    assert!(!get(&store, "1", &ByteRange::Range(0..200)).1.cached);
    assert!(!get(&store, "1", &ByteRange::Range(150..900)).1.cached);
    assert!(!get(&store, "1", &ByteRange::Suffix(64)).1.cached);
    assert_eq!(server.take().len(), 3);
    // In the same session the value is known; in another it is asked once whether it is the same, without bytes.
    for (store, asked) in [(store, 0), (open(&server, folder.path()), 1)] {
        for (range, expected) in [
            (ByteRange::Range(100..800), &bytes()[100..800]),
            (ByteRange::Range(0..900), &bytes()[..900]),
            (ByteRange::Suffix(60), &bytes()[20_000 - 60..]),
        ] {
            assert!(store.cached("1", &range));
            let (got, found) = get(&store, "1", &range);
            assert_eq!((got.as_slice(), found.total, found.cached), (expected, Some(20_000), true));
        }
        let asks = server.take();
        assert_eq!(asks.len(), asked);
        assert!(asks.iter().all(|a| a.headers["if-none-match"] == "\"20000-0\""));
        // What is not covered is read.
        for range in [ByteRange::All, ByteRange::Range(800..901), ByteRange::Suffix(65)] {
            assert!(!store.cached("1", &range), "{range:?}");
        }
        assert!(!store.cached("2", &ByteRange::Range(0..1)));
    }
    assert_eq!(get(&open(&server, folder.path()), "none", &ByteRange::All).0, b"");
}

#[test]
fn a_value_that_was_replaced_is_read_again_and_its_old_bytes_go() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let store = open(&server, folder.path());
    get(&store, "1", &ByteRange::Range(0..200));
    get(&store, "1", &ByteRange::Range(500..600));
    server.replace("a/1", vec![7; 20_000]);
    let again = open(&server, folder.path());
    let (got, found) = get(&again, "1", &ByteRange::Range(0..200));
    assert_eq!((got, found.cached), (vec![7; 200], false));
    assert!(!again.cached("1", &ByteRange::Range(500..600)));
    assert_eq!(files(folder.path()).len(), 1);
    assert!(get(&again, "1", &ByteRange::Range(50..60)).1.cached);
    // Who has read the old state never gets bytes of the new one.
    let e = store.get("1", &ByteRange::Range(0..200), &mut |_| Ok(()), &mut Vec::new()).unwrap_err();
    assert_eq!(e.code(), Code::StoreChanged);
}

#[test]
fn a_value_without_a_strong_tag_is_not_kept() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.tagless();
    for _ in 0..2 {
        assert!(!get(&open(&server, folder.path()), "1", &ByteRange::All).1.cached);
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn damaged_files_are_noticed_and_mended() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    get(&open(&server, folder.path()), "1", &ByteRange::All);
    let file = files(folder.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    // Every part of the head, a bit of the bytes, cut anywhere, longer, empty.
    let flipped = (0..whole.len()).step_by(if whole.len() > 100 { 997 } else { 1 }).chain(0..60);
    let mut damaged: Vec<Vec<u8>> = flipped
        .map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 16;
            bytes
        })
        .collect();
    damaged.extend([0, 1, 7, 30, 45, 60, 10_000, whole.len() - 1].map(|n| whole[..n].to_vec()));
    damaged.push([&*whole, b"more"].concat());
    for bytes_of_file in damaged {
        fs::write(&file, bytes_of_file).unwrap();
        let store = open(&server, folder.path());
        for _ in 0..2 {
            let (got, _) = get(&store, "1", &ByteRange::Range(10..19_000));
            assert!(got == bytes()[10..19_000]);
        }
        for left in files(folder.path()) {
            fs::remove_file(left).unwrap();
        }
    }
}

#[test]
fn the_folder_never_grows_beyond_its_bound() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let most = 100_000;
    let store = open_at(&server.url("a"), folder.path(), &[("cache_bytes", "100KB")]);
    // Something of somebody else's, and what a process has left behind that has ended.
    fs::write(folder.path().join("mine"), b"mine").unwrap();
    for i in 0..40 {
        assert_eq!(get(&store, &i.to_string(), &ByteRange::All).0, bytes());
        assert!(size(&folder.path().join("lazarr-cache-1")) <= most);
        assert!(store.cached(&i.to_string(), &ByteRange::All), "what was read last is there");
    }
    assert!(!store.cached("0", &ByteRange::All));
    assert!(folder.path().join("mine").exists());
    // What would be most of the folder is not kept.
    let small = open_at(&server.url("a"), folder.path(), &[("cache_bytes", "30KB")]);
    get(&small, "1", &ByteRange::All);
    assert!(!small.cached("1", &ByteRange::All));
}

#[test]
fn secrets_do_not_go_to_the_disk() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let url = server.url("a?sig=hush1").replace("http://", "http://user:hush2@");
    let store = open_at(&url, folder.path(), &[("header.X-Key", "hush3")]);
    get(&store, "1", &ByteRange::Range(0..100));
    let all = files(folder.path());
    assert_eq!(all.len(), 1);
    for file in all {
        let text = format!("{} {}", file.display(), String::from_utf8_lossy(&fs::read(&file).unwrap()));
        assert!(!text.contains("hush") && !text.contains("user") && !text.contains("127.0.0.1"));
    }
}

/// A server may answer by the query, by who asks, by any header, and give equal tags to what differs.
#[test]
fn who_asks_otherwise_does_not_get_what_another_has_read() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let url = server.url("a");
    let user = url.replace("http://", "http://user:pass@");
    let query = format!("{url}?tenant=2");
    let ways: [(&str, &[(&str, &str)]); 5] = [
        (&url, &[]),
        (&user, &[]),
        (&query, &[]),
        (&url, &[("header.X-Project", "1")]),
        (&url, &[("header.X-Project", "2")]),
    ];
    for (url, words) in ways {
        let range = ByteRange::Range(0..100);
        assert!(!get(&open_at(url, folder.path(), words), "1", &range).1.cached, "{url} {words:?}");
        assert!(get(&open_at(url, folder.path(), words), "1", &range).1.cached, "{url} {words:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = StoreOptions::new([("cache_dir", file.path().to_str().unwrap())]);
    let e = RemoteStore::open("http://localhost/a", &options).unwrap_err();
    assert_eq!(e.code(), Code::StoreUrl);
    let options = StoreOptions::new([("cache_dir", "x"), ("cache_bytes", "much")]);
    assert_eq!(RemoteStore::open("http://localhost/a", &options).unwrap_err().code(), Code::StoreUrl);
}

const CHILD: &str = "LAZARR_TEST_CACHE_CHILD";

/// Reads everything twice, in an order of its own; what it gets is always right.
fn reader(url: &str, cache: &Path, seed: u64) {
    let store = open_at(url, cache, &[("cache_bytes", "200KB")]);
    for i in 0..80u64 {
        let key = ((i * 7 + seed * 3) % 40).to_string();
        let start = (i * 331 + seed * 17) % 15_000;
        let (got, _) = get(&store, &key, &ByteRange::Range(start..start + 4000));
        assert!(got == bytes()[start as usize..start as usize + 4000]);
    }
}

/// Run by the test below, in processes of its own.
#[test]
fn child() {
    let Some(told) = std::env::var_os(CHILD) else { return };
    let told = told.into_string().unwrap();
    let mut words = told.splitn(3, ' ');
    let (seed, url) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
    reader(url, Path::new(words.next().unwrap()), seed);
}

#[test]
fn processes_share_a_folder() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let url = server.url("a");
    let children: Vec<_> = (0..3)
        .map(|seed| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "child"]);
            command.env(CHILD, format!("{seed} {url} {}", folder.path().display()));
            command.spawn().unwrap()
        })
        .collect();
    reader(&url, folder.path(), 9);
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    // Each may be a sixteenth beyond, since it does not know at once what the others write.
    let bytes = size(folder.path());
    assert!(bytes <= 200_000 + 4 * (200_000 / 16 + 4_100), "{bytes}");
    assert!(bytes > 20_000, "{bytes}");
}
