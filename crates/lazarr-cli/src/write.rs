//! `lazarr write`: the store, or a part of it, anew.

use lazarr::format::encode::{Layout, PRESETS};
use lazarr::plan::{human_bytes, human_count};
use lazarr::store::StoreOptions;
use lazarr::write::{Source, WriteOptions, Written, write};
use lazarr::{Call, Lazy};
use serde_json::json;

use crate::args::{Common, Write};
use crate::exit::Failure;
use crate::out::Out;
use crate::progress::Progress;
use crate::store::{Store, call, stop_on_ctrl_c};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-write/1";

pub(crate) fn run(args: &Write, out: &mut Out<'_>) -> Result<(), Failure> {
    let layout = layout(&args.layout, args.zarr_format)?;
    let store = Store::open(&args.common)?;
    let mut source = match &store.object {
        Some(_) => Source::of_object(&store.view(&args.select)?)?,
        None => Source::Lazy(store.part(None, &args.select)?),
    };
    source.leave_out(&args.drop)?;
    let call = Call {
        memory_limit: args.common.memory,
        threads: args.common.threads,
        skip_broken: args.skip_broken,
        ..call()
    };
    let target = Target { path: &args.output, layout, force: args.force, resume: args.resume };
    let written = written(source, target, &args.common, &call)?;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA, "store": args.output, "files": written.files, "bytes": written.bytes,
            "arrays": written.arrays,
        }));
    }
    said(&args.output, &written, out)
}

/// What was written, in a line.
pub(crate) fn said(output: &str, written: &Written, out: &mut Out<'_>) -> Result<(), Failure> {
    out.line(&format!(
        "{output}: {} in {} files, {} arrays",
        human_bytes(written.bytes),
        human_count(written.files),
        human_count(written.arrays),
    ))
}

/// What is made.
pub(crate) struct Target<'t> {
    pub(crate) path: &'t str,
    pub(crate) layout: Layout,
    pub(crate) force: bool,
    pub(crate) resume: bool,
}

/// Writes, with a line that says how far it is; Ctrl-C takes away what was begun, unless it is to be resumed.
pub(crate) fn written(
    source: Source<'_>,
    target: Target<'_>,
    common: &Common,
    call: &Call<'_>,
) -> Result<Written, Failure> {
    stop_on_ctrl_c();
    let progress = Progress::new(common.quiet);
    let line = std::sync::Mutex::new(progress);
    let tell = |path: &str, rows: u64| {
        if let Ok(line) = line.lock() {
            line.on(&if rows == 0 { path.to_owned() } else { format!("{path}: {} rows", human_count(rows)) });
        }
        Ok(())
    };
    let storage = StoreOptions::new(common.storage.iter().cloned());
    let Target { path, layout, force: overwrite, resume } = target;
    let options =
        WriteOptions { layout, overwrite, resume, storage, progress: Some(&tell), ..WriteOptions::default() };
    Ok(write(source, path, &options, call)?)
}

/// A preset by its name, or a layout from a file.
pub(crate) fn layout(text: &str, zarr_format: Option<u8>) -> Result<Layout, Failure> {
    if PRESETS.iter().any(|(name, _)| *name == text) || !std::path::Path::new(text).is_file() {
        return Ok(Layout::preset(text, zarr_format.unwrap_or(3))?);
    }
    let json = std::fs::read_to_string(text)
        .map_err(|e| Failure::Usage(format!("the layout `{text}` could not be read: {e}")))?;
    let mut layout = Layout::from_json(&json)?;
    layout.zarr_format = zarr_format.unwrap_or(layout.zarr_format);
    Ok(layout)
}

/// The whole store as a source.
pub(crate) fn whole(store: &Store) -> Result<Source<'static>, Failure> {
    Ok(match &store.object {
        Some(object) => Source::of_object(object)?,
        None => Source::Lazy(Lazy::new(&store.session, store.session.root())),
    })
}
