//! Calls as futures.
//!
//! A [`Pending`] is a call under way on a thread of its own; polling it only looks. It needs no runtime, and any runtime
//! can wait for it. Dropped before it is ready, it ends the call: a read stops within 100 ms, whatever it waits for.
//! Calls that are awaited together share the slots of their store, and the process's ledger.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use lazarr_format::{Code, Error, Result};

use crate::call::Call;
use crate::patience::Interrupt;

/// A call under way, and in the end its result. Dropped, it ends the call.
///
/// ```no_run
/// # async fn example() -> lazarr::Result<()> {
/// use lazarr::{Call, Lazy, Options, Session};
/// let session = Session::open_async("https://example.org/atlas.zarr", Options::default()).await?;
/// let x = Lazy::new(&session, &session.element("X")?);
/// let value = x.collect_async(Call::default()).await?;
/// // Any other verb:
/// let moments = lazarr::Pending::call(Call::default(), move |call| x.mean_var(call, 0, 0)).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it ends the call"]
pub struct Pending<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    stop: AtomicBool,
    state: Mutex<State<T>>,
}

struct State<T> {
    result: Option<Result<T>>,
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn done(&self, result: Result<T>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result.get_or_insert(result);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Says that the thread is gone, where it ends without a result.
struct Gone<T>(Arc<Shared<T>>);

impl<T> Drop for Gone<T> {
    fn drop(&mut self) {
        let gone = Error::new(Code::Internal, "a thread ended unexpectedly").help("Please report this");
        self.0.done(Err(gone));
    }
}

impl<T: Send + 'static> Pending<T> {
    /// Begins something on a thread of its own; it is given what it must ask, every now and then, whether to stop.
    pub fn new(act: impl FnOnce(Interrupt<'_>) -> Result<T> + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            state: Mutex::new(State { result: None, waker: None }),
        });
        let mine = shared.clone();
        let work = move || {
            // Made here: where no thread can be had, nothing has ended.
            let mine = Gone(mine);
            let stop = mine.0.clone();
            let result = act(&move || stop.stop.load(Relaxed));
            mine.0.done(result);
        };
        if let Err(e) = std::thread::Builder::new().name("lazarr-call".into()).spawn(work) {
            shared.done(Err(Error::new(Code::OutOfMemory, "a thread cannot be started").source(e)));
        }
        Self { shared }
    }

    /// Begins a verb with these limits; `call.interrupt` is asked as well, on that thread.
    pub fn call(call: Call<'static>, verb: impl FnOnce(&Call<'_>) -> Result<T> + Send + 'static) -> Self {
        Self::new(move |stop| {
            let both = || stop() || call.interrupt.is_some_and(|interrupt| interrupt());
            verb(&Call { interrupt: Some(&both), ..call.clone() })
        })
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}
