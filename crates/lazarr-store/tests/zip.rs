//! Archives as stores: what is well made is read where it is, what lies is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use lazarr_format::{Code, Error, Result};
use lazarr_store::{ByteRange, Io, MemoryStore, Store, ZipLimits, ZipStore};
use lazarr_testkit::{Wrapped, Zip, ZipItem};
use proptest::prelude::*;

fn memory(bytes: Vec<u8>) -> Arc<dyn Store> {
    let mut store = MemoryStore::default();
    store.insert("a.zip", bytes);
    Arc::new(store)
}

fn open_in(inner: Arc<dyn Store>, inside: &str) -> Result<ZipStore> {
    ZipStore::over(inner, "a.zip", "a.zip", inside, &ZipLimits::default())
}

fn open(zip: &Zip) -> Result<ZipStore> {
    open_in(memory(zip.bytes()), "")
}

fn read(store: &ZipStore, key: &str, range: &ByteRange) -> Result<Option<Vec<u8>>> {
    let mut out = b"kept".to_vec();
    let found = store.get(key, range, &mut |_| Ok(()), &mut out)?;
    assert!(out.starts_with(b"kept"));
    Ok(found.map(|_| out[4..].to_vec()))
}

fn all(store: &ZipStore, key: &str) -> Result<Vec<u8>> {
    Ok(read(store, key, &ByteRange::All)?.unwrap())
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.map_err(|e| e.code()).unwrap_err()
}

fn long() -> Vec<u8> {
    (0..5000u32).flat_map(|i| (i * i / 7).to_le_bytes()).collect()
}

/// Entries as a store has them: short and long, stored and deflated, empty.
fn sample() -> Zip {
    Zip {
        items: vec![
            ZipItem::new("zarr.json", b"{}", false),
            ZipItem::new("X/", b"", false),
            ZipItem::new("X/zarr.json", b"{\"a\": 1}", true),
            ZipItem::new("X/c/0", &long(), false),
            ZipItem::new("X/c/1", &long(), true),
            ZipItem::new("X/c/2", b"", true),
            ZipItem::new("X-ray/\u{e9}", b"1", false),
            ZipItem::new("X/empty", b"", false),
        ],
        ..Zip::default()
    }
}

#[test]
fn entries_are_values() {
    let variants = [
        sample(),
        Zip { zip64: true, ..sample() },
        Zip { prefix: vec![b'#'; 700], ..sample() },
        Zip { comment: b"made by PK\x05\x06 hand".to_vec(), ..sample() },
        Zip { gap: 100, ..sample() },
        Zip { gap: 70_000, zip64: true, prefix: vec![0; 9], ..sample() },
    ];
    for zip in variants {
        let store = open(&zip).unwrap();
        for item in zip.items.iter().filter(|i| !i.name.ends_with(b"/")) {
            let (key, data) = (std::str::from_utf8(&item.name).unwrap(), &item.data);
            for _ in 0..2 {
                assert_eq!(all(&store, key).unwrap(), *data, "{key}");
            }
            assert_eq!(store.size(key, &mut |_| Ok(())).unwrap(), Some(data.len() as u64));
            let n = data.len() as u64;
            for (a, b) in [(0, n), (n / 3, n / 2), (n, n), (0, 0)] {
                let range = ByteRange::Range(a..b);
                assert_eq!(read(&store, key, &range).unwrap().unwrap(), data[a as usize..b as usize]);
            }
            let last = &data[data.len().saturating_sub(10)..];
            assert_eq!(read(&store, key, &ByteRange::Suffix(10)).unwrap().unwrap(), last);
            assert_eq!(code(read(&store, key, &ByteRange::Range(n..n + 1))), Code::ChunkLength);
        }
        for absent in ["", "X", "X/", "X/c/3", "zarr.jso", "zarr.json/"] {
            assert_eq!(read(&store, absent, &ByteRange::All).unwrap(), None, "{absent}");
            assert_eq!(store.size(absent, &mut |_| Ok(())).unwrap(), None);
        }
        let names = |prefix: &str| store.list(prefix, &mut |_| Ok(())).unwrap().unwrap();
        assert_eq!((names("").folders, names("").files), (strings(&["X", "X-ray"]), strings(&["zarr.json"])));
        assert_eq!(
            (names("X").folders, names("X").files),
            (strings(&["c"]), strings(&["empty", "zarr.json"]))
        );
        assert_eq!(names("X/c").files, strings(&["0", "1", "2"]));
        assert!(names("nowhere").files.is_empty());
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

#[test]
fn stored_entries_are_read_by_range_and_deflated_ones_once() {
    let inner = Wrapped::new(MemoryStore::default());
    let big = vec![7; 1 << 20];
    let zip =
        Zip { items: vec![ZipItem::new("a", &big, false), ZipItem::new("b", &big, true)], ..Zip::default() };
    inner.change(|s| s.insert("a.zip", zip.bytes()));
    let store = open_in(inner.clone(), "").unwrap();
    assert_eq!(inner.count(), 1, "the directory is in the tail");
    let io = Io::new(Arc::new(store));
    let mut out = Vec::new();
    let read = |key: &str, out: &mut Vec<u8>| {
        io.get(key, &ByteRange::Range(10..20), &mut |_| Ok(()), out).unwrap().unwrap()
    };
    read("a", &mut out);
    read("a", &mut out);
    assert_eq!(inner.count(), 4, "a header, and two ranges");
    assert_eq!(inner.reads()[3].1, ByteRange::Range(31 + 10..31 + 20));
    (0..5).for_each(|_| {
        read("b", &mut out);
    });
    assert_eq!(inner.count(), 5, "inflated once");
    assert_eq!((out.len(), io.meter().bytes()), (70, 70));
}

#[test]
fn what_is_inflated_is_reserved_first() {
    let zip = Zip { items: vec![ZipItem::new("b", &vec![7; 1 << 20], true)], ..Zip::default() };
    let store = open(&zip).unwrap();
    for range in [ByteRange::All, ByteRange::Suffix(5)] {
        let mut out = Vec::new();
        let refuse = |n: u64| if n < 1 << 20 { Ok(()) } else { Err(Error::new(Code::MemoryLimit, "no")) };
        let e = store.get("b", &range, &mut { refuse }, &mut out).unwrap_err();
        assert_eq!((e.code(), out.capacity()), (Code::MemoryLimit, 0));
    }
    let limits = ZipLimits { inflated_bytes: 1000, ..ZipLimits::default() };
    let store = ZipStore::over(memory(zip.bytes()), "a.zip", "a.zip", "", &limits).unwrap();
    assert_eq!(code(all(&store, "b")), Code::MetadataLimit);
}

#[test]
fn the_store_may_be_a_folder_of_the_archive() {
    let mut zip = sample();
    zip.items.iter_mut().for_each(|i| i.name = [b"adata.zarr/", &*i.name].concat());
    zip.items.push(ZipItem::new("__MACOSX/._adata.zarr", b"?", true));
    let bytes = zip.bytes();
    let open = |inside: &str| open_in(memory(bytes.clone()), inside);
    for inside in ["", "adata.zarr", "/adata.zarr/"] {
        assert_eq!(all(&open(inside).unwrap(), "X/c/0").unwrap(), long());
    }
    for inside in ["X", "adata.zarr/X"] {
        let store = open(inside).unwrap();
        assert_eq!(all(&store, "c/0").unwrap(), long());
        assert_eq!(store.list("", &mut |_| Ok(())).unwrap().unwrap().folders, strings(&["c"]));
        assert_eq!(store.name(), format!("a.zip/{inside}"));
    }
    assert_eq!(code(open("Y")), Code::StoreNotFound);
    // Two stores: one must be named.
    zip.items.push(ZipItem::new("other.zarr/.zgroup", b"{}", true));
    assert_eq!(code(self::open(&zip)), Code::StoreNotFound);
    assert!(open_in(memory(zip.bytes()), "other.zarr").is_ok());
    assert!(open_in(memory(zip.bytes()), "adata.zarr/X").is_ok());
}

#[test]
fn documents_that_were_written_twice_are_the_last() {
    let mut zip = sample();
    zip.items.push(ZipItem::new("X/zarr.json", b"second", false));
    zip.items.push(ZipItem::new("X/zarr.json", b"third", true));
    assert_eq!(all(&open(&zip).unwrap(), "X/zarr.json").unwrap(), b"third");
    zip.items.push(ZipItem::new("X/c/0", b"second", false));
    let e = open(&zip).unwrap_err();
    assert_eq!((e.code(), e.key_name()), (Code::Archive, Some("X/c/0")));
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in [
        "../x",
        "a/../x",
        "/etc/passwd",
        "a\\b",
        "..\\x",
        "C:/x",
        "C:x",
        "a\0b",
        "a//b",
        "a/./b",
        "/",
        "a//",
        "..",
        "a/..",
        "../",
        "./../x",
    ] {
        let mut zip = sample();
        zip.items.push(ZipItem::new(name, b"", false));
        assert_eq!(code(open(&zip)), Code::StoreEscape, "{name:?}");
    }
    let mut zip = sample();
    zip.items.extend(["./", "./dotted", "..a/b", "a/b:c"].map(|n| ZipItem::new(n, b"!", false)));
    zip.items.push(ZipItem { name: b"no\xffutf8".to_vec(), ..ZipItem::default() });
    let store = open(&zip).unwrap();
    for key in ["dotted", "..a/b", "a/b:c"] {
        assert_eq!(all(&store, key).unwrap(), b"!");
        assert_eq!(read(&store, key, &ByteRange::Suffix(9)).unwrap().unwrap(), b"!");
    }
}

/// The archive with one entry `bad`, and others that stay readable.
fn with(item: ZipItem) -> Zip {
    let mut zip = sample();
    zip.items.insert(3, ZipItem { name: b"bad".to_vec(), ..item });
    zip
}

#[test]
fn entries_that_cannot_be_read_say_why_and_leave_the_others() {
    let item = |deflate| ZipItem::new("", &long(), deflate);
    let n = long().len() as u64;
    let cases = [
        (Code::CodecUnknown, ZipItem { method: Some(12), ..item(false) }),
        (Code::CodecUnknown, ZipItem { flags: 1, ..item(true) }),
        (Code::CodecUnknown, ZipItem { flags: 1 << 5, ..item(true) }),
        (Code::StoreEscape, ZipItem { mode: 0o120_777, ..item(false) }),
        (Code::ChunkChecksum, ZipItem { crc: Some(1), ..item(false) }),
        (Code::ChunkChecksum, ZipItem { crc: Some(1), ..item(true) }),
        (Code::Archive, ZipItem { size: Some(n + 1), ..item(false) }),
        (Code::Archive, ZipItem { size: Some(n - 1), ..item(false) }),
        (Code::ChunkLength, ZipItem { size: Some(n + 1), ..item(true) }),
        (Code::ChunkDecode, ZipItem { size: Some(n - 1), ..item(true) }),
        (Code::Archive, ZipItem { size: Some(0xf000_0000), ..item(true) }),
        (Code::ChunkDecode, ZipItem { method: Some(8), ..item(false) }),
        (Code::Archive, ZipItem { local_name: Some(b"dab".to_vec()), ..item(false) }),
        (Code::Archive, ZipItem { local_name: Some(b"longer".to_vec()), ..item(true) }),
    ];
    for (expected, item) in cases {
        let what = format!("{:?}", ZipItem { data: vec![], ..item.clone() });
        let store = open(&with(item)).unwrap_or_else(|e| panic!("{what}: {e}"));
        let e = all(&store, "bad").unwrap_err();
        assert_eq!((e.code(), e.key_name()), (expected, Some("bad")), "{what}: {e}");
        assert_eq!(all(&store, "X/c/0").unwrap(), long());
        assert_eq!(all(&store, "X/c/1").unwrap(), long());
    }
    // Sizes that follow the bytes are zero in the header: the directory has them.
    let mut bytes =
        Zip { items: vec![ZipItem { flags: 8, ..ZipItem::new("a", b"abc", false) }], ..Zip::default() };
    let store = open(&bytes).unwrap();
    assert_eq!(all(&store, "a").unwrap(), b"abc");
    bytes.items[0].flags = 0;
    let mut raw = bytes.bytes();
    raw[18] = 9; // the header alone
    assert_eq!(code(all(&open_in(memory(raw), "").unwrap(), "a")), Code::Archive);
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let overlap = |offset: u64| {
        let mut zip = sample();
        zip.items[4].offset = Some(offset);
        zip
    };
    let own = {
        let zip = sample();
        let header = |i: &ZipItem| 30 + i.name.len() as u64 + if i.deflate { 0 } else { i.data.len() as u64 };
        header(&zip.items[0])
    };
    let cases = [
        overlap(0),
        overlap(own),
        overlap(own + 5),
        overlap(0xf000_0000),
        with(ZipItem { packed: Some(0xf000_0000), ..ZipItem::new("", b"x", false) }),
        with(ZipItem { packed: Some(100_000), size: Some(100_000), ..ZipItem::new("", b"x", false) }),
        Zip { count: Some(3), ..sample() },
        Zip { count: Some(300), ..sample() },
        Zip { count: Some(u64::from(u32::MAX)), zip64: true, ..sample() },
        Zip { count: Some(u64::MAX), zip64: true, ..sample() },
        Zip {
            items: vec![ZipItem { packed: Some(u64::MAX), ..ZipItem::new("a", b"", true) }],
            zip64: true,
            ..Zip::default()
        },
    ];
    for zip in cases {
        let code = code(open(&zip));
        assert!(matches!(code, Code::Archive | Code::MetadataLimit), "{code:?}");
    }
    let mut after = sample().bytes();
    after.extend(b"more");
    assert_eq!(code(open_in(memory(after), "")), Code::Archive);
    // A comment that is an end itself.
    let inner = Zip::default().bytes();
    assert_eq!(code(open(&Zip { comment: inner, ..sample() })), Code::Archive);
    for bytes in [vec![], b"PK".to_vec(), vec![0; 100_000], b"PK\x05\x06".to_vec()] {
        assert_eq!(code(open_in(memory(bytes), "")), Code::Archive);
    }
    let limits = ZipLimits { entries: 2, ..ZipLimits::default() };
    let e = ZipStore::over(memory(sample().bytes()), "a.zip", "a.zip", "", &limits).unwrap_err();
    assert_eq!(e.code(), Code::MetadataLimit);
    assert_eq!(code(ZipStore::over(memory(vec![]), "b.zip", "b.zip", "", &limits)), Code::StoreNotFound);
}

#[test]
fn a_store_without_its_root_is_not_one_of_its_elements() {
    let mut zip = sample();
    zip.items.remove(0);
    let e = open_in(memory(zip.bytes()), "").unwrap_err();
    assert_eq!(e.code(), Code::StoreNotFound);
    assert!(e.to_string().contains("archive.zip/X"), "{e}");
    assert!(open_in(memory(zip.bytes()), "X").is_ok());
    // An archive of one folder is that folder.
    zip.items.retain(|item| item.name.starts_with(b"X/"));
    zip.items.push(ZipItem::new("__MACOSX/._X", b"1", false));
    assert_eq!(all(&open_in(memory(zip.bytes()), "").unwrap(), "c/0").unwrap(), long());
}

#[test]
fn a_cut_anywhere_is_an_error_at_open() {
    for zip in [sample(), Zip { zip64: true, comment: b"comment".to_vec(), ..sample() }] {
        let mut zip = zip;
        zip.items[3].data.truncate(90);
        zip.items[4].data.truncate(90);
        let bytes = zip.bytes();
        for cut in 0..bytes.len() {
            assert_eq!(code(open_in(memory(bytes[..cut].to_vec()), "")), Code::Archive, "{cut}");
        }
        // Of a zip64 archive the last record alone says sizes that no archive has.
        for cut in 1..bytes.len() {
            let code = code(open_in(memory(bytes[cut..].to_vec()), ""));
            assert!(matches!(code, Code::Archive | Code::MetadataLimit), "from {cut}: {code:?}");
        }
    }
}

#[test]
fn an_archive_that_was_replaced_is_not_read() {
    let inner = Wrapped::new(MemoryStore::default());
    inner.change(|s| s.insert("a.zip", sample().bytes()));
    let store = open_in(inner.clone(), "").unwrap();
    let mut zip = sample();
    zip.items[3].data[0] ^= 1;
    inner.change(|s| s.insert("a.zip", zip.bytes()));
    assert_eq!(code(all(&store, "X/c/0")), Code::StoreChanged);
    inner.change(|s| drop(s.remove("a.zip")));
    assert_eq!(code(all(&store, "X/c/1")), Code::StoreChanged);
}

#[test]
fn a_file_is_opened_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.zip");
    std::fs::write(&path, sample().bytes()).unwrap();
    let store = ZipStore::open(&path, "X", &ZipLimits::default()).unwrap();
    assert_eq!(all(&store, "c/1").unwrap(), long());
    assert_eq!(store.name(), path.join("X").display().to_string());
    let e = ZipStore::open(dir.path().join("y.zip"), "", &ZipLimits::default()).unwrap_err();
    assert_eq!(e.code(), Code::StoreNotFound);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage anywhere: each value is what was written, or absent, or an error; never another.
    #[test]
    fn damage_is_never_silent(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
        zip64 in any::<bool>(),
        cut in prop::option::of((any::<prop::sample::Index>(), 0usize..40)),
    ) {
        let mut zip = Zip { zip64, ..sample() };
        // With one folder alone, that would be the store once the name of the root's document is lost.
        zip.items.push(ZipItem::new("obs/zarr.json", b"{}", false));
        zip.items[3].data.truncate(60);
        zip.items[4].data.truncate(60);
        let mut bytes = zip.bytes();
        let whole = bytes.len();
        for (at, value, late) in edits {
            // Half of them in the directory and its end.
            let from = if late { whole / 2 } else { 0 };
            let at = from + at.index(whole - from);
            bytes[at] = value;
        }
        if let Some((at, len)) = cut {
            let at = at.index(whole);
            bytes.drain(at..(at + len).min(whole));
        }
        if let Ok(store) = open_in(memory(bytes), "") {
            for item in &zip.items {
                let key = std::str::from_utf8(&item.name).unwrap();
                if let Ok(Some(value)) = read(&store, key, &ByteRange::All) {
                    prop_assert_eq!(&value, &item.data, "{}", key);
                }
                let _ = read(&store, key, &ByteRange::Range(1..30));
                let _ = read(&store, key, &ByteRange::Suffix(7));
            }
            let _ = store.list("", &mut |_| Ok(()));
        }
    }

    /// Anything at all.
    #[test]
    fn noise_is_no_archive(mut bytes in prop::collection::vec(any::<u8>(), 0..300), end in any::<bool>()) {
        if end {
            let len = bytes.len() as u32;
            bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
            bytes.extend(len.to_le_bytes());
            bytes.extend([0; 6]);
        }
        let _ = open_in(memory(bytes), "");
    }
}
