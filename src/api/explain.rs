//! One path's whole story, put together from all that is known of it.

use std::path::Path;

use crate::api::attention;
use crate::api::attention::Depth;
use crate::api::lists;
use crate::api::locate;
use crate::api::locate::Place;
use crate::api::status::Progress;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::work::preview;
use crate::engine::work::preview::Viewed;
use crate::env::rfc3339;
use crate::model::api::{Below, ChangeOf, Explained, IgnoredBy, RowOf, ViewOf};
use crate::model::status::FolderState;
use crate::model::{Base, BatchKind, Local, Remote, Stat};
use crate::plan::reconcile::{Action, Decision, describe};
use crate::store::{ChangeSeen, RowSeen};

/// Lines of the log that are shown with it.
const LINES: usize = 20;

/// Explains a path. `Err`: it is in no folder.
pub(crate) async fn explain(progress: &Progress, path: &Path) -> Result<Result<Explained, String>, Fatal> {
    let place = match locate::one(progress, path) {
        Ok(place) => place,
        Err(sentence) => return Ok(Err(sentence)),
    };
    let (account, folder) = (&place.account, &place.folder);
    let (at, of, paths) = (account.clone(), folder.clone(), [place.path.clone()]);
    let viewed = blocking(move || preview::of_blocking(&at, &of, &paths)).await?;
    let Some(viewed) = viewed.into_iter().next() else { return Ok(Err("nothing is known of this path".to_owned())) };
    let (row, change) = account.store.row_of(folder.id, &place.path).await?.unzip();
    let change = change.flatten();
    let below = Below {
        pending: account.store.pending_under(folder.id, &place.path).await?,
        problems: account.store.problems_under(folder.id, &place.path).await?,
    };
    let conflict = account.store.conflict_of(folder.id, &place.path).await?.map(|conflict| conflict.copy.to_string());
    let (log, _) = account.store.history(Some((folder.id, place.path.clone())), 0, LINES).await?;
    let held = folder.now().held.is_some();
    let (stands, _) = attention::of(account, Depth::Counts).await?;
    let stands = stands.folders.into_iter().nth(place.index).map(|stands| (stands.state, stands.reason));
    let (state, reason) = stands.unwrap_or_default();
    Ok(Ok(Explained {
        account: account.name.clone(),
        folder: folder.local.to_string_lossy().into_owned(),
        mode: folder.mode.to_string(),
        path: place.path.to_string(),
        remote_path: folder.home(&place.path).to_string(),
        summary: summary(
            &place,
            &viewed,
            row.as_ref(),
            change.as_ref(),
            (state, reason.as_deref()),
            below,
            !log.is_empty(),
        ),
        known: row.is_some() || !log.is_empty() || viewed.is_somewhere(),
        ignored: viewed.ignored.as_ref().map(|why| IgnoredBy {
            at: why.at.to_string(),
            pattern: why.pattern.clone(),
            source: why.source.to_string(),
        }),
        local: local(&viewed.local),
        base: viewed.base.as_ref().map(base),
        remote: remote(&viewed.remote),
        action: describe::word(&viewed.decision).to_owned(),
        action_text: viewed.sentence(),
        row: row.as_ref().map(|row| row_of(row, change.as_ref())),
        change: change.as_ref().map(|change| change_of(change, held)),
        conflict,
        below,
        history: log.into_iter().map(|row| lists::done(account, row)).collect(),
    }))
}

fn summary(
    place: &Place,
    viewed: &Viewed,
    row: Option<&RowSeen>,
    change: Option<&ChangeSeen>,
    (state, reason): (FolderState, Option<&str>),
    below: Below,
    has_history: bool,
) -> String {
    if let Some(why) = &viewed.ignored {
        let what = if why.at == place.path { "it".to_owned() } else { format!("the directory `{}` above it", why.at) };
        return format!("not synced: `{}` ignores {what} ({})", why.pattern, why.source);
    }
    let reason = reason.unwrap_or_default();
    let also = match state {
        FolderState::RootMissing | FolderState::RemoteMissing => return format!("the folder waits: {reason}"),
        FolderState::Paused => format!("; the account waits: {reason}"),
        FolderState::Held => format!("; held: {reason}"),
        // It begins with "the account waits" where that is so.
        FolderState::Waiting => format!("; {reason}"),
        FolderState::Syncing | FolderState::DiskFull | FolderState::Failed if !reason.is_empty() => {
            format!("; {reason}")
        }
        _ => String::new(),
    };
    let held = state == FolderState::Held;
    let Some(row) = row else { return resting(place, viewed, (state, reason), &also, below, has_history) };
    let failed = row.failure.as_ref().map(|(_, text)| text.as_str());
    match (row.state.as_str(), failed) {
        ("wedged", Some(text)) => format!("waits for a change of the path: {text}"),
        ("staged", _) if held && change.is_some_and(|change| change.kind.deletes()) => {
            "its deletion is held: `ferrybox approve` shows the set and what to do".to_owned()
        }
        ("staged", Some(text)) => format!("its commit is tried again: {text}{also}"),
        ("staged", None) if change.is_some_and(|change| change.kind == BatchKind::Copy) => {
            format!("its content is in Dropbox already: it is copied there, and waits for that{also}")
        }
        ("staged", None) => match place.folder.now().deletions_wait {
            Some(why) if change.is_some_and(|change| change.kind.deletes()) => {
                format!("its deletion waits: {why}{also}")
            }
            _ => format!("sent; waits for its commit{also}"),
        },
        ("claimed", _) => "is being worked on".to_owned(),
        (_, Some(text)) => format!("is tried again at {}: {text}{also}", rfc3339(row.due_at)),
        (_, None) => format!("waits for its turn, not before {}{also}", rfc3339(row.due_at)),
    }
}

/// The summary of a path that has no row: nothing is known to be done about it.
fn resting(
    place: &Place,
    viewed: &Viewed,
    (state, reason): (FolderState, &str),
    also: &str,
    below: Below,
    has_history: bool,
) -> String {
    let counts = if below.pending + below.problems == 0 {
        "nothing below it is to be done".to_owned()
    } else {
        format!("{} paths on their way and {} problems below it", below.pending, below.problems)
    };
    let mode = place.folder.mode;
    if place.path.is_root() {
        return format!("the folder itself; {counts}{also}");
    }
    match (&viewed.decision, &viewed.local, &viewed.remote) {
        _ if !viewed.is_somewhere() && has_history => "there is no such file any more, here or in Dropbox".to_owned(),
        _ if !viewed.is_somewhere() => "no such file, here or in Dropbox".to_owned(),
        (Decision::Do(Action::Nothing), Local::Dir, _) => format!("a directory; {counts}{also}"),
        (Decision::Do(Action::Nothing), Local::File(_), _) if viewed.base.is_none() => {
            format!("only here: this folder's mode is `{mode}`, and the file does not go up")
        }
        (Decision::Do(Action::Nothing), Local::File(stat), _)
            if viewed.base.as_ref().is_some_and(|base| base.stat.size != stat.size) =>
        {
            format!("changed here only: this folder's mode is `{mode}`, and the file does not go up")
        }
        (Decision::Do(Action::Nothing), Local::File(_), _) if state == FolderState::Syncing && !reason.is_empty() => {
            format!("in sync as far as is known{also}")
        }
        (Decision::Do(Action::Nothing), Local::File(_), _) => "in sync".to_owned(),
        (Decision::Do(Action::Nothing), Local::Absent, Remote::Unlisted) => {
            format!("not here, and whether Dropbox has it is not known yet{also}")
        }
        (Decision::Do(Action::Nothing), Local::Absent, Remote::File { .. } | Remote::Folder) => {
            format!("only in Dropbox: this folder's mode is `{mode}`, and it does not come down{also}")
        }
        (Decision::Do(Action::Nothing), ..) => format!("nothing is to be done{also}"),
        _ if state == FolderState::Held => format!("held: {reason}"),
        _ => {
            let path = place.folder.local.join(place.path.as_str());
            format!("changed, and not in the queue: `ferrybox sync {}` looks at it now{also}", path.display())
        }
    }
}

fn row_of(row: &RowSeen, change: Option<&ChangeSeen>) -> RowOf {
    let (code, text) = row.failure.clone().unzip();
    let next_try = match row.state.as_str() {
        "wedged" => None,
        _ => Some(rfc3339(change.map_or(row.due_at, |change| change.not_before))),
    };
    RowOf {
        state: row.state.clone(),
        generation: row.generation,
        attempts: row.attempts,
        since: rfc3339(row.since),
        next_try,
        code,
        text,
    }
}

fn change_of(change: &ChangeSeen, held: bool) -> ChangeOf {
    let state = match (change.in_batch, held && change.kind.deletes()) {
        (true, _) => "committing",
        (false, true) => "held",
        (false, false) => "waiting",
    };
    ChangeOf {
        kind: change.kind.word().to_owned(),
        to: change.to.clone(),
        rev: change.rev.clone(),
        size: change.size,
        attempts: change.attempts,
        since: rfc3339(change.since),
        state: state.to_owned(),
        not_before: rfc3339(change.not_before),
        async_job_id: change.async_job_id.clone(),
    }
}

fn file(stat: &Stat) -> ViewOf {
    let modified = Some(rfc3339(stat.mtime_ns.div_euclid(1_000_000)));
    ViewOf { kind: "file".to_owned(), size: Some(stat.size), modified, ..ViewOf::default() }
}

fn kind(kind: &str, note: Option<String>) -> ViewOf {
    ViewOf { kind: kind.to_owned(), note, ..ViewOf::default() }
}

fn local(view: &Local) -> ViewOf {
    match view {
        Local::Absent => kind("absent", None),
        Local::File(stat) => file(stat),
        Local::Dir => kind("folder", None),
        Local::Other(what) => kind("other", Some((*what).to_owned())),
        Local::Unknown(failure) => kind("unknown", Some(failure.text.clone())),
    }
}

fn base(base: &Base) -> ViewOf {
    ViewOf {
        content_hash: Some(base.content_hash.to_string()),
        rev: Some(base.rev.clone()),
        id: base.file_id.clone(),
        note: base.remote.as_ref().map(|remote| format!("lies at {remote} in Dropbox")),
        ..file(&base.stat)
    }
}

fn remote(view: &Remote) -> ViewOf {
    match view {
        Remote::Unlisted => kind("unlisted", None),
        Remote::Absent => kind("absent", None),
        Remote::Folder => kind("folder", None),
        Remote::File { content_hash, rev, size, id } => ViewOf {
            size: Some(*size),
            content_hash: content_hash.map(|hash| hash.to_string()),
            rev: Some(rev.clone()),
            id: Some(id.clone()),
            ..kind("file", None)
        },
    }
}
