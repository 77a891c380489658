//! Random stores, random selections: values against a model in memory, reads against the plan.
//!
//! Everything comes from seeds: a failure names its own, and comes again with `LAZARR_SEED`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use common::{Pick, adata, alone, check_column, open, rows_of, texts};
use lazarr::plan::{Amount, Mark};
use lazarr::{Call, Lazy, LazyAnnData, Ledger, Meter, Plan, Session, Value};
use lazarr_testkit::{Rng, Sample, Spec};

/// Picks along obs and var, so that the same view can be made on any session.
#[derive(Debug, Clone)]
struct View {
    picks: [Vec<Pick>; 2],
    at: [Vec<u64>; 2],
}

impl View {
    fn random(rng: &mut Rng, sample: &Sample) -> Self {
        let mut view = Self {
            picks: [Vec::new(), Vec::new()],
            at: [(0..sample.spec.n_obs).collect(), (0..sample.spec.n_vars).collect()],
        };
        for axis in 0..2 {
            for _ in 0..rng.pick(&[0, 1, 1, 1, 2, 3]) {
                let pick = Pick::random(rng, sample, axis, &view.at[axis]);
                view.at[axis] = pick.apply(sample, axis, &view.at[axis]);
                view.picks[axis].push(pick);
            }
        }
        view
    }

    fn of(&self, session: &Arc<Session>) -> LazyAnnData {
        let mut out = adata(session);
        for pick in &self.picks[0] {
            out = out.select(Some(pick.step(out.obs_axis())), None).unwrap();
        }
        for pick in &self.picks[1] {
            out = out.select(None, Some(pick.step(out.var_axis()))).unwrap();
        }
        out
    }
}

fn element(view: &LazyAnnData, path: &str) -> Lazy {
    match path.strip_suffix("/_index") {
        Some(table) => view.get(table).unwrap().names().unwrap(),
        None => view.get(path).unwrap(),
    }
}

const PATHS: [&str; 17] = [
    "X",
    "raw/X",
    "obsp/near",
    "layers/counts",
    "obsm/X_pca",
    "obsm/X_3d",
    "obs/_index",
    "var/_index",
    "obs/count",
    "obs/score",
    "obs/note",
    "obs/kind",
    "obs/stage",
    "obs/some_int",
    "obs/some_text",
    "uns/title",
    "obs",
];

fn check(path: &str, value: &Value, sample: &Sample, [rows, columns]: &[Vec<u64>; 2], what: &str) {
    match (path, value) {
        ("X", Value::Sparse(m)) => {
            assert_eq!(m.shape, [rows.len() as u64, columns.len() as u64], "{what}");
            assert_eq!(rows_of(m), sample.x.select(rows, columns), "{what}");
        }
        ("raw/X", Value::Sparse(m)) => {
            let all: Vec<u64> = (0..sample.raw.shape[1]).collect();
            assert_eq!(rows_of(m), sample.raw.select(rows, &all), "{what}");
        }
        ("obsp/near", Value::Sparse(m)) => assert_eq!(rows_of(m), sample.near.select(rows, rows), "{what}"),
        ("layers/counts", Value::Dense(d)) => {
            assert_eq!(d.shape, [rows.len() as u64, columns.len() as u64], "{what}");
            assert_eq!(d.data.as_slice(), sample.dense_rows(path, rows, Some(columns)), "{what}");
        }
        ("obsm/X_pca" | "obsm/X_3d", Value::Dense(d)) => {
            assert_eq!(d.data.as_slice(), sample.dense_rows(path, rows, None), "{what}");
        }
        ("obs/_index" | "var/_index", Value::Strings(s)) => {
            let axis = usize::from(path.starts_with("var"));
            let at = if axis == 0 { rows } else { columns };
            let names: Vec<_> = at.iter().map(|&i| sample.names[axis][i as usize].clone()).collect();
            assert_eq!(texts(s), names, "{what}");
        }
        ("uns/title", Value::Strings(s)) => assert_eq!(texts(s), ["a title"], "{what}"),
        ("obs", Value::Table(t)) => {
            assert_eq!(t.len, rows.len() as u64);
            assert_eq!(t.columns.len(), sample.obs.len());
            for ((name, value), (expected, column)) in t.columns.iter().zip(&sample.obs) {
                assert_eq!(name, expected);
                check_column(value, column, rows, &format!("{what} {name}"));
            }
        }
        _ => {
            let (_, column) = sample.obs.iter().find(|c| path == format!("obs/{}", c.0)).unwrap();
            check_column(value, column, rows, what);
        }
    }
}

fn hold(what: &str, name: &str, planned: Amount, actual: u64) {
    match planned.mark {
        Mark::Exact => assert_eq!(planned.value, actual, "{what}: {name} was marked exact"),
        Mark::Upper => assert!(actual <= planned.value, "{what}: {name} is {actual}, planned {planned:?}"),
        Mark::Estimate => {}
    }
}

/// That the plan's exact numbers are what was done, and its bounds were kept.
fn hold_plan(what: &str, plan: &Plan, meter: &Meter, value: &Value, used: u64) {
    hold(what, "requests", plan.requests, meter.requests());
    hold(what, "fetch", plan.fetch_bytes, meter.bytes());
    hold(what, "decode", plan.decode_bytes, meter.decoded());
    hold(what, "chunks", plan.chunks, meter.chunks() + meter.filled());
    hold(what, "output", plan.output_bytes, value.bytes());
    if plan.peak_bytes.mark != Mark::Estimate {
        let peak = meter.ledger_peak().saturating_sub(used);
        hold(what, "peak", Amount::upper(plan.peak_bytes.value - Plan::PROCESS_BYTES), peak);
    }
}

fn measured(lazy: &Lazy) -> (Value, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let value = lazy.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
    (value, meter)
}

fn one(seed: u64, selections: u64) {
    let sample = Sample::new(&Spec::random(seed));
    let store = Arc::new(sample.writer.store());
    let mut rng = Rng::new(seed ^ 0xabcd);
    let (audited, plain) = (open(store.clone(), true, 1 + (seed % 2) as usize), open(store, false, 2));
    for n in 0..selections {
        let view = View::random(&mut rng, &sample);
        let path = rng.pick(&PATHS);
        let what = format!("seed {seed}, selection {n}, {path} of {:?}, {:?}", view.picks, sample.spec);
        // Values, with every read named before it is made.
        let value = element(&view.of(&audited), path).collect(&Call::default());
        let value = value.unwrap_or_else(|e| panic!("{what}: {e}"));
        check(path, &value, &sample, &view.at, &what);
        drop(value);
        audited.clear_caches();
        // The plan before anything is read, against what is then done.
        plain.clear_caches();
        if rng.once_in(2) {
            drop(element(&view.of(&plain), path).collect(&Call::default()).unwrap()); // warm indices
        }
        let lazy = element(&view.of(&plain), path);
        let before = plain.meter().requests();
        let plan = lazy.plan(&Call::default(), false).unwrap();
        assert_eq!(plain.meter().requests(), before, "{what}: a plan without resolve read something");
        let used = Ledger::process().used();
        let (value, meter) = measured(&lazy);
        check(path, &value, &sample, &view.at, &what);
        hold_plan(&format!("{what}, before"), &plan, &meter, &value, used);
        drop(value);
        // Resolved: exact.
        let plan = lazy.plan(&Call::default(), true).unwrap_or_else(|e| panic!("{what}: {e}"));
        let used = Ledger::process().used();
        let (value, meter) = measured(&lazy);
        check(path, &value, &sample, &view.at, &what);
        assert_eq!(
            (plan.requests.mark, plan.fetch_bytes.mark, plan.chunks.mark),
            (Mark::Exact, Mark::Exact, Mark::Exact),
            "{what}"
        );
        hold_plan(&format!("{what}, resolved"), &plan, &meter, &value, used);
        assert_eq!(Mark::Exact == plan.decode_bytes.mark, !plan_has_strings(&plan, &plain), "{what}");
        // The peak that the plan states is enough.
        if plan.peak_bytes.mark != Mark::Estimate {
            drop(value);
            let limit = Ledger::process().used() + plan.peak_bytes.value - Plan::PROCESS_BYTES;
            let call = Call { memory_limit: Some(limit), ..Call::default() };
            let got = lazy.collect(&call);
            let got = got.unwrap_or_else(|e| panic!("{what}: the planned peak is not enough: {e}\n{plan}"));
            check(path, &got, &sample, &view.at, &what);
        }
    }
    audited.clear_caches();
    plain.clear_caches();
    assert_eq!(Ledger::process().used(), 0, "seed {seed}: something is still charged");
}

fn plan_has_strings(plan: &Plan, session: &Session) -> bool {
    let arrays = session.root().arrays();
    let is_text = |path: &str| arrays.iter().any(|a| a.path == path && a.dtype.is_vlen());
    plan.elements.iter().flat_map(|e| &e.stages).flat_map(|s| &s.arrays).any(|a| is_text(&a.path))
}

#[test]
fn random_stores_and_selections_bring_what_the_model_has_and_read_what_the_plan_says() {
    let _alone = alone();
    if let Some(seed) = std::env::var("LAZARR_SEED").ok().and_then(|s| s.parse().ok()) {
        return one(seed, 40);
    }
    for seed in 0..400 {
        one(seed, 10);
    }
}

#[test]
fn from_afar_it_is_the_same() {
    let _alone = alone();
    common::FAR.store(true, std::sync::atomic::Ordering::SeqCst);
    for seed in (0..400).step_by(8) {
        one(seed, 6);
    }
    common::FAR.store(false, std::sync::atomic::Ordering::SeqCst);
}

#[test]
fn a_whole_object_comes_as_its_parts_do() {
    let _alone = alone();
    for seed in 200..230 {
        let sample = Sample::new(&Spec::random(seed));
        let session = open(Arc::new(sample.writer.store()), true, 2);
        let view = View::random(&mut Rng::new(seed), &sample);
        let what = format!("seed {seed} {:?}", view.picks);
        let value =
            view.of(&session).collect(&Call::default(), None).unwrap_or_else(|e| panic!("{what}: {e}"));
        for path in
            ["X", "obs", "layers/counts", "obsm/X_pca", "obsm/X_3d", "obsp/near", "raw/X", "uns/title"]
        {
            let part = path.split('/').try_fold(&value, |v, name| v.get(name)).unwrap();
            check(path, part, &sample, &view.at, &what);
        }
        let some = ["X".to_owned(), "obs/kind".to_owned()];
        let value = view.of(&session).collect(&Call::default(), Some(&some)).unwrap();
        assert!(value.get("obsm").is_none_or(|m| m.bytes() == 0));
        check("X", value.get("X").unwrap(), &sample, &view.at, &what);
    }
}

#[test]
fn streams_bring_the_rows_in_order() {
    let _alone = alone();
    for seed in 300..340 {
        let sample = Sample::new(&Spec::random(seed));
        let session = open(Arc::new(sample.writer.store()), seed % 2 == 0, 2);
        let view = View::random(&mut Rng::new(seed), &sample);
        for path in ["X", "raw/X", "obsm/X_pca", "obs/note"] {
            let what = format!("seed {seed}, {path} of {:?}", view.picks);
            let lazy = element(&view.of(&session), path);
            let mut stream = lazy.stream(&Call::default(), Some(1 + seed % 9), None).unwrap();
            let (rows, columns) = (&view.at[0], &view.at[1]);
            let mut at = 0;
            let meter = Arc::new(Meter::default());
            let call = Call { meter: Some(meter.clone()), ..Call::default() };
            while let Some(block) = stream.next(&call).unwrap_or_else(|e| panic!("{what}: {e}")) {
                assert_eq!(block.start, at, "{what}");
                at = block.end;
                let part = [rows[block.start as usize..block.end as usize].to_vec(), columns.clone()];
                check(path, &block.value, &sample, &part, &what);
            }
            assert_eq!(at, rows.len() as u64, "{what}");
        }
    }
}

#[test]
fn streams_decode_each_chunk_once() {
    let _alone = alone();
    let mut compared = 0;
    for seed in 400..460 {
        let sample = Sample::new(&Spec::random(seed));
        let view = View::random(&mut Rng::new(seed), &sample);
        let ascending = view.at[0].is_sorted_by(|a, b| a < b);
        if view.at[0].len() < 2 {
            continue;
        }
        for path in PATHS.into_iter().filter(|p| !p.starts_with("var") && !p.starts_with("uns")) {
            let chunks = |blocks: Option<u64>| {
                let session = open(Arc::new(sample.writer.store()), seed % 2 == 0, 2);
                let lazy = element(&view.of(&session), path);
                lazy.resolve(&Call::default()).unwrap();
                let meter = Arc::new(Meter::default());
                let call = Call { meter: Some(meter.clone()), ..Call::default() };
                if blocks.is_some() {
                    let mut stream = lazy.stream(&call, blocks, None).unwrap();
                    while stream.next(&call).unwrap().is_some() {}
                } else {
                    lazy.collect(&call).unwrap();
                }
                meter.chunks()
            };
            let rows = 1 + seed % 9;
            if !ascending && !["X", "raw/X", "obsp/near"].contains(&path) {
                continue; // rows of small elements, in another order than the stored one
            }
            assert_eq!(chunks(Some(rows)), chunks(None), "seed {seed}, {path}, blocks of {rows}: {view:?}");
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}
