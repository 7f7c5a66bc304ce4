//! Files that Dropbox does not have any more where they were, and has elsewhere: they were moved there, and nobody deleted them.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::model::ContentHash;

/// Matches the files that are gone with those that turned up: by Dropbox's id, or one for one by content. Eight bytes a file.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// What is gone.
    ids: HashSet<u64>,
    contents: HashSet<u64>,
    /// What turned up of it.
    moved: HashSet<u64>,
    arrived: HashMap<u64, u32>,
}

impl Elsewhere {
    /// This file is gone.
    pub fn gone(&mut self, id: Option<&str>, content: &ContentHash) {
        self.ids.extend(id.map(|id| short(id.as_bytes())));
        self.contents.insert(short(&content.0));
    }

    /// Whether nothing is gone.
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// This file is there now. `new`: it is not what base knows at any path, so that its content may be that of one that is gone.
    pub fn arrived(&mut self, id: &str, content: Option<&ContentHash>, new: bool) {
        let id = short(id.as_bytes());
        if self.ids.contains(&id) {
            self.moved.insert(id);
            return;
        }
        let content = content.map(|content| short(&content.0));
        if let Some(content) = content.filter(|content| new && self.contents.contains(content)) {
            let arrived = self.arrived.entry(content).or_default();
            *arrived = arrived.saturating_add(1);
        }
    }

    /// Whether a file that is gone was moved. Each one that turned up by its content alone answers for one file.
    pub fn was_moved(&mut self, id: Option<&str>, content: &ContentHash) -> bool {
        if id.is_some_and(|id| self.moved.contains(&short(id.as_bytes()))) {
            return true;
        }
        match self.arrived.get_mut(&short(&content.0)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

fn short(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(n: u8) -> ContentHash {
        ContentHash([n; 32])
    }

    /// (gone: id, content), (there: id, content, new), (gone, and moved)
    #[test]
    fn c11_what_turns_up_elsewhere_was_moved() {
        type Gone = (Option<&'static str>, u8);
        type There = (&'static str, Option<u8>, bool);
        let cases: &[(&[Gone], &[There], &[bool])] = &[
            (&[(Some("a"), 1)], &[], &[false]),
            (&[(Some("a"), 1)], &[("a", Some(1), false)], &[true]),
            // Edited on the way.
            (&[(Some("a"), 1)], &[("a", Some(9), false)], &[true]),
            (&[(Some("a"), 1)], &[("a", None, false)], &[true]),
            // Under another id: its content is what counts, if it came with this.
            (&[(Some("a"), 1)], &[("b", Some(1), true)], &[true]),
            (&[(None, 1)], &[("b", Some(1), true)], &[true]),
            (&[(Some("a"), 1)], &[("b", Some(1), false)], &[false]),
            (&[(Some("a"), 1)], &[("b", Some(2), true)], &[false]),
            // One for one.
            (
                &[(Some("a"), 1), (Some("b"), 1), (Some("c"), 1)],
                &[("x", Some(1), true), ("c", Some(1), true)],
                &[true, false, true],
            ),
        ];
        for (gone, there, moved) in cases {
            let mut all = Elsewhere::default();
            assert!(all.is_empty());
            gone.iter().for_each(|(id, c)| all.gone(*id, &content(*c)));
            there.iter().for_each(|(id, c, new)| all.arrived(id, c.map(content).as_ref(), *new));
            let found: Vec<bool> = gone.iter().map(|(id, c)| all.was_moved(*id, &content(*c))).collect();
            assert_eq!(&found, moved, "{gone:?} {there:?}");
        }
    }
}
