//! Carries out what goes on the disk because it went in Dropbox: files to the local trash, directories by `rmdir` only.
//!
//! The guard has consented; here each path is looked at once more, with the root vouched for in the same round. A file goes only if it is as it was
//! agreed on, to the last stat; a directory only if nothing is in it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Folder;
use crate::engine::gather::hash;
use crate::engine::rescue;
use crate::env;
use crate::env::lock;
use crate::env::{ms, now_ms};
use crate::local::{Going, Keep, Refused, Removed, Root};
use crate::model::{Base, Batch, BatchKind, Change, ChangeId, FolderId, Local, Outcome, RelPath, RemoteChange, UnixMs};
use crate::plan::delete::removal::{Facts, Target, Tried, is_replaced, may_go, outcome};
use crate::plan::delete::trash_age::Lived;
use crate::store::{StoreError, TrashClock};

/// What became of the entries of a batch. Nothing here can fail as a whole but the database.
pub(crate) async fn carry_out(account: &Arc<Account>, batch: &Batch) -> Result<Vec<(ChangeId, Outcome)>, Fatal> {
    let account = Arc::clone(account);
    let mut changes = batch.changes.clone();
    // Files first, then directories from the inside out.
    changes.sort_by_key(|c| (target_of(c) == Target::Dir, Reverse(c.path.components().count())));
    blocking(move || changes.iter().map(|change| Ok((change.id, one(&account, change)?))).collect()).await
}

/// The outcomes, where a path that went holds something else by now (a directory in a file's place, say): settled, its row would be gone, and nobody
/// would look at what is there.
pub(crate) async fn replaced(
    account: &Arc<Account>,
    batch: &Batch,
    mut outcomes: Vec<(ChangeId, Outcome)>,
) -> Result<Vec<(ChangeId, Outcome)>, Fatal> {
    let down = |change: &Change| account.folder(change.folder).is_some_and(|folder| folder.comes_down());
    let paths: BTreeMap<ChangeId, (FolderId, RelPath)> = batch
        .changes
        .iter()
        .filter(|change| down(change))
        .map(|change| (change.id, (change.folder, change.path.clone())))
        .collect();
    if paths.is_empty() {
        return Ok(outcomes);
    }
    let (account, trash) = (Arc::clone(account), batch.kind == BatchKind::Trash);
    blocking(move || {
        for (id, outcome) in &mut outcomes {
            let Some((folder, path)) = paths.get(id).filter(|_| *outcome == Outcome::Settled(None)) else { continue };
            let here = account.folder(*folder).map_or(Local::Absent, |f| f.root.observe(path));
            let there = if trash { Some(account.remote.view_blocking(&account, *folder, path)?.remote) } else { None };
            if is_replaced(&here, there.as_ref()) {
                *outcome = Outcome::Replaced;
            }
        }
        Ok(outcomes)
    })
    .await
}

/// Days that an unfinished download stays for its next try.
const TMP_DAYS: UnixMs = 7;
const DAY_MS: UnixMs = 24 * 3600 * 1000;

/// What is known of the file that goes, if it is the one that was agreed on, or that was read. Blocks.
pub(crate) fn going(account: &Account, folder: &Folder, path: &RelPath, expected: &Local) -> Going {
    let when = now_ms();
    let Local::File(stat) = expected else { return when.into() };
    let base = account.store.base_blocking(folder.id, path).ok().flatten().filter(|base| base.stat == *stat);
    let holds = base.map(|base| base.content_hash).or_else(|| hash::known(account, stat).unwrap_or_default());
    Going { when, holds }
}

/// Removes what has been in the trash for long enough, or is too much of it, and downloads that were never finished. What was written to there is
/// brought out again. Blocks.
pub(crate) fn purge(account: &Account, folder: &Folder) -> Result<(), StoreError> {
    let root = folder.root.pin();
    if folder.vouch(&root).is_err() {
        return Ok(());
    }
    let safety = &account.config.safety;
    // A full disk keeps the count from being written down: purging makes the room for that.
    let (lived, noted) = go_on(account, folder)?;
    let keep = Keep {
        count: lived.count,
        is_old: &|seen| lived.is_old(seen, safety.trash_days),
        max_bytes: safety.trash_size,
        alive: &|| folder.beat.strike(),
    };
    let swept = root.sweep_tmp(now_ms().saturating_sub(TMP_DAYS * DAY_MS));
    let (swept, purged) = match swept.and_then(|swept| Ok((swept, root.purge(&keep)?))) {
        Ok(done) => done,
        Err(failure) => {
            tracing::warn!(folder = folder.id.0, reason = %failure.text, "the trash could not be purged");
            return noted;
        }
    };
    if let Some(failure) = purged.unnoted {
        tracing::warn!(folder = folder.id.0, reason = %failure.text, "since when something is in the trash could not be noted: it stays longer");
    }
    if swept + purged.files > 0 {
        let (files, bytes) = (purged.files, purged.bytes);
        tracing::info!(folder = folder.id.0, files, bytes, downloads = swept, "purged the trash");
    }
    if purged.in_use > 0 {
        tracing::debug!(folder = folder.id.0, files = purged.in_use, "files in the trash are still open: they stay");
    }
    for left in purged.changed {
        folder.beat.strike();
        rescue::out_of_the_trash(account, folder, &root, &left)?;
    }
    noted
}

/// The count of the time that the folder's trash was under this program's eyes, and whether it could be written down.
fn go_on(account: &Account, folder: &Folder) -> Result<(Lived, Result<(), StoreError>), StoreError> {
    let (store, handle) = (&account.store, Handle::current());
    let last = lock(&folder.purged).replace(env::instant());
    let ran = last.map(|last| ms(last.elapsed()));
    let known = handle.block_on(store.trash_clock(folder.id))?.map(|clock| Lived { count: clock.ms, wall: clock.at });
    let lived = known.map_or_else(|| Lived::begin(now_ms()), |known| known.go_on(now_ms(), ran));
    let noted = handle.block_on(store.set_trash_clock(folder.id, TrashClock { ms: lived.count, at: lived.wall }));
    Ok((lived, noted))
}

/// What a removal is of: a file has a revision in base.
pub(crate) fn target(rev: Option<&str>) -> Target {
    if rev.is_some() { Target::File } else { Target::Dir }
}

fn target_of(change: &Change) -> Target {
    match &change.what {
        RemoteChange::Trash { rev: None, .. } => Target::Dir,
        _ => Target::File,
    }
}

fn one(account: &Account, change: &Change) -> Result<Outcome, StoreError> {
    let Some(folder) = account.folder(change.folder) else { return Ok(outcome(Tried::Changed, now_ms())) };
    let target = target_of(change);
    let view = account.remote.view_blocking(account, change.folder, &change.path)?;
    let root = folder.root.pin();
    let vouched = folder.vouch(&root);
    // Asked last: the root may have taken its time to answer, and the path may belong to another one by now.
    let base = if target == Target::File { account.store.base_blocking(change.folder, &change.path)? } else { None };
    let facts = Facts { target, remote: &view.remote, root: vouched, synced: base.is_some() };
    if let Err(again) = may_go(facts) {
        return Ok(again.outcome(now_ms()));
    }
    let tried = match (target, base) {
        (Target::File, Some(base)) => file(account, &root, change, &base),
        (Target::File, None) => Tried::Changed,
        (Target::Dir, _) => directory(account, &root, folder, change)?,
    };
    Ok(outcome(tried, now_ms()))
}

/// Moves a file to the trash, if it is as base says to the last stat.
fn file(account: &Account, root: &Root, change: &Change, base: &Base) -> Tried {
    let going = Going { when: now_ms(), holds: Some(base.content_hash) };
    match root.trash(&change.path, &Local::File(base.stat), going) {
        Ok(trashed) => {
            tracing::debug!(path = %change.path, place = %trashed.place(), "deleted in Dropbox: moved to the trash");
            if let Some(id) = &base.file_id {
                account.at_hand.trashed(id, base.content_hash, change.folder, &trashed.place());
            }
            Tried::Gone
        }
        Err(refused) => refused.into(),
    }
}

fn directory(account: &Account, root: &Root, folder: &Folder, change: &Change) -> Result<Tried, StoreError> {
    Ok(match root.remove_dir(&change.path) {
        Ok(Removed::Yes | Removed::Absent) => Tried::Gone,
        Ok(Removed::NotEmpty) => Tried::NotEmpty {
            only_unsynced: holds_only_ours(root, folder, change),
            undecided: account.store.moves_below_blocking(change.folder, &change.path)?,
        },
        Err(refused) => refused.into(),
    })
}

impl From<Refused> for Tried {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Changed | Refused::Dir | Refused::InTheWay(_) => Self::Changed,
            Refused::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Whether everything in a directory is of the kind that is never synced.
fn holds_only_ours(root: &Root, folder: &Folder, change: &Change) -> bool {
    let Ok(listing) = root.read_dir(&change.path) else { return false };
    let synced = |name: &str, kind: &crate::local::Kind| {
        let is_dir = *kind == crate::local::Kind::Dir;
        let file = matches!(kind, crate::local::Kind::File(_));
        change.path.child(name).is_ok_and(|path| folder.ignored(&path, is_dir).is_none()) && (is_dir || file)
    };
    listing.incomplete.is_none() && !listing.entries.iter().any(|(name, kind)| synced(name, kind))
}
