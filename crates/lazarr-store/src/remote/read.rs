//! One read: tries, and what lies between them.

use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lazarr_format::{Code, Error, Result};

use super::failure::Failure;
use super::source::{Answer, Span};
use super::{RemoteStore, SPARE, Source};
use crate::store::{ByteRange, Found, Version};

/// The wait before the second try, where there is time; it doubles for each further one, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// A read may take a second longer for so many bytes.
const SLOWEST: f64 = 64e3;

/// Bytes of unknown number are taken so many at a time.
const PIECE: u64 = 256 << 10;

/// What a read came to.
pub(super) enum Read {
    /// Its bytes, from this place of the value on; with the tag of the value.
    Got(Found, u64, Option<String>),
    /// The value is still the one that was known: no bytes.
    Same,
    /// There is no such key.
    Absent,
}

/// Why a try ended.
enum End {
    /// By what may go better.
    Failed(Failure),
    /// By the caller, or by what no try mends.
    Final(Error),
    /// By a value that is still the one that was known.
    Same,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is known of the value after the first answer, and how far it was read.
struct Progress {
    /// Where the bytes that are wanted begin and end in the value.
    span: Option<(u64, Option<u64>)>,
    tag: Option<String>,
    total: Option<u64>,
    version: Version,
    /// Bytes that came.
    got: u64,
    /// Bytes that were reserved.
    reserved: u64,
}

/// The tries of one read, counted.
struct Tries {
    begun: Instant,
    made: u32,
    deadline: Duration,
}

impl Tries {
    fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.begun.elapsed())
    }

    /// Waits no longer than is left.
    async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::time::timeout(self.left(), future).await.map_err(|_| late())
    }
}

impl RemoteStore {
    fn tries(&self) -> Tries {
        Tries { begun: Instant::now(), made: 0, deadline: self.policy.deadline }
    }

    /// Waits before another try, or ends with the error of the last.
    async fn pause(&self, key: &str, tries: &mut Tries, failure: Failure) -> Result<()> {
        tries.made += 1;
        let nth = tries.made;
        if !failure.retry || nth > self.policy.retries {
            return Err(failure.into_error(key, nth));
        }
        let doubled =
            FIRST.min(self.policy.deadline / 50).saturating_mul(1 << (nth - 1).min(16)).min(LONGEST);
        let wait = failure.after.unwrap_or_else(|| doubled.mul_f64(0.5 + 0.5 * random()));
        if wait >= tries.left() {
            return Err(failure.into_error(key, nth));
        }
        // Reads that all fail together do not all go on asking.
        if self.spare.fetch_sub(10, Relaxed) < 10 {
            self.spare.fetch_add(10, Relaxed);
            return Err(failure.into_error(key, nth));
        }
        self.retries.fetch_add(1, Relaxed);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn went_well(&self) {
        if self.spare.load(Relaxed) < SPARE {
            self.spare.fetch_add(1, Relaxed);
        }
    }

    /// Does something that is small until it goes well.
    pub(super) async fn repeat<T, F>(&self, key: &str, act: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.repeat_for(key, 0, act).await
    }

    /// The same, where so many bytes go along.
    pub(super) async fn repeat_for<T, F>(&self, key: &str, bytes: u64, act: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = self.tries();
        tries.deadline += for_bytes(bytes);
        loop {
            let failure = match tries.within(act()).await.and_then(|done| done) {
                Ok(done) => {
                    self.went_well();
                    return Ok(done);
                }
                Err(failure) => failure,
            };
            self.pause(key, &mut tries, failure).await?;
        }
    }

    /// Reads bytes of a key to the end of `out`; `tell` is told how many, and may refuse. `known`: not if the value still has
    /// this tag.
    pub(super) async fn read(
        &self,
        source: &Source,
        (key, range): (&str, &ByteRange),
        known: Option<&str>,
        tell: &dyn Fn(u64) -> Result<()>,
        out: &mut Vec<u8>,
    ) -> Result<Read> {
        if let ByteRange::Range(r) = range
            && r.is_empty()
        {
            // No bytes cannot be asked for; whether there is such a key can.
            let act = || async { source.get(key, &Span::From(0), (None, None), &self.options).await };
            let found = self.repeat(key, act).await?;
            return Ok(found.map_or(Read::Absent, |a| {
                let found = Found { total: a.total, version: a.version(), cached: false };
                Read::Got(found, r.start, None)
            }));
        }
        let before = out.len();
        let mut tries = self.tries();
        let mut so_far = Progress {
            span: match range {
                ByteRange::Range(r) => Some((r.start, Some(r.end))),
                ByteRange::All => Some((0, None)),
                ByteRange::Suffix(_) => None,
            },
            tag: None,
            total: None,
            version: Version::default(),
            got: 0,
            reserved: 0,
        };
        loop {
            let asked = (key, range, known);
            let failure = match self.attempt(source, asked, tell, out, &mut so_far, &mut tries).await {
                Err(End::Same) => {
                    self.went_well();
                    return Ok(Read::Same);
                }
                Ok(found) => {
                    self.went_well();
                    let told = found.filter(|_| so_far.tag.is_some());
                    if let Some(Err(e)) = told.map(|found| self.pin(key, found.version)) {
                        out.truncate(before);
                        return Err(e);
                    }
                    let start = so_far.span.map_or(0, |(start, _)| start);
                    return Ok(found.map_or(Read::Absent, |found| Read::Got(found, start, so_far.tag)));
                }
                Err(End::Final(e)) => {
                    out.truncate(before);
                    return Err(e.key(key));
                }
                Err(End::Failed(failure)) => failure,
            };
            // Where nothing tells two states of the value apart, it is read from its beginning.
            if so_far.tag.is_none() {
                out.truncate(before);
                so_far.got = 0;
                if matches!(range, ByteRange::Suffix(_)) {
                    so_far.span = None;
                }
            }
            if let Err(e) = self.pause(key, &mut tries, failure).await {
                out.truncate(before);
                return Err(match range {
                    ByteRange::Range(r) => e.range(r.clone()),
                    _ => e,
                });
            }
        }
    }

    async fn attempt(
        &self,
        source: &Source,
        (key, range, known): (&str, &ByteRange, Option<&str>),
        tell: &dyn Fn(u64) -> Result<()>,
        out: &mut Vec<u8>,
        so_far: &mut Progress,
        tries: &mut Tries,
    ) -> Result<Option<Found>, End> {
        let span = match (so_far.span, range) {
            (Some((start, None)), _) => Span::From(start + so_far.got),
            (Some((start, Some(end))), _) => Span::Range(start + so_far.got, end),
            (None, ByteRange::Suffix(n)) => Span::Last(*n),
            (None, _) => Span::From(0),
        };
        let tag = so_far.tag.clone();
        let asked = Instant::now();
        let tags = (tag.as_deref(), known.filter(|_| so_far.got == 0));
        let Some(mut answer) = tries.within(source.get(key, &span, tags, &self.options)).await?? else {
            // It was there, and is gone.
            return if so_far.got > 0 { Err(Failure::changed().into()) } else { Ok(None) };
        };
        self.soonest.fetch_min(asked.elapsed().as_micros() as u64, Relaxed);
        if answer.same {
            return Err(End::Same);
        }
        if so_far.got > 0 && (answer.tag != so_far.tag || answer.total != so_far.total) {
            return Err(Failure::changed().into());
        }
        so_far.total = answer.total;
        so_far.version = answer.version();
        so_far.tag.clone_from(&answer.tag);
        let wanted = wanted(range, &answer, key)?;
        so_far.span = Some(wanted);
        let from = wanted.0 + so_far.got;
        let Some(mut skip) = from.checked_sub(answer.start) else {
            return Err(
                Failure::new(Code::StoreAnswer, "the answer begins behind the bytes asked for").into()
            );
        };
        let mut left = wanted.1.map(|end| end - from);
        if let Some(len) = left {
            tries.deadline = self.policy.deadline + for_bytes(so_far.got + len);
            room(so_far, so_far.got + len, tell, out)?;
        }
        while left != Some(0) {
            let Some(piece) = tries.within(answer.body.next()).await? else { break };
            let piece = piece?;
            let dropped = skip.min(piece.len() as u64);
            skip -= dropped;
            let piece = &piece[dropped as usize..];
            let taken = left.map_or(piece.len(), |left| piece.len().min(left as usize));
            let piece = &piece[..taken];
            if left.is_none() && so_far.got + taken as u64 > so_far.reserved {
                let more = PIECE.max(taken as u64).max(so_far.got / 4);
                room(so_far, so_far.got + more, tell, out)?;
                tries.deadline = self.policy.deadline + for_bytes(so_far.got);
            }
            out.extend_from_slice(piece);
            so_far.got += taken as u64;
            left = left.map(|left| left - taken as u64);
        }
        match left {
            Some(0) | None => Ok(Some(Found {
                total: so_far.total.or(Some(so_far.got).filter(|_| left.is_none())),
                version: so_far.version,
                cached: false,
            })),
            Some(left) => Err(Failure::new(Code::StoreIo, "the answer was cut short")
                .again()
                .expected(format!("{left} bytes more"))
                .found("its end")
                .into()),
        }
    }
}

/// Tells what is about to be taken, and makes room for it; once for the same bytes.
fn room(
    so_far: &mut Progress,
    bytes: u64,
    tell: &dyn Fn(u64) -> Result<()>,
    out: &mut Vec<u8>,
) -> Result<(), End> {
    let more = bytes.saturating_sub(so_far.reserved);
    if more > 0 {
        tell(more).map_err(End::Final)?;
        so_far.reserved += more;
    }
    let need = bytes.saturating_sub(so_far.got) as usize;
    if out.capacity() - out.len() < need {
        out.try_reserve_exact(need).map_err(|e| {
            End::Final(
                Error::new(Code::OutOfMemory, format!("{need} bytes could not be allocated")).source(e),
            )
        })?;
    }
    Ok(())
}

/// Which bytes of the value are wanted, as this answer tells its length.
fn wanted(range: &ByteRange, answer: &Answer, key: &str) -> Result<(u64, Option<u64>), End> {
    match range {
        ByteRange::All => Ok((0, answer.total)),
        ByteRange::Range(r) => {
            let end = answer.end.or(answer.total);
            if let Some(end) = end.filter(|end| *end < r.end) {
                let short = Error::new(Code::ChunkLength, "the value ends before the bytes that are needed");
                return Err(End::Final(
                    short
                        .key(key)
                        .range(r.clone())
                        .expected(format!("at least {} bytes", r.end))
                        .found(format!("{end} bytes")),
                ));
            }
            Ok((r.start, Some(r.end)))
        }
        ByteRange::Suffix(n) => match answer.total {
            Some(total) => Ok((total.saturating_sub(*n), Some(total))),
            None => {
                Err(Failure::new(Code::StoreAnswer, "the server does not tell how long the value is").into())
            }
        },
    }
}

/// How much longer a read may take for so many bytes.
fn for_bytes(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / SLOWEST)
}

fn late() -> Failure {
    Failure::new(Code::Timeout, "the store did not answer in time")
        .help("Try again later, or wait longer: retry_timeout in storage_options")
}

/// Between 0 and 1; good enough to spread tries.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(Instant::now()) >> 11;
    bits as f64 / (1u64 << 53) as f64
}
