//! A client of the daemon's socket: one request, one connection, always with a time-out unless the caller waits on purpose.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{Unfinished, Usage};
use crate::config::Daemon;
use crate::daemon;

const TIME: Duration = Duration::from_secs(15);
/// A status of thousands of folders has a few MiB.
const LARGEST: usize = 256 << 20;

pub(super) struct Client {
    socket: PathBuf,
    state_dir: PathBuf,
}

/// An answer that is not a success.
#[derive(serde::Deserialize)]
struct Refusal {
    detail: String,
}

impl Client {
    pub(super) fn new(of: &Daemon) -> Self {
        Self { socket: of.socket.clone(), state_dir: of.state_dir.clone() }
    }

    /// A question that the daemon answers at once.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let asked = self.request(Method::GET, path, Body::empty());
        let bytes = tokio::time::timeout(TIME, asked).await.map_err(|_| self.silent())??;
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood; is it of another version?")
    }

    /// A request that may take as long as it takes if `wait`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        wait: bool,
    ) -> anyhow::Result<T> {
        let asked = self.request(Method::POST, path, Body::from(serde_json::to_vec(body)?));
        let bytes =
            if wait { asked.await? } else { tokio::time::timeout(TIME, asked).await.map_err(|_| self.silent())?? };
        serde_json::from_slice(&bytes).context("the daemon's answer is not understood; is it of another version?")
    }

    fn silent(&self) -> anyhow::Error {
        Unfinished(format!("the daemon at {} does not answer", self.socket.display())).into()
    }

    fn not_running(&self) -> anyhow::Error {
        let socket = self.socket.display();
        Unfinished(format!("no daemon runs (nothing answers at {socket}): start it with `ferrybox run`")).into()
    }

    /// Connects to the configured socket, else to the one that the daemon noted in its state directory: a daemon that was started by cron or
    /// at boot has another environment than a shell, and so another usual place.
    async fn connect(&self) -> anyhow::Result<UnixStream> {
        if let Some(stream) = connect_to(&self.socket).await? {
            return Ok(stream);
        }
        if let Some(noted) = daemon::noted_socket(&self.state_dir).filter(|noted| *noted != self.socket)
            && let Some(stream) = connect_to(&noted).await?
        {
            return Ok(stream);
        }
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
        if status.is_success() {
            return Ok(bytes);
        }
        let detail = serde_json::from_slice::<Refusal>(&bytes).map_or_else(|_| status.to_string(), |r| r.detail);
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::REQUEST_TIMEOUT {
            return Err(Unfinished(detail).into());
        }
        Err(Usage(detail).into())
    }
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
