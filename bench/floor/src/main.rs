//! The floor: each touched inner chunk fetched and decoded whole, once, by the codec's own library, with all cores, into
//! scratch that each thread reuses; for a collect, the bytes of the result written once into fresh memory as well.
//!
//! It talks in lines on standard input and output, so that its runs can alternate with those of what it is compared
//! with. The first line is a job in JSON:
//!
//! - `store`, `threads`; `rows`: `null` (all), `{"start", "stop"}`, or a list in any order;
//! - `csr`: a matrix whose `parts` (of `indptr`, `indices`, `data`) are touched at these rows;
//! - `dense`: arrays that are touched at these rows; `arrays`: those that are touched whole;
//! - `result`: `csr` or `decoded` (true), or `bytes`.
//!
//! Metadata, row starts and shard indices are read before any clock. The answer counts chunks and bytes. Then each line
//! `go` is one run, answered with its seconds. Of the ways to make memory the two that were fastest in a trial are run
//! by turns, and the faster one counts.

mod array;
mod codec;
mod job;
mod pages;
mod run;

use std::io::{BufRead, Write};

use job::Work;
use pages::Way;
use run::{Lap, Runner, Shared};
use serde_json::{Value, json};

fn main() -> std::process::ExitCode {
    let mut out = std::io::stdout().lock();
    match serve(&mut out) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(out, "{}", json!({ "error": error }));
            std::process::ExitCode::FAILURE
        }
    }
}

fn serve(out: &mut impl Write) -> Result<(), String> {
    let mut lines = std::io::stdin().lock().lines();
    let line = lines.next().ok_or("no job")?.map_err(|e| e.to_string())?;
    let job: Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
    let threads = match job["threads"].as_u64() {
        Some(n) => n as usize,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut work = Work::parse(&job)?;
    if work.result_is_decoded {
        work.result += decoded_bytes(&job)?;
    }
    let mut runner = Runner::new(Shared::new(work, threads), threads);

    let ways = Way::all(runner.shared.result);
    let first = runner.run(ways[0])?;
    let mut tried: Vec<Lap> = Vec::new();
    for way in ways {
        tried.push(runner.run(*way)?);
    }
    tried.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let ways: Vec<Way> = tried.iter().take(2).map(|lap| lap.way).collect();
    let shared = &runner.shared;
    let facts = json!({
        "first_s": first.seconds,
        "chunks": shared.chunks(),
        "reads": shared.reads(),
        "encoded_bytes": shared.encoded,
        "decoded_bytes": runner.decoded,
        "result_bytes": shared.result,
        "threads": threads,
        "ways": tried.iter().map(|lap| json!([lap.way.name(), lap.seconds])).collect::<Vec<_>>(),
    });
    say(out, &facts)?;
    for line in lines {
        if line.map_err(|e| e.to_string())?.trim() != "go" {
            continue;
        }
        let (mut best, mut cpu) = (f64::INFINITY, f64::INFINITY);
        for way in &ways {
            let lap = runner.run(*way)?;
            best = best.min(lap.seconds);
            cpu = cpu.min(lap.cpu);
        }
        say(out, &json!({ "seconds": best, "cpu": cpu }))?;
    }
    Ok(())
}

/// A result as large as what is decoded: known after one run without a result.
fn decoded_bytes(job: &Value) -> Result<usize, String> {
    let mut runner = Runner::new(Shared::new(Work::parse(job)?, 1), 1);
    runner.run(Way::Heap)?;
    Ok(runner.decoded)
}

fn say(out: &mut impl Write, value: &Value) -> Result<(), String> {
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|e| e.to_string())
}
