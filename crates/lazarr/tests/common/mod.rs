//! What the tests of the road share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "as in the tests")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lazarr::format::{DataType, Profile};
use lazarr::plan::expr::{AxisId, CmpOp, ColumnRef, Expr, Literal};
use lazarr::store::Store;
use lazarr::{AxisView, Index, LazyAnnData, Options, Session, SparseMatrix, Step, Strings, Value};
use lazarr_testkit::{Column, Far, Rng, Sample};

/// The ledger is one a process: tests that look at it come one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether stores say that they are far away.
pub static FAR: AtomicBool = AtomicBool::new(false);

pub fn open(store: Arc<dyn Store>, audit: bool, threads: usize) -> Arc<Session> {
    // `LAZARR_FAR=1`: everything as over a network.
    let far = FAR.load(SeqCst) || std::env::var_os("LAZARR_FAR").is_some();
    let store = if far { Arc::new(Far(store, Profile::REMOTE)) } else { store };
    let options =
        Options { memory_limit: Some(1 << 30), threads: Some(threads), audit, ..Options::default() };
    Session::open_store(store, options).unwrap()
}

pub fn adata(session: &Arc<Session>) -> LazyAnnData {
    LazyAnnData::new(session, session.root()).unwrap()
}

/// One step of a selection, so that it can be made again on another session.
#[derive(Debug, Clone)]
pub enum Pick {
    Slice(Option<i64>, Option<i64>, i64),
    Ints(Vec<i64>),
    Mask(Vec<bool>),
    Labels(Vec<String>),
    LabelSlice(Option<String>, Option<String>),
    KindIs(String),
    CountAbove(i64),
    SomeIntKnown,
}

impl Pick {
    /// A step on a view with these positions; `obs` only has the columns of predicates.
    pub fn random(rng: &mut Rng, sample: &Sample, axis: usize, at: &[u64]) -> Self {
        let n = at.len() as u64;
        let names = &sample.names[axis];
        match rng.below(if axis == 0 { 9 } else { 6 }) {
            0 | 1 => {
                let bound =
                    |rng: &mut Rng| (!rng.once_in(3)).then(|| rng.below(2 * n + 3) as i64 - n as i64 - 1);
                let (a, b) = (bound(rng), bound(rng));
                Self::Slice(a, b, rng.pick(&[1, 1, 1, 2, 3, -1, -2]))
            }
            2 | 3 if n > 0 => {
                let k = rng.below(20);
                Self::Ints((0..k).map(|_| rng.below(2 * n) as i64 - n as i64).collect())
            }
            4 if n > 0 => {
                let labels = (0..rng.within(1..5)).map(|_| names[rng.pick(at) as usize].clone());
                Self::Labels(labels.collect())
            }
            5 if n > 0 && at.windows(2).all(|w| w[0] < w[1]) => {
                let label = |rng: &mut Rng| rng.once_in(2).then(|| names[rng.pick(at) as usize].clone());
                let (a, b) = (label(rng), label(rng));
                Self::LabelSlice(a, b)
            }
            6 => Self::KindIs(rng.pick(&["T cell".to_owned(), "ß".to_owned(), "none".to_owned()])),
            7 => Self::CountAbove(rng.below(100) as i64 - 50),
            8 => Self::SomeIntKnown,
            _ => {
                let share = rng.pick(&[2, 2, 10]);
                Self::Mask((0..n).map(|_| rng.once_in(share)).collect())
            }
        }
    }

    /// The step for a view; predicates are made on it.
    pub fn step(&self, view: &Arc<AxisView>) -> Step {
        let column = |name: &str| ColumnRef::new(view.id(), format!("obs/{name}"), Some(name));
        let predicate = |e: Expr| Step::Predicate(Arc::new(e));
        match self {
            Self::Slice(a, b, step) => Step::Slice(*a, *b, Some(*step)),
            Self::Ints(items) => Step::Ints(items.as_slice().into()),
            Self::Mask(mask) => Step::Mask(mask.as_slice().into()),
            Self::Labels(labels) => Step::Labels(labels.as_slice().into()),
            Self::LabelSlice(a, b) => Step::LabelSlice(a.clone(), b.clone()),
            Self::KindIs(kind) => predicate(Expr::cmp(column("kind"), CmpOp::Eq, Literal::Str(kind.clone()))),
            Self::CountAbove(least) => {
                let count = Expr::cmp(column("count"), CmpOp::Gt, Literal::Int(i128::from(*least)));
                predicate(count.and(Expr::Column(column("flag")).not()))
            }
            Self::SomeIntKnown => predicate(Expr::NotNa(column("some_int"))),
        }
    }

    /// What it selects of these positions, item by item.
    pub fn apply(&self, sample: &Sample, axis: usize, at: &[u64]) -> Vec<u64> {
        let n = at.len() as i64;
        let names = &sample.names[axis];
        let obs = |name: &str| &sample.obs.iter().find(|c| c.0 == name).unwrap().1;
        let number = |name: &str, i: u64| match obs(name) {
            Column::Fixed(DataType::Int(2), items) => {
                i64::from(i16::from_le_bytes(items[i as usize].as_slice().try_into().unwrap()))
            }
            Column::Fixed(_, items) => i64::from(items[i as usize][0]),
            _ => panic!("not a number"),
        };
        let filter = |f: &dyn Fn(u64) -> bool| at.iter().copied().filter(|&i| f(i)).collect();
        match self {
            Self::Slice(a, b, step) => {
                let clip = |x: i64, low: i64, high: i64| (if x < 0 { x + n } else { x }).clamp(low, high);
                let mut out = Vec::new();
                if *step > 0 {
                    let (mut i, end) = (a.map_or(0, |a| clip(a, 0, n)), b.map_or(n, |b| clip(b, 0, n)));
                    while i < end {
                        out.push(at[i as usize]);
                        i += step;
                    }
                } else {
                    let (mut i, end) =
                        (a.map_or(n - 1, |a| clip(a, -1, n - 1)), b.map_or(-1, |b| clip(b, -1, n - 1)));
                    while i > end {
                        out.push(at[i as usize]);
                        i += step;
                    }
                }
                out
            }
            Self::Ints(items) => {
                items.iter().map(|&i| at[(if i < 0 { i + n } else { i }) as usize]).collect()
            }
            Self::Mask(mask) => at.iter().zip(mask).filter(|(_, m)| **m).map(|(i, _)| *i).collect(),
            Self::Labels(labels) => labels
                .iter()
                .flat_map(|l| at.iter().copied().filter(move |&i| names[i as usize] == *l))
                .collect(),
            Self::LabelSlice(a, b) => {
                let place = |l: &String| at.iter().position(|&i| names[i as usize] == *l).unwrap();
                let from = a.as_ref().map_or(0, place);
                let to = b.as_ref().map_or(at.len(), |b| place(b) + 1).max(from);
                at[from..to].to_vec()
            }
            Self::KindIs(kind) => {
                let Column::Categorical(codes, kinds, _) = obs("kind") else { panic!() };
                filter(&|i| codes[i as usize] >= 0 && kinds[codes[i as usize] as usize] == *kind)
            }
            Self::CountAbove(least) => filter(&|i| number("count", i) > *least && number("flag", i) == 0),
            Self::SomeIntKnown => {
                let Column::Nullable(_, items) = obs("some_int") else { panic!() };
                filter(&|i| items[i as usize].is_some())
            }
        }
    }
}

/// The stored values of a matrix by row (csr) or column (csc), as the model has them.
pub fn rows_of(m: &SparseMatrix) -> Vec<Vec<(u64, f32)>> {
    let ints = |bytes: &[u8]| -> Vec<u64> {
        let width = usize::from(m.index_width);
        let wide = |c: &[u8]| {
            if width == 4 {
                i64::from(i32::from_ne_bytes(c.try_into().unwrap()))
            } else {
                i64::from_ne_bytes(c.try_into().unwrap())
            }
        };
        bytes.chunks_exact(width).map(|c| u64::try_from(wide(c)).unwrap()).collect()
    };
    let (indices, indptr) = (ints(m.indices.as_slice()), ints(m.indptr.as_slice()));
    let data: Vec<f32> =
        m.data.as_slice().chunks_exact(4).map(|c| f32::from_ne_bytes(c.try_into().unwrap())).collect();
    assert_eq!((indices.len(), indptr[0]), (data.len(), 0));
    assert_eq!(*indptr.last().unwrap(), data.len() as u64);
    indptr
        .windows(2)
        .map(|w| (w[0]..w[1]).map(|i| (indices[i as usize], data[i as usize])).collect())
        .collect()
}

pub fn texts(s: &Strings) -> Vec<String> {
    (0..s.len()).map(|i| String::from_utf8(s.get(i).unwrap().to_vec()).unwrap()).collect()
}

/// That a column holds these rows of the model.
pub fn check_column(value: &Value, column: &Column, rows: &[u64], what: &str) {
    let at = |i: usize| rows[i] as usize;
    match (value, column) {
        (Value::Dense(d), Column::Fixed(dtype, items)) => {
            let expected: Vec<u8> = rows.iter().flat_map(|&r| items[r as usize].clone()).collect();
            assert_eq!((&d.dtype, d.data.as_slice()), (dtype, expected.as_slice()), "{what}");
        }
        (Value::Strings(s), Column::Strings(items)) => {
            assert_eq!(
                texts(s),
                rows.iter().map(|&r| items[r as usize].clone()).collect::<Vec<_>>(),
                "{what}"
            );
        }
        (Value::Categorical { codes, categories, ordered }, Column::Categorical(model, names, is)) => {
            let expected: Vec<u8> = rows.iter().map(|&r| model[r as usize] as i8 as u8).collect();
            assert_eq!((codes.data.as_slice(), ordered), (expected.as_slice(), is), "{what}");
            let Value::Strings(categories) = &**categories else { panic!("{what}: categories") };
            assert_eq!(&texts(categories), names, "{what}");
        }
        (Value::Nullable { values, mask, .. }, Column::Nullable(kind, items)) => {
            let missing: Vec<u8> = rows.iter().map(|&r| u8::from(items[r as usize].is_none())).collect();
            assert_eq!(mask.data.as_slice(), missing, "{what}");
            let found: Vec<String> = match &**values {
                Value::Strings(s) => texts(s),
                Value::Dense(d) if *kind == "boolean" => {
                    d.data.as_slice().iter().map(|&b| (b == 1).to_string()).collect()
                }
                Value::Dense(d) => {
                    let ints = d.data.as_slice().chunks_exact(8);
                    ints.map(|c| i64::from_ne_bytes(c.try_into().unwrap()).to_string()).collect()
                }
                _ => panic!("{what}: values"),
            };
            for (i, text) in found.iter().enumerate() {
                if let Some(expected) = &items[at(i)] {
                    assert_eq!(text, expected, "{what} at {i}");
                }
            }
            assert_eq!(found.len(), rows.len(), "{what}");
        }
        _ => panic!("{what}: came as something else"),
    }
}

pub fn predicate_axis(view: &Arc<AxisView>) -> AxisId {
    view.id()
}

pub fn index(items: &[i64], n: u64) -> Step {
    Step::Index(Index::ints(items, n).unwrap())
}
