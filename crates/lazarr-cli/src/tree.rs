//! `lazarr tree`: what there is, as a tree.

use lazarr::plan::human_count;
use lazarr::{Body, Element};
use serde_json::{Value, json};

use crate::args::Tree;
use crate::exit::Failure;
use crate::facts;
use crate::out::{Out, clean};
use crate::store::Store;

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-tree/1";

/// Of each mapping or table this many entries are shown to people, unless they ask for all.
const SHOWN: usize = 40;

pub(crate) fn run(args: &Tree, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let element = store.element(args.element.as_deref())?.element().clone();
    let depth = args.depth.unwrap_or(u32::MAX);
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA,
            "store": store.session.url(),
            "root": document(&element, depth),
        }));
    }
    let name = if element.path.is_empty() { store.session.url() } else { &*element.path };
    out.line(&format!("{}  {}", clean(name), describe(&element)))?;
    below(&element, depth, "", args.all, out)
}

/// An element in a line, without its name: `csr_matrix float32 (5 × 4), 6 stored`.
fn describe(element: &Element) -> String {
    let mut text = facts::kind(element).to_owned();
    if let Some(dtype) = facts::dtype(element) {
        text = format!("{text} {dtype}");
    }
    let shape = facts::shape_text(&element.shape().unwrap_or_default());
    if !shape.is_empty() {
        text = format!("{text} ({shape})");
    }
    match &element.body {
        Body::Sparse(s) => format!("{text}, {} stored", human_count(s.nnz())),
        Body::Categorical(c) => match c.categories.shape().and_then(|s| s.first().copied()) {
            Some(n) => format!("{text}, categories: {}", human_count(n)),
            None => text,
        },
        Body::Dict(children) if children.is_empty() => format!("{text}, empty"),
        Body::Broken(e) => format!("{text}: {}", e.again()),
        _ => text,
    }
}

fn below(element: &Element, depth: u32, indent: &str, all: bool, out: &mut Out<'_>) -> Result<(), Failure> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let children = element.children();
    let shown = if all { children.len() } else { children.len().min(SHOWN) };
    let left = children.len() - shown;
    for (i, (name, child)) in children.iter().take(shown).enumerate() {
        let last = i + 1 == shown && left == 0;
        let (branch, more) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
        out.line(&format!("{indent}{branch}{}  {}", clean(name), describe(child)))?;
        below(child, depth, &format!("{indent}{more}"), all, out)?;
    }
    if left > 0 {
        out.line(&format!("{indent}└── … {} more; --all shows them", human_count(left as u64)))?;
    }
    Ok(())
}

fn document(element: &Element, depth: u32) -> Value {
    let mut out = facts::json(element);
    out["name"] = json!(element.name());
    out["children"] = match depth.checked_sub(1) {
        Some(depth) => element.children().iter().map(|(_, child)| document(child, depth)).collect(),
        None => Value::Null,
    };
    out
}
