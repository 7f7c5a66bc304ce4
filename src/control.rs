//! The local socket: HTTP/1.1 with JSON, so that `curl --unix-socket` is a client.
//!
//! [`serve`] answers nothing by itself: each request becomes a [`Request`] on a channel, and the daemon, which alone knows the
//! answers, sends one back. A client that leaves drops its end of the reply, so a waiting daemon sees `is_closed()`.
//!
//! Who may connect: the directory and the socket belong to the daemon's user alone, and besides the kernel is asked for each
//! peer's user. What a local program can do wrong is bounded: 64 connections, 64 KiB a body, seconds to send a request.

mod listen;
mod patient;
mod routes;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use patient::Patient;

use crate::env;
use crate::env::Instant;
use crate::model::api::{Conflict, Done, Explained, PauseAnswer, PlanPage, Restored, Versions};
use crate::model::listing::Listed;
use crate::model::status::{Answered, Health, Held, Problem, Status, SyncAnswer};

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long a client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// A client that reads nothing of a reply for so long is given up.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// How often it is told that others were turned away.
const TELL_TIME: Duration = Duration::from_mins(1);
/// How long answers under way may take once the daemon stops.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What a client asks of the daemon. Matched in one place there.
#[derive(Debug)]
pub enum Request {
    /// `GET /v1/status`.
    Status(oneshot::Sender<Status>),
    /// `GET /v1/health`.
    Health(oneshot::Sender<Health>),
    /// `POST /v1/sync`.
    Sync {
        /// Absolute; `None`: everything.
        path: Option<PathBuf>,
        /// Whether to answer only when that is in sync (or cannot be).
        wait: bool,
        /// Whether what Dropbox has no longer is sent again.
        again: bool,
        /// `Err`: one sentence, such as "no folder holds this path"; the client sees it with status 404.
        reply: oneshot::Sender<Result<SyncAnswer, String>>,
    },
    /// `GET /v1/held`.
    Held {
        /// Entries to skip.
        offset: u64,
        /// Entries at most, 1 to 1000.
        limit: u64,
        /// One page.
        reply: oneshot::Sender<Page<Held>>,
    },
    /// `POST /v1/approve` and `POST /v1/reject`.
    Answer {
        /// Which set.
        token: String,
        /// Whether its deletions may go; else they are given up.
        approve: bool,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Answered, String>>,
    },
    /// `POST /v1/reload`.
    Reload {
        /// `Err`: what is wrong with the configuration; the client sees it with status 409, and the old one stays.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// `POST /v1/pause`.
    Pause {
        /// Which account; `None`: all.
        account: Option<String>,
        /// For how long; `None`: until somebody resumes it.
        time: Option<Duration>,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Vec<PauseAnswer>, String>>,
    },
    /// `POST /v1/resume`.
    Resume {
        /// Which account; `None`: all.
        account: Option<String>,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Vec<PauseAnswer>, String>>,
    },
    /// `GET /v1/problems`.
    Problems {
        /// Entries to skip.
        offset: u64,
        /// Entries at most, 1 to 1000.
        limit: u64,
        /// One page.
        reply: oneshot::Sender<Page<Problem>>,
    },
    /// `GET /v1/conflicts`.
    Conflicts {
        /// Entries to skip.
        offset: u64,
        /// Entries at most, 1 to 1000.
        limit: u64,
        /// One page.
        reply: oneshot::Sender<Page<Conflict>>,
    },
    /// `GET /v1/history`.
    History {
        /// An absolute local path; `None`: everything.
        path: Option<PathBuf>,
        /// Entries to skip.
        offset: u64,
        /// Entries at most, 1 to 1000.
        limit: u64,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Page<Done>, String>>,
    },
    /// `GET /v1/explain`.
    Explain {
        /// An absolute local path.
        path: PathBuf,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Explained, String>>,
    },
    /// `GET /v1/plan`.
    Plan {
        /// An absolute local path; `None`: everything.
        path: Option<PathBuf>,
        /// `next` of the page before; empty at first.
        after: String,
        /// Entries at most, 1 to 1000.
        limit: u64,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<PlanPage, String>>,
    },
    /// `GET /v1/versions`.
    Versions {
        /// An absolute local path.
        path: PathBuf,
        /// The client sees the refusal with its status.
        reply: oneshot::Sender<Result<Versions, Unable>>,
    },
    /// `POST /v1/restore`.
    Restore {
        /// An absolute local path.
        path: PathBuf,
        /// Which; `None`: the newest in the trash.
        rev: Option<String>,
        /// The client sees the refusal with its status.
        reply: oneshot::Sender<Result<Restored, Unable>>,
    },
    /// `GET /v1/entries`.
    Entries {
        /// Which.
        what: EntriesOf,
        /// `Err`: one sentence; the client sees it with status 404.
        reply: oneshot::Sender<Result<Entries, String>>,
    },
}

/// The question of `GET /v1/entries`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntriesOf {
    /// The account's name; needed when there are several.
    pub account: Option<String>,
    /// A remote folder; the account's root if absent.
    #[serde(default)]
    pub path: String,
    /// What lies below folders, too.
    #[serde(default)]
    pub recursive: bool,
    /// `next` of the page before.
    #[serde(default)]
    pub after: String,
    /// Entries at most, 1 to 1000.
    pub limit: Option<u64>,
}

/// A page of `GET /v1/entries`. There is no total: pages follow each other by key, so that each costs the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// In the order of keys.
    pub items: Vec<Listed>,
    /// For `after`; null at the end.
    pub next: Option<String>,
    /// Whether the first listing was complete.
    pub complete: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unable {
    /// There is no such thing: status 404.
    Unknown(String),
    /// Not now: status 503.
    Later(String),
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// This part.
    pub items: Vec<T>,
    /// Entries before it.
    pub offset: u64,
    /// Entries in all.
    pub total: u64,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The kernel's own limit.
    #[error("the socket's path {path} has {length} bytes, and the system allows {limit}: set daemon.socket to a shorter one", path = .0.display(), length = .1, limit = .2)]
    TooLong(PathBuf, usize, usize),
    /// Another daemon answers there.
    #[error("another ferrybox answers at {path}: stop it first, or set daemon.socket to another path", path = .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket of ours.
    #[error("{path} is {what}: move it away, or set daemon.socket to another path", path = .0.display(), what = .1)]
    Occupied(PathBuf, String),
    /// The directory cannot be trusted.
    #[error("the socket's directory {path} {what}", path = .0.display(), what = .1)]
    Directory(PathBuf, String),
    /// The system refused.
    #[error("cannot open the socket {path}: {source}", path = .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// Opens the socket at once and gives the future that answers on it. The future ends after `cancel`, when the answers under way
/// are sent or [`DRAIN_TIME`] is over, and takes the socket away. Dropping it closes everything.
///
/// # Errors
/// [`ControlError`]: another daemon, something else in the socket's place, or the system's refusal.
pub fn serve(
    socket: &Path,
    tx: mpsc::Sender<Request>,
    cancel: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<>, ControlError> {
    let open = listen::open(socket)?;
    let router = routes::router(routes::Daemon { tx, cancel: cancel.clone() });
    Ok(async move {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut refused = Refused::default();
        loop {
            let seat = tokio::select! {
                () = cancel.cancelled() => break,
                seat = Arc::clone(&seats).acquire_owned() => seat,
            };
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                accepted = open.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if listen::may_connect(&stream) => {
                    let answer = answer(stream, router.clone(), cancel.clone());
                    connections.spawn(async move {
                        answer.await;
                        drop(seat);
                    });
                }
                Ok(_) => {
                    if let Some(times) = refused.note(env::instant()) {
                        tracing::warn!(
                            times,
                            "a program of another user connected to the control socket and was turned away"
                        );
                    }
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others may give some back.
                    tracing::warn!(%error, "the control socket could not accept a connection");
                    env::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        let drained = env::timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            connections.abort_all();
        }
        drop(open);
    })
}

/// A reply in full.
#[derive(Debug)]
pub struct Reply {
    /// The status, as over the socket.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
}

/// Answers `GET path` within this process, as it would be answered over the socket.
pub async fn answer_here(tx: mpsc::Sender<Request>, path: &str) -> Reply {
    let router = routes::router(routes::Daemon { tx, cancel: CancellationToken::new() });
    let wrong = |status: u16, text: &str| Reply {
        status,
        body: Bytes::from(serde_json::json!({ "detail": text }).to_string()),
    };
    let Ok(request) = axum::http::Request::get(path).body(Body::empty()) else {
        return wrong(400, "this is no address");
    };
    let Ok(response) = hyper::service::Service::call(&TowerToHyperService::new(router), request).await;
    let status = response.status().as_u16();
    match to_bytes(response.into_body(), usize::MAX).await {
        Ok(body) => Reply { status, body },
        Err(error) => wrong(500, &error.to_string()),
    }
}

/// Programs of other users that were turned away: told once a minute, however many they are.
#[derive(Default)]
struct Refused {
    told: Option<Instant>,
    since: u64,
}

impl Refused {
    /// One more. `Some`: it is to be told now, with how many came since the last time.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_TIME) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

/// One connection, one request: a client that keeps its connection open keeps nobody out.
async fn answer(stream: UnixStream, router: axum::Router, cancel: CancellationToken) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIME).keep_alive(false).max_buf_size(64 << 10);
    let stream = Patient::new(stream, WRITE_TIME);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the control socket ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h9_programs_of_other_users_are_told_once_a_minute_and_all_are_counted() {
        let began = tokio::time::Instant::now();
        let mut refused = Refused::default();
        // A hundred thousand in three minutes, as fast in one as in the other.
        let told: Vec<(u64, u64)> = (0..100_000_u64)
            .filter_map(|i| {
                let at = Duration::from_millis(i * 180_000 / 100_000);
                refused.note(began + at).map(|times| (at.as_secs(), times))
            })
            .collect();
        assert_eq!(told.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 60, 120]);
        let counted: u64 = told.iter().map(|(_, times)| times).sum();
        assert_eq!(counted + refused.since, 100_000);
        assert_eq!(told[0].1, 1, "the first one at once");
    }
}
