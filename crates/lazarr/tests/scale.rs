//! A catalog of a hundred million cells that is stored nowhere: what is read, and what is held, follows what is selected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{alone, rows_of};
use lazarr::format::anndata::Element;
use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Literal};
use lazarr::{Call, Index, LazyAnnData, Meter, Options, Session, Step, Value};
use lazarr_testkit::{Catalog, Codec, Rng, Simulated};

const CELLS: u64 = 100_000_000;

/// Chunks small enough for a test, and not compressed.
fn catalog(cells: u64, per_shard: Option<u64>) -> Catalog {
    let (chunk, values_chunk) = (1 << 12, 1 << 12);
    Catalog { cells, per_shard, chunk, values_chunk, codec: Codec::None, ..Catalog::default() }
}

const LAYOUTS: [Option<u64>; 2] = [None, Some(16)];

fn open(store: &Arc<Simulated>) -> LazyAnnData {
    let options = Options { memory_limit: Some(1 << 30), threads: Some(2), ..Options::default() };
    let session = Session::open_store(store.clone(), options).unwrap();
    LazyAnnData::new(&session, session.root()).unwrap()
}

fn measured(meter: &Arc<Meter>) -> Call<'static> {
    Call { meter: Some(meter.clone()), ..Call::default() }
}

fn random_rows(seed: u64, cells: u64, count: usize) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    let mut rows = BTreeSet::new();
    while rows.len() < count {
        rows.insert(rng.below(cells));
    }
    rows.into_iter().collect()
}

fn ints(rows: &[u64]) -> Step {
    Step::Ints(rows.iter().map(|&r| r as i64).collect())
}

fn column(adata: &LazyAnnData, name: &str) -> ColumnRef {
    ColumnRef::new(adata.obs_axis().id(), format!("obs/{name}"), Some(name))
}

fn category(adata: &LazyAnnData, number: u64) -> Expr {
    Expr::cmp(column(adata, "cell_type"), CmpOp::Eq, Literal::Str(format!("type_{number:010}")))
}

fn chosen(expr: Expr) -> Step {
    Step::Predicate(Arc::new(expr))
}

fn positions(view: &LazyAnnData) -> Vec<u64> {
    view.obs_axis().index().unwrap().to_vec()
}

fn chunks_of(element: &Element, path: &str) -> u64 {
    let array = element.arrays().into_iter().find(|a| a.path == path).unwrap();
    array.shape[0].div_ceil(array.inner_shape()[0])
}

#[test]
fn opening_and_planning_read_the_metadata_alone() {
    let _alone = alone();
    for per_shard in LAYOUTS {
        let store = Simulated::new(&catalog(CELLS, per_shard));
        let adata = open(&store);
        assert_eq!(store.requests(), 1);
        let meter = Arc::new(Meter::default());
        let some = adata.select(Some(ints(&random_rows(1, CELLS, 1000))), None).unwrap();
        let one = adata.select(Some(chosen(category(&adata, 7))), None).unwrap();
        for view in [some, one] {
            let plan = view.plan(&measured(&meter), None, false).unwrap();
            assert!(plan.elements.iter().any(|e| e.path == "X"));
        }
        assert_eq!((store.requests(), meter.requests()), (1, 0));
        assert!(meter.ledger_peak() < 1 << 20, "{}", meter.ledger_peak());
    }
}

#[test]
fn random_rows_read_the_chunks_that_they_touch() {
    let _alone = alone();
    let rows = random_rows(2, CELLS, 100);
    for per_shard in LAYOUTS {
        let catalog = catalog(CELLS, per_shard);
        let store = Simulated::new(&catalog);
        let view = open(&store).select(Some(ints(&rows)), None).unwrap().get("X").unwrap();
        let plan = view.plan(&Call::default(), true).unwrap();
        let touched: BTreeSet<u64> =
            rows.iter().flat_map(|r| [r / catalog.chunk, (r + 1) / catalog.chunk]).collect();
        let stage = &plan.elements[0].stages[0];
        assert_eq!((&*stage.name, stage.arrays[0].chunks.value), ("indptr", touched.len() as u64));
        assert!(store.requests_of("X/indptr").0 <= touched.len() as u64);

        let meter = Arc::new(Meter::default());
        let Value::Sparse(x) = view.collect(&measured(&meter)).unwrap() else { panic!("not sparse") };
        for (row, found) in rows.iter().zip(rows_of(&x)) {
            let places = store.row_start(*row)..store.row_start(row + 1);
            let expected: Vec<(u64, f32)> = places.map(|at| (store.index(at), store.value(at))).collect();
            assert!(found == expected, "row {row}");
        }
        // Two threads with a chunk each, and a few rows.
        assert!(meter.ledger_peak() < 8 << 20, "{}", meter.ledger_peak());
        if let Some(n) = per_shard {
            // The index of a shard is read where a chunk of the shard is, and once.
            let shards: BTreeSet<u64> = touched.iter().map(|c| c / n).collect();
            assert_eq!(store.requests_of("X/indptr").1, shards.len() as u64);
            let of_values = |path: &str| store.requests_of(path).1;
            let shards: BTreeSet<u64> = rows
                .iter()
                .flat_map(|r| [store.row_start(*r), store.row_start(r + 1) - 1])
                .map(|at| at / catalog.values_chunk / n)
                .collect();
            assert_eq!(
                (of_values("X/data"), of_values("X/indices")),
                (shards.len() as u64, shards.len() as u64)
            );
        }
    }
}

#[test]
fn a_mask_is_a_bit_a_row_and_there_once() {
    let cells = 10_000_000;
    let adata = open(&Simulated::new(&catalog(cells, None)));
    let words = (0..cells.div_ceil(64)).map(|w| w.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mask = Index::mask_bits(words, cells, cells).unwrap();
    assert!(mask.memory_bytes() < cells / 6, "{}", mask.memory_bytes());
    let view = adata.select(Some(Step::Index(mask)), None).unwrap();
    let own = view.obs_axis();
    for element in ["X", "obs"] {
        assert!(Arc::ptr_eq(&view.get(element).unwrap().axes()[0], own), "{element}");
    }
    let obs = view.get("obs").unwrap();
    for column in [obs.names().unwrap(), obs.column("cell_type").unwrap(), obs.column("n_genes").unwrap()] {
        assert!(Arc::ptr_eq(&column.axes()[0], own));
    }
}

#[test]
fn what_is_held_does_not_grow_with_cells_that_are_not_selected() {
    let _alone = alone();
    let peak = |cells: u64| {
        let meter = Arc::new(Meter::default());
        let adata = open(&Simulated::new(&catalog(cells, None)));
        let view = adata.select(Some(Step::Slice(Some(10), Some(60), None)), None).unwrap();
        view.collect(&measured(&meter), None).unwrap();
        meter.ledger_peak()
    };
    assert_eq!(peak(100_000), peak(CELLS));
}

#[test]
fn a_predicate_becomes_a_bit_a_row_where_its_columns_are_decoded() {
    let _alone = alone();
    let cells = 3_000_000;
    for per_shard in LAYOUTS {
        let store = Simulated::new(&catalog(cells, per_shard));
        let adata = open(&store);
        let count = |op, n| Expr::cmp(column(&adata, "n_genes"), op, Literal::Int(n));
        let expr = category(&adata, 7).and(count(CmpOp::Ge, 5000).not()).or(count(CmpOp::Eq, 1));
        let meter = Arc::new(Meter::default());
        let view = adata.select(Some(chosen(expr)), None).unwrap();
        view.resolve(&measured(&meter)).unwrap();
        let expected: Vec<u64> = (0..cells)
            .filter(|&r| (store.code(r) == 7 && store.count(r) < 5000) || store.count(r) == 1)
            .collect();
        assert!(positions(&view) == expected);
        // Every chunk once, and none of any other column.
        let chunks = chunks_of(adata.element(), "obs/n_genes");
        if per_shard.is_none() {
            assert_eq!(store.requests_of("obs/n_genes").0, chunks);
            assert_eq!(store.requests_of("obs/cell_type/codes").0, chunks);
        }
        assert_eq!(store.requests_of("obs/_index").0, 0);
        // Three tests, true and missing, and the answer: seven bits a row.
        assert!(meter.ledger_peak() < cells + (2 << 20), "{}", meter.ledger_peak());
    }
}

#[test]
fn a_predicate_on_a_view_sees_the_rows_of_the_view() {
    let _alone = alone();
    let cells = 200_000;
    let store = Simulated::new(&catalog(cells, None));
    let adata = open(&store);
    let mask: Arc<[bool]> = (0..cells).map(|r| r % 3 == 1 || r % 1000 < 100).collect();
    let rows: Vec<u64> = (0..cells).filter(|&r| mask[r as usize]).collect();
    let masked = adata.select(Some(Step::Mask(mask)), None).unwrap();
    let turned = masked.select(Some(Step::Slice(None, None, Some(-1))), None).unwrap();
    let backwards: Vec<u64> = rows.iter().rev().copied().collect();
    for (view, rows) in [(masked, rows), (turned, backwards)] {
        let found = view.select(Some(chosen(category(&view, 3))), None).unwrap();
        found.resolve(&Call::default()).unwrap();
        assert!(
            positions(&found) == rows.iter().copied().filter(|&r| store.code(r) == 3).collect::<Vec<_>>()
        );
        let wanted: Vec<u64> = [rows[5], rows[5], rows[1], rows[rows.len() - 1]].to_vec();
        let labels: Vec<String> = wanted.iter().map(|&r| store.name_of(r)).collect();
        let named = view.select(Some(Step::Labels(labels.into())), None).unwrap();
        named.resolve(&Call::default()).unwrap();
        assert_eq!(positions(&named), wanted);
    }
}

#[test]
fn names_are_looked_through_and_never_kept() {
    let _alone = alone();
    let cells = 1_000_000;
    for per_shard in LAYOUTS {
        let store = Simulated::new(&catalog(cells, per_shard));
        let adata = open(&store);
        let mut wanted = random_rows(3, cells, 1000);
        wanted.reverse();
        wanted.extend([0, cells - 1, 0]);
        let labels: Vec<String> = wanted.iter().map(|&r| store.name_of(r)).collect();
        let meter = Arc::new(Meter::default());
        let view = adata.select(Some(Step::Labels(labels.into())), None).unwrap();
        view.resolve(&measured(&meter)).unwrap();
        assert_eq!(positions(&view), wanted);
        // Two threads with a chunk of 4,096 names each.
        assert!(meter.ledger_peak() < 2 << 20, "{}", meter.ledger_peak());
        if per_shard.is_none() {
            assert_eq!(store.requests_of("obs/_index").0, chunks_of(adata.element(), "obs/_index"));
        }
        let ends = Step::LabelSlice(Some(store.name_of(777_777)), Some(store.name_of(777_900)));
        let view = adata.select(Some(ends), None).unwrap();
        view.resolve(&Call::default()).unwrap();
        assert_eq!(positions(&view), (777_777..777_901).collect::<Vec<_>>());
        let absent = adata.select(Some(Step::Labels(["cell_0001000001".to_owned()].into())), None).unwrap();
        assert_eq!(absent.resolve(&Call::default()).unwrap_err().code(), lazarr::Code::LabelNotFound);
    }
}

#[test]
fn a_matrix_past_two_to_the_31st_reads_exactly() {
    let _alone = alone();
    // A mebi of values a row: the 2,048th row begins about where an i32 ends.
    let catalog = Catalog { row: 1 << 20, values_chunk: 1 << 16, ..catalog(10_000, Some(16)) };
    let store = Simulated::new(&catalog);
    let adata = open(&store);
    for row in [2047, 2048, 4096, 9999] {
        let view = adata.select(Some(ints(&[row])), None).unwrap().get("X").unwrap();
        let Value::Sparse(x) = view.collect(&Call::default()).unwrap() else { panic!("not sparse") };
        let places = store.row_start(row)..store.row_start(row + 1);
        assert!(store.row_start(row + 1) >= 1 << 31);
        let expected: Vec<(u64, f32)> = places.map(|at| (store.index(at), store.value(at))).collect();
        assert!(rows_of(&x)[0] == expected, "row {row}");
        assert_eq!(x.index_width, 4); // the result is small, wherever it was
    }
    // More than 2^32 values in one selection: what it takes is said exactly.
    let rows = 5000;
    let view = adata.select(Some(Step::Slice(None, Some(rows as i64), None)), None).unwrap();
    let plan = view.get("X").unwrap().plan(&Call::default(), true).unwrap();
    let nnz = store.row_start(rows);
    assert!(nnz > 1 << 32);
    assert_eq!(plan.output_bytes.value, nnz * (4 + 8) + (rows + 1) * 8);
    assert_eq!(plan.output_bytes.mark, lazarr::plan::Mark::Exact);
    let refused = view.get("X").unwrap().collect(&Call::default()).unwrap_err();
    assert_eq!(refused.code(), lazarr::Code::MemoryLimit);
}
