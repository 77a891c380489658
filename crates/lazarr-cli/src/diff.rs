//! `lazarr diff`: what two stores say that is not the same.

use lazarr::Call;
use lazarr::diff::{DiffOptions, Difference, diff};
use lazarr::plan::human_count;
use serde_json::{Value, json};

use crate::args::{Common, Diff};
use crate::exit::Failure;
use crate::out::Out;
use crate::say;
use crate::store::{Store, call, stop_on_ctrl_c};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-diff/1";

/// 0 where they are equal, 1 where they differ; 1 is never an error here.
pub(crate) fn run(args: &Diff, out: &mut Out<'_>) -> Result<(), Failure> {
    let found = match compare(args) {
        Ok(found) => found,
        Err(failure) if failure.code() == 1 => {
            if let Some(sentence) = failure.sentence() {
                say("error", &sentence);
            }
            return Err(Failure::Said(2));
        }
        Err(failure) => return Err(failure),
    };
    if args.common.json {
        out.json(&json!({
            "schema": SCHEMA, "first": args.common.path, "second": args.other, "equal": found.is_empty(),
            "differences": found.iter().map(one).collect::<Vec<_>>(),
        }))?;
    } else {
        for d in &found {
            out.line(&line(d))?;
        }
        let said = match found.len() {
            0 => "equal".to_owned(),
            1 => "1 difference".to_owned(),
            n => format!("{n} differences"),
        };
        out.line(&said)?;
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::Said(1)) }
}

fn compare(args: &Diff) -> Result<Vec<Difference>, Failure> {
    let first = Store::open(&args.common)?;
    let second = Store::open(&other(&args.common, &args.other))?;
    stop_on_ctrl_c();
    let call = Call { memory_limit: args.common.memory, threads: args.common.threads, ..call() };
    Ok(diff(&first.session, &second.session, DiffOptions { strict: args.strict }, &call)?)
}

/// Another store, opened as the first is.
pub(crate) fn other(common: &Common, path: &str) -> Common {
    Common {
        path: path.to_owned(),
        json: common.json,
        memory: common.memory,
        threads: common.threads,
        limits: common.limits.clone(),
        storage: common.storage.clone(),
        follow_links: common.follow_links,
        quiet: common.quiet,
    }
}

fn line(d: &Difference) -> String {
    match d.what {
        "only in the first" | "only in the second" => {
            format!("{}: {} ({}{})", d.element, d.what, d.first, d.second)
        }
        "values" => {
            let at: Vec<String> = d.at.iter().map(u64::to_string).collect();
            let (n, s) = (human_count(d.count), if d.count == 1 { " differs" } else { "s differ" });
            format!("{}: {n} value{s}, first at [{}]: {} and {}", d.element, at.join(", "), d.first, d.second)
        }
        what => format!("{}: {what} {} and {}", d.element, d.first, d.second),
    }
}

fn one(d: &Difference) -> Value {
    json!({
        "element": d.element, "what": d.what, "first": d.first, "second": d.second, "at": d.at, "count": d.count,
    })
}
