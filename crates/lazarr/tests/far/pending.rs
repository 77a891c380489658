//! Calls as futures, without a runtime.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use lazarr::store::StoreOptions;
use lazarr::{Call, Code, Lazy, LazyAnnData, Options, Pending, Session};
use lazarr_testkit::{Fault, Layout, Server};

use super::{PATIENT, sample};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest of all runtimes.
fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn options() -> Options {
    Options { storage: StoreOptions::new(PATIENT), ..Options::default() }
}

#[test]
fn futures_bring_what_calls_bring() {
    let server = Server::new(&sample(Layout::sharded()).writer.values());
    wait(async {
        let session = Session::open_async(&server.url(""), options()).await.unwrap();
        let x = Lazy::new(&session, &session.element("X").unwrap());
        let expected = x.collect(&Call::default()).unwrap().bytes();
        // Many at once.
        let pending: Vec<_> = (0..20).map(|_| x.collect_async(Call::default())).collect();
        for one in pending {
            assert_eq!(one.await.unwrap().bytes(), expected);
        }
        let plan = x.plan_async(Call::default(), true).await.unwrap();
        assert!(plan.requests.value > 0);
        let all = LazyAnnData::new(&session, session.root()).unwrap();
        assert!(all.collect_async(Call::default(), None).await.unwrap().bytes() > expected);
        let moments = Pending::call(Call::default(), move |call| x.mean_var(call, 0, 0)).await.unwrap();
        assert!(!moments.mean.shape.is_empty());
        let e = Session::open_async(&server.url("nothing"), options()).await.unwrap_err();
        assert_eq!(e.code(), Code::StoreNotFound);
    });
}

#[test]
fn a_future_that_is_dropped_ends_its_call() {
    let server = Server::new(&sample(Layout::sharded()).writer.values());
    let session = Session::open(&server.url(""), options()).unwrap();
    server.take();
    server.fault(Fault::Silence, 1, 1, u64::MAX);
    let x = Lazy::new(&session, &session.element("X").unwrap());
    let mut pending = x.collect_async(Call::default());
    let waker = Waker::noop();
    assert!(Pin::new(&mut pending).poll(&mut Context::from_waker(waker)).is_pending());
    drop(x);
    while server.take().is_empty() {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    drop(pending);
    // The call holds the session as long as it runs; the server is given up after a minute.
    while Arc::strong_count(&session) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(15));
        std::thread::yield_now();
    }
    println!("ended after {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
}

#[test]
fn a_call_that_ends_without_a_result_is_an_error() {
    let e = wait(Pending::<()>::new(|_| panic!("on purpose"))).unwrap_err();
    assert_eq!(e.code(), Code::Internal);
}
