//! `lazarr repair`: what dead writers have left.

use lazarr::store::draft::{leftovers, repair};
use serde_json::{Value, json};

use crate::args::Repair;
use crate::exit::Failure;
use crate::out::Out;

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-repair/1";

pub(crate) fn run(args: &Repair, out: &mut Out<'_>) -> Result<(), Failure> {
    let left = if args.dry_run { leftovers(&args.path)? } else { repair(&args.path, args.discard)? };
    if args.json {
        let one = |l: &lazarr::store::draft::Left| -> Value {
            json!({
                "store": l.store.display().to_string(), "path": l.path.display().to_string(), "busy": l.busy,
                "resumable": l.resumable,
            })
        };
        return out.json(&json!({
            "schema": SCHEMA, "cleared": !args.dry_run, "left": left.iter().map(one).collect::<Vec<_>>(),
        }));
    }
    if left.is_empty() {
        return out.line("nothing was left by other writers");
    }
    for l in &left {
        let path = l.path.display();
        match (l.busy, args.dry_run) {
            (true, _) => out.line(&format!("is being written: {path}"))?,
            _ if l.resumable && !args.discard => {
                out.line(&format!("can be gone on with, --resume; or cleared, --discard: {path}"))?;
            }
            (false, true) => out.line(&format!("would be cleared: {path}"))?,
            (false, false) => out.line(&format!("cleared: {path}"))?,
        }
    }
    Ok(())
}
