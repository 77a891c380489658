//! The HTTP client of all remote stores: it decides on timeouts, redirects and certificates.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use lazarr_format::{Code, Error, Result};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::redirect::{Attempt, Policy};

use super::failure::{Failure, retry_after};
use crate::address::StoreOptions;

/// Words that the client takes, whatever the store; as `object_store` names them.
pub(super) const WORDS: [&str; 8] = [
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http1_only",
    "pool_idle_timeout",
    "proxy_url",
    "timeout",
    "user_agent",
];

/// So many redirects are followed.
const REDIRECTS: usize = 5;

/// Makes the client.
pub(super) fn client(options: &StoreOptions) -> Result<reqwest::Client> {
    // What a program chose before stays; either can do TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seconds = |name: &str, default: f64| -> Result<Duration> {
        let seconds = options.number(name)?.unwrap_or(default);
        Ok(Duration::from_secs_f64(seconds.clamp(0.001, 86400.0)))
    };
    // Headers that may be secrets are not shown to other hosts, whatever is allowed.
    let elsewhere =
        options.flag("allow_redirects")? && !options.iter().any(|(n, _)| n.starts_with("header."));
    let mut builder = reqwest::Client::builder()
        .connect_timeout(seconds("connect_timeout", 5.0)?)
        .read_timeout(seconds("read_timeout", 10.0)?)
        .pool_idle_timeout(seconds("pool_idle_timeout", 60.0)?)
        .redirect(Policy::custom(move |attempt| redirect(attempt, elsewhere)))
        .referer(false)
        .http2_adaptive_window(true)
        .tcp_nodelay(true)
        .user_agent(options.get("user_agent").unwrap_or(concat!("lazarr/", env!("CARGO_PKG_VERSION"))))
        .danger_accept_invalid_certs(options.flag("allow_invalid_certificates")?);
    if options.get("timeout").is_some() {
        builder = builder.timeout(seconds("timeout", 30.0)?);
    }
    if options.flag("http1_only")? {
        builder = builder.http1_only();
    }
    if let Some(proxy) = options.get("proxy_url") {
        let proxy = reqwest::Proxy::all(proxy)
            .map_err(|_| Error::new(Code::StoreUrl, "the option `proxy_url` is not a URL"))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|e| {
        Error::new(Code::StoreIo, "the HTTP client cannot be made").source(e.without_url().to_string())
    })
}

/// Follows to the same host, also from http to https; to others where that is allowed.
fn redirect(attempt: Attempt<'_>, elsewhere: bool) -> reqwest::redirect::Action {
    let Some(from) = attempt.previous().first().cloned() else { return attempt.stop() };
    let to = attempt.url();
    let downgrade = from.scheme() == "https" && to.scheme() != "https";
    let upgrade = from.scheme() == "http" && to.scheme() == "https" && from.port().is_none();
    let same = from.host() == to.host()
        && (from.port_or_known_default() == to.port_or_known_default() || upgrade && to.port().is_none());
    if attempt.previous().len() > REDIRECTS || downgrade || !(same || elsewhere) {
        return attempt.stop();
    }
    attempt.follow()
}

/// Hands the client to `object_store`.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let plain = plain.is_some_and(|v| v == "true");
        Ok(HttpClient::new(Service { client: self.0.clone(), plain }))
    }
}

#[derive(Debug)]
struct Service {
    client: reqwest::Client,
    /// Whether requests without TLS are allowed.
    plain: bool,
}

fn http_error(kind: HttpErrorKind, failure: Failure) -> HttpError {
    HttpError::new(kind, failure)
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let unknown = HttpErrorKind::Unknown;
        if parts.uri.scheme_str() == Some("http") && !self.plain {
            let failure = Failure::new(Code::StoreUrl, "the endpoint has no TLS");
            return Err(http_error(unknown, failure.help("Set allow_http=true, if that is meant")));
        }
        let url = url::Url::parse(&parts.uri.to_string())
            .map_err(|_| http_error(unknown, Failure::new(Code::StoreUrl, "the endpoint is not a URL")))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|e| http_error(unknown, Failure::client(e)))?;
        let status = answer.status().as_u16();
        let failure = Failure::status(status, retry_after(answer.headers()));
        if status >= 300 && failure.retry {
            return Err(http_error(unknown, failure));
        }
        let answer: http::Response<reqwest::Body> = answer.into();
        let (parts, body) = answer.into_parts();
        let body = body.map_err(|e| http_error(HttpErrorKind::Interrupted, Failure::client(e)));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
