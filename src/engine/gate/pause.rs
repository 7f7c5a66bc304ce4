//! A pause that a person asked for. It stands in the database, so that it outlives restarts, and ends by itself if it was given a time.
//!
//! While it lasts nothing is claimed, committed or listed. What is under way comes to its end: a request with content, a commit job that the
//! server has taken. Watching and scanning go on, so that every change is known when the work does.

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::env;
use crate::env::{moment, now_ms, rfc3339};
use crate::model::UnixMs;
use crate::model::api::PauseAnswer;
pub(crate) use crate::store::Pause;
use crate::store::{Store, StoreError};

/// Whether a pause has not come to its end.
fn lasts(pause: Pause, now: UnixMs) -> bool {
    pause.until.is_none_or(|until| until > now)
}

/// The pause that the database knows of.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn remembered(store: &Store) -> Result<Option<Pause>, StoreError> {
    Ok(store.pause().await?.filter(|pause| lasts(*pause, now_ms())))
}

impl Account {
    /// The pause that lasts now.
    pub(crate) fn paused(&self) -> Option<Pause> {
        self.paused.borrow().filter(|pause| lasts(*pause, now_ms()))
    }

    /// Why nothing goes on, and what to do, while a pause lasts.
    pub(crate) fn paused_reason(&self) -> Option<String> {
        let pause = self.paused()?;
        let since = rfc3339(pause.since);
        Some(match pause.until {
            Some(until) => format!(
                "paused by a person at {since} until {}: `ferrybox resume {}` ends that sooner",
                rfc3339(until),
                self.name
            ),
            None => format!("paused by a person at {since}: `ferrybox resume {}` lets it go on", self.name),
        })
    }

    /// Pauses the account, or changes until when.
    pub(crate) async fn pause(&self, until: Option<UnixMs>) -> Result<PauseAnswer, Fatal> {
        let since = self.paused().map_or_else(now_ms, |pause| pause.since);
        let pause = Pause { since, until };
        // Written first: whoever is told of a pause can rely on it.
        self.store.set_pause(Some(pause)).await?;
        self.paused.send_replace(Some(pause));
        tracing::info!(account = %self.name, until = until.map(rfc3339), "paused");
        self.store.poke();
        Ok(PauseAnswer { account: self.name.clone(), paused: true, until: until.map(rfc3339), changed: true })
    }

    /// Ends the pause. An account that is not paused stays as it is.
    pub(crate) async fn resume(&self) -> Result<PauseAnswer, Fatal> {
        self.store.set_pause(None).await?;
        let changed = self.paused().is_some();
        self.paused.send_replace(None);
        if changed {
            tracing::info!(account = %self.name, "resumed");
        }
        self.store.poke();
        Ok(PauseAnswer { account: self.name.clone(), paused: false, until: None, changed })
    }

    /// Resolves while a pause lasts; for ending a wait early.
    pub(crate) async fn pause_begins(&self) {
        let mut paused = self.paused.subscribe();
        let now = now_ms();
        // The sender lives as long as the account.
        let _ = paused.wait_for(|pause| pause.is_some_and(|pause| lasts(pause, now))).await;
    }

    /// As [`Account::ready`], for work that a pause holds up.
    pub(crate) async fn may_work(&self) {
        loop {
            self.wait_for_pause().await;
            self.ready().await;
            if self.paused().is_none() {
                return;
            }
        }
    }

    async fn wait_for_pause(&self) {
        let mut paused = self.paused.subscribe();
        loop {
            let pause = *paused.borrow_and_update();
            match pause {
                Some(pause) if lasts(pause, now_ms()) => {
                    let end = async {
                        match pause.until {
                            Some(until) => env::sleep_until(moment(until)).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = end => {}
                        _ = paused.changed() => {}
                    }
                }
                Some(_) => {
                    // Several tasks wait; the first one says that it is over.
                    let now = now_ms();
                    let over =
                        self.paused.send_if_modified(|pause| pause.take_if(|pause| !lasts(*pause, now)).is_some());
                    if over {
                        tracing::info!(account = %self.name, "the time of the pause is over");
                        self.store.poke();
                    }
                }
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_lasts_until_its_end() {
        assert!(lasts(Pause { since: 5, until: None }, i64::MAX));
        assert!(lasts(Pause { since: 5, until: Some(9) }, 8));
        assert!(!lasts(Pause { since: 5, until: Some(9) }, 9));
    }
}
