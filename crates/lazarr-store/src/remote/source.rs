//! One try: what is asked of a server, and what it answers.

use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lazarr_format::Version;

use super::failure::Failure;

/// The bytes that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Span {
    /// All from here on.
    From(u64),
    /// From here, to before there.
    Range(u64, u64),
    /// The last so many.
    Last(u64),
}

/// An answer whose bytes come.
pub(super) struct Answer {
    /// Where its bytes begin in the value.
    pub(super) start: u64,
    /// Where they end, where that is known.
    pub(super) end: Option<u64>,
    /// The length of the value, where it is known.
    pub(super) total: Option<u64>,
    /// What tells this state of the value from others.
    pub(super) tag: Option<String>,
    /// It is still the state that was named: no bytes come.
    pub(super) same: bool,
    /// Bytes.
    pub(super) body: BoxStream<'static, Result<bytes::Bytes, Failure>>,
}

/// The version of a value that has this tag.
pub(super) fn version_of(tag: &str) -> Version {
    let mut hash = DefaultHasher::new();
    tag.hash(&mut hash);
    Version(hash.finish())
}

impl Answer {
    /// That the value is still what it was.
    pub(super) fn same() -> Self {
        let body = futures_util::stream::empty().boxed();
        Self { start: 0, end: None, total: None, tag: None, same: true, body }
    }

    /// The state of the value.
    pub(super) fn version(&self) -> Version {
        let mut hash = DefaultHasher::new();
        // A length alone says little, but more than nothing.
        match &self.tag {
            Some(tag) => return version_of(tag),
            None => self.total.hash(&mut hash),
        }
        Version(hash.finish())
    }
}
