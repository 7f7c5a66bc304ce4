//! Stub: the daemon's door, as the commands know it. Another branch builds the house behind it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::model::status::Status;

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Bring everything into sync, then end.
    pub once: bool,
}

/// How a run ended; each has its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// 0: everything in sync, or stopped as asked.
    InSync,
    /// 3: finished, but some paths have problems.
    Problems,
    /// 4: could not finish, and why.
    Unfinished(String),
    /// 64: usage or configuration.
    Usage(String),
    /// 74: the state database.
    State(String),
    /// 1: anything else.
    Failed(String),
}

/// Runs until everything is in sync (`once`), until `stop`, or until it cannot go on.
#[expect(clippy::unused_async, reason = "a stub")]
pub async fn run(config: Config, options: RunOptions, status: watch::Sender<Status>, stop: CancellationToken) -> End {
    drop((config, options, status, stop));
    End::Unfinished("this build has no daemon yet".to_owned())
}
