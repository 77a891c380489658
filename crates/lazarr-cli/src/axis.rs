//! `lazarr obs` and `lazarr var`: the columns of an axis, the rows that a query finds, how often values occur.

use std::io::{self, IsTerminal};

use lazarr::plan::human_count;
use lazarr::{Body, Element, Lazy, LazyAnnData, Step, Value, ValueCounts};
use serde_json::{Value as Json, json};

use crate::args::Axis;
use crate::cell::{Cell, cells};
use crate::exit::Failure;
use crate::facts;
use crate::get::{csv_row, text_block};
use crate::grid::Grid;
use crate::out::{Out, clean};
use crate::progress::Progress;
use crate::store::{Store, call, check_stopped};
use crate::table::{self, Align};

/// The versions of the JSON; a field may be added without a new one, never removed.
const COLUMNS: &str = "lazarr-columns/1";
const ROWS: &str = "lazarr-rows/1";
const COUNTS: &str = "lazarr-value-counts/1";

/// Of rows that people look at this many columns are shown where they name none.
const SHOWN: usize = 10;

/// Rows of one block of a table that people look at: its widths are its own.
const BLOCK: u64 = 10_000;

pub(crate) fn run(name: &'static str, args: &Axis, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let object = store.object()?;
    let axis = if name == "obs" { object.obs_axis() } else { object.var_axis() };
    let view = match &args.query {
        None => object.clone(),
        Some(query) => {
            let step = Some(axis.query(query)?);
            if name == "obs" { object.select(step, None)? } else { object.select(None, step)? }
        }
    };
    let table = view.get(name)?;
    if let Some(column) = &args.value_counts {
        let counts = table.column(column)?.value_counts(&call())?;
        return write_counts(&store, name, column, args, &counts, out);
    }
    if args.columns.is_empty() && args.query.is_none() && !args.all && !args.csv {
        return list(&store, &table, args, out);
    }
    rows(&store, object, name, &table, args, out)
}

/// The columns: what they are, not what is in them.
fn list(store: &Store, table: &Lazy, args: &Axis, out: &mut Out<'_>) -> Result<(), Failure> {
    let Body::DataFrame(frame) = &table.element().body else {
        // Reading what is broken is its error.
        return Ok(table.collect(&call()).map(drop)?);
    };
    if args.common.json {
        return out.json(&json!({
            "schema": COLUMNS,
            "store": store.session.url(),
            "axis": table.element().path,
            "rows": frame.len,
            "index": facts::json(&frame.index),
            "columns": frame.columns.iter().map(|(n, c)| named(n, c)).collect::<Vec<_>>(),
        }));
    }
    let s = if frame.columns.len() == 1 { "" } else { "s" };
    out.line(&format!(
        "{}: {} rows, {} column{s}",
        table.element().path,
        human_count(frame.len),
        human_count(frame.columns.len() as u64)
    ))?;
    let columns = frame.columns.iter().map(|(name, column)| (&**name, column));
    let all: Vec<(&str, &Element)> =
        std::iter::once((&*frame.index_key, &frame.index)).chain(columns).collect();
    facts::write_named(out, "column", &all)
}

fn named(name: &str, column: &Element) -> Json {
    let mut out = facts::json(column);
    out["name"] = json!(name);
    out
}

fn write_counts(
    store: &Store,
    name: &str,
    column: &str,
    args: &Axis,
    counts: &ValueCounts,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let values = cells(&counts.values);
    if args.common.json {
        let entries: Vec<Json> = values
            .iter()
            .zip(&counts.counts)
            .map(|(value, count)| json!({ "value": value.json(), "count": count }))
            .collect();
        return out.json(&json!({
            "schema": COUNTS,
            "store": store.session.url(),
            "axis": name,
            "column": column,
            "query": args.query,
            "rows": counts.rows,
            "missing": counts.missing,
            "counts": entries,
        }));
    }
    let header = [column, "count", "share"];
    let header: Vec<_> = header
        .iter()
        .enumerate()
        .map(|(k, h)| ((*h).to_owned(), if k == 0 { Align::Left } else { Align::Right }))
        .collect();
    let row = |value: String, count: u64| {
        let share = count as f64 / counts.rows.max(1) as f64 * 100.0;
        vec![value, human_count(count), format!("{share:.1} %")]
    };
    let there = values.iter().zip(&counts.counts).filter(|(_, n)| **n > 0);
    let mut lines: Vec<Vec<String>> = there.map(|(value, n)| row(value.text(), *n)).collect();
    if counts.missing > 0 {
        // Among the others, by how often it occurs.
        let at = counts.counts.iter().take_while(|n| **n >= counts.missing).count().min(lines.len());
        lines.insert(at, row(Cell::Missing.text(), counts.missing));
    }
    table::write(out, &header, &lines)?;
    let none = counts.counts.iter().filter(|n| **n == 0).count() as u64;
    if none > 0 {
        let s = if none == 1 { "y does" } else { "ies do" };
        out.line(&format!("{} categor{s} not occur", human_count(none)))?;
    }
    out.line(&format!("{} rows", human_count(counts.rows)))
}

/// Columns by their names.
type Columns = Vec<(String, Element)>;

/// The columns that are shown, and what to say of the others.
fn chosen(table: &Lazy, args: &Axis) -> Result<(Columns, Vec<String>), Failure> {
    let Body::DataFrame(frame) = &table.element().body else {
        table.collect(&call())?;
        return Ok((Vec::new(), Vec::new()));
    };
    let mut notes = Vec::new();
    if !args.columns.is_empty() {
        let element = |name: &String| -> Result<_, Failure> {
            let column = table.column(name)?.element().clone();
            if let Body::Broken(e) = &column.body {
                return Err(e.again().element(&*column.path).into());
            }
            Ok((name.clone(), column))
        };
        return Ok((args.columns.iter().map(element).collect::<Result<_, _>>()?, notes));
    }
    let mut columns = Vec::new();
    let (mut left, people) = (0, !(args.csv || args.common.json));
    for (name, column) in &frame.columns {
        match &column.body {
            Body::Broken(e) => notes.push(format!("cannot be read: {}", e.again().element(&*column.path))),
            _ if people && columns.len() >= SHOWN => left += 1,
            _ => columns.push((name.clone(), column.clone())),
        }
    }
    if left > 0 {
        notes.push(format!("… {} more columns; name those to show", human_count(left)));
    }
    Ok((columns, notes))
}

/// Writes the values of rows, block by block.
fn rows(
    store: &Store,
    object: &LazyAnnData,
    name: &str,
    table: &Lazy,
    args: &Axis,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let (columns, notes) = chosen(table, args)?;
    let names: Vec<String> = columns.iter().map(|(n, _)| n.clone()).collect();
    let dtypes: Vec<Option<String>> = columns.iter().map(|(_, c)| facts::dtype(c)).collect();
    let lazy = table.with_columns(&names)?;
    lazy.resolve(&call())?;
    let of = object.shape()[usize::from(name == "var")].unwrap_or(0);
    let found = lazy.axes().first().and_then(|a| a.count()).unwrap_or(0);
    let shown = if args.all { found } else { found.min(u64::from(args.rows)) };
    let lazy = lazy.select(0, Step::Slice(None, Some(shown as i64), None))?;
    let mut writer = Writer::new(args, &columns, &dtypes);
    let progress = Progress::new(args.common.quiet || io::stdout().is_terminal());
    let mut blocks =
        lazy.stream(&call(), (!args.csv && !args.common.json).then_some(BLOCK), Some(text_block(&lazy)))?;
    let mut any = false;
    let mut block = blocks.next(&call())?;
    loop {
        check_stopped()?;
        let value = match block.take() {
            Some(block) => {
                progress.at(block.end, shown);
                (block.start, block.value)
            }
            None if any => break,
            // No rows: the names of columns are shown still.
            None => (0, lazy.collect(&call())?),
        };
        let (start, Value::Table(part)) = value else { break };
        if !any {
            writer.head(store, name, &part, out)?;
        }
        any = true;
        writer.block(&Grid::of_table(&part, &dtypes), start, out)?;
        block = blocks.next(&call())?;
    }
    drop(progress);
    writer.tail(found, of, &notes, out)
}

/// The three ways in which rows are written.
struct Writer<'a> {
    args: &'a Axis,
    columns: &'a [(String, Element)],
    dtypes: &'a [Option<String>],
    written: u64,
    /// Text that reaches a terminal is escaped in CSV, too.
    escape: bool,
}

impl<'a> Writer<'a> {
    fn new(args: &'a Axis, columns: &'a [(String, Element)], dtypes: &'a [Option<String>]) -> Self {
        Self { args, columns, dtypes, written: 0, escape: io::stdout().is_terminal() }
    }

    fn head(
        &mut self,
        store: &Store,
        axis: &str,
        part: &lazarr::Table,
        out: &mut Out<'_>,
    ) -> Result<(), Failure> {
        if self.args.csv {
            let index = part.index_name.clone().unwrap_or_default();
            let names = std::iter::once(index).chain(self.columns.iter().map(|(n, _)| n.clone()));
            return self.csv(&names.collect::<Vec<_>>(), out);
        }
        if self.args.common.json {
            let columns: Vec<Json> = self
                .columns
                .iter()
                .zip(self.dtypes)
                .map(|((name, column), dtype)| json!({ "name": name, "kind": facts::kind(column), "dtype": dtype }))
                .collect();
            let head = json!({
                "schema": ROWS, "store": store.session.url(), "axis": axis, "query": self.args.query,
                "index_name": part.index_name, "columns": columns,
            });
            let text = serde_json::to_string(&head).map_err(io::Error::from)?;
            out.json_text(text.trim_end_matches('}'))?;
            out.json_text(",\n\"rows\": [")?;
        }
        Ok(())
    }

    fn block(&mut self, grid: &Grid, start: u64, out: &mut Out<'_>) -> Result<(), Failure> {
        if !self.args.csv && !self.args.common.json {
            return grid.write_part(out, start, start == 0);
        }
        for i in 0..grid.rows {
            let index = grid.index.as_ref().and_then(|x| x.get(i)).unwrap_or(&Cell::Missing);
            let cells = || std::iter::once(index).chain(grid.columns.iter().filter_map(|c| c.cells.get(i)));
            if self.args.csv {
                self.csv(&cells().map(Cell::exact).collect::<Vec<_>>(), out)?;
            } else {
                let row: Vec<Json> = cells().map(Cell::json).collect();
                let text = serde_json::to_string(&row).map_err(io::Error::from)?;
                out.json_text(if self.written == 0 { "\n" } else { ",\n" })?;
                out.json_text(&text)?;
            }
            self.written += 1;
        }
        Ok(())
    }

    fn csv(&self, row: &[String], out: &mut Out<'_>) -> Result<(), Failure> {
        let row: Vec<String> =
            if self.escape { row.iter().map(|c| clean(c)).collect() } else { row.to_vec() };
        csv_row(out.raw(), &row)
    }

    fn tail(&self, found: u64, of: u64, notes: &[String], out: &mut Out<'_>) -> Result<(), Failure> {
        if self.args.csv {
            for note in notes.iter().filter(|_| !self.args.common.quiet) {
                crate::say("note", note);
            }
            return Ok(());
        }
        if self.args.common.json {
            let end = json!({ "found": found, "of": of, "notes": notes });
            let text = serde_json::to_string(&end).map_err(io::Error::from)?;
            out.json_text("\n],\n")?;
            out.json_text(text.trim_start_matches('{'))?;
            return out.json_text("\n");
        }
        for note in notes {
            out.line(note)?;
        }
        match &self.args.query {
            Some(_) => out.line(&format!("{} of {} rows match", human_count(found), human_count(of))),
            None => out.line(&format!("{} rows", human_count(of))),
        }
    }
}
