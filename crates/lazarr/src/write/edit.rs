//! Elements that are put into a store that is there, or taken out of it.

use std::path::Path;
use std::sync::Arc;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::encode::{Layout, Role};
use lazarr_format::{Code, Error, Result};
use lazarr_store::draft::{Draft, DraftOptions, Halt, LocalDraft};
use serde_json::Value as Json;

use super::documents::Documents;
use super::element::{self, encoding, join};
use super::job::Job;
use super::source::Source;
use super::{WriteOptions, Written, aside, change_far, is_local, local, request};
use crate::call::Call;
use crate::session::{Options, Session};

/// Puts elements into a store, and takes others out of it: whole or not at all. What is not named keeps its very files. In a
/// bucket, whoever reads by the consolidated metadata sees all of it or nothing; it is put last.
/// `options.overwrite` says whether what is there may be replaced.
///
/// Errors: `StoreNotFound`, `StoreExists` where something has the name of what is put; `ElementNotFound` where nothing has
/// the name of what is taken out; `Misaligned` and `EncodingInvalid` where the store would be none after it; those of
/// [`write`](super::write()).
///
/// ```no_run
/// use lazarr::write::{Source, WriteOptions, write_into};
/// use lazarr::{Call, Options, Session, LazyAnnData};
/// let other = Session::open("other.zarr", Options::default())?;
/// let score = LazyAnnData::new(&other, other.root())?.get("obs/score")?;
/// let put = vec![("obs/score".to_owned(), Source::Lazy(score))];
/// write_into("atlas.zarr", put, &["obs/old_score".to_owned()], &WriteOptions::default(), &Call::default())?;
/// # Ok::<(), lazarr::Error>(())
/// ```
pub fn write_into(
    path: &str,
    put: Vec<(String, Source<'_>)>,
    drop: &[String],
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    let expected = put.iter().map(|(_, source)| source.bytes() / 64).fold(0, u64::saturating_add);
    changing(path, call, |call, halt| {
        put_into(Edit::begin(path, expected, options, halt)?, put, drop, options, call)
    })
}

/// Changes a store; what waits for a network does so beside the caller's thread.
pub(super) fn changing<T: Send>(
    path: &str,
    call: &Call<'_>,
    act: impl FnOnce(&Call<'_>, &Halt) -> Result<T> + Send,
) -> Result<T> {
    let halt = Halt::default();
    if is_local(path) { act(call, &halt) } else { aside(call, &halt, |call| act(call, &halt)) }
}

fn put_into(
    mut edit: Edit,
    put: Vec<(String, Source<'_>)>,
    drop: &[String],
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    for path in drop {
        edit.take_out(path.trim_matches('/'), false)?;
    }
    let layout = edit.layout(options);
    let options = WriteOptions { layout, ..options.clone() };
    let mut places = Vec::with_capacity(put.len());
    for (path, source) in put {
        let path = path.trim_matches('/').to_owned();
        let role = edit.make_room(&path, options.overwrite)?;
        places.push((path, source, role));
    }
    let names: Vec<String> = places.iter().map(|(path, ..)| path.clone()).collect();
    let mut job = Job::new(&*edit.draft, &options, call);
    job.taken = edit.documents.keys();
    let _sent = job.budget.charge(edit.draft.holds()[1], "values on their way")?;
    for (path, source, role) in places {
        element::write_as(&job, &path, source, role).map_err(|e| e.element(&*path))?;
    }
    let (made, written) = job.documents();
    for (key, bytes) in made {
        edit.documents.merge(&key, &bytes, &|_| false)?;
    }
    edit.finish(&names)?;
    Ok(written)
}

/// A store that is changed.
pub(super) struct Edit {
    pub(super) draft: Box<dyn Draft>,
    pub(super) documents: Documents,
    /// As it was.
    pub(super) session: Arc<Session>,
}

impl Edit {
    pub(super) fn begin(path: &str, expected: u64, options: &WriteOptions<'_>, halt: &Halt) -> Result<Self> {
        if options.resume {
            return Err(request::refused(
                "a change of a store cannot be resumed",
                "Make it again: the store is as it was",
            ));
        }
        if !is_local(path) {
            return change_far(path, options, halt);
        }
        let place = Path::new(local(path, "changed")?);
        let draft = DraftOptions {
            overwrite: true,
            expected,
            no_sync: options.no_sync,
            fault: options.fault.clone(),
            no_exchange: options.no_exchange,
            request: None,
        };
        let draft = LocalDraft::edit(place, draft)?;
        let session = Session::open(path, Options::default())?;
        let documents = Documents::open(draft.root(), session.zarr_format())?;
        Ok(Self { draft: Box::new(draft), documents, session })
    }

    /// The layout, of the store's own version of Zarr.
    pub(super) fn layout(&self, options: &WriteOptions<'_>) -> Layout {
        Layout { zarr_format: self.documents.zarr_format, ..options.layout.clone() }
    }

    /// Takes an element out, which must not be one that every AnnData has.
    pub(super) fn take_out(&mut self, path: &str, to_replace: bool) -> Result<()> {
        let is_frame = |e: &Element| matches!(&e.body, Body::DataFrame(_));
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = self.session.element(parent);
        let needed = match (&above, &self.session.root().body) {
            (Ok(Element { body: Body::DataFrame(f), .. }), _) => f.index_key == name,
            (_, Body::AnnData(_)) => matches!(path, "obs" | "var" | "raw/var"),
            _ => path.is_empty(),
        };
        if path.is_empty() || (needed && !to_replace) {
            return Err(Error::new(Code::NotWritten, "this cannot be taken out: the store would be none")
                .element(if path.is_empty() { "/" } else { path }));
        }
        if !self.documents.has(path) {
            return Err(Error::new(Code::ElementNotFound, "there is nothing here that could be taken out")
                .element(path)
                .help("Name it as in the store: `layers/counts`, `obs/batch`"));
        }
        self.draft.clear(path)?;
        self.documents.removed(path);
        if !to_replace && above.is_ok_and(|e| is_frame(&e)) {
            self.columns(parent, &|order| order.retain(|n| n.as_str() != Some(name)))?;
        }
        Ok(())
    }

    fn columns(&mut self, table: &str, change: &dyn Fn(&mut Vec<Json>)) -> Result<()> {
        let mut attributes = self.documents.attributes(table)?;
        if let Some(order) = attributes.get_mut("column-order").and_then(Json::as_array_mut) {
            change(order);
        }
        self.documents.set_attributes(table, attributes)
    }

    /// Room for an element: what has its name is taken out, groups above it are made.
    fn make_room(&mut self, path: &str, overwrite: bool) -> Result<Role> {
        let mut at = String::new();
        let parts: Vec<&str> = path.split('/').collect();
        for (k, part) in parts.iter().enumerate() {
            let above = at.clone();
            at = join(&above, part)?;
            if k + 1 == parts.len() {
                break;
            }
            if !self.documents.has(&at) {
                if k > 0
                    && self
                        .session
                        .element(&above)
                        .is_ok_and(|e| e.children().is_empty() && e.shape().is_some())
                {
                    return Err(Error::new(Code::NotWritten, "only a group has parts").element(above));
                }
                self.documents.group(&at, encoding("dict", "0.1.0", &[]));
            }
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let there = self.documents.has(path);
        if there && !overwrite {
            return Err(Error::new(Code::StoreExists, "an element of this name is there already")
                .element(path)
                .help("Replace it with overwrite=True, or give another name"));
        }
        let above = self.session.element(parent).ok();
        let table = matches!(&above, Some(Element { body: Body::DataFrame(_), .. }));
        let group = matches!(
            &above,
            None | Some(Element {
                body: Body::AnnData(_) | Body::Dict(_) | Body::Raw(_) | Body::DataFrame(_),
                ..
            })
        );
        if !group {
            return Err(
                Error::new(Code::NotWritten, "only a mapping or a table takes other parts").element(parent)
            );
        }
        if there {
            self.take_out(path, true)?;
        }
        if table {
            let index =
                matches!(&above, Some(Element { body: Body::DataFrame(f), .. }) if f.index_key == name);
            self.columns(parent, &|order| {
                if !index && !order.iter().any(|n| n.as_str() == Some(name)) {
                    order.push(name.into());
                }
            })?;
            return Ok(Role::Column);
        }
        Ok(Role::Other)
    }

    /// Metadata last; what came of it is looked at, and then it is the store.
    pub(super) fn finish(self, names: &[String]) -> Result<()> {
        let Self { mut draft, documents, session } = self;
        let now = Session::open_store(documents.finish(&*draft)?, Options::default())?;
        let broken = |e: &Element| match &e.body {
            Body::Broken(why) => Some(why.again()),
            _ => None,
        };
        if let (Some(why), None) = (broken(now.root()), broken(session.root())) {
            return Err(why);
        }
        for name in names {
            if let Some(why) = broken(&now.element(name)?) {
                return Err(why.element(&**name));
            }
        }
        draft.publish()
    }
}
