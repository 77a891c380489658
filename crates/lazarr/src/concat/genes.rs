//! The genes of a concatenation, and where they are in each part.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lazarr_format::{Code, Error, Result};
use lazarr_plan::Index;

use super::{Builder, Join};
use crate::rearrange::NONE;

/// The genes of all parts, and for each part where they are in it; `None` where they are its own.
pub(super) struct Genes {
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Option<Arc<[u64]>>>,
}

/// The names of an axis of all parts as one list, in the order of pandas' `intersection` and `union`.
fn join_names(lists: &[&[String]], join: Join) -> Vec<String> {
    let mut lists = lists.iter();
    let mut out = lists.next().map(|l| l.to_vec()).unwrap_or_default();
    for list in lists {
        if out == *list {
            continue;
        }
        match join {
            Join::Inner => {
                let known: HashSet<&str> = list.iter().map(String::as_str).collect();
                out.retain(|n| known.contains(n.as_str()));
            }
            Join::Outer if list.is_empty() => {}
            Join::Outer if out.is_empty() => out = list.to_vec(),
            Join::Outer => {
                let known: HashSet<String> = out.iter().cloned().collect();
                out.extend(list.iter().filter(|n| !known.contains(*n)).cloned());
                out.sort_unstable();
            }
        }
    }
    out
}

impl Builder<'_> {
    /// Genes that are joined. `views` are the positions of each part's genes in what is stored.
    pub(super) fn genes(&self, lists: &[&[String]], views: &[Option<&Index>]) -> Result<Genes> {
        if let Some(first) = lists.first()
            && lists.iter().any(|l| l != first)
        {
            for list in lists {
                let mut seen = HashSet::new();
                if let Some(twice) = list.iter().find(|n| !seen.insert(n.as_str())) {
                    return Err(Error::new(Code::Operation, "names of genes that are joined must be unique")
                        .element("var")
                        .found(format!("{twice:?} twice"))
                        .help("Make them unique, or concatenate parts whose genes are the same, in the same order"));
                }
            }
        }
        let names = join_names(lists, self.how.join);
        let mut columns = Vec::with_capacity(lists.len());
        for (list, view) in lists.iter().zip(views) {
            let whole = view.is_none_or(Index::is_all);
            if **list == names {
                columns.push(match view {
                    Some(view) if !whole => Some(view.iter().collect()),
                    _ => None,
                });
                continue;
            }
            let at: HashMap<&str, u64> = list.iter().zip(0..).map(|(n, i)| (n.as_str(), i)).collect();
            let of = |name: &String| {
                let i = *at.get(name.as_str())?;
                match view {
                    Some(view) => view.get(i),
                    None => Some(i),
                }
            };
            columns.push(Some(names.iter().map(|n| of(n).unwrap_or(NONE)).collect()));
        }
        Ok(Genes { names, columns })
    }
}
