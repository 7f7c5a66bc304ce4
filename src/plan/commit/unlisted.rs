//! What the listing may not show yet of a change that was made: until it does, it is not believed about these places.
//!
//! That is so where nothing comes down, too: that Dropbox lacks what was just sent is not to be believed. What was refused changed nothing, and what the
//! listing shows there is what has to be known now.

use crate::model::{Change, Outcome, RelPath, RemoteChange, RemotePath};

/// Places that the listing may show as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// Single places.
    pub paths: Vec<RemotePath>,
    /// Places with all that lies below.
    pub trees: Vec<RemotePath>,
    /// A directory was moved.
    pub dir_moved: bool,
}

/// Whether what was to be done is done.
pub fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Settled(_) | Outcome::SettledDir(_) | Outcome::Moved(_) | Outcome::Replaced)
}

/// What the listing may not show yet of a change with this outcome. `home` says where a path of its folder lies in Dropbox; `None`: the folder is not
/// configured any more.
pub fn unlisted(change: &Change, outcome: &Outcome, home: Option<&dyn Fn(&RelPath) -> RemotePath>) -> Unlisted {
    let mut found = Unlisted::default();
    if !is_done(outcome) && *outcome != Outcome::Halfway {
        return found;
    }
    match (&change.what, home) {
        (RemoteChange::Relocate(relocation), _) => {
            let places = [&relocation.from, relocation.next(), &relocation.to].map(Clone::clone);
            if relocation.alike {
                found.paths.push(relocation.to.clone());
            } else if relocation.base.is_none() {
                found.trees.extend(places);
                found.dir_moved = true;
            } else {
                found.paths.extend(places);
            }
        }
        (what, Some(home)) => {
            found.paths.push(what.place().clone());
            // The folders above it may have been made by this very commit.
            if matches!(what, RemoteChange::Upload { .. } | RemoteChange::CreateFolder { .. }) {
                let above = std::iter::successors(change.path.parent(), RelPath::parent);
                found.paths.extend(above.take_while(|dir| !dir.is_root()).map(|dir| home(&dir)));
            }
        }
        (_, None) => {}
    }
    // All that lay below a folder went with it.
    if let RemoteChange::DeleteFolder { path } = &change.what
        && *outcome == Outcome::Settled(None)
    {
        found.trees.push(path.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Base, ChangeId, ContentHash, DirStat, FolderId, JobId, Relocation, Stat, WriteMode};

    fn at(path: &str) -> RemotePath {
        RemotePath::parse(path).unwrap()
    }

    fn change(what: RemoteChange) -> Change {
        Change {
            id: ChangeId(1),
            job: JobId(1),
            folder: FolderId(1),
            path: RelPath::parse("d/e/a").unwrap(),
            generation: 1,
            attempts: 0,
            tries: 0,
            what,
        }
    }

    fn relocate(dir: bool, alike: bool) -> RemoteChange {
        let stat = Stat { size: 3, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 };
        let base = Base { stat, content_hash: ContentHash([1; 32]), rev: "1".into(), file_id: None, remote: None };
        RemoteChange::Relocate(Box::new(Relocation {
            from: at("/from"),
            to: at("/to"),
            source: RelPath::parse("from").unwrap(),
            base: (!dir).then_some(base),
            copy: alike,
            alike,
            via: None,
        }))
    }

    #[test]
    fn what_was_done_is_not_looked_for_before_it_is_listed() {
        let home: &dyn Fn(&RelPath) -> RemotePath = &|path| at(&format!("/Home/{path}"));
        let settled = Outcome::Settled(None);
        let of = |what: RemoteChange, outcome: &Outcome| unlisted(&change(what), outcome, Some(home));
        let paths = |list: &[&str]| list.iter().map(|path| at(path)).collect::<Vec<_>>();
        let folder = || RemoteChange::CreateFolder { path: at("/Home/d/e/a") };
        let stat = Stat { size: 3, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 };
        let hash = ContentHash([1; 32]);
        let there = Base { stat, content_hash: hash, rev: "1".into(), file_id: None, remote: None };
        let upload = RemoteChange::Upload {
            session: "s".into(),
            size: 3,
            content_hash: hash,
            stat,
            to: at("/Home/d/e/a"),
            mode: WriteMode::Add,
        };
        for (what, outcome, single, trees, dir_moved) in [
            (upload, Outcome::Settled(Some(there)), vec!["/Home/d/e/a", "/Home/d/e", "/Home/d"], vec![], false),
            (
                folder(),
                Outcome::SettledDir(DirStat::default()),
                vec!["/Home/d/e/a", "/Home/d/e", "/Home/d"],
                vec![],
                false,
            ),
            (RemoteChange::Delete { path: at("/x"), rev: "1".into() }, settled.clone(), vec!["/x"], vec![], false),
            (RemoteChange::Delete { path: at("/x"), rev: "1".into() }, Outcome::Replaced, vec!["/x"], vec![], false),
            (RemoteChange::DeleteFolder { path: at("/x") }, settled.clone(), vec!["/x"], vec!["/x"], false),
            (RemoteChange::DeleteFolder { path: at("/x") }, Outcome::Replaced, vec!["/x"], vec![], false),
            (relocate(false, false), Outcome::Moved(None), vec!["/from", "/to", "/to"], vec![], false),
            (relocate(true, false), Outcome::Halfway, vec![], vec!["/from", "/to", "/to"], true),
            (relocate(false, true), Outcome::Moved(None), vec!["/to"], vec![], false),
        ] {
            let expected = Unlisted { paths: paths(&single), trees: paths(&trees), dir_moved };
            assert_eq!(of(what.clone(), &outcome), expected, "{what:?}");
            for refused in [
                Outcome::Look { at: 0, failure: None },
                Outcome::Keep { at: 0, failure: None },
                Outcome::Elsewhere(at("/x")),
            ] {
                assert_eq!(of(what.clone(), &refused), Unlisted::default());
            }
        }
        assert_eq!(unlisted(&change(folder()), &settled, None), Unlisted::default());
        // A folder that has left the configuration: what was moved in it is to be listed all the same.
        let moved = unlisted(&change(relocate(false, false)), &Outcome::Moved(None), None);
        assert!(moved.paths.starts_with(&paths(&["/from", "/to"])), "{moved:?}");
    }
}
