//! The one error of the whole house: a stable code, a sentence, and where it happened.
//!
//! An error is for the person who reads it. It says what failed, which element and key, which bytes, what was expected
//! and what was found, and what to do. Programs look at [`Error::code`] and [`Error::kind`]; Python turns the kind into
//! the builtin exception that a person would catch.
//!
//! ```
//! use lazarr_format::{Code, Error};
//! let e = Error::new(Code::ChunkLength, "the chunk decodes to the wrong length")
//!     .element("X/data").key("X/data/c/0").expected("4096 bytes").found("100 bytes");
//! assert_eq!(e.code().id(), "LZ0302");
//! assert!(e.to_string().contains("expected 4096 bytes, found 100 bytes"));
//! ```

use std::fmt;
use std::ops::Range;

/// `Result` with lazarr's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error; decides the Python exception it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The store, element or key is not there (`FileNotFoundError`, or `KeyError` for an element of an open store).
    NotFound,
    /// A name that is not among the labels or keys (`KeyError`).
    Key,
    /// A position, mask or index that does not fit (`IndexError`).
    Index,
    /// The wrong kind of argument (`TypeError`).
    Type,
    /// Reading failed below lazarr: permissions, a broken disk, the network (`OSError`).
    Io,
    /// The store holds something that is broken or contradicts itself (`ValueError`).
    Invalid,
    /// Legal, but not something this build can read (`ValueError`).
    Unsupported,
    /// It does not fit into the memory that was allowed (`MemoryError`).
    Memory,
    /// Stopped by the caller (`KeyboardInterrupt`).
    Interrupted,
    /// A broken promise of lazarr itself (`RuntimeError`).
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $kind:ident;)*) => {
        /// A stable error code. Its page says what it means and what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }
        impl Code {
            /// Every code, in order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
            /// The number that is shown: `LZ0302`.
            pub fn id(self) -> &'static str { match self { $(Code::$name => $id,)* } }
            /// What a caller can do about it.
            pub fn kind(self) -> Kind { match self { $(Code::$name => Kind::$kind,)* } }
            /// Its page, in Markdown: what it means, how it looks, likely causes, what to do, what can still be read.
            pub fn page(self) -> &'static str {
                match self { $(Code::$name => include_str!(concat!("../errors/", $id, ".md")),)* }
            }
        }
    };
}

codes! {
    /// There is nothing at this path, or nothing that is Zarr.
    StoreNotFound = "LZ0101", NotFound;
    /// A read failed in the operating system or the network.
    StoreIo = "LZ0102", Io;
    /// The path or URL cannot be understood.
    StoreUrl = "LZ0103", Invalid;
    /// A link or a name leads out of the store.
    StoreEscape = "LZ0104", Invalid;
    /// A value was changed while it was read, or since the store was opened.
    StoreChanged = "LZ0105", Io;
    /// A zip archive is broken: its directory, or an entry that does not agree with it.
    Archive = "LZ0106", Invalid;
    /// The store does not allow the read: no credentials, or the wrong ones.
    Forbidden = "LZ0107", Io;
    /// The network or the server did not answer in time.
    Timeout = "LZ0108", Io;
    /// The server cannot answer now: it is overloaded, or broken; it was asked again, within limits.
    Unavailable = "LZ0109", Io;
    /// What the server sent is not what was asked for.
    StoreAnswer = "LZ0110", Io;
    /// The server sends the reader to another host.
    Redirected = "LZ0111", Io;
    /// Metadata is not the JSON object it must be.
    MetadataJson = "LZ0201", Invalid;
    /// A field of an array's or group's metadata is missing, of the wrong type, or out of range.
    MetadataField = "LZ0202", Invalid;
    /// Metadata asks for something that must be understood and is not: a format version, an extension, a grid.
    MetadataUnsupported = "LZ0203", Unsupported;
    /// The data type is unknown.
    DataType = "LZ0204", Unsupported;
    /// The codec is unknown, or was left out of this build.
    CodecUnknown = "LZ0205", Unsupported;
    /// Metadata goes beyond a limit (size, depth, nodes, dimensions, chunk bytes).
    MetadataLimit = "LZ0206", Invalid;
    /// The bytes of a chunk do not decode.
    ChunkDecode = "LZ0301", Invalid;
    /// A chunk decodes to another length than its shape says, or its bytes end early.
    ChunkLength = "LZ0302", Invalid;
    /// A checksum does not agree.
    ChunkChecksum = "LZ0303", Invalid;
    /// A chunk is absent where the fill value cannot be right.
    MissingChunk = "LZ0304", Invalid;
    /// The index of a shard is broken.
    ShardIndex = "LZ0305", Invalid;
    /// An AnnData encoding that is not known.
    EncodingUnknown = "LZ0401", Unsupported;
    /// An element's group lacks a part, or its attributes contradict it.
    EncodingInvalid = "LZ0402", Invalid;
    /// `indptr` is not 0 … nnz, ascending.
    SparseIndptr = "LZ0403", Invalid;
    /// A column (or row) index lies outside of the matrix.
    SparseIndices = "LZ0404", Invalid;
    /// A code points at no category.
    CategoryCode = "LZ0405", Invalid;
    /// A string is not UTF-8, or its lengths do not add up.
    StringData = "LZ0406", Invalid;
    /// The parts of an object do not have the lengths that they must share.
    Misaligned = "LZ0407", Invalid;
    /// There is no element of this name.
    ElementNotFound = "LZ0501", Key;
    /// A label is not among the names of the axis.
    LabelNotFound = "LZ0502", Key;
    /// An index does not fit the axis.
    IndexOutOfRange = "LZ0503", Index;
    /// This kind of index is not understood here.
    IndexKind = "LZ0504", Index;
    /// An expression does not fit the type of its column.
    Expression = "LZ0505", Type;
    /// A predicate was made on another axis than it is used on.
    ForeignPredicate = "LZ0506", Index;
    /// This operation is not possible on this kind of element.
    Operation = "LZ0507", Type;
    /// It does not fit into the memory that was allowed.
    MemoryLimit = "LZ0601", Memory;
    /// The allocator gave no memory.
    OutOfMemory = "LZ0602", Memory;
    /// Stopped by the caller.
    Interrupted = "LZ0701", Interrupted;
    /// A read that no plan named: a defect of lazarr, found by its audit.
    UnplannedRead = "LZ0702", Internal;
    /// A defect of lazarr.
    Internal = "LZ0703", Internal;
    /// Something stands where a store is to be written.
    StoreExists = "LZ0801", Io;
    /// Another process writes this very store.
    Locked = "LZ0802", Io;
    /// The disk has no room.
    NoSpace = "LZ0803", Io;
    /// A write failed in the operating system or the network.
    WriteIo = "LZ0804", Io;
    /// A layout is not understood, or does not fit what is written.
    Layout = "LZ0805", Invalid;
    /// A value has no form in the format that is written.
    NotWritten = "LZ0806", Unsupported;
    /// What was begun cannot be gone on with.
    NotResumed = "LZ0807", Invalid;
}

impl Code {
    /// The code with this number, in upper or lower case: `LZ0302`, `lz0302`.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id().eq_ignore_ascii_case(id.trim()))
    }

    /// What it means, in a few words: the title of its page.
    pub fn title(self) -> &'static str {
        let title = self.page().lines().next().unwrap_or_default();
        title.split_once(": ").map_or(title, |(_, words)| words)
    }
}

/// What failed, where, what was expected, what was found, what to do.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    message: String,
    element: Option<String>,
    key: Option<String>,
    range: Option<Range<u64>>,
    expected: Option<String>,
    found: Option<String>,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with this code and sentence.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            element: None,
            key: None,
            range: None,
            expected: None,
            found: None,
            help: None,
            source: None,
        }))
    }

    /// Names the element (`obs/cell_type`), unless one is named already: the innermost place knows best. The root has no
    /// name.
    #[must_use]
    pub fn element(mut self, element: impl Into<String>) -> Self {
        let element = element.into();
        if !element.is_empty() {
            self.0.element.get_or_insert(element);
        }
        self
    }

    /// Names the key in the store (`X/data/c/0`), unless one is named already.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key.get_or_insert_with(|| key.into());
        self
    }

    /// Names the bytes of the key, unless they are named already.
    #[must_use]
    pub fn range(mut self, range: Range<u64>) -> Self {
        self.0.range.get_or_insert(range);
        self
    }

    /// What should have been there.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// What was there.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    /// What the reader can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// The error below.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error once more; the error below becomes part of its sentence.
    #[must_use]
    pub fn again(&self) -> Self {
        let e = &self.0;
        let message = match &e.source {
            Some(source) => format!("{}: {source}", e.message),
            None => e.message.clone(),
        };
        Self(Box::new(Inner {
            code: e.code,
            message,
            element: e.element.clone(),
            key: e.key.clone(),
            range: e.range.clone(),
            expected: e.expected.clone(),
            found: e.found.clone(),
            help: e.help.clone(),
            source: None,
        }))
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.code.kind()
    }

    /// The sentence alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The element, where one is known.
    pub fn element_name(&self) -> Option<&str> {
        self.0.element.as_deref()
    }

    /// The key in the store, where one is known.
    pub fn key_name(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The bytes of the key, where they are known.
    pub fn byte_range(&self) -> Option<Range<u64>> {
        self.0.range.clone()
    }

    /// What was expected and what was found.
    pub fn expected_found(&self) -> (Option<&str>, Option<&str>) {
        (self.0.expected.as_deref(), self.0.found.as_deref())
    }

    /// What the reader can do.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

/// Escapes control characters: names and messages may come from a hostile store and end on a terminal.
pub fn escape(text: &str) -> String {
    if text.chars().all(|c| !c.is_control()) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0;
        if let Some(element) = &e.element {
            write!(f, "`{}`: ", escape(element))?;
        }
        f.write_str(&escape(&e.message))?;
        match (&e.expected, &e.found) {
            (Some(x), Some(y)) => write!(f, ": expected {}, found {}", escape(x), escape(y))?,
            (Some(x), None) => write!(f, ": expected {}", escape(x))?,
            (None, Some(y)) => write!(f, ": found {}", escape(y))?,
            (None, None) => {}
        }
        match (&e.key, &e.range) {
            (Some(k), Some(r)) => write!(f, " (key `{}`, bytes {}..{})", escape(k), r.start, r.end)?,
            (Some(k), None) => write!(f, " (key `{}`)", escape(k))?,
            _ => {}
        }
        if let Some(source) = &e.source {
            write!(f, ": {}", escape(&source.to_string()))?;
        }
        if let Some(help) = &e.help {
            write!(f, ". {help}")?;
        }
        write!(f, " [{}]", e.code.id())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.code)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
