//! What is written: elements that are not read yet, values, blocks of rows.

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, Error, Result};

use crate::call::{Call, decoded_bytes};
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::value::Value;

/// Something to be written.
pub enum Source<'a> {
    /// An element, with what is selected of it; it is read block by block.
    Lazy(Lazy),
    /// A value in memory.
    Value(Value),
    /// Rows that come block by block.
    Blocks(Box<dyn Blocks + 'a>),
    /// A group of named parts.
    Group {
        /// What the group is.
        kind: Group,
        /// Its parts, in order.
        children: Vec<(String, Source<'a>)>,
    },
}

/// What a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// A whole AnnData.
    AnnData,
    /// `raw`.
    Raw,
    /// A mapping.
    Dict,
    /// A table: the part named `index` is its index, the others are its columns in order.
    DataFrame {
        /// The part that is the index; `_index` where it has no name.
        index: String,
    },
}

/// Rows that are made block by block: of one kind and type, in order.
pub trait Blocks: Send {
    /// Rows (columns, of csc matrices) in all, where that is known.
    fn rows(&self) -> Option<u64>;

    /// Stored values in all, where these are blocks of a sparse matrix and that is known; never too small.
    fn stored(&self) -> Option<u64> {
        None
    }

    /// What tells these rows from others, where a later writer can ask for the same: a hash of what is in memory. Asked only
    /// where a writing is to be [resumed](super::WriteOptions::resume).
    fn identity(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// The next block, of about so many bytes; `None` after the last. One block at least comes, if without rows.
    fn next(&mut self, bytes: u64, call: &Call<'_>) -> Result<Option<Value>>;
}

impl<'a> Source<'a> {
    /// A whole object, with what is selected of it.
    pub fn of_object(object: &LazyAnnData) -> Result<Self> {
        let element = object.element();
        let Body::AnnData(all) = &element.body else {
            return Err(Error::new(Code::Operation, "this is not a whole AnnData").element(&*element.path));
        };
        let extra: Vec<&str> = all.extra.iter().map(|(name, _)| name.as_str()).collect();
        let mut children = Vec::new();
        for (place, child) in element.children() {
            // No AnnData has them: anndata would not read what is written.
            if extra.contains(&place.as_str()) {
                continue;
            }
            let source = match &child.body {
                Body::Raw(raw) => {
                    let mut parts = Vec::new();
                    if raw.x.is_some() {
                        parts.push(("X".to_owned(), Self::Lazy(object.get("raw/X")?)));
                    }
                    parts.push(("var".to_owned(), Self::Lazy(object.get("raw/var")?)));
                    let varm = Self::mapping(&raw.varm, |name| object.get(&format!("raw/varm/{name}")))?;
                    parts.push(("varm".to_owned(), varm));
                    Self::Group { kind: Group::Raw, children: parts }
                }
                Body::Dict(_) if place != "uns" => {
                    Self::mapping(&child, |name| object.get(&format!("{place}/{name}")))?
                }
                _ => Self::Lazy(object.get(&place)?),
            };
            children.push((place, source));
        }
        Ok(Self::Group { kind: Group::AnnData, children })
    }

    /// The parts of a mapping.
    fn mapping(element: &Element, get: impl Fn(&str) -> Result<Lazy>) -> Result<Self> {
        let names = element.children().into_iter().map(|(name, _)| name);
        let children = names.map(|name| get(&name).map(|lazy| (name, Self::Lazy(lazy))));
        Ok(Self::Group { kind: Group::Dict, children: children.collect::<Result<_>>()? })
    }

    /// A mapping or a table that is not read yet, as the group of its parts; anything else as it is.
    fn expand(&mut self) -> Result<()> {
        let Self::Lazy(lazy) = self else { return Ok(()) };
        let element = lazy.element();
        let (kind, children) = match &element.body {
            Body::Dict(children) => {
                let parts =
                    children.iter().map(|(name, _)| Ok((name.clone(), Self::Lazy(lazy.child(name)?))));
                (Group::Dict, parts.collect::<Result<_>>()?)
            }
            Body::DataFrame(frame) => {
                let index = frame.index_key.clone();
                let mut parts = vec![(index.clone(), Self::Lazy(lazy.names()?))];
                for name in lazy.column_names().into_iter().filter(|n| *n != index) {
                    let column = lazy.column(&name)?;
                    parts.push((name, Self::Lazy(column)));
                }
                (Group::DataFrame { index }, parts)
            }
            _ => return Ok(()),
        };
        *self = Self::Group { kind, children };
        Ok(())
    }

    /// Another source in the place of the part at a path (`obsm/X_new`), or beside those that are there.
    pub fn put(&mut self, path: &str, source: Source<'a>) -> Result<()> {
        self.expand()?;
        let Self::Group { children, .. } = self else {
            return Err(Error::new(Code::Operation, "only a group has parts").element(path));
        };
        let (name, rest) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
        let found = children.iter_mut().find(|(n, _)| n == name);
        match (found, rest) {
            (Some((_, part)), Some(rest)) => part.put(rest, source),
            (Some((_, part)), None) => {
                *part = source;
                Ok(())
            }
            (None, None) => {
                children.push((name.to_owned(), source));
                Ok(())
            }
            (None, Some(rest)) => {
                let mut group = Self::Group { kind: Group::Dict, children: Vec::new() };
                group.put(rest, source)?;
                children.push((name.to_owned(), group));
                Ok(())
            }
        }
    }

    /// Takes the parts away for which this is false, by path. The index of a table stays.
    pub fn retain(&mut self, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        self.retain_in("", keep)
    }

    /// Leaves out the parts at these paths.
    ///
    /// Errors: `ElementNotFound` where nothing is there: a name that is misspelt leaves nothing out.
    pub fn leave_out<S: AsRef<str>>(&mut self, paths: &[S]) -> Result<()> {
        let plain: Vec<&str> = paths.iter().map(|p| p.as_ref().trim_matches('/')).collect();
        let met = std::cell::RefCell::new(vec![false; plain.len()]);
        self.retain(&|path| {
            let mut met = met.borrow_mut();
            let mut kept = true;
            for (_, met) in plain.iter().zip(&mut *met).filter(|(p, _)| **p == path) {
                (*met, kept) = (true, false);
            }
            kept
        })?;
        // What is in something that is left out is not met.
        let inside =
            |path: &str| plain.iter().any(|p| path.strip_prefix(p).is_some_and(|r| r.starts_with('/')));
        let lost = plain.iter().zip(met.into_inner()).find(|(path, met)| !met && !inside(path));
        lost.map_or(Ok(()), |(path, _)| {
            Err(Error::new(Code::ElementNotFound, "there is nothing here that could be left out")
                .element(*path)
                .help("Name it as in the store: `layers/counts`, `obs/batch`"))
        })
    }

    fn retain_in(&mut self, path: &str, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        self.expand()?;
        let Self::Group { children, kind } = self else { return Ok(()) };
        let is_index = |name: &str| matches!(&*kind, Group::DataFrame { index } if index == name);
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        children.retain(|(name, _)| is_index(name) || keep(&join(name)));
        children.iter_mut().try_for_each(|(name, child)| child.retain_in(&join(name), keep))
    }

    /// The names of the stores that are read.
    #[cfg(feature = "remote")]
    pub(super) fn stores(&self) -> Vec<String> {
        match self {
            Self::Lazy(lazy) => lazy.session().io.store().names(),
            Self::Value(_) | Self::Blocks(_) => Vec::new(),
            Self::Group { children, .. } => {
                let mut all: Vec<_> = children.iter().flat_map(|(_, child)| child.stores()).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Bytes in memory, as far as they are known: of whole elements.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Lazy(lazy) if lazy.axes().iter().all(|a| a.is_all()) => decoded_bytes(lazy.element()).value,
            Self::Lazy(_) | Self::Blocks(_) => 0,
            Self::Value(value) => value.bytes(),
            Self::Group { children, .. } => {
                children.iter().map(|(_, c)| c.bytes()).fold(0, u64::saturating_add)
            }
        }
    }
}
