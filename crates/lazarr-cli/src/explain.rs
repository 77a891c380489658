//! `lazarr explain`: the page of an error code.

use lazarr::Code;

use crate::args::Explain;
use crate::exit::Failure;
use crate::out::Out;

/// Prints the page, or one line for each code.
pub(crate) fn run(args: &Explain, out: &mut Out<'_>) -> Result<(), Failure> {
    match args.code {
        Some(code) => code.page().lines().try_for_each(|line| out.line(line)),
        None => Code::ALL.iter().try_for_each(|code| out.line(&format!("{}  {}", code.id(), code.title()))),
    }
}

/// A code by its number; where there is none, the nearest.
pub(crate) fn code(text: &str) -> Result<Code, String> {
    Code::from_id(text).ok_or_else(|| {
        let ids: Vec<String> = Code::ALL.iter().map(|code| code.id().to_owned()).collect();
        let nearest = lazarr::plan::nearest(&text.trim().to_uppercase(), &ids);
        format!("there is no such code. The nearest are {nearest}; `lazarr explain` lists them all")
    })
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
