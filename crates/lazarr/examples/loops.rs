//! Runs an inner loop so many times: what `tools/instructions.py` counts the instructions of.
//!
//! ```text
//! cargo run --release --package lazarr --example loops -- lz4 gene 3
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the shell")]

#[path = "../benches/work/mod.rs"]
mod work;

use std::process::ExitCode;

use lazarr_testkit::Codec;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (Some(layout), Some(name), Some(times)) =
        (words.first(), words.get(1), words.get(2).and_then(|n| n.parse::<u32>().ok()))
    else {
        eprintln!("usage: loops lz4|zstd {} TIMES", work::NAMES.join("|"));
        return ExitCode::from(2);
    };
    let adata = work::open(if layout == "lz4" { Codec::BloscLz4 } else { Codec::Zstd });
    let sum: u64 = (0..times).map(|_| work::run(&adata, name)).sum();
    println!("{sum}");
    ExitCode::SUCCESS
}
