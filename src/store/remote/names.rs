//! The local names of what is listed: those that base knows it by, however their letters are cased here.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use crate::model::key::{key_of, other_key_of};
use crate::model::{Base, FolderId, RelPath};
use crate::store::base;
use crate::store::base::{dirs, key_override};
use crate::store::db::error::Step;
use crate::store::remote::TreeId;
use crate::store::remote::compared::{Compared, Naming};
use crate::store::remote::key;

/// A directory of a folder as it is named here.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) path: RelPath,
    /// Whether base has anything in it, however deep.
    pub(crate) known: bool,
}

/// Finds local names for a few entries of one folder. What is looked at is remembered for these only, so that memory does not grow with base.
pub(crate) struct Names<'a> {
    conn: &'a Connection,
    tree: TreeId,
    folder: &'a Compared,
    home: String,
    naming: Naming,
    /// The last components of all keys that may be asked for.
    wanted: BTreeSet<String>,
    dirs: HashMap<String, Option<Dir>>,
    /// Names of base in a directory by their keys: of its sub-directories, and of its files.
    beside: HashMap<(RelPath, bool), HashMap<String, String>>,
}

impl<'a> Names<'a> {
    /// For these keys; `home` is the folder's own.
    pub(crate) fn new<'k>(
        conn: &'a Connection,
        tree: TreeId,
        folder: &'a Compared,
        naming: Naming,
        home: &str,
        keys: impl Iterator<Item = &'k str>,
    ) -> Self {
        let wanted = keys.flat_map(|key| key.split('/')).map(str::to_owned).collect();
        let home = home.to_owned();
        Self { conn, tree, folder, home, naming, wanted, dirs: HashMap::new(), beside: HashMap::new() }
    }

    /// The folder's number.
    pub(crate) fn folder(&self) -> FolderId {
        self.folder.folder
    }

    /// The directory for a remote folder: its key, and as people write it. `None` if it is not in the folder, or cannot lie on a disk.
    pub(crate) fn dir(&mut self, key: &str, shown: &str) -> Step<Option<Dir>> {
        let (mut missing, mut at) = (Vec::new(), (key, shown));
        let mut dir = loop {
            if at.0 == self.home {
                break Some(Dir { path: RelPath::root(), known: true });
            }
            if let Some(known) = self.dirs.get(at.0) {
                break known.clone();
            }
            missing.push(at);
            match (at.0.rsplit_once('/'), at.1.rsplit_once('/')) {
                (Some((key, _)), Some((shown, _))) => at = (key, shown),
                _ => break None,
            }
        };
        for (key, shown) in missing.into_iter().rev() {
            dir = match dir {
                Some(above) => self.find_dir(&above, key, shown)?,
                None => None,
            };
            self.dirs.insert(key.to_owned(), dir.clone());
        }
        Ok(dir)
    }

    fn find_dir(&mut self, above: &Dir, key: &str, shown: &str) -> Step<Option<Dir>> {
        let Some((path, name)) = self.plain(above, key, shown) else { return Ok(None) };
        if !above.known {
            return Ok(Some(Dir { path, known: false }));
        }
        if self.has_below(&path)? {
            return Ok(Some(Dir { path, known: true }));
        }
        if let Some(other) = self.beside(&above.path, true, name)?
            && self.is_at(&other, key)?
        {
            return Ok(Some(Dir { path: other, known: true }));
        }
        Ok(Some(Dir { path, known: false }))
    }

    /// The path under the name that people write, and the name's key.
    fn plain<'k>(&self, above: &Dir, key: &'k str, shown: &str) -> Option<(RelPath, &'k str)> {
        let ((_, name), (_, name_shown)) = (key.rsplit_once('/')?, shown.rsplit_once('/')?);
        if !(self.naming.holds)(name_shown, self.folder.disk) {
            return None;
        }
        above.path.child(name_shown).ok().map(|path| (path, name))
    }

    /// The path for a remote file, and its base if there is one: found by Dropbox's id first, then by name. A base that lies elsewhere in
    /// Dropbox (a conflicted copy's) is not this file's.
    pub(crate) fn file(&mut self, key: &str, shown: &str, id: Option<&str>) -> Step<Option<(RelPath, Option<Base>)>> {
        let (Some((above, _)), Some((above_shown, _))) = (key.rsplit_once('/'), shown.rsplit_once('/')) else {
            return Ok(None);
        };
        let Some(above) = self.dir(above, above_shown)? else { return Ok(None) };
        let Some((path, name)) = self.plain(&above, key, shown) else { return Ok(None) };
        if let Some(id) = id {
            for (folder, other) in base::sharers(self.conn, FolderId(0), &RelPath::root(), id)? {
                if folder == self.folder.folder
                    && let Some(base) = self.base_at(&other, key, &path)?
                {
                    return Ok(Some((other, Some(base))));
                }
            }
        }
        if !above.known {
            return Ok(Some((path, None)));
        }
        if let Some(base) = self.base_at(&path, key, &path)? {
            return Ok(Some((path, Some(base))));
        }
        if let Some(other) = self.beside(&above.path, false, name)?
            && let Some(base) = self.base_at(&other, key, &path)?
        {
            return Ok(Some((other, Some(base))));
        }
        Ok(Some((path, None)))
    }

    /// The base of a path, if it is agreed with what has this key. One that lies in its own place under the name that people write has it,
    /// whatever we guess its key to be.
    fn base_at(&self, path: &RelPath, key: &str, written: &RelPath) -> Step<Option<Base>> {
        let base = base::get(self.conn, self.folder.folder, path)?;
        let Some(base) = base else { return Ok(None) };
        let agreed = match &base.remote {
            Some(remote) => key::key(self.conn, self.tree, remote.as_str())? == key,
            None => path == written || self.is_at(path, key)?,
        };
        Ok(agreed.then_some(base))
    }

    /// Whether a path here is what has this key: as the tree says, or, where nothing of its name is there (any more), as far as anybody can guess.
    fn is_at(&self, path: &RelPath, key: &str) -> Step<bool> {
        let place = self.folder.remote.join(path);
        if key_override::get(self.conn, self.folder.folder, path)?.is_some_and(|told| told == key) {
            return Ok(true);
        }
        let (at, known) = key::look(self.conn, self.tree, place.as_str())?;
        Ok(at == key || !known && other_key_of(place.as_str()).is_some_and(|other| other == key))
    }

    fn has_below(&self, path: &RelPath) -> Step<bool> {
        let mut select = self.conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path = ?2)
                 OR EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path > ?2 || '/' AND path < ?2 || '0')",
        )?;
        Ok(select.query_row(params![self.folder.folder.0, path.as_str()], |r| r.get(0))?
            || dirs::has(self.conn, self.folder.folder, path)?)
    }

    /// What base has in a directory under this key, in whatever letters.
    fn beside(&mut self, dir: &RelPath, dirs: bool, key: &str) -> Step<Option<RelPath>> {
        let at = (dir.clone(), dirs);
        if !self.beside.contains_key(&at) {
            let mut found = HashMap::new();
            let mut each = |name: &str| {
                for key in std::iter::once(key_of(name)).chain(other_key_of(name)) {
                    if self.wanted.contains(&key) {
                        found.entry(key).or_insert_with(|| name.to_owned());
                    }
                }
            };
            if dirs {
                base::each_dir(self.conn, self.folder.folder, dir, &mut each)?;
                dirs::each(self.conn, self.folder.folder, dir, &mut each)?;
            } else {
                base::each_file(self.conn, self.folder.folder, dir, &mut each)?;
            }
            self.beside.insert(at.clone(), found);
        }
        let name = self.beside.get(&at).and_then(|names| names.get(key));
        Ok(name.and_then(|name| dir.child(name).ok()))
    }
}
