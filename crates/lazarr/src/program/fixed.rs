//! Arrays of fixed-size items: dense matrices, numeric columns, codes, masks, scalars.

use lazarr_format::{ArrayRef, Code, DataType, Result};
use lazarr_plan::{Amount, ArrayRead, Index, Role};

use super::{Cx, Leaf, Program, Stage, placed};
use crate::buffer::Buffer;
use crate::exec::convert::Convert;
use crate::exec::sink::{Gather, Sink};
use crate::value::Dense;

/// Reads one array in one stage.
pub(crate) struct Fixed {
    read: ArrayRead,
    convert: Convert,
    /// What an illegal integer is called.
    code: Code,
    dtype: DataType,
    shape: Vec<u64>,
    asked: bool,
    out: Option<(Buffer, Gather)>,
}

impl Fixed {
    /// The items of `array` at `axes`, as they are.
    pub(crate) fn new(array: &ArrayRef, axes: &[Index], role: Role) -> Self {
        let convert = Convert::values(&array.dtype);
        Self::with(array, axes, role, convert, array.dtype.clone(), Code::ChunkDecode)
    }

    /// Codes of a categorical: signed, checked against the number of categories.
    pub(crate) fn codes(array: &ArrayRef, axes: &[Index], categories: u64) -> Result<Self> {
        let (convert, dtype) = Self::code_items(array, categories)?;
        Ok(Self::with(array, axes, Role::Codes, convert, dtype, Code::CategoryCode))
    }

    /// What happens to codes, and what they become.
    pub(crate) fn code_items(array: &ArrayRef, categories: u64) -> Result<(Convert, DataType)> {
        let (low, width) = match array.dtype {
            DataType::Int(n) => (-1, n),
            DataType::UInt(n) => (0, (n * 2).min(8)),
            _ => (0, 8),
        };
        let high = i64::try_from(categories).unwrap_or(i64::MAX) - 1;
        let convert = Convert::integers(&array.dtype, width, low, high, &array.path)?;
        Ok((convert, DataType::Int(width)))
    }

    fn with(
        array: &ArrayRef,
        axes: &[Index],
        role: Role,
        convert: Convert,
        dtype: DataType,
        code: Code,
    ) -> Self {
        let shape = axes.iter().map(Index::len).collect();
        let read = ArrayRead::new(array, axes.iter().map(placed).collect(), role);
        Self { read, convert, code, dtype, shape, asked: false, out: None }
    }

    fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.convert.result_size() as u64, |n, &s| n.saturating_mul(s))
    }
}

impl Program for Fixed {
    fn next(&mut self, _: &Cx) -> Result<Option<Stage>> {
        if self.asked {
            return Ok(None);
        }
        self.asked = true;
        lazarr_plan::check_rank(&self.read.array, &self.read.axes)?;
        Ok(Some(Stage::new("values", vec![self.read.clone()], true)))
    }

    fn open(&mut self, cx: &Cx) -> Result<()> {
        let mut buffer = Buffer::zeroed(self.bytes(), &cx.budget, "the result")?;
        let gather = Gather {
            target: buffer.target(),
            out_shape: self.shape.clone(),
            convert: self.convert.clone(),
            absent: None,
            lenient: cx.lenient,
            code: self.code,
        };
        self.out = Some((buffer, gather));
        Ok(())
    }

    fn sinks(&self) -> Vec<&dyn Sink> {
        self.out.iter().map(|(_, gather)| gather as &dyn Sink).collect()
    }

    fn output(&self) -> Amount {
        match self.dtype {
            // It may become strings, which are as long as their text.
            DataType::FixedUtf32(_) | DataType::FixedBytes(_) => Amount::estimate(self.bytes()),
            _ => Amount::exact(self.bytes()),
        }
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        if self.out.is_none() {
            self.open(cx)?;
        }
        let data = match self.out.take() {
            Some((buffer, _)) => buffer,
            None => Buffer::zeroed(0, &cx.budget, "the result")?,
        };
        Ok(Leaf::Dense(Dense { dtype: self.dtype.clone(), shape: std::mem::take(&mut self.shape), data }))
    }
}
