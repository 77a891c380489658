//! What the threads hold beside the result.

use lazarr_format::DataType;
use lazarr_plan::{Amount, ArrayRead, Mark, Role};

use crate::exec::far::{most_between, most_requests};
use crate::exec::{Exec, thread_bytes};

/// What the threads hold at once while the reads of one stage run.
#[derive(Default)]
pub(crate) struct Threads {
    /// Threads that work together.
    count: u64,
    /// The largest request.
    encoded: u64,
    /// All requests: together the threads hold no more of them.
    fetched: u64,
    /// The largest chunk that is decoded into scratch, and what its codecs need.
    decoded: u64,
    /// Chunks that are decoded into scratch: no more threads hold one.
    scratch: u64,
    /// Whether a size was not known.
    guessed: bool,
    /// Of a store that is far: the requests that may have come and wait to be decoded, and the most that all may take.
    between: Option<(u64, u64)>,
}

/// Chunks of a thread from which on another one has taken some of them, too.
const FEW: u64 = 4;

impl Threads {
    /// The reads of a stage. `requests` has the largest request of each and the bytes of all, where
    /// they were walked.
    pub(crate) fn of(exec: &Exec<'_>, reads: &[ArrayRead], requests: &[Option<(u64, u64)>]) -> Self {
        let mut out = Self { count: exec.threads_of(reads.iter()) as u64, ..Self::default() };
        let profile = exec.profile();
        if profile.is_distant() {
            out.between = Some((most_requests(profile.slots) as u64, most_between(exec.budget)));
        }
        for (read, request) in reads.iter().zip(requests) {
            if read.chunk_count() == 0 {
                continue;
            }
            let array = &read.array;
            let (bytes, chunks) = match array.inner_bytes() {
                Some(bytes) => (bytes, scratch_chunks(read)),
                None => (array.inner_len().saturating_mul(32), read.chunk_count()),
            };
            // Beside them a store may need something for a while.
            let all = thread_bytes(std::iter::once(read), profile);
            let decoded = bytes.saturating_add(array.chain.scratch_bytes(bytes));
            let beside = profile.overhead.saturating_mul(2);
            let (encoded, fetched) = match request {
                Some((largest, all)) => (largest.saturating_add(beside), *all),
                None => (all.saturating_sub(decoded), u64::MAX),
            };
            out.fetched =
                out.fetched.saturating_add(fetched).saturating_add(beside.saturating_mul(out.count));
            // Of chunks of several lengths the longest is meant.
            out.guessed |= array.inner_bytes().is_none() || request.is_none() || array.grid.is_some();
            out.encoded = out.encoded.max(encoded);
            if chunks > 0 {
                out.decoded = out.decoded.max(decoded);
            } else {
                out.decoded = out.decoded.max(array.chain.scratch_bytes(bytes));
                out.scratch = out.scratch.max(u64::from(out.decoded > 0) * out.count);
            }
            out.scratch = out.scratch.saturating_add(chunks);
        }
        out
    }

    /// Of these bytes, what one thread does not hold if it comes first to all chunks: where they are few, that may be.
    pub(crate) fn by_chance(&self) -> u64 {
        let others = self.count.min(self.scratch).saturating_sub(1);
        if self.scratch >= FEW * self.count {
            return 0;
        }
        let encoded = self.encoded.saturating_mul(self.count).min(self.fetched).saturating_sub(self.encoded);
        encoded.saturating_add(self.decoded.saturating_mul(others))
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> Amount {
        let scratch = self.decoded.saturating_mul(self.count.min(self.scratch));
        let value = match self.between {
            None => self.encoded.saturating_mul(self.count).min(self.fetched),
            // One request always may; shard indices come beside.
            Some((most, bytes)) => self.encoded.saturating_mul(most).min(bytes.saturating_add(self.encoded)),
        };
        let guessed = self.guessed || self.between.is_some();
        let value = value.saturating_add(scratch);
        Amount { value, mark: if guessed { Mark::Upper } else { Mark::Exact } }
    }
}

/// The chunks of a read that are not decoded into the result itself.
fn scratch_chunks(read: &ArrayRead) -> u64 {
    let array = &read.array;
    let chunks = read.chunk_count();
    let same = match read.role {
        Role::Indices => array.dtype == DataType::Int(4),
        Role::Codes => matches!(array.dtype, DataType::Int(_)),
        Role::Indptr => false,
        _ => array.part.is_none(),
    };
    let (Some(axis), Some(&length)) = (read.axes.first(), array.inner_shape().first()) else { return chunks };
    let whole = (1..read.axes.len()).all(|k| {
        array.inner_shape()[k] == array.shape[k]
            && read.axes[k].is_identity_range() == Some(0..array.shape[k])
    });
    match axis.is_identity_range() {
        Some(range) if same && whole && array.grid.is_none() => {
            let edges =
                u64::from(!range.start.is_multiple_of(length)) + u64::from(!range.end.is_multiple_of(length));
            edges.min(chunks)
        }
        _ => chunks,
    }
}

#[cfg(test)]
#[path = "need_tests.rs"]
mod tests;
