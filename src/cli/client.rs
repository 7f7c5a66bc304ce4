//! A client of the daemon's socket: one request, one connection, always with a time-out unless the caller waits on purpose.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{State, Unfinished, Usage};
use crate::config::{Config, Daemon};
use crate::daemon::{self, OfflineError};
use crate::env;

const TIME: Duration = Duration::from_secs(15);
/// A status of thousands of folders has a few MiB.
const LARGEST: usize = 256 << 20;

pub(super) struct Client {
    socket: PathBuf,
    state_dir: PathBuf,
    /// Where there is one, questions are answered from the databases while no daemon runs.
    offline: Option<Config>,
    /// Whether it was said that no daemon runs.
    told: AtomicBool,
}

/// No daemon runs, for code 4.
#[derive(Debug, thiserror::Error)]
#[error("no daemon runs (nothing answers at {}): start it with `ferrybox run`", .0.display())]
pub(super) struct NotRunning(PathBuf);

/// An answer that is not a success.
#[derive(serde::Deserialize)]
struct Refusal {
    detail: String,
}

impl Client {
    pub(super) fn new(of: &Daemon) -> Self {
        Self { socket: of.socket.clone(), state_dir: of.state_dir.clone(), offline: None, told: AtomicBool::new(false) }
    }

    /// A client whose questions the databases answer while no daemon runs.
    pub(super) fn or_offline(config: &Config) -> Self {
        Self { offline: Some(config.clone()), ..Self::new(&config.daemon) }
    }

    /// A question that the daemon answers at once.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let asked = self.request(Method::GET, path, Body::empty());
        let bytes = match env::timeout(TIME, asked).await.map_err(|_| self.silent())? {
            Err(error) if error.is::<NotRunning>() => self.offline(path, error).await?,
            answered => answered?,
        };
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood; is it of another version?")
    }

    /// The databases' answer, said to be that.
    async fn offline(&self, path: &str, not_running: anyhow::Error) -> anyhow::Result<Bytes> {
        let Some(config) = &self.offline else { return Err(not_running) };
        let answered = match daemon::answer_offline(config, path).await {
            Err(OfflineError::NeverRun) => return Err(not_running),
            answered => answered.map_err(|error| State(error.to_string()))?,
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            anstream::eprintln!("ferrybox: no daemon runs; this is from the database as the last one left it");
        }
        judged(StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), answered.body)
    }

    /// A request that may take as long as it takes if `wait`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        wait: bool,
    ) -> anyhow::Result<T> {
        let asked = self.request(Method::POST, path, Body::from(serde_json::to_vec(body)?));
        let bytes = if wait { asked.await? } else { env::timeout(TIME, asked).await.map_err(|_| self.silent())?? };
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood; is it of another version?")
    }

    fn silent(&self) -> anyhow::Error {
        Unfinished(format!("the daemon at {} does not answer", self.socket.display())).into()
    }

    fn not_running(&self) -> anyhow::Error {
        NotRunning(self.socket.clone()).into()
    }

    /// Connects to the configured socket, else to the one that the daemon noted in its state directory: a daemon that was started by cron or
    /// at boot has another environment than a shell, and so another usual place.
    async fn connect(&self) -> anyhow::Result<UnixStream> {
        let usual = connect_to(&self.socket).await;
        if let Ok(Some(stream)) = usual {
            return Ok(stream);
        }
        // `su` may keep another user's XDG_RUNTIME_DIR, so what is there decides nothing yet.
        if let Some(noted) = daemon::noted_socket(&self.state_dir).filter(|noted| *noted != self.socket)
            && let Some(stream) = connect_to(&noted).await?
        {
            return Ok(stream);
        }
        usual?;
        Err(self.not_running())
    }

    async fn request(&self, method: Method, path: &str, body: Body) -> anyhow::Result<Bytes> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut background = JoinSet::new();
        background.spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "ferrybox")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let gone = |_| Unfinished("the daemon ended while it was asked".to_owned());
        let response = sender.send_request(request).await.map_err(gone)?;
        let status = response.status();
        let bytes = to_bytes(Body::new(response.into_body()), LARGEST)
            .await
            .map_err(|_| Unfinished("the daemon ended while it answered".to_owned()))?;
        judged(status, bytes)
    }
}

/// The body of a success, or what an error means for the caller.
fn judged(status: StatusCode, bytes: Bytes) -> anyhow::Result<Bytes> {
    if status.is_success() {
        return Ok(bytes);
    }
    let detail = serde_json::from_slice::<Refusal>(&bytes).map_or_else(|_| status.to_string(), |r| r.detail);
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::REQUEST_TIMEOUT {
        return Err(Unfinished(detail).into());
    }
    Err(Usage(detail).into())
}

/// Connects, but only to a socket that this user or root made; none if nobody listens there.
async fn connect_to(socket: &Path) -> anyhow::Result<Option<UnixStream>> {
    let shown = socket.display();
    let foreign = || {
        Unfinished(format!(
            "the daemon at {shown} belongs to another user: run this command as that user (`sudo -u USER ...`)"
        ))
    };
    let meta = match fs::symlink_metadata(socket) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(foreign().into()),
        Err(error) => return Err(error).context(format!("cannot look at {shown}")),
    };
    let me = rustix::process::geteuid().as_raw();
    if !meta.file_type().is_socket() || (meta.uid() != me && meta.uid() != 0 && me != 0) {
        return Err(Usage(format!("{shown} is not a socket of this user's daemon: look at daemon.socket")).into());
    }
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(foreign().into()),
        Err(error) => Err(error).context(format!("cannot connect to {shown}")),
    }
}

/// Whether a daemon answers, wherever its socket is.
pub(super) fn is_running(of: &Daemon) -> bool {
    let answers = |socket: &Path| std::os::unix::net::UnixStream::connect(socket).is_ok();
    answers(&of.socket) || daemon::noted_socket(&of.state_dir).is_some_and(|noted| answers(&noted))
}
