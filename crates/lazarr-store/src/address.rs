//! What a person calls a store: a path or a URL, never shown with its secrets.

use lazarr_format::{Code, Error, Result};

/// Words that a store over a network is opened with, as `object_store` and obstore name them (`aws_access_key_id`,
/// `endpoint`, `skip_signature`, `timeout`, …), and some of lazarr's own, see [`StoreOptions::OWN`]. Never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreOptions(Vec<(String, String)>);

impl StoreOptions {
    /// The words that are lazarr's own, and what they mean.
    pub const OWN: [(&str, &str); 10] = [
        ("max_retries", "how often one read is tried again (4)"),
        ("retry_timeout", "how long one read may take with all its tries, beside its bytes (60s)"),
        ("read_timeout", "how long no byte may come before a try is given up (10s)"),
        ("allow_redirects", "follow redirects to other hosts (false)"),
        ("latency", "seconds to the first byte, for plans (0.05)"),
        ("bandwidth", "bytes a second, for plans (100MB)"),
        ("slots", "requests under way at once (32)"),
        ("cache_dir", "a local folder that keeps what was read, for later (none)"),
        ("cache_bytes", "how much it keeps (10GB)"),
        ("header.NAME", "a header of each request, where the URL is http(s)"),
    ];

    /// With these words. Names are taken in lower case, and hyphens as underscores.
    pub fn new<K: AsRef<str>, V: Into<String>>(words: impl IntoIterator<Item = (K, V)>) -> Self {
        let plain = |name: &str| match name.strip_prefix("header.") {
            Some(_) => name.to_owned(),
            None => name.to_ascii_lowercase().replace('-', "_"),
        };
        Self(words.into_iter().map(|(name, value)| (plain(name.as_ref()), value.into())).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A word.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// A word that is `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A word that is a number: a count, or seconds.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        const UNITS: [(&str, f64); 5] = [("s", 1.0), ("ms", 1e-3), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];
        self.measured(name, &UNITS, "a number, with s, ms, m or h")
    }

    /// A word that is a number of bytes.
    pub fn bytes(&self, name: &str) -> Result<Option<f64>> {
        const UNITS: [(&str, f64); 9] = [
            ("b", 1.0),
            ("kb", 1e3),
            ("mb", 1e6),
            ("gb", 1e9),
            ("tb", 1e12),
            ("kib", 1024.0),
            ("mib", 1_048_576.0),
            ("gib", 1_073_741_824.0),
            ("tib", 1_099_511_627_776.0),
        ];
        self.measured(name, &UNITS, "bytes, with KB, MB, GB, TB, KiB, MiB, GiB or TiB")
    }

    fn measured(&self, name: &str, units: &[(&str, f64)], expected: &str) -> Result<Option<f64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text[digits.len()..].to_ascii_lowercase();
        let scale = units.iter().find(|(u, _)| *u == unit).map(|(_, scale)| *scale);
        let scale = scale.or_else(|| unit.is_empty().then_some(1.0));
        match (digits.trim().parse::<f64>(), scale) {
            (Ok(n), Some(scale)) if n.is_finite() && n >= 0.0 => Ok(Some(n * scale)),
            _ => Err(wrong(name, expected)),
        }
    }
}

/// Names alone: a value may be a secret.
impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::new(Code::StoreUrl, format!("the option `{name}` of the store cannot be understood"))
        .expected(expected.to_owned())
}

/// Whether this is a URL, and not a path; with its scheme in lower case.
pub fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    // One letter is a drive.
    (scheme.len() > 1 && scheme.chars().all(plain)).then(|| scheme.to_ascii_lowercase())
}

/// A URL without what may be secret: its user, its password, its query and its fragment.
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Azure's `container@account.host` is no user.
    let azure = matches!(scheme.to_ascii_lowercase().as_str(), "az" | "adl" | "azure" | "abfs" | "abfss");
    let host = match authority.rsplit_once('@') {
        Some((_, host)) if !azure => host,
        _ => authority,
    };
    format!("{scheme}://{host}{path}")
}

/// A path or URL cut at the first archive on its way: the folder that holds it, its name, and what is named inside of it.
pub fn archive(url: &str) -> Option<(String, String, String)> {
    let (path, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let from = path.find("://").map_or(0, |at| at + 3);
    let start = from + path[from..].find('/')?;
    let mut at = start;
    for part in path[start + 1..].split('/') {
        let end = at + 1 + part.len();
        if part.len() > 4 && part.to_ascii_lowercase().ends_with(".zip") {
            let inside = path[end..].trim_matches('/').to_owned();
            return Some((format!("{}{query}", &path[..at]), part.to_owned(), inside));
        }
        at = end;
    }
    None
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
