//! The runtime that moves bytes: one a process, made anew in a child of `fork`, whose threads it would not have.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazarr_format::{Code, Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Who waits is told so often.
const TICK: Duration = Duration::from_millis(20);

static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

fn runtime() -> Result<Arc<Runtime>> {
    let process = std::process::id();
    let mut known = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, runtime)) = &*known
        && *of == process
    {
        return Ok(runtime.clone());
    }
    let made = Builder::new_multi_thread().worker_threads(2).thread_name("lazarr-io").enable_all().build();
    let made = Arc::new(
        made.map_err(|e| Error::new(Code::StoreIo, "threads for the network cannot be started").source(e))?,
    );
    // The parent's must not be ended here: its threads are not in this process.
    std::mem::forget(known.replace((process, made.clone())));
    Ok(made)
}

/// Waits for a future on this thread; `tell` is asked meanwhile whether to wait on.
pub(super) fn wait_for<T>(
    tell: &mut dyn FnMut() -> Result<()>,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    if Handle::try_current().is_ok() {
        return Err(Error::new(
            Code::Operation,
            "a store over a network is read on a thread of an async runtime",
        )
        .help("Call it where waiting is allowed, for tokio in `spawn_blocking`"));
    }
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = tokio::time::sleep(TICK) => tell()?,
            }
        }
    })
}

/// What goes on beside after a write was interrupted, of this process.
static BESIDE: Mutex<(u32, usize)> = Mutex::new((0, 0));

fn beside(change: impl FnOnce(&mut usize)) -> usize {
    let mut beside = BESIDE.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if beside.0 != process {
        *beside = (process, 0);
    }
    change(&mut beside.1);
    beside.1
}

/// Begins to clear up on the runtime.
pub(super) fn clear(clearing: impl Future<Output = ()> + Send + 'static) -> Result<JoinHandle<()>> {
    within(|| {
        beside(|n| *n += 1);
        tokio::spawn(async move {
            clearing.await;
            beside(|n| *n = n.saturating_sub(1));
        })
    })
}

/// Whether interrupted writes to buckets are still clearing up what they have put there. That goes on beside while the
/// process lives: before it ends, who wants nothing to be left waits until this is false.
#[must_use]
pub fn is_clearing() -> bool {
    beside(|_| ()) > 0
}

/// Does something where a runtime is at hand, and waits for nothing.
pub(super) fn within<T>(act: impl FnOnce() -> T) -> Result<T> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    Ok(act())
}
