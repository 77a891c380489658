//! A zip archive: its directory, and every entry.

use std::sync::Arc;

use lazarr_format::{Code, Error};
use lazarr_store::{ByteRange, MemoryStore, Store, ZipLimits, ZipStore};

const LIMITS: ZipLimits = ZipLimits { entries: 200, directory_bytes: 1 << 16, inflated_bytes: 1 << 18 };

/// The most that one read may take.
const MOST: u64 = 1 << 20;

/// The archive as it is.
pub fn zip_directory(data: &[u8]) {
    let mut inner = MemoryStore::default();
    inner.insert("a.zip", data);
    let Ok(store) = ZipStore::over(Arc::new(inner), "a.zip", "a.zip", "", &LIMITS) else { return };
    let mut folders = vec![String::new()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let listing = store.list(&folder, &mut |_| Ok(())).unwrap().unwrap();
        let join = |name: &String| if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        for name in listing.folders.iter().chain(&listing.files) {
            assert!(!matches!(name.as_str(), "" | "." | "..") && !name.contains('/'), "{name:?}");
            seen += 1;
        }
        // Names of folders come from names of entries, whose bytes are in the directory.
        assert!(seen <= data.len());
        listing.files.iter().for_each(|name| read(&store, &join(name)));
        folders.extend(listing.folders.iter().map(join));
    }
    assert!(store.size("no/such/key", &mut |_| Ok(())).unwrap().is_none());
}

fn get(store: &ZipStore, key: &str, range: &ByteRange) -> Result<Option<Vec<u8>>, Error> {
    let (mut out, mut taken) = (Vec::new(), 0u64);
    let reserve = &mut |n: u64| {
        taken = taken.saturating_add(n);
        if taken <= MOST { Ok(()) } else { Err(Error::new(Code::MemoryLimit, "too much")) }
    };
    let found = store.get(key, range, reserve, &mut out)?;
    assert!(out.len() as u64 <= taken, "{} bytes came, {taken} were announced", out.len());
    Ok(found.map(|_| out))
}

fn read(store: &ZipStore, key: &str) {
    let Ok(Some(size)) = store.size(key, &mut |_| Ok(())) else { return };
    let Ok(whole) = get(store, key, &ByteRange::All) else { return };
    let whole = whole.unwrap();
    assert_eq!(whole.len() as u64, size, "{key}");
    let (a, b) = (size / 3, size - size / 4);
    for (range, part) in
        [(ByteRange::Range(a..b.max(a)), a..b.max(a)), (ByteRange::Suffix(size / 2), size - size / 2..size)]
    {
        if let Ok(Some(bytes)) = get(store, key, &range) {
            assert_eq!(bytes, whole[part.start as usize..part.end as usize], "{key} {range:?}");
        }
    }
}
