//! What is allowed to come of a damaged store, and what is a defect.

use std::collections::BTreeMap;

use lazarr_testkit::{Known, Mutation};

use crate::read::{Outcome, PREDICATES, Reads};

/// What a kind of damage came to, for one store: the worst of its reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Result {
    /// All data was as before.
    Exact,
    /// A typed error said so.
    Error,
    /// Other data came, and nobody could have known.
    Silent,
}

/// What came of a store.
#[derive(Debug, Default)]
pub struct Verdict {
    /// By kind of mutation.
    pub results: Vec<(String, Result)>,
    /// Defects, as sentences.
    pub defects: Vec<String>,
}

/// Whether a mutation can be seen in a read.
fn touches(m: &Mutation, path: &str, manner: &str) -> bool {
    m.touches(path) || (manner == "predicate" && PREDICATES.iter().any(|p| m.touches(p)))
}

/// Whether other data may come without an error.
fn may_differ(m: &Mutation, manner: &str) -> bool {
    match m.known {
        Known::No => true,
        // A row start that is wrong among its neighbours shows where these are read too.
        Known::Whole => matches!(manner, "rows" | "rows and columns" | "predicate"),
        Known::Checksum | Known::Structure => false,
    }
}

/// Whether something at or below a path could not be read.
fn fails_below(reads: &Reads, path: &str) -> bool {
    let inside = |p: &str| p == path || p.starts_with(&format!("{path}/"));
    reads.iter().any(|((p, manner), o)| *manner == "whole" && inside(p) && matches!(o, Outcome::Error(..)))
}

/// Compares what came with what the good store brought. `opened` is false where the damaged store could not be opened.
pub fn judge(mutations: &[Mutation], truth: &Reads, reads: &Reads, opened: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let mut worst: BTreeMap<usize, Result> = (0..mutations.len()).map(|i| (i, Result::Exact)).collect();
    let metadata = mutations.iter().any(|m| m.metadata);
    if !opened {
        if !metadata {
            verdict.defects.push("the store could not be opened, although its metadata is as it was".into());
        }
        worst = (0..mutations.len()).map(|i| (i, Result::Error)).collect();
    }
    let mut see = |path: &str, manner: &'static str, result: Result, what: &str| {
        let touching: Vec<_> =
            mutations.iter().enumerate().filter(|(_, m)| touches(m, path, manner)).collect();
        let allowed = match result {
            Result::Exact => true,
            Result::Error => metadata || !touching.is_empty(),
            Result::Silent => touching.iter().any(|(_, m)| may_differ(m, manner)),
        };
        if !allowed {
            verdict.defects.push(format!("`{path}`, {manner}: {what}"));
        }
        for (i, m) in touching {
            // Other data is put to the account of what may have brought it.
            if result != Result::Silent || may_differ(m, manner) {
                worst.entry(i).and_modify(|w| *w = result.max(*w));
            }
        }
    };
    let mut broken = Vec::new();
    for ((path, manner), outcome) in reads {
        match (outcome, truth.get(&(path.clone(), *manner))) {
            (Outcome::Broken(why), _) => broken.push(format!("`{path}`, {manner}: {why}")),
            (Outcome::Error(..), Some(Outcome::Error(..))) => {}
            (Outcome::Error(_, text), _) => {
                see(path, manner, Result::Error, &format!("an error where nothing was done: {text}"));
            }
            (Outcome::Value(found), Some(Outcome::Value(expected))) if found == expected => {
                see(path, manner, Result::Exact, "");
            }
            // What cannot be read is left out of the whole object; its error is in its own place.
            (Outcome::Value(_), Some(_)) if *manner == "object" && fails_below(reads, path) => {
                see(path, manner, Result::Error, "something is left out where nothing was done");
            }
            (Outcome::Value(_), Some(_)) => see(path, manner, Result::Silent, "other data, and no error"),
            // Something new, of which nothing is known but its bounds.
            (Outcome::Value(_), None) => {
                if !metadata {
                    broken.push(format!("`{path}`, {manner}: a new element, although metadata is as it was"));
                }
            }
        }
    }
    // What is gone: because something above it cannot be read, or without a word.
    for (path, manner) in truth.keys().filter(|k| opened && k.1 == "whole" && !reads.contains_key(*k)) {
        let above = |p: &str| path.starts_with(&format!("{p}/")) || p.is_empty();
        let said = reads.iter().any(|((p, _), o)| above(p) && matches!(o, Outcome::Error(..)));
        let result = if said { Result::Error } else { Result::Silent };
        see(path, manner, result, "it is gone without a word");
    }
    verdict.defects.extend(broken);
    verdict.results = worst.into_iter().map(|(i, result)| (mutations[i].kind.to_owned(), result)).collect();
    verdict
}
