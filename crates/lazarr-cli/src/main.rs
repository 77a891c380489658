//! The `lazarr` command: what is in a store, what reading it would cost, what it looks like, whether it is whole; its
//! parts as files of other kinds; the store anew, in another layout. Thin over the engine.

mod append;
mod args;
mod axis;
mod cell;
mod check;
mod completions;
mod concat;
mod diff;
mod du;
mod exit;
mod explain;
mod facts;
mod get;
mod grid;
mod head;
mod info;
mod optimize;
mod out;
mod plan;
mod progress;
mod repair;
mod selection;
mod store;
mod table;
mod transpose;
mod tree;
mod write;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Verb};
use crate::exit::Failure;
use crate::out::{Out, clean};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return refuse(&e),
    };
    let mut out = Out::new(io::stdout().lock());
    let result = match &cli.verb {
        Verb::Info(args) => info::run(args, &mut out),
        Verb::Plan(args) => plan::run(args, &mut out),
        Verb::Tree(args) => tree::run(args, &mut out),
        Verb::Head(args) => head::run(args, &mut out),
        Verb::Explain(args) => explain::run(args, &mut out),
        Verb::Obs(args) => axis::run("obs", args, &mut out),
        Verb::Var(args) => axis::run("var", args, &mut out),
        Verb::Get(args) => get::run(args, &mut out),
        Verb::Du(args) => du::run(args, &mut out),
        Verb::Check(args) => check::run(args, &mut out),
        Verb::Write(args) => write::run(args, &mut out),
        Verb::Transpose(args) => transpose::run(args, &mut out),
        Verb::Optimize(args) => optimize::run(args, &mut out),
        Verb::Concat(args) => concat::run(args, &mut out),
        Verb::Append(args) => append::run(args, &mut out),
        Verb::Diff(args) => diff::run(args, &mut out),
        Verb::Repair(args) => repair::run(args, &mut out),
        Verb::Completions(args) => completions::run(args, &mut out),
    };
    // What was printed before something failed is printed.
    let done = result.and(out.finish());
    store::wait_for_clearing();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    if failure.is_closed_pipe() {
        return ExitCode::SUCCESS;
    }
    if let Some(sentence) = failure.sentence() {
        say("error", &sentence);
    }
    ExitCode::from(failure.code())
}

/// One sentence on standard error; where that is closed too, nothing can be done.
fn say(what: &str, sentence: &str) {
    let _ = writeln!(io::stderr(), "{what}: {}", clean(sentence));
}

/// Help and version as clap writes them; its errors in one sentence.
fn refuse(e: &clap::Error) -> ExitCode {
    let text = e.render().to_string();
    if !e.use_stderr() {
        return match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&Failure::Output(e)),
        };
    }
    if e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = io::stderr().write_all(text.as_bytes());
        return ExitCode::from(2);
    }
    let lines = text.lines().take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let sentence = words.join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence).replace(" tip: ", "; ");
    say("error", &format!("{sentence}; see `lazarr --help`"));
    ExitCode::from(2)
}
