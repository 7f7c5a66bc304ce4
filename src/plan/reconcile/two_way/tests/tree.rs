//! Whole small trees: any three of them come to rest, in any order of their paths, and nothing unsynced is lost. What a path must wait for is what the
//! daemon waits for: no file where a directory is needed, nothing left in what goes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Node, World};
use crate::model::Mode;
use crate::plan::reconcile::Action;

/// A parent comes before what is in it.
const PATHS: [&str; 7] = ["d", "d/a", "d/b", "d/e", "d/e/f", "d/e/g", "h"];

#[derive(Debug, Clone)]
struct Tree(BTreeMap<&'static str, World>);

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// A tree of these nodes: what would lie in no directory is not there. Each path's files have contents of its own.
fn grown(nodes: &[u8]) -> BTreeMap<&'static str, Node> {
    let mut tree = BTreeMap::new();
    for (i, (path, node)) in PATHS.into_iter().zip(nodes).enumerate() {
        let above = PATHS.into_iter().filter(|dir| is_below(path, dir));
        let lies = above.into_iter().all(|dir| tree.get(dir) == Some(&Node::Dir));
        let content = |n: u8| Node::File(u8::try_from(i).unwrap() * 10 + n);
        let node = match node {
            0 => Node::Absent,
            1 | 2 => Node::Dir,
            n => content(*n),
        };
        tree.insert(path, if lies { node } else { Node::Absent });
    }
    tree
}

impl Tree {
    fn new(local: &[u8], agreed: &[u8], remote: &[u8]) -> Self {
        let (local, agreed, remote) = (grown(local), grown(agreed), grown(remote));
        let world = |path| {
            let (local, agreed, remote) = (local[path], agreed[path], remote[path]);
            let (aside, trash, history) = (Vec::new(), Vec::new(), Vec::new());
            World { local, touched: local != agreed, agreed, remote, aside, trash, history }
        };
        Self(PATHS.into_iter().map(|path| (path, world(path))).collect())
    }

    fn below(&self, dir: &str) -> Vec<&'static str> {
        self.0.keys().copied().filter(|path| is_below(path, dir)).collect()
    }

    fn any(&self, paths: &[&'static str], test: impl Fn(&World) -> bool) -> bool {
        paths.iter().any(|path| test(&self.0[path]))
    }

    /// One look at a path: whether something was done. With `stuck` what waits for each other gives way, and both are kept.
    fn step(&mut self, path: &'static str, stuck: bool) -> bool {
        let world = &self.0[path];
        let mut action = world.meant(Mode::TwoWay);
        let above: Vec<_> = PATHS.into_iter().filter(|dir| is_below(path, dir)).collect();
        let below = self.below(path);
        let is_file = |node: Node| matches!(node, Node::File(_));
        match &action {
            Action::Nothing => return false,
            Action::Upload(_) | Action::CreateFolder if self.any(&above, |dir| is_file(dir.remote)) => return false,
            Action::Download(_) | Action::MakeDir if self.any(&above, |dir| is_file(dir.local)) => return false,
            Action::DeleteFolder if self.any(&below, |path| path.remote != Node::Absent) => {
                if !(stuck && is_file(world.local)) {
                    return false;
                }
                action = Action::MoveAside;
            }
            Action::RemoveDir if self.any(&below, |path| path.local != Node::Absent) => {
                let news = self.any(&below, |path| is_file(path.local) && path.local != path.agreed);
                let agreed = self.any(&below, |path| is_file(path.agreed));
                if !(is_file(world.remote) && (stuck || news && !agreed)) {
                    return false;
                }
                action = Action::MoveAside;
            }
            _ => {}
        }
        let (up, down) = match &action {
            Action::Upload(_) | Action::CreateFolder => (true, false),
            Action::Download(_) | Action::MakeDir => (false, true),
            _ => (false, false),
        };
        for dir in above {
            let dir = self.0.get_mut(dir).unwrap();
            dir.remote = if up { Node::Dir } else { dir.remote };
            dir.local = if down { Node::Dir } else { dir.local };
        }
        if action == Action::MoveAside && world_is_dir(&self.0[path]) {
            for path in below {
                let inner = self.0.get_mut(path).unwrap();
                inner.aside.extend(is_file(inner.local).then_some(inner.local));
                inner.local = Node::Absent;
            }
        }
        self.0.get_mut(path).unwrap().act(action)
    }

    /// Looks at all paths in this order until nothing more is done.
    fn rest(&mut self, order: &[&'static str]) -> usize {
        for round in 0..200 {
            let done = order.iter().filter(|path| self.step(path, false)).count();
            if done == 0 && !order.iter().any(|path| self.step(path, true)) {
                return round;
            }
        }
        panic!("it does not rest: {self:?}");
    }

    /// Every content that can be seen without asking for it: in place, or in a conflicted copy.
    fn in_sight(&self) -> BTreeSet<u8> {
        let nodes = self.0.values().flat_map(|world| std::iter::once(world.local).chain(world.aside.clone()));
        nodes.filter_map(|node| if let Node::File(content) = node { Some(content) } else { None }).collect()
    }
}

fn world_is_dir(world: &World) -> bool {
    world.local == Node::Dir
}

fn nodes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..6_u8, PATHS.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
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
        prop_assert!(one.rest(&PATHS) < 200);
        prop_assert!(other.rest(&order) < 200);
        for (end, name) in [(&one, "in order"), (&other, "shuffled")] {
            for (path, world) in &end.0 {
                prop_assert_eq!((world.local, world.agreed), (world.remote, world.remote), "{} {}: {:?} became {:?}", name, path, start, end);
            }
            let (in_sight, kept): (BTreeSet<u8>, Vec<u8>) =
                (end.in_sight(), end.0.values().flat_map(|w| w.trash.iter().chain(&w.history).copied()).collect());
            for (path, world) in &start.0 {
                for side in [world.local, world.remote] {
                    let Node::File(content) = side else { continue };
                    prop_assert!(in_sight.contains(&content) || kept.contains(&content), "{} {}: {:?} lost {}: {:?}", name, path, start, content, end);
                    prop_assert!(side == world.agreed || in_sight.contains(&content), "{} {}: {:?}: {} is out of sight: {:?}", name, path, start, content, end);
                }
            }
        }
        prop_assert_eq!(one.in_sight(), other.in_sight(), "{:?}: the order matters: {:?} {:?}", start, one, other);
    }
}
