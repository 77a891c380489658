//! A web server on loopback that is far away: it serves a folder, and every request waits so many milliseconds first.
//!
//! `serve FOLDER MILLISECONDS` prints its port and ends with its standard input. `GET /-/report` says what was asked since
//! the last time: requests, bytes, and the longest chain of requests of which each came when the one before was answered.
#![allow(clippy::print_stdout, reason = "a program of the bench says what it does")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// When a request came and when it was answered, and the bytes of the answer.
type Asked = (Instant, Instant, u64);

struct State {
    folder: PathBuf,
    delay: Duration,
    asked: Mutex<Vec<Asked>>,
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(folder), Some(delay)) = (words.next(), words.next().and_then(|ms| ms.parse::<f64>().ok()))
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "serve FOLDER MILLISECONDS"));
    };
    let delay = Duration::from_secs_f64(delay / 1e3);
    let state = Arc::new(State { folder: folder.into(), delay, asked: Mutex::default() });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || serve(&stream, &state));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(|_| ())
}

/// The path below the folder that a target names.
fn path(folder: &Path, target: &str) -> Option<PathBuf> {
    let target = target.split('?').next().unwrap_or_default().trim_start_matches('/');
    let mut bytes = Vec::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%').and_then(|h| std::str::from_utf8(h).ok());
        let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    path.components().all(|c| matches!(c, Component::Normal(_))).then(|| folder.join(path))
}

/// The bytes that a header names, of so many.
fn range(text: &str, total: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some(match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(a), Ok(b)) => (a, (b + 1).min(total)),
        (Ok(a), Err(_)) => (a, total),
        (Err(_), Ok(n)) => (total.saturating_sub(n), total),
        _ => return None,
    })
    .filter(|(a, b)| a < b)
}

/// Requests, the longest chain among them, and bytes.
fn report(asked: &mut Vec<Asked>) -> String {
    let mut times = std::mem::take(asked);
    times.sort_by_key(|(_, to, _)| *to);
    let bytes: u64 = times.iter().map(|(_, _, n)| n).sum();
    let (mut chain, mut end): (u64, Option<Instant>) = (0, None);
    for (from, to, _) in &times {
        if end.is_none_or(|end| *from >= end) {
            chain += 1;
            end = Some(*to);
        }
    }
    format!("{{\"requests\": {}, \"round_trips\": {chain}, \"bytes\": {bytes}}}", times.len())
}

fn serve(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let from = Instant::now();
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut asked_range = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("range") {
                asked_range = Some(value.trim().to_owned());
            }
        }
        if target == "/-/report" {
            let text = report(&mut state.asked.lock().unwrap_or_else(PoisonError::into_inner));
            write!(&*stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
            continue;
        }
        std::thread::sleep(state.delay);
        let to = Instant::now();
        let bytes = answer(stream, state, (method, target), asked_range.as_deref())?;
        state.asked.lock().unwrap_or_else(PoisonError::into_inner).push((from, to, bytes));
    }
}

/// Answers, with how many bytes.
fn answer(
    mut stream: &TcpStream,
    state: &State,
    (method, target): (&str, &str),
    asked: Option<&str>,
) -> io::Result<u64> {
    let file = path(&state.folder, target).filter(|p| p.is_file()).map(File::open).transpose()?;
    let Some(mut file) = file else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(0);
    };
    let meta = file.metadata()?;
    let total = meta.len();
    let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let (status, more, (a, b)) = match asked.map(|text| range(text, total)) {
        None => ("200 OK", String::new(), (0, total)),
        Some(Some((a, b))) => {
            let last = b - 1;
            ("206 Partial Content", format!("Content-Range: bytes {a}-{last}/{total}\r\n"), (a, b))
        }
        Some(None) => ("416 Range Not Satisfiable", format!("Content-Range: bytes */{total}\r\n"), (0, 0)),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}ETag: \"{total:x}-{changed:x}\"\r\nAccept-Ranges: bytes\r\n\
         Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\n\r\n",
        b - a
    );
    stream.write_all(head.as_bytes())?;
    if method == "HEAD" {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(a))?;
    io::copy(&mut file.take(b - a), &mut stream)
}
