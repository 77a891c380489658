//! One try: what is asked of a server, and what it answers.

use std::hash::{DefaultHasher, Hash, Hasher};

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
    /// Bytes.
    pub(super) body: BoxStream<'static, Result<bytes::Bytes, Failure>>,
}

impl Answer {
    /// The state of the value.
    pub(super) fn version(&self) -> Version {
        let mut hash = DefaultHasher::new();
        // A length alone says little, but more than nothing.
        match &self.tag {
            Some(tag) => tag.hash(&mut hash),
            None => self.total.hash(&mut hash),
        }
        Version(hash.finish())
    }
}
