//! The table that a campaign prints.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Stores by what came of them: exact data, a typed error, other data that nobody could have known.
pub type Counts = [u64; 3];

/// Counts by kind of mutation, in Markdown.
pub fn print(counts: &BTreeMap<String, Counts>) -> String {
    let mut out = String::from("| what was done | stores | exact | typed error | other data, unknowable |\n");
    out.push_str("|---|--:|--:|--:|--:|\n");
    let mut total = [0; 3];
    for (kind, row) in counts {
        line(&mut out, kind, row);
        (0..3).for_each(|i| total[i] += row[i]);
    }
    line(&mut out, "all mutations", &total);
    out
}

fn line(out: &mut String, kind: &str, row: &Counts) {
    let stores: u64 = row.iter().sum();
    let cell = |n: u64| if n == 0 { "–".to_owned() } else { n.to_string() };
    writeln!(out, "| {kind} | {stores} | {} | {} | {} |", cell(row[0]), cell(row[1]), cell(row[2])).unwrap();
}
