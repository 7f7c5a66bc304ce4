//! `list_revisions` (files.stone).

use std::sync::Arc;

use super::account::Account;
use super::tree::{Kind, Revision};
use crate::path::{self, Reference};
use crate::settings::Settings;

/// What is asked for.
pub(crate) struct RevisionQuery<'a> {
    pub(crate) target: &'a Reference,
    /// By the file's id instead of by its path.
    pub(crate) by_id: bool,
    pub(crate) limit: usize,
    pub(crate) before: Option<&'a str>,
}

/// Revisions with the path where each was made, the newest first.
pub(crate) struct Revisions {
    pub(crate) deleted: bool,
    pub(crate) deleted_at: Option<i64>,
    pub(crate) entries: Vec<(Arc<str>, Revision)>,
    pub(crate) has_more: bool,
}

impl Account {
    /// The revisions of a file; the error is the tags of a `ListRevisionsError`.
    pub(crate) fn revisions(&self, settings: &Settings, query: &RevisionQuery<'_>) -> Result<Revisions, String> {
        // A deleted file still has revisions, so this is no `lookup`.
        let place = match query.target {
            Reference::Id(Some(id)) => self.tree.ids.get(id).map(|key| key.to_string()).ok_or("path/not_found")?,
            other => self.place(settings, other).map_err(|tag| format!("path/{tag}"))?.lower,
        };
        let (key, node) = self.tree.nodes.get_key_value(place.as_str()).ok_or("path/not_found")?;
        let (deleted, deleted_at) = match node.kind {
            Kind::Folder { .. } => return Err("path/not_file".to_owned()),
            Kind::File(_) => (false, None),
            Kind::Deleted { at, .. } => (true, Some(at)),
        };
        let here = |key: &Arc<str>| -> Vec<(Arc<str>, Revision)> {
            let node = self.tree.nodes.get(key);
            let all = node.into_iter().flat_map(|node| node.past.iter().chain(node.file()));
            all.map(|file| (Arc::clone(key), file.clone())).collect()
        };
        let mut all = here(key);
        if all.is_empty() {
            return Err("path/not_found".to_owned());
        }
        if query.by_id {
            if query.before.is_some() {
                return Err("before_rev_not_supported".to_owned());
            }
            let id = all.last().map(|(_, file)| file.id);
            let mut places: Vec<Arc<str>> = id.and_then(|id| self.tree.trail.get(&id).cloned()).unwrap_or_default();
            places.push(Arc::clone(key));
            places.sort();
            places.dedup();
            all = places.iter().flat_map(here).filter(|(_, file)| Some(file.id) == id).collect();
        }
        all.sort_by_key(|(_, file)| std::cmp::Reverse(file.rev));
        if let Some(before) = query.before {
            let before = path::parse_rev(before).ok_or("invalid_before_rev")?;
            if !all.iter().any(|(_, file)| file.rev == before) {
                return Err("invalid_before_rev".to_owned());
            }
            all.retain(|(_, file)| file.rev < before);
        }
        let has_more = all.len() > query.limit;
        all.truncate(query.limit);
        Ok(Revisions { deleted, deleted_at, entries: all, has_more })
    }
}
