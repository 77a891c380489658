//! Byte ranges and what reading them costs: the words that plans and stores share.

use std::ops::Range;

/// Which bytes of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// All of them.
    All,
    /// These; all of them must exist.
    Range(Range<u64>),
    /// The last n; fewer only where the value is shorter.
    Suffix(u64),
}

/// Tells one state of a value from another (size and time of change, an ETag). Equal versions mean equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version(pub u64);

/// What reading from a store costs; decides which neighbouring ranges are read as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Seconds until the first byte of a request.
    pub latency: f64,
    /// Bytes a second, of one request.
    pub bandwidth: f64,
    /// No request that reads more than one chunk is longer than this, in bytes.
    pub max_request: u64,
    /// How many requests may be under way at once.
    pub slots: usize,
    /// Bytes that a request may take for a while beside those it brings: an entry of an archive that must be inflated
    /// first.
    pub overhead: u64,
}

impl Profile {
    /// A local disk with a warm cache: a positioned read costs about two microseconds more than its bytes.
    pub const LOCAL: Self =
        Self { latency: 2e-6, bandwidth: 8e9, max_request: 256 << 10, slots: 32, overhead: 0 };

    /// The largest gap in bytes that is cheaper to read than to skip: two requests cost a second latency, one costs
    /// the gap. Each gap can be judged by itself, so that merging greedily gives the cheapest set of requests.
    pub fn max_gap(&self) -> u64 {
        let gap = self.latency * self.bandwidth;
        if gap.is_finite() && gap > 0.0 { gap as u64 } else { 0 }
    }
}
