//! Whether to go on: asked of the caller now and then, on the caller's own thread, and told to all who wait.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use lazarr_format::{Code, Error, Result};

/// Asked now and then whether to stop; called on the caller's thread only.
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync + 'a);

/// How long the caller may wait until an interrupt is seen.
pub(crate) const POLL: Duration = Duration::from_millis(40);

/// Tells the caller that a thread is done, whether it returns or panics. A thread that has woken the caller has not ended
/// yet: so threads that leave are counted, not asked whether they are finished.
pub(crate) struct Leaving<'a> {
    busy: &'a AtomicUsize,
    caller: &'a Thread,
}

impl<'a> Leaving<'a> {
    /// Counts down `busy` when it is dropped, and wakes the caller.
    pub(crate) fn new(busy: &'a AtomicUsize, caller: &'a Thread) -> Self {
        Self { busy, caller }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Release);
        self.caller.unpark();
    }
}

/// One call's will to go on.
pub(crate) struct Patience<'a> {
    interrupt: Option<Interrupt<'a>>,
    /// When the caller was last asked.
    asked: Mutex<Instant>,
    caller: ThreadId,
    /// The call ends: whoever waits need not.
    halt: AtomicBool,
}

impl<'a> Patience<'a> {
    /// Of a call on this thread.
    pub(crate) fn new(interrupt: Option<Interrupt<'a>>) -> Self {
        let caller = std::thread::current().id();
        Self { interrupt, asked: Mutex::new(Instant::now()), caller, halt: AtomicBool::new(false) }
    }

    /// Whether the caller can stop at all.
    pub(crate) fn ends(&self) -> bool {
        self.interrupt.is_some()
    }

    /// Tells all who wait to stop, or to wait again.
    pub(crate) fn halt(&self, halt: bool) {
        self.halt.store(halt, Relaxed);
    }

    /// Asks whether to stop, where it was not asked lately. On the caller's thread only.
    pub(crate) fn poll(&self) -> Result<()> {
        let Some(interrupt) = self.interrupt else { return Ok(()) };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.elapsed() < POLL {
            return Ok(());
        }
        *asked = Instant::now();
        drop(asked);
        if interrupt() {
            return Err(Error::new(Code::Interrupted, "the read was stopped"));
        }
        Ok(())
    }

    /// Whether to go on waiting: asked again and again by whoever waits, on any thread.
    pub(crate) fn wait(&self) -> Result<()> {
        if self.halt.load(Relaxed) {
            return Err(Error::new(Code::Interrupted, "stopped"));
        }
        if std::thread::current().id() == self.caller { self.poll() } else { Ok(()) }
    }

    /// Does something to each item, on so many threads, while the caller's asks whether to stop.
    pub(crate) fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        threads: usize,
        act: &(dyn Fn(&T) -> R + Sync),
    ) -> Result<Vec<R>> {
        if threads <= 1 || items.len() <= 1 {
            return Ok(items.iter().map(act).collect());
        }
        let share = items.len().div_ceil(threads).max(1);
        let caller = std::thread::current();
        let busy = AtomicUsize::new(items.chunks(share).len());
        let result = std::thread::scope(|scope| {
            let work = |part: &[T]| {
                let _leaving = Leaving::new(&busy, &caller);
                part.iter().map(act).collect::<Vec<R>>()
            };
            let parts: Vec<_> = items.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
            let mut asked = Ok(());
            while asked.is_ok() && busy.load(Acquire) > 0 {
                std::thread::park_timeout(POLL);
                asked = self.poll();
            }
            self.halt(asked.is_err());
            let ended =
                |_| Error::new(Code::Internal, "a thread ended unexpectedly").help("Please report this");
            let done = parts.into_iter().map(|p| p.join().map_err(ended)).collect::<Result<Vec<_>>>();
            asked.and(done)
        })?;
        Ok(result.into_iter().flatten().collect())
    }
}
