//! How many requests an operation takes, in how many dependent round trips.

#![allow(clippy::print_stdout, reason = "what was counted is shown")]

use std::sync::Arc;
use std::time::Duration;

use lazarr::{Call, Lazy, LazyAnnData, Options, Session, Step};
use lazarr_testkit::{Asked, Layout, Sample, Server, Spec, Zip};

use super::operations::OPERATIONS;
use super::{PATIENT, open, sample};

fn served(layout: Layout, words: &[(&str, &str)], options: Options) -> (Server, Arc<Session>, usize) {
    let server = Server::new(&sample(layout).writer.values());
    let words: Vec<_> = PATIENT.iter().chain(words).copied().collect();
    let session = open(&server, &words, options).unwrap();
    let requests = server.take().len();
    server.delay(Duration::from_millis(30));
    (server, session, requests)
}

#[test]
fn opening_takes_one_request_or_two() {
    let requests = |layout, options| served(layout, &[], options).2;
    assert_eq!(requests(Layout::default(), Options::default()), 1);
    assert_eq!(requests(Layout::v2(), Options::default()), 2);
    let known = |format| Options { zarr_format: Some(format), ..Options::default() };
    assert_eq!(requests(Layout::v2(), known(2)), 1);
    assert_eq!(requests(Layout::default(), known(3)), 1);
    let server = Server::new(&sample(Layout::default()).writer.values());
    let e = open(&server, &[], known(2)).unwrap_err();
    assert_eq!(e.code(), lazarr::Code::StoreNotFound, "{e}");
}

#[test]
fn a_store_that_is_not_consolidated_is_probed_level_by_level() {
    let layout = Layout { consolidated: false, ..Layout::default() };
    let server = Server::new(&sample(layout).writer.values());
    let options = Options { names: vec!["obsm/X_pca".into()], ..Options::default() };
    let least = least(6, |delay| {
        server.delay(delay);
        let session = open(&server, &PATIENT, options.clone()).unwrap();
        assert!(session.element("obsm/X_pca").is_ok());
        assert!(session.is_unlisted("obsm") && !session.notices().is_empty());
        server.take()
    });
    assert!(least <= 6, "{least} round trips");
}

/// The dependent round trips of something that is tried until it takes so many at most. On a busy machine a request may
/// begin after others were answered: longer answers tell more surely. What does depend on an answer never comes before it,
/// so the least of the tries is what it takes.
fn least(most: usize, mut ask: impl FnMut(Duration) -> Vec<Asked>) -> usize {
    let mut least = usize::MAX;
    for delay in [30, 90, 270].map(Duration::from_millis) {
        let asked = ask(delay);
        trace(&asked);
        least = least.min(Asked::round_trips(&asked));
        if least <= most {
            break;
        }
    }
    least
}

#[test]
fn an_archive_takes_no_more_round_trips_than_its_store() {
    let zip = Zip::of(&sample(Layout::sharded()).writer.values(), "", false).bytes();
    let server = Server::new(&[("a.zip".to_owned(), zip)].into());
    for (name, most) in [("rows of X", 3), ("a column of obs", 2)] {
        let (_, act) = OPERATIONS.iter().find(|(n, _)| *n == name).unwrap();
        let least = least(most, |delay| {
            server.delay(Duration::ZERO);
            let options =
                Options { storage: lazarr::store::StoreOptions::new(PATIENT), ..Options::default() };
            let session = Session::open(&server.url("a.zip"), options).unwrap();
            server.take();
            server.delay(delay);
            act(&session).unwrap();
            server.take()
        });
        assert!(least <= most, "{name}: {least} round trips");
    }
}

#[test]
fn reads_take_few_round_trips() {
    // As sharded, and without shards.
    let most = |name: &str| match name {
        "a column of obs" | "obs" | "head of obs" | "rows of a dense matrix" => (2, 1),
        // Indices are searched before values are read; starts come beside them.
        "rows of X" | "scattered rows of X" | "a gene of X" | "everything" => (3, 2),
        "mean and variance" => (4, 3),
        // Categories and codes, and then rows of all elements; of obsp columns, too.
        "rows of a predicate" => (5, 4),
        "counts of a column" => (4, 2),
        _ => (usize::MAX, usize::MAX),
    };
    let slots = [("slots", "256")]; // as many as there are requests
    for (layout, sharded) in [(Layout::sharded(), true), (Layout::default(), false)] {
        let mut wrong = Vec::new();
        for (name, act) in OPERATIONS.iter().skip(1) {
            let most = if sharded { most(name).0 } else { most(name).1 };
            let least = least(most, |delay| {
                let (server, session, _) = served(layout.clone(), &slots, Options::default());
                server.delay(delay);
                act(&session).unwrap();
                let asked = server.take();
                let trips = Asked::round_trips(&asked);
                println!(
                    "{name}, sharded {sharded}, {delay:?}: {} requests in {trips} round trips",
                    asked.len()
                );
                assert!(asked.iter().all(|a| a.method == "GET"), "{name}: no HEAD");
                asked
            });
            if least > most {
                wrong.push(format!("{name}: {least}"));
            }
        }
        assert!(wrong.is_empty(), "sharded {sharded}: {wrong:?}");
    }
}

/// With `LAZARR_TRACE` set, when each request came and was answered.
fn trace(asked: &[Asked]) {
    if std::env::var_os("LAZARR_TRACE").is_none() {
        return;
    }
    let from = asked[0].time[0];
    for a in asked {
        let [x, y] = a.time.map(|t| t.duration_since(from).as_millis());
        println!("  {x} {y} {} {:?}", a.key, a.range);
    }
}

#[test]
fn a_plan_says_what_is_asked_and_in_how_many_round_trips() {
    let (server, session, _) = served(Layout::sharded(), &[], Options::default());
    let rows = LazyAnnData::new(&session, session.root())
        .unwrap()
        .get("X")
        .unwrap()
        .select(0, Step::Slice(Some(10), Some(30), None))
        .unwrap();
    let plan = rows.plan(&Call::default(), true).unwrap();
    session.clear_caches();
    server.take();
    let plan_again = rows.plan(&Call::default(), false).unwrap();
    assert!(server.take().is_empty(), "a plan that is not to resolve reads nothing");
    let meter = Arc::new(lazarr::Meter::default());
    rows.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
    assert_eq!(meter.requests() as usize, server.take().len());
    // Shard indices were read for the plan, and forgotten since.
    assert!(plan.requests.value > 0 && plan.requests.value < meter.requests());
    assert_eq!(plan_again.round_trips.value, 3);
    let plan = rows.plan(&Call::default(), true).unwrap();
    let meter = Arc::new(lazarr::Meter::default());
    rows.collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
    assert_eq!(plan.requests.value, meter.requests());
}

#[test]
fn reads_over_http_are_those_that_were_planned() {
    for layout in [Layout::sharded(), Layout::default(), Layout::v2()] {
        let options = Options { audit: true, ..Options::default() };
        let (_server, session, _) = served(layout, &[], options);
        for (name, act) in OPERATIONS {
            act(&session).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn memory_stays_within_its_limit() {
    let _alone = super::common::alone();
    let (_server, session, _) = served(Layout::sharded(), &[], Options::default());
    let x = Lazy::new(&session, &session.element("X").unwrap());
    for limit in [20_000, 50_000, 1 << 20] {
        let meter = Arc::new(lazarr::Meter::default());
        let call = Call { memory_limit: Some(limit), meter: Some(meter.clone()), ..Call::default() };
        match x.collect(&call) {
            Ok(_) => {}
            Err(e) => assert_eq!(e.code(), lazarr::Code::MemoryLimit, "{e}"),
        }
        assert!(meter.ledger_peak() <= limit);
    }
}

#[test]
fn a_plan_says_when_another_layout_would_serve_better() {
    let notes = |layout, words: &[(&str, &str)], axis, step| {
        // Small chunks where requests are dear, large ones where bytes are.
        let chunks = if words.first() == Some(&("latency", "1ms")) { [192, 192, 64] } else { [32, 32, 16] };
        let sample = Sample::new(&Spec { layout, chunks, ..Spec::default() });
        let server = Server::new(&sample.writer.values());
        let words: Vec<_> = PATIENT.iter().chain(words).copied().collect();
        let session = open(&server, &words, Options::default()).unwrap();
        let x = Lazy::new(&session, &session.element("X").unwrap());
        let plan = x.select(axis, step).unwrap().plan(&Call::default(), true).unwrap();
        plan.elements.into_iter().flat_map(|e| e.notes).collect::<Vec<_>>().join("\n")
    };
    let all = || Step::Slice(None, None, None);
    // Requests one after the other: chunks that are files of their own cost most of the time.
    let dear = [("latency", "50ms"), ("slots", "1"), ("bandwidth", "1GB")];
    let said = notes(Layout::default(), &dear, 0, all());
    assert!(said.contains("which are not sharded"), "{said}");
    let said = notes(Layout::sharded(), &dear, 0, all());
    assert!(!said.contains("which are not sharded"), "{said}");
    // A thin line: bytes that nobody wants.
    let thin = [("latency", "1ms"), ("bandwidth", "1KB")];
    let one = || Step::Ints([7][..].into());
    let said = notes(Layout::default(), &thin, 0, one());
    assert!(said.contains("smaller inner chunks would fetch less"), "{said}");
    let said = notes(Layout::default(), &thin, 0, all());
    assert!(!said.contains("smaller inner chunks"), "{said}");
    // A gene of a csr matrix, at any distance.
    let said = notes(Layout::default(), &[], 1, one());
    assert!(said.contains("a csc matrix would hold them together"), "{said}");
}
