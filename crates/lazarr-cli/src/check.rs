//! `lazarr check`: whether the store is whole.

use lazarr::Kind;
use lazarr::check::{Depth, Finding, Report, Severity, check};
use lazarr::plan::{human_bytes, human_count};
use serde_json::{Value, json};

use crate::args::Check;
use crate::exit::{Failure, code_of};
use crate::out::Out;
use crate::progress::Progress;
use crate::store::{Store, call, stop_on_ctrl_c};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-check/1";

pub(crate) fn run(args: &Check, out: &mut Out<'_>) -> Result<(), Failure> {
    // What the store should say of itself is among the findings.
    let store = Store::open_quietly(&args.common)?;
    stop_on_ctrl_c();
    let depth = if args.deep { Depth::Deep } else { Depth::Quick };
    let progress = Progress::new(args.common.quiet);
    let report = check(&store.session, &call(), depth, &|path| progress.on(path))?;
    drop(progress);
    if args.common.json {
        out.json(&document(&store, &report, args.deep))?;
    } else {
        write(&report, args.deep, out)?;
    }
    match code(&report) {
        0 => Ok(()),
        code => Err(Failure::Said(code)),
    }
}

/// Invalid data says more than a read that failed, and that more than a limit that was too small.
fn code(report: &Report) -> u8 {
    let codes = report.findings.iter().filter_map(|f| {
        let code = (f.code == "LZ0601").then_some(lazarr::Code::MemoryLimit);
        Some(code_of(code, f.kind?))
    });
    match codes.min_by_key(|code| [1, 3, 2].iter().position(|c| c == code)) {
        Some(code) => code,
        None if report.errors > 0 => 1,
        None => 0,
    }
}

fn write(report: &Report, deep: bool, out: &mut Out<'_>) -> Result<(), Failure> {
    for severity in [Severity::Error, Severity::Notice] {
        for finding in report.findings.iter().filter(|f| f.severity == severity) {
            match severity {
                Severity::Error => out.line(&format!("error: {}", finding.message))?,
                Severity::Notice => out.line(&format!("{}: {}", finding.code, finding.message))?,
            }
        }
    }
    for filled in &report.filled {
        out.line(&format!(
            "absent: {} of {} chunks of `{}` are not stored and stand for its fill value",
            human_count(filled.chunks),
            human_count(filled.of),
            filled.array,
        ))?;
    }
    if report.more > 0 {
        out.line(&format!("… and {} more", human_count(report.more)))?;
    }
    let plural = |n: u64, one: &str| format!("{} {one}{}", human_count(n), if n == 1 { "" } else { "s" });
    let looked = if deep {
        format!(
            "{}, {} and {} ({}) read",
            plural(report.elements, "element"),
            plural(report.arrays, "array"),
            plural(report.chunks, "chunk"),
            human_bytes(report.bytes),
        )
    } else {
        format!("{}; --deep reads every chunk", plural(report.elements, "element"))
    };
    let unlisted = if report.listed { "" } else { "; the store cannot be listed, files were not looked at" };
    let verdict = match report.errors {
        0 => "well".to_owned(),
        n => plural(n, "error"),
    };
    out.line(&format!("{verdict}: {looked}{unlisted}"))
}

fn finding(f: &Finding) -> Value {
    json!({
        "severity": if f.severity == Severity::Error { "error" } else { "notice" },
        "code": f.code,
        "kind": f.kind.map(word),
        "element": f.element,
        "key": f.key,
        "message": f.message,
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Io | Kind::NotFound => "io",
        Kind::Memory => "memory",
        Kind::Unsupported => "unsupported",
        Kind::Internal => "internal",
        _ => "invalid",
    }
}

fn document(store: &Store, report: &Report, deep: bool) -> Value {
    json!({
        "schema": SCHEMA,
        "store": store.session.url(),
        "deep": deep,
        "well": report.is_well(),
        "errors": report.errors,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "findings_left_out": report.more,
        "absent_chunks": report.filled.iter().map(|f| json!({"array": f.array, "chunks": f.chunks, "of": f.of})).collect::<Vec<_>>(),
        "elements": report.elements,
        "arrays": report.arrays,
        "chunks": report.chunks,
        "bytes": report.bytes,
        "listed": report.listed,
    })
}
