//! A client that sends exactly what it is told to.

use std::sync::OnceLock;
use std::time::Duration;

use ferrybox_standin::{Settings, Standin, Violation, ViolationKind};
use serde_json::Value;

pub(crate) struct Raw {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
}

/// A reply: its status, and its JSON or text.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Reply {
    pub(crate) fn summary(&self) -> &str {
        self.json["error_summary"].as_str().unwrap_or(&self.text)
    }
}

pub(crate) fn http() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap()
}

pub(crate) async fn pair(settings: Settings) -> (Standin, Raw) {
    let standin = Standin::start(settings).await.unwrap();
    let raw = Raw { http: http(), url: standin.url(), token: standin.short_lived_token() };
    (standin, raw)
}

impl Raw {
    pub(crate) fn post(&self, route: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/2/{route}", self.url)).bearer_auth(&self.token)
    }

    pub(crate) async fn rpc(&self, route: &str, argument: &Value) -> Reply {
        self.try_rpc(route, argument).await.unwrap()
    }

    pub(crate) async fn try_rpc(&self, route: &str, argument: &Value) -> Result<Reply, reqwest::Error> {
        let request = self.post(route).header("content-type", "application/json").body(argument.to_string());
        send(request).await
    }

    pub(crate) async fn upload(&self, route: &str, argument: &Value, data: impl Into<reqwest::Body>) -> Reply {
        self.try_upload(route, argument, data).await.unwrap()
    }

    pub(crate) async fn try_upload(
        &self,
        route: &str,
        argument: &Value,
        data: impl Into<reqwest::Body>,
    ) -> Result<Reply, reqwest::Error> {
        let request = self.post(route).header("content-type", "application/octet-stream");
        send(request.header("dropbox-api-arg", argument.to_string()).body(data)).await
    }

    /// A closed session that holds this.
    pub(crate) async fn session(&self, data: &str) -> String {
        let argument = serde_json::json!({ "close": true });
        let reply = self.upload("files/upload_session/start", &argument, data.to_owned()).await;
        reply.json["session_id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
    Ok(Reply { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text, headers })
}

pub(crate) fn kinds(standin: &Standin) -> Vec<ViolationKind> {
    standin.violations().iter().map(|violation: &Violation| violation.kind).collect()
}

/// One entry of a finish_batch.
pub(crate) fn finish(session: &str, offset: usize, path: &str) -> Value {
    serde_json::json!({ "cursor": { "session_id": session, "offset": offset }, "commit": { "path": path } })
}
