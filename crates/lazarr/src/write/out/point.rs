//! An element under way as it is noted, and gone on with.

use std::io::Read;

use lazarr_format::Result;
use serde_json::{Value as Json, json};

use super::{ArrayOut, Out, SparseOut};
use crate::write::log::{Log, Note, number};

impl<'j> Out<'j> {
    /// The arrays, in order, and the sparse matrix that they are parts of; `None` where blocks are kept to be turned.
    fn parts(&mut self) -> Option<Parts<'_, 'j>> {
        match self {
            Self::Dense(out) | Self::Categorical { codes: out } => Some(Parts::Arrays(vec![&mut out.array])),
            Self::Strings(out) => Some(Parts::Arrays(vec![out])),
            Self::Sparse(out) => Some(Parts::Sparse(out)),
            Self::Turned(out) => out.parts(),
            Self::Nullable { values, mask } => match values.parts()? {
                Parts::Arrays(mut all) => {
                    all.push(&mut mask.array);
                    Some(Parts::Arrays(all))
                }
                Parts::Sparse(_) => None,
            },
        }
    }

    /// Whether there is something to go on with before its end.
    pub(in crate::write) fn can_be_noted(&mut self) -> bool {
        self.parts().is_some()
    }

    /// What there is; `None` where it cannot be gone on with.
    pub(in crate::write) fn save(&mut self, note: &mut Note) -> Result<Option<Json>> {
        let Some(mut parts) = self.parts() else { return Ok(None) };
        let [stored, major] = parts.counts();
        let arrays = parts.arrays().into_iter().map(|array| array.save(note)).collect::<Result<Vec<_>>>()?;
        Ok(Some(json!({"stored": stored, "major": major, "arrays": arrays})))
    }

    /// Brings it to where it was noted; false where that is not there any more.
    pub(in crate::write) fn restore(
        &mut self,
        saved: &Json,
        note: &mut dyn Read,
        log: &Log<'_>,
    ) -> Result<bool> {
        let Some(mut parts) = self.parts() else { return Ok(false) };
        if let Parts::Sparse(out) = &mut parts {
            (out.stored, out.major) = (number(saved, "stored"), number(saved, "major"));
        }
        let all = saved.get("arrays").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let mut arrays = parts.arrays();
        if arrays.len() != all.len() {
            return Ok(false);
        }
        for (array, saved) in arrays.iter_mut().zip(all) {
            if !array.restore(saved, note, log)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What an element is written to.
pub(in crate::write) enum Parts<'o, 'j> {
    Arrays(Vec<&'o mut ArrayOut<'j>>),
    Sparse(&'o mut SparseOut<'j>),
}

impl<'j> Parts<'_, 'j> {
    fn counts(&self) -> [u64; 2] {
        match self {
            Self::Arrays(_) => [0, 0],
            Self::Sparse(out) => [out.stored, out.major],
        }
    }

    fn arrays(&mut self) -> Vec<&mut ArrayOut<'j>> {
        match self {
            Self::Arrays(all) => all.iter_mut().map(|array| &mut **array).collect(),
            Self::Sparse(out) => vec![&mut out.data.array, &mut out.indices.0, &mut out.indptr.0],
        }
    }
}

impl<'j> super::DenseOut<'j> {
    pub(in crate::write) fn parts(&mut self) -> Parts<'_, 'j> {
        Parts::Arrays(vec![&mut self.array])
    }
}
