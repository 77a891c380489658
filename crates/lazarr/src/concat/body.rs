//! Elements one below the other, of one store or of several.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use lazarr_format::anndata::{Body, Element, Joined, NullableKind};
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{Index, Placement};

use crate::rearrange::NONE;

/// What a concatenation is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// An array; where nothing stands it is one item of `fill`.
    Dense { dtype: DataType, fill: Vec<u8> },
    /// A csr matrix.
    Sparse { dtype: DataType },
    /// Strings.
    Strings,
    /// Values with a mask; strings are of type `String`.
    Nullable { dtype: DataType, kind: NullableKind },
    /// Codes into the categories of all parts, or into these.
    Categorical { ordered: bool, given: Option<Arc<[String]>> },
}

/// What a part is read from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// An element.
    Element(Element),
    /// Nothing: all of it is missing.
    Missing,
    /// One code for all its rows.
    Code(u64),
}

/// Rows of a concatenation that come from one place.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) source: Source,
    /// Rows.
    pub(crate) len: u64,
    /// The rows of the source, where they are not all.
    pub(crate) rows: Option<Index>,
    /// For each column of the whole the source's, or [`NONE`]; `None` where they are the same.
    pub(crate) columns: Option<Arc<[u64]>>,
    /// What is put behind each text.
    pub(crate) suffix: Option<Arc<str>>,
}

/// Parts one below the other.
#[derive(Debug, Clone)]
pub(crate) struct Concat {
    pub(crate) kind: Kind,
    pub(crate) shape: Vec<u64>,
    pub(crate) parts: Vec<Part>,
}

/// The concatenation that an element is.
pub(crate) fn concat_of(element: &Element) -> Option<&Concat> {
    match &element.body {
        Body::Joined(joined) => joined.as_any().downcast_ref(),
        _ => None,
    }
}

/// The kind of element that comes of something joined: `sparse`, `dense`, ….
pub fn joined_kind(joined: &dyn Joined) -> &'static str {
    match joined.as_any().downcast_ref::<Concat>().map(|c| &c.kind) {
        Some(Kind::Dense { .. }) => "dense",
        Some(Kind::Sparse { .. }) => "sparse",
        Some(Kind::Strings) => "strings",
        Some(Kind::Nullable { .. }) => "nullable",
        Some(Kind::Categorical { .. }) => "categorical",
        None => "broken",
    }
}

/// Of joined categoricals, whether the categories have an order.
pub fn joined_ordered(joined: &dyn Joined) -> Option<bool> {
    match joined.as_any().downcast_ref::<Concat>().map(|c| &c.kind) {
        Some(Kind::Categorical { ordered, .. }) => Some(*ordered),
        _ => None,
    }
}

/// Of joined columns with missing values, which pandas type they are.
pub fn joined_nullable(joined: &dyn Joined) -> Option<NullableKind> {
    match joined.as_any().downcast_ref::<Concat>().map(|c| &c.kind) {
        Some(Kind::Nullable { kind, .. }) => Some(kind.clone()),
        _ => None,
    }
}

impl Joined for Concat {
    fn shape(&self) -> Vec<u64> {
        self.shape.clone()
    }

    fn what(&self) -> String {
        let kind = match &self.kind {
            Kind::Dense { dtype, .. } => format!("array {dtype}"),
            Kind::Sparse { dtype } => format!("csr_matrix {dtype}"),
            Kind::Strings => "strings".into(),
            Kind::Nullable { dtype, .. } => format!("nullable {dtype}"),
            Kind::Categorical { .. } => "categorical".into(),
        };
        format!("{kind} of {} parts", self.parts.len())
    }

    fn elements(&self) -> Vec<&Element> {
        self.parts
            .iter()
            .filter_map(|part| match &part.source {
                Source::Element(e) => Some(e),
                _ => None,
            })
            .collect()
    }

    fn under(&self, name: &str) -> Arc<dyn Joined> {
        let part = |part: &Part| Part {
            source: match &part.source {
                Source::Element(e) => Source::Element(e.under(name)),
                other => other.clone(),
            },
            ..part.clone()
        };
        Arc::new(Self { parts: self.parts.iter().map(part).collect(), ..self.clone() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Part {
    /// Of the wanted columns of the whole those of the source to be read, and which of the wanted ones each becomes; `None`
    /// where they come as they are wanted.
    pub(crate) fn pick(&self, wanted: &Index, stored: u64) -> Result<(Index, Option<Vec<u64>>)> {
        let Some(columns) = &self.columns else { return Ok((wanted.clone(), None)) };
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (k, column) in wanted.iter().enumerate() {
            let source = *columns
                .get(column as usize)
                .ok_or_else(|| Error::new(Code::Internal, "a column lies outside of its concatenation"))?;
            if source != NONE {
                from.push(source);
                to.push(k as u64);
            }
        }
        let n = wanted.len();
        if from.len() as u64 == stored {
            // All columns in another order: rows are read whole, and turned in memory.
            let mut target = vec![NONE; from.len()];
            for (&source, &k) in from.iter().zip(&to) {
                if let Some(place) = target.get_mut(source as usize) {
                    *place = k;
                }
            }
            if !target.contains(&NONE) {
                let same = n == stored && target.iter().copied().eq(0..n);
                return Ok((Index::all(stored), (!same).then_some(target)));
            }
        }
        let same = to.len() as u64 == n;
        Ok((Index::positions(from).with_axis(stored)?, (!same).then_some(to)))
    }
}

impl Concat {
    /// Rows.
    pub(crate) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// The type of an array.
    pub(crate) fn dense_type(&self) -> Option<&DataType> {
        match &self.kind {
            Kind::Dense { dtype, .. } => Some(dtype),
            _ => None,
        }
    }

    /// Stored values of all parts of a sparse matrix; never too small. `None` of anything else.
    pub(crate) fn stored(&self) -> Option<u64> {
        matches!(self.kind, Kind::Sparse { .. }).then_some(())?;
        let of = |part: &Part| -> Option<u64> {
            let Source::Element(element) = &part.source else { return Some(0) };
            let shape = element.shape()?;
            let most = part.len.saturating_mul(*self.shape.get(1)?);
            // Rows, or columns, may be there several times.
            let once = part.rows.as_ref().is_none_or(Index::is_monotone)
                && part.columns.as_ref().is_none_or(|columns| {
                    let mut seen = HashSet::new();
                    columns.iter().all(|c| *c == NONE || seen.insert(*c))
                });
            let stored = match &element.body {
                Body::Sparse(s) => s.nnz(),
                Body::Joined(_) => concat_of(element)?.stored()?,
                _ => shape.iter().product(),
            };
            Some(if once { stored } else { most })
        };
        self.parts.iter().map(of).sum()
    }

    /// What is selected of each part, and the order in which the rows that come (part after part) are wanted; `None` where
    /// they come so.
    pub(crate) fn split(&self, rows: &Index) -> Result<(Vec<Index>, Option<Vec<u64>>)> {
        let mut start = 0;
        let mut of_part = Vec::with_capacity(self.parts.len());
        if rows.is_monotone() {
            let rank = |at: u64| rows.next_from(at).and_then(|at| rows.rank(at)).unwrap_or(rows.len());
            for part in &self.parts {
                let end = start + part.len;
                let (a, b) = (rank(start), rank(end));
                let mine = Index::slice(Some(a as i64), Some(b as i64), None, rows.len())?;
                of_part.push(lowered(&rows.compose(&mine)?, start, part.len)?);
                start = end;
            }
            return Ok((of_part, None));
        }
        let ends: Vec<u64> = self
            .parts
            .iter()
            .map(|part| {
                start += part.len;
                start
            })
            .collect();
        let mut picked: Vec<Vec<u64>> = vec![Vec::new(); self.parts.len()];
        let mut place = Vec::with_capacity(rows.len() as usize);
        for row in rows {
            let k = ends.partition_point(|end| *end <= row);
            let (Some(mine), Some(part)) = (picked.get_mut(k), self.parts.get(k)) else {
                return Err(Error::new(Code::Internal, "a row lies outside of its concatenation"));
            };
            place.push((k, mine.len() as u64));
            mine.push(row - (ends[k] - part.len));
        }
        let mut first = 0;
        let firsts: Vec<u64> = picked
            .iter()
            .map(|mine| {
                first += mine.len() as u64;
                first - mine.len() as u64
            })
            .collect();
        let order: Vec<u64> = place.into_iter().map(|(k, i)| firsts[k] + i).collect();
        for (mine, part) in picked.into_iter().zip(&self.parts) {
            of_part.push(Index::positions(mine).with_axis(part.len)?);
        }
        let ordered = order.iter().copied().eq(0..rows.len());
        Ok((of_part, (!ordered).then_some(order)))
    }
}

/// Positions of an axis as those of its part that begins at `start`.
fn lowered(rows: &Index, start: u64, n: u64) -> Result<Index> {
    if rows.is_empty() {
        return Ok(Index::none(n));
    }
    if let Some((first, step, len)) = rows.as_range().filter(|(_, step, _)| *step > 0) {
        let from = first - start;
        let end = from + (len - 1) * step.unsigned_abs() + 1;
        return Index::slice(Some(from as i64), Some(end as i64), Some(step), n);
    }
    Index::positions(rows.iter().map(|row| row - start).collect()).with_axis(n)
}

impl Source {
    /// Rows and columns of what is read.
    pub(crate) fn stored(&self) -> Vec<u64> {
        match self {
            Self::Element(e) => e.shape().unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}
