//! Plans and reads, where what was read before is on the local disk.

use std::sync::Arc;

use lazarr::{Call, Lazy, Meter, Options, Session, Step};
use lazarr_testkit::{Layout, Server};

use super::operations::OPERATIONS;
use super::{PATIENT, open, sample};

fn opened(server: &Server, folder: &tempfile::TempDir, options: Options) -> Arc<Session> {
    let words: Vec<_> = PATIENT.into_iter().chain([("cache_dir", folder.path().to_str().unwrap())]).collect();
    open(server, &words, options).unwrap()
}

#[test]
fn a_plan_tells_what_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    for layout in [Layout::sharded(), Layout::default()] {
        let server = Server::new(&sample(layout).writer.values());
        let rows = |session: &Arc<Session>, to| {
            let x = Lazy::new(session, &session.element("X").unwrap());
            x.select(0, Step::Slice(Some(0), Some(to), None)).unwrap()
        };
        let session = opened(&server, &folder, Options::default());
        let plan = rows(&session, 20).plan(&Call::default(), true).unwrap();
        assert_eq!(plan.cached_requests.value, 0, "{plan}");
        rows(&session, 20).collect(&Call::default()).unwrap();
        let again = opened(&server, &folder, Options::default());
        let plan = rows(&again, 20).plan(&Call::default(), true).unwrap();
        assert_eq!(plan.cached_requests.value, plan.requests.value, "{plan}");
        assert_eq!(plan.cached_bytes.value, plan.fetch_bytes.value, "{plan}");
        assert!(plan.to_string().contains("in the cache on the local disk"), "{plan}");
        let meter = Arc::new(Meter::default());
        rows(&again, 20).collect(&Call { meter: Some(meter.clone()), ..Call::default() }).unwrap();
        assert_eq!(meter.cached(), meter.requests());
        assert_eq!(meter.cached_bytes(), meter.bytes());
        let more = rows(&again, 60).plan(&Call::default(), true).unwrap();
        assert!(more.cached_requests.value < more.requests.value, "{more}");
        assert!(more.cached_bytes.value < more.fetch_bytes.value, "{more}");
    }
}

#[test]
fn every_read_is_the_same_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    for layout in [Layout::sharded(), Layout::default(), Layout::v2()] {
        let server = Server::new(&sample(layout).writer.values());
        let audited = || opened(&server, &folder, Options { audit: true, ..Options::default() });
        for (name, act) in OPERATIONS {
            let expected = act(&open(&server, &PATIENT, Options::default()).unwrap()).unwrap();
            assert_eq!(act(&audited()).unwrap(), expected, "{name}, as it is kept");
            server.take();
            assert_eq!(act(&audited()).unwrap(), expected, "{name}");
            // The metadata of a store of format 2 is found where that of 3 is not.
            let told = |a: &lazarr_testkit::Asked| a.headers.contains_key("if-none-match");
            let asked = server.take();
            assert!(asked.iter().any(told), "{name}");
            assert!(asked.iter().all(|a| told(a) || a.key.rsplit('/').next() == Some("zarr.json")), "{name}");
        }
    }
}
