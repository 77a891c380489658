//! `lazarr concat`: the cells of several stores in one.

use lazarr::plan::{human_bytes, human_count};
use lazarr::write::Source;
use lazarr::{Call, Concatenation, Join, concat};
use serde_json::json;

use crate::args::{Concat, Joined};
use crate::diff::other;
use crate::exit::Failure;
use crate::out::Out;
use crate::store::{Store, call};
use crate::write::{Target, layout, written};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-concat/1";

pub(crate) fn run(args: &Concat, out: &mut Out<'_>) -> Result<(), Failure> {
    let layout = layout(&args.layout, args.zarr_format)?;
    let mut parts = Vec::with_capacity(args.parts.len());
    for path in &args.parts {
        parts.push(Store::open(&other(&args.common, path))?.object()?.clone());
    }
    let call = Call { memory_limit: args.common.memory, threads: args.common.threads, ..call() };
    let how = Concatenation {
        join: if args.join == Joined::Outer { Join::Outer } else { Join::Inner },
        label: args.label.clone(),
        keys: (!args.keys.is_empty()).then(|| args.keys.clone()),
        index_unique: args.index_unique.clone(),
        fill_value: args.fill_value,
    };
    let all = concat(&parts, &how, &call)?;
    let output = &args.common.path;
    let target = Target { path: output, layout, force: args.force, resume: args.resume };
    let done = written(Source::of_object(&all)?, target, &args.common, &call)?;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA, "store": output, "files": done.files, "bytes": done.bytes, "arrays": done.arrays,
        }));
    }
    out.line(&format!(
        "{output}: {} in {} files, {} arrays",
        human_bytes(done.bytes),
        human_count(done.files),
        human_count(done.arrays),
    ))
}
