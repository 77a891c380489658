//! From an element and its selection to programs, and from their results to a value.

use std::sync::Arc;

use lazarr_format::anndata::{Body, Element, NullableKind};
use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Index, Role, human_count};

use super::fields::Fields;
use super::filter::SparseFilter;
use super::fixed::Fixed;
use super::gather::{Gather, lists};
use super::room::Room;
use super::scan::Scan;
use super::sparse::SparseRows;
use super::vlen::VlenRead;
use super::{Cx, Leaf, Program};
use crate::buffer::Buffer;
use crate::concat::{concat_of, given, unite};
use crate::exec::convert::Convert;
use crate::value::{Dense, Strings, Table, Value};

/// What a plan says of an element.
pub(crate) struct Label {
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) selection: String,
    pub(crate) notes: Vec<String>,
}

/// The programs of everything that is wanted, each under the label of its element.
#[derive(Default)]
pub(crate) struct Want {
    pub(crate) labels: Vec<Label>,
    pub(crate) leaves: Vec<(usize, Box<dyn Program>)>,
    /// The arrays of structs of which fields are wanted.
    pub(crate) fields: Vec<Fields>,
    /// Elements that cannot be read are named in a note and left out, instead of ending with their error.
    pub(crate) skip_broken: bool,
    /// Tables are read without their index.
    pub(crate) nameless: bool,
    /// What is added names something (the index of a table, categories): an absent chunk of it is never right.
    pub(crate) names: bool,
    /// Arrays that are read after this: the indices of their shards come with it, see [`super::Stage::ahead`].
    pub(crate) ahead: Vec<ArrayRef>,
}

/// How the results of programs make a value.
pub(crate) enum Recipe {
    Null,
    /// An element that cannot be read and is left out.
    Skipped,
    Leaf(usize),
    /// The codes of a categorical, without its categories.
    Codes(usize),
    /// A column that is the index of its table: read once.
    TheIndex,
    /// Text of fixed width becomes strings.
    Texts(Box<Recipe>),
    Categorical {
        codes: usize,
        categories: Box<Recipe>,
        ordered: bool,
    },
    Nullable {
        values: usize,
        mask: usize,
        kind: NullableKind,
    },
    Table {
        index_name: Option<String>,
        index: Option<Box<Recipe>>,
        columns: Vec<(String, Recipe)>,
        len: u64,
    },
    Awkward {
        form: String,
        length: u64,
        rows: Option<Index>,
        buffers: Vec<(String, usize)>,
    },
    Map(Vec<(String, Recipe)>),
    /// Parts that are put together.
    Gather(Box<Gather>),
    /// The categories of all parts.
    Categories {
        lists: Vec<Option<Recipe>>,
        ordered: bool,
        given: Option<Arc<[String]>>,
    },
}

/// The error that stands in for a broken element, once it is read.
pub(crate) fn broken(error: &Error, path: &str) -> Error {
    error.again().element(path)
}

impl Want {
    /// Adds an element; `axes` are the selections of its first axes, the others are wanted whole. `columns` chooses
    /// columns of a table.
    pub(crate) fn add(
        &mut self,
        element: &Element,
        axes: &[Index],
        columns: Option<&[String]>,
    ) -> Result<Recipe> {
        match &element.body {
            Body::Null => Ok(Recipe::Null),
            Body::Broken(e) if self.skip_broken => {
                let label = self.label(element, &[]);
                self.labels[label].notes.push(format!("cannot be read and is left out: {e}"));
                Ok(Recipe::Skipped)
            }
            Body::Broken(e) => Err(broken(e, &element.path)),
            Body::Dict(children) => {
                let children = children.iter().map(|(n, c)| Ok((n.clone(), self.add(c, axes, None)?)));
                Ok(Recipe::Map(children.collect::<Result<_>>()?))
            }
            Body::AnnData(_) | Body::Raw(_) => {
                let children = element.children();
                let children = children.into_iter().map(|(n, c)| Ok((n, self.add(&c, &[], None)?)));
                Ok(Recipe::Map(children.collect::<Result<_>>()?))
            }
            Body::DataFrame(frame) => {
                let rows = axes.first().cloned().unwrap_or_else(|| Index::all(frame.len));
                let rows = [rows];
                let first = self.leaves.len();
                let index = if self.nameless {
                    None
                } else {
                    Some(Box::new(self.naming(|want| want.add(&frame.index, &rows, None))?))
                };
                let room = self.leaves[first..].iter().map(|(_, program)| program.output()).sum();
                let mut out = Vec::new();
                let stored = |name: &String| frame.columns.iter().find(|(n, _)| n == name);
                let chosen: Vec<_> = match columns {
                    Some(names) => names.iter().filter_map(stored).collect(),
                    None => frame.columns.iter().collect(),
                };
                for (name, column) in chosen {
                    let recipe = if column.path == frame.index.path && index.is_some() {
                        let label = self.label(column, &rows);
                        self.push(label, Room(room));
                        Recipe::TheIndex
                    } else {
                        self.add(column, &rows, None)?
                    };
                    out.push((name.clone(), recipe));
                }
                let index_name = (frame.index_key != "_index").then(|| frame.index_key.clone());
                Ok(Recipe::Table { index_name, index, columns: out, len: rows[0].len() })
            }
            _ => {
                let label = self.label(element, axes);
                match concat_of(element) {
                    Some(c) => self.concat(c, axes, label).map_err(|e| e.element(&*element.path)),
                    None => self.leaf(element, axes, label),
                }
            }
        }
    }

    /// A program of its own making.
    pub(crate) fn one(element: &Element, program: impl Program + 'static) -> (Self, Recipe) {
        let mut want = Self::default();
        let label = want.label(element, &[]);
        let leaf = want.push(label, program);
        (want, Recipe::Leaf(leaf))
    }

    /// Adds a column that is looked through and makes no value.
    pub(crate) fn add_scan(&mut self, column: &Element, rows: &Index, scan: Scan) {
        let label = self.label(column, std::slice::from_ref(rows));
        self.push(label, scan);
    }

    /// What a predicate needs of a column: of a categorical its codes alone, text of fixed width as strings.
    pub(crate) fn add_for_predicate(&mut self, column: &Element, rows: &Index) -> Result<Recipe> {
        let axes = std::slice::from_ref(rows);
        let Body::Categorical(c) = &column.body else {
            return Ok(Recipe::Texts(Box::new(self.add(column, axes, None)?)));
        };
        let label = self.label(column, axes);
        let count = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
        rows.check_axis(c.codes.shape[0]).map_err(|e| e.element(&*column.path))?;
        Ok(Recipe::Codes(self.codes(&c.codes, axes, count, label)?))
    }

    /// Adds something that names something else.
    pub(super) fn naming<T>(&mut self, add: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.names, true);
        let added = add(self);
        self.names = before;
        added
    }

    pub(super) fn label(&mut self, element: &Element, axes: &[Index]) -> usize {
        let shape = element.shape().unwrap_or_default();
        let selection: Vec<String> =
            (0..shape.len()).map(|i| axes.get(i).map_or_else(|| ":".into(), Index::to_string)).collect();
        let mut notes = Vec::new();
        if let Body::Sparse(s) = &element.body {
            let minor = axes.get(1 - s.format.major_axis());
            if let Some(columns) = minor.filter(|m| !m.is_all()) {
                let rows = axes.get(s.format.major_axis());
                let share = rows.map_or(1.0, |r| r.len() as f64 / s.major_len().max(1) as f64);
                let (axis, other) =
                    if s.format.major_axis() == 0 { ("columns", "csc") } else { ("rows", "csr") };
                // In the other format they are read in whole inner chunks, one at least.
                let selected = s.nnz() as f64 * columns.len() as f64 / s.minor_len().max(1) as f64;
                let chunk = s.data.inner_len().min(s.nnz()) as f64;
                let less = s.nnz() as f64 * share / selected.max(chunk).max(1.0);
                let less = if less >= 2.0 {
                    format!(", and about {} × less would be read", human_count(less as u64))
                } else {
                    String::new()
                };
                notes.push(format!(
                    "{} of {} {axis} from a {} matrix search {:.0} % of all indices ({} stored values); a {other} \
                     matrix would hold them together{less}",
                    human_count(columns.len()),
                    human_count(s.minor_len()),
                    s.format.name(),
                    share * 100.0,
                    human_count((s.nnz() as f64 * share) as u64),
                ));
            }
        }
        if let Body::Awkward(_) = &element.body
            && axes.first().is_some_and(|a| !a.is_all())
        {
            notes.push("awkward arrays are read whole and cut afterwards".into());
        }
        self.labels.push(Label {
            path: element.path.clone(),
            what: describe(element),
            selection: selection.join(", "),
            notes,
        });
        self.labels.len() - 1
    }

    fn role(&self) -> Role {
        if self.names { Role::Names } else { Role::Values }
    }

    pub(super) fn push(&mut self, label: usize, program: impl Program + 'static) -> usize {
        self.leaves.push((label, Box::new(program)));
        self.leaves.len() - 1
    }

    fn array(&mut self, array: &ArrayRef, axes: &[Index], role: Role, label: usize) -> Result<usize> {
        let mut all = axes.to_vec();
        all.truncate(array.shape.len());
        for &n in &array.shape[all.len()..] {
            all.push(Index::all(n));
        }
        for (index, &n) in all.iter().zip(&array.shape) {
            index.check_axis(n).map_err(|e| e.element(&*array.path))?;
        }
        if array.dtype.is_vlen() {
            return Ok(self.push(label, VlenRead::new(array, &all, role)));
        }
        if array.part.is_some() {
            let items = (Convert::values(&array.dtype), array.dtype.clone());
            return Ok(self.field(array, &all, items, Code::ChunkDecode, role, label));
        }
        Ok(self.push(label, Fixed::new(array, &all, role)))
    }

    pub(super) fn codes(
        &mut self,
        array: &ArrayRef,
        axes: &[Index],
        categories: u64,
        label: usize,
    ) -> Result<usize> {
        if array.part.is_some() {
            let items = Fixed::code_items(array, categories)?;
            return Ok(self.field(array, axes, items, Code::CategoryCode, Role::Codes, label));
        }
        Ok(self.push(label, Fixed::codes(array, axes, categories)?))
    }

    /// A field of an array of structs: one read serves all its fields.
    fn field(
        &mut self,
        array: &ArrayRef,
        axes: &[Index],
        (convert, dtype): (Convert, DataType),
        code: Code,
        role: Role,
        label: usize,
    ) -> usize {
        let known = self.fields.iter().find(|f| f.reads(array, axes)).cloned();
        let fields = known.unwrap_or_else(|| {
            let fields = Fields::new(array, axes, role);
            self.push(label, fields.program());
            self.fields.push(fields.clone());
            fields
        });
        self.push(label, fields.add(convert.of(array), dtype, code, role))
    }

    pub(super) fn leaf(&mut self, element: &Element, axes: &[Index], label: usize) -> Result<Recipe> {
        Ok(match &element.body {
            Body::Dense(a) => Recipe::Leaf(self.array(a, axes, self.role(), label)?),
            Body::Scalar(a) => {
                let leaf = Recipe::Leaf(self.array(a, &[], Role::Values, label)?);
                // Old writers stored text as bytes of fixed length; only what is encoded as bytes is meant as such.
                let text = matches!(a.dtype, DataType::FixedBytes(_)) && element.encoding_type != "bytes";
                if text && !element.path.is_empty() { Recipe::Texts(Box::new(leaf)) } else { leaf }
            }
            Body::Strings(a) => {
                Recipe::Texts(Box::new(Recipe::Leaf(self.array(a, axes, self.role(), label)?)))
            }
            Body::Sparse(s) => {
                let axis = |k: usize| axes.get(k).cloned().unwrap_or_else(|| Index::all(s.shape[k]));
                let major = axis(s.format.major_axis());
                let minor = axis(1 - s.format.major_axis());
                major.check_axis(s.major_len()).map_err(|e| e.element(&*element.path))?;
                minor.check_axis(s.minor_len()).map_err(|e| e.element(&*element.path))?;
                if minor.is_all() {
                    Recipe::Leaf(self.push(label, SparseRows::new(s, &major)))
                } else {
                    Recipe::Leaf(self.push(label, SparseFilter::new(s, &major, &minor)))
                }
            }
            Body::Categorical(c) => {
                let rows = axes.first().cloned().unwrap_or_else(|| Index::all(c.codes.shape[0]));
                rows.check_axis(c.codes.shape[0]).map_err(|e| e.element(&*element.path))?;
                let count = c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0);
                let codes = self.codes(&c.codes, &[rows], count, label)?;
                let categories = Box::new(self.naming(|want| want.leaf(&c.categories, &[], label))?);
                Recipe::Categorical { codes, categories, ordered: c.ordered }
            }
            Body::Nullable(n) => {
                let values = self.array(&n.values, axes, self.role(), label)?;
                let mask = self.array(&n.mask, axes, Role::Values, label)?;
                Recipe::Nullable { values, mask, kind: n.kind.clone() }
            }
            Body::Awkward(a) => {
                let buffers = a
                    .buffers
                    .iter()
                    .map(|(name, b)| Ok((name.clone(), self.array(b, &[], Role::Values, label)?)));
                let rows = axes.first().filter(|r| !r.is_all()).cloned();
                Recipe::Awkward {
                    form: a.form.clone(),
                    length: a.length,
                    rows,
                    buffers: buffers.collect::<Result<_>>()?,
                }
            }
            Body::Broken(e) => return Err(broken(e, &element.path)),
            _ => {
                return Err(
                    Error::new(Code::Internal, "a group was read as an array").element(&*element.path)
                );
            }
        })
    }
}

/// An element in a line: `csr_matrix float32 (50,000 × 20,000)`.
pub fn describe(element: &Element) -> String {
    let shape = element.shape().map(|s| {
        let parts: Vec<String> = s.iter().map(|&n| human_count(n)).collect();
        format!("({})", parts.join(" × "))
    });
    let kind = match &element.body {
        Body::Dense(a) => format!("array {}", a.dtype),
        Body::Strings(_) => "strings".into(),
        Body::Scalar(a) => format!("scalar {}", a.dtype),
        Body::Sparse(s) => format!("{}_matrix {}", s.format.name(), s.data.dtype),
        Body::Categorical(c) => {
            format!("categorical of {}", c.categories.shape().and_then(|s| s.first().copied()).unwrap_or(0))
        }
        Body::Nullable(n) => format!("nullable {}", n.values.dtype),
        Body::DataFrame(_) => "dataframe".into(),
        Body::Awkward(_) => "awkward".into(),
        Body::AnnData(_) => "anndata".into(),
        Body::Raw(_) => "raw".into(),
        Body::Dict(c) => return format!("mapping of {}", c.len()),
        Body::Null => return "null".into(),
        Body::Broken(_) => {
            return format!("cannot be read: {} {}", element.encoding_type, element.encoding_version);
        }
        _ => element.encoding_type.clone(),
    };
    match shape {
        Some(s) if s != "()" => format!("{kind} {s}"),
        _ => kind,
    }
}

impl Recipe {
    /// Makes the value from the results of the programs.
    pub(crate) fn make(self, leaves: &mut [Option<Leaf>], cx: &Cx) -> Result<Value> {
        Ok(match self {
            Self::Null | Self::Skipped => Value::Null,
            Self::Leaf(i) => match take(leaves, i)? {
                Leaf::Dense(d) => Value::Dense(d),
                Leaf::Strings(s) => Value::Strings(s),
                Leaf::Sparse(s) => Value::Sparse(s),
                Leaf::Starts(_) | Leaf::Sums(_) | Leaf::Scanned => {
                    return Err(Error::new(Code::Internal, "row starts and sums are not values"));
                }
            },
            Self::Texts(inner) => texts(inner.make(leaves, cx)?, cx)?,
            Self::Codes(codes) => Value::Categorical {
                codes: dense(take(leaves, codes)?)?,
                categories: Box::new(Value::Null),
                ordered: false,
            },
            Self::Categorical { codes, categories, ordered } => Value::Categorical {
                codes: dense(take(leaves, codes)?)?,
                categories: Box::new(texts(categories.make(leaves, cx)?, cx)?),
                ordered,
            },
            Self::Nullable { values, mask, kind } => Value::Nullable {
                values: Box::new(texts(Self::Leaf(values).make(leaves, cx)?, cx)?),
                mask: dense(take(leaves, mask)?)?,
                kind,
            },
            Self::Table { index_name, index, columns, len } => {
                let index = match index {
                    Some(index) => Some(Box::new(texts(index.make(leaves, cx)?, cx)?)),
                    None => None,
                };
                let columns = columns.into_iter().map(|(name, recipe)| {
                    let value = match (recipe, &index) {
                        (Self::TheIndex, Some(index)) => index.column_again(&cx.budget)?,
                        (recipe, _) => Some(recipe.make(leaves, cx)?),
                    };
                    value.map(|value| (name, value)).ok_or_else(not_an_index)
                });
                Value::Table(Table { index_name, columns: columns.collect::<Result<_>>()?, index, len })
            }
            Self::TheIndex => return Err(not_an_index()),
            Self::Gather(parts) => parts.make(leaves, cx)?,
            Self::Categories { given: Some(names), .. } => given(&names, cx)?.categories,
            Self::Categories { lists: parts, ordered, given: None } => {
                unite(lists(parts, leaves, cx)?, ordered, cx)?.categories
            }
            Self::Awkward { form, length, rows, buffers } => Value::Awkward {
                form,
                length,
                rows: rows.map(|r| r.to_vec()),
                buffers: buffers
                    .into_iter()
                    .map(|(n, i)| Ok((n, Self::Leaf(i).make(leaves, cx)?)))
                    .collect::<Result<_>>()?,
            },
            Self::Map(children) => Value::Map(
                children.into_iter().map(|(n, r)| Ok((n, r.make(leaves, cx)?))).collect::<Result<_>>()?,
            ),
        })
    }
}

fn not_an_index() -> Error {
    Error::new(Code::Internal, "the index of a table cannot be its column")
}

fn take(leaves: &mut [Option<Leaf>], i: usize) -> Result<Leaf> {
    leaves
        .get_mut(i)
        .and_then(Option::take)
        .ok_or_else(|| Error::new(Code::Internal, "the result of a read was used twice"))
}

fn dense(leaf: Leaf) -> Result<Dense> {
    match leaf {
        Leaf::Dense(d) => Ok(d),
        _ => Err(Error::new(Code::Internal, "codes or a mask came as something else")),
    }
}

/// Text of fixed width (numpy's `U` and `S`) as strings; anything else as it is.
pub(crate) fn texts(value: Value, cx: &Cx) -> Result<Value> {
    let Value::Dense(d) = value else { return Ok(value) };
    let (width, wide) = match d.dtype {
        DataType::FixedUtf32(n) => (4 * n, true),
        DataType::FixedBytes(n) => (n, false),
        _ => return Ok(Value::Dense(d)),
    };
    let items = d.shape.iter().product::<u64>();
    let mut offsets = Buffer::zeroed((items + 1) * 8, &cx.budget, "the offsets of strings")?;
    let charge = cx.budget.charge(d.data.len() as u64, "strings")?;
    let mut text = String::new();
    for (i, start) in offsets.as_mut_slice().as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *start = (text.len() as i64).to_ne_bytes();
        if i as u64 == items || width == 0 {
            continue;
        }
        let item = &d.data.as_slice()[i * width..(i + 1) * width];
        let bad = || Error::new(Code::StringData, format!("item {i} is not text"));
        if wide {
            let mut chars = Vec::with_capacity(width / 4);
            for c in item.as_chunks::<4>().0 {
                chars.push(char::from_u32(u32::from_le_bytes(*c)).ok_or_else(bad)?);
            }
            let end = chars.iter().rposition(|&c| c != '\0').map_or(0, |p| p + 1);
            text.extend(&chars[..end]);
        } else {
            let end = item.iter().rposition(|&b| b != 0).map_or(0, |p| p + 1);
            text.push_str(std::str::from_utf8(&item[..end]).map_err(|_| bad())?);
        }
    }
    let bytes = Buffer::copy_of(text.as_bytes(), &cx.budget, "strings")?;
    drop(charge);
    Ok(Value::Strings(Strings { utf8: true, shape: d.shape, offsets, bytes }))
}
