//! Columns of a csr matrix: from afar its indices come beside its row starts, and what is found is the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use common::{index, rows_of};
use lazarr::format::DataType;
use lazarr::store::{Profile, Store};
use lazarr::{Call, Code, Lazy, Options, Result, Session, Value};
use lazarr_testkit::{Array, Far, Items, Layout, Rng, Writer};
use serde_json::json;

const COLUMNS: u64 = 7;

/// A csr matrix at the root, in chunks of 4 items, of which some may be absent.
fn matrix(rng: &mut Rng) -> Writer {
    let rows = 1 + rng.below(20);
    // Rows with one value at most are those whose indices may be absent.
    let most = if rng.once_in(2) { 2 } else { 5 };
    let (mut starts, mut indices) = (vec![0i64], Vec::new());
    for _ in 0..rows {
        let n = if rng.once_in(3) { 0 } else { rng.below(most) };
        let mut row: Vec<i64> = (0..COLUMNS as i64).collect();
        while row.len() as u64 > n {
            row.remove(rng.below(row.len() as u64) as usize);
        }
        indices.extend(row);
        starts.push(indices.len() as i64);
    }
    if rng.once_in(12) && !indices.is_empty() {
        let at = rng.below(indices.len() as u64) as usize;
        indices[at] = COLUMNS as i64 + 1;
    }
    let layout = [Layout::default(), Layout::sharded(), Layout::v2()][rng.below(3) as usize].clone();
    let mut w = Writer::new(&layout);
    w.encoded("", "csr_matrix", "0.1.0", &[("shape", json!([rows, COLUMNS]))]);
    for (name, items) in [("indptr", &starts), ("indices", &indices)] {
        let mut array = Array::integers(DataType::Int(4), 4, items);
        if rng.once_in(3) && !items.is_empty() {
            array = array.without(&[&[rng.below(items.len().div_ceil(4) as u64)]]);
        }
        w.array(name, &array);
    }
    let data: Vec<u8> = (1..=indices.len()).flat_map(|x| (x as f32).to_le_bytes()).collect();
    w.array("data", &Array::new(DataType::Float(4), &[indices.len() as u64], &[4], Items::Fixed(data)));
    w
}

fn read(store: Arc<dyn Store>, columns: &[i64], limit: u64) -> Result<Vec<Vec<(u64, f32)>>> {
    let options = Options { audit: true, memory_limit: Some(limit), ..Options::default() };
    let session = Session::open_store(store, options)?;
    let lazy = Lazy::new(&session, session.root()).select(1, index(columns, COLUMNS))?;
    match lazy.collect(&Call::default())? {
        Value::Sparse(m) => Ok(rows_of(&m)),
        _ => panic!("not a matrix"),
    }
}

#[test]
fn columns_are_the_same_from_near_and_from_afar() {
    let (mut whole, mut broken) = (0, 0);
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let w = matrix(&mut rng);
        let columns: Vec<i64> = (0..=rng.below(4)).map(|_| rng.below(COLUMNS) as i64).collect();
        let near = read(Arc::new(w.store()), &columns, 1 << 28);
        let far = read(Arc::new(Far(Arc::new(w.store()), Profile::REMOTE)), &columns, 1 << 28);
        match (near, far) {
            (Ok(near), Ok(far)) => {
                assert_eq!(near, far, "seed {seed}, {columns:?}");
                whole += 1;
            }
            // What was read at once may show another damage first.
            (Err(near), Err(far)) => {
                let of_matrix = [Code::MissingChunk, Code::SparseIndptr, Code::SparseIndices];
                assert!([near.code(), far.code()].iter().all(|c| of_matrix.contains(c)), "{near}\n{far}");
                broken += 1;
            }
            (near, far) => panic!("seed {seed}, {columns:?}: {near:?} from near, {far:?} from afar"),
        }
    }
    assert!(whole > 300 && broken > 50, "{whole} whole, {broken} broken");
}
