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
use crate::store::{Store, StoreError};

/// Where the database keeps it: when it began, and when it ends (`-`: when somebody says so).
const KEY: &str = "paused";

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Since when.
    pub(crate) since: UnixMs,
    /// Until when; `None`: until somebody ends it.
    pub(crate) until: Option<UnixMs>,
}

impl Pause {
    fn lasts(self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    fn text(self) -> String {
        let until = self.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
        format!("{} {until}", self.since)
    }

    fn parse(text: &str) -> Option<Self> {
        let (since, until) = text.split_once(' ')?;
        let until = if until == "-" { None } else { Some(until.parse().ok()?) };
        Some(Self { since: since.parse().ok()?, until })
    }
}

/// The pause that the database knows of.
///
/// # Errors
/// When the database cannot be read.
pub(crate) async fn remembered(store: &Store) -> Result<Option<Pause>, StoreError> {
    let text = store.meta(KEY).await?;
    Ok(text.and_then(|text| Pause::parse(&text)).filter(|pause| pause.lasts(now_ms())))
}

impl Account {
    /// The pause that lasts now.
    pub(crate) fn paused(&self) -> Option<Pause> {
        self.paused.borrow().filter(|pause| pause.lasts(now_ms()))
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
        self.store.set_meta(KEY, &pause.text()).await?;
        self.paused.send_replace(Some(pause));
        tracing::info!(account = %self.name, until = until.map(rfc3339), "paused");
        self.store.poke();
        Ok(PauseAnswer { account: self.name.clone(), paused: true, until: until.map(rfc3339), changed: true })
    }

    /// Ends the pause. An account that is not paused stays as it is.
    pub(crate) async fn resume(&self) -> Result<PauseAnswer, Fatal> {
        self.store.unset_meta(KEY).await?;
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
        let _ = paused.wait_for(|pause| pause.is_some_and(|pause| pause.lasts(now))).await;
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
                Some(pause) if pause.lasts(now_ms()) => {
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
                    let over = self.paused.send_if_modified(|pause| pause.take_if(|pause| !pause.lasts(now)).is_some());
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
    fn a_pause_is_read_as_it_was_written() {
        for pause in [Pause { since: 5, until: None }, Pause { since: 5, until: Some(9) }] {
            assert_eq!(Pause::parse(&pause.text()), Some(pause));
        }
        for damaged in ["", "5", "x -", "5 soon"] {
            assert_eq!(Pause::parse(damaged), None, "{damaged:?}");
        }
        assert!(Pause { since: 5, until: None }.lasts(i64::MAX));
        assert!(!Pause { since: 5, until: Some(9) }.lasts(9));
    }
}
