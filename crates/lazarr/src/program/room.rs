//! Room for a copy that a recipe makes: it reads nothing, and is counted in every plan.

use lazarr_format::{DataType, Result};
use lazarr_plan::Amount;

use super::{Cx, Leaf, Program};
use crate::buffer::Buffer;
use crate::value::Dense;

/// So many bytes of the result are made by the recipe itself.
pub(crate) struct Room(pub(crate) Amount);

impl Program for Room {
    fn output(&self) -> Amount {
        self.0
    }

    fn finish(&mut self, cx: &Cx) -> Result<Leaf> {
        let data = Buffer::zeroed(0, &cx.budget, "the result")?;
        Ok(Leaf::Dense(Dense { dtype: DataType::UInt(1), shape: vec![0], data }))
    }
}
