//! Rows and columns of values with their names: what `head` shows of tables, matrices and single columns alike.

use lazarr::Table;
use serde_json::{Value, json};

use crate::cell::{Cell, cells};
use crate::exit::Failure;
use crate::out::Out;
use crate::table::{self, Align};

/// One column.
pub(crate) struct Column {
    /// Its name, where it has one.
    pub(crate) name: Option<String>,
    /// Which column of the element it is.
    pub(crate) position: u64,
    /// What its values are.
    pub(crate) dtype: Option<String>,
    /// One a row.
    pub(crate) cells: Vec<Cell>,
}

/// The first rows of something.
#[derive(Default)]
pub(crate) struct Grid {
    /// The names of the rows, where they have any.
    pub(crate) index: Option<Vec<Cell>>,
    /// What the names of the rows are called.
    pub(crate) index_name: Option<String>,
    pub(crate) columns: Vec<Column>,
    /// Rows shown.
    pub(crate) rows: usize,
}

impl Grid {
    /// A table that was read; its columns have these types.
    pub(crate) fn of_table(table: &Table, dtypes: &[Option<String>]) -> Self {
        let column = |(position, (name, value)): (usize, &(String, lazarr::Value))| Column {
            name: Some(name.clone()),
            position: position as u64,
            dtype: dtypes.get(position).cloned().flatten(),
            cells: cells(value),
        };
        Self {
            index: table.index.as_deref().map(cells),
            index_name: table.index_name.clone(),
            columns: table.columns.iter().enumerate().map(column).collect(),
            rows: table.len as usize,
        }
    }

    /// Columns out of values in C order.
    pub(crate) fn of_matrix(
        cells: &[Cell],
        rows: usize,
        names: &[Option<String>],
        dtype: Option<&str>,
    ) -> Self {
        let width = names.len();
        let column = |k: usize| Column {
            name: names[k].clone(),
            position: k as u64,
            dtype: dtype.map(str::to_owned),
            cells: cells.iter().skip(k).step_by(width.max(1)).take(rows).cloned().collect(),
        };
        Self { columns: (0..width).map(column).collect(), rows, ..Self::default() }
    }

    pub(crate) fn write(&self, out: &mut Out<'_>) -> Result<(), Failure> {
        self.write_part(out, 0, true)
    }

    /// The rows from this position on; only the first part has the header.
    pub(crate) fn write_part(&self, out: &mut Out<'_>, start: u64, titled: bool) -> Result<(), Failure> {
        let index_align = if self.index.is_some() { Align::Left } else { Align::Right };
        let mut header = vec![(self.index_name.clone().unwrap_or_default(), index_align)];
        for column in &self.columns {
            let name = column.name.clone().unwrap_or_else(|| column.position.to_string());
            let numbers = column.cells.iter().all(|c| c.is_number() || *c == Cell::Missing);
            header.push((name, if numbers { Align::Right } else { Align::Left }));
        }
        let row = |i: usize| {
            let name = self
                .index
                .as_ref()
                .and_then(|x| x.get(i))
                .map_or_else(|| (start + i as u64).to_string(), Cell::text);
            let cells = self.columns.iter().map(|c| c.cells.get(i).map_or_else(String::new, Cell::text));
            std::iter::once(name).chain(cells).collect::<Vec<String>>()
        };
        table::part(out, &header, &(0..self.rows).map(row).collect::<Vec<_>>(), titled)
    }

    pub(crate) fn index_json(&self) -> Value {
        json!(self.index.as_ref().map(|x| x.iter().map(Cell::json).collect::<Vec<_>>()))
    }

    pub(crate) fn columns_json(&self) -> Vec<Value> {
        let column = |c: &Column| {
            json!({
                "name": c.name,
                "position": c.position,
                "dtype": c.dtype,
                "values": c.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            })
        };
        self.columns.iter().map(column).collect()
    }
}
