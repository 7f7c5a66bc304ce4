//! One account as a test sees it: its tokens, its files, and another device that changes them.

mod listing;
mod sharing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::hash::hex;
use crate::path::{self, Reference};
use crate::shared::Shared;
use crate::state::AccountKey;
use crate::state::account::Link;
use crate::state::commit::{Commit, WriteMode};
use crate::state::generate::generated;
use crate::state::relocate::Relocation;
use crate::state::session::Sealed;
use crate::state::token::Code;
use crate::state::tree::{Content, Kind, Node, Revision};
use crate::wire;

/// One account of a [`crate::Standin`]. Paths are as in the API: `/folder/file`, in any case.
#[derive(Clone)]
pub struct Account {
    shared: Arc<Shared>,
    key: AccountKey,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileInfo {
    /// As it is shown.
    pub path_display: String,
    /// As it is compared.
    pub path_lower: String,
    /// Bytes.
    pub size: u64,
    /// Dropbox's content hash.
    pub content_hash: String,
    /// The current revision.
    pub rev: String,
    /// The file's id.
    pub id: String,
    /// `%Y-%m-%dT%H:%M:%SZ`.
    pub client_modified: String,
    /// `%Y-%m-%dT%H:%M:%SZ`.
    pub server_modified: String,
    /// How many revisions this path has had, this one included.
    pub revisions: usize,
}

impl Account {
    pub(crate) fn new(shared: Arc<Shared>, key: AccountKey) -> Self {
        Self { shared, key }
    }

    /// Which account this is.
    #[must_use]
    pub fn key(&self) -> AccountKey {
        self.key
    }

    /// Its `dbid:...`.
    #[must_use]
    pub fn account_id(&self) -> String {
        self.shared.world().account(self.key).id.clone()
    }

    /// The namespace id of its root.
    #[must_use]
    pub fn root_namespace_id(&self) -> String {
        self.shared.world().account(self.key).root_namespace.clone()
    }

    /// Its root namespace has changed to this id: `Dropbox-API-Path-Root` headers with the old one get 422.
    pub fn set_root_namespace_id(&self, id: &str) {
        self.change(|account| id.clone_into(&mut account.root_namespace));
    }

    /// Its home namespace has changed to this id, and so has the root's where both were one: who has no team's root in its paths is told by
    /// `users/get_current_account` only.
    pub fn set_home_namespace_id(&self, id: &str) {
        self.change(|account| {
            if account.root_namespace == account.home_namespace {
                id.clone_into(&mut account.root_namespace);
            }
            id.clone_into(&mut account.home_namespace);
        });
    }

    /// A code as `/oauth2/authorize` shows it, for this S256 challenge (`None`: no PKCE) and this client.
    #[must_use]
    pub fn issue_code(&self, client_id: &str, challenge: Option<&str>) -> String {
        let scopes = self.shared.settings().scopes;
        let challenge = challenge.map(str::to_owned);
        let code = Code { account: self.key, client: client_id.to_owned(), challenge, offline: true, scopes };
        self.shared.world().issue_code(code)
    }

    /// A refresh token that is valid for any `client_id`.
    #[must_use]
    pub fn refresh_token(&self) -> String {
        let scopes = self.shared.settings().scopes;
        self.shared.world().issue_refresh(self.key, "", scopes)
    }

    /// An access token that lives as long as the settings say.
    #[must_use]
    pub fn short_lived_token(&self) -> String {
        let settings = self.shared.settings();
        self.token_with_scopes(&settings.scopes.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// An access token with these scopes only.
    #[must_use]
    pub fn token_with_scopes(&self, scopes: &[&str]) -> String {
        let expires = self.shared.now().clock + self.shared.settings().token_life;
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        self.shared.world().issue_access(self.key, None, scopes, Some(expires))
    }

    /// All access tokens of this account have expired.
    pub fn expire_tokens(&self) {
        let now = self.shared.now().clock;
        self.shared.world().tokens.expire(self.key, now);
    }

    /// All refresh tokens of this account are revoked, and the access tokens made from them.
    pub fn revoke_refresh(&self) {
        self.shared.world().tokens.revoke_account(self.key);
    }

    /// All cursors are invalid: the next `continue` gets `reset`.
    pub fn reset_cursors(&self) {
        self.change(|account| account.tree.generation += 1);
    }

    /// A shared link to a folder, which anybody may list who has it, and its password if it has one.
    #[must_use]
    pub fn share(&self, path: &str, password: Option<&str>) -> String {
        let folder = self.fold(path);
        let name = self.shared.world().name("", 15);
        let url = format!("https://www.dropbox.com/scl/fo/{name}?dl=0");
        let link = Link { url: url.clone(), folder, password: password.map(str::to_owned) };
        self.change(|account| account.links.push(link));
        url
    }

    /// All shared links of this account are taken back.
    pub fn revoke_links(&self) {
        self.change(|account| account.links.clear());
    }

    /// A folder is shared, or not shared any more: listings tell of it as deleted, then of what happens in `between`, then of the folder and all
    /// that is in it as if it were new (docs/dropbox-api.md, "Listing"). Nothing has changed in it.
    pub fn reshare(&self, path: &str, between: impl FnOnce(&Self)) {
        let key = self.fold(path);
        self.change(|account| account.tree.leave(&key));
        between(self);
        self.change(|account| account.tree.come_back(&key));
    }

    /// Another device does something that no cursor tells of before [`Account::tell`]; a new listing shows it, and so does every other call.
    pub fn quietly<T>(&self, act: impl FnOnce(&Self) -> T) -> T {
        let before = self.changes();
        let done = act(self);
        self.change(|account| account.tree.keep_quiet(before));
        done
    }

    /// Cursors tell of what was done quietly.
    pub fn tell(&self) {
        self.change(|account| account.tree.tell());
    }

    /// What longpolls answer as `backoff`, in seconds.
    pub fn set_longpoll_backoff(&self, backoff: Option<u64>) {
        self.change(|account| account.backoff = backoff);
    }

    /// The account's space, in bytes.
    pub fn set_quota(&self, quota: u64) {
        self.change(|account| account.quota = quota);
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared.world().account(self.key).tree.used
    }

    /// Adds these fields to the metadata of what is at `path`, or removes those whose value is null: `is_downloadable`,
    /// `symlink_info`, `sharing_info`, a missing `content_hash`, a strange time.
    pub fn decorate(&self, path: &str, fields: Value) {
        let key = self.fold(path);
        self.change(|account| account.extras.insert(key, fields));
    }

    /// The file at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<FileInfo> {
        let key = self.fold(path);
        let world = self.shared.world();
        let node = world.account(self.key).tree.live(&key)?;
        info(&key, node)
    }

    /// Whether there is a folder at a path.
    #[must_use]
    pub fn folder(&self, path: &str) -> bool {
        let key = self.fold(path);
        self.shared.world().account(self.key).tree.is_folder(&key)
    }

    /// The bytes of the file at a path, where they are kept.
    #[must_use]
    pub fn content(&self, path: &str) -> Option<Bytes> {
        let key = self.fold(path);
        let world = self.shared.world();
        match &world.account(self.key).tree.live(&key)?.file()?.content {
            Content::Kept(data) => Some(data.clone()),
            Content::Generated(number) => Some(generated(*number)),
            Content::Absent => None,
        }
    }

    /// All files there are, in the order of their paths.
    #[must_use]
    pub fn files(&self) -> Vec<FileInfo> {
        let world = self.shared.world();
        world.account(self.key).tree.nodes.iter().filter_map(|(key, node)| info(key, node)).collect()
    }

    /// How many files there are.
    #[must_use]
    pub fn file_count(&self) -> usize {
        let world = self.shared.world();
        world.account(self.key).tree.nodes.values().filter(|node| node.file().is_some()).count()
    }

    /// The display paths of all folders there are, in order.
    #[must_use]
    pub fn folders(&self) -> Vec<String> {
        let world = self.shared.world();
        let nodes = world.account(self.key).tree.nodes.iter();
        nodes
            .filter(|(_, node)| matches!(node.kind, Kind::Folder { .. }))
            .map(|(key, node)| node.display(key).to_owned())
            .collect()
    }

    /// Content hashes of all files, by `path_lower`.
    #[must_use]
    pub fn tree_hashes(&self) -> BTreeMap<String, String> {
        let world = self.shared.world();
        let nodes = world.account(self.key).tree.nodes.iter();
        nodes.filter_map(|(key, node)| Some((key.to_string(), hex(&node.file()?.hash)))).collect()
    }

    /// The revisions that a path has had, the oldest first; also of a deleted file.
    #[must_use]
    pub fn revisions(&self, path: &str) -> Vec<String> {
        let key = self.fold(path);
        let world = self.shared.world();
        let node = world.account(self.key).tree.nodes.get(key.as_str());
        node.into_iter()
            .flat_map(|node| node.past.iter().chain(node.file()))
            .map(|file| path::rev_text(file.rev))
            .collect()
    }

    /// Bytes of all revisions of all files: what had to be sent.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        let world = self.shared.world();
        let nodes = world.account(self.key).tree.nodes.values();
        nodes.flat_map(|node| node.past.iter().chain(node.file())).map(|file| file.size).sum()
    }

    /// Another device writes a file, whatever is there; the new revision. `None`: a rule forbids it.
    pub fn write(&self, path: &str, data: impl Into<Bytes>) -> Option<String> {
        let now = self.shared.now().unix;
        self.write_at(path, data, now)
    }

    /// As [`Account::write`], with a `client_modified` in seconds since 1970.
    pub fn write_at(&self, path: &str, data: impl Into<Bytes>, client_modified: i64) -> Option<String> {
        let settings = self.shared.settings();
        let sealed = Sealed::of(data.into(), crate::Contents::Keep);
        let commit = Commit {
            target: Reference::Path(path.to_owned()),
            mode: WriteMode::Overwrite,
            autorename: false,
            strict: false,
            client_modified: Some(client_modified),
        };
        let now = self.shared.now().unix;
        self.act(|account| {
            let key = account.commit(&settings, now, &commit, &sealed).ok()?;
            account.tree.live(&key)?.file().map(|file| path::rev_text(file.rev))
        })
    }

    /// Another device deletes a file or folder. False: there was none.
    pub fn delete(&self, path: &str) -> bool {
        let (settings, now) = (self.shared.settings(), self.shared.now().unix);
        let unlimited = crate::Settings { max_tree: usize::MAX, ..settings };
        let target = Reference::Path(path.to_owned());
        self.act(|account| account.delete(&unlimited, now, &target, None).is_ok())
    }

    /// Another device makes a folder. False: something is in the way.
    pub fn make_folder(&self, path: &str) -> bool {
        let settings = self.shared.settings();
        let target = Reference::Path(path.to_owned());
        self.act(|account| account.create_folder(&settings, &target, false).is_ok())
    }

    /// Another device moves a file or folder. False: a rule forbids it.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        let (settings, now) = (self.shared.settings(), self.shared.now().unix);
        let unlimited = crate::Settings { max_tree: usize::MAX, ..settings };
        let (from, to) = (Reference::Path(from.to_owned()), Reference::Path(to.to_owned()));
        let relocation = Relocation { copy: false, from: &from, to: &to, autorename: false };
        self.act(|account| account.relocate(&unlimited, now, &relocation).is_ok())
    }

    /// Adds `entries` files and folders below the existing folder `folder` (empty: the root), in folders of 999 small files each.
    pub fn generate(&self, folder: &str, entries: usize) {
        let (key, now) = (self.fold(folder), self.shared.now().unix);
        self.change(|account| account.generate(&key, entries, now));
    }

    /// How often something has changed in this account; for assertions that nothing has.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.world().account(self.key).tree.seq
    }

    fn fold(&self, path: &str) -> String {
        let settings = self.shared.settings();
        path::place(&settings, path).map_or_else(|| path.to_lowercase(), |place| place.lower)
    }

    /// Another device, or another person who may do more here, changes something.
    fn act<T>(&self, act: impl FnOnce(&mut crate::state::account::Account) -> T) -> T {
        self.change(|account| {
            account.sharing.another = true;
            let done = act(account);
            account.sharing.another = false;
            done
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut crate::state::account::Account) -> T) -> T {
        let done = change(self.shared.world().account_mut(self.key));
        self.shared.pulse.beat();
        done
    }
}

fn info(key: &str, node: &Node) -> Option<FileInfo> {
    let file: &Revision = node.file()?;
    Some(FileInfo {
        path_display: node.display(key).to_owned(),
        path_lower: key.to_owned(),
        size: file.size,
        content_hash: hex(&file.hash),
        rev: path::rev_text(file.rev),
        id: path::id_text(file.id),
        client_modified: wire::timestamp(file.client_modified),
        server_modified: wire::timestamp(file.server_modified),
        revisions: node.past.len() + 1,
    })
}
