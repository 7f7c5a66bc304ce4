//! Accounts with very many entries, made in seconds.

use bytes::Bytes;

use super::account::Account;
use super::tree::{Content, Kind, Revision};
use crate::hash;

/// Files in each generated folder.
const PER_FOLDER: usize = 1000;

impl Account {
    /// Adds `entries` files and folders below `folder` (a key; empty for the root): folders of 999 small files each.
    pub(crate) fn generate(&mut self, folder: &str, entries: usize, now: i64) {
        let mut parent = folder.to_owned();
        for n in 0..entries {
            if n % PER_FOLDER == 0 {
                parent = format!("{folder}/folder-{:06}", n / PER_FOLDER);
                let id = self.tree.number();
                self.tree.put(&parent, &parent.clone(), Kind::Folder { id });
                continue;
            }
            let lower = format!("{parent}/file-{n:08}.txt");
            let data = generated(n as u64);
            let number = self.tree.number();
            let file = Revision {
                id: number,
                rev: number,
                size: data.len() as u64,
                hash: hash::digest(&data),
                client_modified: now,
                server_modified: now,
                content: Content::Generated(n as u64),
            };
            self.tree.put(&lower, &lower, Kind::File(file));
        }
    }
}

/// The bytes of a generated file.
pub(crate) fn generated(number: u64) -> Bytes {
    Bytes::from(format!("generated entry {number}\n"))
}
