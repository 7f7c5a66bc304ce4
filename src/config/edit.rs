//! Changes to a configuration file that leave everything else in it as it stands: comments, order, spaces.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::{Config, ConfigErrors, LoadOptions, Problem, check};
use crate::model::Mode;

/// Why an edit was not made. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    Io(PathBuf, io::Error),
    /// It cannot be parsed.
    #[error("{path}: this is not TOML: {text}", path = .0.display(), text = .1)]
    Syntax(PathBuf, String),
    /// What should be changed is not there, or is there already.
    #[error("{0}")]
    Target(String),
    /// The result would not load. The lines that were to be written are in no file, so none is named.
    #[error("nothing was written: {0}")]
    Invalid(ConfigErrors),
}

/// A file being edited.
#[derive(Debug)]
pub struct Edit {
    path: PathBuf,
    document: DocumentMut,
    before: String,
    mode: u32,
}

impl Edit {
    /// Opens `path`; a missing file is an empty one.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let io = |error| EditError::Io(path.to_owned(), error);
        // A link to the real file, as people keep with their dotfiles, stays a link.
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(io(error)),
        };
        if fs::symlink_metadata(&real).is_ok_and(|meta| !meta.is_file()) {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        }
        let (before, mode) = match fs::read_to_string(&real) {
            Ok(text) => (text, fs::symlink_metadata(&real).map_err(io)?.mode() & 0o7777),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0o600),
            Err(error) => return Err(io(error)),
        };
        let document = before
            .parse::<DocumentMut>()
            .map_err(|error| EditError::Syntax(path.to_owned(), error.to_string().trim().replace('\n', " ")))?;
        Ok(Self { path: real, document, before, mode })
    }

    fn accounts(&mut self) -> Result<&mut ArrayOfTables, EditError> {
        let target = || EditError::Target("`account` is not a list of [[account]] tables".to_owned());
        self.document
            .entry("account")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
            .as_array_of_tables_mut()
            .ok_or_else(target)
    }

    /// The accounts' names, in the file's order.
    pub fn account_names(&self) -> Vec<String> {
        let accounts = self.document.get("account").and_then(Item::as_array_of_tables);
        let name = |table: &Table| Some(table.get("name")?.as_str()?.to_owned());
        accounts.into_iter().flatten().filter_map(name).collect()
    }

    /// Adds an account, or sets these values of one that is there. Without `credentials` the usual place applies until it is linked.
    ///
    /// # Errors
    /// The name is not one.
    pub fn set_account(
        &mut self,
        name: &str,
        app_key: Option<&str>,
        credentials: Option<&str>,
    ) -> Result<(), EditError> {
        check::check_name(name).map_err(EditError::Target)?;
        let accounts = self.accounts()?;
        let there = accounts.iter_mut().position(|t| t.get("name").and_then(Item::as_str) == Some(name));
        if there.is_none() {
            let mut table = Table::new();
            table.insert("name", value(name));
            accounts.push(table);
        }
        let last = accounts.len().saturating_sub(1);
        if let Some(table) = accounts.get_mut(there.unwrap_or(last)) {
            if let Some(key) = app_key {
                set(table, "app_key", key);
            }
            if let Some(credentials) = credentials
                && table.get("credentials").and_then(Item::as_str) != Some(credentials)
            {
                set(table, "credentials", credentials);
            }
        }
        Ok(())
    }

    /// Adds a folder to an account.
    ///
    /// # Errors
    /// There is no such account in the file.
    pub fn add_folder(&mut self, account: &str, local: &str, remote: &str, mode: Mode) -> Result<(), EditError> {
        let mut folder = Table::new();
        folder.insert("local", value(local));
        folder.insert("remote", value(remote));
        folder.insert("mode", value(mode.to_string()));
        let missing = || EditError::Target(format!("there is no account `{account}` in this file"));
        let accounts = self.accounts()?;
        let table =
            accounts.iter_mut().find(|t| t.get("name").and_then(Item::as_str) == Some(account)).ok_or_else(missing)?;
        table
            .entry("folder")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
            .as_array_of_tables_mut()
            .ok_or_else(|| EditError::Target("`account.folder` is not a list of [[account.folder]] tables".to_owned()))?
            .push(folder);
        Ok(())
    }

    /// Takes away every folder whose directory `is_it` says is meant; gives how many.
    pub fn remove_folders(&mut self, is_it: impl Fn(&str) -> bool) -> usize {
        let Ok(accounts) = self.accounts() else { return 0 };
        let mut removed = 0;
        for table in accounts.iter_mut() {
            let Some(folders) = table.get_mut("folder").and_then(Item::as_array_of_tables_mut) else { continue };
            let before = folders.len();
            folders.retain(|t| !t.get("local").and_then(Item::as_str).is_some_and(&is_it));
            removed += before - folders.len();
            if folders.is_empty() {
                table.remove("folder");
            }
        }
        removed
    }

    /// Takes an account away; says whether it was there.
    pub fn remove_account(&mut self, name: &str) -> bool {
        let Ok(accounts) = self.accounts() else { return false };
        let before = accounts.len();
        accounts.retain(|t| t.get("name").and_then(Item::as_str) != Some(name));
        let removed = accounts.len() < before;
        if accounts.is_empty() {
            self.document.remove("account");
        }
        removed
    }

    /// Writes the result, whole or not at all, once it loads with no problem that was not there before.
    ///
    /// # Errors
    /// The result is wrong, or the disk refuses; the file is as it was.
    pub fn save(&self, options: &LoadOptions) -> Result<(), EditError> {
        let text = self.document.to_string();
        if text == self.before {
            return Ok(());
        }
        let io = |error| EditError::Io(self.path.clone(), error);
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = dir.join(format!(".{name}.{}", std::process::id()));
        let written = self.write(&beside, &text).and_then(|()| {
            self.judge(&beside, options)?;
            fs::rename(&beside, &self.path).map_err(io)?;
            fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io)
        });
        if written.is_err() {
            drop(fs::remove_file(&beside));
        }
        written
    }

    fn write(&self, beside: &Path, text: &str) -> Result<(), EditError> {
        let io = |error| EditError::Io(beside.to_owned(), error);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.set_permissions(fs::Permissions::from_mode(self.mode)).map_err(io)?;
        file.sync_all().map_err(io)
    }

    /// Loads the new file in the old one's place. A problem that was there before is no reason to refuse.
    fn judge(&self, beside: &Path, options: &LoadOptions) -> Result<(), EditError> {
        let with = |file: &Path| {
            let mut options = options.clone();
            // In its own layer if it is one of the usual two, alone otherwise.
            let around = &mut options.surroundings;
            let is_it = |path: &Path| path == self.path || fs::canonicalize(path).is_ok_and(|p| p == self.path);
            if options.file.is_some() {
                options.file = Some(file.to_owned());
            } else if is_it(&around.system_file) {
                around.system_file = file.to_owned();
            } else {
                around.user_file = file.to_owned();
            }
            options
        };
        let shown = beside.display().to_string();
        let place = |p: &Problem| p.place.replace(&shown, &self.path.display().to_string());
        let Err(after) = Config::load(&with(beside)) else { return Ok(()) };
        let before = if self.before.is_empty() { Ok(()) } else { Config::load(&with(&self.path)).map(|_| ()) };
        let before = before.err().map(|e| e.0).unwrap_or_default();
        let known = |p: &Problem| before.iter().any(|b| b.key == p.key && b.text == p.text);
        let new: Vec<Problem> = after
            .0
            .into_iter()
            .filter(|p| !known(p))
            .map(|p| Problem {
                place: without_line(&place(&p)),
                text: p.text.replace(&shown, &self.path.display().to_string()),
                ..p
            })
            .collect();
        if new.is_empty() { Ok(()) } else { Err(EditError::Invalid(ConfigErrors(new))) }
    }
}

/// `FILE line N` without the line.
fn without_line(place: &str) -> String {
    place.rsplit_once(" line ").map_or(place, |(file, _)| file).to_owned()
}

/// Sets a value and keeps the comment behind it.
fn set(table: &mut Table, key: &str, text: &str) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(text));
        }
    }
}
