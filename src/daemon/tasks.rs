//! The tasks of all accounts, each account's in a set of their own: one whose database fails stops alone, and is tried again.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use crate::daemon::End;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::commit::committer::Committer;
use crate::engine::drive::drive;
use crate::engine::gate::identify;
use crate::engine::heartbeat::rest;
use crate::engine::intake::Intake;
use crate::engine::listing::reconciler;
use crate::engine::work::worker::Uploader;
use crate::env;
use crate::env::Instant;
use crate::env::chance;
use crate::env::lock;
use crate::plan::time::retry;

/// How a task ended.
pub(crate) type Ended = Result<Result<(), Fatal>, JoinError>;

/// One account's.
struct Own {
    account: Arc<Account>,
    tasks: JoinSet<Result<(), Fatal>>,
    /// When it is tried again; `None`: it works.
    again: Option<Instant>,
    failures: u32,
}

impl Own {
    fn wait(&mut self) {
        let wait = retry::backoff(self.failures, chance()).max(Duration::from_secs(1));
        self.failures = self.failures.saturating_add(1);
        self.again = Some(env::instant() + wait);
    }
}

/// All accounts'.
pub(crate) struct Tasks(Vec<Own>);

impl Tasks {
    pub(crate) fn new(accounts: &[Arc<Account>]) -> Self {
        let own = |account: &Arc<Account>| Own {
            account: Arc::clone(account),
            tasks: JoinSet::new(),
            again: None,
            failures: 0,
        };
        Self(accounts.iter().map(own).collect())
    }

    /// Starts what does not run and may.
    pub(crate) fn start(&mut self) {
        for own in self.0.iter_mut().filter(|own| own.tasks.is_empty() && own.again.is_none()) {
            let account = &own.account;
            let name = |what: &str| format!("{what} of account {}", account.name);
            for folder in &account.folders {
                let what = name(&format!("the watching of folder {}", folder.id.0));
                let intake = drive(Intake::new(Arc::clone(account), Arc::clone(folder)));
                own.tasks.spawn(account.beats.drive(what, intake));
            }
            for _ in 0..account.config.upload.workers.max(1) {
                let worker = drive(Uploader::new(Arc::clone(account)));
                own.tasks.spawn(account.beats.drive(name("a worker"), worker));
            }
            let committer = drive(Committer::new(Arc::clone(account)));
            own.tasks.spawn(account.beats.drive(name("the committer"), committer));
            // These wait for Dropbox nearly always: only their work on the disk is listened to.
            let listing = rest(reconciler::run(Arc::clone(account)));
            own.tasks.spawn(account.beats.drive(name("the listing"), listing));
            let who = Arc::clone(account);
            let identify = rest(async move { identify::run(&who).await });
            own.tasks.spawn(account.beats.drive(name("the look at the account"), identify));
        }
    }

    /// The next task that ends, and which account's it was. `None`: an account that was stopped may be started again.
    pub(crate) async fn next(&mut self) -> Option<(usize, Ended)> {
        let again = self.0.iter().filter_map(|own| own.again).min();
        let timer = async {
            match again {
                Some(at) => env::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let ended = poll_fn(|context| {
            for (i, own) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(Some(ended)) = own.tasks.poll_join_next(context) {
                    return Poll::Ready((i, ended));
                }
            }
            Poll::Pending
        });
        tokio::select! {
            ended = ended => return Some(ended),
            () = timer => {}
        }
        self.try_again().await;
        None
    }

    /// Stops one account alone, for a while. `false`: no other one works, so that there is nothing to go on with.
    pub(crate) async fn stop_one(&mut self, which: usize, end: &End) -> bool {
        if !self.0.iter().enumerate().any(|(i, own)| i != which && own.again.is_none()) {
            return false;
        }
        let Some(own) = self.0.get_mut(which) else { return false };
        own.tasks.shutdown().await;
        let (End::State(why) | End::Failed(why) | End::Unfinished(why) | End::Usage(why)) = end else { return false };
        own.wait();
        let account = &own.account;
        tracing::error!(account = %account.name, reason = %why, "the account stops; the others go on");
        *lock(&account.stopped) = Some(format!(
            "{why}: nothing of this account is synced; it is tried again by itself, and the others go on"
        ));
        account.begin_anew();
        account.store.poke();
        true
    }

    /// Lets those work again whose time has come.
    async fn try_again(&mut self) {
        let now = env::instant();
        for own in self.0.iter_mut().filter(|own| own.again.is_some_and(|at| at <= now)) {
            // As after a start: nobody holds a row.
            if let Err(error) = own.account.store.release_claims().await {
                tracing::error!(account = %own.account.name, reason = %error, "the account's database still fails");
                own.wait();
                continue;
            }
            own.again = None;
            *lock(&own.account.stopped) = None;
            own.account.store.poke();
        }
    }

    /// Ends all of them.
    pub(crate) async fn shutdown(&mut self) {
        for own in &mut self.0 {
            own.tasks.shutdown().await;
        }
    }

    /// As they are, for whoever closes everything.
    pub(crate) fn into_sets(self) -> impl Iterator<Item = JoinSet<Result<(), Fatal>>> {
        self.0.into_iter().map(|own| own.tasks)
    }
}
