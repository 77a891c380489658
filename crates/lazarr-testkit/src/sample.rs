//! A whole AnnData from a seed, and what it holds.

use lazarr_format::DataType;
use serde_json::json;

use crate::array::{Array, Items};
use crate::rng::Rng;
use crate::writer::{Layout, Writer};

/// What an AnnData is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    /// How it is stored.
    pub layout: Layout,
    /// Cells.
    pub n_obs: u64,
    /// Genes.
    pub n_vars: u64,
    /// Most stored values of a row; 0: none at all.
    pub per_row: u64,
    /// Whether X is csc.
    pub csc: bool,
    /// Items of an inner chunk of `data`, `indices`, `indptr`.
    pub chunks: [u64; 3],
    /// The types of `indices` and `indptr`.
    pub index_types: [DataType; 2],
    /// Items of an inner chunk of a column, rows of one of a dense matrix.
    pub rows: u64,
    /// Whether chunks of zeros are left out.
    pub omit_zeros: bool,
    /// Everything else.
    pub seed: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            n_obs: 60,
            n_vars: 25,
            per_row: 8,
            csc: false,
            chunks: [32, 32, 16],
            index_types: [DataType::Int(4), DataType::Int(8)],
            rows: 16,
            omit_zeros: false,
            seed: 1,
        }
    }
}

impl Spec {
    /// Any small one: a few dozen rows, some hundred chunks at most.
    pub fn small(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x51a11);
        let sizes = [7, 16, 40, 200];
        Self {
            n_obs: rng.pick(&[9, 20, 33]),
            n_vars: rng.pick(&[4, 11, 24]),
            per_row: rng.within(2..8),
            chunks: [rng.pick(&sizes), rng.pick(&sizes), rng.pick(&sizes)],
            rows: rng.pick(&[4, 9, 16, 100]),
            ..Self::random(seed)
        }
    }

    /// Any.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (n_obs, n_vars) = (rng.pick(&[0, 1, 7, 33, 60, 150]), rng.pick(&[0, 1, 5, 24, 100]));
        let small =
            [DataType::Int(2), DataType::Int(4), DataType::Int(8), DataType::UInt(1), DataType::UInt(8)];
        let wide = [DataType::Int(4), DataType::Int(8), DataType::UInt(4), DataType::UInt(8)];
        let sizes = [1, 3, 16, 64, 1000];
        Self {
            layout: Layout::random(&mut rng),
            n_obs,
            n_vars,
            per_row: if rng.once_in(6) { 0 } else { rng.within(1..15) },
            csc: rng.once_in(3),
            chunks: [rng.pick(&sizes), rng.pick(&sizes), rng.pick(&sizes)],
            index_types: [if n_obs > 127 { DataType::Int(4) } else { rng.pick(&small) }, rng.pick(&wide)],
            rows: rng.pick(&[1, 4, 16, 200]),
            omit_zeros: rng.once_in(3),
            seed,
        }
    }
}

/// A compressed matrix: the stored values of each row (csr) or column (csc), in stored order.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Whether it is csc.
    pub csc: bool,
    /// Rows and columns.
    pub shape: [u64; 2],
    /// Minor index and value.
    pub major: Vec<Vec<(u64, f32)>>,
}

impl Matrix {
    fn random(rng: &mut Rng, shape: [u64; 2], csc: bool, per_row: u64) -> Self {
        let (major, minor) = if csc { (shape[1], shape[0]) } else { (shape[0], shape[1]) };
        let row = |rng: &mut Rng| {
            let most = rng.below((per_row + 1).min(minor + 1));
            let mut row: Vec<(u64, f32)> = Vec::new();
            for _ in 0..most {
                let at = rng.below(minor);
                if !row.iter().any(|(i, _)| *i == at) {
                    row.push((at, rng.within(1..100) as f32 / 4.0));
                }
            }
            if rng.below(4) > 0 {
                row.sort_by_key(|(i, _)| *i);
            }
            row
        };
        let major = (0..major).map(|_| if rng.once_in(5) { Vec::new() } else { row(rng) }).collect();
        Self { csc, shape, major }
    }

    /// Stored values.
    pub fn nnz(&self) -> usize {
        self.major.iter().map(Vec::len).sum()
    }

    /// `data`, `indices`, `indptr`.
    pub fn parts(&self) -> (Vec<f32>, Vec<i64>, Vec<i64>) {
        let data = self.major.iter().flatten().map(|(_, v)| *v).collect();
        let indices = self.major.iter().flatten().map(|(i, _)| *i as i64).collect();
        let mut indptr = vec![0];
        self.major.iter().for_each(|row| indptr.push(indptr.last().unwrap() + row.len() as i64));
        (data, indices, indptr)
    }

    /// Rows and columns, in this order, repeats included: what a selection must bring, by row (csr) or column (csc).
    pub fn select(&self, rows: &[u64], columns: &[u64]) -> Vec<Vec<(u64, f32)>> {
        let (major, minor) = if self.csc { (columns, rows) } else { (rows, columns) };
        let whole = minor.iter().copied().eq(0..if self.csc { self.shape[0] } else { self.shape[1] });
        let pick = |row: &Vec<(u64, f32)>| -> Vec<(u64, f32)> {
            if whole {
                return row.clone();
            }
            let places =
                |i: u64| minor.iter().enumerate().filter(move |(_, m)| **m == i).map(|(to, _)| to as u64);
            row.iter().flat_map(|&(i, v)| places(i).map(move |to| (to, v))).collect()
        };
        major.iter().map(|&r| pick(&self.major[r as usize])).collect()
    }

    /// Writes it as an element.
    pub fn write(&self, writer: &mut Writer, path: &str, spec: &Spec) {
        let (data, indices, indptr) = self.parts();
        let kind = if self.csc { "csc_matrix" } else { "csr_matrix" };
        writer.encoded(path, kind, "0.1.0", &[("shape", json!(self.shape))]);
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let data =
            Array::new(DataType::Float(4), &[data.len() as u64], &[spec.chunks[0]], Items::Fixed(bytes));
        writer.array(&format!("{path}/data"), &data);
        writer.array(
            &format!("{path}/indices"),
            &Array::integers(spec.index_types[0].clone(), spec.chunks[1], &indices),
        );
        let mut indptr = Array::integers(spec.index_types[1].clone(), spec.chunks[2], &indptr);
        indptr.omit_zeros = spec.omit_zeros;
        writer.array(&format!("{path}/indptr"), &indptr);
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub enum Column {
    /// Items of fixed size.
    Fixed(DataType, Vec<Vec<u8>>),
    /// Strings.
    Strings(Vec<String>),
    /// Codes, categories, whether they are ordered.
    Categorical(Vec<i64>, Vec<String>, bool),
    /// Values as text, `None` where missing; the kind is `integer`, `boolean` or `string`.
    Nullable(&'static str, Vec<Option<String>>),
}

/// An AnnData and what it holds.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it was made from.
    pub spec: Spec,
    /// What was written.
    pub writer: Writer,
    /// `X`.
    pub x: Matrix,
    /// `raw/X`, with five genes more.
    pub raw: Matrix,
    /// `obsp/near`.
    pub near: Matrix,
    /// The names of cells and genes.
    pub names: [Vec<String>; 2],
    /// The columns of `obs`.
    pub obs: Vec<(&'static str, Column)>,
    /// Dense arrays: path, type, shape, items.
    pub dense: Vec<(&'static str, DataType, Vec<u64>, Vec<u8>)>,
}

impl Sample {
    /// Makes and writes it.
    pub fn new(spec: &Spec) -> Self {
        let mut rng = Rng::new(spec.seed ^ 0x5eed);
        let mut w = Writer::new(&spec.layout);
        let (n, m) = (spec.n_obs, spec.n_vars);
        w.encoded("", "anndata", "0.1.0", &[]);
        let x = Matrix::random(&mut rng, [n, m], spec.csc, spec.per_row);
        x.write(&mut w, "X", spec);
        let names = [
            (0..n).map(|i| format!("cell{i}-ü")).collect::<Vec<_>>(),
            (0..m).map(|i| format!("g{}", i * 7)).collect::<Vec<_>>(),
        ];
        let obs = columns(&mut rng, n);
        table(&mut w, "obs", &names[0], &obs, spec);
        table(&mut w, "var", &names[1], &[], spec);
        for place in ["layers", "obsm", "varm", "obsp", "varp", "uns"] {
            w.encoded(place, "dict", "0.1.0", &[]);
        }
        let mut dense = Vec::new();
        for (path, dtype, shape, chunk) in [
            ("layers/counts", DataType::Int(2), vec![n, m], vec![spec.rows, 7]),
            ("obsm/X_pca", DataType::Float(4), vec![n, 6], vec![spec.rows, 6]),
            ("obsm/X_3d", DataType::Float(8), vec![n, 3, 4], vec![spec.rows, 2, 4]),
        ] {
            let size = dtype.item_size().unwrap() * shape.iter().product::<u64>() as usize;
            let bytes: Vec<u8> = (0..size).map(|_| rng.number() as u8).collect();
            let array = Array::new(dtype.clone(), &shape, &chunk, Items::Fixed(bytes.clone()));
            w.array(path, &array);
            dense.push((path, dtype, shape, bytes));
        }
        let near = Matrix::random(&mut rng, [n, n], spec.csc, 5);
        near.write(&mut w, "obsp/near", spec);
        let raw = Matrix::random(&mut rng, [n, m + 5], false, spec.per_row);
        w.encoded("raw", "raw", "0.1.0", &[]);
        raw.write(&mut w, "raw/X", spec);
        let raw_names: Vec<String> = (0..m + 5).map(|i| format!("r{i}")).collect();
        table(&mut w, "raw/var", &raw_names, &[], spec);
        w.encoded("raw/varm", "dict", "0.1.0", &[]);
        let title = Array::new(DataType::String, &[], &[], Items::Strings(vec!["a title".into()]));
        w.array("uns/title", &title);
        w.array(
            "uns/number",
            &Array::new(DataType::Float(8), &[], &[], Items::Fixed(2.5f64.to_le_bytes().to_vec())),
        );
        Self { spec: spec.clone(), writer: w, x, raw, near, names, obs, dense }
    }

    /// The rows of a dense array that stand at these rows, as bytes.
    pub fn dense_rows(&self, path: &str, rows: &[u64], columns: Option<&[u64]>) -> Vec<u8> {
        let (_, dtype, shape, bytes) = self.dense.iter().find(|d| d.0 == path).unwrap();
        let row = shape[1..].iter().product::<u64>() as usize * dtype.item_size().unwrap();
        let item = row / (shape[1] as usize).max(1);
        let mut out = Vec::new();
        for &r in rows {
            let row = &bytes[r as usize * row..(r as usize + 1) * row];
            match columns {
                None => out.extend_from_slice(row),
                Some(columns) => {
                    for &c in columns {
                        out.extend_from_slice(&row[c as usize * item..(c as usize + 1) * item]);
                    }
                }
            }
        }
        out
    }
}

fn columns(rng: &mut Rng, n: u64) -> Vec<(&'static str, Column)> {
    let mut fixed = |dtype: DataType| {
        let size = dtype.item_size().unwrap();
        let item = |rng: &mut Rng| match &dtype {
            DataType::Bool => vec![u8::from(rng.once_in(2))],
            DataType::Float(8) => (rng.below(50) as f64 / 8.0).to_le_bytes().to_vec(),
            _ => (rng.below(100) as i64 - 50).to_le_bytes()[..size].to_vec(),
        };
        let items = (0..n).map(|_| item(rng)).collect();
        Column::Fixed(dtype, items)
    };
    let mut out = vec![
        ("count", fixed(DataType::Int(2))),
        ("score", fixed(DataType::Float(8))),
        ("flag", fixed(DataType::Bool)),
    ];
    let word =
        |rng: &mut Rng| -> String { (0..rng.below(9)).map(|_| rng.pick(&['a', 'é', 'z', '細'])).collect() };
    out.push(("note", Column::Strings((0..n).map(|_| word(rng)).collect())));
    let kinds: Vec<String> = ["T cell", "B cell", "NK", "ß"].iter().map(|s| (*s).to_owned()).collect();
    let codes = |rng: &mut Rng| (0..n).map(|_| rng.below(5) as i64 - 1).collect::<Vec<_>>();
    out.push(("kind", Column::Categorical(codes(rng), kinds.clone(), false)));
    out.push(("stage", Column::Categorical(codes(rng), kinds, true)));
    let mut nullable = |kind: &'static str| {
        let value = |rng: &mut Rng| match kind {
            "integer" => (rng.below(40) as i64 - 20).to_string(),
            "boolean" => rng.once_in(2).to_string(),
            _ => word(rng),
        };
        let items = (0..n).map(|_| if rng.once_in(3) { None } else { Some(value(rng)) }).collect();
        Column::Nullable(kind, items)
    };
    out.push(("some_int", nullable("integer")));
    out.push(("some_bool", nullable("boolean")));
    out.push(("some_text", nullable("string")));
    out
}

fn table(w: &mut Writer, path: &str, names: &[String], columns: &[(&'static str, Column)], spec: &Spec) {
    let order: Vec<&str> = columns.iter().map(|c| c.0).collect();
    w.encoded(path, "dataframe", "0.2.0", &[("_index", json!("_index")), ("column-order", json!(order))]);
    w.array(&format!("{path}/_index"), &Array::strings(spec.rows, names));
    for (name, column) in columns {
        write_column(w, &format!("{path}/{name}"), column, spec.rows);
    }
}

fn write_column(w: &mut Writer, path: &str, column: &Column, chunk: u64) {
    match column {
        Column::Fixed(dtype, items) => {
            let array =
                Array::new(dtype.clone(), &[items.len() as u64], &[chunk], Items::Fixed(items.concat()));
            w.array(path, &array);
        }
        Column::Strings(items) => w.array(path, &Array::strings(chunk, items)),
        Column::Categorical(codes, categories, ordered) => {
            w.encoded(path, "categorical", "0.2.0", &[("ordered", json!(ordered))]);
            w.array(&format!("{path}/codes"), &Array::integers(DataType::Int(1), chunk, codes));
            w.array(&format!("{path}/categories"), &Array::strings(3, categories));
        }
        Column::Nullable(kind, items) => {
            let n = items.len() as u64;
            let encoding = match *kind {
                "string" => "nullable-string-array".to_owned(),
                kind => format!("nullable-{kind}"),
            };
            w.encoded(path, &encoding, "0.1.0", &[]);
            let mask: Vec<u8> = items.iter().map(|i| u8::from(i.is_none())).collect();
            let values = match *kind {
                "integer" => {
                    let items: Vec<i64> =
                        items.iter().map(|i| i.as_ref().map_or(1, |t| t.parse().unwrap())).collect();
                    Array::integers(DataType::Int(8), chunk, &items)
                }
                "boolean" => {
                    let bytes = items.iter().map(|i| u8::from(i.as_deref() == Some("true"))).collect();
                    Array::new(DataType::Bool, &[n], &[chunk], Items::Fixed(bytes))
                }
                _ => {
                    let items: Vec<String> = items.iter().map(|i| i.clone().unwrap_or_default()).collect();
                    Array::strings(chunk, &items)
                }
            };
            w.array(&format!("{path}/values"), &values);
            let mask = Array::new(DataType::Bool, &[n], &[chunk], Items::Fixed(mask));
            w.array(&format!("{path}/mask"), &mask);
        }
    }
}
