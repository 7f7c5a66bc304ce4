//! Work that blocks, as the tasks of an account do it: what it fails with ends the account's tasks.

use crate::engine::heartbeat::on_the_disk;
use crate::store::StoreError;

/// What ends an account's tasks: the queue itself cannot be trusted or reached any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// The state database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task ended that never should.
    #[error("{0}")]
    Task(String),
}

/// Runs something that blocks on the threads made for that; a panic there ends the program, not just a task.
pub(crate) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Fatal> {
    match on_the_disk(f).await {
        Ok(outcome) => outcome.map_err(Fatal::Store),
        Err(error) => Err(Fatal::Task(format!("a task on the disk died: {error}"))),
    }
}
