//! Values as elements of a store in memory: then they are planned, selected, streamed and looked through as anything else.

use std::sync::Arc;

use lazarr_format::anndata::Element;
use lazarr_format::encode::{Compressor, IndexWidth, Layout, Rule, Size};
use lazarr_format::metadata::Limits;
use lazarr_format::{Code, Error, Result};
use lazarr_store::MemoryStore;
use lazarr_store::draft::{Draft, MemoryDraft};

use crate::call::{Call, Run};
use crate::session::{Options, Session};
use crate::value::Value;
use crate::write::{Source, WriteOptions, write_to};

/// Bytes of a chunk: small enough that a few rows cost little, large enough that all of them do.
const CHUNK_BYTES: u64 = 1 << 20;

/// A value as an element, and the store that holds its arrays: as it would be written, but as it is.
pub(crate) fn encode(value: Value, run: &Run<'_>, call: &Call<'_>) -> Result<(MemoryStore, Element)> {
    // It is there twice until the caller lets go of his.
    let _held = run.cx.budget.charge(value.bytes(), "values that are laid over a store")?;
    let plain = Rule {
        path: "**".to_owned(),
        chunk: Some(Size::Bytes(CHUNK_BYTES)),
        shard: Some(Size::None),
        codec: Some(Compressor::None),
        checksum: Some(false),
        ..Rule::default()
    };
    let layout = Layout { zarr_format: 3, indices: IndexWidth::Scipy, rules: vec![plain] };
    let mut draft = MemoryDraft::default();
    // It is no reading or writing of a store, and no meter counts it.
    let limit = Some(run.cx.budget.limit());
    let call = Call { meter: None, memory_limit: limit, threads: Some(run.cx.threads), ..call.clone() };
    write_to(Source::Value(value), &draft, &WriteOptions { layout, ..WriteOptions::default() }, &call)?;
    draft.publish()?;
    let store = draft.store().ok_or_else(|| Error::new(Code::Internal, "nothing was published"))?;
    let limits = Limits { nodes: usize::MAX, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let session = Session::open_store_with(Arc::new(store.clone()), options, call.interrupt)?;
    Ok((store, session.root().clone()))
}
