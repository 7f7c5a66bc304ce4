//! What listings, cursors and roots say: how a test sets it up.

use super::Account;

impl Account {
    /// Recursive listings have no entry for this folder, though they show what is in it, as a listing may that shows a file before its parents.
    pub fn omit(&self, path: &str) {
        let key = self.fold(path);
        self.change(|account| account.omitted.insert(key));
    }

    /// They have one again, and cursors tell of it.
    pub fn list_again(&self, path: &str) {
        let key = self.fold(path);
        self.change(|account| {
            account.omitted.remove(&key);
            account.tree.touch(&key);
        });
    }

    /// The next `count` cursors that end a listing are bad from the start: `continue` and longpoll answer `reset` for them.
    pub fn spoil_cursors(&self, count: u64) {
        self.change(|account| account.bad_cursors = count);
    }

    /// `users/get_current_account` names this root namespace, whatever the root is; `None`: the true one.
    pub fn tell_root(&self, id: Option<&str>) {
        self.change(|account| account.told_root = id.map(str::to_owned));
    }

    /// Every `root` in a `Dropbox-API-Path-Root` header is an `invalid_root`, also the one that the error itself names.
    pub fn refuse_root(&self, refuse: bool) {
        self.change(|account| account.root_refused = refuse);
    }

    /// A new month: the data transport calls of this account are counted from 0.
    pub fn renew_transport(&self) {
        self.change(|account| account.transport = 0);
    }
}
