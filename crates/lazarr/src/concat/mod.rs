//! Objects one below the other, maybe of several stores, as one that is not read yet.
//!
//! [`concat`] reads the names of the genes of each part (where these are joined) and nothing else: what comes is an
//! [`LazyAnnData`] over a joined store, whose elements are [`Concat`]s. A program reads of each part what is selected of it,
//! under one plan, one audit and one memory limit, and the results are put together as `anndata.concat` would.

mod body;
mod cast;
mod categories;
mod join;
mod moments;
mod types;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lazarr_format::anndata::{AnnData, Body, DataFrame, Element, Raw};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::Index;
use lazarr_store::{JoinedStore, Mount};

use crate::axis::Step;
use crate::call::{Call, Run};
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::overlay::encode;
use crate::program::{Recipe, Want};
use crate::rearrange::{NONE, StringsOut};
use crate::session::Session;
use crate::value::{Table, Value};

pub(crate) use body::{Concat, Kind, Part, Source, concat_of};
pub use body::{joined_kind, joined_nullable, joined_ordered};
pub(crate) use categories::{given, unite};
pub(crate) use join::{Came, Piece, join};
use types::{column_kind, missing_item, promote};

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

fn names_of(table: &Lazy, call: &Call<'_>) -> Result<Vec<String>> {
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

/// The genes of all parts, and for each part where they are in it; `None` where they are its own.
struct Genes {
    names: Vec<String>,
    columns: Vec<Option<Arc<[u64]>>>,
}

/// The names of an axis of all parts as one list, in the order of pandas' `intersection` and `union`.
fn join_names(lists: &[&[String]], join: Join) -> Vec<String> {
    let mut lists = lists.iter();
    let mut out = lists.next().map(|l| l.to_vec()).unwrap_or_default();
    for list in lists {
        if out == *list {
            continue;
        }
        match join {
            Join::Inner => {
                let known: HashSet<&str> = list.iter().map(String::as_str).collect();
                out.retain(|n| known.contains(n.as_str()));
            }
            Join::Outer if list.is_empty() => {}
            Join::Outer if out.is_empty() => out = list.to_vec(),
            Join::Outer => {
                let known: HashSet<String> = out.iter().cloned().collect();
                out.extend(list.iter().filter(|n| !known.contains(*n)).cloned());
                out.sort_unstable();
            }
        }
    }
    out
}

impl Builder<'_> {
    /// Genes that are joined. `views` are the positions of each part's genes in what is stored.
    fn genes(&self, lists: &[&[String]], views: &[Option<&Index>]) -> Result<Genes> {
        if let Some(first) = lists.first()
            && lists.iter().any(|l| l != first)
        {
            for list in lists {
                let mut seen = HashSet::new();
                if let Some(twice) = list.iter().find(|n| !seen.insert(n.as_str())) {
                    return Err(Error::new(Code::Operation, "names of genes that are joined must be unique")
                        .element("var")
                        .found(format!("{twice:?} twice"))
                        .help("Make them unique, or concatenate parts whose genes are the same, in the same order"));
                }
            }
        }
        let names = join_names(lists, self.how.join);
        let mut columns = Vec::with_capacity(lists.len());
        for (list, view) in lists.iter().zip(views) {
            let whole = view.is_none_or(Index::is_all);
            if **list == names {
                columns.push(match view {
                    Some(view) if !whole => Some(view.iter().collect()),
                    _ => None,
                });
                continue;
            }
            let at: HashMap<&str, u64> = list.iter().zip(0..).map(|(n, i)| (n.as_str(), i)).collect();
            let of = |name: &String| {
                let i = *at.get(name.as_str())?;
                match view {
                    Some(view) => view.get(i),
                    None => Some(i),
                }
            };
            columns.push(Some(names.iter().map(|n| of(n).unwrap_or(NONE)).collect()));
        }
        Ok(Genes { names, columns })
    }

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
        let var = names_table("var", &genes.names, "@var", &run, &mut mounts)?;
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
            _ => Some(self.or_broken("X", self.matrix("X", &x, &genes))),
        };
        let raw = self.raw(&run, &mut mounts)?;
        let object = AnnData {
            x,
            obs,
            var,
            layers: matrices(|a| &a.layers)?.at("layers"),
            obsm: self.mapping(|a| &a.obsm, &|path, elements| self.beside(path, elements, &bare))?.at("obsm"),
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

    /// What cannot be concatenated is there with its error; everything beside it is not touched by it.
    fn or_broken(&self, path: &str, made: Result<Element>) -> Element {
        made.unwrap_or_else(|e| Element {
            path: path.to_owned(),
            encoding_type: String::new(),
            encoding_version: String::new(),
            body: Body::Broken(Arc::new(e.element(path))),
            attributes: Arc::default(),
        })
    }

    fn element(&self, path: &str, kind: Kind, shape: Vec<u64>, parts: Vec<Part>) -> Element {
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

    fn mapping(
        &self,
        of: fn(&AnnData) -> &Element,
        make: &dyn Fn(&str, &[Option<&Element>]) -> Result<Element>,
    ) -> Result<Element> {
        let mut children = Vec::new();
        let own: Vec<Vec<(String, Element)>> =
            self.members.iter().map(|m| of(&m.object).children()).collect();
        for name in self.keys_of(&|m| of(&m.object).children().into_iter().map(|(n, _)| n).collect()) {
            let elements: Vec<Option<&Element>> =
                own.iter().map(|parts| parts.iter().find(|(n, _)| *n == name).map(|(_, e)| e)).collect();
            let path = format!("{}/{name}", of(&self.members[0].object).name());
            let element = self.or_broken(&path, make(&path, &elements));
            children.push((name, element));
        }
        Ok(Element { body: Body::Dict(Arc::new(children)), ..empty("") })
    }

    /// X or a layer.
    fn matrix(&self, path: &str, elements: &[Option<&Element>], genes: &Genes) -> Result<Element> {
        let width = genes.names.len() as u64;
        self.joined(path, elements, Some(width), &|k| genes.columns[k].clone())
    }

    /// An element of obsm: a table, or an array as wide as the narrowest (the widest) part.
    fn beside(&self, path: &str, elements: &[Option<&Element>], session: &Session) -> Result<Element> {
        let tables = elements.iter().flatten().filter(|e| matches!(e.body, Body::DataFrame(_))).count();
        if tables > 0 {
            if tables < elements.iter().flatten().count() {
                return Err(Error::new(Code::Operation, "a table cannot be concatenated with an array"));
            }
            return self.table(path, elements, session);
        }
        let wide = |e: &Element| e.shape().and_then(|s| s.get(1).copied());
        let widths: Vec<u64> = elements.iter().flatten().filter_map(|e| wide(e)).collect();
        let width = match self.how.join {
            Join::Inner => widths.iter().min(),
            Join::Outer => widths.iter().max(),
        }
        .copied();
        let columns = |k: usize| {
            let own = elements[k].and_then(wide)?;
            let width = width?;
            (own != width).then(|| (0..width).map(|j| if j < own { j } else { NONE }).collect())
        };
        self.joined(path, elements, width, &columns)
    }

    /// Matrices or arrays one below the other; `columns` says where the columns of the whole are in a part.
    fn joined(
        &self,
        path: &str,
        elements: &[Option<&Element>],
        width: Option<u64>,
        columns: &dyn Fn(usize) -> Option<Arc<[u64]>>,
    ) -> Result<Element> {
        let shape_of = |e: &Element| e.shape().unwrap_or_default();
        let mut ranks = elements.iter().flatten().map(|e| shape_of(e).len());
        let rank = ranks.next().unwrap_or(0);
        if rank == 0 || ranks.any(|r| r != rank) {
            return Err(Error::new(
                Code::Operation,
                "arrays with other numbers of axes cannot be concatenated",
            ));
        }
        let is_sparse = |e: &Element| match &e.body {
            Body::Sparse(_) => true,
            _ => matches!(concat_of(e).map(|c| &c.kind), Some(Kind::Sparse { .. })),
        };
        let sparse = elements.iter().flatten().any(|e| is_sparse(e));
        let fill = match (sparse, self.how.fill_value) {
            (true, None) => 0.0,
            (true, Some(x)) if x != 0.0 => {
                return Err(Error::new(Code::Operation, "what a sparse matrix does not have is 0")
                    .found(format!("fill_value {x}"))
                    .help("Leave fill_value out, or make the part dense first"));
            }
            (_, Some(x)) => x,
            (false, None) => f64::NAN,
        };
        // As numpy has it: an array that is filled is promoted by the filling.
        let whole = self.how.fill_value.is_some_and(|x| x.fract() == 0.0 && x.abs() < 2f64.powi(53));
        let filling = if whole { DataType::Int(8) } else { DataType::Float(8) };
        let mut dtype: Option<DataType> = None;
        let mut parts = Vec::with_capacity(elements.len());
        for (k, (element, member)) in elements.iter().zip(&self.members).enumerate() {
            let columns = columns(k);
            let gaps = columns.as_ref().is_some_and(|c| c.contains(&NONE));
            let own = match element {
                None if sparse => DataType::Float(8),
                None => filling.clone(),
                Some(e) => {
                    let own = items_of(e)?;
                    let stored = shape_of(e);
                    let bare = stored.get(1) == Some(&0) && gaps;
                    match (sparse, gaps) {
                        (true, _) if bare => DataType::Float(8),
                        (false, true) if bare => filling.clone(),
                        (false, true) => promote(&own, &filling).ok_or_else(|| differ(&own, &filling))?,
                        _ => own,
                    }
                }
            };
            dtype = Some(match dtype {
                None => own,
                Some(known) => promote(&known, &own).ok_or_else(|| differ(&known, &own))?,
            });
            parts.push(Part {
                source: element.map_or(Source::Missing, |e| Source::Element(e.clone())),
                len: member.obs.len(),
                rows: element.and_then(|_| member.rows()),
                columns,
                suffix: None,
            });
        }
        let dtype = dtype.unwrap_or(DataType::Float(8));
        let rows = self.members.iter().map(|m| m.obs.len()).sum();
        let mut shape = vec![rows];
        let rest: Vec<Vec<u64>> =
            elements.iter().flatten().map(|e| shape_of(e).into_iter().skip(2).collect()).collect();
        shape.extend(if rank > 1 { width } else { None });
        shape.extend(rest.first().into_iter().flatten());
        if rest.iter().any(|r| Some(r) != rest.first()) {
            return Err(Error::new(Code::Operation, "arrays of other shapes cannot be concatenated"));
        }
        let kind = if sparse {
            Kind::Sparse { dtype }
        } else {
            let item = number(fill, &dtype);
            Kind::Dense { fill: item, dtype }
        };
        Ok(self.element(path, kind, shape, parts))
    }

    /// Tables one below the other.
    fn table(&self, path: &str, tables: &[Option<&Element>], session: &Session) -> Result<Element> {
        let frame = |e: &Element| -> Result<Arc<DataFrame>> {
            match &e.body {
                Body::DataFrame(frame) => Ok(frame.clone()),
                Body::Broken(e) => Err(e.again()),
                _ => Err(Error::new(Code::Operation, "this is not a table").element(&*e.path)),
            }
        };
        let frames = tables.iter().map(|t| t.map(frame).transpose()).collect::<Result<Vec<_>>>()?;
        let names_of = |k: usize| -> Vec<String> {
            frames[k].as_ref().map_or(Vec::new(), |f| f.columns.iter().map(|(n, _)| n.clone()).collect())
        };
        let mut order: Vec<String> = Vec::new();
        for k in 0..frames.len() {
            let names = names_of(k);
            match self.how.join {
                Join::Inner if k > 0 => order.retain(|n| names.contains(n)),
                Join::Inner => order = names,
                Join::Outer => {
                    let new: Vec<String> = names.into_iter().filter(|n| !order.contains(n)).collect();
                    order.extend(new);
                }
            }
        }
        let mut columns = Vec::with_capacity(order.len());
        for name in order {
            let own: Vec<Option<&Element>> = frames
                .iter()
                .map(|f| f.as_ref()?.columns.iter().find(|(n, _)| *n == name).map(|(_, c)| c))
                .collect();
            let path = format!("{path}/{name}");
            let made = self.column(&path, &own, session);
            columns.push((name, self.or_broken(&path, made)));
        }
        let parts = self.members.iter().enumerate().map(|(k, m)| {
            // A table beside the cells has their names once more; without one they would be read twice.
            let Some(frame) = &frames[k] else {
                return Err(Error::new(Code::Operation, "a table that a part lacks cannot be concatenated")
                    .help("Use join=\"inner\", or leave the table out"));
            };
            Ok(Part {
                source: Source::Element(frame.index.clone()),
                len: m.obs.len(),
                rows: m.rows(),
                columns: None,
                suffix: self.how.index_unique.as_ref().map(|sep| format!("{sep}{}", self.keys[k]).into()),
            })
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let len = parts.iter().map(|p| p.len).sum();
        let index = self.element(&format!("{path}/_index"), Kind::Strings, vec![len], parts);
        Ok(Element {
            path: path.to_owned(),
            encoding_type: "dataframe".into(),
            encoding_version: "0.2.0".into(),
            body: Body::DataFrame(Arc::new(DataFrame { index_key: "_index".into(), index, columns, len })),
            attributes: Arc::default(),
        })
    }

    fn column(&self, path: &str, own: &[Option<&Element>], session: &Session) -> Result<Element> {
        let there: Vec<&Element> = own.iter().flatten().copied().collect();
        // Whether ordered categories are the same can only be known from them.
        let same = || self.same_categories(&there, session);
        let kind = column_kind(&there, there.len() < own.len(), &same)?;
        let parts: Vec<Part> = own
            .iter()
            .zip(&self.members)
            .map(|(e, m)| Part {
                source: e.map_or(Source::Missing, |e| Source::Element(e.clone())),
                len: m.obs.len(),
                rows: e.and_then(|_| m.rows()),
                columns: None,
                suffix: None,
            })
            .collect();
        let len = parts.iter().map(|p| p.len).sum();
        Ok(self.element(path, kind, vec![len], parts))
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

fn differ(a: &DataType, b: &DataType) -> Error {
    Error::new(Code::Operation, "arrays of these types cannot be concatenated").found(format!("{a} and {b}"))
}

/// The type of a matrix's items.
fn items_of(element: &Element) -> Result<DataType> {
    match &element.body {
        Body::Broken(e) => Err(e.again()),
        Body::Dense(a) if a.part.is_none() => Ok(a.dtype.clone()),
        Body::Sparse(s) => Ok(s.data.dtype.clone()),
        _ => match concat_of(element).map(|c| &c.kind) {
            Some(Kind::Dense { dtype, .. } | Kind::Sparse { dtype }) => Ok(dtype.clone()),
            _ => Err(Error::new(Code::Operation, "only arrays and sparse matrices are concatenated here")
                .found(crate::describe(element))
                .help("Leave it out, or concatenate in memory")),
        },
    }
}

/// A number as an item of a type.
fn number(x: f64, dtype: &DataType) -> Vec<u8> {
    if x.is_nan() {
        return missing_item(dtype);
    }
    match dtype {
        DataType::Bool => vec![u8::from(x != 0.0)],
        DataType::Int(n) | DataType::UInt(n) => (x as i64).to_le_bytes()[..usize::from(*n)].to_vec(),
        DataType::Float(4) => (x as f32).to_ne_bytes().to_vec(),
        DataType::Float(8) => x.to_ne_bytes().to_vec(),
        other => missing_item(other).iter().map(|_| 0).collect(),
    }
}

/// A table of names alone, in memory.
fn names_table(
    path: &str,
    names: &[String],
    mount: &str,
    run: &Run<'_>,
    mounts: &mut Vec<Mount>,
) -> Result<Element> {
    let bytes = names.iter().map(|n| n.len() as u64).sum();
    let mut index = StringsOut::new(vec![names.len() as u64], bytes, true, &run.cx)?;
    names.iter().for_each(|n| index.push(n.as_bytes()));
    let index = Some(Box::new(Value::Strings(index.finish())));
    let table = Value::Table(Table { index_name: None, index, columns: Vec::new(), len: names.len() as u64 });
    let (store, element) = encode(&table, &run.cx.budget)?;
    mounts.push(Mount { name: mount.to_owned(), store: Arc::new(store), in_memory: true });
    Ok(element.under(mount).at(path))
}

impl Builder<'_> {
    /// The column that says of which part a row is.
    fn label(&self, obs: &mut Element) -> Result<()> {
        let Some(label) = &self.how.label else { return Ok(()) };
        let Body::DataFrame(frame) = &obs.body else { return Ok(()) };
        if *label == frame.index_key {
            return Err(Error::new(Code::Operation, "the label cannot be called as the names are")
                .found(label.clone()));
        }
        let parts = self.members.iter().enumerate().map(|(k, m)| Part {
            source: Source::Code(k as u64),
            len: m.obs.len(),
            rows: None,
            columns: None,
            suffix: None,
        });
        let kind = Kind::Categorical { ordered: false, given: Some(self.keys.into()) };
        let column = self.element(&format!("obs/{label}"), kind, vec![frame.len], parts.collect());
        let mut columns = frame.columns.clone();
        match columns.iter_mut().find(|(n, _)| n == label) {
            Some((_, old)) => *old = column,
            None => columns.push((label.clone(), column)),
        }
        obs.body = Body::DataFrame(Arc::new(DataFrame {
            index_key: frame.index_key.clone(),
            index: frame.index.clone(),
            columns,
            len: frame.len,
        }));
        Ok(())
    }

    /// Reads categories, where some have an order: whether they are the same decides what comes of them.
    fn same_categories(&self, columns: &[&Element], session: &Session) -> Result<bool> {
        let run = Run::new(session, self.call);
        let mut lists = Vec::with_capacity(columns.len());
        for column in columns {
            if matches!(&column.body, Body::Categorical(c) if !c.ordered) {
                return Ok(false);
            }
            lists.push(run.read(&|| {
                let mut want = Want { names: true, ..Want::default() };
                let recipe = want.add_categories(column)?;
                Ok((want, Recipe::Texts(Box::new(recipe))))
            })?);
        }
        categories::same(&lists)
    }

    /// `raw` of all parts, where all have one.
    fn raw(&self, run: &Run<'_>, mounts: &mut Vec<Mount>) -> Result<Option<Arc<Raw>>> {
        let raws: Vec<Option<&Arc<Raw>>> = self.members.iter().map(|m| m.object.raw.as_ref()).collect();
        let lists: Option<Vec<&[String]>> = self.members.iter().map(|m| m.raw_names.as_deref()).collect();
        let Some(lists) = lists.filter(|_| raws.iter().all(Option::is_some)) else { return Ok(None) };
        let genes = self.genes(&lists, &vec![None; lists.len()])?;
        let xs: Vec<Option<&Element>> = raws.iter().map(|r| r.and_then(|r| r.x.as_ref())).collect();
        let x = if xs.iter().all(Option::is_some) {
            Some(self.or_broken("raw/X", self.matrix("raw/X", &xs, &genes)))
        } else {
            None
        };
        let var = names_table("raw/var", &genes.names, "@raw", run, mounts)?;
        Ok(Some(Arc::new(Raw { x, var, varm: empty("raw/varm") })))
    }
}

/// The rows of a view that are of one part, for what walks part by part.
pub(crate) struct Stretch {
    /// The part as an element with the selection that is its own.
    pub(crate) lazy: Lazy,
    /// What its columns become.
    pub(crate) to: Option<Vec<u64>>,
    /// Rows.
    pub(crate) len: u64,
}

impl Concat {
    /// The parts that a selection touches, each as an element of its own; `None` for a part that is no element.
    pub(crate) fn stretches(
        &self,
        of: &Lazy,
        run: &Run<'_>,
    ) -> Result<(Vec<Option<Stretch>>, Option<Vec<u64>>)> {
        let indices: Vec<Index> = of.axes().iter().map(|a| a.resolve(run)).collect::<Result<_>>()?;
        let rows = indices.first().cloned().unwrap_or_else(|| Index::all(self.len()));
        let (of_part, order) = self.split(&rows)?;
        let mut out = Vec::with_capacity(self.parts.len());
        for (part, mine) in self.parts.iter().zip(of_part) {
            let Source::Element(element) = &part.source else {
                out.push(None);
                continue;
            };
            let whole = Lazy::new(of.session(), element);
            let own = match &part.rows {
                Some(rows) => rows.compose(&mine)?,
                None => mine.clone(),
            };
            let mut lazy = whole.select(0, Step::Index(own))?;
            let mut to = None;
            if let Some(columns) = indices.get(1) {
                let stored = part.source.stored();
                let (index, target) = part.pick(columns, stored.get(1).copied().unwrap_or_default())?;
                lazy = lazy.select(1, Step::Index(index))?;
                to = target;
            }
            for (axis, index) in indices.iter().enumerate().skip(2) {
                lazy = lazy.select(axis, Step::Index(index.clone()))?;
            }
            out.push(Some(Stretch { lazy, to, len: mine.len() }));
        }
        Ok((out, order))
    }
}
