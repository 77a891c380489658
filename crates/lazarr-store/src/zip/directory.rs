//! The central directory of an archive, checked as a whole before any entry is read.
//!
//! Written here instead of taken from a crate: a store needs exactly what archive libraries leave to their callers, that
//! every entry is refused or accepted at open, by where it stands (no two overlap), what it is called (no two alike) and
//! how much there is of it.

use std::sync::atomic::AtomicU64;

use lazarr_format::{Code, Error, Result};

/// Bounds on an archive.
#[derive(Debug, Clone, Copy)]
pub struct ZipLimits {
    /// Entries.
    pub entries: u64,
    /// Bytes of the central directory; about 100 an entry.
    pub directory_bytes: u64,
    /// Bytes of a deflated entry once it is inflated.
    pub inflated_bytes: u64,
}

impl Default for ZipLimits {
    fn default() -> Self {
        Self { entries: 4_000_000, directory_bytes: 512 << 20, inflated_bytes: 4 << 30 }
    }
}

/// How the bytes of an entry are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    /// A method that is not read, by its number.
    Other(u16),
    Encrypted,
    /// A symbolic link: its bytes would be a path.
    Link,
}

/// One entry, as the directory describes it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) method: Method,
    pub(super) crc: u32,
    /// Bytes in the archive.
    pub(super) packed: u64,
    /// Bytes of the value.
    pub(super) size: u64,
    /// Where its local header stands in the file.
    pub(super) offset: u64,
    /// Where the next entry or the directory begins: header and bytes lie before it.
    pub(super) end: u64,
    /// How many bytes of `./` stand before the name.
    pub(super) dotted: u32,
    /// Where its bytes begin, once the local header was checked; 0 before.
    pub(super) data: AtomicU64,
}

/// The entries with a value, sorted by name.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
}

/// So much of the end of a file holds the records that lead to the directory: the last record with the longest comment,
/// and the two of zip64 before it.
pub(super) const TAIL: u64 = 66 << 10;

/// Where the central directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its first byte in the file.
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) count: u64,
    /// Bytes before the archive, by which all its offsets are shifted.
    pub(super) prefix: u64,
}

pub(super) fn broken(what: impl Into<String>) -> Error {
    Error::new(Code::Archive, what)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";

/// Finds the directory from the last bytes of a file of this length.
pub(super) fn locate(tail: &[u8], total: u64, limits: &ZipLimits) -> Result<Place> {
    let base = total - (tail.len() as u64).min(total);
    let mut ends = (0..tail.len()).filter(|&at| {
        tail[at..].starts_with(END)
            && u16_at(tail, at + 20).is_some_and(|comment| at + 22 + comment as usize == tail.len())
    });
    let Some(at) = ends.next() else {
        let e = if tail.windows(4).any(|w| w == END) {
            broken("bytes follow the end of the zip archive").help("Cut them off, or copy the archive again")
        } else {
            broken("this is not a zip archive, or its end is missing").help("Copy it again from its source")
        };
        return Err(e.expected("an end-of-directory record that ends with the file"));
    };
    if ends.next().is_some() {
        return Err(broken("the zip archive has two ends, and readers would disagree on its contents"));
    }
    let cut = || broken("the end of the zip archive is cut");
    let end = &tail[at..];
    let short = |i| u16_at(end, i).map(u64::from).ok_or_else(cut);
    let word = |i| u32_at(end, i).map(u64::from).ok_or_else(cut);
    let (mut disks, mut count, mut len, mut offset) =
        (short(4)?.max(short(6)?), short(10)?, word(12)?, word(16)?);
    let mut stop = at;
    if let Some(locator_at) = at.checked_sub(20)
        && tail[locator_at..].starts_with(LOCATOR_64)
    {
        let record = zip64_record(tail, base, locator_at)?;
        let long = |i| u64_at(&tail[record..], i).ok_or_else(cut);
        let wide = |i| u32_at(&tail[record..], i).map(u64::from).ok_or_else(cut);
        // Where a field fits, both records have it.
        for (small, full, most) in
            [(count, long(32)?, 0xffff), (len, long(40)?, 0xffff_ffff), (offset, long(48)?, 0xffff_ffff)]
        {
            if small != most && small != full {
                return Err(broken("the two ends of the zip64 archive disagree")
                    .expected(small.to_string())
                    .found(full.to_string()));
            }
        }
        disks = wide(16)?.max(wide(20)?);
        (count, len, offset) = (long(32)?, long(40)?, long(48)?);
        stop = record;
    } else if short(8)? != count {
        disks = 1;
    }
    if disks != 0 {
        return Err(broken("the zip archive is one of several parts").help("Join them first"));
    }
    for (what, found, most) in
        [("entries", count, limits.entries), ("bytes of directory", len, limits.directory_bytes)]
    {
        if found > most {
            return Err(Error::new(Code::MetadataLimit, "the zip archive is too large")
                .expected(format!("at most {most} {what}"))
                .found(found.to_string()));
        }
    }
    let stop = base + stop as u64;
    let start =
        stop.checked_sub(len).ok_or_else(|| broken("the directory is larger than the zip archive"))?;
    let prefix = start.checked_sub(offset).ok_or_else(|| {
        broken("the directory is not where the end of the zip archive says")
            .expected(format!("{len} bytes at {offset}"))
            .found(format!("the end at {stop}"))
    })?;
    Ok(Place { start, len, count, prefix })
}

/// Where the zip64 record stands in the tail.
fn zip64_record(tail: &[u8], base: u64, locator_at: usize) -> Result<usize> {
    let said = u64_at(tail, locator_at + 8).and_then(|at| at.checked_sub(base));
    let said = said.and_then(|at| usize::try_from(at).ok());
    [locator_at.checked_sub(56), said]
        .into_iter()
        .flatten()
        .find(|&at| {
            tail.get(at..).is_some_and(|t| t.starts_with(END_64))
                && u64_at(tail, at + 4).is_some_and(|size| {
                    size >= 44 && size.checked_add(at as u64 + 12) == Some(locator_at as u64)
                })
        })
        .ok_or_else(|| broken("the zip64 end of the archive is not where it must be"))
}

/// Documents that some writers put twice: the last is the one that counts.
fn is_document(name: &str) -> bool {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    matches!(file, ".zattrs" | ".zmetadata" | ".zgroup" | ".zarray" | "zarr.json")
}

impl Directory {
    /// Reads the directory that stands at this place.
    pub(super) fn parse(bytes: &[u8], place: &Place) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        // Where each header stands and what it takes at least, those of folders included.
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (entry, next) = read_entry(&bytes[at..], place)
                .map_err(|e| e.range(place.start + at as u64..place.start + bytes.len() as u64))?;
            let name_len = entry.name.len() as u64 + u64::from(entry.dotted);
            let least = entry.packed.checked_add(30 + name_len).ok_or_else(size_overflow)?;
            let end = entry.offset.checked_add(least).ok_or_else(size_overflow)?;
            spans.push((entry.offset, end));
            if !entry.name.is_empty() && !entry.name.ends_with('/') {
                entries.push(entry);
            }
            at += next;
        }
        if spans.len() as u64 != place.count {
            return Err(broken("the zip archive has another number of entries than its end says")
                .expected(place.count.to_string())
                .found(spans.len().to_string()));
        }
        spans.sort_unstable();
        let starts = spans.iter().skip(1).map(|s| s.0).chain([place.start]);
        for ((start, end), next) in spans.iter().zip(starts) {
            if *end > next {
                return Err(broken("entries of the zip archive overlap")
                    .range(*start..*end)
                    .expected(format!("an end before {next}"))
                    .found(end.to_string()));
            }
        }
        for entry in &mut entries {
            let after = spans.partition_point(|s| s.0 <= entry.offset);
            entry.end = spans.get(after).map_or(place.start, |s| s.0);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name)); // stable: of two alike the last in the archive stays last
        let mut twice = None;
        entries.dedup_by(|later, earlier| {
            if later.name != earlier.name {
                return false;
            }
            if !is_document(&later.name) {
                twice = Some(later.name.clone());
            }
            std::mem::swap(later, earlier);
            true
        });
        match twice {
            None => Ok(Self { entries }),
            Some(name) => Err(broken("two entries of the zip archive have the same name")
                .key(name)
                .help("Write the archive again from the store as a directory")),
        }
    }

    /// The number of the entry with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.entries.binary_search_by(|e| (*e.name).cmp(name)).ok()
    }

    /// The entries whose names begin so.
    pub(super) fn below(&self, prefix: &str) -> &[Entry] {
        let start = self.entries.partition_point(|e| &*e.name < prefix);
        let rest = &self.entries[start..];
        &rest[..rest.partition_point(|e| e.name.starts_with(prefix))]
    }
}

fn size_overflow() -> Error {
    broken("an entry of the zip archive is larger than any file")
}

/// One entry, and where the next begins. An entry that no key can name has an empty name.
fn read_entry(bytes: &[u8], place: &Place) -> Result<(Entry, usize)> {
    let cut = || broken("the directory of the zip archive is cut");
    if !bytes.starts_with(ENTRY) {
        return Err(broken("the directory of the zip archive is broken").expected("an entry"));
    }
    let short = |i| u16_at(bytes, i).ok_or_else(cut);
    let word = |i| u32_at(bytes, i).ok_or_else(cut);
    let (made_by, flags, method) = (short(4)?, short(8)?, short(10)?);
    let (name_len, extra_len, comment_len) = (short(28)? as usize, short(30)? as usize, short(32)? as usize);
    let attributes = word(38)?;
    let name = bytes.get(46..46 + name_len).ok_or_else(cut)?;
    let extra = bytes.get(46 + name_len..46 + name_len + extra_len).ok_or_else(cut)?;
    let next = 46 + name_len + extra_len + comment_len;
    if bytes.len() < next {
        return Err(cut());
    }
    // A name that is not UTF-8 cannot be a key of a Zarr store.
    let name = std::str::from_utf8(name).unwrap_or_default();
    let sizes = [word(24)?, word(20)?, word(42)?];
    let [size, packed, offset] =
        widen(sizes, extra).ok_or_else(|| broken("the sizes of a zip64 entry are missing").key(name))?;
    if short(34)? != 0 && short(34)? != 0xffff {
        return Err(broken("an entry stands in another part of the zip archive").key(name));
    }
    let plain = name.trim_start_matches("./");
    check_name(plain).map_err(|e| e.key(name))?;
    let offset = offset.checked_add(place.prefix).ok_or_else(size_overflow)?;
    let is_link = matches!(made_by >> 8, 3 | 19) && (attributes >> 16) & 0xf000 == 0xa000;
    let entry = Entry {
        name: plain.into(),
        // Encrypted by any of three schemes, or a patch for another file.
        method: match method {
            _ if flags & 0x2041 != 0 => Method::Encrypted,
            _ if is_link => Method::Link,
            other if flags & 0x20 != 0 => Method::Other(other),
            0 => Method::Stored,
            8 => Method::Deflated,
            other => Method::Other(other),
        },
        crc: word(16)?,
        packed,
        size,
        offset,
        end: 0,
        dotted: (name.len() - plain.len()) as u32,
        data: AtomicU64::new(0),
    };
    Ok((entry, next))
}

/// Fields that are full are found in the zip64 extra field, in this order.
pub(super) fn widen<const N: usize>(fields: [u32; N], extra: &[u8]) -> Option<[u64; N]> {
    let mut wide = fields.map(u64::from);
    if fields.iter().all(|&f| f != u32::MAX) {
        return Some(wide);
    }
    let mut at = 0;
    while let (Some(id), Some(len)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
        if id == 1 {
            let mut field = extra.get(at + 4..at + 4 + len as usize)?;
            for (value, _) in wide.iter_mut().zip(fields).filter(|(_, f)| *f == u32::MAX) {
                *value = u64_at(field, 0)?;
                field = &field[8..];
            }
            return Some(wide);
        }
        at += 4 + len as usize;
    }
    None
}

/// Whether a name is a plain path below the store.
fn check_name(name: &str) -> Result<()> {
    let path = name.strip_suffix('/').unwrap_or(name);
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let parts = |part: &str| matches!(part, "" | "." | "..");
    if path.is_empty() && !name.starts_with('/') {
        return Ok(()); // the archive's own folder, or not UTF-8
    }
    if drive || path.contains(['\\', '\0']) || path.split('/').any(parts) {
        return Err(Error::new(Code::StoreEscape, "the name of an entry leads out of the zip archive")
            .expected("names between slashes, none of them empty, `.` or `..`"));
    }
    Ok(())
}
