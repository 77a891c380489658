//! One run: fetch and decode each place once, with all threads; write the bytes of the result.
#![allow(unsafe_code, reason = "threads write disjoint shares of one result")]

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::array::Place;
use crate::codec::Decoder;
use crate::job::Work;
use crate::pages::{self, Fresh, PIECE, Way};

/// Neighbouring chunks up to this many bytes are read at once.
const READ: u64 = 256 << 10;
/// Below this much to decode a second thread costs more than it brings.
const ALONE: usize = 128 << 10;

/// Chunks that lie side by side, fetched in one read.
struct Group {
    first: usize,
    count: usize,
    offset: u64,
    len: usize,
}

/// What all threads share.
pub(crate) struct Shared {
    places: Vec<Place>,
    groups: Vec<Group>,
    /// Groups that a thread takes at once.
    batch: usize,
    pub(crate) encoded: usize,
    pub(crate) result: usize,
}

/// One run, while it lasts.
struct Round {
    fresh: Option<Fresh>,
    pieces: usize,
    next_piece: AtomicUsize,
    next_group: AtomicUsize,
    decoded: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(mut work: Work, threads: usize) -> Self {
        work.places.sort_by_key(|place| (place.number, place.offset));
        let mut groups: Vec<Group> = Vec::new();
        for (i, place) in work.places.iter().enumerate() {
            if let Some(last) = groups.last_mut()
                && work.places[last.first].number == place.number
                && last.offset + last.len as u64 == place.offset
                && (last.len + place.len) as u64 <= READ
            {
                last.count += 1;
                last.len += place.len;
                continue;
            }
            groups.push(Group { first: i, count: 1, offset: place.offset, len: place.len });
        }
        let encoded = work.places.iter().map(|place| place.len).sum();
        let batch = (groups.len() / (threads * 64)).clamp(1, 16);
        Self { places: work.places, groups, batch, encoded, result: work.result }
    }

    pub(crate) fn chunks(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn reads(&self) -> usize {
        self.groups.len()
    }

    fn work(&self, round: &Round, own: &mut Own) -> Result<(), String> {
        if let Some(fresh) = &round.fresh {
            loop {
                let piece = round.next_piece.fetch_add(1, Ordering::Relaxed);
                if piece >= round.pieces {
                    break;
                }
                fresh.populate(piece);
            }
        }
        let mut decoded = 0;
        loop {
            let start = round.next_group.fetch_add(self.batch, Ordering::Relaxed);
            if start >= self.groups.len() {
                round.decoded.fetch_add(decoded, Ordering::Relaxed);
                return Ok(());
            }
            for i in start..(start + self.batch).min(self.groups.len()) {
                decoded += self.group(i, round, own)?;
            }
        }
    }

    fn group(&self, i: usize, round: &Round, own: &mut Own) -> Result<usize, String> {
        let group = &self.groups[i];
        if own.encoded.len() < group.len {
            own.encoded.resize(group.len, 0);
        }
        let encoded = &mut own.encoded[..group.len];
        self.places[group.first].file.read_exact_at(encoded, group.offset).map_err(|e| e.to_string())?;
        let mut decoded = 0;
        // The part of the result that is this group's by its place among them, written from what is in the caches.
        let share = |chunk: usize| {
            let all = self.places.len() as u128;
            (self.result as u128 * chunk as u128 / all) as usize
        };
        for (n, place) in self.places[group.first..group.first + group.count].iter().enumerate() {
            let start = (place.offset - group.offset) as usize;
            let bytes = own.decoder.decode(place.codec, &encoded[start..start + place.len - place.tail])?;
            decoded += bytes.len();
            if let Some(fresh) = &round.fresh {
                let chunk = group.first + n;
                // SAFETY: each chunk has a share of its own, and is decoded by one thread.
                unsafe { fresh.write(share(chunk), share(chunk + 1), bytes) };
            }
        }
        Ok(decoded)
    }
}

/// What a thread keeps between runs.
struct Own {
    decoder: Decoder,
    encoded: Vec<u8>,
}

impl Own {
    fn new() -> Self {
        Self { decoder: Decoder::new(), encoded: Vec::new() }
    }
}

type Answer = Result<(), String>;
/// Where a thread is given rounds, where it answers, and itself.
type Helper = (mpsc::Sender<Arc<Round>>, mpsc::Receiver<Answer>, JoinHandle<()>);

/// The threads, and the work that they run over and over.
pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    own: Own,
    helpers: Vec<Helper>,
    /// Decoded bytes; known after the first run.
    pub(crate) decoded: usize,
}

/// What a run took.
pub(crate) struct Lap {
    pub(crate) seconds: f64,
    /// Seconds of the processor, of all threads: steadier than the clock where others are at work.
    pub(crate) cpu: f64,
    pub(crate) way: Way,
}

impl Runner {
    pub(crate) fn new(shared: Shared, threads: usize) -> Self {
        let shared = Arc::new(shared);
        let helpers = (1..threads)
            .map(|_| {
                let (send, receive) = mpsc::channel::<Arc<Round>>();
                let (answer, answers) = mpsc::channel();
                let shared = Arc::clone(&shared);
                let handle = std::thread::spawn(move || {
                    let mut own = Own::new();
                    for round in receive {
                        let done = shared.work(&round, &mut own);
                        drop(round);
                        if answer.send(done).is_err() {
                            return;
                        }
                    }
                });
                (send, answers, handle)
            })
            .collect();
        Self { shared, own: Own::new(), helpers, decoded: usize::MAX }
    }

    pub(crate) fn run(&mut self, way: Way) -> Result<Lap, String> {
        let cpu = pages::processor_seconds();
        let started = Instant::now();
        let result = self.shared.result;
        let round = Arc::new(Round {
            fresh: if result > 0 { Some(Fresh::new(result, way)?) } else { None },
            pieces: if way == Way::Populated { result.div_ceil(PIECE) } else { 0 },
            next_piece: AtomicUsize::new(0),
            next_group: AtomicUsize::new(0),
            decoded: AtomicUsize::new(0),
        });
        let alone = self.shared.groups.len() < 2 || self.decoded < ALONE;
        let helpers = if alone { &self.helpers[..0] } else { &self.helpers[..] };
        for (send, _, _) in helpers {
            send.send(Arc::clone(&round)).map_err(|_| "a thread has ended")?;
        }
        let mut done = self.shared.work(&round, &mut self.own);
        for (_, answers, _) in helpers {
            done = done.and(answers.recv().map_err(|_| "a thread has ended")?);
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu = pages::processor_seconds() - cpu;
        done?;
        self.decoded = round.decoded.load(Ordering::Relaxed);
        Ok(Lap { seconds, cpu, way })
    }
}
