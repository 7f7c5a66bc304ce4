//! Pages of a listing as a test wants them: entries added, changed, left out and repeated, and cursors that lead elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Entries;
use crate::state::cursor::Cursor;
use crate::state::listing::Page;

/// What happens to a page of a listing after it was made. The steps are taken in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageEdit {
    /// These entries are missing.
    pub leave_out: Option<Entries>,
    /// Fields of entries are replaced; a field whose value is null is removed.
    pub change: Vec<Change>,
    /// These entries follow, as they are, right or wrong.
    pub add: Vec<Value>,
    /// All entries come this many times more.
    pub repeat: usize,
    /// Where the cursor leads.
    pub cursor: Next,
    /// What `has_more` says.
    pub has_more: Option<bool>,
}

/// Fields of some entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which entries; `Containing` looks at the entry's JSON.
    pub entries: Entries,
    /// Their new fields.
    pub fields: Value,
}

/// Where the cursor of an edited page leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// On, as always.
    #[default]
    On,
    /// It is the cursor that was asked with; for the first page, as always.
    Same,
    /// A new cursor that leads to this page again.
    Again,
    /// A new cursor that is answered with `reset`.
    Reset,
}

impl PageEdit {
    /// Edits a page that was asked for with `asked`; `serial` makes a new cursor differ from all others.
    pub(crate) fn apply(&self, page: &mut Page, asked: Cursor, serial: u64) {
        if let Some(gone) = &self.leave_out {
            let mut index = 0;
            page.entries.retain(|entry| {
                index += 1;
                !gone.hit(index - 1, &entry.to_string())
            });
        }
        for change in &self.change {
            for (index, entry) in page.entries.iter_mut().enumerate() {
                if change.entries.hit(index, &entry.to_string()) {
                    replace(entry, &change.fields);
                }
            }
        }
        page.entries.extend(self.add.iter().cloned());
        let once = page.entries.clone();
        (0..self.repeat).for_each(|_| page.entries.extend(once.iter().cloned()));
        match self.cursor {
            Next::On => {}
            Next::Same => page.cursor = asked,
            Next::Again => page.cursor = Cursor { serial, ..asked },
            Next::Reset => page.cursor = Cursor { serial, bad: true, ..page.cursor.clone() },
        }
        if let Some(has_more) = self.has_more {
            page.has_more = has_more;
        }
    }
}

/// Replaces fields; those whose value is null are removed.
pub(crate) fn replace(entry: &mut Value, with: &Value) {
    if let (Some(entry), Some(with)) = (entry.as_object_mut(), with.as_object()) {
        for (name, value) in with {
            if value.is_null() {
                entry.remove(name);
            } else {
                entry.insert(name.clone(), value.clone());
            }
        }
    }
}
