//! Tables one below the other, and the columns of them.

use std::sync::Arc;

use lazarr_format::anndata::{Body, DataFrame, Element};
use lazarr_format::{Code, Error, Result};
use lazarr_store::Mount;

use super::body::{Kind, Part, Source};
use super::types::column_kind;
use super::{Builder, Join, categories, element, or_broken};
use crate::call::{Call, Run};
use crate::overlay::encode;
use crate::program::{Recipe, Want};
use crate::rearrange::StringsOut;
use crate::session::Session;
use crate::value::{Table, Value};

impl Builder<'_> {
    /// Tables one below the other.
    pub(super) fn table(
        &self,
        path: &str,
        tables: &[Option<&Element>],
        session: &Session,
    ) -> Result<Element> {
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
            columns.push((name, or_broken(&path, made)));
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
        let index = element(&format!("{path}/_index"), Kind::Strings, vec![len], parts);
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
        Ok(element(path, kind, vec![len], parts))
    }

    /// The column that says of which part a row is.
    pub(super) fn label(&self, obs: &mut Element) -> Result<()> {
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
        let column = element(&format!("obs/{label}"), kind, vec![frame.len], parts.collect());
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
}

/// A table of names alone, in memory.
pub(super) fn names_table(
    path: &str,
    names: &[String],
    mount: &str,
    (run, call): (&Run<'_>, &Call<'_>),
    mounts: &mut Vec<Mount>,
) -> Result<Element> {
    let bytes = names.iter().map(|n| n.len() as u64).sum();
    let mut index = StringsOut::new(vec![names.len() as u64], bytes, true, &run.cx)?;
    for n in names {
        index.push(n.as_bytes());
    }
    let index = Some(Box::new(Value::Strings(index.finish())));
    let table = Value::Table(Table { index_name: None, index, columns: Vec::new(), len: names.len() as u64 });
    let (store, element) = encode(table, run, call)?;
    mounts.push(Mount { name: mount.to_owned(), store: Arc::new(store), in_memory: true });
    Ok(element.under(mount).at(path))
}
