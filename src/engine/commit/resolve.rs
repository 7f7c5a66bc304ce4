//! What became of the entries of a batch: from the reply, or from Dropbox's tree where there was none.

use std::sync::Mutex;

use futures_util::stream::{FuturesOrdered, StreamExt};

use crate::dropbox::{CallError, EntryError, FileMetadata, Metadata};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::stands;
use crate::env;
use crate::env::lock;
use crate::env::{chance, day, ms, now_ms};
use crate::model::{
    Base, Batch, BatchKind, Change, ChangeId, DirStat, Failure, FolderId, Local, Next, Outcome, RelPath, RemoteChange,
    RemotePath,
};
use crate::plan::commit::blame::{Blame, blame};
use crate::plan::commit::lost_reply::{Found, LostReply, lost_reply, not_done, samples};
use crate::plan::commit::outcome::{Committed, Context, asks_for_obstacle, committed, outlived, refused};
use crate::plan::listing::{is_sure, key_of};
use crate::plan::name::conflict;
use crate::plan::reconcile::blocked::case_clash;
use crate::plan::time::retry;

/// So many questions at a time.
const AT_ONCE: usize = 8;
/// So many questions a batch about what stands in the way, again after so many tries, and so many answers are remembered.
const OBSTACLES: u32 = 8;
const ASKED_AGAIN: u32 = 6;
const KNOWN: usize = 1_000;
/// So many answers in a row that cannot be read say that the next one cannot either.
const UNREADABLE: u32 = 4;

/// Judges the entries of one batch.
pub(crate) struct Judge<'a> {
    pub(crate) account: &'a Account,
    /// One chance a batch, so that those refused together come back together.
    pub(crate) chance: f64,
    /// Paths whose key we could only guess, and what Dropbox gave them if it is another one.
    keys: Mutex<Vec<(FolderId, RelPath, Option<String>)>>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(account: &'a Account) -> Self {
        Self { account, chance: chance(), keys: Mutex::default() }
    }

    /// What was learned of keys, to be stored before what was committed under them.
    pub(crate) fn learned(self) -> Vec<(FolderId, RelPath, Option<String>)> {
        std::mem::take(&mut *lock(&self.keys))
    }

    /// Dropbox has told the key of what it committed.
    pub(crate) fn learn(&self, change: &Change, key: Option<&str>) {
        let mut place = change.what.place().as_str();
        let Some(mut key) = key.filter(|_| !is_sure(place)) else { return };
        let mut keys = lock(&self.keys);
        // The folders above may have been made by this very commit.
        let mut path = change.path.clone();
        loop {
            let odd = key != key_of(place);
            keys.push((change.folder, path.clone(), odd.then(|| key.to_owned())));
            let above = path.parent().filter(|above| odd && !above.is_root());
            let (Some(above), Some((p, _)), Some((k, _))) = (above, place.rsplit_once('/'), key.rsplit_once('/'))
            else {
                break;
            };
            (path, place, key) = (above, p, k);
        }
    }

    /// The commit was refused as a whole, or could not be judged: it is tried again.
    pub(crate) fn again(&self, change: &Change, failure: Failure) -> Outcome {
        let wait = match failure.next {
            Next::Retry { after: Some(after) } => after,
            Next::Later => retry::standing(change.tries, self.chance),
            _ => retry::backoff(change.attempts, self.chance),
        };
        Outcome::Again { at: now_ms() + ms(wait), failure }
    }

    /// The call was refused for what it holds. Those that may be innocent go again as they are, in smaller batches: nothing is said of them.
    pub(crate) fn suspects(&self, batch: &Batch, failure: &Failure, others: bool) -> Vec<(ChangeId, Outcome)> {
        let [only] = batch.changes.as_slice() else { return Vec::new() };
        match blame(batch.entries, only.attempts, others) {
            Blame::Split => Vec::new(),
            Blame::Later => vec![(only.id, self.again(only, failure.clone()))],
            Blame::Entry => vec![(only.id, Outcome::Refused(poison(failure)))],
        }
    }

    /// The reply of the call could not be read, and this was found at the places of its entries. One that stands alone and is not there after
    /// many tries is to blame.
    pub(crate) fn isolated(
        &self,
        batch: &Batch,
        mut found: Vec<(ChangeId, Outcome)>,
        failure: &Failure,
    ) -> Vec<(ChangeId, Outcome)> {
        if let ([only], [(_, outcome @ Outcome::Again { .. })]) = (batch.changes.as_slice(), found.as_mut_slice()) {
            *outcome = match blame(batch.entries, only.attempts, false) {
                Blame::Entry => Outcome::Refused(poison(failure)),
                Blame::Split | Blame::Later => self.again(only, failure.clone()),
            };
        }
        found
    }

    /// Two local names that Dropbox does not tell apart (`FOO` and `foo`) end in one remote file. It stays with the first; the second is a
    /// problem, for as long as the first one is there. If the first is gone, the file was only renamed, and base goes over to the new name.
    pub(crate) async fn one_path_a_file(
        &self,
        batch: &Batch,
        mut outcomes: Vec<(ChangeId, Outcome)>,
    ) -> Result<Vec<(ChangeId, Outcome)>, Fatal> {
        let account = self.account;
        let (mut which, mut paths) = (Vec::new(), Vec::new());
        for (i, (change, (_, outcome))) in batch.changes.iter().zip(&outcomes).enumerate() {
            let new = match outcome {
                Outcome::Settled(base) => base,
                Outcome::Moved(base) if matches!(&change.what, RemoteChange::Relocate(r) if r.alike) => base,
                _ => continue,
            };
            if let Some(Base { file_id: Some(id), .. }) = new {
                which.push(i);
                paths.push((change.folder, change.path.clone(), id.clone()));
            }
        }
        let shared = if paths.is_empty() { Vec::new() } else { account.store.sharing(paths).await? };
        for (i, other) in which.into_iter().zip(shared) {
            let Some((folder, other)) = other else { continue };
            let Some(folder) = account.folder(folder).cloned() else { continue };
            let path = other.clone();
            let gone = blocking(move || Ok(stands(&folder.root, &path) == Local::Absent)).await?;
            if !gone && let Some((_, outcome)) = outcomes.get_mut(i) {
                *outcome = Outcome::Wedge(case_clash(&other));
            }
        }
        Ok(outcomes)
    }

    /// Whether Dropbox holds what a batch says at its first, middle and last entry: then its job has ended. One alone may have been so before.
    pub(crate) async fn shows(&self, batch: &Batch) -> bool {
        for at in samples(batch.changes.len()) {
            match batch.changes.get(at) {
                Some(change) if self.is_done(change).await => {}
                _ => return false,
            }
        }
        true
    }

    async fn is_done(&self, change: &Change) -> bool {
        let found = self.verify_one(change).await;
        matches!(found, Outcome::Settled(_) | Outcome::SettledDir(_) | Outcome::Moved(_) | Outcome::Halfway)
    }

    /// Asks Dropbox what is at each entry's path now: what is there by content hash was committed, the rest is tried again.
    pub(crate) async fn verify(&self, batch: &Batch) -> Vec<(ChangeId, Outcome)> {
        let mut outcomes = Vec::with_capacity(batch.changes.len());
        for some in batch.changes.chunks(AT_ONCE) {
            let mut asked = FuturesOrdered::new();
            for change in some {
                asked.push_back(self.verify_one(change));
            }
            let found: Vec<Outcome> = asked.collect().await;
            outcomes.extend(some.iter().map(|change| change.id).zip(found));
        }
        outcomes
    }

    /// What the result of each entry means, in their order.
    pub(crate) async fn each(
        &self,
        batch: &Batch,
        results: Vec<Result<Metadata, EntryError>>,
    ) -> Vec<(ChangeId, Outcome)> {
        let mut outcomes = Vec::with_capacity(results.len());
        for (change, result) in batch.changes.iter().zip(results) {
            let outcome = match (&change.what, result) {
                (RemoteChange::Upload { .. }, Ok(Metadata::File(file))) => self.file(change, Ok(file)),
                (RemoteChange::Upload { .. }, Err(error)) => self.file(change, Err(error)),
                (RemoteChange::Delete { .. } | RemoteChange::DeleteFolder { .. }, result) => {
                    self.deleted(change, result)
                }
                (RemoteChange::CreateFolder { .. }, result) => self.made(change, result),
                (RemoteChange::Relocate(relocation), Ok(found)) => self.moved(change, relocation, &found),
                (RemoteChange::Relocate(relocation), Err(error)) => self.not_moved(change, relocation, &error).await,
                // Not what such a call replies: what is there is asked.
                (RemoteChange::Upload { .. } | RemoteChange::Trash { .. }, _) => self.verify_one(change).await,
            };
            outcomes.push((change.id, outcome));
        }
        outcomes
    }

    async fn verify_one(&self, change: &Change) -> Outcome {
        if let RemoteChange::Relocate(relocation) = &change.what {
            return self.verify_move(change, relocation).await;
        }
        let found = match self.look(change.what.place()).await {
            Ok(found) => found,
            Err(failure) => return self.again(change, failure),
        };
        match (lost_reply(change, &seen(found.as_ref())), found) {
            (LostReply::Committed, Some(Metadata::File(file))) => self.file(change, Ok(file)),
            (LostReply::Deleted, _) => Outcome::Settled(None),
            (LostReply::Made, Some(Metadata::Folder { path_lower, .. })) => {
                self.learn(change, path_lower.as_deref());
                Outcome::SettledDir(DirStat::default())
            }
            (LostReply::Committed | LostReply::Made | LostReply::NotDone, _) => {
                Outcome::Again { at: now_ms(), failure: not_done() }
            }
        }
    }

    /// What is at a place in Dropbox. Does not come back before that is known, or is not to be had.
    ///
    /// # Errors
    /// Dropbox refuses to say, or says it again and again in a way that cannot be read.
    pub(crate) async fn look(&self, path: &RemotePath) -> Result<Option<Metadata>, Failure> {
        let account = self.account;
        let (mut failed, mut unreadable) = (0, 0);
        loop {
            match account.judge(account.dropbox.get_metadata(path).await) {
                Ok(found) => return Ok(found),
                Err(CallError::Api(error)) if error.status == 409 => return Err(CallError::Api(error).failure()),
                // One file's metadata may stay unreadable: to ask for it for ever would hold up all other commits.
                Err(error) if error.is_unreadable() && unreadable + 1 >= UNREADABLE => return Err(error.failure()),
                // Nothing is committed again before it is known what is there.
                Err(error) => {
                    unreadable = if error.is_unreadable() { unreadable + 1 } else { 0 };
                    account.ready().await;
                    env::sleep(retry::backoff(failed, chance())).await;
                    failed = failed.saturating_add(1);
                }
            }
        }
    }

    /// Asks which file stands above those that were refused for one, so that a person can be told: a few questions a batch at most, and no answer is
    /// waited for.
    pub(crate) async fn find_obstacles(&self, batch: &Batch, results: &[Result<Metadata, EntryError>]) {
        if !matches!(batch.kind, BatchKind::Upload | BatchKind::Folder) {
            return;
        }
        let mut questions = 0;
        for (change, result) in batch.changes.iter().zip(results) {
            let Err(error) = result else { continue };
            let comes_down = self.account.folder(change.folder).is_some_and(|folder| folder.comes_down());
            if !asks_for_obstacle(change, &tags(error), comes_down) {
                continue;
            }
            let Some(above) = change.what.place().parent() else { continue };
            // Now and then again: by now it may be another one.
            let stale = change.tries % ASKED_AGAIN == ASKED_AGAIN - 1;
            if !stale && lock(&self.account.upward.obstacles).contains_key(&above) {
                continue;
            }
            let (mut found, mut next) = (None, Some(above.clone()));
            while let Some(path) = next.filter(|path| !path.as_str().is_empty()) {
                questions += 1;
                if questions > OBSTACLES {
                    return;
                }
                match self.account.judge(self.account.dropbox.get_metadata(&path).await) {
                    Ok(Some(Metadata::File(_))) => {
                        found = Some(path);
                        break;
                    }
                    Ok(Some(Metadata::Folder { .. })) | Err(_) => break,
                    Ok(_) => next = path.parent(),
                }
            }
            let mut known = lock(&self.account.upward.obstacles);
            if known.len() >= KNOWN {
                known.clear();
            }
            known.insert(above, found);
        }
    }

    fn file(&self, change: &Change, result: Result<FileMetadata, EntryError>) -> Outcome {
        self.with_context(change, |context| match result {
            Ok(file) => {
                self.learn(change, file.path_lower.as_deref());
                committed(change, &facts(&file), context)
            }
            Err(error) => refused(change, &tags(&error), error.failure(), context),
        })
    }

    fn deleted(&self, change: &Change, result: Result<Metadata, EntryError>) -> Outcome {
        self.with_context(change, |context| match result {
            Ok(_) => Outcome::Settled(None),
            Err(error) => {
                if outlived(&tags(&error)) {
                    tracing::info!(account = %self.account.name, "a file was deleted here, but changed in Dropbox since: Dropbox's version is kept");
                    tracing::debug!(path = %change.path, "it is this one");
                }
                refused(change, &tags(&error), error.failure(), context)
            }
        })
    }

    fn made(&self, change: &Change, result: Result<Metadata, EntryError>) -> Outcome {
        self.with_context(change, |context| match result {
            Ok(made) => {
                if let Metadata::Folder { path_lower, .. } = &made {
                    self.learn(change, path_lower.as_deref());
                }
                Outcome::SettledDir(DirStat::default())
            }
            Err(error) => refused(change, &tags(&error), error.failure(), context),
        })
    }

    fn with_context(&self, change: &Change, f: impl FnOnce(&Context<'_>) -> Outcome) -> Outcome {
        let account = self.account;
        let Some(folder) = account.folder(change.folder) else { return Outcome::Look { at: now_ms(), failure: None } };
        let home = folder.home(&change.path);
        let copy = match &change.what {
            RemoteChange::Upload { content_hash, stat, .. } => {
                conflict::copy_path(&home, &account.host, &day(stat.mtime_ns.div_euclid(1_000_000)), content_hash)
            }
            RemoteChange::Delete { .. }
            | RemoteChange::DeleteFolder { .. }
            | RemoteChange::CreateFolder { .. }
            | RemoteChange::Relocate(_)
            | RemoteChange::Trash { .. } => Ok(home.clone()),
        };
        let Ok(copy) = copy else { return Outcome::Look { at: now_ms(), failure: None } };
        let obstacle =
            change.what.place().parent().and_then(|above| lock(&account.upward.obstacles).get(&above).cloned()?);
        f(&Context {
            now: now_ms(),
            chance: self.chance,
            home: &home,
            copy: &copy,
            comes_down: folder.comes_down(),
            obstacle: obstacle.as_ref(),
        })
    }
}

/// What Dropbox has at a place, as the rules see it.
pub(crate) fn seen(found: Option<&Metadata>) -> Found {
    match found {
        None | Some(Metadata::Deleted) => Found::Nothing,
        Some(Metadata::File(file)) => Found::File(facts(file)),
        Some(Metadata::Folder { .. }) => Found::Folder,
        Some(Metadata::Unknown(_)) => Found::Unknown,
    }
}

fn facts(file: &FileMetadata) -> Committed {
    Committed {
        rev: file.rev.clone(),
        file_id: Some(file.id.clone()),
        size: file.size,
        content_hash: file.content_hash,
    }
}

/// The failure of an entry that breaks every call that it is in.
fn poison(failure: &Failure) -> Failure {
    let text = format!("Dropbox refuses every call that commits this file, and takes others: {}", failure.text);
    Failure::wedge(&failure.code, text)
}

fn tags(error: &EntryError) -> Vec<&str> {
    error.tags.iter().map(String::as_str).collect()
}
