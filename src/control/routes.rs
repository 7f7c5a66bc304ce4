//! The routes, and errors as RFC 9457 problems.

use crate::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{EntriesOf, REQUEST_TIME, Request, Unable};

/// Bytes of a request's body at most.
const BODY: usize = 64 << 10;
/// How long the daemon may think about a question that needs no waiting.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Ten years, in seconds.
const LONGEST_PAUSE: u64 = 315_360_000;
/// Entries of a page, if the client does not say and at most.
const PAGE: (u64, u64) = (100, 1000);

/// What there is, for those who asked for something else.
const ROUTES: &[&str] = &[
    "GET /v1/status",
    "GET /v1/health",
    "GET /v1/problems",
    "GET /v1/conflicts",
    "GET /v1/history",
    "GET /v1/explain",
    "GET /v1/plan",
    "GET /v1/held",
    "GET /v1/entries",
    "GET /v1/versions",
    "POST /v1/sync",
    "POST /v1/reload",
    "POST /v1/pause",
    "POST /v1/resume",
    "POST /v1/approve",
    "POST /v1/reject",
    "POST /v1/restore",
];

#[derive(Clone)]
pub(super) struct Daemon {
    pub(super) tx: mpsc::Sender<Request>,
    pub(super) cancel: CancellationToken,
}

pub(super) fn router(daemon: Daemon) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/health", get(health))
        .route("/v1/problems", get(problems))
        .route("/v1/conflicts", get(conflicts))
        .route("/v1/history", get(history))
        .route("/v1/explain", get(explain))
        .route("/v1/plan", get(plan))
        .route("/v1/entries", get(entries))
        .route("/v1/held", get(held))
        .route("/v1/sync", post(sync))
        .route("/v1/reload", post(reload))
        .route("/v1/pause", post(pause))
        .route("/v1/resume", post(resume))
        .route("/v1/approve", post(approve))
        .route("/v1/reject", post(reject))
        .route("/v1/versions", get(versions))
        .route("/v1/restore", post(restore))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(daemon)
}

/// An error as RFC 9457 has it.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<&'static [&'static str]>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status: status.as_u16(), detail: detail.into(), routes: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping, or the disk of its state directory is full")
}

impl Daemon {
    /// Asks and waits for the answer, `within` a time if there is one.
    async fn ask<T>(
        &self,
        within: Option<Duration>,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.tx.send(request(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())
        };
        let late = async {
            match within {
                Some(time) => env::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = asked => answer,
            () = self.cancel.cancelled() => Err(stopping()),
            () = late => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the daemon has not answered in time; it may be busy with a large scan, so try again",
            )),
        }
    }
}

async fn status(State(daemon): State<Daemon>) -> Result<Response, Problem> {
    let status = daemon.ask(Some(ANSWER_TIME), Request::Status).await?;
    Ok(axum::Json(status).into_response())
}

async fn health(State(daemon): State<Daemon>) -> Result<Response, Problem> {
    let health = daemon.ask(Some(ANSWER_TIME), Request::Health).await?;
    let code = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((code, axum::Json(health)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    offset: u64,
    #[serde(default = "usual_page")]
    limit: u64,
}

fn usual_page() -> u64 {
    PAGE.0
}

async fn problems(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let Part { offset, limit } = part(&uri)?;
    let page = daemon.ask(Some(ANSWER_TIME), |reply| Request::Problems { offset, limit, reply }).await?;
    Ok(axum::Json(page).into_response())
}

async fn conflicts(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let Part { offset, limit } = part(&uri)?;
    let page = daemon.ask(Some(ANSWER_TIME), |reply| Request::Conflicts { offset, limit, reply }).await?;
    Ok(axum::Json(page).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartOf {
    path: Option<PathBuf>,
    #[serde(default)]
    offset: u64,
    #[serde(default = "usual_page")]
    limit: u64,
}

async fn history(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let PartOf { path, offset, limit } = query(&uri)?;
    if let Some(path) = &path {
        absolute(path)?;
    }
    let limit = limit.clamp(1, PAGE.1);
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::History { path, offset, limit, reply }).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    path: PathBuf,
}

async fn explain(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let Which { path } = query(&uri)?;
    absolute(&path)?;
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Explain { path, reply }).await?)
}

async fn versions(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let Which { path } = query(&uri)?;
    absolute(&path)?;
    able(daemon.ask(None, |reply| Request::Versions { path, reply }).await?)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    #[serde(default)]
    path: PathBuf,
    rev: Option<String>,
}

async fn restore(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    let Restore { path, rev } = json_body(body).await?;
    absolute(&path)?;
    able(daemon.ask(None, |reply| Request::Restore { path, rev, reply }).await?)
}

/// What was done, or why not.
fn able<T: Serialize>(answer: Result<T, Unable>) -> Result<Response, Problem> {
    match answer {
        Ok(answer) => Ok(axum::Json(answer).into_response()),
        Err(Unable::Unknown(sentence)) => Err(Problem::new(StatusCode::NOT_FOUND, sentence)),
        Err(Unable::Later(sentence)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanOf {
    path: Option<PathBuf>,
    #[serde(default)]
    after: String,
    #[serde(default = "usual_page")]
    limit: u64,
}

async fn plan(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let PlanOf { path, after, limit } = query(&uri)?;
    if let Some(path) = &path {
        absolute(path)?;
    }
    let limit = limit.clamp(1, PAGE.1);
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Plan { path, after, limit, reply }).await?)
}

fn query<T: for<'de> Deserialize<'de>>(uri: &Uri) -> Result<T, Problem> {
    let parsed = Query::try_from_uri(uri);
    let Query(query) =
        parsed.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{}: {error}", uri.path())))?;
    Ok(query)
}

fn absolute(path: &Path) -> Result<(), Problem> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, "path must be absolute: a local path in a synced folder"))
}

async fn entries(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let what: EntriesOf = query(&uri)?;
    let what = EntriesOf { limit: Some(what.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1)), ..what };
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Entries { what, reply }).await?)
}

fn part(uri: &Uri) -> Result<Part, Problem> {
    let Part { offset, limit } = query(uri)?;
    Ok(Part { offset, limit: limit.clamp(1, PAGE.1) })
}

async fn held(State(daemon): State<Daemon>, uri: Uri) -> Result<Response, Problem> {
    let Part { offset, limit } = part(&uri)?;
    let page = daemon.ask(Some(ANSWER_TIME), |reply| Request::Held { offset, limit, reply }).await?;
    Ok(axum::Json(page).into_response())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    #[serde(default)]
    token: String,
}

async fn approve(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    answer(&daemon, body, true).await
}

async fn reject(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    answer(&daemon, body, false).await
}

async fn answer(daemon: &Daemon, body: Body, approve: bool) -> Result<Response, Problem> {
    let Token { token } = json_body(body).await?;
    if token.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "token is missing: GET /v1/held lists them"));
    }
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Answer { token, approve, reply }).await?)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    account: Option<String>,
    for_s: Option<u64>,
}

async fn reload(State(daemon): State<Daemon>) -> Result<Response, Problem> {
    match daemon.ask(Some(ANSWER_TIME), |reply| Request::Reload { reply }).await? {
        Ok(()) => Ok(axum::Json(serde_json::json!({ "reloading": true })).into_response()),
        Err(sentence) => Err(Problem::new(StatusCode::CONFLICT, sentence)),
    }
}

async fn pause(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    let Pause { account, for_s } = json_body(body).await?;
    if for_s.is_some_and(|seconds| !(1..=LONGEST_PAUSE).contains(&seconds)) {
        let text = format!("for_s must be from 1 to {LONGEST_PAUSE} (ten years), or absent until /v1/resume");
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    }
    let time = for_s.map(Duration::from_secs);
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Pause { account, time, reply }).await?)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    account: Option<String>,
}

async fn resume(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    let Resume { account } = json_body(body).await?;
    found(daemon.ask(Some(ANSWER_TIME), |reply| Request::Resume { account, reply }).await?)
}

/// What was found, or the sentence that says why not.
fn found<T: Serialize>(answer: Result<T, String>) -> Result<Response, Problem> {
    match answer {
        Ok(answer) => Ok(axum::Json(answer).into_response()),
        Err(sentence) => Err(Problem::new(StatusCode::NOT_FOUND, sentence)),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sync {
    path: Option<PathBuf>,
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    again: bool,
}

async fn sync(State(daemon): State<Daemon>, body: Body) -> Result<Response, Problem> {
    let Sync { path, wait, again } = json_body(body).await?;
    if path.as_ref().is_some_and(|p| !p.is_absolute()) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "path must be absolute, or absent for everything"));
    }
    let within = (!wait).then_some(ANSWER_TIME);
    found(daemon.ask(within, |reply| Request::Sync { path, wait, again, reply }).await?)
}

/// A JSON body, or none at all.
async fn json_body<T: Default + for<'de> Deserialize<'de>>(body: Body) -> Result<T, Problem> {
    let bytes = match env::timeout(REQUEST_TIME, to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("the body is broken or larger than {BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is not what is expected: {error}")))
}

async fn unknown(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(200).collect();
    let mut problem = Problem::new(StatusCode::NOT_FOUND, format!("there is no {shown}"));
    problem.routes = Some(ROUTES);
    problem
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
    problem.routes = Some(ROUTES);
    problem
}
