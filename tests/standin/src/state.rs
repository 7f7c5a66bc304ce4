//! The state of the server: accounts with their trees, upload sessions, jobs and tokens. Nothing here knows HTTP.

pub(crate) mod account;
pub(crate) mod commit;
pub(crate) mod cursor;
pub(crate) mod generate;
pub(crate) mod job;
pub(crate) mod listing;
pub(crate) mod metadata;
pub(crate) mod relocate;
pub(crate) mod revisions;
pub(crate) mod session;
pub(crate) mod sharing;
pub(crate) mod token;
pub(crate) mod tree;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::hash;
use account::Account;
use job::Job;
use session::Session;
use token::Tokens;

/// Which account, by its place in the list of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey(pub(crate) usize);

/// Everything that a call can change.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    pub(crate) sessions: HashMap<String, Session>,
    pub(crate) jobs: HashMap<String, Job>,
    pub(crate) tokens: Tokens,
    names: u64,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// An account; keys are only made by adding one, so there always is one.
    #[expect(
        clippy::indexing_slicing,
        reason = "an AccountKey is only made by pushing to this list, which never shrinks"
    )]
    pub(crate) fn account(&self, key: AccountKey) -> &Account {
        &self.accounts[key.0]
    }

    /// As [`World::account`].
    #[expect(
        clippy::indexing_slicing,
        reason = "an AccountKey is only made by pushing to this list, which never shrinks"
    )]
    pub(crate) fn account_mut(&mut self, key: AccountKey) -> &mut Account {
        &mut self.accounts[key.0]
    }

    /// A number that was never given before.
    pub(crate) fn serial(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// A new name of `length` characters after `prefix`, the same for the same seed.
    pub(crate) fn name(&mut self, prefix: &str, length: usize) -> String {
        let serial = self.serial();
        let mut text = prefix.to_owned();
        let whole = prefix.len() + length;
        for part in 0_u8.. {
            if text.len() >= whole {
                break;
            }
            let digest = hash::sha256(format!("{}/{serial}/{part}", self.seed).as_bytes());
            text.push_str(&URL_SAFE_NO_PAD.encode(digest));
        }
        text.truncate(whole);
        text
    }
}
