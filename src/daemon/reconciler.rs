//! Keeps the remote cache in step: full listing, then `continue` until nothing more is ready, then a longpoll, then `continue` again.
//!
//! One task an account, with one lane a cursor. A lane makes one call at a time and repeats a failed one only after that has ended, so no
//! two listing calls with the same parameters are ever under way.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::chance;
use crate::daemon::echo::HALFWAY;
use crate::daemon::follower::{Follower, Stepped, Stuck};
use crate::daemon::remote::Lane;
use crate::dropbox::{CallError, Changes};
use crate::model::status::AccountState;
use crate::model::{Next, RemotePath};
use crate::plan::guard::Limits;
use crate::plan::retry;

/// Rows freed at once while nothing else is to be done.
const SLICE: usize = 5000;
/// After this many failures in a row uploads no longer wait for a first listing.
const FAILURES: u32 = 3;
/// A held listing is asked for anew after this long: the trouble may have been Dropbox's own.
const HELD: Duration = Duration::from_mins(10);
/// How often cursors are tried that no longpoll takes.
const POLL: Duration = Duration::from_mins(1);
/// Waits between longpolls that say "changes" where there are none double up to this.
const QUIET: Duration = Duration::from_secs(30);

/// Follows all listings of the account, for ever.
pub(crate) async fn run(account: Arc<Account>) -> Result<(), Fatal> {
    let patience = async {
        tokio::time::sleep(account.config.listing.patience).await;
        account.remote.lanes.iter().for_each(|lane| lane.set(|now| now.let_go = true));
        account.store.poke();
        std::future::pending::<Result<(), Fatal>>().await
    };
    let lanes = try_join_all(account.remote.lanes.iter().map(|lane| follow(&account, lane)));
    tokio::select! {
        end = lanes => end.map(|_| ())?,
        end = patience => end?,
    }
    // An account whose folders need no listing has nothing to do here.
    std::future::pending().await
}

/// What a lane remembers between its steps.
#[derive(Default)]
struct Course {
    /// Failures in a row.
    failures: u32,
    /// Whether what happened before the start was fetched.
    caught_up: bool,
    /// Longpolls in a row that promised changes and brought none.
    hollow: u32,
    /// While the folder is missing: what changes in the nearest folder above it that is there.
    above: Option<String>,
    /// Not before this may the next longpoll be sent.
    longpoll_at: Option<Instant>,
}

async fn follow(account: &Account, lane: &Arc<Lane>) -> Result<(), Fatal> {
    let safety = &account.config.safety;
    let limits = Limits { max_deletions: safety.max_deletions, max_share: safety.max_deletion_share };
    let question = account.config.listing.question.clone();
    let (store, dropbox) = (account.store.clone(), account.dropbox.clone());
    let mut follower = Follower::new(store, dropbox, Arc::clone(lane), question, limits);
    let mut course = Course::default();
    loop {
        account.may_work().await;
        let asked = lane.asked();
        let stepped = follower.step().await;
        let stepped = match stepped {
            // The first look of a run does not wait for a change: what happened meanwhile is fetched, however little it is.
            Ok(Stepped::AtRest(_)) if !course.caught_up => {
                course.caught_up = true;
                follower.fetch().await.inspect_err(|_| course.caught_up = false)
            }
            Ok(Stepped::AtRest(cursor)) => {
                works(account);
                at_rest(account, lane);
                wait(account, &mut follower, &mut course, &cursor).await
            }
            Ok(Stepped::Missing) => {
                lane.confirm();
                at_rest(account, lane);
                lane.tried(asked);
                wait_above(account, lane, &mut course).await
            }
            other => other,
        };
        match stepped {
            Ok(_) => {
                works(account);
                course.failures = 0;
            }
            Err(stuck) => {
                lane.tried(asked);
                pause(account, lane, &mut course, stuck).await?;
            }
        }
    }
}

/// Everything that there is to fetch has been fetched: what waited for that goes on.
fn at_rest(account: &Account, lane: &Lane) {
    let mut news = false;
    lane.set(|now| {
        news = !now.rested;
        now.rested = true;
    });
    let_go(account, lane);
    if news {
        account.store.poke();
    }
}

/// Uploads no longer wait for the first listing.
fn let_go(account: &Account, lane: &Lane) {
    let mut waited = false;
    lane.set(|now| {
        waited = !now.let_go;
        now.let_go = true;
    });
    if waited {
        account.store.poke();
    }
}

/// A listing call went through: troubles of the network and of the token are over; a full account is not.
fn works(account: &Account) {
    let over = account.trouble.borrow().as_ref().is_some_and(|t| {
        matches!(t.state, AccountState::Offline | AccountState::AuthRequired | AccountState::RateLimited)
    });
    if over {
        account.works();
    }
}

/// Waits out a failure; those of the whole account are noted there.
async fn pause(account: &Account, lane: &Lane, course: &mut Course, stuck: Stuck) -> Result<(), Fatal> {
    let (text, after) = match stuck {
        Stuck::Store(error) => return Err(error.into()),
        Stuck::Protocol(text) => (text, None),
        Stuck::Call(error) => {
            let failure = error.failure();
            if matches!(failure.code.as_str(), "offline" | "auth_required" | "path_root") {
                account.note(&failure);
            }
            let after = if let Next::Retry { after } = failure.next { after } else { None };
            (failure.text, after)
        }
    };
    tracing::debug!(scope = %lane.scope, why = %text, failures = course.failures, "the listing waits");
    let wait = after.unwrap_or_else(|| retry::backoff(course.failures, chance()));
    course.failures = course.failures.saturating_add(1);
    if course.failures >= FAILURES {
        let_go(account, lane);
    }
    let scope = if lane.scope.as_str().is_empty() { "the account" } else { lane.scope.as_str() };
    lane.fail(format!(
        "what Dropbox has in {scope} cannot be read: {text}; it is tried again by itself, and nothing is known to be in sync meanwhile"
    ));
    account.store.poke();
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = lane.nudge.notified() => {}
        () = lane.ask.notified() => {}
    }
    Ok(())
}

/// At rest: waits for changes and fetches them; meanwhile frees what nobody can reach any more.
async fn wait(account: &Account, follower: &mut Follower, course: &mut Course, cursor: &str) -> Result<Stepped, Stuck> {
    let lane = Arc::clone(&follower.lane);
    if let Some(asked) = lane.question() {
        let stepped = follower.fetch().await;
        lane.tried(asked);
        return stepped;
    }
    let listing = account.store.listing(lane.id).await?;
    let held = listing.held.is_some();
    let halfway = lane.echo.halfway();
    let began = lane.echo.begin();
    let said = tokio::select! {
        said = changes(account, course, cursor) => match said {
            Ok(said) => said,
            Err(error) if follower.is_lost(&error) => return follower.begin_anew(&error).await,
            Err(error) => return Err(Stuck::Call(error)),
        },
        fatal = free(account) => return Err(fatal),
        // Somebody waits for our own commits to be listed: the longpoll, which waits for others, would be too slow.
        () = lane.nudge.notified(), if lane.echo.is_wanted() => return follower.fetch().await,
        () = lane.ask.notified() => return Ok(Stepped::Went(0)),
        () = lane.nudge.notified() => return Ok(Stepped::Went(0)),
        () = account.pause_begins() => return Ok(Stepped::Went(0)),
        // The device that began to rename something has not gone on: what it left is compared as it is.
        () = tokio::time::sleep(halfway.unwrap_or(HALFWAY)), if halfway.is_some() => return Ok(Stepped::Went(0)),
        () = tokio::time::sleep(HELD), if held => {
            account.store.lose_cursor(lane.id).await?;
            return Ok(Stepped::Went(0));
        }
    };
    lane.confirm();
    course.longpoll_at = said.backoff.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    if !said.changes {
        if listing.next.is_none() {
            lane.echo.ended(began);
        }
        return Ok(Stepped::Went(0));
    }
    let stepped = follower.fetch().await?;
    let hollow = stepped == Stepped::Went(0);
    course.hollow = if hollow { course.hollow.saturating_add(1) } else { 0 };
    if hollow {
        let wait = Duration::from_secs(1).saturating_mul(1 << course.hollow.min(5)).min(QUIET);
        let at = Instant::now() + wait;
        course.longpoll_at = Some(course.longpoll_at.map_or(at, |other| other.max(at)));
    }
    Ok(stepped)
}

async fn changes(account: &Account, course: &Course, cursor: &str) -> Result<Changes, CallError> {
    if let Some(at) = course.longpoll_at {
        tokio::time::sleep_until(at).await;
    }
    let listing = &account.config.listing;
    if listing.question.include_media_info {
        // "Cursors retrieved by setting include_media_info to true are not supported."
        tokio::time::sleep(POLL.mul_f64(0.75 + chance() / 2.0)).await;
        return Ok(Changes { changes: true, backoff: None });
    }
    account.dropbox.longpoll(cursor, listing.longpoll.mul_f64(1.0 - chance() / 4.0)).await
}

/// Frees slice by slice; comes back only with a failure.
async fn free(account: &Account) -> Stuck {
    loop {
        match account.store.free_remote(SLICE).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => return std::future::pending().await,
            Err(error) => return Stuck::Store(error),
        }
    }
}

/// The folder is not there: waits until something appears in the nearest folder above it. The cursor is taken before the folder is looked
/// for once more, so that nothing falls between.
async fn wait_above(account: &Account, lane: &Lane, course: &mut Course) -> Result<Stepped, Stuck> {
    if let Some(cursor) = course.above.clone() {
        let longpoll = account.config.listing.longpoll.mul_f64(1.0 - chance() / 4.0);
        let said = tokio::select! {
            said = account.dropbox.longpoll(&cursor, longpoll) => said,
            () = lane.nudge.notified() => return Ok(Stepped::Missing),
            () = lane.ask.notified() => return Ok(Stepped::Missing),
            () = account.pause_begins() => return Ok(Stepped::Missing),
            fatal = free(account) => return Err(fatal),
        };
        if said.is_ok() {
            lane.confirm();
        }
        match said {
            Ok(Changes { changes: false, backoff }) => {
                tokio::time::sleep(Duration::from_secs(backoff.unwrap_or(0))).await;
            }
            Ok(Changes { backoff, .. }) => {
                course.above = None;
                // At most one look a second, however busy the folder above is.
                tokio::time::sleep(Duration::from_secs(backoff.unwrap_or(0)).max(Duration::from_millis(200))).await;
            }
            Err(error) if error.is("reset") => course.above = None,
            Err(error) => return Err(Stuck::Call(error)),
        }
        return Ok(Stepped::Missing);
    }
    let mut above = lane.scope.as_str();
    while let Some((parent, _)) = above.rsplit_once('/') {
        let path = RemotePath::parse(parent).unwrap_or_default();
        match account.dropbox.latest_cursor(&path).await {
            Ok(cursor) => {
                course.above = Some(cursor);
                break;
            }
            Err(error) if error.is("path/not_found") => above = parent,
            Err(error) => return Err(Stuck::Call(error)),
        }
    }
    Ok(Stepped::Missing)
}
