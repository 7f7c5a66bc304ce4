//! The local names of what is listed: those that base knows it by, however their letters are cased here.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::error::Step;
use super::remote_compare::{Compared, Naming};
use super::{base, base_dir};
use crate::model::{Base, FolderId, RelPath};

/// A directory of a folder as it is named here.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    pub(super) path: RelPath,
    /// Whether base has anything in it, however deep.
    pub(super) known: bool,
}

/// Finds local names for a few entries of one folder. What is looked at is remembered for these only, so that memory does not grow with base.
pub(super) struct Names<'a> {
    conn: &'a Connection,
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
    /// For these keys.
    pub(super) fn new<'k>(
        conn: &'a Connection,
        folder: &'a Compared,
        naming: Naming,
        keys: impl Iterator<Item = &'k str>,
    ) -> Self {
        let wanted = keys.flat_map(|key| key.split('/')).map(str::to_owned).collect();
        let home = (naming.key_of)(folder.remote.as_str());
        Self { conn, folder, home, naming, wanted, dirs: HashMap::new(), beside: HashMap::new() }
    }

    /// The folder's number.
    pub(super) fn folder(&self) -> FolderId {
        self.folder.folder
    }

    /// The directory for a remote folder: its key, and as people write it. `None` if it is not in the folder, or cannot lie on a disk.
    pub(super) fn dir(&mut self, key: &str, shown: &str) -> Step<Option<Dir>> {
        if key == self.home {
            return Ok(Some(Dir { path: RelPath::root(), known: true }));
        }
        if let Some(known) = self.dirs.get(key) {
            return Ok(known.clone());
        }
        let dir = self.find_dir(key, shown)?;
        self.dirs.insert(key.to_owned(), dir.clone());
        Ok(dir)
    }

    fn find_dir(&mut self, key: &str, shown: &str) -> Step<Option<Dir>> {
        let Some((above, path, name)) = self.plain(key, shown)? else { return Ok(None) };
        if !above.known {
            return Ok(Some(Dir { path, known: false }));
        }
        if self.has_below(&path)? {
            return Ok(Some(Dir { path, known: true }));
        }
        Ok(Some(match self.beside(&above.path, true, name)? {
            Some(other) => Dir { path: other, known: true },
            None => Dir { path, known: false },
        }))
    }

    /// The directory above, the path under the name that people write, and the name's key.
    fn plain<'k>(&mut self, key: &'k str, shown: &str) -> Step<Option<(Dir, RelPath, &'k str)>> {
        let (Some((above, name)), Some((above_shown, name_shown))) = (key.rsplit_once('/'), shown.rsplit_once('/'))
        else {
            return Ok(None);
        };
        if !(self.naming.holds)(name_shown, self.folder.disk) {
            return Ok(None);
        }
        let Some(above) = self.dir(above, above_shown)? else { return Ok(None) };
        Ok(above.path.child(name_shown).ok().map(|path| (above, path, name)))
    }

    /// The path for a remote file, and its base if there is one: found by Dropbox's id first, then by name. A base that lies elsewhere in
    /// Dropbox (a conflicted copy's) is not this file's.
    pub(super) fn file(&mut self, key: &str, shown: &str, id: Option<&str>) -> Step<Option<(RelPath, Option<Base>)>> {
        let Some((above, path, name)) = self.plain(key, shown)? else { return Ok(None) };
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
        Ok(base.filter(|base| match &base.remote {
            Some(remote) => (self.naming.key_of)(remote.as_str()) == key,
            None => path == written || (self.naming.key_of)(self.folder.remote.join(path).as_str()) == key,
        }))
    }

    fn has_below(&self, path: &RelPath) -> Step<bool> {
        let mut select = self.conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path = ?2)
                 OR EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path > ?2 || '/' AND path < ?2 || '0')",
        )?;
        Ok(select.query_row(params![self.folder.folder.0, path.as_str()], |r| r.get(0))?
            || base_dir::has(self.conn, self.folder.folder, path)?)
    }

    /// What base has in a directory under this key, in whatever letters.
    fn beside(&mut self, dir: &RelPath, dirs: bool, key: &str) -> Step<Option<RelPath>> {
        let at = (dir.clone(), dirs);
        if !self.beside.contains_key(&at) {
            let mut found = HashMap::new();
            let mut each = |name: &str| {
                let key = (self.naming.key_of)(name);
                if self.wanted.contains(&key) {
                    found.entry(key).or_insert_with(|| name.to_owned());
                }
            };
            if dirs {
                base::each_dir(self.conn, self.folder.folder, dir, &mut each)?;
                base_dir::each(self.conn, self.folder.folder, dir, &mut each)?;
            } else {
                base::each_file(self.conn, self.folder.folder, dir, &mut each)?;
            }
            self.beside.insert(at.clone(), found);
        }
        let name = self.beside.get(&at).and_then(|names| names.get(key));
        Ok(name.and_then(|name| dir.child(name).ok()))
    }
}
