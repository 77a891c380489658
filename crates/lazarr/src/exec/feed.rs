//! What a lane needs next, fetched ahead: from afar a lane would wait for each of its chunks.
//!
//! A walker asks for the next requests of each of its reads before it needs them; threads of their own fetch, in the order of
//! asking. A walker waits only for what it has asked for, so that nothing can wait in a circle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lazarr_format::{ByteRange, Code, Error, Result, Version};
use lazarr_plan::{ArrayRead, Part};

use super::{Exec, POLL};
use crate::ledger::Charge;

/// A request that a lane will need.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) key: String,
    pub(super) range: ByteRange,
    pub(super) version: Option<Version>,
    pub(super) parts: Vec<Part>,
}

/// Bytes that came, and where they begin in their value; `None` where there is none.
pub(super) struct Bytes {
    pub(super) base: Option<u64>,
    pub(super) encoded: Vec<u8>,
    pub(super) charge: Charge,
}

/// A place where the bytes of a request will be.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<(Mutex<Option<Result<Bytes>>>, Condvar)>);

/// A request that is not made yet.
type Waiting = (ArrayRead, Arc<Request>, Place);

/// Requests that wait to be made.
pub(super) struct Feed {
    /// How many requests of each read are asked for ahead.
    pub(super) ahead: usize,
    /// And the walkers that are left.
    state: Mutex<(VecDeque<Waiting>, usize)>,
    more: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// For so many walkers.
    pub(super) fn new(ahead: usize, walkers: usize) -> Self {
        Self { ahead, state: Mutex::new((VecDeque::new(), walkers)), more: Condvar::new() }
    }

    /// Asks for bytes.
    pub(super) fn ask(&self, read: &ArrayRead, request: &Arc<Request>) -> Place {
        let place = Place::default();
        lock(&self.state).0.push_back((read.clone(), request.clone(), place.clone()));
        self.more.notify_one();
        place
    }

    /// A walker has come to its end.
    pub(super) fn leave(&self) {
        lock(&self.state).1 -= 1;
        self.more.notify_all();
    }

    /// Makes requests until no walker is left.
    pub(super) fn serve(&self, exec: &Exec<'_>) -> Result<()> {
        loop {
            let mut state = lock(&self.state);
            let (read, request, place) = loop {
                if let Some(next) = state.0.pop_front() {
                    break next;
                }
                if state.1 == 0 {
                    return Ok(());
                }
                let waited = self.more.wait_timeout(state, POLL);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                exec.wait()?;
            };
            drop(state);
            // Nobody waits for it any more.
            if Arc::strong_count(&place.0) == 1 {
                continue;
            }
            let (mut encoded, mut charge) = (Vec::new(), exec.budget.open());
            let asked = (&*request.key, &request.range, request.version);
            let fetched = exec.fetch(&read, asked, &request.parts, &mut encoded, &mut charge);
            *lock(&place.0.0) = Some(fetched.map(|base| Bytes { base, encoded, charge }));
            place.0.1.notify_all();
        }
    }
}

impl Place {
    /// Waits for the bytes.
    pub(super) fn take(self, check: &dyn Fn() -> Result<()>) -> Result<Bytes> {
        let mut state = lock(&self.0.0);
        loop {
            if let Some(come) = state.take() {
                return come;
            }
            // Whoever fetches holds the other half until it has put something here.
            if Arc::strong_count(&self.0) == 1 {
                return Err(Error::new(Code::Interrupted, "stopped"));
            }
            state = self.0.1.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
            check()?;
        }
    }
}
