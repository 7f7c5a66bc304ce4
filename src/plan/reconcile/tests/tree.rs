//! Whole small trees: any three of them come to rest, in any order of their paths, and nothing unsynced is lost. The rules are those of [`decide`] alone;
//! what is written here is only what the disk and Dropbox do with an action, or refuse to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{answered, base, facts, file, hash, stat};
use crate::model::{Local, Mode, RelPath, Remote, WriteMode};
use crate::plan::reconcile::facts::{Content, Found, Gate, LocalBelow, RemoteBelow};
use crate::plan::reconcile::{Action, Decision, Facts, Need};

/// A parent comes before what is in it.
const PATHS: [&str; 7] = ["d", "d/a", "d/b", "d/e", "d/e/f", "d/e/g", "h"];
/// Longer than anything waits before it counts as stuck, in ms.
const LONG: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Absent,
    File(u8),
    Dir,
}

impl Node {
    fn is_file(self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// What is at one path on both sides, and what was agreed on.
#[derive(Debug, Clone)]
struct At {
    local: Node,
    /// Whether the file's stat is not base's.
    touched: bool,
    agreed: Node,
    remote: Node,
}

/// Three trees, and what was taken out of them.
#[derive(Debug, Clone)]
struct Tree {
    at: BTreeMap<&'static str, At>,
    aside: BTreeSet<u8>,
    /// In the local trash, or in Dropbox's history.
    kept: BTreeSet<u8>,
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// The directories above a path, the nearest first.
fn above(path: &str) -> impl Iterator<Item = &'static str> {
    PATHS.into_iter().rev().filter(move |dir| is_below(path, dir))
}

/// A tree of these nodes: what would lie in no directory is not there. Each path's files have contents of its own.
fn grown(nodes: &[u8]) -> BTreeMap<&'static str, Node> {
    let mut tree = BTreeMap::new();
    for (i, (path, node)) in PATHS.into_iter().zip(nodes).enumerate() {
        let lies = above(path).all(|dir| tree.get(dir) == Some(&Node::Dir));
        let node = match node {
            0 => Node::Absent,
            1 | 2 => Node::Dir,
            n => Node::File(u8::try_from(i).unwrap() * 10 + n),
        };
        tree.insert(path, if lies { node } else { Node::Absent });
    }
    tree
}

impl Tree {
    fn new(local: &[u8], agreed: &[u8], remote: &[u8]) -> Self {
        let (local, agreed, remote) = (grown(local), grown(agreed), grown(remote));
        let at = |path| {
            let (local, agreed, remote) = (local[path], agreed[path], remote[path]);
            At { local, touched: local != agreed, agreed, remote }
        };
        let at = PATHS.into_iter().map(|path| (path, at(path))).collect();
        Self { at, aside: BTreeSet::new(), kept: BTreeSet::new() }
    }

    fn below(&self, dir: &str) -> Vec<&'static str> {
        self.at.keys().copied().filter(|path| is_below(path, dir)).collect()
    }

    fn any_below(&self, dir: &str, test: impl Fn(&At) -> bool) -> bool {
        self.below(dir).iter().any(|path| test(&self.at[path]))
    }

    fn any_above(&self, path: &str, test: impl Fn(&At) -> bool) -> bool {
        above(path).any(|dir| test(&self.at[dir]))
    }

    fn views(&self, path: &'static str) -> Facts {
        let At { local, touched, agreed, remote } = &self.at[path];
        let mut facts = facts(Mode::TwoWay);
        facts.path = RelPath::parse(path).unwrap();
        facts.local = match local {
            Node::Absent => Local::Absent,
            Node::File(_) => Local::File(stat(if *touched { 2 } else { 1 })),
            Node::Dir => Local::Dir,
        };
        facts.base = if let Node::File(content) = agreed { Some(base(*content)) } else { None };
        facts.dir = *agreed == Node::Dir;
        facts.remote = match remote {
            Node::Absent => Remote::Absent,
            Node::Dir => Remote::Folder,
            Node::File(content) => file(*content, if agreed == remote { "1" } else { "9" }),
        };
        facts
    }

    /// What the disk, base and Dropbox say.
    fn gather(&self, path: &'static str, found: &mut Found, need: &Need) {
        let changed = |at: &At| at.agreed.is_file() && at.remote.is_file() && at.remote != at.agreed;
        match need {
            Need::ContentHash => {
                let Node::File(content) = self.at[path].local else { panic!("only files are read") };
                found.content_hash = Some(Content::Is(hash(content)));
            }
            Need::FileAbove { beyond: true } => {
                found.file_beyond = Some(self.any_above(path, |dir| dir.remote.is_file()));
            }
            Need::FileAbove { beyond: false } => {
                let mut dirs = above(path).map(|dir| &self.at[dir]).take_while(|dir| dir.agreed != Node::Dir);
                found.file_above = Some(dirs.any(|dir| dir.remote.is_file()));
            }
            Need::LocalBelow => {
                let agreed = self.any_below(path, |at| at.agreed.is_file());
                let files = !agreed && self.any_below(path, |at| at.local.is_file());
                let anything = self.any_below(path, |at| at.local != Node::Absent);
                found.local_below = Some(LocalBelow { agreed, files, anything });
            }
            Need::Names => found.names = Some(self.any_below(path, |at| at.local != Node::Absent)),
            Need::RemoteBelow => {
                let agreed = self.any_below(path, |at| at.agreed.is_file());
                let files = Some(self.any_below(path, |at| at.remote.is_file()));
                found.remote_below = Some(RemoteBelow { agreed, files });
            }
            Need::TheirsBelow => {
                let others = self.any_below(path, |at| at.agreed.is_file() && !changed(at));
                found.theirs_below = Some(self.any_below(path, changed) && !others);
            }
            Need::ChangesBelow => found.changes_below = Some(false),
            Need::MovesBelow => found.moves_below = Some(self.any_below(path, |at| at.local != at.remote)),
            Need::Gate => found.gate = Some(Gate::Open),
            need => answered(found, need),
        }
    }

    /// One look at a path: whether something was done. `stuck`: it has waited for long.
    fn step(&mut self, path: &'static str, stuck: bool) -> bool {
        let mut facts = self.views(path);
        if stuck {
            (facts.now, facts.attempts) = (LONG, 1);
        }
        let decision = super::decided(&mut facts, |found, need| self.gather(path, found, need));
        match decision {
            Decision::Do(action) => self.act(path, action),
            Decision::Later(_) => false,
            other => panic!("{other:?} has no place here: {path} {self:?}"),
        }
    }

    fn at(&mut self, path: &'static str) -> &mut At {
        self.at.get_mut(path).unwrap()
    }

    /// Does it, or refuses to; says whether there may be more to do.
    fn act(&mut self, path: &'static str, action: Action) -> bool {
        let At { local, remote, .. } = self.at[path];
        let keeps = |kept: &mut BTreeSet<u8>, node: Node| {
            if let Node::File(content) = node {
                kept.insert(content);
            }
        };
        match action {
            Action::Nothing => return false,
            // Neither side takes what lies below a file.
            Action::Upload(_) | Action::CreateFolder if self.any_above(path, |dir| dir.remote.is_file()) => {
                return false;
            }
            Action::Download(_) | Action::MakeDir if self.any_above(path, |dir| dir.local.is_file()) => return false,
            Action::RemoveDir if self.any_below(path, |at| at.local != Node::Absent) => return false,
            Action::Upload(mode) => {
                assert!(mode != WriteMode::Add || remote == Node::Absent, "{path} {self:?}");
                keeps(&mut self.kept, remote);
                above(path).for_each(|dir| self.at(dir).remote = Node::Dir);
                *self.at(path) = At { local, touched: false, agreed: local, remote: local };
            }
            Action::CreateFolder => {
                above(path).for_each(|dir| self.at(dir).remote = Node::Dir);
                *self.at(path) = At { local, touched: false, agreed: Node::Dir, remote: Node::Dir };
            }
            Action::Adopt(_) | Action::AgreeDir => *self.at(path) = At { local, touched: false, agreed: local, remote },
            Action::Renew(_) => self.at(path).touched = false,
            Action::Forget => self.at(path).agreed = Node::Absent,
            Action::Delete { .. } => {
                keeps(&mut self.kept, remote);
                (self.at(path).remote, self.at(path).agreed) = (Node::Absent, Node::Absent);
            }
            // Whatever is in it goes along.
            Action::DeleteFolder => {
                for inner in self.below(path) {
                    let gone = std::mem::replace(&mut self.at(inner).remote, Node::Absent);
                    keeps(&mut self.kept, gone);
                }
                (self.at(path).remote, self.at(path).agreed) = (Node::Absent, Node::Absent);
            }
            Action::Download(_) => {
                keeps(&mut self.kept, local);
                above(path).for_each(|dir| self.at(dir).local = Node::Dir);
                *self.at(path) = At { local: remote, touched: false, agreed: remote, remote };
            }
            Action::MakeDir => {
                above(path).for_each(|dir| self.at(dir).local = Node::Dir);
                (self.at(path).local, self.at(path).agreed) = (Node::Dir, Node::Dir);
            }
            Action::Trash { .. } => {
                assert!(local.is_file(), "only files go to the trash: {path} {self:?}");
                keeps(&mut self.kept, local);
                (self.at(path).local, self.at(path).agreed) = (Node::Absent, Node::Absent);
            }
            Action::RemoveDir => (self.at(path).local, self.at(path).agreed) = (Node::Absent, Node::Absent),
            // A directory takes along what is in it.
            Action::MoveAside => {
                let inner = if local == Node::Dir { self.below(path) } else { Vec::new() };
                for gone in inner.into_iter().chain([path]) {
                    let gone = std::mem::replace(&mut self.at(gone).local, Node::Absent);
                    keeps(&mut self.aside, gone);
                }
                self.at(path).agreed = Node::Absent;
            }
            other => panic!("{other:?} has no place here: {path} {self:?}"),
        }
        true
    }

    /// Looks at all paths in this order until nothing more is done.
    fn rest(&mut self, order: &[&'static str]) {
        for _ in 0..200 {
            let done = order.iter().filter(|path| self.step(path, false)).count();
            if done == 0 && !order.iter().any(|path| self.step(path, true)) {
                return;
            }
        }
        panic!("it does not rest: {self:?}");
    }

    /// Every content that can be seen without asking for it: in place, or in a conflicted copy.
    fn in_sight(&self) -> BTreeSet<u8> {
        let here =
            self.at.values().filter_map(|at| if let Node::File(content) = at.local { Some(content) } else { None });
        here.chain(self.aside.iter().copied()).collect()
    }
}

fn nodes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..6_u8, PATHS.len())
}

/// So many trees, unless `FERRYBOX_TREES` asks for more.
fn trees() -> u32 {
    option_env!("FERRYBOX_TREES").and_then(|n| n.parse().ok()).unwrap_or(4000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: trees(), ..ProptestConfig::default() })]
    #[test]
    fn every_tree_comes_to_rest_in_any_order_and_nothing_unsynced_is_lost(
        local in nodes(), agreed in nodes(), remote in nodes(), as_agreed in prop::collection::vec(any::<(bool, bool)>(), PATHS.len()),
        order in Just(PATHS.to_vec()).prop_shuffle(),
    ) {
        // Most paths of a real tree are as they were agreed on, on one side at the least.
        let like = |nodes: &[u8], which: fn(&(bool, bool)) -> bool| -> Vec<u8> {
            nodes.iter().zip(&agreed).zip(&as_agreed).map(|((node, agreed), as_it)| if which(as_it) { *agreed } else { *node }).collect()
        };
        let start = Tree::new(&like(&local, |w| w.0), &agreed, &like(&remote, |w| w.1));
        let (mut one, mut other) = (start.clone(), start.clone());
        one.rest(&PATHS);
        other.rest(&order);
        for (end, name) in [(&one, "in order"), (&other, "shuffled")] {
            for (path, at) in &end.at {
                prop_assert_eq!((at.local, at.agreed), (at.remote, at.remote), "{} {}: {:?} became {:?}", name, path, start, end);
            }
            let in_sight = end.in_sight();
            for (path, at) in &start.at {
                for side in [at.local, at.remote] {
                    let Node::File(content) = side else { continue };
                    prop_assert!(in_sight.contains(&content) || end.kept.contains(&content), "{} {}: {:?} lost {}: {:?}", name, path, start, content, end);
                    prop_assert!(side == at.agreed || in_sight.contains(&content), "{} {}: {:?}: {} is out of sight: {:?}", name, path, start, content, end);
                }
            }
        }
        prop_assert_eq!(one.in_sight(), other.in_sight(), "{:?}: the order matters: {:?} {:?}", start, one, other);
    }
}
