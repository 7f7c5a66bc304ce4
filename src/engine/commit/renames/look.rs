//! The look at one proposal: what the disk, base and the listing say of both paths.

use std::collections::HashSet;

use crate::engine::account::Account;
use crate::engine::folder::{Folder, stands};
use crate::engine::rename_proposals::{Proposal, old};
use crate::env::now_ms;
use crate::local::Root;
use crate::model::key::may_be_one;
use crate::model::{Base, Local, RelPath, Relocation, Remote};
use crate::plan::rename::detect::{Below, How, MOST, Spelling, by_way, same_file, spelling};
use crate::plan::rename::verify;
use crate::plan::rename::verify::{Stop, dir_there, file_there, is_free, is_new};
use crate::store::{Looked, Planned, RowBelow, StoreError};

/// Files of base that are read at once.
const PAGE: usize = 1_000;

/// How the files below a directory stand, the paths that need no other look, and those that do.
type Compared = (Below, HashSet<RelPath>, Vec<RelPath>);

/// What a look at a directory's files found beside their being the same.
pub(super) struct Seen {
    /// Rows that go with the move.
    pub(super) rows: Vec<Looked>,
    /// New paths that have to be looked at after it.
    pub(super) others: Vec<RelPath>,
}

/// What a look at a proposal gave: what is to be staged, or why nothing is.
pub(super) type Verdict = Result<(Box<Planned>, Seen), Stop>;

/// What others of its round do about a move's places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mates {
    /// What base has at the new path leaves it first.
    pub(super) leaves: bool,
    /// What lies at the old path now comes from elsewhere.
    pub(super) comes: bool,
    /// It may yet be told where something has gone.
    pub(super) may_come: bool,
}

/// One proposal, looked at.
pub(super) struct Look<'a> {
    pub(super) account: &'a Account,
    pub(super) folder: &'a Folder,
    pub(super) root: Root,
    pub(super) from: &'a RelPath,
    pub(super) to: &'a RelPath,
    pub(super) mates: Mates,
}

impl Look<'_> {
    /// Whether the proposal is so, and what is to be staged then.
    pub(super) fn verdict(&self, proposal: &Proposal) -> Result<Verdict, StoreError> {
        // Keys that nobody could guess are known for the old places only.
        if self.account.store.has_odd_keys_blocking(self.folder.id, self.from)? {
            return Ok(Err(Stop::No));
        }
        if proposal.dir { self.dir() } else { self.file(proposal.how) }
    }

    fn dir(&self) -> Result<Verdict, StoreError> {
        let (store, folder) = (&self.account.store, self.folder);
        // Before the disk is: what changes from now on has another generation.
        let mut rows = store.rows_below_blocking(folder.id, self.from)?;
        let behind = rows.len();
        rows.extend(store.rows_below_blocking(folder.id, self.to)?);
        if let Err(stop) = self.is_new()? {
            return Ok(Err(stop));
        }
        let old = stands(&self.root, self.from);
        let left = old == Local::Absent;
        let compared = self.compare(left)?;
        let (old_after, new) = (stands(&self.root, self.from), self.root.observe(self.to));
        let so = verify::dir(verify::Dir {
            old: &old,
            old_after: &old_after,
            new: &new,
            below: compared.as_ref().map(|(below, ..)| *below),
            spelling: spelling(self.from, self.to),
            root_synced: folder.vouch(&self.root).is_ok(),
        });
        let (Ok(()), Some((_, clean, mut others))) = (so, compared) else {
            return Ok(Err(so.err().unwrap_or(Stop::Later)));
        };
        let there = self.remote(self.from)?;
        if let Err(stop) = dir_there(there.as_ref()).and(self.is_free()?) {
            return Ok(Err(stop));
        }
        if !left {
            // Directories that stand where base loses one of that name: no event tells of them.
            let dirs = store.agreed_dirs_below_blocking(folder.id, self.from)?.into_iter();
            others.extend(dirs.filter(|dir| self.root.observe(dir) == Local::Dir));
            if !self.mates.comes {
                others.push(self.from.clone());
            }
        }
        // What was agreed on among the directories goes along, too.
        let is_clean = |row: &RowBelow| clean.contains(&row.path) || row.path != *self.to && self.was_agreed(&row.path);
        let looked = rows.iter().enumerate().filter(|(i, row)| if *i < behind { left } else { is_clean(row) });
        let looked = looked.filter(|(_, row)| row.path != *self.to).map(|(_, row)| (row.id, row.generation)).collect();
        Ok(self.go(&rows, Seen { rows: looked, others }, None, false))
    }

    /// Every file of base below the old path, looked at under the new one; which of them need no other look, and which do. `None`: one of them cannot
    /// be seen.
    fn compare(&self, left: bool) -> Result<Option<Compared>, StoreError> {
        let (mut found, mut clean, mut others) = (Below::default(), HashSet::new(), Vec::new());
        let mut after: Option<RelPath> = None;
        loop {
            let page = self.account.store.base_below_blocking(self.folder.id, self.from, after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(Some((found, clean, others))) };
            after = Some(last.clone());
            for (path, base) in &page {
                let Some(at) = path.moved(self.from, self.to) else { continue };
                if !left && matches!(self.root.observe(path), Local::File(now) if same_file(base, &now)) {
                    found.stayed += 1;
                    others.extend([at, path.clone()]);
                    continue;
                }
                match self.root.observe(&at) {
                    _ if self.folder.ignored(&at, false).is_some() => found.missing += 1,
                    Local::File(now) if same_file(base, &now) => {
                        found.same += 1;
                        if now == base.stat {
                            clean.insert(at);
                        }
                    }
                    Local::File(_) => {
                        found.changed += 1;
                        others.push(at);
                    }
                    Local::Unknown(_) => return Ok(None),
                    Local::Absent | Local::Dir | Local::Other(_) => {
                        found.missing += 1;
                        others.push(at);
                    }
                }
            }
            if found.all() > MOST {
                return Ok(Some((found, clean, others)));
            }
        }
    }

    /// Whether a directory below the new path is one that was agreed on below the old one.
    fn was_agreed(&self, path: &RelPath) -> bool {
        let Some(old) = path.moved(self.to, self.from) else { return false };
        self.account.store.agreed_dir_blocking(self.folder.id, &old).unwrap_or(false)
            && self.root.observe(path) == Local::Dir
    }

    fn file(&self, how: How) -> Result<Verdict, StoreError> {
        let (store, folder) = (&self.account.store, self.folder);
        let mut rows = store.rows_below_blocking(folder.id, self.from)?;
        rows.extend(store.rows_below_blocking(folder.id, self.to)?);
        let Some(base) = store.base_blocking(folder.id, self.from)? else { return Ok(Err(Stop::No)) };
        if let Err(stop) = self.is_new()? {
            return Ok(Err(stop));
        }
        let new = self.root.observe(self.to);
        let Local::File(now) = new else { return Ok(Err(Stop::No)) };
        let old = old(&self.root, self.from, &base, &now);
        let left = stands(&self.root, self.from) == Local::Absent;
        let root_synced = folder.vouch(&self.root).is_ok();
        let so = verify::file(verify::File { base: &base, new: &new, old, mode: folder.mode, how, root_synced });
        if let Err(stop) = so {
            return Ok(Err(stop));
        }
        let there = self.remote(self.from)?;
        if let Err(stop) = file_there(&base, how, there.as_ref()).and(self.is_free()?) {
            return Ok(Err(stop));
        }
        // After a copy the old path is still to be decided.
        let gone = rows.iter().filter(|row| left && how == How::Move && row.path == *self.from);
        let looked = gone.map(|row| (row.id, row.generation)).collect();
        let seen = Seen { rows: looked, others: Vec::new() };
        Ok(self.go(&rows, seen, Some(Base { stat: now, ..base }), how == How::Copy))
    }

    fn go(&self, rows: &[RowBelow], seen: Seen, base: Option<Base>, copy: bool) -> Verdict {
        let (from, to) = (self.folder.home(self.from), self.folder.home(self.to));
        let via = (spelling(self.from, self.to) == Spelling::Letters).then(|| by_way(&to, now_ms()));
        let Ok(via) = via.transpose() else { return Err(Stop::No) };
        let relocation = Relocation { from, to, source: self.from.clone(), base, copy, alike: false, via };
        let generation = rows.iter().find(|row| row.path == *self.to).map(|row| row.generation);
        let (folder, path) = (self.folder.id, self.to.clone());
        Ok((Box::new(Planned { folder, path, generation, relocation }), seen))
    }

    /// What Dropbox has at a path; `None`: the listing has to catch up first.
    fn remote(&self, path: &RelPath) -> Result<Option<Remote>, StoreError> {
        let view = self.account.remote.view_blocking(self.account, self.folder.id, path)?;
        if view.late {
            self.account.remote.hurry(self.folder.id);
        }
        Ok((!view.late).then_some(view.remote))
    }

    /// Whether base knows nothing at the new place, or that leaves it first.
    fn is_new(&self) -> Result<Result<(), Stop>, StoreError> {
        let agreed = !self.mates.leaves && self.account.store.agreed_below_blocking(self.folder.id, self.to)?;
        Ok(is_new(agreed, self.mates.leaves, self.mates.may_come))
    }

    /// Whether nothing is known to be at the new place in Dropbox.
    fn is_free(&self) -> Result<Result<(), Stop>, StoreError> {
        if self.mates.leaves || may_be_one(self.from.as_str(), self.to.as_str()) {
            return Ok(Ok(()));
        }
        let view = self.account.remote.view_blocking(self.account, self.folder.id, self.to)?;
        Ok(is_free(&view.remote))
    }
}
