//! What a step will read, decode and allocate, before it does.

use std::ops::{Add, AddAssign};

use lazarr_format::Profile;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// How far a number can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// This is what execution does.
    #[default]
    Exact,
    /// Execution never does more.
    Upper,
    /// A guess, from averages.
    Estimate,
}

/// A number and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// The number.
    pub value: u64,
    /// How far it can be trusted.
    pub mark: Mark,
}

impl Amount {
    /// A number that is what execution does.
    pub const fn exact(value: u64) -> Self {
        Self { value, mark: Mark::Exact }
    }
    /// A number that execution never exceeds.
    pub const fn upper(value: u64) -> Self {
        Self { value, mark: Mark::Upper }
    }
    /// A guess.
    pub const fn estimate(value: u64) -> Self {
        Self { value, mark: Mark::Estimate }
    }
    /// The same number, trusted no further than this.
    #[must_use]
    pub fn at_best(self, mark: Mark) -> Self {
        Self { mark: self.mark.max(mark), ..self }
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value.saturating_add(other.value), mark: self.mark.max(other.mark) }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Amount {
    /// The larger number.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.value > self.value { other } else { self }
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("mark", &self.mark)?;
        map.end()
    }
}

/// What is read of one array in one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ArrayPlan {
    /// The path of the array.
    pub path: String,
    /// Touched shards; 0 where the array is not sharded.
    pub shards: Amount,
    /// Touched inner chunks, absent ones included.
    pub chunks: Amount,
    /// All inner chunks of the array.
    pub chunks_total: u64,
    /// Requests, after merging; those for shard indices included.
    pub requests: Amount,
    /// Of those, requests for shard indices that are not in the cache.
    pub index_requests: Amount,
    /// Bytes fetched, gaps and shard indices included.
    pub fetch_bytes: Amount,
    /// Bytes that come out of decoders.
    pub decode_bytes: Amount,
    /// Of the requests, those that the cache on the local disk answers (`cache_dir`).
    pub cached_requests: Amount,
    /// Of the bytes, those that it has.
    pub cached_bytes: Amount,
    /// Which chunks these are, for [`Plan::to_svg`].
    #[serde(skip)]
    pub map: crate::ChunkMap,
}

/// Reads that go out together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct StagePlan {
    /// What the stage is for: `columns of the predicate`, `indptr`, `values`.
    pub name: String,
    /// Dependent round trips: 2 where shard indices must be read first.
    pub round_trips: Amount,
    /// What is read.
    pub arrays: Vec<ArrayPlan>,
}

/// What one element costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ElementPlan {
    /// The path of the element.
    pub path: String,
    /// What it is: `csr_matrix float32 (50000, 20000)`.
    pub what: String,
    /// What is wanted of it: `0:100, :`.
    pub selection: String,
    /// The stages, in order.
    pub stages: Vec<StagePlan>,
    /// Bytes of the result.
    pub output_bytes: Amount,
    /// The most memory at once, the result included.
    pub peak_bytes: Amount,
    /// The small read that would make the numbers exact, where they are not.
    pub resolve: Option<String>,
    /// What is wasteful, and why.
    pub notes: Vec<String>,
}

/// The cost of a step. Made without reading; `Display` is for people, [`Plan::to_json`] for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Plan {
    /// The version of this schema.
    pub schema: String,
    /// The store.
    pub store: String,
    /// What must be read before the elements can be planned exactly: the columns of predicates, names for labels.
    pub selection: Vec<StagePlan>,
    /// What each element costs.
    pub elements: Vec<ElementPlan>,
    /// Inner chunks touched, in all.
    pub chunks: Amount,
    /// Requests, in all.
    pub requests: Amount,
    /// Dependent round trips: stages of all elements go out together.
    pub round_trips: Amount,
    /// Bytes fetched, in all.
    pub fetch_bytes: Amount,
    /// Bytes decoded, in all.
    pub decode_bytes: Amount,
    /// Of the requests, those that the cache on the local disk answers. The store is asked once for each value whether it
    /// is still the same, in a request without bytes.
    pub cached_requests: Amount,
    /// Of the bytes, those that it has.
    pub cached_bytes: Amount,
    /// Bytes of the results, in all.
    pub output_bytes: Amount,
    /// The most memory at once: by how much the process grows.
    pub peak_bytes: Amount,
    /// The limit that holds, in bytes.
    pub memory_limit: u64,
    /// Threads that decode.
    pub threads: usize,
    /// What the numbers assume of caches.
    pub assumes: String,
    /// How far the store is, and what that comes to; none where it is not far.
    pub distance: Option<Distance>,
}

/// How far a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distance {
    /// Microseconds to the first byte of a request.
    pub latency_us: u64,
    /// Bytes a second.
    pub bandwidth: u64,
    /// Microseconds that one more request costs beside others.
    pub request_us: u64,
    /// Where the latency is from: `given`, `measured` or `assumed`.
    pub latency_is: String,
    /// Milliseconds that the requests take: dependent round trips × latency + requests × their cost + bytes / bandwidth.
    pub network_ms: Amount,
}

impl Distance {
    /// Of a store with this profile.
    pub fn of(profile: &Profile, latency_is: &str) -> Self {
        let micros = |seconds: f64| (seconds * 1e6).round() as u64;
        Self {
            latency_us: micros(profile.latency),
            bandwidth: profile.bandwidth as u64,
            request_us: micros(profile.per_request),
            latency_is: latency_is.to_owned(),
            network_ms: Amount::estimate(0),
        }
    }

    fn ms(&self, trips: u64, requests: u64, bytes: u64) -> u64 {
        let us =
            trips.saturating_mul(self.latency_us).saturating_add(requests.saturating_mul(self.request_us));
        us.saturating_add((self.line_ms(bytes) * 1e3) as u64).div_ceil(1000)
    }

    /// Milliseconds that so many bytes take on the line.
    fn line_ms(&self, bytes: u64) -> f64 {
        bytes as f64 / self.bandwidth.max(1) as f64 * 1e3
    }

    /// What at this distance another layout would do better for an element: where most of the time is requests for chunks
    /// that no shard holds together, or bytes that are not in the result. What takes no time is worth no word.
    pub fn advice(&self, element: &ElementPlan) -> Vec<String> {
        let mut out = Vec::new();
        let trips: u64 = element.stages.iter().map(|s| s.round_trips.value).sum();
        let arrays = || element.stages.iter().flat_map(|s| &s.arrays);
        let (requests, bytes) = arrays().fold((0u64, 0u64), |(r, b), a| {
            (r.saturating_add(a.requests.value), b.saturating_add(a.fetch_bytes.value))
        });
        let all = self.ms(trips, requests, bytes) as f64;
        if all < WORTH {
            return out;
        }
        let alone: Vec<_> = arrays().filter(|a| a.shards.value == 0 && a.chunks_total > 1).collect();
        let apart: Amount = alone.iter().map(|a| a.requests).sum();
        if apart.value.saturating_mul(self.request_us) as f64 / 1e3 > all / 2.0 {
            let bytes: Amount = alone.iter().map(|a| a.fetch_bytes).sum();
            let mut paths: Vec<_> = alone.iter().map(|a| format!("`{}`", a.path)).collect();
            paths.dedup();
            out.push(format!(
                "most of the time is {} requests for chunks of about {} which are not sharded ({}): in shards, those \
                 side by side would come in one request",
                apart.count(),
                human_bytes(bytes.value / apart.value.max(1)),
                paths.join(", "),
            ));
        }
        let wanted = element.output_bytes.value;
        if self.line_ms(bytes) > all / 2.0 && bytes > wanted.saturating_mul(4) && wanted > 0 {
            out.push(format!(
                "most of the time is fetching {} for a result of {}: smaller inner chunks would fetch less",
                human_bytes(bytes),
                human_bytes(wanted),
            ));
        }
        out
    }
}

/// Milliseconds of waiting from which on a word about the layout is said.
const WORTH: f64 = 250.0;

impl ElementPlan {
    /// Trusted no further than this: its selection is not known yet. Fewer chunks may need more requests than all of
    /// them, which merge, and a little more bytes between them. `mark` is how far the chunks are trusted, `output` how
    /// far the size of the result.
    pub fn bound(&mut self, mark: Mark, output: Mark) {
        for stage in &mut self.stages {
            stage.round_trips = stage.round_trips.at_best(mark);
            for a in &mut stage.arrays {
                let apart = a.chunks.value.saturating_add(a.index_requests.value);
                a.requests.value = a.requests.value.max(apart);
                a.fetch_bytes = a.fetch_bytes.at_best(Mark::Estimate);
                // What is known of all of them says little of some.
                a.cached_requests = a.cached_requests.at_best(Mark::Estimate);
                a.cached_bytes = a.cached_bytes.at_best(Mark::Estimate);
                for amount in [
                    &mut a.shards,
                    &mut a.chunks,
                    &mut a.requests,
                    &mut a.index_requests,
                    &mut a.fetch_bytes,
                    &mut a.decode_bytes,
                ] {
                    *amount = amount.at_best(mark);
                }
            }
        }
        self.output_bytes = self.output_bytes.at_best(output);
        self.peak_bytes = self.peak_bytes.at_best(output);
    }
}

impl Plan {
    /// The version of the JSON schema; a field may be added without a new one, never removed.
    pub const SCHEMA: &'static str = "lazarr-plan/1";

    /// What a call takes of the process whatever it reads, and is in every peak: threads, contexts of decoders, code that
    /// runs for the first time, and what the allocator keeps of buffers that have grown. The ledger does not count it.
    pub const PROCESS_BYTES: u64 = 13 << 20;

    /// Adds up the elements; `overhead` is what the threads take beside the results.
    pub fn total(&mut self) {
        let stages = || self.selection.iter().chain(self.elements.iter().flat_map(|e| &e.stages));
        let arrays = || stages().flat_map(|s| &s.arrays);
        self.chunks = arrays().map(|a| a.chunks).sum();
        self.requests = arrays().map(|a| a.requests).sum();
        self.fetch_bytes = arrays().map(|a| a.fetch_bytes).sum();
        self.decode_bytes = arrays().map(|a| a.decode_bytes).sum();
        self.cached_requests = arrays().map(|a| a.cached_requests).sum();
        self.cached_bytes = arrays().map(|a| a.cached_bytes).sum();
        self.output_bytes = self.elements.iter().map(|e| e.output_bytes).sum();
        let select: Amount = self.selection.iter().map(|s| s.round_trips).sum();
        // Stage k of every element goes out together: the longest chain counts.
        let depth = self.elements.iter().map(|e| e.stages.iter().map(|s| s.round_trips).sum::<Amount>());
        let mark = depth.clone().map(|a| a.mark).max().unwrap_or_default();
        let depth = depth.map(|a| a.value).max().unwrap_or(0);
        self.round_trips = select + Amount { value: depth, mark };
        let trips = self.round_trips.value;
        let requests = self.requests.value.saturating_sub(self.cached_requests.value);
        let bytes = self.fetch_bytes.value.saturating_sub(self.cached_bytes.value);
        if let Some(distance) = &mut self.distance {
            distance.network_ms = Amount::estimate(distance.ms(trips, requests, bytes));
        }
    }

    /// Adds up again after stages were added; the peak stays, trusted no further than the results.
    pub fn total_peak(&mut self) {
        let peak = self.peak_bytes;
        self.total();
        self.peak_bytes = peak.at_best(self.output_bytes.mark);
    }

    /// What another step costs that follows this one and keeps no result of it waiting.
    pub fn then(&mut self, other: Self) {
        let peak =
            self.peak_bytes.max(other.peak_bytes).at_best(self.peak_bytes.mark.max(other.peak_bytes.mark));
        let round_trips = self.round_trips + other.round_trips;
        self.selection.extend(other.selection);
        self.elements.extend(other.elements);
        self.total();
        self.peak_bytes = peak;
        self.round_trips = round_trips;
    }

    /// The plan as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Bytes as a person reads them: `4.7 KB`, `612 MB` (powers of 1000).
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes} B"),
        (_, v) if v < 9.95 => format!("{v:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A count with separators: `1,234,567`.
pub fn human_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

impl Mark {
    /// What stands before a number: nothing, `≤ ` or `≈ `.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::Upper => "≤ ",
            Self::Estimate => "≈ ",
        }
    }
}

impl Amount {
    /// As bytes: `≈ 4.7 KB`.
    pub fn bytes(self) -> String {
        format!("{}{}", self.mark.sign(), human_bytes(self.value))
    }
    /// As a count: `≤ 1,234`.
    pub fn count(self) -> String {
        format!("{}{}", self.mark.sign(), human_count(self.value))
    }
}
