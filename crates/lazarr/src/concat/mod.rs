//! Objects one below the other, maybe of several stores, as one that is not read yet.
//!
//! [`concat()`] reads the names of the genes of each part (where these are joined) and nothing else: what comes is an
//! [`LazyAnnData`] over a joined store, whose elements are [`Concat`]s. A program reads of each part what is selected of it,
//! under one plan, one audit and one memory limit, and the results are put together as `anndata.concat` would.

mod arrays;
mod body;
mod cast;
mod categories;
mod genes;
mod join;
mod moments;
mod stretch;
mod tables;
mod types;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::anndata::{AnnData, Body, Element, Raw};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::Index;
use lazarr_store::{JoinedStore, Mount};

use crate::call::{Call, Run};
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::session::Session;
use crate::value::Value;

pub(crate) use body::{Concat, Kind, Part, Source, concat_of};
pub use body::{joined_kind, joined_nullable, joined_ordered};
pub(crate) use categories::{begins_with, given, unite};
pub(crate) use join::{Came, Piece, join};
pub(crate) use stretch::Stretch;
use tables::names_table;

/// Which genes, layers, columns of a concatenation there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// Those that all parts have.
    #[default]
    Inner,
    /// Those that any part has.
    Outer,
}

/// How objects are concatenated; what the fields mean is what they mean to `anndata.concat`.
#[derive(Debug, Clone, Default)]
pub struct Concatenation {
    /// Which genes, layers and columns there are.
    pub join: Join,
    /// A column of obs that says of which part a row is.
    pub label: Option<String>,
    /// The names of the parts; by default `0`, `1`, ….
    pub keys: Option<Vec<String>>,
    /// What stands between the name of a cell and the key of its part; by default names stay as they are.
    pub index_unique: Option<String>,
    /// What stands in a matrix where a part has no such column: by default NaN, and 0 in what is sparse.
    pub fill_value: Option<f64>,
}

/// The cells of all parts, one part below the other. Reads the names of genes of the parts, and what their selections need.
///
/// Errors with `Operation` where parts cannot be concatenated, and what to do.
///
/// ```no_run
/// use lazarr::{Call, Concatenation, LazyAnnData, Options, Session, concat};
/// let open = |path: &str| {
///     let session = Session::open(path, Options::default())?;
///     LazyAnnData::new(&session, session.root())
/// };
/// let parts = [open("one.zarr")?, open("two.zarr")?];
/// let both = concat(&parts, &Concatenation { label: Some("batch".into()), ..Default::default() }, &Call::default())?;
/// println!("{}", both.plan(&Call::default(), None, false)?);
/// # Ok::<(), lazarr::Error>(())
/// ```
pub fn concat(parts: &[LazyAnnData], how: &Concatenation, call: &Call<'_>) -> Result<LazyAnnData> {
    let Some(first) = parts.first() else {
        return Err(
            Error::new(Code::Operation, "there is nothing to concatenate").expected("at least one object")
        );
    };
    let keys = match &how.keys {
        None => (0..parts.len()).map(|k| k.to_string()).collect::<Vec<_>>(),
        Some(keys) if keys.len() == parts.len() => keys.clone(),
        Some(keys) => {
            return Err(Error::new(Code::Operation, "there are not as many keys as parts")
                .expected(parts.len().to_string())
                .found(keys.len().to_string()));
        }
    };
    if how.label.is_some() && keys.iter().collect::<HashSet<_>>().len() < keys.len() {
        return Err(Error::new(
            Code::Operation,
            "keys that are categories of a label differ from each other",
        )
        .found(keys.join(", ")));
    }
    let missing = first.session().options().missing;
    if parts.iter().any(|p| p.session().options().missing != missing) {
        return Err(Error::new(Code::Operation, "parts are opened with different `missing`")
            .help("Open all of them in the same way"));
    }
    let mut members = Vec::with_capacity(parts.len());
    for (k, part) in parts.iter().enumerate() {
        members.push(Member::new(part, k, call)?);
    }
    let builder = Builder { how, keys: &keys, members, call };
    builder.build(first.session(), parts)
}

/// An object that is concatenated.
struct Member {
    object: AnnData,
    /// The rows that are selected of it, and the columns.
    obs: Index,
    var: Index,
    names: Vec<String>,
    raw_names: Option<Vec<String>>,
}

impl Member {
    fn new(part: &LazyAnnData, k: usize, call: &Call<'_>) -> Result<Self> {
        part.resolve(call)?;
        let run = Run::new(part.session(), call);
        let (obs, var) = (part.obs_axis().resolve(&run)?, part.var_axis().resolve(&run)?);
        let names = names_of(&part.get("var")?, call)?;
        let raw = match part.object().raw.as_ref() {
            Some(_) => Some(names_of(&part.get("raw/var")?, call)?),
            None => None,
        };
        let Body::AnnData(object) = part.element().under(&format!("@{k}")).body else {
            return Err(Error::new(Code::Internal, "an object is none"));
        };
        let object =
            Arc::try_unwrap(object).map_err(|_| Error::new(Code::Internal, "an object is shared"))?;
        Ok(Self { object, obs, var, names, raw_names: raw })
    }

    fn rows(&self) -> Option<Index> {
        (!self.obs.is_all()).then(|| self.obs.clone())
    }
}

pub(crate) fn names_of(table: &Lazy, call: &Call<'_>) -> Result<Vec<String>> {
    let names = table.names()?;
    let value = names.collect(call)?;
    match &value {
        Value::Strings(s) => Ok((0..s.len())
            .map(|i| String::from_utf8_lossy(s.get(i).unwrap_or_default()).into_owned())
            .collect()),
        other => crate::resolve::spelled(other).map_err(|e| e.element(&*names.element().path)),
    }
}

struct Builder<'b> {
    how: &'b Concatenation,
    keys: &'b [String],
    members: Vec<Member>,
    call: &'b Call<'b>,
}

impl Builder<'_> {
    fn build(&self, session: &Arc<Session>, parts: &[LazyAnnData]) -> Result<LazyAnnData> {
        let lists: Vec<&[String]> = self.members.iter().map(|m| m.names.as_slice()).collect();
        let views: Vec<_> = self.members.iter().map(|m| Some(&m.var)).collect();
        let genes = self.genes(&lists, &views)?;
        let n_obs: u64 = self.members.iter().map(|m| m.obs.len()).sum();
        let run = Run::new(session, self.call);
        let mut mounts: Vec<Mount> = parts
            .iter()
            .enumerate()
            .map(|(k, part)| Mount {
                name: format!("@{k}"),
                store: part.session().io.store().clone(),
                in_memory: false,
            })
            .collect();
        let var = names_table("var", &genes.names, "@var", (&run, self.call), &mut mounts)?;
        // Some categories must be read to know what comes of them: through the parts' stores, as everything.
        let sessions: Vec<&Session> = parts.iter().map(|p| &**p.session()).collect();
        let stores = Arc::new(JoinedStore::new(session.url(), None, mounts.clone()));
        let bare = Session::of_parts(&sessions, stores, empty(""), 0);
        let tables: Vec<Option<&Element>> = self.members.iter().map(|m| Some(&m.object.obs)).collect();
        let mut obs = self.table("obs", &tables, &bare)?;
        self.label(&mut obs)?;
        let matrices = |of: fn(&AnnData) -> &Element| {
            self.mapping(of, &|path, elements| self.matrix(path, elements, &genes))
        };
        let x: Vec<Option<&Element>> = self.members.iter().map(|m| m.object.x.as_ref()).collect();
        let x = match self.how.join {
            Join::Inner if x.iter().any(Option::is_none) => None,
            _ if x.iter().all(Option::is_none) => None,
            _ => Some(or_broken("X", self.matrix("X", &x, &genes))),
        };
        let raw = self.raw(&run, &mut mounts)?;
        let object = AnnData {
            x,
            obs,
            var,
            layers: matrices(|a| &a.layers).at("layers"),
            obsm: self.mapping(|a| &a.obsm, &|path, elements| self.beside(path, elements, &bare)).at("obsm"),
            varm: empty("varm"),
            obsp: empty("obsp"),
            varp: empty("varp"),
            uns: empty("uns"),
            raw,
            n_obs,
            n_vars: genes.names.len() as u64,
            extra: Vec::new(),
        };
        let mut hash = DefaultHasher::new();
        for (part, member) in parts.iter().zip(&self.members) {
            (part.session().identity, &part.element().path).hash(&mut hash);
            (member.obs.to_bytes(), member.var.to_bytes()).hash(&mut hash);
        }
        format!("{:?}", self.how).hash(&mut hash);
        let names: Vec<String> =
            parts.iter().enumerate().map(|(k, p)| format!("@{k} = {}", p.session().url())).collect();
        let url = format!("concat({})", names.join(", "));
        let root = Element {
            path: String::new(),
            encoding_type: "anndata".into(),
            encoding_version: "0.1.0".into(),
            body: Body::AnnData(Arc::new(object)),
            attributes: Arc::default(),
        };
        let store = Arc::new(JoinedStore::new(url, None, mounts));
        let session = Session::of_parts(&sessions, store, root, hash.finish());
        LazyAnnData::new(&session, session.root())
    }

    /// The names of elements (or columns) that there are, in the order of the parts.
    fn keys_of(&self, of: &dyn Fn(&Member) -> Vec<String>) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (k, member) in self.members.iter().enumerate() {
            let names = of(member);
            match self.how.join {
                Join::Inner if k > 0 => out.retain(|n| names.contains(n)),
                Join::Inner => out = names,
                Join::Outer => {
                    let new: Vec<String> = names.into_iter().filter(|n| !out.contains(n)).collect();
                    out.extend(new);
                }
            }
        }
        out
    }

    #[allow(clippy::type_complexity, reason = "what makes an element of those of the parts")]
    fn mapping(
        &self,
        of: fn(&AnnData) -> &Element,
        make: &dyn Fn(&str, &[Option<&Element>]) -> Result<Element>,
    ) -> Element {
        let mut children = Vec::new();
        let own: Vec<Vec<(String, Element)>> =
            self.members.iter().map(|m| of(&m.object).children()).collect();
        for name in self.keys_of(&|m| of(&m.object).children().into_iter().map(|(n, _)| n).collect()) {
            let elements: Vec<Option<&Element>> =
                own.iter().map(|parts| parts.iter().find(|(n, _)| *n == name).map(|(_, e)| e)).collect();
            let path = format!("{}/{name}", of(&self.members[0].object).name());
            let element = or_broken(&path, make(&path, &elements));
            children.push((name, element));
        }
        Element { body: Body::Dict(Arc::new(children)), ..empty("") }
    }

    /// `raw` of all parts, where all have one and there is a cell: anndata forgets a raw without cells.
    fn raw(&self, run: &Run<'_>, mounts: &mut Vec<Mount>) -> Result<Option<Arc<Raw>>> {
        let raws: Vec<Option<&Arc<Raw>>> = self.members.iter().map(|m| m.object.raw.as_ref()).collect();
        let lists: Option<Vec<&[String]>> = self.members.iter().map(|m| m.raw_names.as_deref()).collect();
        let cells = self.members.iter().any(|m| !m.obs.is_empty());
        let Some(lists) = lists.filter(|_| cells && raws.iter().all(Option::is_some)) else {
            return Ok(None);
        };
        let genes = self.genes(&lists, &vec![None; lists.len()])?;
        let xs: Vec<Option<&Element>> = raws.iter().map(|r| r.and_then(|r| r.x.as_ref())).collect();
        let x = if xs.iter().all(Option::is_some) {
            Some(or_broken("raw/X", self.matrix("raw/X", &xs, &genes)))
        } else {
            None
        };
        let var = names_table("raw/var", &genes.names, "@raw", (run, self.call), mounts)?;
        Ok(Some(Arc::new(Raw { x, var, varm: empty("raw/varm") })))
    }
}

fn empty(path: &str) -> Element {
    Element {
        path: path.to_owned(),
        encoding_type: "dict".into(),
        encoding_version: "0.1.0".into(),
        body: Body::Dict(Arc::default()),
        attributes: Arc::default(),
    }
}

/// What cannot be concatenated is there with its error; everything beside it is not touched by it.
fn or_broken(path: &str, made: Result<Element>) -> Element {
    made.unwrap_or_else(|e| Element {
        path: path.to_owned(),
        encoding_type: String::new(),
        encoding_version: String::new(),
        body: Body::Broken(Arc::new(e.element(path))),
        attributes: Arc::default(),
    })
}

fn element(path: &str, kind: Kind, shape: Vec<u64>, parts: Vec<Part>) -> Element {
    let (encoding, version) = match &kind {
        Kind::Dense { .. } => ("array", "0.2.0"),
        Kind::Sparse { .. } => ("csr_matrix", "0.1.0"),
        Kind::Strings => ("string-array", "0.2.0"),
        Kind::Nullable { dtype: DataType::String, .. } => ("nullable-string-array", "0.1.0"),
        Kind::Nullable { dtype: DataType::Bool, .. } => ("nullable-boolean", "0.1.0"),
        Kind::Nullable { .. } => ("nullable-integer", "0.1.0"),
        Kind::Categorical { .. } => ("categorical", "0.2.0"),
    };
    Element {
        path: path.to_owned(),
        encoding_type: encoding.into(),
        encoding_version: version.into(),
        body: Body::Joined(Arc::new(Concat { kind, shape, parts })),
        attributes: Arc::default(),
    }
}
