//! Fields of structured items: one read of the array brings all the fields that are wanted, each a result of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazarr_format::{ArrayRef, Code, DataType, Error, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role};

use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{Gather, Items, Sink};
use crate::value::Dense;

/// One field that is wanted.
struct Wanted {
    convert: Convert,
    /// What an illegal integer is called.
    code: Code,
    done: Option<Buffer>,
}

/// The fields that are wanted of one array at one selection.
#[derive(Clone)]
pub(crate) struct Fields {
    array: ArrayRef,
    axes: Vec<Index>,
    wanted: Arc<Mutex<(Role, Vec<Wanted>)>>,
}

impl Fields {
    pub(crate) fn new(array: &ArrayRef, axes: &[Index], role: Role) -> Self {
        Self { array: array.clone(), axes: axes.to_vec(), wanted: Arc::new(Mutex::new((role, Vec::new()))) }
    }

    /// Whether this array at this selection is what is read here.
    pub(crate) fn reads(&self, array: &ArrayRef, axes: &[Index]) -> bool {
        self.array.path == array.path && self.axes == axes
    }

    fn wanted(&self) -> MutexGuard<'_, (Role, Vec<Wanted>)> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program that does the read. Its own result is empty; it must stand before those of the fields.
    pub(crate) fn program(&self) -> impl Program + use<> {
        ReadFields { fields: self.clone(), read: None, out: None }
    }

    /// The program that gives one field. Names decide what an absent chunk is for all of them.
    pub(crate) fn add(
        &self,
        convert: Convert,
        dtype: DataType,
        code: Code,
        role: Role,
    ) -> impl Program + use<> {
        let mut wanted = self.wanted();
        if role == Role::Names {
            wanted.0 = role;
        }
        let shape: Vec<u64> = self.axes.iter().map(Index::len).collect();
        let bytes = shape.iter().fold(convert.result_size() as u64, |n, &s| n.saturating_mul(s));
        wanted.1.push(Wanted { convert, code, done: None });
        TakeField { fields: self.clone(), slot: wanted.1.len() - 1, shape, dtype, bytes }
    }
}

struct ReadFields {
    fields: Fields,
    read: Option<ArrayRead>,
    out: Option<(Vec<Buffer>, Split)>,
}

/// Gives each chunk to all fields.
struct Split(Vec<Gather>);

impl Sink for Split {
    fn place(&self, read: &ArrayRead, at: &[u64], items: Items<'_>) -> Result<()> {
        let Items::Fixed(items) = items else {
            return Err(Error::new(Code::Internal, "strings came where structs were expected"));
        };
        self.0.iter().try_for_each(|gather| gather.place(read, at, Items::Fixed(items)))
    }

    fn absent(&self, read: &ArrayRead, at: &[u64]) -> Result<()> {
        self.0.iter().try_for_each(|gather| gather.absent(read, at))
    }
}

impl Program for ReadFields {
    fn next(&mut self, _: &Cx) -> Result<Option<Stage>> {
        if self.read.is_some() {
            return Ok(None);
        }
        let role = self.fields.wanted().0;
        let axes = self.fields.axes.iter().map(placed).collect();
        let read = ArrayRead::new(&self.fields.array, axes, role);
        lazarr_plan::check_rank(&read.array, &read.axes)?;
        self.read = Some(read.clone());
        Ok(Some(Stage::new("values", vec![read], true)))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        let shape: Vec<u64> = self.fields.axes.iter().map(Index::len).collect();
        let (mut buffers, mut gathers) = (Vec::new(), Vec::new());
        for field in &self.fields.wanted().1 {
            let bytes = shape.iter().fold(field.convert.result_size() as u64, |n, &s| n.saturating_mul(s));
            let mut buffer = Buffer::zeroed(bytes, &cx.budget, "the result")?;
            gathers.push(Gather {
                target: buffer.target(),
                out_shape: shape.clone(),
                convert: field.convert.clone(),
                absent: None,
                lenient: cx.lenient,
                code: field.code,
            });
            buffers.push(buffer);
        }
        self.out = Some((buffers, Split(gathers)));
        Ok(())
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        self.out.iter().map(|(_, split)| split as &dyn Sink).collect()
    }

    fn output(&self) -> Amount {
        Amount::exact(0)
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        if self.out.is_none() {
            self.open(cx)?;
        }
        let buffers = self.out.take().map(|(buffers, _)| buffers).unwrap_or_default();
        for (field, buffer) in self.fields.wanted().1.iter_mut().zip(buffers) {
            field.done = Some(buffer);
        }
        let data = Buffer::zeroed(0, &cx.budget, "the result")?;
        Ok(Leaf::Dense(Dense { dtype: DataType::UInt(1), shape: vec![0], data }))
    }
}

struct TakeField {
    fields: Fields,
    slot: usize,
    shape: Vec<u64>,
    dtype: DataType,
    bytes: u64,
}

impl Program for TakeField {
    fn output(&self) -> Amount {
        Amount::exact(self.bytes)
    }

    fn finish(&mut self, _: &Cx) -> Result<Leaf> {
        let data = self.fields.wanted().1.get_mut(self.slot).and_then(|field| field.done.take());
        let data = data.ok_or_else(|| Error::new(Code::Internal, "a field came before its array"))?;
        Ok(Leaf::Dense(Dense { dtype: self.dtype.clone(), shape: std::mem::take(&mut self.shape), data }))
    }
}
