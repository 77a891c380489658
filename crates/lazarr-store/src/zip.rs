//! A zip archive as a store, read where it is.
//!
//! Entries that are stored are read by range, as the files of a directory would be. Deflated entries have no inside: each
//! is inflated as a whole, and the last one is kept (up to 64 MiB), for the chunks of one shard are asked one after the
//! other. Shards in a deflated archive therefore cost their whole length; whoever writes an archive should store.

mod directory;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazarr_format::metadata::{Limit, Limits};
use lazarr_format::{Code, Error, Result};

use crate::local::LocalStore;
use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};
use directory::{Directory, Entry, Method, TAIL, broken, u16_at, u32_at, widen};

pub use directory::ZipLimits;

/// An inflated entry is kept up to this many bytes.
const KEEP: u64 = 64 << 20;

/// So many bytes more are read where it is not known how long a header is.
const UNSURE: u64 = 4096;

/// Who waits for a header is asked so often whether to wait on.
const TICK: Duration = Duration::from_millis(20);

/// A read-only store in a zip archive, which is a value of another store.
#[derive(Debug)]
pub struct ZipStore {
    inner: Arc<dyn Store>,
    key: String,
    name: String,
    /// The archive must not change under its directory.
    version: Version,
    directory: Directory,
    /// The folder that is the store, with its slash; empty for all of it.
    root: String,
    limits: ZipLimits,
    /// The most that reading an entry takes beside its bytes.
    overhead: u64,
    /// The entry that was inflated last. Locked while an entry is inflated: its bytes are needed once, not once a thread.
    inflated: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl ZipStore {
    /// Opens an archive of the local file system. `inside` is a folder in it, or an element of the store in it; empty for
    /// the store itself, which may be the archive or the one folder at its top that holds a store.
    pub fn open(path: impl AsRef<Path>, inside: &str, limits: &ZipLimits) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let io = |e: std::io::Error| {
            let code =
                if e.kind() == std::io::ErrorKind::NotFound { Code::StoreNotFound } else { Code::StoreIo };
            Error::new(code, "the zip archive cannot be opened").key(&*shown).source(e)
        };
        // The archive itself may be a link: it is what the caller named.
        let real = std::fs::canonicalize(path).map_err(io)?;
        let name = std::path::absolute(path).map_err(io)?.display().to_string();
        let (Some(folder), Some(file)) = (real.parent(), real.file_name().and_then(|f| f.to_str())) else {
            return Err(Error::new(Code::StoreUrl, "the path is not the name of a zip archive").found(shown));
        };
        Self::over(Arc::new(LocalStore::open(folder)?), file, &name, inside, limits)
    }

    /// Opens the archive that is the value of `key`; `name` is what a person calls it, and `inside` as for
    /// [`ZipStore::open`]. Reads the directory, once.
    pub fn over(
        inner: Arc<dyn Store>,
        key: &str,
        name: &str,
        inside: &str,
        limits: &ZipLimits,
    ) -> Result<Self> {
        Self::over_waiting(inner, key, name, inside, limits, &mut |_| Ok(()))
    }

    /// The same; `wait` is told of what is read, and 0 while that is waited for.
    pub fn over_waiting(
        inner: Arc<dyn Store>,
        key: &str,
        name: &str,
        inside: &str,
        limits: &ZipLimits,
        wait: Reserve<'_>,
    ) -> Result<Self> {
        let named = |e: Error| e.key(key);
        let absent = || Error::new(Code::StoreNotFound, "there is no zip archive").key(key);
        let mut tail = Vec::new();
        let found = inner.get(key, &ByteRange::Suffix(TAIL), wait, &mut tail)?.ok_or_else(absent)?;
        let total = match found.total {
            Some(total) => total,
            None => inner.size(key, wait)?.ok_or_else(absent)?,
        };
        let place = directory::locate(&tail, total, limits).map_err(named)?;
        let base = total.saturating_sub(tail.len() as u64);
        let directory = if place.start >= base {
            let start = (place.start - base) as usize;
            let bytes = tail.get(start..start + place.len as usize);
            Directory::parse(bytes.ok_or_else(|| named(broken("the directory is cut")))?, &place)
        } else {
            let mut bytes = Vec::new();
            let range = ByteRange::Range(place.start..place.start + place.len);
            let again = inner.get(key, &range, wait, &mut bytes)?.ok_or_else(absent)?;
            if again.version != found.version {
                return Err(changed(key));
            }
            Directory::parse(&bytes, &place)
        }
        .map_err(|e| if e.key_name().is_some() { e } else { named(e) })?;
        let mut out = Self {
            inner,
            key: key.to_owned(),
            name: name.to_owned(),
            version: found.version,
            overhead: directory.entries.iter().map(overhead).max().unwrap_or(0),
            directory,
            root: String::new(),
            limits: *limits,
            inflated: Mutex::default(),
        };
        out.enter(inside.trim_matches('/'))?;
        Ok(out)
    }

    /// Chooses the folder that is the store.
    fn enter(&mut self, inside: &str) -> Result<()> {
        let exact = format!("{inside}/");
        if !inside.is_empty() && !self.directory.below(&exact).is_empty() {
            self.root = exact;
        } else {
            self.root = self.top()?;
            if !inside.is_empty() {
                self.root = format!("{}{exact}", self.root);
                if self.directory.below(&self.root).is_empty() {
                    return Err(Error::new(
                        Code::StoreNotFound,
                        format!("there is no `{inside}` in the zip archive `{}`", self.name),
                    ));
                }
            }
        }
        if !inside.is_empty() {
            self.name = format!("{}/{inside}", self.name);
        }
        Ok(())
    }

    /// The folder that holds the store: the archive itself, or the one folder that all of it is in. A store whose own
    /// metadata is lost must not open as one of its elements.
    fn top(&self) -> Result<String> {
        let is_store = |folder: &str| {
            ["zarr.json", ".zmetadata", ".zgroup", ".zarray"]
                .iter()
                .any(|file| self.directory.find(&format!("{folder}{file}")).is_some())
        };
        if is_store("") {
            return Ok(String::new());
        }
        let top = self.names("");
        // What macOS adds to an archive of one folder.
        let others = |name: &&String| !matches!(name.as_str(), "__MACOSX" | ".DS_Store");
        let alone =
            top.files.iter().filter(others).count() == 0 && top.folders.iter().filter(others).count() == 1;
        let folders = top.folders.into_iter().map(|f| f + "/").filter(|f| is_store(f));
        let mut folders: Vec<String> = folders.collect();
        match (folders.pop(), folders.pop()) {
            (Some(only), None) if alone => Ok(only),
            (Some(one), None) => {
                let one = one.trim_end_matches('/');
                Err(Error::new(
                    Code::StoreNotFound,
                    format!(
                        "the zip archive `{}` is not a store: there is no metadata at its top",
                        self.name
                    ),
                )
                .found(format!("a store `{one}` among other entries"))
                .help(format!("To open that one, name it: archive.zip/{one}")))
            }
            (Some(b), Some(a)) => {
                let (a, b) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
                Err(Error::new(
                    Code::StoreNotFound,
                    format!("there are several stores in the zip archive `{}`", self.name),
                )
                .found(format!("`{a}`, `{b}`, …"))
                .help("Name one of them: archive.zip/store.zarr"))
            }
            // The session says what a store would have.
            (None, _) => Ok(String::new()),
        }
    }

    /// The names directly below a prefix, which is empty or ends with a slash.
    fn names(&self, prefix: &str) -> Listing {
        let mut listing = Listing::default();
        let mut rest = self.directory.below(prefix);
        while let Some(entry) = rest.first() {
            let name = &entry.name[prefix.len()..];
            if let Some((folder, _)) = name.split_once('/') {
                listing.folders.push(folder.to_owned());
                let whole = &entry.name[..=prefix.len() + folder.len()];
                rest = &rest[rest.partition_point(|e| e.name.starts_with(whole))..];
            } else {
                listing.files.push(name.to_owned());
                rest = &rest[1..];
            }
        }
        listing.folders.sort_unstable();
        listing
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.directory.find(&format!("{}{key}", self.root))
    }

    /// Bytes of the archive.
    fn read(&self, start: u64, end: u64, reserve: Reserve<'_>, out: &mut Vec<u8>) -> Result<()> {
        let found = self.inner.get(&self.key, &ByteRange::Range(start..end), reserve, out)?;
        if found.is_none_or(|f| f.version != self.version) {
            return Err(changed(&self.key));
        }
        Ok(())
    }

    /// Where the bytes of an entry begin.
    fn data(&self, entry: &Entry, wait: Reserve<'_>) -> Result<u64> {
        let known = entry.data.load(Relaxed);
        if known != 0 {
            return Ok(known);
        }
        let mut header = Vec::new();
        let most = most_header(entry);
        let wait = &mut |n: u64| if n == 0 { wait(0) } else { Ok(()) };
        self.read(entry.offset, entry.offset + most, wait, &mut header)?;
        let len = header_len(entry, &header)?;
        entry.data.store(entry.offset + len, Relaxed);
        Ok(entry.offset + len)
    }

    /// Some bytes of a stored entry, to the end of `out`. From afar its header comes at the same time: how long that is at
    /// least and at most is known from the directory, and mostly differs by nothing.
    fn part(
        &self,
        entry: &Entry,
        wanted: &Range<u64>,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (least, most) = (least_header(entry), most_header(entry));
        let unsure = most.saturating_sub(least);
        let known = entry.data.load(Relaxed) != 0;
        if known || unsure > UNSURE || !self.inner.profile().is_distant() {
            let data = self.data(entry, reserve)?;
            return self.read(data + wanted.start, data + wanted.end, reserve, out);
        }
        let before = out.len();
        let (from, to) = (entry.offset + least + wanted.start, entry.offset + least + wanted.end);
        let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let caller = std::thread::current();
        let header = std::thread::scope(|scope| {
            let header = scope.spawn(|| {
                let wait = &mut |_| {
                    let stopped = || Error::new(Code::Interrupted, "stopped");
                    if stop.load(Relaxed) { Err(stopped()) } else { Ok(()) }
                };
                let mut header = Vec::new();
                let read = self.read(entry.offset, entry.offset + most, wait, &mut header);
                done.store(true, Relaxed);
                caller.unpark();
                read.map(|()| header)
            });
            let mut read = self.read(from, (to + unsure).min(entry.end), reserve, out);
            while read.is_ok() && !done.load(Relaxed) {
                std::thread::park_timeout(TICK);
                read = reserve(0);
            }
            stop.store(true, Relaxed);
            let ended = |_| Err(Error::new(Code::Internal, "a thread ended unexpectedly"));
            let header = header.join().unwrap_or_else(ended);
            read.and(header)
        })?;
        let len = header_len(entry, &header)?;
        entry.data.store(entry.offset + len, Relaxed);
        let shift = len.checked_sub(least).ok_or_else(|| broken("the header of an entry is too short"))?;
        out.drain(before..before + (shift as usize).min(out.len() - before));
        out.truncate(before + (wanted.end - wanted.start) as usize);
        Ok(())
    }

    /// All bytes of an entry as they are in the archive, to the end of `out`. With its header in one read, where that was
    /// not seen yet.
    fn packed(&self, entry: &Entry, reserve: Reserve<'_>, out: &mut Vec<u8>) -> Result<()> {
        let known = entry.data.load(Relaxed);
        if known != 0 {
            return self.read(known, known + entry.packed, reserve, out);
        }
        let before = out.len();
        let end = entry.end.min(entry.offset + most_header(entry) + entry.packed);
        self.read(entry.offset, end, reserve, out)?;
        let len = header_len(entry, &out[before..])?;
        entry.data.store(entry.offset + len, Relaxed);
        out.drain(before..before + len as usize);
        out.truncate(before + entry.packed as usize);
        Ok(())
    }

    /// Inflates an entry to the end of `out`.
    fn inflate(&self, entry: &Entry, reserve: Reserve<'_>, out: &mut Vec<u8>) -> Result<()> {
        let size = entry.size;
        if size > self.limits.inflated_bytes {
            let limits = Limits { chunk_bytes: self.limits.inflated_bytes, ..Limits::default() };
            let what = "the entry of the zip archive is too large to inflate";
            let error = limits.exceeded(Limit::ChunkBytes, what, Some(size));
            let raise = error.help_text().map_or_else(String::new, |help| format!(". {help}"));
            return Err(
                error.help(format!("Unpack the archive, or write it again without compression{raise}"))
            );
        }
        // Deflate cannot do better: what claims more is not allocated.
        if size / 1032 > entry.packed {
            return Err(broken("the entry claims more bytes than its compressed bytes can hold")
                .expected(format!("at most {} bytes", entry.packed.saturating_mul(1032)))
                .found(format!("{size} bytes")));
        }
        let mut packed = Vec::new();
        let mut extra = size;
        let both = &mut |n: u64| {
            let more = if n == 0 { 0 } else { std::mem::take(&mut extra) };
            reserve(n.saturating_add(more))
        };
        self.packed(entry, both, &mut packed)?;
        let before = out.len();
        out.try_reserve_exact(size as usize).map_err(|e| {
            Error::new(Code::OutOfMemory, format!("{size} bytes could not be allocated")).source(e)
        })?;
        out.resize(before + size as usize, 0);
        let got = libdeflater::Decompressor::new().deflate_decompress(&packed, &mut out[before..]);
        match got {
            Ok(got) if got as u64 == size => check_crc(entry, &out[before..]),
            Ok(got) => Err(Error::new(Code::ChunkLength, "the entry inflates to the wrong length")
                .expected(format!("{size} bytes"))
                .found(format!("{got} bytes"))),
            Err(e) => Err(Error::new(Code::ChunkDecode, "the entry of the zip archive does not inflate")
                .source(e.to_string())),
        }
    }

    fn fetch(&self, index: usize, range: &ByteRange, reserve: Reserve<'_>, out: &mut Vec<u8>) -> Result<()> {
        let entry = &self.directory.entries[index];
        let total = entry.size;
        let wanted = match *range {
            ByteRange::All => 0..total,
            ByteRange::Range(ref r) => r.clone(),
            ByteRange::Suffix(n) => total.saturating_sub(n)..total,
        };
        if wanted.end > total || wanted.start > wanted.end {
            return Err(Error::new(Code::ChunkLength, "the value ends before the bytes that are needed")
                .range(wanted.clone())
                .expected(format!("at least {} bytes", wanted.end))
                .found(format!("{total} bytes")));
        }
        let whole = wanted == (0..total);
        match entry.method {
            Method::Stored if entry.packed != total => {
                Err(broken("a stored entry of the zip archive has two sizes")
                    .expected(format!("{total} bytes"))
                    .found(format!("{} bytes", entry.packed)))
            }
            Method::Stored if whole => {
                let before = out.len();
                self.packed(entry, reserve, out)?;
                check_crc(entry, &out[before..])
            }
            Method::Stored => self.part(entry, &wanted, reserve, out),
            Method::Deflated if whole => self.inflate(entry, reserve, out),
            Method::Deflated => {
                let bytes = self.inflated(index, entry, wanted.end - wanted.start, reserve)?;
                let bytes = bytes.get(wanted.start as usize..wanted.end as usize);
                out.extend_from_slice(bytes.ok_or_else(|| broken("the entry is shorter than its size"))?);
                Ok(())
            }
            Method::Other(method) => Err(Error::new(
                Code::CodecUnknown,
                format!("the entry is compressed by method {method} of zip, which is not read"),
            )
            .expected("stored or deflated")
            .help("Write the archive again, best without compression: chunks are compressed already")),
            Method::Encrypted => {
                Err(Error::new(Code::CodecUnknown, "the entry of the zip archive is encrypted")
                    .help("Unpack the archive with its password, and open the directory"))
            }
            Method::Link => {
                Err(Error::new(Code::StoreEscape, "the entry of the zip archive is a symbolic link"))
            }
        }
    }

    /// A deflated entry as a whole: the one that is kept, or inflated now. So many bytes of it will be copied.
    fn inflated(
        &self,
        index: usize,
        entry: &Entry,
        wanted: u64,
        reserve: Reserve<'_>,
    ) -> Result<Arc<Vec<u8>>> {
        let mut kept = self.inflated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, bytes)) = &*kept
            && *at == index
        {
            reserve(wanted)?;
            return Ok(bytes.clone());
        }
        *kept = None; // two at once would be more than the limit allows
        let mut bytes = Vec::new();
        let mut extra = wanted;
        let both = &mut |n: u64| {
            let more = if n == 0 { 0 } else { std::mem::take(&mut extra) };
            reserve(n.saturating_add(more))
        };
        self.inflate(entry, both, &mut bytes)?;
        let bytes = Arc::new(bytes);
        if entry.size <= KEEP {
            *kept = Some((index, bytes.clone()));
        }
        Ok(bytes)
    }
}

fn changed(key: &str) -> Error {
    Error::new(Code::StoreChanged, "the zip archive was changed since it was opened")
        .key(key)
        .help("Open the store again")
}

fn check_crc(entry: &Entry, bytes: &[u8]) -> Result<()> {
    let mut crc = libdeflater::Crc::new();
    crc.update(bytes);
    if crc.sum() == entry.crc {
        return Ok(());
    }
    Err(Error::new(Code::ChunkChecksum, "the CRC-32 of the entry of the zip archive does not agree")
        .expected(format!("{:08x}", entry.crc))
        .found(format!("{:08x}", crc.sum())))
}

/// What reading an entry takes beside the bytes that are asked for: its header, and whole forms of what is deflated.
fn overhead(entry: &Entry) -> u64 {
    let whole = if entry.method == Method::Deflated { entry.packed.saturating_add(entry.size) } else { 0 };
    most_header(entry).saturating_add(whole)
}

/// The local header without an extra field.
fn least_header(entry: &Entry) -> u64 {
    30 + entry.name.len() as u64 + u64::from(entry.dotted)
}

/// The local header has a name of the same length and an extra field of its own.
fn most_header(entry: &Entry) -> u64 {
    (least_header(entry) + 0xffff).min(entry.end - entry.offset - entry.packed.min(entry.end - entry.offset))
}

/// The length of the local header, which must agree with the directory.
fn header_len(entry: &Entry, header: &[u8]) -> Result<u64> {
    let lies = |what: &str| {
        broken(format!("the header of the entry and the directory of the zip archive disagree on its {what}"))
            .range(entry.offset..entry.end)
    };
    if !header.starts_with(b"PK\x03\x04") {
        return Err(lies("place"));
    }
    let cut = || lies("length");
    let short = |i| u16_at(header, i).ok_or_else(cut);
    let word = |i| u32_at(header, i).ok_or_else(cut);
    let (flags, method) = (short(6)?, short(8)?);
    let expected = match entry.method {
        Method::Stored => 0,
        _ => 8,
    };
    if method != expected || flags & 0x2041 != 0 {
        return Err(lies("method"));
    }
    let (name_len, extra_len) = (short(26)? as usize, short(28)? as usize);
    let name = header.get(30..30 + name_len).ok_or_else(cut)?;
    let (dots, plain) = name.split_at_checked(entry.dotted as usize).ok_or_else(cut)?;
    if plain != entry.name.as_bytes() || dots.chunks(2).any(|d| d != b"./") {
        return Err(lies("name"));
    }
    let extra = header.get(30 + name_len..30 + name_len + extra_len).ok_or_else(cut)?;
    // With this flag the sizes follow the bytes, and are zero here, or the same.
    let later = flags & 8 != 0;
    let [size, packed] = widen([word(22)?, word(18)?], extra).ok_or_else(|| lies("sizes"))?;
    for (found, expected) in
        [(size, entry.size), (packed, entry.packed), (word(14)?.into(), entry.crc.into())]
    {
        if found != expected && !(later && found == 0) {
            return Err(lies("sizes").expected(expected.to_string()).found(found.to_string()));
        }
    }
    let len = 30 + name_len as u64 + extra_len as u64;
    if entry.end - entry.offset < len.saturating_add(entry.packed) {
        return Err(lies("length"));
    }
    Ok(len)
}

impl Store for ZipStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let Some(index) = self.find(key) else { return Ok(None) };
        let before = out.len();
        self.fetch(index, range, reserve, out).map_err(|e| {
            out.truncate(before);
            e.key(key)
        })?;
        let total = self.directory.entries[index].size;
        Ok(Some(Found { total: Some(total), version: self.version, cached: false }))
    }

    fn size(&self, key: &str, _: Reserve<'_>) -> Result<Option<u64>> {
        Ok(self.find(key).map(|index| self.directory.entries[index].size))
    }

    fn list(&self, prefix: &str, _: Reserve<'_>) -> Result<Option<Listing>> {
        let slash = if prefix.is_empty() { "" } else { "/" };
        Ok(Some(self.names(&format!("{}{prefix}{slash}", self.root))))
    }

    fn distance(&self) -> (Profile, &'static str) {
        self.inner.distance()
    }

    fn profile(&self) -> Profile {
        let inner = self.inner.profile();
        Profile { overhead: inner.overhead.saturating_add(self.overhead), ..inner }
    }
}
