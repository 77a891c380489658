//! The store that a command line names, and an element of it.

use std::sync::Arc;

use lazarr::{Body, Call, Lazy, LazyAnnData, Limits, Options, Result, Session};

use crate::args::Common;

/// An open store; an AnnData, where its root is one.
pub(crate) struct Store {
    pub(crate) session: Arc<Session>,
    pub(crate) object: Option<LazyAnnData>,
}

impl Store {
    /// Reads the metadata. A root that cannot be read is its error.
    pub(crate) fn open(common: &Common) -> Result<Self> {
        let limits =
            common.limits.iter().fold(Limits::default(), |all, (limit, value)| all.with(*limit, *value));
        let options =
            Options { memory_limit: common.memory, threads: common.threads, limits, ..Options::default() };
        let session = Session::open(&common.path, options)?;
        let object = match &session.root().body {
            Body::AnnData(_) => Some(LazyAnnData::new(&session, session.root())?),
            Body::Broken(e) => return Err(e.again()),
            _ => None,
        };
        Ok(Self { session, object })
    }

    /// The element at a path; the root without one. In an AnnData it shares the axes of the object.
    pub(crate) fn element(&self, path: Option<&str>) -> Result<Lazy> {
        let path = path.unwrap_or_default().trim_matches('/');
        match &self.object {
            Some(object) if !path.is_empty() => object.get(path),
            _ => Ok(Lazy::new(&self.session, &self.session.element(path)?)),
        }
    }
}

/// A call with the limits of the session.
pub(crate) fn call() -> Call<'static> {
    Call::default()
}
