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
    /// Bytes a second.
    pub bandwidth: f64,
    /// Seconds that one more request costs beside its bytes, where others are under way: its latency, shared by the slots.
    pub per_request: f64,
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
    pub const LOCAL: Self = Self {
        latency: 2e-6,
        bandwidth: 8e9,
        per_request: 2e-6,
        max_request: 256 << 10,
        slots: 32,
        overhead: 0,
    };

    /// An object store in the same region, or a web server: 50 ms to the first byte, 100 MB/s.
    pub const REMOTE: Self = Self {
        latency: 0.05,
        bandwidth: 100e6,
        per_request: 0.05 / 32.0,
        max_request: 8 << 20,
        slots: 32,
        overhead: 0,
    };

    /// Whether waiting takes longer than decoding, so that many requests go out at once.
    pub fn is_distant(&self) -> bool {
        self.latency >= 2e-4
    }

    /// Seconds that requests take: each dependent round trip waits for its first byte, each request costs its share, and
    /// the bytes come through one line.
    pub fn seconds(&self, round_trips: u64, requests: u64, bytes: u64) -> f64 {
        round_trips as f64 * self.latency
            + requests as f64 * self.per_request
            + bytes as f64 / self.bandwidth.max(1.0)
    }

    /// The largest gap in bytes that is cheaper to read than to skip: two requests cost a second request, one
    /// costs the gap. Each gap can be judged by itself, so that merging greedily gives the cheapest set of requests.
    pub fn max_gap(&self) -> u64 {
        let gap = self.per_request * self.bandwidth;
        if gap.is_finite() && gap > 0.0 { gap as u64 } else { 0 }
    }
}
