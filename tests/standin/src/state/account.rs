//! One account: who it is, its tree, and what of it is under way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::sharing::Sharing;
use super::tree::Tree;
use crate::path::{self, Place, Reference};
use crate::settings::Settings;

/// Who an account is.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Shown name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// A member of a team with a team space: its root namespace differs from its home namespace.
    pub team: bool,
}

impl Default for AccountSpec {
    fn default() -> Self {
        Self { name: "Franz Ferry".to_owned(), email: "franz@example.com".to_owned(), team: false }
    }
}

/// A commit that has begun and not ended.
#[derive(Clone, Debug)]
pub(crate) struct Committing {
    pub(crate) number: u64,
    pub(crate) route: &'static str,
    /// Its client cannot know when it ends (the reply was lost, or the job is stuck), so an overlap is not the client's fault.
    pub(crate) unknowable: bool,
    /// It never ends, and holds no lock.
    pub(crate) stuck: bool,
}

pub(crate) struct Account {
    pub(crate) spec: AccountSpec,
    /// 40 characters (`users_common.AccountId`).
    pub(crate) id: String,
    pub(crate) uid: u64,
    pub(crate) root_namespace: String,
    pub(crate) home_namespace: String,
    pub(crate) quota: u64,
    pub(crate) tree: Tree,
    /// Fields that are added to (or, with null, removed from) the metadata of a path.
    pub(crate) extras: HashMap<String, Value>,
    pub(crate) committing: Vec<Committing>,
    /// The `backoff` that longpolls answer, in seconds.
    pub(crate) backoff: Option<u64>,
    pub(crate) no_longpoll_before: Duration,
    pub(crate) pages: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) sharing: Sharing,
    /// Folders (keys) that recursive listings have no entry for.
    pub(crate) omitted: HashSet<String>,
    /// How many of the next cursors that end a listing are bad.
    pub(crate) bad_cursors: u64,
    /// What `users/get_current_account` says of the root, where that is not true.
    pub(crate) told_root: Option<String>,
    /// No root is valid.
    pub(crate) root_refused: bool,
    /// Data transport calls of this month.
    pub(crate) transport: u64,
}

/// A shared link to a folder.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    /// The folder's key.
    pub(crate) folder: String,
    pub(crate) password: Option<String>,
}

/// Why a path argument names nothing: a tag of `LookupError`.
pub(crate) type Lookup<T> = Result<T, &'static str>;

impl Account {
    pub(crate) fn new(number: u64, spec: AccountSpec, quota: u64) -> Self {
        let home = 3_235_641 + 10 * number;
        Self {
            root_namespace: (if spec.team { home + 1 } else { home }).to_string(),
            home_namespace: home.to_string(),
            id: format!("dbid:AAH4f99T0taONIb-OurWxbNQ6yw{number:08}"),
            uid: 1000 + number,
            spec,
            quota,
            tree: Tree::default(),
            extras: HashMap::new(),
            committing: Vec::new(),
            backoff: None,
            no_longpoll_before: Duration::ZERO,
            pages: 0,
            links: Vec::new(),
            sharing: Sharing::default(),
            omitted: HashSet::new(),
            bad_cursors: 0,
            told_root: None,
            root_refused: false,
            transport: 0,
        }
    }

    /// The place that a reference names, whether there is something or not.
    pub(crate) fn place(&self, settings: &Settings, reference: &Reference) -> Lookup<Place> {
        match reference {
            Reference::Path(text) => path::place(settings, text).ok_or("malformed_path"),
            // Both namespaces show the same tree here: a stand-in has no team folders.
            Reference::Namespace(ns, text) if *ns == self.root_namespace || *ns == self.home_namespace => {
                path::place(settings, text).ok_or("malformed_path")
            }
            Reference::Namespace(..) => Err("not_found"),
            Reference::Id(id) => {
                let key = id.and_then(|id| self.tree.by_id(id)).ok_or("not_found")?;
                Ok(self.place_of(&key))
            }
            Reference::Rev(rev) => self.tree.by_rev(*rev).map(|(key, _)| self.place_of(&key)).ok_or("not_found"),
        }
    }

    /// The live path that a reference names.
    pub(crate) fn lookup(&self, settings: &Settings, reference: &Reference) -> Lookup<Arc<str>> {
        let place = self.place(settings, reference)?;
        self.may_see(&place.lower)?;
        let (key, node) = self.tree.nodes.get_key_value(place.lower.as_str()).ok_or("not_found")?;
        if node.is_live() { Ok(Arc::clone(key)) } else { Err("not_found") }
    }

    fn place_of(&self, key: &str) -> Place {
        let display = self.tree.nodes.get(key).map_or(key, |node| node.display(key));
        Place { lower: key.to_owned(), display: display.to_owned() }
    }

    /// `common.RootInfo`.
    pub(crate) fn root_info(&self) -> Value {
        let mut info = json!({
            ".tag": if self.spec.team { "team" } else { "user" },
            "root_namespace_id": self.root_namespace,
            "home_namespace_id": self.home_namespace,
        });
        if self.spec.team
            && let Some(fields) = info.as_object_mut()
        {
            fields.insert("home_path".to_owned(), json!(format!("/{}", self.spec.name)));
        }
        info
    }
}
