//! A transport for the SDK that sends what is meant for Dropbox's hosts to the stand-in.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dropbox_sdk::Error;
use dropbox_sdk::async_client_trait::{HttpClient, HttpRequest, HttpRequestResultRaw, NoauthClient, UserAuthClient};
use ferrybox_standin::{Settings, Standin};
use futures_util::io::{AsyncReadExt as _, Cursor};

/// A client for one account, or for none.
pub(crate) struct Sdk {
    http: reqwest::Client,
    url: String,
    token: Option<Arc<String>>,
    pub(crate) path_root: Option<String>,
}

impl Sdk {
    pub(crate) fn new(url: &str, token: Option<String>) -> Self {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, url: url.to_owned(), token: token.map(Arc::new), path_root: None }
    }
}

/// A stand-in and a client of its default account.
pub(crate) async fn pair(settings: Settings) -> (Standin, Sdk) {
    let standin = Standin::start(settings).await.unwrap();
    let sdk = Sdk::new(&standin.url(), Some(standin.short_lived_token()));
    (standin, sdk)
}

/// The whole body of a download.
pub(crate) async fn read(mut body: impl futures_util::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut data = Vec::new();
    body.read_to_end(&mut data).await.unwrap();
    data
}

pub(crate) struct Request(reqwest::RequestBuilder);

impl HttpRequest for Request {
    fn set_header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }
}

impl HttpClient for Sdk {
    type Request = Request;

    async fn execute(&self, request: Request, body: Bytes) -> Result<HttpRequestResultRaw, Error> {
        let failed = |error: reqwest::Error| Error::HttpClient(Box::new(error));
        let response = request.0.body(body).send().await.map_err(failed)?;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, result_header) = (response.status().as_u16(), header("dropbox-api-result"));
        let content_length = header("content-length").map(|value| value.parse().unwrap());
        let body = Box::new(Cursor::new(response.bytes().await.map_err(failed)?));
        Ok(HttpRequestResultRaw { status, result_header, content_length, body })
    }

    fn new_request(&self, url: &str) -> Request {
        let (_, path) = url.strip_prefix("https://").and_then(|url| url.split_once('/')).unwrap();
        Request(self.http.post(format!("{}/{path}", self.url)))
    }

    fn token(&self) -> Option<Arc<String>> {
        self.token.clone()
    }

    fn path_root(&self) -> Option<&str> {
        self.path_root.as_deref()
    }
}

impl UserAuthClient for Sdk {}
impl NoauthClient for Sdk {}
