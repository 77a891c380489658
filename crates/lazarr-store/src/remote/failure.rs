//! What can go wrong on the way, and whether to try again.

use std::time::Duration;

use lazarr_format::{Code, Error};

/// Why one try did not bring what was asked for. Its texts hold no URL and no secret.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) what: String,
    pub(super) expected: Option<String>,
    pub(super) found: Option<String>,
    pub(super) help: Option<&'static str>,
    /// Whether another try may go better.
    pub(super) retry: bool,
    /// How long the server asks to wait.
    pub(super) after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), expected: None, found: None, help: None, retry: false, after: None }
    }

    pub(super) fn again(self) -> Self {
        Self { retry: true, ..self }
    }

    pub(super) fn expected(self, text: impl Into<String>) -> Self {
        Self { expected: Some(text.into()), ..self }
    }

    pub(super) fn found(self, text: impl Into<String>) -> Self {
        Self { found: Some(text.into()), ..self }
    }

    pub(super) fn help(self, text: &'static str) -> Self {
        Self { help: Some(text), ..self }
    }

    /// What a status says that is no answer.
    pub(super) fn status(status: u16, after: Option<Duration>) -> Self {
        let found = format!("HTTP status {status}");
        match status {
            401 | 403 => Self::new(Code::Forbidden, "the store does not allow this read").found(found).help(
                "Give credentials (storage_options, or the environment), or skip_signature=true for a public \
                 bucket. S3 says the same of a key that is not there, where listing is not allowed",
            ),
            412 => Self::changed(),
            407 => Self::new(Code::Forbidden, "the proxy asks for credentials").found(found),
            300..=399 => Self::new(Code::Redirected, "the store is said to be elsewhere")
                .found(found)
                .help("Open it by its new address; allow_redirects=true follows to other hosts"),
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                let what = match status {
                    429 => "the server is asked too often",
                    408 | 504 => "the server waited too long",
                    _ => "the server cannot answer now",
                };
                Self { after, ..Self::new(Code::Unavailable, what).found(found).again() }
            }
            _ => Self::new(Code::StoreAnswer, "the server refused").found(found),
        }
    }

    pub(super) fn changed() -> Self {
        Self::new(Code::StoreChanged, "the value was changed while it was read").help("Open the store again")
    }

    /// What the HTTP client says.
    pub(super) fn client(e: reqwest::Error) -> Self {
        let e = e.without_url();
        let mut deepest: &dyn std::error::Error = &e;
        while let Some(below) = deepest.source() {
            deepest = below;
        }
        let why = deepest.to_string();
        if e.is_timeout() {
            return Self::new(Code::Timeout, "the server sent nothing in time").again().help(
                "Try again later, or wait longer: read_timeout and connect_timeout in storage_options",
            );
        }
        if e.is_builder() {
            return Self::new(Code::StoreUrl, format!("the request cannot be made: {why}"));
        }
        if e.is_redirect() {
            return Self::new(Code::Redirected, format!("a redirect leads nowhere: {why}"));
        }
        if e.is_connect() {
            let found = Self::new(Code::StoreIo, format!("the server cannot be reached: {why}"));
            return found.again().help("Check the address and the network");
        }
        Self::new(Code::StoreIo, format!("the connection broke: {why}")).again()
    }

    /// The error that a person reads, after so many tries.
    pub(super) fn into_error(self, key: &str, tries: u32) -> Error {
        let times = if tries > 1 { format!(" ({tries} times)") } else { String::new() };
        let mut error = Error::new(self.code, self.what + &times).key(key);
        if let Some(expected) = self.expected {
            error = error.expected(expected);
        }
        if let Some(found) = self.found {
            error = error.found(found);
        }
        if let Some(help) = self.help {
            error = error.help(help);
        }
        error
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// `Retry-After` in seconds, or as a date.
pub(super) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    // A date is rare, and clocks differ: it counts as a while.
    Some(text.parse().map_or(Duration::from_secs(1), Duration::from_secs))
}
