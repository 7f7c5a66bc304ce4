//! The lists that clients page through: problems, conflicts, what was done.

use std::path::Path;

use crate::api::locate;
use crate::api::status::Progress;
use crate::control::Page;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::env::rfc3339;
use crate::model::RemotePath;
use crate::model::api::{Conflict, Done};
use crate::model::status::Problem;
use crate::store::HistoryRow;

/// A number of a request as an index.
pub(crate) fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A page that is filled from one source after another.
struct Filling<T> {
    items: Vec<T>,
    offset: u64,
    limit: u64,
    total: u64,
}

impl<T> Filling<T> {
    fn new(offset: u64, limit: u64) -> Self {
        Self { items: Vec::new(), offset, limit, total: 0 }
    }

    /// The next source has so many: how many of them to skip, and how many to take. `None`: none of them is on this page.
    fn next(&mut self, here: u64) -> Option<(usize, usize)> {
        let skip = self.offset.saturating_sub(self.total);
        let room = self.limit.saturating_sub(self.items.len() as u64);
        self.total += here;
        (skip < here && room > 0).then(|| (usize_of(skip), usize_of(room)))
    }

    fn page(self) -> Page<T> {
        Page { items: self.items, offset: self.offset, total: self.total }
    }
}

/// What is not in sync, folder by folder, then what is in Dropbox and cannot be a path here.
pub(crate) async fn problems(progress: &Progress, offset: u64, limit: u64) -> Result<Page<Problem>, Fatal> {
    let mut page = Filling::new(offset, limit);
    for account in &progress.accounts {
        for folder in &account.folders {
            let here = account.store.summary(folder.id).await?.problems;
            let Some((skip, take)) = page.next(here) else { continue };
            for row in account.store.problems(Some(folder.id), skip, take).await? {
                page.items.push(Problem {
                    folder: folder.local.to_string_lossy().into_owned(),
                    path: row.path,
                    code: row.code,
                    text: row.text,
                    since: rfc3339(row.since),
                    next_try: row.next_try.map(rfc3339),
                    attempts: row.attempts,
                });
            }
        }
    }
    for account in &progress.accounts {
        let here = account.store.remote_odd_count().await?;
        let Some((skip, take)) = page.next(here) else { continue };
        for (path, code, text, since) in account.store.remote_odd(skip, take).await? {
            let (folder, path) = (format!("{}:", account.name), path.trim_start_matches('/').to_owned());
            page.items.push(Problem { folder, path, code, text, since: rfc3339(since), next_try: None, attempts: 1 });
        }
    }
    Ok(page.page())
}

/// Conflicted copies, folder by folder.
pub(crate) async fn conflicts(progress: &Progress, offset: u64, limit: u64) -> Result<Page<Conflict>, Fatal> {
    let mut page = Filling::new(offset, limit);
    for account in &progress.accounts {
        for folder in &account.folders {
            let here = account.store.summary(folder.id).await?.conflicts;
            let Some((skip, take)) = page.next(here) else { continue };
            for row in account.store.conflicts(folder.id, skip, take).await? {
                page.items.push(Conflict {
                    account: account.name.clone(),
                    folder: folder.local.to_string_lossy().into_owned(),
                    path: row.path.to_string(),
                    local_copy: folder.shown(&row.copy),
                    copy: row.copy.to_string(),
                    since: rfc3339(row.at),
                });
            }
        }
    }
    Ok(page.page())
}

/// What was done, the newest first; at or below a path if there is one. `Err`: the path is in no folder.
pub(crate) async fn history(
    progress: &Progress,
    path: Option<&Path>,
    offset: u64,
    limit: u64,
) -> Result<Result<Page<Done>, String>, Fatal> {
    let place = match path.map(|path| locate::one(progress, path)).transpose() {
        Ok(place) => place,
        Err(sentence) => return Ok(Err(sentence)),
    };
    let (skip, take) = (usize_of(offset), usize_of(limit));
    if let Some(place) = place {
        let (rows, total) = place.account.store.history(Some((place.folder.id, place.path)), skip, take).await?;
        let items = rows.into_iter().map(|row| done(&place.account, row)).collect();
        return Ok(Ok(Page { items, offset, total }));
    }
    if let [account] = progress.accounts.as_slice() {
        let (rows, total) = account.store.history(None, skip, take).await?;
        return Ok(Ok(Page { items: rows.into_iter().map(|row| done(account, row)).collect(), offset, total }));
    }
    // Several logs, merged by time: each gives what could be on this page.
    let (mut merged, mut total) = (Vec::new(), 0);
    for account in &progress.accounts {
        let (rows, here) = account.store.history(None, 0, skip.saturating_add(take)).await?;
        merged.extend(rows.into_iter().map(|row| (row.at, row.id, done(account, row))));
        total += here;
    }
    merged.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
    let items = merged.into_iter().skip(skip).take(take).map(|(.., done)| done).collect();
    Ok(Ok(Page { items, offset, total }))
}

/// A row of the log, as clients see it.
pub(crate) fn done(account: &Account, row: HistoryRow) -> Done {
    let folder = account.folder(row.folder);
    // Of a conflict, a move and a copy; written in Dropbox's terms, since that is what the step was about.
    let place = row.place.as_deref().and_then(|place| RemotePath::parse(place).ok());
    let local_place = place.zip(folder).and_then(|(place, folder)| folder.shown(&place));
    Done {
        at: rfc3339(row.at),
        what: row.what,
        account: account.name.clone(),
        folder: folder.map(|f| f.local.to_string_lossy().into_owned()).unwrap_or_default(),
        path: row.path.to_string(),
        size: row.size,
        rev: row.rev,
        local_place,
        place: row.place,
    }
}
