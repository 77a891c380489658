//! `lazarr head`: the first rows of an element, read and shown.

use std::sync::Arc;

use lazarr::{AxisView, Body, Element, Index, Lazy, Result, Session, Step, Value};
use serde_json::{Value as Json, json};

use crate::args::Head;
use crate::cell::{Cell, cells};
use crate::exit::Failure;
use crate::facts;
use crate::grid::{Column, Grid};
use crate::out::Out;
use crate::store::{Store, call};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-head/1";

/// What is shown of an element.
enum Shown {
    /// Rows and columns.
    Grid(Grid),
    /// A single value.
    Value(Cell),
    /// What a mapping holds.
    Entries(Vec<Element>),
    /// What is not shown row by row.
    Facts,
}

/// What is shown, and what should be said of the rest.
struct Answer {
    element: Element,
    shown: Shown,
    notes: Vec<String>,
}

pub(crate) fn run(args: &Head, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let element = match (&args.element, &store.object) {
        (None, Some(_)) => Some("obs"),
        (path, _) => path.as_deref(),
    };
    let lazy = store.element(element)?;
    let answer = answer(&lazy, args)?;
    if args.common.json {
        return out.json(&document(&store.session, &answer));
    }
    write(&answer, out)
}

fn answer(lazy: &Lazy, args: &Head) -> Result<Answer> {
    let element = lazy.element().clone();
    let mut notes = Vec::new();
    let (rows, cols) = (u64::from(args.rows), u64::from(args.cols));
    let shown = match &element.body {
        Body::DataFrame(_) => Shown::Grid(of_table(lazy, rows, cols, &mut notes)?),
        Body::Dict(_) | Body::Raw(_) | Body::AnnData(_) => {
            Shown::Entries(element.children().into_iter().map(|(_, child)| child).collect())
        }
        Body::Null => Shown::Value(Cell::Missing),
        Body::Awkward(_) => {
            notes.push("entries of awkward arrays are not shown; Python reads them".into());
            Shown::Facts
        }
        // Reading what is broken is its error.
        Body::Broken(_) => {
            return lazy.collect(&call()).map(|_| Answer { element, shown: Shown::Facts, notes });
        }
        _ if lazy.axes().is_empty() => match cells(&lazy.collect(&call())?).pop() {
            Some(cell) => Shown::Value(cell),
            None => Shown::Facts,
        },
        _ => Shown::Grid(of_array(lazy, rows, cols, &mut notes)?),
    };
    Ok(Answer { element, shown, notes })
}

/// The first `count` of an axis.
fn first(lazy: &Lazy, axis: usize, count: u64) -> Result<Lazy> {
    let n = lazy.axes().get(axis).and_then(|a| a.count()).unwrap_or(0);
    let stop = i64::try_from(count).unwrap_or(i64::MAX);
    lazy.select(axis, Step::Index(Index::slice(None, Some(stop), None, n)?))
}

fn of_table(lazy: &Lazy, rows: u64, cols: u64, notes: &mut Vec<String>) -> Result<Grid> {
    let Body::DataFrame(frame) = &lazy.element().body else { return Ok(Grid::default()) };
    let mut wanted: Vec<(u64, String, Option<String>)> = Vec::new();
    let mut left = 0;
    for (position, (name, column)) in frame.columns.iter().enumerate() {
        match &column.body {
            Body::Broken(e) => notes.push(format!("cannot be read: {}", e.again().element(&*column.path))),
            _ if wanted.len() as u64 >= cols => left += 1,
            _ => wanted.push((position as u64, name.clone(), facts::dtype(column))),
        }
    }
    if left > 0 {
        notes.push(more_columns(left));
    }
    let names: Vec<String> = wanted.iter().map(|(_, name, _)| name.clone()).collect();
    let value = first(&lazy.with_columns(&names)?, 0, rows)?.collect(&call())?;
    let Value::Table(table) = value else { return Ok(Grid::default()) };
    let mut columns = Vec::new();
    for ((position, name, dtype), (_, value)) in wanted.into_iter().zip(&table.columns) {
        columns.push(Column { name: Some(name), position, dtype, cells: cells(value) });
    }
    Ok(Grid {
        index: table.index.as_deref().map(cells),
        index_name: table.index_name,
        columns,
        rows: table.len as usize,
    })
}

/// Arrays of one axis are one column; of those with more than two the first of each further axis is shown.
fn of_array(lazy: &Lazy, rows: u64, cols: u64, notes: &mut Vec<String>) -> Result<Grid> {
    let mut part = first(lazy, 0, rows)?;
    let rank = part.axes().len();
    if rank > 1 {
        part = first(&part, 1, cols)?;
    }
    for axis in 2..rank {
        part = first(&part, axis, 1)?;
    }
    if rank > 2 {
        notes.push(format!("of {} further axes only position 0 is shown", rank - 2));
    }
    let shape: Vec<u64> = part.axes().iter().map(|a| a.count().unwrap_or(0)).collect();
    let whole: Vec<u64> = lazy.axes().iter().map(|a| a.count().unwrap_or(0)).collect();
    let value = part.collect(&call())?;
    let index = names(lazy.session(), &lazy.axes()[0], rows, notes);
    let columns: Vec<Option<String>> = match shape.get(1) {
        None => vec![Some(lazy.element().name().to_owned())],
        Some(&n) => match names(lazy.session(), &lazy.axes()[1], n, notes) {
            Some(names) => names.iter().map(|c| Some(c.text())).collect(),
            None => (0..n).map(|_| None).collect(),
        },
    };
    if let (Some(&all), Some(&some)) = (whole.get(1), shape.get(1))
        && all > some
    {
        notes.push(more_columns(all - some));
    }
    let dtype = facts::dtype(lazy.element());
    let mut grid = Grid::of_matrix(&cells(&value), shape[0] as usize, &columns, dtype.as_deref());
    grid.index = index;
    Ok(grid)
}

fn more_columns(n: u64) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("… {} more column{s}; -c shows more", lazarr::plan::human_count(n))
}

/// The first names of an axis, where it has any. What cannot be read is said, and positions stand instead.
fn names(session: &Arc<Session>, axis: &AxisView, count: u64, notes: &mut Vec<String>) -> Option<Vec<Cell>> {
    let frame = axis.axis().frame.as_ref()?;
    let read = || -> Result<Vec<Cell>> {
        let names = Lazy::new(session, frame).names()?;
        Ok(cells(&first(&names, 0, count)?.collect(&call())?))
    };
    match read() {
        Ok(names) => Some(names),
        Err(e) => {
            notes.push(format!("no names: {e}"));
            None
        }
    }
}

fn title(element: &Element) -> String {
    let path = if element.path.is_empty() { "/" } else { &element.path };
    let shape = facts::shape_text(&element.shape().unwrap_or_default());
    let dtype = facts::dtype(element).map(|d| format!(" {d}")).unwrap_or_default();
    let shape = if shape.is_empty() { shape } else { format!(" ({shape})") };
    format!("{path}: {}{dtype}{shape}", facts::kind(element))
}

fn write(answer: &Answer, out: &mut Out<'_>) -> Result<(), Failure> {
    match &answer.shown {
        Shown::Grid(grid) => {
            out.line(&title(&answer.element))?;
            grid.write(out)?;
        }
        Shown::Value(cell) => match answer.element.body {
            Body::Null => out.line(&title(&answer.element))?,
            _ => out.line(&format!("{} = {}", title(&answer.element), cell.text()))?,
        },
        Shown::Entries(entries) => {
            out.line(&title(&answer.element))?;
            facts::write_table(out, entries)?;
        }
        Shown::Facts => facts::write_table(out, std::slice::from_ref(&answer.element))?,
    }
    for note in &answer.notes {
        out.line(note)?;
    }
    Ok(())
}

fn document(session: &Session, answer: &Answer) -> Json {
    let mut out = json!({
        "schema": SCHEMA,
        "store": session.url(),
        "element": facts::json(&answer.element),
        "rows": null,
        "index": null,
        "index_name": null,
        "columns": null,
        "value": null,
        "entries": null,
        "notes": answer.notes,
    });
    match &answer.shown {
        Shown::Grid(grid) => {
            out["rows"] = json!(grid.rows);
            out["index"] = grid.index_json();
            out["index_name"] = json!(grid.index_name);
            out["columns"] = json!(grid.columns_json());
        }
        Shown::Value(cell) => out["value"] = cell.json(),
        Shown::Entries(entries) => out["entries"] = entries.iter().map(facts::json).collect(),
        Shown::Facts => {}
    }
    out
}
