//! Stores over a network.
//!
//! A [`RemoteStore`] is read like any other: `get` waits on the calling thread, while a small runtime of the process moves
//! the bytes. One read is one or more tries: what may pass (5xx, 429, timeouts, broken connections) is tried again, within a
//! number of tries, a time, and a budget that all reads of a store share, so that a server in trouble is not stormed. A
//! body that is cut short is taken up where it ended, if it is still the same value. What the server says of the bytes it
//! sends (Content-Range, ETag, lengths) is compared with what was asked for. Nothing that is not the value itself passes for
//! it: not a web page, not other bytes, not silence.

#[cfg(unix)]
mod change;
#[cfg(unix)]
mod claim;
mod client;
mod cloud;
mod disk;
#[cfg(unix)]
mod draft;
mod failure;
#[cfg(unix)]
mod far;
mod http;
#[cfg(unix)]
mod journal;
#[cfg(unix)]
mod put;
mod read;
mod runtime;
mod source;
#[cfg(unix)]
mod upload;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazarr_format::{Code, Error, Result};
use tokio::sync::Semaphore;

use crate::address::{StoreOptions, redacted, scheme};
use crate::store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};
use cloud::CloudSource;
use disk::Disk;
#[cfg(unix)]
pub use draft::RemoteDraft;
use failure::Failure;
use http::HttpSource;
use read::Read;
pub use runtime::is_clearing;
use source::{Answer, Span};

/// A store at a URL: `s3://`, `gs://`, `az://`, `http://`, `https://`.
pub struct RemoteStore {
    url: String,
    shown: String,
    scheme: String,
    options: StoreOptions,
    profile: Profile,
    policy: Policy,
    /// Connections do not survive a fork: those of another process are made anew.
    source: Mutex<(u32, Source, Arc<Semaphore>)>,
    /// What was read before, on the local disk.
    disk: Option<Disk>,
    /// What is left for tries after the first, in tenths.
    spare: AtomicI64,
    /// Tries after the first, ever.
    retries: AtomicU64,
    /// The state of each value when it was first read, by a hash of its key: what is read again must be the same.
    pins: Mutex<HashMap<u64, Version>>,
    /// The shortest time to a first byte, in microseconds.
    soonest: AtomicU64,
}

/// How one read is repeated.
#[derive(Debug, Clone, Copy)]
struct Policy {
    retries: u32,
    deadline: Duration,
}

#[derive(Clone)]
enum Source {
    Http(HttpSource),
    Cloud(CloudSource),
}

/// So many tries after the first may be made at once, in tenths; a read that goes well gives one tenth back.
const SPARE: i64 = 480;

/// So many values are pinned to the state in which they were first read: two megabytes.
const PINS: usize = 1 << 16;

/// The schemes that are read here.
const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http"];

impl RemoteStore {
    /// Whether stores of this scheme are read here.
    pub fn knows(scheme: &str) -> bool {
        SCHEMES.contains(&scheme) || scheme == "https"
    }

    /// Sets the store up; nothing is read.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Self> {
        let shown = redacted(url);
        let Some(scheme) = scheme(url).filter(|s| Self::knows(s)) else {
            return Err(Error::new(Code::StoreUrl, format!("`{shown}` is not a URL that can be read"))
                .expected("s3://, gs://, az://, http:// or https://"));
        };
        let remote = Profile::REMOTE;
        let positive = |name: &str, default: f64| -> Result<f64> {
            let told = if name == "bandwidth" { options.bytes(name)? } else { options.number(name)? };
            let n = told.unwrap_or(default);
            if n > 0.0 {
                Ok(n)
            } else {
                Err(Error::new(Code::StoreUrl, format!("the option `{name}` must be more than 0")))
            }
        };
        let slots = (positive("slots", remote.slots as f64)? as usize).clamp(1, 256);
        let latency = positive("latency", remote.latency)?;
        let profile = Profile {
            latency,
            bandwidth: positive("bandwidth", remote.bandwidth)?,
            per_request: latency / slots as f64,
            slots,
            ..remote
        };
        let policy = Policy {
            retries: options.number("max_retries")?.unwrap_or(4.0).min(100.0) as u32,
            deadline: Duration::from_secs_f64(positive("retry_timeout", 60.0)?.min(86400.0)),
        };
        let source = Source::new(url, &scheme, options)?;
        let disk = Disk::new(&source.identity(), options)?;
        Ok(Self {
            url: url.to_owned(),
            shown: shown.trim_end_matches('/').to_owned(),
            scheme,
            options: options.clone(),
            profile,
            policy,
            source: Mutex::new((std::process::id(), source, Arc::new(Semaphore::new(slots)))),
            disk,
            spare: AtomicI64::new(SPARE),
            retries: AtomicU64::new(0),
            pins: Mutex::default(),
            soonest: AtomicU64::new(u64::MAX),
        })
    }

    /// Tries after the first that were made so far.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Errors where a value is not what it was when it was first read.
    fn pin(&self, key: &str, version: Version) -> Result<()> {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let full = pins.len() >= PINS;
        match pins.entry(hash.finish()) {
            Entry::Occupied(first) if *first.get() != version => {
                Err(Error::new(Code::StoreChanged, "the value was changed since it was first read")
                    .key(key)
                    .help("Open the store again"))
            }
            Entry::Vacant(place) if !full => {
                place.insert(version);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The state of a value when it was first read.
    fn pinned(&self, key: &str) -> Option<Version> {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        self.pins.lock().unwrap_or_else(PoisonError::into_inner).get(&hash.finish()).copied()
    }

    /// The source, and its slots: calls that run at the same time share them.
    fn source(&self) -> Result<(Source, Arc<Semaphore>)> {
        let process = std::process::id();
        let mut known = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != process {
            let made = Source::new(&self.url, &self.scheme, &self.options)?;
            let slots = Arc::new(Semaphore::new(self.profile.slots));
            std::mem::forget(std::mem::replace(&mut *known, (process, made, slots)));
        }
        Ok((known.1.clone(), known.2.clone()))
    }

    /// Reads over the network; `known`: not if the value still has this tag. What comes is kept on the disk.
    fn fetch(
        &self,
        (key, range): (&str, &ByteRange),
        known: Option<&str>,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Read> {
        let (source, slots) = self.source()?;
        let before = out.len();
        let reserve = RefCell::new(reserve);
        let tell = &|n: u64| (reserve.borrow_mut())(n);
        let read = runtime::wait_for(&mut || tell(0), async {
            let _slot = slots.acquire().await;
            self.read(&source, (key, range), known, tell, out).await
        })?;
        if let (Some(disk), Read::Got(Found { total: Some(total), .. }, start, Some(tag))) =
            (&self.disk, &read)
            && tag.starts_with('"')
        {
            disk.keep(key, tag, *total, *start, &out[before..]);
        }
        Ok(read)
    }

    /// Bytes from the disk, to the end of `out`, or what the server says instead: it is asked once whether the value is still
    /// the same. `None` where nothing is there, or not any more.
    fn recall(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Read>> {
        let pinned = self.pinned(key);
        let Some((disk, kept)) = self.disk.as_ref().and_then(|d| Some((d, d.find(key, range, pinned)?)))
        else {
            return Ok(None);
        };
        if pinned.is_none() {
            let read = self.fetch((key, range), Some(&kept.tag), reserve, out)?;
            match &read {
                Read::Same => self.pin(key, kept.version)?,
                Read::Absent => disk.forget(key, None),
                Read::Got(_, _, tag) => disk.forget(key, tag.as_deref()),
            }
            if !matches!(read, Read::Same) {
                return Ok(Some(read));
            }
        }
        reserve(kept.bytes())?;
        let found = Found { total: Some(kept.total), version: kept.version, cached: true };
        Ok(kept.load(out).then_some(Read::Got(found, 0, None)))
    }
}

impl Source {
    fn new(url: &str, scheme: &str, options: &StoreOptions) -> Result<Self> {
        let client = client::client(options)?;
        Ok(if scheme.starts_with("http") {
            Self::Http(HttpSource::new(url, options, client)?)
        } else {
            Self::Cloud(runtime::within(|| CloudSource::new(url, scheme, options, &client))??)
        })
    }

    /// What tells the store from others. May hold secrets: it is hashed, and never shown.
    fn identity(&self) -> String {
        match self {
            Self::Http(http) => http.identity(),
            Self::Cloud(cloud) => cloud.identity(),
        }
    }

    async fn get(
        &self,
        key: &str,
        span: &Span,
        (tag, known): (Option<&str>, Option<&str>),
        options: &StoreOptions,
    ) -> Result<Option<Answer>, Failure> {
        match self {
            Self::Http(http) => http.get(key, span, tag, known).await,
            Self::Cloud(cloud) => cloud.get(key, span, (tag, known), options).await,
        }
    }
}

/// Without options and without what the URL may hide.
impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteStore({})", self.shown)
    }
}

impl Store for RemoteStore {
    fn name(&self) -> String {
        self.shown.clone()
    }

    fn get(
        &self,
        key: &str,
        range: &ByteRange,
        reserve: Reserve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let read = match self.recall(key, range, reserve, out)? {
            Some(read) => read,
            None => self.fetch((key, range), None, reserve, out)?,
        };
        match read {
            Read::Got(found, ..) => Ok(Some(found)),
            Read::Same | Read::Absent => Ok(None),
        }
    }

    fn cached(&self, key: &str, range: &ByteRange) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.find(key, range, self.pinned(key)).is_some())
    }

    fn size(&self, key: &str, wait: Reserve<'_>) -> Result<Option<u64>> {
        let (source, slots) = self.source()?;
        runtime::wait_for(&mut || wait(0), async {
            let _slot = slots.acquire().await;
            self.repeat(key, || async {
                match &source {
                    Source::Http(http) => http.size(key).await,
                    Source::Cloud(cloud) => cloud.size(key, &self.options).await,
                }
            })
            .await
        })
    }

    fn list(&self, prefix: &str, wait: Reserve<'_>) -> Result<Option<Listing>> {
        let (Source::Cloud(cloud), _) = self.source()? else { return Ok(None) };
        let cloud = &cloud;
        let listed = runtime::wait_for(&mut || wait(0), async {
            self.repeat(prefix, || async { cloud.list(prefix, &self.options).await }).await
        });
        match listed {
            // A store that may be read and not listed is like a web server.
            Err(e) if e.code() == Code::Forbidden => Ok(None),
            listed => listed.map(Some),
        }
    }

    fn profile(&self) -> Profile {
        self.profile
    }

    fn distance(&self) -> (Profile, &'static str) {
        let soonest = self.soonest.load(Relaxed);
        if self.options.get("latency").is_some() {
            (self.profile, "given")
        } else if soonest < u64::MAX {
            let latency = soonest as f64 / 1e6;
            let measured =
                Profile { latency, per_request: latency / self.profile.slots as f64, ..self.profile };
            (measured, "measured")
        } else {
            (self.profile, "assumed")
        }
    }
}

/// Shared as any store is.
impl From<RemoteStore> for Arc<dyn Store> {
    fn from(store: RemoteStore) -> Self {
        Arc::new(store)
    }
}
