//! Writing a file to a path: `CommitInfo`, `WriteMode` and `WriteError` (files.stone).

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::account::Account;
use super::session::Sealed;
use super::tree::{Kind, Revision};
use crate::path::{self, Place, Reference};
use crate::settings::Settings;

/// `WriteMode`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WriteMode {
    #[default]
    Add,
    Overwrite,
    /// With the text of a `Rev`.
    Update(String),
}

impl<'de> Deserialize<'de> for WriteMode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let tag = value.as_str().or_else(|| value.get(".tag").and_then(Value::as_str));
        match tag {
            Some("add") => Ok(Self::Add),
            Some("overwrite") => Ok(Self::Overwrite),
            Some("update") => match value.get("update").and_then(Value::as_str) {
                Some(rev) if path::is_rev(rev) => Ok(Self::Update(rev.to_owned())),
                _ => Err(serde::de::Error::custom("update: expected a rev")),
            },
            _ => Err(serde::de::Error::custom("mode: unknown tag")),
        }
    }
}

/// What is asked for, after its text has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) target: Reference,
    pub(crate) mode: WriteMode,
    pub(crate) autorename: bool,
    pub(crate) strict: bool,
    pub(crate) client_modified: Option<i64>,
}

/// Tags of a `WriteError`, such as `conflict/file`.
pub(crate) type WriteResult<T> = Result<T, &'static str>;

impl Account {
    /// Writes a file by the rules, and gives the key where it (or the same content) now is.
    pub(crate) fn commit(
        &mut self,
        settings: &Settings,
        now: i64,
        commit: &Commit,
        sealed: &Sealed,
    ) -> WriteResult<Arc<str>> {
        // WriteError has no "not_found": an id that names nothing is malformed_path [guess].
        let place = self.place(settings, &commit.target).map_err(|_| "malformed_path")?;
        self.may_write(settings, &place)?;
        let place = match self.conflict(&place, commit, sealed) {
            Found::Same(key) => return Ok(key),
            Found::Free => place,
            Found::Conflict(tag) if commit.autorename && tag != "conflict/file_ancestor" => {
                let style =
                    if matches!(commit.mode, WriteMode::Update(_)) { Rename::ConflictedCopy } else { Rename::Number };
                self.renamed(&place, style)
            }
            Found::Conflict(tag) => return Err(tag),
        };
        self.may_replace(&place.lower)?;
        let replaced = self.tree.live(&place.lower).and_then(|node| node.file()).map(|file| (file.id, file.size));
        let freed = replaced.map_or(0, |(_, size)| size);
        if self.tree.used.saturating_sub(freed).saturating_add(sealed.size) > self.quota {
            return Err("insufficient_space");
        }
        self.tree.make_parents(&place);
        let rev = self.tree.number();
        // A file that is overwritten keeps its id; its first revision has the number of the id.
        let id = replaced.map_or(rev, |(id, _)| id);
        let revision = Revision {
            id,
            rev,
            size: sealed.size,
            hash: sealed.hash,
            client_modified: commit.client_modified.unwrap_or(now),
            server_modified: now,
            content: sealed.content.clone(),
        };
        Ok(self.tree.put_file(&place, revision))
    }

    /// Whether something may be written at a place: names, permissions, and no file among the ancestors.
    pub(crate) fn may_write(&self, settings: &Settings, place: &Place) -> WriteResult<()> {
        if place.lower.is_empty() {
            return Err("malformed_path");
        }
        if path::disallowed(settings, &place.lower) {
            return Err("disallowed_name");
        }
        self.may_write_at(settings, &place.lower)?;
        if path::ancestors(&place.lower).any(|parent| self.tree.live(parent).is_some_and(|node| node.file().is_some()))
        {
            return Err("conflict/file_ancestor");
        }
        Ok(())
    }

    fn conflict(&self, place: &Place, commit: &Commit, sealed: &Sealed) -> Found {
        let Some((key, node)) = self.tree.nodes.get_key_value(place.lower.as_str()).filter(|(_, node)| node.is_live())
        else {
            // "(a) If the target path doesn't refer to anything, the file is always written", but with strict_conflict an update
            // conflicts "even if the existing file has been deleted"; the tag for it is a guess.
            let update = matches!(commit.mode, WriteMode::Update(_));
            return if commit.strict && update { Found::Conflict("conflict/file") } else { Found::Free };
        };
        let file = match &node.kind {
            Kind::File(file) => file,
            // "(b) If the target path refers to a folder, it's always a conflict."
            _ => return Found::Conflict("conflict/folder"),
        };
        // "(c) If the target path refers to a file with identical contents, nothing gets written; no conflict." strict_conflict takes
        // that rule away, and the mode's own rule decides.
        let same = file.hash == sealed.hash && file.size == sealed.size;
        if same && !commit.strict {
            return Found::Same(Arc::clone(key));
        }
        match &commit.mode {
            WriteMode::Overwrite => Found::Free,
            WriteMode::Update(rev) if path::parse_rev(rev) == Some(file.rev) => Found::Free,
            WriteMode::Update(_) | WriteMode::Add => Found::Conflict("conflict/file"),
        }
    }

    /// A free place beside this one, named by the strategy of the mode ("document (2).txt", "document (conflicted copy).txt").
    pub(crate) fn renamed(&self, place: &Place, style: Rename) -> Place {
        let name = path::name_of(&place.lower);
        // The extension of a name that is nothing but an extension is its stem.
        let dot = name.rfind('.').filter(|at| *at > 0).map_or(0, |at| name.len() - at);
        for n in 1_u32.. {
            let suffix = match (style, n) {
                (Rename::Number, n) => format!(" ({n})"),
                (Rename::ConflictedCopy, 1) => " (conflicted copy)".to_owned(),
                (Rename::ConflictedCopy, n) => format!(" (conflicted copy {})", n - 1),
            };
            let candidate =
                Place { lower: insert(&place.lower, dot, &suffix), display: insert(&place.display, dot, &suffix) };
            if self.tree.live(&candidate.lower).is_none() {
                return candidate;
            }
        }
        place.clone()
    }

    /// Makes a folder, as `create_folder_v2` does.
    pub(crate) fn create_folder(
        &mut self,
        settings: &Settings,
        target: &Reference,
        autorename: bool,
    ) -> WriteResult<Arc<str>> {
        let mut place = self.place(settings, target).map_err(|_| "malformed_path")?;
        self.may_write(settings, &place)?;
        match self.tree.live(&place.lower).map(|node| node.file().is_some()) {
            Some(_) if autorename => place = self.renamed(&place, Rename::Number),
            Some(true) => return Err("conflict/file"),
            Some(false) => return Err("conflict/folder"),
            None => {}
        }
        self.tree.make_parents(&place);
        Ok(self.tree.make_folder(&place))
    }
}

/// How autorename finds another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rename {
    Number,
    ConflictedCopy,
}

enum Found {
    Free,
    Same(Arc<str>),
    Conflict(&'static str),
}

/// Puts `suffix` before the last `dot` bytes; display and key may differ in length, so the end is what is counted from.
fn insert(path: &str, dot: usize, suffix: &str) -> String {
    let at = path.len().saturating_sub(dot);
    match (path.get(..at), path.get(at..)) {
        (Some(stem), Some(extension)) => format!("{stem}{suffix}{extension}"),
        _ => format!("{path}{suffix}"),
    }
}
