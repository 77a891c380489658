//! `lazarr optimize`: the store anew for a purpose, and a card of what that changed, measured on both.

use std::time::Instant;

use lazarr::format::encode::Layout;
use lazarr::plan::{human_bytes, human_count};
use lazarr::{Call, Card};
use serde_json::{Map, Value, json};

use crate::args::{Common, Optimize};
use crate::exit::Failure;
use crate::out::Out;
use crate::store::{Store, call};
use crate::write::{Target, whole, written};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-optimize/1";
pub(crate) fn run(args: &Optimize, out: &mut Out<'_>) -> Result<(), Failure> {
    let layout = Layout::preset(&args.purpose, 3)?;
    let store = Store::open(&args.common)?;
    let call = Call { memory_limit: args.common.memory, threads: args.common.threads, ..call() };
    let before = measure(&store, &call)?;
    let start = Instant::now();
    let target = Target { path: &args.output, layout, force: args.force, resume: args.resume };
    let done = written(whole(&store)?, target, &args.common, &call)?;
    let took = start.elapsed().as_secs_f64();
    drop(store);
    let common = Common {
        path: args.output.clone(),
        json: false,
        memory: args.common.memory,
        threads: args.common.threads,
        limits: args.common.limits.clone(),
        storage: args.common.storage.clone(),
        follow_links: false,
        quiet: true,
    };
    let after = measure(&Store::open_quietly(&common)?, &call)?;
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA, "store": args.common.path, "output": args.output, "for": args.purpose, "seconds": took,
            "arrays": done.arrays, "before": json_of(&before), "after": json_of(&after),
        }));
    }
    out.line(&format!("{}: written for `{}` in {took:.1} s", args.output, args.purpose))?;
    out.line(&format!("{:<16} {:>12} {:>12}", "", "before", "after"))?;
    for ((name, a), (_, b)) in before.seconds.iter().zip(&after.seconds) {
        out.line(&format!("{name:<16} {:>12} {:>12}", milliseconds(*a), milliseconds(*b)))?;
    }
    let size = |card: &Card| card.size.map_or_else(|| "?".to_owned(), |(bytes, _)| human_bytes(bytes));
    let files = |card: &Card| card.size.map_or_else(|| "?".to_owned(), |(_, files)| human_count(files));
    out.line(&format!("{:<16} {:>12} {:>12}", "size", size(&before), size(&after)))?;
    out.line(&format!("{:<16} {:>12} {:>12}", "files", files(&before), files(&after)))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn measure(store: &Store, call: &Call<'_>) -> Result<Card, Failure> {
    Ok(Card::measure(&store.session, store.object.as_ref(), call)?)
}

fn json_of(card: &Card) -> Value {
    let mut seconds = Map::new();
    seconds.extend(card.seconds.iter().map(|(name, s)| ((*name).to_owned(), json!(s))));
    json!({"seconds": seconds, "bytes": card.size.map(|b| b.0), "files": card.size.map(|b| b.1)})
}
