//! `lazarr info`: what there is, and what reading the usual things would cost.

use lazarr::plan::{Amount, human_bytes, human_count};
use lazarr::{Body, Element, Index, Lazy, Plan, Result, Step};
use serde_json::{Value, json};

use crate::args::Info;
use crate::exit::Failure;
use crate::facts;
use crate::out::Out;
use crate::store::{Store, call};
use crate::table::{self, Align};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-info/1";

/// Of each mapping or table this many entries are shown to people; JSON has all.
const SHOWN: usize = 40;

/// One thing that people read, and its plan.
struct Cost {
    what: &'static str,
    selection: String,
    plan: Plan,
}

pub(crate) fn run(args: &Info, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let costs = costs(&store);
    if args.common.json {
        return out.json(&document(&store, &costs));
    }
    title(&store, out)?;
    out.line("")?;
    list(&store, out)?;
    out.line("")?;
    match &costs {
        Ok(costs) if costs.is_empty() => Ok(()),
        Ok(costs) => write_costs(costs, out),
        Err(e) => out.line(&format!("no costs: {e}")),
    }
}

fn title(store: &Store, out: &mut Out<'_>) -> Result<(), Failure> {
    let session = &store.session;
    let consolidated = if session.consolidated() { "consolidated" } else { "not consolidated" };
    out.line(&format!(
        "{}: {}, Zarr v{}, {consolidated}",
        session.url(),
        if store.object.is_some() { "AnnData" } else { facts::kind(session.root()) },
        session.zarr_format(),
    ))?;
    if let Body::AnnData(a) = &session.root().body {
        out.line(&format!("{} obs × {} vars", human_count(a.n_obs), human_count(a.n_vars)))?;
    }
    let meter = session.meter();
    out.line(&format!(
        "opening it took {} request{} and {} of metadata",
        human_count(meter.requests()),
        if meter.requests() == 1 { "" } else { "s" },
        human_bytes(meter.bytes()),
    ))
}

/// The elements as a table. Empty mappings say nothing and are left out; long ones are cut.
fn list(store: &Store, out: &mut Out<'_>) -> Result<(), Failure> {
    let root = store.session.root();
    let mut shown: Vec<Element> = Vec::new();
    let mut left: Vec<(String, usize)> = Vec::new();
    let mut rest = vec![root.clone()];
    while let Some(element) = rest.pop() {
        let children = element.children();
        if matches!(&element.body, Body::Dict(c) if c.is_empty()) && !element.path.is_empty() {
            continue;
        }
        if children.len() > SHOWN {
            left.push((element.path.clone(), children.len() - SHOWN));
        }
        rest.extend(children.into_iter().take(SHOWN).rev().map(|(_, child)| child));
        if !(element.path.is_empty() && matches!(element.body, Body::AnnData(_) | Body::Dict(_))) {
            shown.push(element);
        }
    }
    facts::write_table(out, &shown)?;
    for (path, n) in left {
        let path = if path.is_empty() { "/" } else { &path };
        out.line(&format!("… {} more in {path}; --json lists all", human_count(n as u64)))?;
    }
    Ok(())
}

/// A row, 1,000 rows, a gene and the whole of X; of a store that is no AnnData, the same of its root.
fn costs(store: &Store) -> Result<Vec<Cost>> {
    let (lazy, name) = match (&store.object, &store.session.root().body) {
        (Some(_), Body::AnnData(a)) if a.x.is_none() => return Ok(Vec::new()),
        (Some(object), _) => (object.get("X")?, "X"),
        (None, Body::Dict(_) | Body::Raw(_) | Body::Null) => return Ok(Vec::new()),
        (None, _) => (store.element(None)?, ""),
    };
    let mut costs = Vec::new();
    let mut add = |what, lazy: &Lazy| -> Result<()> {
        let axes: Vec<String> = lazy.axes().iter().map(|a| a.describe()).collect();
        let selection = format!("{name}[{}]", axes.join(", "));
        costs.push(Cost { what, selection, plan: lazy.plan(&call(), false)? });
        Ok(())
    };
    let first = |axis: usize, count: u64, n: u64| {
        lazy.select(axis, Step::Index(Index::slice(None, Some(count as i64), None, n)?))
    };
    let axes: Vec<u64> = lazy.axes().iter().filter_map(|a| a.count()).collect();
    if let Some(&rows) = axes.first() {
        if rows > 1 {
            add("one row", &first(0, 1, rows)?)?;
        }
        if rows > 1000 {
            add("1,000 rows", &first(0, 1000, rows)?)?;
        }
    }
    if let [_, columns] = axes[..]
        && columns > 1
    {
        let what = if store.object.is_some() { "one gene" } else { "one column" };
        add(what, &first(1, 1, columns)?)?;
    }
    add("all", &lazy)?;
    Ok(costs)
}

fn write_costs(costs: &[Cost], out: &mut Out<'_>) -> Result<(), Failure> {
    let header = ["to read", "", "requests", "round trips", "fetch", "decode", "result", "peak memory"]
        .map(|h| (h.to_owned(), if matches!(h, "to read" | "") { Align::Left } else { Align::Right }));
    let rows: Vec<Vec<String>> = costs
        .iter()
        .map(|c| {
            let p = &c.plan;
            let (counts, sizes) =
                ([p.requests, p.round_trips], [p.fetch_bytes, p.decode_bytes, p.output_bytes, p.peak_bytes]);
            let mut row = vec![c.what.to_owned(), c.selection.clone()];
            row.extend(counts.map(Amount::count));
            row.extend(sizes.map(Amount::bytes));
            row
        })
        .collect();
    table::write(out, &header, &rows)?;
    let mut notes: Vec<&String> =
        costs.iter().flat_map(|c| &c.plan.elements).flat_map(|e| &e.notes).collect();
    notes.dedup();
    for note in notes {
        out.line(&format!("note: {note}"))?;
    }
    out.line("≤ is an upper bound, ≈ an estimate, the rest is exact; `lazarr plan --resolve` reads what makes it exact")
}

fn document(store: &Store, costs: &Result<Vec<Cost>>) -> Value {
    let session = &store.session;
    let root = session.root();
    let shape = match &root.body {
        Body::AnnData(a) => Some((a.n_obs, a.n_vars)),
        _ => None,
    };
    let amounts = |c: &Cost| {
        let p = &c.plan;
        json!({
            "what": c.what,
            "selection": c.selection,
            "chunks": facts::amount_json(p.chunks),
            "requests": facts::amount_json(p.requests),
            "round_trips": facts::amount_json(p.round_trips),
            "fetch_bytes": facts::amount_json(p.fetch_bytes),
            "decode_bytes": facts::amount_json(p.decode_bytes),
            "output_bytes": facts::amount_json(p.output_bytes),
            "peak_bytes": facts::amount_json(p.peak_bytes),
            "notes": p.elements.iter().flat_map(|e| &e.notes).collect::<Vec<_>>(),
        })
    };
    let (list, error) = match costs {
        Ok(costs) => (costs.iter().map(amounts).collect(), None),
        Err(e) => (Vec::new(), Some(facts::error_json(e))),
    };
    json!({
        "schema": SCHEMA,
        "store": session.url(),
        "kind": facts::kind(root),
        "zarr_format": session.zarr_format(),
        "consolidated": session.consolidated(),
        "n_obs": shape.map(|s| s.0),
        "n_vars": shape.map(|s| s.1),
        "opening": { "requests": session.meter().requests(), "bytes": session.meter().bytes() },
        "memory_limit": session.memory_limit(),
        "threads": session.threads(),
        "elements": facts::flatten(root).iter().map(facts::json).collect::<Vec<_>>(),
        "costs": list,
        "costs_error": error,
    })
}
