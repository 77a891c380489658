//! Plain web servers.

use futures_util::StreamExt;
use lazarr_format::{Code, Error, Result};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::client::WORDS;
use super::failure::{Failure, retry_after};
use super::source::{Answer, Span};
use crate::address::{StoreOptions, redacted};

/// A server that ignores ranges sends the whole value: up to so many bytes are taken for those that are wanted.
const WHOLE: u64 = 64 << 20;

/// A folder of a web server.
#[derive(Clone)]
pub(super) struct HttpSource {
    client: reqwest::Client,
    base: Url,
    headers: HeaderMap,
}

impl HttpSource {
    pub(super) fn new(url: &str, options: &StoreOptions, client: reqwest::Client) -> Result<Self> {
        let shown = redacted(url);
        let mut base = Url::parse(url).map_err(|e| {
            Error::new(Code::StoreUrl, format!("`{shown}` is not a URL")).source(e.to_string())
        })?;
        if base.host_str().is_none_or(str::is_empty) {
            return Err(Error::new(Code::StoreUrl, format!("`{shown}` names no host")));
        }
        let own = StoreOptions::OWN.map(|(name, _)| name);
        let known = |name: &str| {
            own.contains(&name)
                || WORDS.contains(&name)
                || matches!(name, "username" | "password" | "bearer_token")
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in options.iter() {
            let Some(header) = name.strip_prefix("header.") else {
                if known(name) {
                    continue;
                }
                return Err(unknown(name, &[], "http"));
            };
            let wrong = || Error::new(Code::StoreUrl, format!("the option `{name}` is not a header of HTTP"));
            let header = HeaderName::try_from(header).map_err(|_| wrong())?;
            headers.insert(header, secret(value).ok_or_else(wrong)?);
        }
        let decoded = |text: &str| percent_decode(text);
        let user = options.get("username").map_or_else(|| decoded(base.username()), str::to_owned);
        let password = options.get("password").map(str::to_owned).or_else(|| base.password().map(decoded));
        let wrong = |()| Error::new(Code::StoreUrl, format!("`{shown}` cannot have a user"));
        base.set_username("").map_err(wrong)?;
        base.set_password(None).map_err(wrong)?;
        base.set_fragment(None);
        let token = options.get("bearer_token").map(|token| format!("Bearer {token}"));
        let basic = (!user.is_empty() || password.is_some()).then(|| basic(&user, password.as_deref()));
        if let Some(value) = token.or(basic) {
            let wrong = || Error::new(Code::StoreUrl, "the credentials cannot be sent in a header");
            headers.insert(header::AUTHORIZATION, secret(&value).ok_or_else(wrong)?);
        }
        Ok(Self { client, base, headers })
    }

    /// What tells this store from others: all that is sent, for a server may answer by any of it. Secret.
    pub(super) fn identity(&self) -> String {
        let mut headers: Vec<_> = self.headers.iter().map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
        headers.sort_unstable();
        format!("{}\n{headers:?}", self.base)
    }

    fn url(&self, key: &str) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(key.split('/').filter(|part| !part.is_empty())),
            Err(()) => return Err(Failure::new(Code::StoreUrl, "the URL has no path")),
        };
        Ok(url)
    }

    async fn send(&self, key: &str, method: Method, more: HeaderMap) -> Result<Response, Failure> {
        let mut request = reqwest::Request::new(method, self.url(key)?);
        let mut headers = self.headers.clone();
        headers.extend(more);
        *request.headers_mut() = headers;
        self.client.execute(request).await.map_err(Failure::client)
    }

    /// One try at these bytes; `None` where there is no such key. `tag`: only of this state. `known`: only of another.
    pub(super) async fn get(
        &self,
        key: &str,
        span: &Span,
        tag: Option<&str>,
        known: Option<&str>,
    ) -> Result<Option<Answer>, Failure> {
        let mut headers = HeaderMap::new();
        let asked = match span {
            Span::From(0) => None,
            Span::From(a) => Some(format!("bytes={a}-")),
            Span::Range(a, b) => Some(format!("bytes={a}-{}", b.saturating_sub(1))),
            Span::Last(n) => Some(format!("bytes=-{n}")),
        };
        if let Some(value) = asked.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(header::RANGE, value);
        }
        let strong = tag.filter(|tag| tag.starts_with('"')).and_then(|tag| HeaderValue::from_str(tag).ok());
        if let Some(value) = strong {
            headers.insert(header::IF_MATCH, value);
        }
        if let Some(value) = known.and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.insert(header::IF_NONE_MATCH, value);
        }
        let answer = self.send(key, Method::GET, headers).await?;
        let status = answer.status();
        match status {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Some(Answer::same())),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            StatusCode::RANGE_NOT_SATISFIABLE => return beyond(&answer, span).map(Some),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            _ => return Err(Failure::status(status.as_u16(), retry_after(answer.headers()))),
        }
        plain(&answer)?;
        let length = number(answer.headers(), header::CONTENT_LENGTH);
        let tag = tag_of(answer.headers());
        let whole = status == StatusCode::OK;
        let (start, end, total) = if whole {
            if asked.is_some() && length.is_none_or(|n| n > WHOLE) {
                return Err(Failure::new(
                    Code::StoreAnswer,
                    "the server ignores the range that is asked for",
                )
                .expected("the bytes of a range")
                .found(length.map_or("a value of unknown length".into(), |n| format!("all {n} bytes")))
                .help("Serve the store with a server that knows Range, or copy it"));
            }
            (0, length, length)
        } else {
            let (start, end, total) = part(&answer, span)?;
            if length.is_some_and(|n| n != end - start) {
                return Err(Failure::new(
                    Code::StoreAnswer,
                    "the length of the answer contradicts its range",
                )
                .again()
                .expected(format!("{} bytes", end - start))
                .found(format!("{} bytes", length.unwrap_or(0))));
            }
            (start, Some(end), total)
        };
        let body = answer.bytes_stream().map(|piece| piece.map_err(Failure::client)).boxed();
        Ok(Some(Answer { start, end, total, tag, same: false, body }))
    }

    /// The length of a value; `None` where there is no such key.
    pub(super) async fn size(&self, key: &str) -> Result<Option<u64>, Failure> {
        let answer = self.send(key, Method::HEAD, HeaderMap::new()).await?;
        let status = answer.status();
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(None);
        }
        if status == StatusCode::OK {
            plain(&answer)?;
            if let Some(length) = number(answer.headers(), header::CONTENT_LENGTH) {
                return Ok(Some(length));
            }
        }
        // A server that knows no HEAD, or whose signed URLs allow GET alone: a byte tells as well.
        match self.get(key, &Span::Range(0, 1), None, None).await? {
            None => Ok(None),
            Some(Answer { total: Some(total), .. }) => Ok(Some(total)),
            Some(_) => Err(Failure::new(Code::StoreAnswer, "the server does not tell how long the value is")),
        }
    }
}

/// The error of a word that is not known.
pub(super) fn unknown(name: &str, more: &[&str], scheme: &str) -> Error {
    let own = StoreOptions::OWN.map(|(name, _)| name);
    let names = own.iter().chain(&WORDS).chain(more).copied().collect::<Vec<_>>().join(", ");
    Error::new(Code::StoreUrl, format!("there is no option `{name}` for {scheme} stores"))
        .help(format!("Known are {names}, and those that object_store has for such stores"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decode(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn basic(user: &str, password: Option<&str>) -> String {
    use base64::Engine;
    let pair = format!("{user}:{}", password.unwrap_or_default());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The ETag, or when the value was changed.
fn tag_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    text(header::ETAG).or_else(|| text(header::LAST_MODIFIED))
}

/// That the answer is the value, and not something about it.
fn plain(answer: &Response) -> Result<(), Failure> {
    let text =
        |name| answer.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).to_ascii_lowercase();
    if kind.starts_with("text/html") {
        return Err(Failure::new(Code::StoreAnswer, "the answer is a web page, not a value of the store").help(
            "Check the address; a network that asks to log in answers so, and so do sites with a page for \
             whatever is not there",
        ));
    }
    let coding = text(header::CONTENT_ENCODING);
    if !matches!(coding, "" | "identity") {
        return Err(Failure::new(Code::StoreAnswer, "the server encodes values on their way")
            .expected("the bytes as they are stored")
            .found(format!("content-encoding {coding}")));
    }
    Ok(())
}

/// `Content-Range` of an answer, which must be what was asked for.
fn part(answer: &Response, span: &Span) -> Result<(u64, u64, Option<u64>), Failure> {
    let text = answer.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let wrong = |expected: String| {
        Failure::new(Code::StoreAnswer, "the server sent other bytes than those asked for")
            .again()
            .expected(expected)
            .found(if text.is_empty() { "no Content-Range".to_owned() } else { text.to_owned() })
    };
    let parsed = || {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        let total = match total.trim() {
            "*" => None,
            n => Some(n.parse::<u64>().ok()?),
        };
        let end = last.checked_add(1)?;
        (first <= last && total.is_none_or(|n| end <= n)).then_some((first, end, total))
    };
    let Some((start, end, total)) = parsed() else { return Err(wrong("a Content-Range".into())) };
    let fits = match *span {
        Span::From(a) => start == a && total.is_none_or(|n| n == end),
        // A value that is shorter is told apart by its length.
        Span::Range(a, b) => start == a && (end == b || end < b && total == Some(end)),
        Span::Last(n) => total.is_some_and(|t| end == t && end - start == n.min(t)),
    };
    if fits { Ok((start, end, total)) } else { Err(wrong(format!("{span:?}"))) }
}

/// A range that begins behind the end of the value: an answer without bytes.
fn beyond(answer: &Response, span: &Span) -> Result<Answer, Failure> {
    let text = answer.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let total = text.trim().strip_prefix("bytes */").and_then(|n| n.parse::<u64>().ok());
    let possible = match *span {
        Span::From(a) => total.is_none_or(|n| n == a),
        Span::Range(a, _) => total.is_none_or(|n| n <= a),
        Span::Last(_) => total.is_none_or(|n| n == 0),
    };
    if !possible {
        return Err(Failure::status(416, None).again());
    }
    let at = total.unwrap_or(0);
    let body = futures_util::stream::empty().boxed();
    Ok(Answer { start: at, end: Some(at), total: Some(at), tag: tag_of(answer.headers()), same: false, body })
}
