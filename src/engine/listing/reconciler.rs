//! Keeps the remote cache in step: full listing, then `continue` until nothing more is ready, then a longpoll, then `continue` again.
//!
//! One task an account, with one lane a cursor. A lane makes one call at a time and repeats a failed one only after that has ended, so no
//! two listing calls with the same parameters are ever under way. How long it waits is [`Course`]'s to say.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;

use crate::dropbox::{CallError, Changes, TransportKind};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::gather::remote::Lane;
use crate::engine::listing::follower::{Follower, Stepped, Stuck};
use crate::env;
use crate::env::Instant;
use crate::env::chance;
use crate::model::status::AccountState;
use crate::model::{Next, RemotePath};
use crate::plan::delete::guard::Limits;
use crate::plan::listing::course::{Course, Failed, Outlook, Wake, server_pause, wakes};

/// Changes of the database come in runs: one look serves several.
const SETTLING: Duration = Duration::from_millis(200);
/// Rows freed at once while nothing else is to be done.
const SLICE: usize = 5000;
/// After this many failures in a row uploads no longer wait for a first listing.
const FAILURES: u32 = 3;
/// At most one look a second at a folder that is missing, however busy the folder above it is.
const BUSY_ABOVE: Duration = Duration::from_millis(200);

/// Follows all listings of the account, for ever.
pub(crate) async fn run(account: Arc<Account>) -> Result<(), Fatal> {
    let patience = async {
        env::sleep(account.config.listing.patience).await;
        for lane in &account.remote.lanes {
            lane.set(|now| now.let_go = true);
            lane.roots_looked_at(&account.store);
        }
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
struct Memory {
    course: Course,
    /// Whether what happened before the start was fetched.
    caught_up: bool,
    /// While the folder is missing: what changes in the nearest folder above it that is there.
    above: Option<String>,
    /// Not before this may the next longpoll be sent.
    longpoll_at: Option<Instant>,
    /// When the call under way, or the last one, began.
    called_at: Option<Instant>,
}

async fn follow(account: &Account, lane: &Arc<Lane>) -> Result<(), Fatal> {
    let safety = &account.config.safety;
    let limits = Limits { max_deletions: safety.max_deletions, max_share: safety.max_deletion_share };
    let (store, dropbox) = (account.store.clone(), account.dropbox.clone());
    let mut follower = Follower::new(store, dropbox, Arc::clone(lane), limits);
    let mut memory = Memory::default();
    let mut comparisons = account.store.comparisons();
    loop {
        account.may_work().await;
        // Whoever asks for a comparison from here on is seen by the wait that follows the step.
        comparisons.borrow_and_update();
        let asked = lane.asked();
        memory.called_at = Some(env::instant());
        let stepped = follower.step().await;
        let stepped = match stepped {
            // The first look of a run does not wait for a change: what happened meanwhile is fetched, however little it is.
            Ok(Stepped::AtRest(_)) if !memory.caught_up => {
                memory.caught_up = true;
                follower.fetch().await.inspect_err(|_| memory.caught_up = false)
            }
            Ok(Stepped::AtRest(cursor)) => {
                works(account);
                memory.course.missed = 0;
                at_rest(account, lane);
                wait(account, &mut follower, &mut memory, &mut comparisons, &cursor).await
            }
            Ok(Stepped::Missing) => {
                lane.confirm();
                at_rest(account, lane);
                lane.tried(asked);
                wait_above(account, lane, &mut memory, &mut comparisons).await
            }
            other => other,
        };
        match stepped {
            // That these calls succeed says nothing of whether the listing gets on.
            Ok(Stepped::Restarted(why)) => restarted(account, lane, &mut memory, &why).await,
            Ok(Stepped::Barren) => match memory.course.paged(true) {
                Some(Duration::ZERO) => {}
                Some(wait) => {
                    fails(
                        lane,
                        "page after page comes without anything new, and more is to come, so that it is asked slowly",
                    );
                    env::sleep(wait).await;
                }
                None => {
                    let text = "many pages in a row brought nothing new; it is asked again after a pause".to_owned();
                    pause(account, lane, &mut memory, Stuck::Protocol(text)).await?;
                }
            },
            Ok(went) => {
                if matches!(went, Stepped::Went(1..)) {
                    weigh_again(account, &follower.lane);
                    memory.course.paged(false);
                }
                // Until a cursor has served, and while pages bring nothing, what failed before is not over.
                if memory.course.restarts <= 1 && !memory.course.is_slowed() {
                    works(account);
                    lane.gets_on();
                    memory.course.failures = 0;
                }
            }
            Err(stuck) => {
                lane.tried(asked);
                pause(account, lane, &mut memory, stuck).await?;
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
    lane.roots_looked_at(&account.store);
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

/// Shows why a listing does not get on.
fn fails(lane: &Lane, why: &str) {
    let scope = if lane.scope.as_str().is_empty() { "the account" } else { lane.scope.as_str() };
    lane.fail(format!(
        "what Dropbox has in {scope} cannot be read: {why}; it is tried again by itself, and nothing is known to be in sync meanwhile"
    ));
}

/// Waits out a failure; those of the whole account are noted there.
async fn pause(account: &Account, lane: &Lane, memory: &mut Memory, stuck: Stuck) -> Result<(), Fatal> {
    let mut timed_out = false;
    let (text, after) = match stuck {
        Stuck::Store(error) => return Err(error.into()),
        Stuck::Protocol(text) => (text, None),
        Stuck::Call(error) => {
            timed_out = matches!(&error, CallError::Transport(transport) if transport.kind == TransportKind::Timeout);
            let failure = error.failure();
            if matches!(failure.code.as_str(), "offline" | "auth_required" | "path_root") {
                account.note(&failure);
            }
            let after = if let Next::Retry { after } = failure.next { after } else { None };
            (failure.text, after)
        }
    };
    let unanswered = memory.called_at.filter(|_| timed_out).map(|began| began.elapsed());
    let pause = memory.course.failed(Failed { after, unanswered }, chance());
    tracing::debug!(scope = %lane.scope, why = %text, failures = memory.course.failures, "the listing waits");
    if memory.course.failures >= FAILURES {
        let_go(account, lane);
    }
    fails(lane, &text);
    account.store.poke();
    rest(lane, env::instant() + pause.wait, pause.own).await;
    Ok(())
}

/// Waits until then; where it is our own patience only, a person may end it.
async fn rest(lane: &Lane, until: Instant, own: bool) {
    tokio::select! {
        () = env::sleep_until(until) => {}
        () = lane.ask.notified(), if own => {}
    }
}

/// The cursor was refused: everything is listed again, after a pause that grows until a cursor has served.
async fn restarted(account: &Account, lane: &Lane, memory: &mut Memory, why: &str) {
    let wait = memory.course.restarted(chance());
    memory.course.paged(false);
    if memory.course.restarts > 1 {
        fails(lane, &format!("the listing's cursor is refused again and again ({why})"));
        account.store.poke();
        if memory.course.restarts > FAILURES {
            let_go(account, lane);
        }
        rest(lane, env::instant() + wait, true).await;
    }
}

/// At rest: waits for changes and fetches them; meanwhile frees what nobody can reach any more.
async fn wait(
    account: &Account,
    follower: &mut Follower,
    memory: &mut Memory,
    comparisons: &mut watch::Receiver<u64>,
    cursor: &str,
) -> Result<Stepped, Stuck> {
    let lane = Arc::clone(&follower.lane);
    if let Some(asked) = lane.question() {
        let stepped = follower.fetch().await;
        lane.tried(asked);
        return stepped;
    }
    let listing = account.store.listing(lane.id).await?;
    let began = lane.echo.begin();
    let polling = env::instant().max(memory.longpoll_at.unwrap_or_else(env::instant));
    let wakes = wakes(Outlook {
        comparison: lane.next_comparison().map(|at| at.saturating_duration_since(env::instant())),
        halfway: lane.echo.halfway(),
        unsure: (memory.course.restarts > 0).then(|| polling.saturating_duration_since(env::instant())),
        held: listing.held.is_some(),
    });
    let said = tokio::select! {
        said = changes(account, memory, cursor) => match said {
            Ok(said) => said,
            Err(error) if follower.is_lost(&error) => return follower.begin_anew(&error).await,
            Err(error) => return Err(Stuck::Call(error)),
        },
        fatal = free(account) => return Err(fatal),
        () = comparison(account, &lane) => return Ok(Stepped::Went(0)),
        // Somebody waits for our own commits to be listed: the longpoll, which waits for others, would be too slow.
        () = lane.nudge.notified() => return if lane.echo.is_wanted() { follower.fetch().await } else { Ok(Stepped::Went(0)) },
        () = lane.ask.notified() => return Ok(Stepped::Went(0)),
        _ = comparisons.changed() => return Ok(Stepped::Went(0)),
        () = account.pause_begins() => return Ok(Stepped::Went(0)),
        wake = sleep_until(wakes) => {
            match wake {
                Wake::Compare | Wake::Halfway => {}
                Wake::Accepted => memory.course.served(),
                Wake::Held => account.store.lose_cursor(lane.id).await?,
            }
            return Ok(Stepped::Went(0));
        }
    };
    lane.confirm();
    memory.course.served();
    let took = polling.elapsed();
    if !said.changes {
        memory.longpoll_at = Some(env::instant() + memory.course.polled(None, took, said.backoff));
        if listing.next.is_none() {
            let moved = lane.echo.ended(began);
            account.store.touch_below(lane.id, moved).await?;
        }
        return Ok(Stepped::Went(0));
    }
    // Until the page has come it is not known whether there is anything.
    memory.longpoll_at = Some(env::instant() + server_pause(said.backoff));
    let stepped = follower.fetch().await?;
    let brought = stepped != Stepped::Went(0);
    memory.longpoll_at = Some(env::instant() + memory.course.polled(Some(brought), took, said.backoff));
    Ok(stepped)
}

/// A listing has gone on: what another one holds may have turned up here.
fn weigh_again(account: &Account, gone_on: &Lane) {
    for lane in account.remote.lanes.iter().filter(|lane| lane.id != gone_on.id && lane.held().is_some()) {
        lane.nudge.notify_one();
    }
}

/// Never, if there is no such time.
async fn sleep_until(wakes: Option<(Duration, Wake)>) -> Wake {
    match wakes {
        Some((left, wake)) => {
            env::sleep(left).await;
            wake
        }
        None => std::future::pending().await,
    }
}

async fn changes(account: &Account, memory: &Memory, cursor: &str) -> Result<Changes, CallError> {
    if let Some(at) = memory.longpoll_at {
        env::sleep_until(at).await;
    }
    let listing = &account.config.listing;
    account.dropbox.longpoll(cursor, listing.longpoll.mul_f64(1.0 - chance() / 4.0)).await
}

/// Waits until something is to be compared and may be: moves of ours that kept it from that are settled, or base has lost rows.
async fn comparison(account: &Account, lane: &Lane) {
    let mut changed = account.store.changed();
    loop {
        changed.borrow_and_update();
        // The database's own failures are met by whoever works.
        let comparing = account.store.listing(lane.id).await.is_ok_and(|listing| listing.comparing);
        if comparing && lane.held().is_none() && lane.echo.halfway().is_none() {
            env::sleep(SETTLING).await;
            return;
        }
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
        env::sleep(SETTLING).await;
    }
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

/// The folder is not there: waits until something appears in the nearest folder above it, or for a pause that grows up to a minute, since a passing
/// "not found" is followed by no change. The cursor is taken before the folder is looked for again, so that nothing falls between.
async fn wait_above(
    account: &Account,
    lane: &Lane,
    memory: &mut Memory,
    comparisons: &mut watch::Receiver<u64>,
) -> Result<Stepped, Stuck> {
    if let Some(cursor) = memory.above.clone() {
        let longpoll = account.config.listing.longpoll.mul_f64(1.0 - chance() / 4.0);
        let look_at = env::instant() + memory.course.missing();
        let poll = async {
            if let Some(at) = memory.longpoll_at {
                env::sleep_until(at).await;
            }
            (env::instant(), account.dropbox.longpoll(&cursor, longpoll).await)
        };
        let (began, said) = tokio::select! {
            said = poll => said,
            () = env::sleep_until(look_at) => return Ok(Stepped::Missing),
            () = lane.ask.notified() => return Ok(Stepped::Missing),
            () = lane.nudge.notified() => return Ok(Stepped::Missing),
            _ = comparisons.changed() => return Ok(Stepped::Missing),
            () = account.pause_begins() => return Ok(Stepped::Missing),
            fatal = free(account) => return Err(fatal),
        };
        if said.is_ok() {
            lane.confirm();
        }
        match said {
            Ok(Changes { changes: false, backoff }) => {
                let wait = memory.course.polled(None, began.elapsed(), backoff);
                memory.longpoll_at = Some(env::instant() + wait);
            }
            Ok(Changes { backoff, .. }) => {
                memory.above = None;
                memory.longpoll_at = Some(env::instant() + server_pause(backoff).max(BUSY_ABOVE));
                env::sleep(BUSY_ABOVE).await;
            }
            Err(error) if error.is("reset") => {
                memory.above = None;
                env::sleep_until(look_at).await;
            }
            Err(error) => return Err(Stuck::Call(error)),
        }
        return Ok(Stepped::Missing);
    }
    let mut above = lane.scope.as_str();
    while let Some((parent, _)) = above.rsplit_once('/') {
        let path = RemotePath::parse(parent).unwrap_or_default();
        match account.dropbox.latest_cursor(&path).await {
            Ok(cursor) => {
                memory.above = Some(cursor);
                break;
            }
            Err(error) if error.is("path/not_found") || error.is("path/not_folder") => above = parent,
            Err(error) => return Err(Stuck::Call(error)),
        }
    }
    Ok(Stepped::Missing)
}
