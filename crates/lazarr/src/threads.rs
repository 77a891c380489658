//! Shares of work in memory, each on a thread of its own.

use lazarr_format::{Code, Error, Result};

/// Takes each of these on a thread of its own, the first on the caller's; what they give in order, or the first error.
pub(crate) fn apart<S: Send, R: Send>(
    shares: Vec<S>,
    take: &(dyn Fn(S) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    std::thread::scope(|scope| {
        let mut shares = shares.into_iter();
        let own = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || take(share))).collect();
        let mut done: Vec<Result<R>> = own.map(take).into_iter().collect();
        done.extend(others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| Err(Error::new(Code::Internal, "a thread ended unexpectedly")))
        }));
        done.into_iter().collect()
    })
}

/// Neighbours in so many shares, or in fewer; none of them is empty.
pub(crate) fn shares<T>(items: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let most = items.len().div_ceil(count.max(1)).max(1);
    let mut shares: Vec<Vec<T>> = Vec::new();
    for item in items {
        match shares.last_mut().filter(|share| share.len() < most) {
            Some(share) => share.push(item),
            None => shares.push(vec![item]),
        }
    }
    shares
}

#[cfg(test)]
#[path = "threads_tests.rs"]
mod tests;
