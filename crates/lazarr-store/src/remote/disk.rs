//! Values of remote stores on the local disk: optional, bounded in bytes, shared by processes.
//!
//! A folder for each value (named by a hash of what is asked of which server, and its key), and in it a file for each stretch
//! of bytes that was read, of one state of the value, as its strong ETag says. Whoever asks for bytes that such stretches
//! cover gets them, once the server has said in this session that the value is still that one. Files appear whole, under
//! their last name; a file that is cut or damaged is told by its checksum, removed, and read from the store again. Processes
//! need not know of each other: each may remove any file at any time, and whoever misses one asks the store.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lazarr_format::{Code, Error, Result};
use ring::digest::{SHA256, digest};

use super::source::version_of;
use crate::address::StoreOptions;
use crate::store::{ByteRange, Version};

/// The folder below the one that was named: nothing else in that one is ever touched.
const FOLDER: &str = "lazarr-cache-1";
/// What a file begins with.
const MAGIC: &[u8; 8] = b"lazarr\x01\n";
/// A checksum, the length of the tag, the length of the value, where the bytes begin and end in it.
const HEAD: usize = 8 + 4 + 2 + 8 + 8 + 8;
/// Bytes of values that are kept, where nothing else is said.
const MOST: f64 = 10e9;
/// Files under their first name that are as old were left by a process that has ended.
const LEFT: Duration = Duration::from_secs(3600);
/// Files are read so many bytes at a time.
const BLOCK: usize = 64 << 10;

/// A folder of files.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    /// A hash of what tells this store from others.
    store: String,
    most: u64,
    known: Mutex<Known>,
    names: AtomicU64,
}

/// What this process knows of the folder.
#[derive(Debug, Default)]
struct Known {
    looked: bool,
    bytes: u64,
    /// Bytes written since it was looked at: other processes write as well.
    since: u64,
}

/// Bytes that are there, if the value is still the same.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) tag: String,
    pub(super) version: Version,
    pub(super) total: u64,
    /// Files, and which bytes of the value are taken of each.
    pieces: Vec<(PathBuf, u64, u64)>,
}

impl Kept {
    /// How many bytes are wanted.
    pub(super) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|(_, a, b)| b - a).sum()
    }

    /// Reads what was found to the end of `out`. `false` where a file is gone or damaged; `out` is then as it was.
    pub(super) fn load(&self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        for (path, start, end) in &self.pieces {
            if load(path, *start..*end, &self.tag, out).is_none() {
                remove(path);
                out.truncate(before);
                return false;
            }
        }
        true
    }
}

/// One file, as its name says.
struct Stretch {
    tag: u64,
    total: u64,
    start: u64,
    end: u64,
    path: PathBuf,
}

impl Stretch {
    fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let mut parts = name.split('-');
        let tag = u64::from_str_radix(parts.next()?, 16).ok()?;
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (total, start, end) = (number()?, number()?, number()?);
        (parts.next().is_none() && start < end && end <= total).then_some(Self {
            tag,
            total,
            start,
            end,
            path,
        })
    }
}

/// The first bytes of a hash, in hexadecimal.
fn hex(text: &str, bytes: usize) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    hash.as_ref().iter().take(bytes).flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// A tag in a name.
fn short(tag: &str) -> String {
    hex(tag, 8)
}

/// Removes a file or a folder; others may have done so, or the folder may hold something.
fn remove(path: &Path) {
    let gone = fs::remove_file(path);
    if let (Ok(()), Some(folder)) = (gone, path.parent()) {
        drop(fs::remove_dir(folder));
    }
}

impl Disk {
    /// The cache that the options ask for; `None` where they do not. `store` tells it from others.
    pub(super) fn new(store: &str, options: &StoreOptions) -> Result<Option<Self>> {
        let most = options.bytes("cache_bytes")?.unwrap_or(MOST) as u64;
        let Some(named) = options.get("cache_dir") else { return Ok(None) };
        let folder = Path::new(named).join(FOLDER);
        let failed = |e: std::io::Error| {
            Error::new(Code::StoreUrl, "the folder of the cache (cache_dir) cannot be written to")
                .found(named.to_owned())
                .source(e)
        };
        let mut maker = fs::DirBuilder::new();
        maker.recursive(true);
        // Values may be private.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
        maker.create(&folder).map_err(failed)?;
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let store = hex(store, 32);
        Ok(Some(Self { folder, store, most, known: Mutex::default(), names: AtomicU64::new(0) }))
    }

    /// The folder of a value.
    fn place(&self, key: &str) -> PathBuf {
        let text = hex(&format!("{}\n{key}", self.store), 16);
        self.folder.join(&text[..2]).join(&text[2..])
    }

    /// The bytes of a range, if they are here: of the state `pinned`, or of any.
    pub(super) fn find(&self, key: &str, range: &ByteRange, pinned: Option<Version>) -> Option<Kept> {
        let files = fs::read_dir(self.place(key)).ok()?.flatten().map(|entry| entry.path());
        let mut all: Vec<Stretch> = files.filter_map(Stretch::parse).collect();
        all.sort_unstable_by_key(|s| (s.tag, s.total, s.start));
        all.chunk_by(|a, b| (a.tag, a.total) == (b.tag, b.total)).find_map(|same| {
            let pieces = cover(same, range)?;
            let tag = tag_of(&pieces.first()?.0)?;
            let version = version_of(&tag);
            pinned.is_none_or(|pinned| pinned == version).then(|| Kept {
                tag,
                version,
                total: same[0].total,
                pieces,
            })
        })
    }

    /// Removes what is kept of other states of a value than this one; all, where there is none.
    pub(super) fn forget(&self, key: &str, but: Option<&str>) {
        let but = but.map(short);
        for entry in fs::read_dir(self.place(key)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if but.as_ref().is_none_or(|but| !name.to_string_lossy().starts_with(&**but)) {
                remove(&entry.path());
            }
        }
    }

    /// Keeps bytes of a value, as far as that can be done; nothing depends on it.
    pub(super) fn keep(&self, key: &str, tag: &str, total: u64, start: u64, bytes: &[u8]) {
        let end = start + bytes.len() as u64;
        let size = (HEAD + tag.len() + bytes.len()) as u64;
        let Ok(tag_len) = u16::try_from(tag.len()) else { return };
        if bytes.is_empty() || end > total || size > self.most / 4 || !self.room(size) {
            return;
        }
        let mut head = Vec::with_capacity(HEAD + tag.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&tag_len.to_le_bytes());
        head.extend([total, start, end].iter().flat_map(|n| n.to_le_bytes()));
        head.extend_from_slice(tag.as_bytes());
        let mut sum = libdeflater::Crc::new();
        sum.update(&head[12..]);
        sum.update(bytes);
        head[8..12].copy_from_slice(&sum.sum().to_le_bytes());
        let place = self.place(key);
        let number = self.names.fetch_add(1, Relaxed);
        let first = self.folder.join(format!("new-{}-{number}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&first)?;
            file.write_all(&head)?;
            file.write_all(bytes)?;
            drop(file);
            let last = place.join(format!("{}-{total}-{start}-{end}", short(tag)));
            fs::create_dir_all(&place)?;
            // Another process may have removed the folder again, for it was empty.
            fs::rename(&first, &last).or_else(|_| {
                fs::create_dir_all(&place)?;
                fs::rename(&first, &last)
            })
        };
        if write().is_err() {
            drop(fs::remove_file(&first));
        }
    }

    /// Makes room for a file; whether there is.
    fn room(&self, size: u64) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.bytes.saturating_add(size) > self.most;
        if !known.looked || full || known.since.saturating_add(size) > self.most / 16 {
            known.bytes = self.look(size);
            known.since = 0;
            known.looked = true;
        }
        let fits = known.bytes.saturating_add(size) <= self.most;
        if fits {
            known.bytes += size;
            known.since += size;
        }
        fits
    }

    /// Counts the bytes of all files, and removes those that were used longest ago where a file of this size would be too
    /// much: an eighth more than needs be, so that it is not done for each.
    fn look(&self, size: u64) -> u64 {
        let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
        let (mut files, mut bytes) = (Vec::new(), 0u64);
        let now = SystemTime::now();
        for path in inside(&self.folder) {
            if path.is_dir() {
                let found = inside(&path).flat_map(|value| inside(&value).collect::<Vec<_>>());
                files.extend(found.filter_map(|file| {
                    let meta = fs::metadata(&file).ok()?;
                    Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), file))
                }));
                continue;
            }
            let Ok(meta) = fs::metadata(&path) else { continue };
            let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > LEFT) {
                drop(fs::remove_file(&path));
            } else {
                bytes += meta.len();
            }
        }
        bytes += files.iter().map(|(_, n, _)| n).sum::<u64>();
        if bytes.saturating_add(size) <= self.most {
            return bytes;
        }
        files.sort_unstable();
        for (_, len, path) in files {
            if bytes.saturating_add(size) <= self.most - self.most / 8 {
                break;
            }
            remove(&path);
            bytes = bytes.saturating_sub(len);
        }
        bytes
    }
}

/// Stretches that cover a range, and what is taken of each. They are of one state, and ascend.
fn cover(all: &[Stretch], range: &ByteRange) -> Option<Vec<(PathBuf, u64, u64)>> {
    let total = all.first()?.total;
    let (mut at, end) = match *range {
        ByteRange::All => (0, total),
        ByteRange::Range(ref r) => (r.start, r.end),
        ByteRange::Suffix(n) => (total.saturating_sub(n), total),
    };
    if at >= end || end > total {
        return None;
    }
    let mut pieces = Vec::new();
    while at < end {
        // Of those that begin in time the one that goes furthest.
        let begun = all.iter().take_while(|s| s.start <= at);
        let best = begun.max_by_key(|s| s.end).filter(|s| s.end > at)?;
        let to = best.end.min(end);
        pieces.push((best.path.clone(), at, to));
        at = to;
    }
    Some(pieces)
}

/// The head of a file: its checksum, what follows that, and the tag.
fn head(file: &mut File) -> Option<(u32, Vec<u8>, String)> {
    let mut fixed = [0; HEAD];
    file.read_exact(&mut fixed).ok()?;
    let rest = fixed.strip_prefix(MAGIC)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let tag_len = u16::from_le_bytes(*rest.first_chunk()?) as usize;
    let mut tag = vec![0; tag_len];
    file.read_exact(&mut tag).ok()?;
    let covered = [rest, &tag].concat();
    Some((u32::from_le_bytes(*sum), covered, String::from_utf8(tag).ok()?))
}

fn tag_of(path: &Path) -> Option<String> {
    head(&mut File::open(path).ok()?).map(|(_, _, tag)| tag)
}

/// Reads some bytes of the value from a file; all of it is looked at, for its checksum.
fn load(path: &Path, wanted: std::ops::Range<u64>, tag: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut file = File::open(path).ok()?;
    let (expected, covered, found) = head(&mut file)?;
    let start = u64::from_le_bytes(*covered.get(10..)?.first_chunk()?);
    let end = u64::from_le_bytes(*covered.get(18..)?.first_chunk()?);
    if found != tag || wanted.start < start || wanted.end > end {
        return None;
    }
    let mut sum = libdeflater::Crc::new();
    sum.update(&covered);
    let mut at = start;
    let mut block = vec![0; BLOCK.min((end - start) as usize)];
    while at < end {
        let n = file.read(&mut block).ok().filter(|n| *n > 0)?;
        let got = &block[..n];
        sum.update(got);
        let next = at.checked_add(n as u64).filter(|next| *next <= end)?;
        let (a, b) = (wanted.start.clamp(at, next), wanted.end.clamp(at, next));
        out.extend_from_slice(&got[(a - at) as usize..(b - at) as usize]);
        at = next;
    }
    let whole = sum.sum() == expected && file.read(&mut [0]).ok()? == 0;
    // What is used last is removed last.
    drop(file.set_modified(SystemTime::now()));
    whole.then_some(())
}
