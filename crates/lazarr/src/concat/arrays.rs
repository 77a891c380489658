//! Matrices and arrays one below the other.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element};
use lazarr_format::{Code, DataType, Error, Result};

use super::body::{Kind, Part, Source, concat_of};
use super::genes::Genes;
use super::types::{missing_item, promote};
use super::{Builder, Join, element as element_of};
use crate::rearrange::NONE;
use crate::session::Session;

impl Builder<'_> {
    /// X or a layer.
    pub(super) fn matrix(&self, path: &str, elements: &[Option<&Element>], genes: &Genes) -> Result<Element> {
        let width = genes.names.len() as u64;
        self.joined(path, elements, Some(width), &|k| genes.columns[k].clone())
    }

    /// An element of obsm: a table, or an array as wide as the narrowest (the widest) part.
    pub(super) fn beside(
        &self,
        path: &str,
        elements: &[Option<&Element>],
        session: &Session,
    ) -> Result<Element> {
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
                // Without a column there is nothing to fill.
                None if width == Some(0) => None,
                None if sparse => Some(DataType::Float(8)),
                None => Some(filling.clone()),
                Some(e) => {
                    let own = items_of(e)?;
                    // A part without a column, stored or selected: anndata makes one anew.
                    let bare = columns.as_ref().is_some_and(|c| c.iter().all(|at| *at == NONE)) && gaps;
                    Some(match (sparse, gaps) {
                        (true, _) if bare => DataType::Float(8),
                        (false, true) if bare => filling.clone(),
                        (false, true) => promote(&own, &filling).ok_or_else(|| differ(&own, &filling))?,
                        _ => own,
                    })
                }
            };
            dtype = match (dtype, own) {
                (Some(known), Some(own)) => Some(promote(&known, &own).ok_or_else(|| differ(&known, &own))?),
                (known, own) => known.or(own),
            };
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
        Ok(element_of(path, kind, shape, parts))
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
