//! What a job touches: from rows to inner chunks, before any clock runs.

use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;

use crate::array::{Array, Files, Place};
use crate::codec::Decoder;

/// The rows that are asked for.
enum Rows {
    All,
    Range(u64, u64),
    /// As asked for: any order, repeats.
    List(Vec<u64>),
}

impl Rows {
    fn parse(value: &Value) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::All);
        }
        if let (Some(start), Some(stop)) = (value["start"].as_u64(), value["stop"].as_u64()) {
            return Ok(Self::Range(start, stop));
        }
        let list = value.as_array().ok_or("rows are null, a list, or start and stop")?;
        let rows: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
        rows.map(Self::List).ok_or_else(|| "a row is no number".to_owned())
    }

    fn count(&self, all: u64) -> u64 {
        match self {
            Self::All => all,
            Self::Range(start, stop) => stop - start,
            Self::List(rows) => rows.len() as u64,
        }
    }

    /// Stretches of rows, ascending and apart.
    fn stretches(&self, all: u64) -> Vec<(u64, u64)> {
        match self {
            Self::All => vec![(0, all)],
            Self::Range(start, stop) => vec![(*start, *stop)],
            Self::List(rows) => {
                let mut rows = rows.clone();
                rows.sort_unstable();
                rows.dedup();
                rows.into_iter().map(|row| (row, row + 1)).collect()
            }
        }
    }

    fn each(&self, all: u64, mut take: impl FnMut(u64)) {
        match self {
            Self::All => (0..all).for_each(take),
            Self::Range(start, stop) => (*start..*stop).for_each(take),
            Self::List(rows) => rows.iter().for_each(|row| take(*row)),
        }
    }
}

/// What is fetched and decoded, and how many bytes of results are written.
pub(crate) struct Work {
    pub(crate) places: Vec<Place>,
    pub(crate) result: usize,
    /// Whether the result is as large as what is decoded.
    pub(crate) result_is_decoded: bool,
}

/// All row starts of a matrix.
fn row_starts(indptr: &Array, files: &mut Files) -> Result<Vec<u64>, String> {
    let item = indptr.item.ok_or("row starts are no strings")?;
    let mut decoder = Decoder::new();
    let mut starts = Vec::new();
    for place in indptr.places(0..indptr.steps(), files)? {
        let mut encoded = vec![0; place.len];
        place.file.read_exact_at(&mut encoded, place.offset).map_err(|e| e.to_string())?;
        let decoded = decoder.decode(place.codec, &encoded[..place.len - place.tail])?;
        starts.extend(
            decoded
                .chunks_exact(item)
                .map(|bytes| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b))),
        );
    }
    starts.truncate(indptr.shape.first().map_or(0, |n| *n as usize));
    Ok(starts)
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

impl Work {
    pub(crate) fn parse(job: &Value) -> Result<Self, String> {
        let store = Path::new(job["store"].as_str().ok_or("no store is named")?);
        let rows = Rows::parse(&job["rows"])?;
        let mut files = Files::default();
        let mut work = Self {
            places: Vec::new(),
            result: job["result"]["bytes"].as_u64().unwrap_or(0) as usize,
            result_is_decoded: job["result"]["decoded"] == true,
        };
        if let Some(matrix) = job["csr"].as_str() {
            work.matrix(store, matrix, job, &rows, &mut files)?;
        }
        for path in list(&job["dense"]) {
            let array = Array::open(store, path)?;
            let all = array.shape.first().copied().unwrap_or(1);
            let touched = array.touched(rows.stretches(all).into_iter());
            work.places.extend(array.places(touched.into_iter(), &mut files)?);
            let width: u64 = array.shape.iter().skip(1).product();
            work.result += (rows.count(all) * width) as usize * array.item.unwrap_or(0);
        }
        for path in list(&job["arrays"]) {
            let array = Array::open(store, path)?;
            work.places.extend(array.places(0..array.steps(), &mut files)?);
        }
        Ok(work)
    }

    fn matrix(
        &mut self,
        store: &Path,
        matrix: &str,
        job: &Value,
        rows: &Rows,
        files: &mut Files,
    ) -> Result<(), String> {
        let indptr = Array::open(store, &format!("{matrix}/indptr"))?;
        let starts = row_starts(&indptr, files)?;
        let all = (starts.len() as u64).saturating_sub(1);
        let nnz = starts.last().copied().unwrap_or(0);
        let mut item = 0;
        for part in list(&job["parts"]) {
            if part == "indptr" {
                let stretches = rows.stretches(all).into_iter().map(|(start, stop)| (start, stop + 1));
                self.places.extend(indptr.places(indptr.touched(stretches).into_iter(), files)?);
                continue;
            }
            let array = Array::open(store, &format!("{matrix}/{part}"))?;
            let stretches = rows
                .stretches(all)
                .into_iter()
                .map(|(start, stop)| (starts[start as usize], starts[stop as usize]));
            self.places.extend(array.places(array.touched(stretches).into_iter(), files)?);
            if part == "data" {
                item = array.item.unwrap_or(0);
            }
        }
        if job["result"]["csr"] == true {
            let mut chosen = 0;
            rows.each(all, |row| chosen += starts[row as usize + 1] - starts[row as usize]);
            let index = if nnz > i32::MAX as u64 { 8 } else { 4 };
            self.result += chosen as usize * (item + index) + (rows.count(all) as usize + 1) * index;
        }
        Ok(())
    }
}
