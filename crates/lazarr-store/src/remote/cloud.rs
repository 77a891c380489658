//! S3, Google Cloud Storage and Azure, by `object_store`.

use std::sync::Arc;

use futures_util::StreamExt;
use lazarr_format::{Code, Error, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};

use super::client::Connector;
use super::failure::Failure;
use super::http::unknown;
use super::source::{Answer, Span};
use crate::address::{StoreOptions, redacted};
use crate::store::Listing;

/// A bucket, and the folder in it.
#[derive(Clone)]
pub(super) struct CloudSource {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, for values that are written in parts.
    pub(super) parts: Arc<dyn MultipartStore>,
    pub(super) folder: String,
    /// What tells the bucket from others of its name: endpoint and account, wherever they were said. No credentials.
    place: Vec<String>,
    /// Whether the last bytes of a value can be asked for without its length.
    suffixes: bool,
}

/// The words that are `object_store`'s.
fn words<'a, K: std::str::FromStr>(options: &'a StoreOptions, scheme: &str) -> Result<Vec<(K, &'a str)>> {
    let own = StoreOptions::OWN.map(|(name, _)| name);
    let mut out = Vec::new();
    for (name, value) in options.iter() {
        match name.parse::<K>() {
            // Durations as object_store reads them: a bare number is seconds here.
            Ok(_) if matches!(name, "timeout" | "connect_timeout" | "pool_idle_timeout" | "read_timeout") => {
            }
            Ok(key) => out.push((key, value)),
            Err(_) if own.contains(&name) => {}
            Err(_) => return Err(unknown(name, &[], scheme)),
        }
    }
    Ok(out)
}

impl CloudSource {
    pub(super) fn new(
        url: &str,
        scheme: &str,
        options: &StoreOptions,
        client: &reqwest::Client,
    ) -> Result<Self> {
        let shown = redacted(url);
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let connector = Connector(client.clone());
        // Tries are ours to repeat.
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let base = format!("{scheme}://{bucket}");
        let fails = |e: object_store::Error| {
            Error::new(Code::StoreUrl, format!("the store `{shown}` cannot be set up"))
                .source(quiet(&e, options))
                .help("Check the URL and storage_options; names are those of object_store and obstore")
        };
        let mut place = vec![base.clone()];
        let (store, parts, suffixes): (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>, bool) = match scheme {
            "s3" | "s3a" => {
                let mut builder = AmazonS3Builder::from_env().with_url(base);
                for (key, value) in words::<AmazonS3ConfigKey>(options, scheme)? {
                    builder = builder.with_config(key, value);
                }
                let told = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
                place.extend(told.iter().map(|key| builder.get_config_value(key).unwrap_or_default()));
                let builder = builder.with_http_connector(connector).with_retry(once);
                let store = Arc::new(builder.build().map_err(fails)?);
                (store.clone(), store, true)
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_url(base);
                for (key, value) in words::<GoogleConfigKey>(options, scheme)? {
                    builder = builder.with_config(key, value);
                }
                place.extend(builder.get_config_value(&GoogleConfigKey::BaseUrl));
                let builder = builder.with_http_connector(connector).with_retry(once);
                let store = Arc::new(builder.build().map_err(fails)?);
                (store.clone(), store, true)
            }
            _ => {
                let mut builder = MicrosoftAzureBuilder::from_env().with_url(base);
                for (key, value) in words::<AzureConfigKey>(options, scheme)? {
                    builder = builder.with_config(key, value);
                }
                let told =
                    [AzureConfigKey::AccountName, AzureConfigKey::Endpoint, AzureConfigKey::UseEmulator];
                place.extend(told.iter().map(|key| builder.get_config_value(key).unwrap_or_default()));
                let builder = builder.with_http_connector(connector).with_retry(once);
                let store = Arc::new(builder.build().map_err(fails)?);
                (store.clone(), store, false)
            }
        };
        let folder = folder.trim_matches('/').to_owned();
        place.push(folder.clone());
        Ok(Self { store, parts, folder, place, suffixes })
    }

    /// What tells this store from others. Objects are the same for whoever may read them.
    pub(super) fn identity(&self) -> String {
        self.place.join("\n")
    }

    /// Of any kind of store.
    #[cfg(test)]
    pub(super) fn of<S: ObjectStore + MultipartStore>(store: Arc<S>, folder: &str) -> Self {
        let folder = folder.to_owned();
        Self { store: store.clone(), parts: store, folder, place: Vec::new(), suffixes: true }
    }

    pub(super) fn path(&self, key: &str) -> Result<Path, Failure> {
        let whole = match (self.folder.as_str(), key) {
            ("", key) => key.to_owned(),
            (folder, "") => folder.to_owned(),
            (folder, key) => format!("{folder}/{key}"),
        };
        Path::parse(whole).map_err(|e| {
            Failure::new(Code::StoreUrl, "the key cannot be one of an object store").found(e.to_string())
        })
    }

    /// One try at these bytes; `None` where there is no such key. `tag`: only of this state.
    pub(super) async fn get(
        &self,
        key: &str,
        span: &Span,
        (tag, known): (Option<&str>, Option<&str>),
        options: &StoreOptions,
    ) -> Result<Option<Answer>, Failure> {
        let path = self.path(key)?;
        let range = match *span {
            Span::From(0) => None,
            Span::From(a) => Some(GetRange::Offset(a)),
            Span::Range(a, b) => Some(GetRange::Bounded(a..b)),
            Span::Last(n) if self.suffixes => Some(GetRange::Suffix(n)),
            Span::Last(n) => match self.size(key, options).await? {
                None => return Ok(None),
                Some(0) => None,
                Some(total) => Some(GetRange::Bounded(total.saturating_sub(n)..total)),
            },
        };
        let tag = tag.filter(|tag| tag.starts_with('"')).map(str::to_owned);
        let if_none_match = known.map(str::to_owned);
        let asked = GetOptions { range, if_match: tag, if_none_match, ..GetOptions::default() };
        let found = match self.store.get_opts(&path, asked).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(object_store::Error::NotModified { .. }) if known.is_some() => {
                return Ok(Some(Answer::same()));
            }
            Err(e) => return Err(failure(&e, options)),
        };
        let (start, end, total) = (found.range.start, found.range.end, found.meta.size);
        let changed = found.meta.last_modified.timestamp_micros();
        let tag = found.meta.e_tag.clone().or_else(|| (changed != 0).then(|| changed.to_string()));
        let options = options.clone();
        let body = found.into_stream().map(move |piece| piece.map_err(|e| failure(&e, &options))).boxed();
        Ok(Some(Answer { start, end: Some(end), total: Some(total), tag, same: false, body }))
    }

    /// The length of a value; `None` where there is no such key.
    pub(super) async fn size(&self, key: &str, options: &StoreOptions) -> Result<Option<u64>, Failure> {
        match self.store.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failure(&e, options)),
        }
    }

    /// The names below a prefix.
    pub(super) async fn list(&self, prefix: &str, options: &StoreOptions) -> Result<Listing, Failure> {
        let path = self.path(prefix)?;
        let found = self.store.list_with_delimiter(Some(&path)).await.map_err(|e| failure(&e, options))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut listing = Listing {
            folders: found.common_prefixes.iter().filter_map(name).collect(),
            files: found.objects.iter().filter_map(|o| name(&o.location)).collect(),
        };
        listing.folders.sort_unstable();
        listing.files.sort_unstable();
        Ok(listing)
    }
}

/// What is said of a failure that has no name.
pub(super) const UNREADABLE: &str = "the object store cannot be read";

/// What `object_store` says, as ours.
pub(super) fn failure(e: &object_store::Error, options: &StoreOptions) -> Failure {
    // Our own client's word, if it was that.
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(error) = at {
        if let Some(own) = error.downcast_ref::<Failure>() {
            return Failure {
                code: own.code,
                what: own.what.clone(),
                expected: own.expected.clone(),
                found: own.found.clone(),
                ..*own
            };
        }
        at = error.source();
    }
    let found = quiet(e, options);
    match e {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Failure::status(403, None).found(found)
        }
        object_store::Error::Precondition { .. } => Failure::changed(),
        _ if found.contains("status code: 3") => Failure::status(301, None).found(found),
        _ if found.contains("status code: 416") => {
            Failure::new(Code::ChunkLength, "the value ends before the bytes that are needed")
        }
        _ if found.contains("non-partial response") || found.contains("Requested ") => {
            Failure::new(Code::StoreAnswer, "the server sent other bytes than those asked for").found(found).again()
        }
        _ => Failure::new(Code::StoreIo, UNREADABLE).found(found).help(
            "Check the URL, the region, the endpoint and the credentials (storage_options); a public bucket needs \
             skip_signature=true",
        ),
    }
}

/// The deepest reason, shortened, without what may be secret.
fn quiet(e: &object_store::Error, options: &StoreOptions) -> String {
    let mut deepest: &dyn std::error::Error = e;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    let text = deepest.to_string();
    let mut text = match text.find('<') {
        // S3 and Azure answer in XML, with more than anybody wants to see.
        Some(at) => {
            let tag = |name: &str| {
                let (_, rest) = text.split_once(&format!("<{name}>"))?;
                rest.split_once('<').map(|(value, _)| value.trim().to_owned())
            };
            let said: Vec<_> = [tag("Code"), tag("Message")].into_iter().flatten().collect();
            format!("{} {}", text[..at].trim(), said.join(": "))
        }
        None => text,
    };
    for (name, value) in options.iter() {
        let harmless =
            matches!(name, "region" | "aws_region" | "endpoint" | "aws_endpoint" | "skip_signature");
        if !harmless && value.len() > 3 {
            text = text.replace(value, "…");
        }
    }
    let words = text
        .split_whitespace()
        .map(|word| if word.contains("://") { redacted(word) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
