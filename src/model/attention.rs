//! How things stand, in one place: the facts about an account as plain data, and one pure function that gives its state, its folders' states, their
//! reasons, and what follows for exit codes, `/v1/health` and log lines.
//!
//! The daemon gathers the facts in `api/attention` and asks nowhere else. A folder is [`FolderState::InSync`] only if both sides were read
//! completely since the last change, nothing waits, and nothing is held in either direction: what is not known is said to be not known.

use super::Mode;
use super::status::{AccountState, FolderState, Pending, Rate};

/// A listing, an account or a folder that failed this often in a row is told as one that does not get on: `run --once` and `sync --wait` end.
pub const TRIES: u32 = 3;
/// A folder whose listing was read in this run works on through so many failed tries of it before `run --once` ends.
pub const PATIENT_TRIES: u32 = 8;
/// A listing that fails for longer than this makes `/v1/health` say so, in ms.
pub const SICK_AFTER_MS: i64 = 180_000;

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFacts {
    /// It was asked to stop.
    pub stopping: bool,
    /// The disk of its database is full.
    pub disk_full: Option<String>,
    /// A person wants nothing done.
    pub paused: Option<String>,
    /// Why everything waits.
    pub trouble: Option<Trouble>,
    /// Dropbox takes no more content.
    pub quota_full: Option<String>,
    /// It takes no more since the team's data-transport calls are spent, not for want of room.
    pub spent: bool,
    /// Dropbox asked for a pause of some class of calls.
    pub throttled: Option<String>,
    /// Calls are slowed down from here.
    pub slowed: Option<String>,
    /// Whether Dropbox has said whose account it is.
    pub known: bool,
    /// Its folders.
    pub folders: Vec<FolderFacts>,
}

/// Why everything of an account waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it makes of the account.
    pub state: AccountState,
    /// One sentence, with the next try.
    pub reason: String,
    /// Failed tries in a row, after the first one.
    pub attempts: u32,
}

/// What is known of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderFacts {
    /// Its local directory, to name it in the account's reason.
    pub local: String,
    /// Whether what changes in Dropbox comes down.
    pub comes_down: bool,
    /// The local root is not the one that was synced.
    pub root_missing: Option<String>,
    /// Deletions that are to go up wait for a person.
    pub held_up: Option<String>,
    /// Not everything is watched.
    pub degraded: Option<String>,
    /// Dropbox's side.
    pub listing: ListingFacts,
    /// Whether the local side was read completely since the start.
    pub scanned: bool,
    /// Whether it is being read, or is to be read.
    pub scanning: bool,
    /// Paths on their way: due, in work or staged.
    pub rows: u64,
    /// Those of them that are still tried: the others failed so often that they are problems.
    pub trying: u64,
    /// Those of `rows` that wait for a person, as the deletions of a held set.
    pub held_back: u64,
    /// Those of `rows` that go on while the account takes no more content.
    pub free: u64,
    /// Paths with a reason why they are not in sync.
    pub problems: u64,
}

/// What is known of the listing that covers a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListingFacts {
    /// Whether everything was read and compared since the start, and since the last change that is known of.
    pub read: bool,
    /// Whether it was read completely at any time since the start: what comes down is worked on.
    pub listed: bool,
    /// The folder is not in Dropbox any more, or is another one: what happened, and what to do.
    pub missing: Option<String>,
    /// What Dropbox says is too much to be believed or brought down without a person.
    pub held: Option<String>,
    /// The last call failed.
    pub failing: Option<Failing>,
    /// A person asked for a look, and none has ended since.
    pub asked: bool,
}

/// Calls that fail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failing {
    /// One sentence.
    pub reason: String,
    /// How many in a row.
    pub tries: u32,
    /// For how long, in ms.
    pub for_ms: i64,
}

/// So many files, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Files {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is on its way in a folder, by who tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Files that only this side tells of.
    pub up: Files,
    /// Files that only Dropbox tells of.
    pub down: Files,
    /// Files that both tell of.
    pub both: Files,
    /// What has no bytes, told of here: deletions, directories.
    pub other_here: u64,
    /// The same, told of by Dropbox.
    pub other_there: u64,
    /// Changes of Dropbox that are staged.
    pub staged_there: u64,
    /// Changes of this disk that are staged.
    pub staged_here: u64,
    /// Bytes of files under way that have arrived already, going up and coming down.
    pub arrived: (u64, u64),
}

/// The work by direction, as people count it. Until Dropbox's side was read, nobody knows what of it has to go up.
pub fn pending(mode: Mode, listed: bool, work: &Work) -> Pending {
    let (up, down) = (work.up.files, work.down.files);
    let (uploads, downloads, comparing) = match mode {
        Mode::TwoWay if listed => (up, down, work.both.files),
        Mode::Download if listed => (0, down, up.saturating_add(work.both.files)),
        Mode::Backup | Mode::Mirror if listed => (up, 0, down.saturating_add(work.both.files)),
        _ => (0, 0, up.saturating_add(down).saturating_add(work.both.files)),
    };
    let (sent, came) = work.arrived;
    let bytes = work.up.bytes.saturating_sub(sent).saturating_add(work.down.bytes.saturating_sub(came));
    Pending {
        uploads,
        downloads,
        comparing,
        remote_changes: work.staged_there.saturating_add(work.other_here),
        local_changes: work.staged_here.saturating_add(work.other_there),
        bytes: bytes.saturating_add(work.both.bytes),
    }
}

/// Seconds left: whichever of files, bytes going up and bytes coming down takes longest at the present rates; unknown while nothing moves.
pub fn eta(pending: &Pending, work: &Work, rate: &Rate) -> Option<u64> {
    let changes = pending.remote_changes.saturating_add(pending.local_changes);
    let files = [pending.uploads, pending.downloads, pending.comparing].into_iter().fold(changes, u64::saturating_add);
    if files == 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let by_files = (rate.files_s > 0.0).then(|| (files as f64 / rate.files_s).ceil() as u64);
    let up = work.up.bytes.saturating_sub(work.arrived.0).checked_div(rate.up_bytes_s);
    let down = work.down.bytes.saturating_sub(work.arrived.1).checked_div(rate.down_bytes_s);
    // One large file under way has settled no file yet: its bytes tell.
    by_files.max(up).max(down)
}

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStands {
    /// Its state.
    pub state: AccountState,
    /// One sentence that says what to do; `None` in a good state.
    pub reason: Option<String>,
    /// Why it cannot go on without a person, or does not get on.
    pub stuck: Option<String>,
    /// Why `/v1/health` says that it is not well, its folders' reasons included.
    pub sick: Option<String>,
    /// Its folders, in their order.
    pub folders: Vec<FolderStands>,
}

/// How a folder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderStands {
    /// Its state.
    pub state: FolderState,
    /// One sentence that says what to do; `None` in a good state.
    pub reason: Option<String>,
    /// Something goes on by itself, and is worth waiting for.
    pub busy: bool,
    /// Why it cannot be brought into sync now.
    pub stuck: Option<String>,
    /// Why `/v1/health` says that it is not well.
    pub sick: Option<String>,
    /// Paths with a reason why they are not in sync.
    pub problems: u64,
}

/// How bad it is, from good to bad: exit codes, the level of log lines and colours follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// In sync.
    Good,
    /// Work goes on by itself.
    Working,
    /// Single paths have problems.
    Problems,
    /// It needs a person, or does not get on.
    Attention,
}

impl Severity {
    /// The exit code of a command that waited for the end: `Working` is no end.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good | Self::Working => 0,
            Self::Problems => 3,
            Self::Attention => 4,
        }
    }
}

impl FolderState {
    /// How bad the state is by itself: colours and the level of log lines follow from it.
    pub fn severity(self) -> Severity {
        match self {
            Self::InSync => Severity::Good,
            Self::Syncing => Severity::Working,
            Self::Paused | Self::DegradedWatch => Severity::Problems,
            Self::Waiting | Self::Held | Self::RootMissing | Self::RemoteMissing | Self::DiskFull | Self::Failed => {
                Severity::Attention
            }
        }
    }
}

impl FolderStands {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match (&self.stuck, self.busy, self.problems) {
            (Some(_), ..) => Severity::Attention,
            (None, true, _) => Severity::Working,
            (None, false, 0) => Severity::Good,
            (None, false, _) => Severity::Problems,
        }
    }
}

/// Troubles that no waiting ends.
pub fn needs_a_person(state: AccountState) -> bool {
    matches!(state, AccountState::AuthRequired | AccountState::AccountMismatch | AccountState::Failed)
}

/// How an account and its folders stand.
pub fn judge(facts: &AccountFacts) -> AccountStands {
    let folders: Vec<FolderStands> = facts.folders.iter().map(|folder| folder_stands(facts, folder)).collect();
    let (state, own) = account_state(facts, &folders);
    let named = |reason: &dyn Fn(&FolderStands) -> Option<String>| {
        let mut all = facts.folders.iter().zip(&folders);
        all.find_map(|(of, folder)| Some(format!("{}: {}", of.local, reason(folder)?)))
    };
    let whole = whole_trouble(facts);
    let needs = named(&|folder| folder.stuck.clone().filter(|_| folder.reason.is_some()));
    let slow = facts.slowed.clone().or_else(|| named(&|folder| folder.reason.clone()));
    let sick = match state {
        AccountState::Offline
        | AccountState::AuthRequired
        | AccountState::AccountMismatch
        | AccountState::QuotaFull
        | AccountState::Failed => own.clone(),
        _ => named(&|folder| folder.sick.clone()),
    };
    let stuck = match &whole {
        Some(Whole::Paused(reason)) => Some((*reason).clone()),
        Some(Whole::Trouble(trouble)) if stuck_in_trouble(facts) => Some(trouble.reason.clone()),
        _ => None,
    };
    AccountStands { state, reason: own.or(needs).or(slow), stuck, sick, folders }
}

/// What concerns all of an account's folders alike.
enum Whole<'a> {
    Paused(&'a String),
    Trouble(&'a Trouble),
}

fn whole_trouble(facts: &AccountFacts) -> Option<Whole<'_>> {
    let paused = facts.paused.as_ref().map(Whole::Paused);
    paused.or_else(|| facts.trouble.as_ref().map(Whole::Trouble))
}

/// The account's state, and its own reason.
fn account_state(facts: &AccountFacts, folders: &[FolderStands]) -> (AccountState, Option<String>) {
    if facts.stopping {
        return (AccountState::Stopping, Some("asked to stop".to_owned()));
    }
    if let Some(full) = &facts.disk_full {
        return (AccountState::Paused, Some(full.clone()));
    }
    match whole_trouble(facts) {
        Some(Whole::Paused(reason)) => return (AccountState::Paused, Some(reason.clone())),
        Some(Whole::Trouble(trouble)) => return (trouble.state, Some(trouble.reason.clone())),
        None => {}
    }
    if let Some(full) = &facts.quota_full {
        let state = if facts.spent { AccountState::RateLimited } else { AccountState::QuotaFull };
        return (state, Some(full.clone()));
    }
    if let Some(throttled) = &facts.throttled {
        return (AccountState::RateLimited, Some(throttled.clone()));
    }
    if !facts.known {
        return (AccountState::Starting, Some(STARTING.to_owned()));
    }
    if folders.iter().any(|folder| folder.state == FolderState::Syncing) {
        return (AccountState::Syncing, None);
    }
    (AccountState::Idle, None)
}

const STARTING: &str = "asking Dropbox whose account this is";

fn folder_stands(account: &AccountFacts, folder: &FolderFacts) -> FolderStands {
    let listing = &folder.listing;
    let (state, reason) = folder_state(account, folder);
    let trying = folder.trying > folder.held_back;
    let unread = !listing.read || listing.asked || listing.failing.is_some();
    let gives_up = |failing: &&Failing| {
        failing.tries >= if folder.comes_down && listing.listed && trying { PATIENT_TRIES } else { TRIES }
    };
    let failing = listing.failing.as_ref().filter(gives_up).filter(|_| !listing.asked).map(|f| f.reason.clone());
    // What stops all work here, and what only keeps the end from being good.
    let stops = match state {
        FolderState::DiskFull | FolderState::RootMissing | FolderState::RemoteMissing | FolderState::Paused => true,
        FolderState::Waiting => stuck_in_trouble(account) || (account.quota_full.is_some() && folder.free == 0),
        // What comes down is decided from a listing of this run or not at all.
        _ => failing.is_some() && folder.comes_down,
    };
    let waits = match state {
        FolderState::Held
        | FolderState::DiskFull
        | FolderState::RootMissing
        | FolderState::RemoteMissing
        | FolderState::Paused
        | FolderState::Failed => reason.clone(),
        FolderState::Waiting => reason.clone().filter(|_| stuck_in_trouble(account) || account.trouble.is_none()),
        FolderState::Syncing | FolderState::DegradedWatch | FolderState::InSync => failing.clone(),
    };
    // A listing that is held, or has been given up, is not waited for.
    let reading = unread && listing.held.is_none() && failing.is_none();
    let passing = account.trouble.is_some() && !stuck_in_trouble(account);
    let goes_on = !folder.scanned || folder.scanning || trying || reading || passing || !account.known;
    let busy = !stops && goes_on;
    let long = listing.failing.as_ref().filter(|f| f.for_ms >= SICK_AFTER_MS).map(|f| f.reason.clone());
    let sick = match state {
        FolderState::RootMissing
        | FolderState::RemoteMissing
        | FolderState::Held
        | FolderState::DiskFull
        | FolderState::Failed
        | FolderState::Waiting => reason.clone(),
        _ => long,
    };
    FolderStands { state, reason, busy, stuck: waits, sick, problems: folder.problems }
}

fn stuck_in_trouble(account: &AccountFacts) -> bool {
    account.trouble.as_ref().is_some_and(|trouble| trouble.attempts >= TRIES || needs_a_person(trouble.state))
}

fn folder_state(account: &AccountFacts, folder: &FolderFacts) -> (FolderState, Option<String>) {
    let listing = &folder.listing;
    if let Some(full) = &account.disk_full {
        return (FolderState::DiskFull, Some(full.clone()));
    }
    if let Some(missing) = &folder.root_missing {
        return (FolderState::RootMissing, Some(missing.clone()));
    }
    if let Some(paused) = &account.paused {
        return (FolderState::Paused, Some(paused.clone()));
    }
    let waits = |trouble: &Trouble| (FolderState::Waiting, Some(format!("the account waits: {}", trouble.reason)));
    if let Some(trouble) = account.trouble.as_ref().filter(|trouble| needs_a_person(trouble.state)) {
        return waits(trouble);
    }
    if let Some(missing) = &listing.missing {
        return (FolderState::RemoteMissing, Some(missing.clone()));
    }
    let held: Vec<&str> = folder.held_up.iter().chain(&listing.held).map(String::as_str).collect();
    if !held.is_empty() {
        return (FolderState::Held, Some(held.join("; ")));
    }
    if let Some(trouble) = &account.trouble {
        return waits(trouble);
    }
    let pending = folder.rows > folder.held_back;
    if let Some(full) = account.quota_full.as_ref().filter(|_| pending && folder.rows > folder.free) {
        return (FolderState::Waiting, Some(format!("the account waits: {full}")));
    }
    if !account.known {
        return (FolderState::Syncing, Some(STARTING.to_owned()));
    }
    if let Some(failing) = &listing.failing {
        return (FolderState::Syncing, Some(failing.reason.clone()));
    }
    if pending {
        return (FolderState::Syncing, account.throttled.clone().or_else(|| account.slowed.clone()));
    }
    if !folder.scanned || folder.scanning || !listing.read {
        return (FolderState::Syncing, None);
    }
    match &folder.degraded {
        Some(reason) => (FolderState::DegradedWatch, Some(reason.clone())),
        None => (FolderState::InSync, None),
    }
}

#[cfg(test)]
mod tests;
