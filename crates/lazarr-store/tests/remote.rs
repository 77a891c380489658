//! Reading over a network, against a server with bad manners.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lazarr_format::{Code, Error, Result};
use lazarr_store::{ByteRange, Found, RemoteStore, Store, StoreOptions};
use lazarr_testkit::{Fault, Server};

fn bytes() -> Vec<u8> {
    (0..5000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn server() -> Server {
    let values = [("a/b c#1", bytes()), ("a/empty", Vec::new()), ("zarr.json", b"{}".to_vec())];
    Server::new(&values.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>())
}

fn words(more: &[(&str, &str)]) -> StoreOptions {
    // A busy machine may keep a server waiting for a while.
    let fast = [("read_timeout", "400ms"), ("retry_timeout", "20s"), ("max_retries", "3")];
    StoreOptions::new(fast.iter().chain(more).copied())
}

fn open(server: &Server, more: &[(&str, &str)]) -> RemoteStore {
    RemoteStore::open(&server.url("a"), &words(more)).unwrap()
}

fn get(store: &RemoteStore, key: &str, range: &ByteRange) -> Result<Option<(Vec<u8>, Found)>> {
    let (mut out, mut told) = (b"before".to_vec(), 0);
    let found = store.get(
        key,
        range,
        &mut |n| {
            told += n;
            Ok(())
        },
        &mut out,
    );
    assert_eq!(&out[..6], b"before");
    let found = found.inspect_err(|_| assert_eq!(out.len(), 6, "nothing is left of a read that failed"))?;
    assert!(told >= out.len() as u64 - 6, "what is taken is announced");
    Ok(found.map(|found| (out[6..].to_vec(), found)))
}

fn some(store: &RemoteStore, range: &ByteRange) -> Result<Vec<u8>> {
    Ok(get(store, "b c#1", range)?.unwrap().0)
}

/// Ranges, and what they bring.
fn ranges() -> Vec<(ByteRange, Vec<u8>)> {
    let all = bytes();
    let n = all.len();
    vec![
        (ByteRange::All, all.clone()),
        (ByteRange::Range(100..300), all[100..300].to_vec()),
        (ByteRange::Range(0..n as u64), all.clone()),
        (ByteRange::Suffix(64), all[n - 64..].to_vec()),
        (ByteRange::Suffix(1 << 30), all.clone()),
    ]
}

#[test]
fn bytes_come_as_asked_and_with_one_request() {
    let server = server();
    let store = open(&server, &[]);
    for (range, expected) in ranges() {
        let (got, found) = get(&store, "b c#1", &range).unwrap().unwrap();
        assert_eq!((got, found.total), (expected, Some(20_000)), "{range:?}");
        let asked = server.take();
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].method.as_str(), asked[0].key.as_str()), ("GET", "a/b c#1"));
    }
    assert!(get(&store, "nothing", &ByteRange::All).unwrap().is_none());
    assert_eq!(get(&store, "empty", &ByteRange::All).unwrap().unwrap().0, b"");
    assert_eq!(get(&store, "empty", &ByteRange::Suffix(9)).unwrap().unwrap().0, b"");
    assert_eq!(some(&store, &ByteRange::Range(7..7)).unwrap(), b"");
    assert_eq!(store.size("b c#1", &mut |_| Ok(())).unwrap(), Some(20_000));
    assert_eq!(store.size("nothing", &mut |_| Ok(())).unwrap(), None);
    for range in [ByteRange::Range(19_990..20_001), ByteRange::Range(30_000..30_001)] {
        assert_eq!(some(&store, &range).unwrap_err().code(), Code::ChunkLength, "{range:?}");
    }
    let versions =
        ranges().iter().map(|(r, _)| get(&store, "b c#1", r).unwrap().unwrap().1.version).collect::<Vec<_>>();
    assert!(versions.windows(2).all(|w| w[0] == w[1]));
}

/// The code of what a fault comes to, where it does not go away.
fn lasting(fault: Fault) -> Option<Code> {
    Some(match fault {
        Fault::Broken | Fault::Busy | Fault::TooMany => Code::Unavailable,
        Fault::Silence | Fault::Stall => Code::Timeout,
        Fault::Reset | Fault::Cut | Fault::Garbage => Code::StoreIo,
        Fault::WrongRange | Fault::ShortRange | Fault::Portal | Fault::Encoded | Fault::WrongLength => {
            Code::StoreAnswer
        }
        Fault::Forbidden => Code::Forbidden,
        Fault::Redirect => Code::Redirected,
        Fault::IgnoreRange | Fault::Replace => return None,
    })
}

#[test]
fn faults_that_pass_are_mended_and_those_that_last_are_errors() {
    for fault in Fault::ALL {
        let (server, other) = (server(), server());
        server.elsewhere(&other.url("a/b c#1"));
        let store = open(&server, &[]);
        for (range, expected) in ranges() {
            // A whole value that is said to be shorter is a shorter value: who decodes it will notice.
            if fault == Fault::WrongLength && range == ByteRange::All {
                continue;
            }
            server.take();
            server.fault(fault, 1, 1, 1);
            match some(&store, &range) {
                Ok(got) => assert!(got == expected, "{fault:?} {range:?}"),
                Err(e) => {
                    assert!(!again(fault), "{fault:?} {range:?}: {e}");
                    assert_eq!(Some(e.code()), lasting(fault), "{fault:?} {range:?}: {e}");
                }
            }
            assert!(server.take().len() <= 4, "{fault:?} {range:?}");
        }
        server.fault(fault, 1, 1, u64::MAX);
        let begun = Instant::now();
        let got = some(&store, &ByteRange::Range(100..300));
        // Far less, on a machine with nothing else to do.
        assert!(begun.elapsed() < Duration::from_secs(60), "{fault:?}");
        assert!(server.take().len() <= 4, "{fault:?}");
        match (got, lasting(fault)) {
            (Ok(got), None) => assert!(fault == Fault::Replace || got == bytes()[100..300]),
            (Err(e), Some(code)) => assert_eq!(e.code(), code, "{fault:?}: {e}"),
            (got, code) => panic!("{fault:?}: {got:?}, not {code:?}"),
        }
        assert!(other.take().is_empty(), "nobody goes elsewhere");
    }
}

/// Whether another try helps.
fn again(fault: Fault) -> bool {
    !matches!(fault, Fault::Forbidden | Fault::Redirect | Fault::Portal | Fault::Encoded | Fault::Replace)
}

#[test]
fn a_body_that_is_cut_is_taken_up_where_it_ended() {
    let server = server();
    let store = open(&server, &[]);
    server.fault(Fault::Cut, 1, 1, 1);
    assert_eq!(some(&store, &ByteRange::All).unwrap(), bytes());
    let asked = server.take();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].range.as_deref(), Some("bytes=10000-19999"));
    assert_eq!(asked[1].headers["if-match"], "\"20000-0\"");
    // Without anything that tells two states apart it is read anew.
    server.tagless();
    let store = open(&server, &[]);
    server.fault(Fault::Cut, 1, 1, 1);
    assert_eq!(some(&store, &ByteRange::Range(0..20_000)).unwrap(), bytes());
    assert_eq!(server.take()[1].range.as_deref(), Some("bytes=0-19999"));
}

#[test]
fn a_value_that_changes_between_two_tries_is_said_to_have_changed() {
    let server = server();
    let store = open(&server, &[("max_retries", "100"), ("retry_timeout", "60s")]);
    server.fault(Fault::Stall, 1, 1, u64::MAX);
    let got = std::thread::scope(|scope| {
        let got = scope.spawn(|| some(&store, &ByteRange::All));
        while server.stalled() == 0 {
            std::thread::yield_now();
        }
        server.replace("a/b c#1", vec![7; 20_000]);
        got.join().unwrap()
    });
    assert_eq!(got.unwrap_err().code(), Code::StoreChanged);
}

#[test]
fn a_value_that_is_read_again_must_be_the_same() {
    let server = server();
    let store = open(&server, &[]);
    some(&store, &ByteRange::Range(0..9)).unwrap();
    server.replace("a/b c#1", vec![7; 20_000]);
    assert_eq!(some(&store, &ByteRange::Suffix(9)).unwrap_err().code(), Code::StoreChanged);
    assert_eq!(some(&open(&server, &[]), &ByteRange::Suffix(9)).unwrap(), [7; 9]);
}

#[test]
fn who_waits_is_asked_and_can_end_it() {
    let server = server();
    let store = open(&server, &[("read_timeout", "20s"), ("retry_timeout", "30s")]);
    server.fault(Fault::Silence, 1, 1, u64::MAX);
    let begun = Instant::now();
    let refuse = &mut |n| {
        assert_eq!(n, 0);
        if begun.elapsed() < Duration::from_millis(100) {
            Ok(())
        } else {
            Err(Error::new(Code::Interrupted, "enough"))
        }
    };
    let got = store.get("b c#1", &ByteRange::All, refuse, &mut Vec::new());
    assert_eq!(got.unwrap_err().code(), Code::Interrupted);
    // Long before the server is given up.
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_server_in_trouble_is_not_stormed() {
    let server = server();
    let store = open(&server, &[("max_retries", "50"), ("retry_timeout", "20s")]);
    server.fault(Fault::TooMany, 1, 1, u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(some(&store, &ByteRange::All).unwrap_err().code(), Code::Unavailable));
        }
    });
    let asked = server.take().len();
    assert!(asked <= 16 + 48, "{asked}");
    assert_eq!(store.retries() as usize, asked - 16);
}

#[test]
fn a_long_wait_that_is_asked_for_is_not_waited() {
    // Retry-After beyond the deadline ends at once; the server's own is 0, so that a busy one is tried at once.
    let server = server();
    let store = open(&server, &[]);
    server.fault(Fault::TooMany, 1, 1, 2);
    assert_eq!(some(&store, &ByteRange::All).unwrap(), bytes());
    assert_eq!(server.take().len(), 3);
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let server = server();
    let url = server.url("a?sig=hush1").replace("http://", "http://user:hush2@");
    let store = RemoteStore::open(&url, &words(&[("header.X-Key", "hush3")])).unwrap();
    server.fault(Fault::Forbidden, 1, 1, 1);
    let e = some(&store, &ByteRange::All).unwrap_err();
    let asked = server.take();
    assert_eq!(asked[0].headers["x-key"], "hush3");
    assert_eq!(asked[0].headers["authorization"], "Basic dXNlcjpodXNoMg==");
    for text in
        [e.to_string(), format!("{store:?}"), store.name(), format!("{:?}", words(&[("header.X", "hush4")]))]
    {
        assert!(!text.contains("hush") && !text.contains("user"), "{text}");
    }
    let closed = RemoteStore::open("http://user:hush@127.0.0.1:9/a?sig=hush", &words(&[])).unwrap();
    let e = get(&closed, "x", &ByteRange::All).unwrap_err();
    assert_eq!(e.code(), Code::StoreIo);
    assert!(!e.to_string().contains("hush"), "{e}");
}

#[test]
fn words_that_are_not_known_are_refused() {
    let open = |url: &str, name: &str| RemoteStore::open(url, &StoreOptions::new([(name, "1")])).map(|_| ());
    for url in ["http://localhost/a", "s3://bucket/a", "gs://bucket/a", "az://container/a"] {
        assert_eq!(open(url, "colour").unwrap_err().code(), Code::StoreUrl, "{url}");
    }
    assert_eq!(open("ftp://host/a", "timeout").unwrap_err().code(), Code::StoreUrl);
    assert_eq!(open("http://", "timeout").unwrap_err().code(), Code::StoreUrl);
    assert!(open("s3://bucket/a", "region").is_ok());
}

#[test]
fn a_read_on_a_thread_of_a_runtime_is_an_error_and_no_panic() {
    let server = server();
    let store = open(&server, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let got = runtime.block_on(async { some(&store, &ByteRange::All) });
    assert_eq!(got.unwrap_err().code(), Code::Operation);
}
