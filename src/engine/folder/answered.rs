//! Asking a folder's disk on behalf of all folders: one that hangs holds up its own folder only.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::engine::heartbeat::on_the_disk_unless_silent;
use crate::env::lock;
use crate::store::StoreError;

/// A disk that makes no step for as long does not answer.
const SILENCE: Duration = Duration::from_secs(10);

/// As [`blocking`](crate::engine::blocking::blocking), for who looks after several folders: `None` while this one's disk does not answer, which holds up no other folder. `f` only looks,
/// since what it finds may be lost.
pub(crate) async fn answered<T: Send + 'static>(
    folder: &Arc<Folder>,
    f: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<Option<T>, Fatal> {
    if lock(&folder.unanswered).strong_count() > 0 {
        return Ok(None);
    }
    let asked = Arc::new(());
    let unanswered = Arc::downgrade(&asked);
    let work = move || {
        let outcome = f();
        drop(asked);
        outcome
    };
    match on_the_disk_unless_silent(SILENCE, work).await {
        Ok(Some(outcome)) => outcome.map(Some).map_err(Fatal::Store),
        Ok(None) => {
            *lock(&folder.unanswered) = unanswered;
            tracing::warn!(
                folder = folder.id.0,
                "the folder's disk does not answer: what waits there waits, and other folders go on"
            );
            Ok(None)
        }
        Err(error) => Err(Fatal::Task(format!("a task on the disk died: {error}"))),
    }
}
