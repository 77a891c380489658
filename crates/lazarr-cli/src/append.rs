//! `lazarr append`: more cells of the same genes.

use lazarr::Call;
use lazarr::plan::{human_bytes, human_count};
use lazarr::store::StoreOptions;
use lazarr::write::{WriteOptions, append};
use serde_json::json;

use crate::args::Append;
use crate::diff::other;
use crate::exit::Failure;
use crate::out::Out;
use crate::progress::Progress;
use crate::store::{Store, call, stop_on_ctrl_c};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-append/1";

pub(crate) fn run(args: &Append, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut parts = Vec::with_capacity(args.parts.len());
    for path in &args.parts {
        parts.push(Store::open(&other(&args.common, path))?.object()?.clone());
    }
    stop_on_ctrl_c();
    let line = std::sync::Mutex::new(Progress::new(args.common.quiet));
    let tell = |path: &str, _: u64| {
        if let Ok(line) = line.lock() {
            line.on(path);
        }
        Ok(())
    };
    let storage = StoreOptions::new(args.common.storage.iter().cloned());
    let options = WriteOptions { storage, progress: Some(&tell), ..WriteOptions::default() };
    let call = Call { memory_limit: args.common.memory, threads: args.common.threads, ..call() };
    let done = append(&args.common.path, &parts, &args.drop, &options, &call)?;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA, "store": args.common.path, "files": done.files, "bytes": done.bytes,
            "arrays": done.arrays,
        }));
    }
    out.line(&format!(
        "{}: {} in {} files written, {} arrays",
        args.common.path,
        human_bytes(done.bytes),
        human_count(done.files),
        human_count(done.arrays),
    ))
}
