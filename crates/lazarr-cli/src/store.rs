//! The store that a command line names, and an element of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use lazarr::store::StoreOptions;
use lazarr::write::is_clearing;
use lazarr::{Body, Call, Code, Error, Lazy, LazyAnnData, Limits, Options, Result, Session, Step};

use crate::args::{Common, Select};
use crate::say;
use crate::selection::Selection;

/// An open store; an AnnData, where its root is one.
pub(crate) struct Store {
    pub(crate) session: Arc<Session>,
    pub(crate) object: Option<LazyAnnData>,
}

impl Store {
    /// Reads the metadata, and says on standard error what is slow or unknown about the store. A root that cannot be read
    /// is its error.
    pub(crate) fn open(common: &Common) -> Result<Self> {
        let store = Self::open_quietly(common)?;
        if !common.quiet {
            for notice in store.session.notices() {
                say("note", notice);
            }
        }
        Ok(store)
    }

    /// The same without a word.
    pub(crate) fn open_quietly(common: &Common) -> Result<Self> {
        let limits =
            common.limits.iter().fold(Limits::default(), |all, (limit, value)| all.with(*limit, *value));
        let options = Options {
            memory_limit: common.memory,
            threads: common.threads,
            follow_links: common.follow_links,
            limits,
            storage: StoreOptions::new(common.storage.iter().cloned()),
            ..Options::default()
        };
        let session = Session::open_with(&common.path, options, Some(&stopped))?;
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

    /// The AnnData, or what to do where the store is none.
    pub(crate) fn object(&self) -> Result<&LazyAnnData> {
        self.object.as_ref().ok_or_else(|| {
            Error::new(Code::Operation, "the store is not a whole AnnData")
                .found(crate::facts::kind(self.session.root()))
                .help("`lazarr head` and `lazarr get` read any element")
        })
    }

    /// The object with what is selected of it: rows that match the query, then positions or names among them.
    pub(crate) fn view(&self, select: &Select) -> Result<LazyAnnData> {
        let mut view = self.object()?.clone();
        if let Some(query) = &select.query {
            let step = view.obs_axis().query(query)?;
            view = view.select(Some(step), None)?;
        }
        let step = |selection: &Option<Selection>, n: Option<u64>| -> Result<Option<Step>> {
            selection.as_ref().map(|s| s.step(n)).transpose()
        };
        let [n_obs, n_vars] = view.shape();
        view.select(step(&select.obs, n_obs)?, step(&select.var, n_vars)?)
    }

    /// An element of a store that is no AnnData, with what is selected of its first two axes.
    pub(crate) fn part(&self, path: Option<&str>, select: &Select) -> Result<Lazy> {
        let mut lazy = self.element(path)?;
        if let Some(query) = &select.query {
            let axis = lazy.axes().first().ok_or_else(|| {
                Error::new(Code::Operation, "this element has no rows").element(&*lazy.element().path)
            })?;
            lazy = lazy.select(0, axis.query(query)?)?;
        }
        for (axis, selection) in [&select.obs, &select.var].into_iter().enumerate() {
            let Some(selection) = selection else { continue };
            // An axis that is not there is refused by `select`.
            let step = match lazy.axes().get(axis) {
                Some(a) => selection.step(a.count())?,
                None => Step::Labels([].into()),
            };
            lazy = lazy.select(axis, step)?;
        }
        Ok(lazy)
    }
}

/// A call with the limits of the session, which Ctrl-C stops once [`stop_on_ctrl_c`] was called.
pub(crate) fn call() -> Call<'static> {
    Call { interrupt: Some(&stopped), ..Call::default() }
}

static STOP: AtomicBool = AtomicBool::new(false);

fn stopped() -> bool {
    STOP.load(Relaxed)
}

/// Ctrl-C stops the reads that are under way with an error, instead of the process: what was begun is taken away.
pub(crate) fn stop_on_ctrl_c() {
    // Where no handler can be set, the process ends as it always does.
    let _ = ctrlc::set_handler(|| STOP.store(true, Relaxed));
}

/// Before the process ends: an interrupted write to a bucket takes away what it has put there. Ctrl-C leaves it.
pub(crate) fn wait_for_clearing() {
    STOP.store(false, Relaxed);
    let mut is_told = false;
    while is_clearing() && !stopped() {
        if !std::mem::replace(&mut is_told, true) {
            say("note", "clearing up what was written; Ctrl-C leaves it to the next writer");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The error of a stop between two reads.
pub(crate) fn check_stopped() -> Result<()> {
    if stopped() { Err(Error::new(Code::Interrupted, "stopped")) } else { Ok(()) }
}
