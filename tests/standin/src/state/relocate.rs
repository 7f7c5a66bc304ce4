//! Moving and copying (files.stone, `RelocationError`).

use std::sync::Arc;

use super::account::Account;
use super::commit::Rename;
use super::tree::{Kind, Revision};
use crate::path::{self, Place, Reference};
use crate::settings::Settings;

/// One `RelocationPath` with its options.
pub(crate) struct Relocation<'a> {
    pub(crate) copy: bool,
    pub(crate) from: &'a Reference,
    pub(crate) to: &'a Reference,
    pub(crate) autorename: bool,
}

impl Account {
    /// Moves or copies, and gives the new key. The error is the tags of a `RelocationError`.
    pub(crate) fn relocate(
        &mut self,
        settings: &Settings,
        now: i64,
        relocation: &Relocation<'_>,
    ) -> Result<Arc<str>, String> {
        let from = self.lookup(settings, relocation.from).map_err(|tag| format!("from_lookup/{tag}"))?;
        let mut to = self.place(settings, relocation.to).map_err(|_| "to/malformed_path".to_owned())?;
        // "we do not currently support case-only renaming": both paths are then the same [guess for the tag].
        if *from == to.lower {
            return Err("duplicated_or_nested_paths".to_owned());
        }
        if path::is_below(&to.lower, &from) {
            return Err(
                if relocation.copy { "duplicated_or_nested_paths" } else { "cant_move_folder_into_itself" }.to_owned()
            );
        }
        if !relocation.copy {
            self.may_remove(settings, &from).map_err(|tag| format!("from_write/{tag}"))?;
        }
        self.may_relocate(relocation.copy, &from, &to.lower)?;
        self.may_write(settings, &to).map_err(|tags| format!("to/{tags}"))?;
        match self.tree.live(&to.lower).map(|node| node.file().is_some()) {
            Some(_) if relocation.autorename => to = self.renamed(&to, Rename::Number),
            Some(true) => return Err("to/conflict/file".to_owned()),
            Some(false) => return Err("to/conflict/folder".to_owned()),
            None => {}
        }
        if self.tree.count(&from) > settings.max_tree {
            return Err("too_many_files".to_owned());
        }
        let moved: Vec<(Arc<str>, String, Kind)> = self
            .tree
            .nodes
            .get_key_value(&*from)
            .into_iter()
            .chain(self.tree.below(&from))
            .map(|(key, node)| (Arc::clone(key), node.display(key).to_owned(), node.kind.clone()))
            .collect();
        if relocation.copy {
            let size: u64 =
                moved.iter().map(|(_, _, kind)| if let Kind::File(file) = kind { file.size } else { 0 }).sum();
            if self.tree.used.saturating_add(size) > self.quota {
                return Err("insufficient_quota".to_owned());
            }
        }
        self.tree.make_parents(&to);
        let top = self.tree.display_for(&to);
        if !relocation.copy {
            // The old paths are logged as deleted before the new ones are logged.
            self.tree.remove(&from, now);
        }
        for (key, display, kind) in moved {
            let lower = format!("{}{}", to.lower, key.get(from.len()..).unwrap_or_default());
            let depth = key.matches('/').count() - from.matches('/').count();
            let display = format!("{top}{}", tail(&display, depth));
            let kind = self.renumbered(kind, relocation.copy, now, &key);
            self.tree.put(&lower, &display, kind);
        }
        Ok(self
            .tree
            .nodes
            .get_key_value(to.lower.as_str())
            .map_or_else(|| Arc::from(to.lower.as_str()), |(key, _)| Arc::clone(key)))
    }

    /// A move keeps the id and makes a revision (a guess); a copy is something new.
    fn renumbered(&mut self, kind: Kind, copy: bool, now: i64, old: &Arc<str>) -> Kind {
        let number = self.tree.number();
        match kind {
            Kind::File(file) => {
                let id = if copy { number } else { file.id };
                if !copy {
                    self.tree.trail.entry(id).or_default().push(Arc::clone(old));
                    // The first revision has the number of the id, whose path is about to change.
                    self.tree.revs.entry(file.rev).or_insert_with(|| Arc::clone(old));
                }
                Kind::File(Revision { id, rev: number, server_modified: now, ..file })
            }
            Kind::Folder { id } => Kind::Folder { id: if copy { number } else { id } },
            deleted @ Kind::Deleted { .. } => deleted,
        }
    }
}

/// The last `depth` components of a path, with their slashes.
fn tail(path: &str, depth: usize) -> &str {
    if depth == 0 {
        return "";
    }
    path.rmatch_indices('/').nth(depth - 1).and_then(|(at, _)| path.get(at..)).unwrap_or_default()
}

impl Account {
    /// Puts back a revision at a path (files.stone, `restore`). The error is the tags of a `RestoreError`.
    pub(crate) fn restore(
        &mut self,
        settings: &Settings,
        now: i64,
        target: &Reference,
        rev: &str,
    ) -> Result<Arc<str>, String> {
        let place: Place = self.place(settings, target).map_err(|tag| format!("path_lookup/{tag}"))?;
        self.may_write(settings, &place).map_err(|tags| format!("path_write/{tags}"))?;
        let found = path::parse_rev(rev).and_then(|rev| self.tree.by_rev(rev)).map(|(key, file)| (key, file.clone()));
        let (key, old) = found.ok_or_else(|| "invalid_revision".to_owned())?;
        let live = self.tree.live(&place.lower);
        if live.is_some_and(|node| node.file().is_none()) {
            return Err("path_write/conflict/folder".to_owned());
        }
        // The file at the path keeps its id; a deleted file that is restored in its place gets its id back [guess].
        let id = live.and_then(|node| node.file()).map(|file| file.id);
        let id = id.or_else(|| (*key == *place.lower).then_some(old.id));
        let rev = self.tree.number();
        self.tree.make_parents(&place);
        self.tree.revs.entry(old.rev).or_insert(key);
        Ok(self.tree.put_file(&place, Revision { id: id.unwrap_or(rev), rev, server_modified: now, ..old }))
    }
}
