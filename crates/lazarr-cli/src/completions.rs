//! `lazarr completions`: what a shell completes.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::exit::Failure;
use crate::out::Out;

#[allow(clippy::unnecessary_wraps, reason = "as every verb")]
pub(crate) fn run(args: &Completions, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lazarr", &mut script);
    Ok(out.raw().write_all(&script)?)
}
