//! A web server with bad manners: it serves a map of values on loopback, and does to requests what networks do.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 500.
    Broken,
    /// 503.
    Busy,
    /// 429 with `Retry-After: 0`.
    TooMany,
    /// The request is read and never answered.
    Silence,
    /// Half of the body, then nothing.
    Stall,
    /// The connection is reset before there is an answer.
    Reset,
    /// Half of the body, then the end of the connection.
    Cut,
    /// A `Content-Range` of other bytes, and those.
    WrongRange,
    /// Fewer bytes than were asked for, and said so.
    ShortRange,
    /// The whole value, with 200.
    IgnoreRange,
    /// A web page, with 200.
    Portal,
    /// 403.
    Forbidden,
    /// Another value under the same key, from now on; where the key was read before.
    Replace,
    /// A `Content-Length` that contradicts the range.
    WrongLength,
    /// 302 to another host.
    Redirect,
    /// Not HTTP.
    Garbage,
    /// A body that says it is gzip.
    Encoded,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Broken,
        Self::Busy,
        Self::TooMany,
        Self::Silence,
        Self::Stall,
        Self::Reset,
        Self::Cut,
        Self::WrongRange,
        Self::ShortRange,
        Self::IgnoreRange,
        Self::Portal,
        Self::Forbidden,
        Self::Replace,
        Self::WrongLength,
        Self::Redirect,
        Self::Garbage,
        Self::Encoded,
    ];
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The key, decoded.
    pub key: String,
    /// What `Range` said.
    pub range: Option<String>,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When it came, and when it was answered.
    pub time: [Instant; 2],
}

impl Asked {
    /// The longest chain of requests of which each began when the one before was answered: dependent round trips.
    pub fn round_trips(asked: &[Self]) -> usize {
        let mut times: Vec<_> = asked.iter().map(|a| a.time).collect();
        times.sort_by_key(|t| t[1]);
        let mut end: Option<Instant> = None;
        let mut count = 0;
        for [from, to] in times {
            if end.is_none_or(|end| from >= end) {
                count += 1;
                end = Some(to);
            }
        }
        count
    }
}

/// Values, and how often each was replaced.
type Values = BTreeMap<String, (Arc<[u8]>, u64)>;

#[derive(Default)]
struct State {
    values: Mutex<Values>,
    asked: Mutex<Vec<Asked>>,
    /// Which fault, of so many requests one in, from this seed on, so many at most.
    fault: Mutex<Option<(Fault, u64, u64, u64)>>,
    counter: AtomicU64,
    served: Mutex<HashMap<String, u64>>,
    delay: Mutex<Duration>,
    stalled: AtomicU64,
    stop: AtomicBool,
    elsewhere: Mutex<String>,
    tagless: AtomicBool,
}

/// A server on loopback; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves these values.
    pub fn new(values: &BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let values = values.iter().map(|(k, v)| (k.clone(), (v.as_slice().into(), 0)));
        *state.values.lock().unwrap() = values.collect();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(SeqCst) {
                    break;
                }
                let (Ok(stream), state) = (stream, shared.clone()) else { continue };
                std::thread::spawn(move || {
                    let _ = serve(&stream, &state);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    /// The URL of a key.
    pub fn url(&self, key: &str) -> String {
        format!("http://{}/{key}", self.address)
    }

    /// Does this to one of so many requests, chosen by the seed; at most so often.
    pub fn fault(&self, fault: Fault, one_in: u64, seed: u64, most: u64) {
        *self.state.fault.lock().unwrap() = Some((fault, one_in, seed, most));
        self.state.counter.store(0, SeqCst);
    }

    /// No faults any more.
    pub fn behave(&self) {
        *self.state.fault.lock().unwrap() = None;
    }

    /// Every answer waits so long.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// How many answers have stalled so far: half of their bytes are out.
    pub fn stalled(&self) -> u64 {
        self.state.stalled.load(SeqCst)
    }

    /// No ETags.
    pub fn tagless(&self) {
        self.state.tagless.store(true, SeqCst);
    }

    /// Where redirects lead.
    pub fn elsewhere(&self, url: &str) {
        url.clone_into(&mut self.state.elsewhere.lock().unwrap());
    }

    /// Puts another value under a key.
    pub fn replace(&self, key: &str, value: Vec<u8>) {
        let mut values = self.state.values.lock().unwrap();
        let version = values.get(key).map_or(0, |(_, v)| v + 1);
        values.insert(key.to_owned(), (value.into(), version));
    }

    /// The requests since the last time this was asked.
    pub fn take(&self) -> Vec<Asked> {
        self.state.served.lock().unwrap().clear();
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn decode(path: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = path.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).unwrap()
}

/// The bytes that `Range` asks for; an error where there are none.
fn range(text: Option<&str>, total: u64) -> Option<Result<Range<u64>, ()>> {
    let (from, to) = text?.strip_prefix("bytes=")?.split_once('-')?;
    Some(match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(a), _) if a >= total => Err(()),
        (Ok(a), Ok(b)) => Ok(a..(b + 1).min(total)),
        (Ok(a), Err(_)) => Ok(a..total),
        (Err(_), Ok(_)) if total == 0 => Err(()),
        (Err(_), Ok(n)) => Ok(total.saturating_sub(n)..total),
        _ => return None,
    })
}

/// Waits until the server ends, or for long.
fn hang(stream: &TcpStream, state: &State) {
    let mut one = [0];
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    for _ in 0..600 {
        // The other side gives up.
        if state.stop.load(SeqCst) || matches!((&*stream).read(&mut one), Ok(0)) {
            return;
        }
    }
}

fn serve(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || state.stop.load(SeqCst) {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, target) =
            (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("/").to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let key = decode(target.split('?').next().unwrap_or("/").trim_start_matches('/'));
        let time = [Instant::now(); 2];
        let asked = Asked { method, key, range: headers.get("range").cloned(), headers, time };
        let number = {
            let mut all = state.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        let end = answer(stream, state, &asked, number);
        if !end? {
            return Ok(());
        }
    }
}

/// The fault that befalls this request.
fn befalls(state: &State, asked: &Asked, seen: bool) -> Option<Fault> {
    let mut fault = state.fault.lock().unwrap();
    let (kind, one_in, seed, most) = (*fault)?;
    if most == 0 || kind == Fault::Replace && !seen {
        return None;
    }
    let mut hash = DefaultHasher::new();
    (seed, &asked.key, &asked.range, state.counter.fetch_add(1, SeqCst)).hash(&mut hash);
    if !hash.finish().is_multiple_of(one_in) {
        return None;
    }
    *fault = Some((kind, one_in, seed, most - 1));
    Some(kind)
}

/// Answers one request; whether the connection goes on.
fn answer(mut stream: &TcpStream, state: &State, asked: &Asked, number: usize) -> std::io::Result<bool> {
    let delay = *state.delay.lock().unwrap();
    if !delay.is_zero() {
        std::thread::sleep(delay);
    }
    // Before the bytes go out: whoever waits for them cannot ask earlier.
    if let Some(mine) = state.asked.lock().unwrap().get_mut(number).filter(|a| a.key == asked.key) {
        mine.time[1] = Instant::now();
    }
    let seen = {
        let mut served = state.served.lock().unwrap();
        let count = served.entry(asked.key.clone()).or_default();
        *count += 1;
        *count > 1
    };
    let fault = befalls(state, asked, seen);
    if fault == Some(Fault::Replace) {
        let mut values = state.values.lock().unwrap();
        if let Some((value, version)) = values.get_mut(&asked.key) {
            *value = value.iter().rev().copied().collect();
            *version += 1;
        }
    }
    let plain = |status: &str, more: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let said = match fault {
        Some(Fault::Broken) => plain("500 Internal Server Error", "", "oops"),
        Some(Fault::Busy) => plain("503 Service Unavailable", "", ""),
        Some(Fault::TooMany) => plain("429 Too Many Requests", "Retry-After: 0\r\n", ""),
        Some(Fault::Forbidden) => plain("403 Forbidden", "", ""),
        Some(Fault::Portal) => {
            plain("200 OK", "Content-Type: text/html; charset=utf-8\r\n", "<html>Log in</html>")
        }
        Some(Fault::Redirect) => {
            let to = format!("Location: {}\r\n", state.elsewhere.lock().unwrap());
            plain("302 Found", &to, "")
        }
        Some(Fault::Garbage) => "SSH-2.0-OpenSSH_9.6\r\n\r\n".into(),
        Some(Fault::Silence) => {
            hang(stream, state);
            return Ok(false);
        }
        Some(Fault::Reset) => return Ok(false),
        _ => String::new(),
    };
    if !said.is_empty() {
        stream.write_all(said.as_bytes())?;
        return Ok(fault != Some(Fault::Garbage));
    }
    let found = state.values.lock().unwrap().get(&asked.key).cloned();
    let Some((value, version)) = found else {
        stream.write_all(plain("404 Not Found", "", "").as_bytes())?;
        return Ok(true);
    };
    let total = value.len() as u64;
    let tag = if state.tagless.load(SeqCst) { None } else { Some(format!("\"{total}-{version}\"")) };
    if let (Some(tag), Some(known)) = (&tag, asked.headers.get("if-none-match"))
        && known == tag
    {
        stream.write_all(format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n").as_bytes())?;
        return Ok(true);
    }
    let refuses = asked.headers.get("if-match").is_some_and(|m| tag.as_ref() != Some(m));
    if refuses {
        stream.write_all(plain("412 Precondition Failed", "", "").as_bytes())?;
        return Ok(true);
    }
    let wanted = range(asked.range.as_deref(), total).filter(|_| fault != Some(Fault::IgnoreRange));
    let mut head;
    let mut bytes = match wanted {
        Some(Err(())) => {
            let more = format!("Content-Range: bytes */{total}\r\n");
            stream.write_all(plain("416 Range Not Satisfiable", &more, "").as_bytes())?;
            return Ok(true);
        }
        Some(Ok(r)) => {
            let mut r = r;
            match fault {
                Some(Fault::WrongRange) if r.start > 0 => r = r.start - 1..r.end - 1,
                Some(Fault::WrongRange | Fault::ShortRange) if r.end - r.start > 1 => r.end -= 1,
                _ => {}
            }
            let (first, last) = (r.start, r.end - 1);
            head = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}\r\n");
            value[r.start as usize..r.end as usize].to_vec()
        }
        None => {
            head = "HTTP/1.1 200 OK\r\n".to_owned();
            value.to_vec()
        }
    };
    head += &tag.map_or(String::new(), |tag| format!("ETag: {tag}\r\n"));
    if fault == Some(Fault::Encoded) {
        head += "Content-Encoding: gzip\r\n";
    }
    if fault == Some(Fault::WrongLength) && bytes.len() > 1 {
        bytes.truncate(bytes.len() / 2);
    }
    let head = format!("{head}Content-Length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes())?;
    if asked.method == "HEAD" {
        return Ok(true);
    }
    match fault {
        Some(Fault::Stall) => {
            stream.write_all(&bytes[..bytes.len() / 2])?;
            state.stalled.fetch_add(1, SeqCst);
            hang(stream, state);
            Ok(false)
        }
        Some(Fault::Cut) => {
            stream.write_all(&bytes[..bytes.len() / 2])?;
            Ok(false)
        }
        _ => {
            stream.write_all(&bytes)?;
            Ok(true)
        }
    }
}
