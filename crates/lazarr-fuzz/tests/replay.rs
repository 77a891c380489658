//! The corpora of `fuzz/`, as plain tests: every file, and mutations of them that are the same at each run.
//!
//! `cargo test -p lazarr-fuzz --test replay -- --ignored write_seeds` writes the first files of the corpora anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use lazarr_fuzz::{TARGETS, Target, seeds};
use lazarr_testkit::Rng;

/// A number from the environment: `LAZARR_REPLAYS` of each file, from `LAZARR_SEED`.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The process may grow by so much: targets are given memory of a megabyte or so.
const MEMORY: u64 = 256 << 20;

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = fuzz().join("corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = files.map(|f| f.unwrap().path());
    files.map(|f| (f.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(f).unwrap())).collect()
}

/// What a fuzzer does first: bits, bytes, numbers of interest, pieces cut out, doubled, and taken from another file.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..rng.within(1..4) {
        let len = bytes.len() as u64;
        if len == 0 {
            bytes.push(rng.number() as u8);
            continue;
        }
        let at = rng.below(len) as usize;
        match rng.below(8) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.number() as u8,
            2 => bytes[at] = rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            3 => {
                let number = rng.pick(&[0u64, 1, u64::MAX, 1 << 31, u64::from(u32::MAX), 1 << 63, 1 << 20]);
                let width = rng.pick(&[2, 4, 8]);
                for (byte, new) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..width]) {
                    *byte = *new;
                }
            }
            4 => bytes.truncate(at),
            5 => {
                let end = (at + rng.below(16) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let end = (at + rng.below(16) as usize).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ if !other.is_empty() => {
                let from = rng.below(other.len() as u64) as usize;
                let end = (from + rng.below(32) as usize).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => bytes.push(0),
        }
    }
}

fn run(target: Target, name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let mut shown = String::new();
        for b in input {
            write!(shown, "{b:02x}").unwrap();
        }
        panic!("{name} breaks a promise on {shown}");
    }
}

#[test]
fn every_file_and_mutations_of_it_keep_the_promises() {
    let (mutations, seed) = (number("LAZARR_REPLAYS", 60), number("LAZARR_SEED", 0xf022));
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= 8, "the corpus of {name} is almost empty");
        let all: Vec<&Vec<u8>> = files.values().collect();
        let mut rng = Rng::new(seed);
        lazarr::reset_peak();
        let before = lazarr::resident();
        for (file, bytes) in &files {
            run(target, &format!("{name}/{file}"), bytes);
            for k in 0..mutations {
                let mut input = bytes.clone();
                let other = rng.pick(&all);
                mutate(&mut input, other, &mut rng);
                run(target, &format!("{name}/{file}, mutation {k}"), &input);
            }
        }
        if let (Some((before, _)), Some((_, peak))) = (before, lazarr::resident()) {
            let grown = peak.saturating_sub(before);
            assert!(grown < MEMORY, "{name}: the process grew by {grown} bytes");
        }
    }
}

#[test]
fn every_target_is_fuzzed_and_every_seed_is_in_its_corpus() {
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let mut total = 0;
    for (name, _) in TARGETS {
        let source = fuzz().join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
        assert!(text.contains(&format!("lazarr_fuzz::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary of fuzz/Cargo.toml");
        let files = corpus(name);
        total += files.values().map(Vec::len).sum::<usize>();
        for (seed, bytes) in seeds::of(name) {
            assert_eq!(files.get(&seed), Some(&bytes), "{name}/{seed}: write_seeds writes it anew");
        }
    }
    assert!(total < 1 << 20, "the corpora have {total} bytes");
}

#[test]
#[ignore = "writes the corpora"]
fn write_seeds() {
    for (name, _) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (seed, bytes) in seeds::of(name) {
            std::fs::write(folder.join(seed), bytes).unwrap();
        }
    }
}
