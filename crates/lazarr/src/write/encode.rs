//! All threads encode the chunks of a batch; threads with shares of their own.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lazarr_format::encode::Encoder;
use lazarr_format::{Code, Error, Result};

/// Less than this is not worth a thread.
const SMALL: u64 = 256 << 10;

/// Does something to each of `count` chunks, of so many bytes in all; the results in order.
pub(super) fn each<R: Send>(
    encoders: &mut [Encoder],
    count: usize,
    bytes: u64,
    act: &(dyn Fn(&mut Encoder, usize) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    let threads = encoders.len().min(count);
    if threads <= 1 || bytes < SMALL {
        let Some(encoder) = encoders.first_mut() else {
            return Err(Error::new(Code::Internal, "there is no encoder"));
        };
        return (0..count).map(|i| act(encoder, i)).collect();
    }
    let next = AtomicUsize::new(0);
    let run = |encoder: &mut Encoder| {
        let mut done = Vec::with_capacity(count / threads + 1);
        loop {
            let i = next.fetch_add(1, Relaxed);
            if i >= count {
                return Ok(done);
            }
            match act(encoder, i) {
                Ok(result) => done.push((i, result)),
                Err(e) => {
                    next.store(count, Relaxed); // the others stop, too
                    return Err(e);
                }
            }
        }
    };
    let parts = std::thread::scope(|scope| {
        let mut all = encoders.iter_mut().take(threads);
        let own = all.next();
        let others: Vec<_> = all.map(|encoder| scope.spawn(|| run(encoder))).collect();
        let mut parts: Vec<Result<Vec<(usize, R)>>> = own.map(run).into_iter().collect();
        parts.extend(others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| Err(Error::new(Code::Internal, "a thread ended unexpectedly")))
        }));
        parts
    });
    let mut done = Vec::with_capacity(count);
    for part in parts {
        done.extend(part?);
    }
    done.sort_unstable_by_key(|(i, _)| *i);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
