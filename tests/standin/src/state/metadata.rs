//! `FileMetadata`, `FolderMetadata` and `DeletedMetadata` (files.stone) of what a tree holds.

use serde_json::{Map, Value, json};

use super::account::Account;
use super::tree::{Kind, Revision};
use crate::hash::hex;
use crate::path;
use crate::settings::Settings;
use crate::wire;

impl Account {
    /// The metadata of what is at `key`, deleted or not, with its `.tag`.
    pub(crate) fn metadata(&self, settings: &Settings, key: &str) -> Option<Value> {
        let node = self.tree.nodes.get(key)?;
        let display = self.shown(settings, key);
        Some(match &node.kind {
            Kind::File(file) => wire::tagged("file", self.file_metadata(settings, key, &display, file)),
            Kind::Folder { id } => {
                let mut fields = base(key, &display);
                fields.insert("id".to_owned(), json!(path::id_text(*id)));
                if let Some(info) = self.sharing_info(settings, key, true) {
                    fields.insert("sharing_info".to_owned(), info);
                }
                self.decorate(key, &mut fields);
                wire::tagged("folder", Value::Object(fields))
            }
            Kind::Deleted { .. } => wire::tagged("deleted", Value::Object(base(key, &display))),
        })
    }

    /// The metadata of a deletion of what is there (again) by now.
    pub(crate) fn deletion(&self, settings: &Settings, key: &str) -> Option<Value> {
        self.tree.nodes.get(key)?;
        Some(wire::tagged("deleted", Value::Object(base(key, &self.shown(settings, key)))))
    }

    /// As [`Account::metadata`], without the tag, for results whose type is `FileMetadata` or `FolderMetadata` itself.
    pub(crate) fn untagged(&self, settings: &Settings, key: &str) -> Value {
        let mut value = self.metadata(settings, key).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut value {
            fields.remove(".tag");
        }
        value
    }

    /// The fields of one revision of the file at `key`.
    pub(crate) fn file_metadata(&self, settings: &Settings, key: &str, display: &str, file: &Revision) -> Value {
        let mut fields = base(key, display);
        fields.insert("id".to_owned(), json!(path::id_text(file.id)));
        fields.insert("client_modified".to_owned(), json!(wire::timestamp(file.client_modified)));
        fields.insert("server_modified".to_owned(), json!(wire::timestamp(file.server_modified)));
        fields.insert("rev".to_owned(), json!(path::rev_text(file.rev)));
        fields.insert("size".to_owned(), json!(file.size));
        fields.insert("is_downloadable".to_owned(), json!(true));
        fields.insert("content_hash".to_owned(), json!(hex(&file.hash)));
        if let Some(info) = self.sharing_info(settings, key, false) {
            fields.insert("sharing_info".to_owned(), info);
        }
        if let Some(lock) = self.lock_info(file.id) {
            fields.insert("file_lock_info".to_owned(), lock);
        }
        self.decorate(key, &mut fields);
        Value::Object(fields)
    }

    /// The display path that is reported for a key.
    pub(crate) fn shown(&self, settings: &Settings, key: &str) -> String {
        let display = self.tree.nodes.get(key).map_or(key, |node| node.display(key));
        if settings.sloppy_display {
            return format!("{}/{}", path::parent_of(key), path::name_of(display));
        }
        display.to_owned()
    }

    fn decorate(&self, key: &str, fields: &mut Map<String, Value>) {
        if let Some(Value::Object(extra)) = self.extras.get(key) {
            for (name, value) in extra {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

fn base(key: &str, display: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(path::name_of(display)));
    fields.insert("path_lower".to_owned(), json!(key));
    fields.insert("path_display".to_owned(), json!(display));
    fields
}
