//! Pages of a listing (files.stone, `list_folder` and `list_folder/continue`).

use std::ops::Bound;

use serde_json::Value;

use super::account::Account;
use super::cursor::{Cursor, Position};
use super::tree::{Kind, Node};
use crate::path;
use crate::settings::Settings;

/// One page.
pub(crate) struct Page {
    pub(crate) entries: Vec<Value>,
    pub(crate) cursor: Cursor,
    pub(crate) has_more: bool,
}

impl Account {
    /// The page after a cursor.
    pub(crate) fn page(&mut self, settings: &Settings, mut cursor: Cursor) -> Page {
        self.pages += 1;
        if settings.empty_page_every > 0 && self.pages.is_multiple_of(settings.empty_page_every) {
            // docs/dropbox-api.md, "Limits": "pages may be empty with has_more true".
            return Page { entries: Vec::new(), cursor, has_more: true };
        }
        let mut entries = Vec::new();
        let done = match cursor.position.clone() {
            Position::First(after, seq) => {
                let mut keys = Vec::new();
                let last = self.walk(&cursor, &after, &mut keys);
                entries.extend(keys.iter().filter_map(|key| self.entry(settings, &cursor, key)));
                (cursor.position, cursor.pages) = match last {
                    Some(last) => (Position::First(last, seq), cursor.pages + 1),
                    None => (Position::Changes(seq), 0),
                };
                // What has changed since the listing began follows.
                cursor.position == Position::Changes(seq) && !self.has_changes(settings, &cursor)
            }
            Position::Changes(seq) => {
                let mut at = seq;
                let mut more = false;
                let told = self.tree.told(settings.listing_lag).max(seq);
                for (seq, key) in self.tree.log.range((Bound::Excluded(seq), Bound::Excluded(told + 1))) {
                    if self.tells(&cursor, key) {
                        if entries.len() == cursor.limit {
                            more = true;
                            break;
                        }
                        let left = self.tree.left.contains(seq);
                        let entry = || self.entry(settings, &cursor, key);
                        entries.extend(if left { self.deletion(settings, key) } else { entry() });
                    }
                    at = *seq;
                }
                cursor.position = Position::Changes(if more { at } else { told });
                !more
            }
        };
        if done && self.bad_cursors > 0 {
            self.bad_cursors -= 1;
            cursor.bad = true;
        }
        Page { entries, cursor, has_more: !done }
    }

    /// Whether a cursor has something to report.
    pub(crate) fn has_changes(&self, settings: &Settings, cursor: &Cursor) -> bool {
        match &cursor.position {
            Position::First(..) => true,
            Position::Changes(seq) => {
                let told = self.tree.told(settings.listing_lag).max(*seq);
                let mut later = self.tree.log.range((Bound::Excluded(*seq), Bound::Excluded(told + 1)));
                later.any(|(_, key)| self.tells(cursor, key))
            }
        }
    }

    /// How many files and folders there are below a folder, counted up to `most`.
    pub(crate) fn count_below(&self, folder: &str, most: usize) -> usize {
        let range = format!("{folder}/")..format!("{folder}0");
        self.tree
            .nodes
            .range::<str, _>((Bound::Included(range.start.as_str()), Bound::Excluded(range.end.as_str())))
            .filter(|(_, node)| node.is_live())
            .take(most)
            .count()
    }

    /// Collects keys of the first listing after `after`, in path order; the last one when there may be more.
    fn walk(&self, cursor: &Cursor, after: &str, keys: &mut Vec<String>) -> Option<String> {
        let folder = &cursor.folder;
        // A recursive listing of a folder starts with the folder itself [guess]; the root has no metadata.
        if after.is_empty() && cursor.recursive && !folder.is_empty() {
            keys.push(folder.clone());
        }
        let end = format!("{folder}0");
        let mut from = if after.len() > folder.len() {
            Bound::Excluded(after.to_owned())
        } else {
            Bound::Included(format!("{folder}/"))
        };
        loop {
            let range = (from.as_ref().map(String::as_str), Bound::Excluded(end.as_str()));
            let mut jump = None;
            for (key, node) in self.tree.nodes.range::<str, _>(range) {
                if keys.len() >= cursor.limit {
                    return keys.last().cloned();
                }
                let rest = key.get(folder.len() + 1..).unwrap_or_default();
                match rest.find('/').filter(|_| !cursor.recursive) {
                    Some(at) => {
                        // In a subfolder: on to what follows it. '0' is the character after '/'.
                        jump = key.get(..folder.len() + 1 + at).map(|child| format!("{child}0"));
                        break;
                    }
                    None if (node.is_live() || cursor.deleted) && self.is_listed(cursor, key) => {
                        keys.push(key.to_string());
                    }
                    None => {}
                }
            }
            from = Bound::Included(jump?);
        }
    }

    /// The entry of what is at `key`, with the fields that the listing asked for.
    fn entry(&self, settings: &Settings, cursor: &Cursor, key: &str) -> Option<Value> {
        let mut entry = self.metadata(settings, key)?;
        let fields = entry.as_object_mut()?;
        let tag = fields.get(".tag").and_then(Value::as_str);
        if cursor.members && tag == Some("file") {
            fields.entry("has_explicit_shared_members").or_insert(Value::Bool(false));
        } else if cursor.restorable && tag == Some("deleted") {
            // Everything can, unless a test decorated it [guess].
            let said = self.extras.get(key).and_then(|extra| extra.get("is_restorable").cloned());
            fields.insert("is_restorable".to_owned(), said.unwrap_or(Value::Bool(true)));
        }
        Some(entry)
    }

    /// Whether a cursor tells of a change of `key`.
    fn tells(&self, cursor: &Cursor, key: &str) -> bool {
        self.in_scope(cursor, key) && self.is_reported(key) && self.is_listed(cursor, key)
    }

    fn in_scope(&self, cursor: &Cursor, key: &str) -> bool {
        if cursor.recursive {
            path::is_below(key, &cursor.folder) || *key == *cursor.folder
        } else {
            path::parent_of(key) == cursor.folder
        }
    }

    /// What was deleted with its folder is not reported beside it: who removes the folder removes its children. If the folder has been
    /// made again since, they are; and so is what was deleted before its folder was, since a page may end between the two.
    fn is_reported(&self, key: &str) -> bool {
        if self.tree.untold.contains(key) {
            return false;
        }
        let deleted = |node: &&Node| matches!(node.kind, Kind::Deleted { .. });
        let Some(node) = self.tree.nodes.get(key).filter(deleted) else { return true };
        let parent = self.tree.nodes.get(path::parent_of(key)).filter(deleted);
        parent.is_none_or(|parent| parent.seq > node.seq)
    }
}
