//! Earlier versions, listed and put back: from the folder's own trash, or from Dropbox's revisions.
//!
//! What is put back stands at the path as if somebody had saved it there: it goes up by itself where changes go up. What stood there is in the trash.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::api::locate;
use crate::api::locate::Place;
use crate::api::status::Progress;
use crate::control::Unable;
use crate::dropbox::{FileMetadata, Lineage};
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Look;
use crate::engine::local_removal;
use crate::engine::work::download;
use crate::engine::work::download::Fetch;
use crate::env;
use crate::env::{now_ms, rfc3339};
use crate::local::{self, Left, Refused};
use crate::model::api::{Restored, Version, Versions};
use crate::model::history::Deed;
use crate::model::{Failure, Job, JobId, Local, RelPath};
use crate::plan::reconcile::Wanted;

/// Revisions of Dropbox's that are listed.
const LISTED: u8 = 100;
/// How long a list waits for Dropbox: what is in the trash is worth showing without it.
const PATIENCE: Duration = Duration::from_secs(8);
/// A path that changes under our hands is tried so often.
const TRIES: usize = 8;
/// Names that are tried beside a directory.
const NAMES: usize = 100;
/// Of a directory's files, so many are noted in the log, and so many that failed are told.
const NOTED: usize = 10_000;
const FAILED: usize = 100;
/// Files of a directory that come down side by side.
const AT_ONCE: usize = 4;

type Able<T> = Result<Result<T, Unable>, Fatal>;

/// What can be put back at a path.
pub(crate) async fn versions(progress: &Progress, path: &Path) -> Able<Versions> {
    let place = match locate::one(progress, path) {
        Ok(place) => place,
        Err(sentence) => return Ok(Err(Unable::Unknown(sentence))),
    };
    let (left, trashed_below) = match in_trash(&place).await? {
        Ok(found) => found,
        Err(failure) => return Ok(Err(later(&place.path, &failure))),
    };
    let mut items: Vec<Version> = left.into_iter().map(of_trash).collect();
    let note = if place.path.is_root() {
        None
    } else {
        let asked = env::timeout(PATIENCE, revisions(&place, None)).await;
        match asked.unwrap_or_else(|_| Err(Failure::retry("offline", "Dropbox has not answered in time"))) {
            Ok((deleted, entries, _)) => {
                let first = entries.iter().enumerate().map(|(i, entry)| of_dropbox(entry, i == 0 && !deleted));
                items.extend(first);
                None
            }
            Err(failure) => Some(failure.text),
        }
    };
    Ok(Ok(Versions {
        folder: place.folder.local.to_string_lossy().into_owned(),
        remote_path: place.folder.home(&place.path).to_string(),
        path: place.path.to_string(),
        items,
        trashed_below,
        deleted_below: deleted_below(&place).await?.len() as u64,
        note,
    }))
}

/// Puts one version back: the newest in the trash, or the one that `rev` names.
pub(crate) async fn restore(progress: &Progress, path: &Path, rev: Option<&str>) -> Able<Restored> {
    let place = match locate::one(progress, path) {
        Ok(place) => place,
        Err(sentence) => return Ok(Err(Unable::Unknown(sentence))),
    };
    if let Err(failure) = vouched(&place).await? {
        return Ok(Err(later(&place.path, &failure)));
    }
    // A time of the trash has letters that no revision has.
    let done = match rev {
        Some(rev) if !rev.contains('T') => from_dropbox(&place, rev).await?,
        stamp => from_trash(&place, stamp).await?,
    };
    if done.is_ok() {
        look_again(&place).await?;
    }
    Ok(done)
}

async fn in_trash(place: &Place) -> Result<Result<(Vec<Left>, bool), Failure>, Fatal> {
    let (root, path) = (place.folder.root.pin(), place.path.clone());
    blocking(move || Ok(root.trash_of(&path))).await
}

/// Nothing is put into a root that is not the folder's.
async fn vouched(place: &Place) -> Result<Result<(), Failure>, Fatal> {
    let folder = place.folder.clone();
    blocking(move || Ok(folder.verify())).await
}

/// The queue gets to know of it at once.
async fn look_again(place: &Place) -> Result<(), Fatal> {
    place.account.hurry();
    place.account.store.wake(place.folder.id, &place.path, now_ms()).await?;
    if let Some(looks) = place.account.looks.get(place.index) {
        let under = place.path.parent().unwrap_or_default();
        let _ = looks.send(Look { under, done: None }).await;
    }
    Ok(())
}

async fn from_trash(place: &Place, stamp: Option<&str>) -> Able<Restored> {
    let (left, below) = match in_trash(place).await? {
        Ok(found) => found,
        Err(failure) => return Ok(Err(later(&place.path, &failure))),
    };
    let shown = place.folder.local.join(place.path.as_str());
    let shown = shown.display();
    let left = match (left.into_iter().find(|left| stamp.is_none_or(|stamp| left.trashed.stamp == stamp)), stamp) {
        (Some(left), _) => left,
        (None, None) if below => return below_dir(place).await,
        (None, Some(stamp)) => {
            let text =
                format!("nothing of {shown} went to the trash at {stamp}: `ferrybox restore --list` shows what did");
            return Ok(Err(Unable::Unknown(text)));
        }
        (None, None) => {
            let gone = deleted_below(place).await?;
            if !gone.is_empty() {
                return below_from_dropbox(place, gone).await;
            }
            if let Some(rev) = only_one(place).await {
                return from_dropbox(place, &rev).await;
            }
            let text = format!(
                "nothing of {shown} is in the trash: choose one of Dropbox's revisions with --rev (`ferrybox restore --list` shows them)"
            );
            return Ok(Err(Unable::Unknown(text)));
        }
    };
    let (root, path) = (place.folder.root.pin(), place.path.clone());
    let trashed = left.trashed.clone();
    let (account, folder) = (place.account.clone(), place.folder.clone());
    let put = blocking(move || {
        let mut refused = Refused::Changed;
        for _ in 0..TRIES {
            let expected = root.observe(&path);
            let outcome = match expected {
                // A directory, a symlink: nobody expects those to go. The file gets a name beside it.
                Local::Dir | Local::Other(_) => root.restore(&trashed).map(|place| (place, false)),
                expected => {
                    let going = local_removal::going(&account, &folder, &path, &expected);
                    root.put_back(&trashed, &expected, going).map(|replaced| (path.clone(), replaced.is_some()))
                }
            };
            match outcome {
                Err(Refused::Changed | Refused::Dir) => {}
                Ok(put) => return Ok(Ok(put)),
                Err(other) => {
                    refused = other;
                    break;
                }
            }
        }
        Ok(Err(refused))
    })
    .await?;
    let (at, replaced) = match put {
        Ok(put) => put,
        Err(refused) => return Ok(Err(later(&place.path, &refused.into_failure()))),
    };
    let size = left.stat.size;
    place.account.store.note_restored(place.folder.id, vec![(at.clone(), size, None)], now_ms()).await?;
    Ok(Ok(one(place, &at, ("trash", left.trashed.stamp), size, replaced)))
}

/// What went from below a directory comes back, where nothing has its place.
async fn below_dir(place: &Place) -> Able<Restored> {
    let (root, path) = (place.folder.root.pin(), place.path.clone());
    let done = blocking(move || {
        let (mut files, mut bytes) = (0, 0);
        let (mut noted, mut failed) = (Vec::new(), Vec::new());
        let listed = root.put_back_below(&path, &mut |left, put| match put {
            Ok(()) => {
                files += 1;
                bytes += left.stat.size;
                if noted.len() < NOTED {
                    noted.push((left.trashed.path, left.stat.size, None));
                }
            }
            Err(refused) if failed.len() < FAILED => {
                failed.push(format!("{}: {}", left.trashed.path, refused.into_failure().text));
            }
            Err(_) => {}
        });
        Ok(listed.map(|()| (files, bytes, noted, failed)))
    })
    .await?;
    let (files, bytes, noted, failed) = match done {
        Ok(done) => done,
        Err(failure) => return Ok(Err(later(&place.path, &failure))),
    };
    place.account.store.note_restored(place.folder.id, noted, now_ms()).await?;
    let whole = one(place, &place.path, ("trash", String::new()), bytes, false);
    Ok(Ok(Restored { version: None, files, failed, ..whole }))
}

/// The revision of Dropbox's that can only be meant: the last one of a file that is gone here, or the only earlier one.
async fn only_one(place: &Place) -> Option<String> {
    let (deleted, entries, more) = revisions(place, None).await.ok()?;
    let (root, path) = (place.folder.root.pin(), place.path.clone());
    let gone = blocking(move || Ok(root.observe(&path) == Local::Absent)).await.unwrap_or(false);
    let first = usize::from(!deleted && !gone);
    match entries.get(first..)? {
        [only] if !more => Some(only.rev.clone()),
        _ => None,
    }
}

/// Files below the path that the log says were deleted, with their last revisions, and that are not there any more.
async fn deleted_below(place: &Place) -> Result<Vec<(RelPath, String)>, Fatal> {
    let (mut seen, mut gone) = (HashSet::new(), Vec::new());
    let mut offset = 0;
    loop {
        let under = (place.folder.id, place.path.clone());
        let (rows, _) = place.account.store.history(Some(under), offset, NOTED).await?;
        let count = rows.len();
        for row in rows.into_iter().filter(|row| row.path != place.path) {
            let last = seen.insert(row.path.clone());
            if let (true, Deed::Deleted | Deed::Trashed, Some(rev)) = (last, row.what, row.rev) {
                gone.push((row.path, rev));
            }
        }
        offset += count;
        if count < NOTED {
            break;
        }
    }
    let root = place.folder.root.pin();
    blocking(move || {
        gone.retain(|(path, _)| root.observe(path) == Local::Absent);
        Ok(gone)
    })
    .await
}

/// What was deleted below a directory comes back from Dropbox's revisions, some files at a time.
async fn below_from_dropbox(place: &Place, gone: Vec<(RelPath, String)>) -> Able<Restored> {
    let mut whole = one(place, &place.path, ("dropbox", String::new()), 0, false);
    (whole.version, whole.files) = (None, 0);
    let mut work = futures_util::stream::iter(gone)
        .map(|(path, rev)| async move {
            let (account, folder) = (place.account.clone(), place.folder.clone());
            let file = Place { account, folder, index: place.index, path };
            let done = from_dropbox(&file, &rev).await;
            (file.path, done)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((path, done)) = work.next().await {
        match done? {
            Ok(file) => {
                whole.files += 1;
                whole.bytes += file.bytes;
            }
            Err(Unable::Unknown(text) | Unable::Later(text)) if whole.failed.len() < FAILED => {
                whole.failed.push(format!("{path}: {text}"));
            }
            Err(_) => {}
        }
    }
    Ok(Ok(whole))
}

async fn from_dropbox(place: &Place, rev: &str) -> Able<Restored> {
    let file = match find(place, rev).await {
        Ok(Some(file)) => file,
        Ok(None) => {
            let home = place.folder.home(&place.path);
            let text = format!("Dropbox has no revision {rev} of {home}: `ferrybox restore --list` shows those it has");
            return Ok(Err(Unable::Unknown(text)));
        }
        Err(failure) => return Ok(Err(later(&place.path, &failure))),
    };
    let wanted =
        Wanted { rev: file.rev.clone(), size: file.size, content_hash: file.content_hash, id: file.id.clone() };
    let mut refused = Refused::Changed;
    for _ in 0..TRIES {
        let (folder, path) = (place.folder.clone(), place.path.clone());
        let free = blocking(move || Ok(free_name(&folder.root, &path))).await?;
        let (at, expected) = match free {
            Ok(free) => free,
            Err(failure) => return Ok(Err(later(&place.path, &failure))),
        };
        let replaced = matches!(expected, Local::File(_));
        let job = Job { id: JobId(0), folder: place.folder.id, path: at.clone(), generation: 0, attempts: 0, since: 0 };
        let fetch = Fetch { job, folder: place.folder.clone(), expected, wanted: wanted.clone() };
        match download::arrive(&place.account, &fetch).await? {
            Ok(_) => {
                let noted = vec![(at.clone(), file.size, Some(file.rev.clone()))];
                place.account.store.note_restored(place.folder.id, noted, now_ms()).await?;
                return Ok(Ok(one(place, &at, ("dropbox", file.rev), file.size, replaced)));
            }
            // What came stays in `.ferrybox/tmp`, so that the next try has only to place it.
            Err(Refused::Changed | Refused::Dir) => {}
            Err(other) => {
                refused = other;
                break;
            }
        }
    }
    Ok(Err(later(&place.path, &refused.into_failure())))
}

/// Where a file can be put, and what stands there: the path itself, or a name beside the directory that has it.
fn free_name(root: &local::Root, path: &RelPath) -> Result<(RelPath, Local), Failure> {
    match root.observe(path) {
        Local::Dir | Local::Other(_) => {}
        Local::Unknown(failure) => return Err(failure),
        there => return Ok((path.clone(), there)),
    }
    for n in 1..NAMES {
        let beside = local::beside(path, n)?;
        if root.observe(&beside) == Local::Absent {
            return Ok((beside, Local::Absent));
        }
    }
    Err(Failure::wedge("name", "every name beside it is taken: move some of them away"))
}

/// Looks a revision up among those of the path.
async fn find(place: &Place, rev: &str) -> Result<Option<FileMetadata>, Failure> {
    let mut before: Option<String> = None;
    loop {
        let (_, entries, more) = revisions(place, before.as_deref()).await?;
        let last = entries.last().map(|entry| entry.rev.clone());
        if let Some(found) = entries.into_iter().find(|entry| entry.rev == rev) {
            return Ok(Some(found));
        }
        if !more || last.is_none() || last == before {
            return Ok(None);
        }
        before = last;
    }
}

/// Dropbox's revisions of the path, the newest first: whether it is deleted there, the revisions, whether there are more.
async fn revisions(place: &Place, before: Option<&str>) -> Result<(bool, Vec<FileMetadata>, bool), Failure> {
    let home = place.folder.home(&place.path);
    let account = &place.account;
    match account.judge(account.dropbox.list_revisions(Lineage::Path(&home), LISTED, before).await) {
        Ok(found) => Ok((found.is_deleted, found.entries, found.has_more)),
        Err(error) if error.is("path/not_found") || error.is("path/not_file") => Ok((false, Vec::new(), false)),
        Err(error) => Err(error.failure()),
    }
}

fn of_trash(left: Left) -> Version {
    Version {
        from: "trash".to_owned(),
        version: left.trashed.stamp,
        size: left.stat.size,
        at: Some(rfc3339(left.when)),
        current: false,
    }
}

fn of_dropbox(file: &FileMetadata, current: bool) -> Version {
    Version {
        from: "dropbox".to_owned(),
        version: file.rev.clone(),
        size: file.size,
        at: file.server_modified.map(|at| rfc3339(at.as_millisecond())),
        current,
    }
}

fn one(place: &Place, at: &RelPath, (from, version): (&str, String), bytes: u64, replaced: bool) -> Restored {
    Restored {
        folder: place.folder.local.to_string_lossy().into_owned(),
        path: place.path.to_string(),
        place: at.to_string(),
        from: from.to_owned(),
        version: Some(version),
        files: 1,
        bytes,
        replaced,
        failed: Vec::new(),
    }
}

fn later(path: &RelPath, failure: &Failure) -> Unable {
    Unable::Later(format!("{path} is not restored: {}", failure.text))
}
