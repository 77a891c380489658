//! A sparse matrix from any row starts, indices and values.

use std::sync::Arc;

use lazarr::{Call, Code, Index, Lazy, Meter, Options, Session, SparseMatrix, Step, Value};
use lazarr_format::DataType;
use lazarr_testkit::{Array, Items, Layout, Writer};
use serde_json::json;

use crate::feed::Feed;

const MEMORY: u64 = 1 << 20;

/// What is stored, as it will be read.
struct Stored {
    rows: usize,
    columns: usize,
    starts: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
    absent: bool,
}

impl Stored {
    /// Row by row, where the matrix is one.
    fn model(&self) -> Option<Vec<Vec<(u64, u32)>>> {
        let nnz = self.indices.len() as i64;
        let ends = self.starts.first() == Some(&0) && self.starts.last() == Some(&nnz);
        let ascending = self.starts.windows(2).all(|w| w[0] <= w[1]);
        let inside = self.indices.iter().all(|&i| 0 <= i && i < self.columns as i64);
        (ends && ascending && inside && !self.absent).then(|| {
            let row = |w: &[i64]| -> Vec<(u64, u32)> {
                let (a, b) = (w[0] as usize, w[1] as usize);
                (a..b).map(|k| (self.indices[k] as u64, self.values[k].to_bits())).collect()
            };
            self.starts.windows(2).map(row).collect()
        })
    }
}

fn integers(bytes: &[u8], width: usize, signed: bool) -> Vec<i64> {
    let wide = |c: &[u8]| {
        let mut out = if signed && c[c.len() - 1] & 0x80 != 0 { [0xff; 8] } else { [0; 8] };
        out[..c.len()].copy_from_slice(c);
        i64::from_le_bytes(out)
    };
    bytes.chunks_exact(width).map(wide).collect()
}

/// By the first bytes types, shape and chunks; then the arrays.
pub fn csr_assembly(data: &[u8]) {
    let mut feed = Feed(data);
    let (flags, more) = (feed.byte(), feed.byte());
    let (rows, columns) = (usize::from(feed.byte() % 24), usize::from(feed.byte() % 24));
    let nnz = usize::from(feed.byte() % 48);
    let chunks = [feed.byte(), feed.byte(), feed.byte()].map(|c| u64::from(c % 12) + 1);
    let starts_type = if flags & 1 == 0 { DataType::Int(4) } else { DataType::Int(8) };
    let (index_type, signed) = match flags >> 1 & 3 {
        0 => (DataType::Int(4), true),
        1 => (DataType::Int(8), true),
        2 => (DataType::UInt(1), false),
        _ => (DataType::Int(2), true),
    };
    let csc = flags & 8 != 0;
    let mut bytes = |n: usize, size: usize| {
        let mut out = feed.take(n * size).to_vec();
        out.resize(n * size, 0);
        out
    };
    let (starts_size, index_size) = (starts_type.item_size().unwrap(), index_type.item_size().unwrap());
    let starts = if flags & 16 == 0 {
        bytes(rows + 1, starts_size)
    } else {
        // Row starts that are right, from lengths: what is behind them is seen.
        let lengths = bytes(rows, 1);
        let mut at = 0u64;
        let mut out = vec![0; starts_size];
        for (row, length) in lengths.iter().enumerate() {
            let left = nnz as u64 - at;
            at += if row + 1 == rows { left } else { u64::from(*length) % (left + 1) };
            out.extend(&at.to_le_bytes()[..starts_size]);
        }
        out
    };
    let (indices, values) = (bytes(nnz, index_size), bytes(nnz, 4));
    let stored = Stored {
        rows,
        columns,
        starts: integers(&starts, starts_size, true),
        indices: integers(&indices, index_size, signed),
        values: values.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect(),
        absent: flags & 32 != 0,
    };
    let layout = if flags & 64 == 0 { Layout::default() } else { Layout::sharded() };
    let mut w = Writer::new(&layout);
    let (kind, shape) = if csc { ("csc_matrix", [columns, rows]) } else { ("csr_matrix", [rows, columns]) };
    w.encoded("", kind, "0.1.0", &[("shape", json!(shape))]);
    let arrays = [
        ("indptr", starts_type, rows + 1, starts),
        ("indices", index_type, nnz, indices),
        ("data", DataType::Float(4), nnz, values),
    ];
    for (k, (name, dtype, n, items)) in arrays.into_iter().enumerate() {
        let mut array = Array::new(dtype, &[n as u64], &[chunks[k]], Items::Fixed(items));
        if stored.absent && usize::from(more % 3) == k {
            array.absent = vec![vec![u64::from(more / 3) % (n as u64).div_ceil(chunks[k]).max(1)]];
        }
        w.array(name, &array);
    }
    let options = Options { memory_limit: Some(MEMORY), threads: Some(1), audit: true, ..Options::default() };
    let session = Session::open_store(Arc::new(w.store()), options).unwrap();
    let whole = Lazy::new(&session, session.root());
    let (major, minor) = if csc { (1, 0) } else { (0, 1) };
    let model = stored.model();
    let everything: Vec<usize> = (0..columns).collect();
    if let Some(m) = collect(&whole) {
        check(&m, &stored, &(0..rows).collect::<Vec<_>>(), &everything, model.as_deref());
    } else {
        assert!(model.is_none(), "a right matrix is refused");
    }
    // Some rows in any order, and some columns of them, repeats included.
    let pick = |feed: &mut Feed<'_>, n: usize| -> Vec<usize> {
        let wanted = if n == 0 { 0 } else { usize::from(feed.byte() % 6) };
        (0..wanted).map(|_| usize::from(feed.byte()) % n).collect()
    };
    let (some_rows, some_columns) = (pick(&mut feed, rows), pick(&mut feed, columns));
    for columns_too in [false, true] {
        let mut view = whole.select(major, step(&some_rows, rows)).unwrap();
        if columns_too {
            view = view.select(minor, step(&some_columns, columns)).unwrap();
        }
        let wanted = if columns_too { &some_columns } else { &everything };
        match collect(&view) {
            Some(m) => check(&m, &stored, &some_rows, wanted, model.as_deref()),
            None => assert!(model.is_none(), "a part of a right matrix is refused"),
        }
    }
}

fn step(items: &[usize], n: usize) -> Step {
    let items: Vec<i64> = items.iter().map(|&i| i as i64).collect();
    Step::Index(Index::ints(&items, n as u64).unwrap())
}

fn collect(lazy: &Lazy) -> Option<SparseMatrix> {
    let meter = Arc::new(Meter::default());
    let call = Call { meter: Some(meter.clone()), ..Call::default() };
    let result = lazy.collect(&call);
    assert!(meter.ledger_peak() <= MEMORY);
    match result {
        Ok(Value::Sparse(m)) => Some(m),
        Ok(_) => panic!("not a matrix"),
        Err(e) => {
            let right = [Code::SparseIndptr, Code::SparseIndices, Code::MissingChunk];
            assert!(right.contains(&e.code()), "{e}");
            assert!(e.element_name().is_some(), "{e}");
            None
        }
    }
}

fn check(
    m: &SparseMatrix,
    stored: &Stored,
    rows: &[usize],
    columns: &[usize],
    model: Option<&[Vec<(u64, u32)>]>,
) {
    assert!(stored.rows >= rows.iter().map(|r| r + 1).max().unwrap_or(0));
    let width = usize::from(m.index_width);
    let starts = integers(m.indptr.as_slice(), width, true);
    let indices = integers(m.indices.as_slice(), width, true);
    let values: Vec<u32> =
        m.data.as_slice().chunks_exact(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect();
    assert_eq!((starts.len(), starts[0]), (rows.len() + 1, 0));
    assert!(starts.windows(2).all(|w| w[0] <= w[1]));
    assert_eq!(*starts.last().unwrap() as usize, indices.len());
    assert_eq!(indices.len(), values.len());
    assert!(indices.iter().all(|&i| 0 <= i && i < columns.len() as i64));
    let Some(model) = model else { return };
    let whole = columns.len() == stored.columns && columns.iter().enumerate().all(|(i, &c)| i == c);
    for (k, &row) in rows.iter().enumerate() {
        let (a, b) = (starts[k] as usize, starts[k + 1] as usize);
        let found: Vec<(u64, u32)> = (a..b).map(|i| (indices[i] as u64, values[i])).collect();
        let places = |i: u64| columns.iter().enumerate().filter(move |(_, c)| **c as u64 == i);
        let expected: Vec<(u64, u32)> = if whole {
            model[row].clone()
        } else {
            model[row].iter().flat_map(|&(i, v)| places(i).map(move |(to, _)| (to as u64, v))).collect()
        };
        assert_eq!(found, expected, "row {row}");
    }
}
