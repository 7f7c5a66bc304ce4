use super::*;
use crate::model::Failure;
use crate::plan::reconcile::tests::{base, file, hash, stat};

/// A small world of one path: who holds what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Absent,
    File(u8),
    Dir,
}

const NODES: [Node; 5] = [Node::Absent, Node::File(1), Node::File(2), Node::File(3), Node::Dir];

#[derive(Debug, Clone)]
struct World {
    local: Node,
    /// Whether the file's stat is base's.
    touched: bool,
    agreed: Node,
    remote: Node,
    aside: Vec<Node>,
    /// What the daemon took away, each to where it can be had from.
    trash: Vec<u8>,
    history: Vec<u8>,
}

impl World {
    fn step(&mut self, mode: Mode) -> bool {
        let action = self.meant(mode);
        self.act(action)
    }

    /// What is to be done now.
    fn meant(&self, mode: Mode) -> Verdict {
        let based = if let Node::File(content) = self.agreed { Some(base(content)) } else { None };
        let agreed = match (&based, self.agreed) {
            (Some(base), _) => Agreed::File(base),
            (None, Node::Dir) => Agreed::Dir,
            (None, _) => Agreed::Nothing,
        };
        let local = match self.local {
            Node::Absent => Local::Absent,
            Node::File(_) => Local::File(stat(if self.touched { 2 } else { 1 })),
            Node::Dir => Local::Dir,
        };
        let remote = match self.remote {
            Node::Absent => Remote::Absent,
            Node::Dir => Remote::Folder,
            Node::File(content) => file(content, if self.agreed == self.remote { "1" } else { "9" }),
        };
        let mut verdict = table(&local, agreed, &remote, mode);
        if verdict == Verdict::Compare {
            let Node::File(content) = self.local else { panic!("only files are compared") };
            verdict = compared(&hash(content), based.as_ref(), &remote, mode);
        }
        verdict
    }

    /// Does it, and says whether there is more to do.
    fn act(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Nothing => return false,
            Verdict::Upload(how) => {
                if let (Node::File(old), WriteMode::Update(_)) = (self.remote, how) {
                    self.history.push(old);
                }
                (self.remote, self.agreed, self.touched) = (self.local, self.local, false);
            }
            Verdict::Adopt { .. } | Verdict::AgreeDir => (self.agreed, self.touched) = (self.local, false),
            Verdict::Delete { .. } => {
                if let Node::File(old) = self.remote {
                    self.history.push(old);
                }
                (self.remote, self.agreed) = (Node::Absent, Node::Absent);
            }
            Verdict::DeleteFolder => (self.remote, self.agreed) = (Node::Absent, Node::Absent),
            Verdict::CreateFolder => (self.remote, self.agreed) = (Node::Dir, Node::Dir),
            Verdict::Download(_) => {
                if let Node::File(old) = self.local {
                    self.trash.push(old);
                }
                (self.local, self.agreed, self.touched) = (self.remote, self.remote, false);
            }
            Verdict::MakeDir => (self.local, self.agreed) = (Node::Dir, Node::Dir),
            Verdict::Trash => {
                let Node::File(old) = self.local else { panic!("only files go to the trash") };
                self.trash.push(old);
                (self.local, self.agreed) = (Node::Absent, Node::Absent);
            }
            Verdict::RemoveDir => (self.local, self.agreed) = (Node::Absent, Node::Absent),
            Verdict::MoveAside => {
                self.aside.push(self.local);
                (self.local, self.agreed) = (Node::Absent, Node::Absent);
            }
            Verdict::Forget => self.agreed = Node::Absent,
            other => panic!("{other:?} has no place here"),
        }
        true
    }
}

fn worlds() -> impl Iterator<Item = World> {
    NODES.into_iter().flat_map(|local| {
        NODES.into_iter().flat_map(move |remote| {
            [Node::Absent, Node::File(1), Node::Dir].into_iter().flat_map(move |agreed| {
                [false, true].into_iter().map(move |touched| World {
                    local,
                    // What differs from base has another stat; what equals it may have.
                    touched: touched || local != agreed,
                    agreed,
                    remote,
                    aside: vec![],
                    trash: vec![],
                    history: vec![],
                })
            })
        })
    })
}

/// Every state of one path comes to rest within five steps, both sides equal, and whatever was saved on either side and not agreed on is still
/// somewhere in sight: at its place, in a conflicted copy. What was agreed on is in the trash or in Dropbox's history at the least.
#[test]
fn two_way_ends_equal_and_loses_nothing() {
    for start in worlds() {
        let mut world = start.clone();
        let rounds = (0..6).take_while(|_| world.step(Mode::TwoWay)).count();
        assert!(rounds < 6, "{start:?} never rests: {world:?}");
        assert_eq!((world.local, world.agreed), (world.remote, world.remote), "{start:?} became {world:?}");
        for side in [start.local, start.remote] {
            let Node::File(content) = side else { continue };
            let in_sight = world.local == side || world.aside.contains(&side);
            let kept = in_sight || world.trash.contains(&content) || world.history.contains(&content);
            assert!(kept, "{start:?} lost {content}: {world:?}");
            if side != start.agreed {
                assert!(in_sight, "{start:?}: {content} was saved by somebody and is out of sight: {world:?}");
            }
        }
        let twins = start.local == start.remote && world.aside.is_empty();
        assert!(twins || start.local != start.remote, "{start:?}: equal contents make no copy: {world:?}");
    }
}

/// E5: an edit beats a delete, on both sides.
#[test]
fn an_edit_beats_a_delete() {
    for (local, remote) in [(Node::File(2), Node::Absent), (Node::Absent, Node::File(2))] {
        let mut world = World {
            local,
            touched: true,
            agreed: Node::File(1),
            remote,
            aside: vec![],
            trash: vec![],
            history: vec![],
        };
        while world.step(Mode::TwoWay) {}
        assert_eq!((world.local, world.remote), (Node::File(2), Node::File(2)));
    }
}

/// A deletion that nobody contradicts is passed on, in both directions, and so is a folder's.
#[test]
fn a_deletion_is_passed_on() {
    for node in [Node::File(1), Node::Dir] {
        for (local, remote) in [(node, Node::Absent), (Node::Absent, node)] {
            let mut world =
                World { local, touched: false, agreed: node, remote, aside: vec![], trash: vec![], history: vec![] };
            while world.step(Mode::TwoWay) {}
            assert_eq!((world.local, world.remote), (Node::Absent, Node::Absent), "{node:?}");
        }
    }
}

/// `download` changes nothing in Dropbox, ends too, and overwrites no local work.
#[test]
fn download_sends_nothing() {
    for start in worlds() {
        let mut world = start.clone();
        let rounds = (0..6).take_while(|_| world.step(Mode::Download)).count();
        assert!(rounds < 6, "{start:?} never rests: {world:?}");
        assert_eq!(world.remote, start.remote, "{start:?}: download changed Dropbox");
        if let Node::File(content) = start.local
            && start.local != start.agreed
        {
            assert!(world.local == start.local || world.aside.contains(&start.local), "{start:?} lost {content}");
        }
    }
}

/// Doubt never destroys: with an unknown local view nothing is done; with an unlisted remote view nothing local is taken away or replaced, and
/// a deletion in Dropbox names the revision that must still be there.
#[test]
fn what_is_unknown_deletes_nothing() {
    let based = base(1);
    let agreements = [Agreed::Nothing, Agreed::File(&based), Agreed::Dir];
    for agreed in agreements {
        for mode in [Mode::TwoWay, Mode::Download] {
            for remote in [Remote::Unlisted, Remote::Absent, Remote::Folder, file(2, "9")] {
                let unknown = Local::Unknown(Failure::retry("io_error", "x"));
                assert!(matches!(table(&unknown, agreed, &remote, mode), Verdict::PutOff(_)));
                assert!(matches!(table(&Local::Other("FIFO"), agreed, &remote, mode), Verdict::Wedge(_)));
            }
            for local in [Local::Absent, Local::Dir, Local::File(stat(1)), Local::File(stat(2))] {
                let action = table(&local, agreed, &Remote::Unlisted, mode);
                let harmless = matches!(
                    action,
                    Verdict::Nothing
                        | Verdict::Wait
                        | Verdict::Upload(_)
                        | Verdict::CreateFolder
                        | Verdict::Adopt { .. }
                ) || matches!(&action, Verdict::Delete { rev } if rev == "1");
                assert!(harmless, "{local:?} {agreed:?} {mode}: {action:?}");
            }
        }
    }
    assert_eq!(compared(&hash(3), Some(&based), &Remote::Unlisted, Mode::TwoWay), Verdict::Wait);
}

/// A backup's conflicted copy lies elsewhere: at its own place nothing was agreed on.
#[test]
fn a_base_that_lies_elsewhere_is_none() {
    let copy = Base { remote: Some(crate::model::RemotePath::parse("/copy").unwrap()), ..base(1) };
    let action = table(&Local::File(stat(1)), Agreed::File(&copy), &file(2, "9"), Mode::TwoWay);
    assert_eq!(action, Verdict::Compare);
    assert_eq!(compared(&hash(1), Some(&copy), &file(2, "9"), Mode::TwoWay), Verdict::MoveAside);
}

/// I1: a file takes the place of its twin that is gone only over the very revision, or content, that was agreed on.
#[test]
fn i1_a_twin_takes_the_other_s_place_over_what_was_agreed_on_only() {
    let over = |remote, mode| respelled(&base(1), &remote, mode);
    assert_eq!(over(file(1, "1"), Mode::TwoWay), Some(WriteMode::Update("1".into())));
    assert_eq!(over(file(1, "2"), Mode::TwoWay), Some(WriteMode::Update("2".into())), "touched, and not changed");
    assert_eq!(over(file(2, "2"), Mode::TwoWay), None, "somebody's edit");
    for remote in [Remote::Absent, Remote::Folder, Remote::Unlisted] {
        assert_eq!(over(remote, Mode::TwoWay), None);
    }
    assert_eq!(over(file(1, "1"), Mode::Download), None);
}
