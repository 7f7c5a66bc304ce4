//! Accounts whose state could not be opened at the start are tried again while the others work, with growing pauses.

use tokio_util::sync::CancellationToken;

use crate::api::status::Progress;
use crate::config::Config;
use crate::daemon::open;
use crate::daemon::process::Process;
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::env::{chance, ms, now_ms};
use crate::plan::time::retry;

/// When the next try is, from a second to five minutes after the last one. It outlives the start that follows a try that succeeded: should that one fail all the same, the pauses go on growing.
#[derive(Debug, Default)]
pub(crate) struct Reopening {
    tries: u32,
    /// `None`: there is nothing to try.
    at: Option<Instant>,
}

impl Reopening {
    /// A start is over. With `once` nothing is tried again: the run ends by itself.
    pub(crate) fn begin(&mut self, progress: &Progress, once: bool) {
        self.at = None;
        if lock(&progress.failed).is_empty() {
            self.tries = 0;
        } else if !once {
            self.wait(progress);
        }
    }

    fn wait(&mut self, progress: &Progress) {
        self.tries = self.tries.saturating_add(1);
        let pause = retry::steady(self.tries, chance());
        self.at = Some(env::instant() + pause);
        let next = now_ms().saturating_add(ms(pause));
        lock(&progress.failed).iter_mut().for_each(|failed| failed.next = next);
    }

    /// A try is over, and nothing could be opened.
    pub(crate) fn failed(&mut self, progress: &Progress) {
        self.wait(progress);
    }

    /// Comes back when it is time for the next try.
    pub(crate) async fn until(&self) {
        match self.at {
            Some(at) => env::sleep_until(at).await,
            None => std::future::pending::<()>().await,
        }
    }
}

/// One try. `true`: an account can be opened by now, and everything is to be started over with it. It may take minutes, and goes on beside all other work.
pub(crate) async fn try_again(
    config: &Config,
    stop: &CancellationToken,
    process: &Process,
    progress: &Progress,
) -> bool {
    let names: Vec<String> = lock(&progress.failed).iter().map(|failed| failed.name.clone()).collect();
    for name in names {
        match open::try_again(config, &name, stop, process).await {
            Ok(()) => {
                tracing::info!(account = name, "the account's state can be opened again: starting over with it");
                return true;
            }
            Err(why) => {
                tracing::warn!(account = name, reason = why, "the account's state still cannot be opened");
                if let Some(failed) = lock(&progress.failed).iter_mut().find(|failed| failed.name == name) {
                    failed.why = why;
                }
            }
        }
    }
    false
}
